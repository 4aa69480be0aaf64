//! Mean fusion of 8 feature kernels over 9,748 perturbations with 128 features each: the stored matrix in single
//! precision, and the feature form that stores nothing n x n.
//!
//! cargo bench --profile dev -p screenwright-benches --bench fuse [-- N]

use framework::numerics::{FeatureGram, Normalise, Rows, Sum, fuse_dense};
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use screenwright_benches::milliseconds;
use std::hint::black_box;
use std::sync::Arc;

/// Peak resident memory so far, in MB, where the system tells.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM"));
    let kb = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    kb.unwrap_or(f64::NAN) / 1024.0
}

fn main() -> Result<()> {
    let n: usize = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(9748);
    let (sources, d) = (8, 128);
    let mut rng = Streams::new(1).rng("bench");
    let x: Vec<Array2<f64>> =
        (0..sources).map(|_| Array2::from_shape_simple_fn((n, d), || StandardNormal.sample(&mut rng))).collect();
    let single: Vec<Arc<Array2<f32>>> = x.iter().map(|x| Arc::new(x.mapv(|v| v as f32))).collect();
    println!("{n} x {sources} x {d}; inputs take {:.0} MB", peak());
    let ids: Vec<usize> = (0..n).collect();

    let held: Vec<Gram> = x.into_iter().map(Gram::of_features).collect();
    let fuse = || -> Result<Gram> {
        let share = 1.0 / sources as f64;
        let terms: Result<Vec<(f64, Gram)>> =
            held.iter().map(|g| Ok((share, Normalise::Max.apply(g, &ids, true)?.0))).collect();
        Ok(Gram::new(Sum::new(terms?)?))
    };
    let t = milliseconds(5, || {
        black_box(fuse().ok());
    });
    println!("feature form, max: {:.1} ms (least {:.1})", t.0, t.1);
    let fused = fuse()?.restrict(&ids);
    let mut row = vec![0.0; n];
    let t = milliseconds(9, || fused.row(7, &mut row));
    println!("  a row of {} features: {:.2} ms (least {:.2})", sources * d, t.0, t.1);
    let rows: Vec<Rows> = held.iter().filter_map(|g| g.rows()).collect();
    let lean = FeatureGram::linear(Rows::side_by_side(rows.into_iter().map(|r| (1.0, r)).collect())).single();
    let lean = Gram::new(lean).restrict(&ids);
    let t = milliseconds(9, || lean.row(7, &mut row));
    println!("  in single precision: {:.2} ms (least {:.2}); peak {:.0} MB", t.0, t.1, peak());
    drop((fused, lean));
    let t = milliseconds(3, || {
        for g in &held {
            black_box(Normalise::MinMax.apply(g, &ids, true).ok());
        }
    });
    println!(
        "smallest entries of all sources, nothing stored: {:.0} ms (least {:.0}); peak {:.0} MB",
        t.0,
        t.1,
        peak()
    );

    for by in [Normalise::Max, Normalise::MinMax] {
        let t = milliseconds(3, || {
            black_box(fuse_dense(&single, by).ok());
        });
        println!("stored matrix, {by:?}: {:.0} ms (least {:.0}); peak {:.0} MB", t.0, t.1, peak());
    }
    let dense = fuse_dense(&single, Normalise::Max)?;
    let t = milliseconds(9, || dense.row(7, &mut row));
    println!("  a row: {:.3} ms (least {:.3})", t.0, t.1);
    Ok(())
}
