//! Real single cells, replayed: profiles against numpy (`fixtures/check_real_cells.py`). Needs the data folder, and says so
//! where it is absent.

mod common;

use common::*;
use framework::data::DataRoot;
use framework::plugin::Setup;
use framework::plugin::{Experiment, Oracle};
use framework::streams::Streams;
use plugins as _;
use serde_json::json;
use std::path::PathBuf;

const FILE: &str = "perturbseq_cells/norman2019_mcfaline2023_subset.h5ad";
const GENES: [&str; 5] = ["HBG2", "HBZ", "HBE1", "AVP", "TIMP1"];
/// Perturbation, cells, values at `GENES`, largest absolute value.
const PROFILES: [(&str, usize, [f64; 5], f64); 5] = [
    ("KLF1", 100, [1.16204357, 1.58223571, 0.0439820201, 0.0103682062, 0.0468569609], 1.58223571),
    ("MAP2K6", 100, [0.0985214068, -0.306535325, -0.00776387173, -0.0389774185, 0.120530256], 0.306535325),
    ("KLF1+MAP2K6", 100, [1.25501848, 1.4161838, 0.0475190229, 0.000401569238, 0.106344266], 1.4161838),
    ("MAPK1+TGFBR2", 100, [-0.975920072, -0.729721879, -0.0168693327, -0.0698976805, 0.183308543], 0.975920072),
    ("ZBTB10+PTPN12", 100, [-0.0435578602, -0.199344936, 0.0585350537, -0.03267738, 0.387453521], 0.679086492),
];
const SUM_OF_SQUARES: f64 = 92.4341552;

/// The data folder, if it has the file.
fn data() -> Option<PathBuf> {
    let root = std::env::var_os("SCREENWRIGHT_DATA").map(PathBuf::from).filter(|r| r.join(FILE).is_file());
    if root.is_none() {
        eprintln!("skipped: SCREENWRIGHT_DATA names no folder with {FILE}");
    }
    root
}

#[test]
fn profiles_of_real_cells_equal_those_of_numpy() {
    let Some(root) = data() else { return };
    let oracle: Box<dyn Oracle> = serde_json::from_value(json!({
        "use": "perturb_seq", "path": FILE, "label": "perturbation", "control": "control", "separator": "+",
        "only": { "cell_type": "k562" },
    }))
    .expect("settings are known");
    let s = oracle.open(&Setup { data: &DataRoot::new(root), streams: &Streams::new(1) }).expect("opens");
    let n = s.pool().len();
    assert_eq!((n, s.n_outputs()), (33, 500));
    let outputs = s.control().expect("control").outputs.clone().expect("names");
    let at = GENES.map(|g| outputs.iter().position(|o| o == g).expect("a gene"));
    for (label, cells, values, largest) in PROFILES {
        let id = s.pool().parse(label).expect("in the pool");
        let r = s.measure(&[id], &Experiment::of_round(1), &Streams::new(1)).expect("a readout");
        assert_eq!(r.cells.as_ref().expect("cells")[0].x.nrows(), cells, "{label}");
        for (g, want) in at.iter().zip(values) {
            assert!((r.y[(0, *g)] - want).abs() < 1e-6, "{label}: {} for {want}", r.y[(0, *g)]);
        }
        let most = r.y.iter().fold(0.0f64, |a, v| a.max(v.abs()));
        assert!((most - largest).abs() < 1e-6, "{label}: {most}");
    }
    let all = s.truth(&(0..n).collect::<Vec<_>>()).expect("truth");
    let sum: f64 = all.iter().map(|v| v * v).sum();
    assert!((sum - SUM_OF_SQUARES).abs() < 1e-5, "{sum}");
    assert!(s.notes().iter().any(|n| n.contains("are not `k562` in `cell_type`")), "{:?}", s.notes());
}

#[test]
fn the_five_pairs_of_real_cells_are_tested_from_the_command_line() {
    let Some(root) = data() else { return };
    let dir = framework::testing::TempDir::new().expect("a folder");
    let file = root.join(FILE);
    let file = file.to_str().expect("utf-8");
    let arguments = ["interactions", "--samples", file, "--test", "additivity"];
    let r = run(dir.path(), &[&arguments[..], &["--only", "cell_type=k562"]].concat());
    assert_eq!(r.code, 0, "{}{}", r.out, r.err);
    for pair in ["KLF1+MAP2K6", "KLF1+TGFBR2", "MAP2K3+MAP2K6", "MAP2K3+SLC38A2", "MAPK1+TGFBR2"] {
        says(&r, &[pair]);
    }
    let r = run(dir.path(), &[&arguments[..], &["--only", "cell_type=K562"]].concat());
    assert_ne!(r.code, 0);
    says(&r, &["no cell has `K562` in `cell_type`; values: A172, T98G, U87MG, k562; did you mean `k562`?"]);
}
