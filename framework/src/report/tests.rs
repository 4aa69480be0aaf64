use super::*;
use crate::numerics::stats::{half_width_95, mean};
use crate::streams::Streams;
use rand_distr::{Distribution, Normal};

/// Curves that rise from 0.05 towards a height of the arm's own, with noise shared by arms of one seed.
fn study(labels: &[String], reference: Option<usize>, seeds: u64, rounds: usize) -> Study {
    let metrics = ["hit_ratio", "mse", "pearson"];
    let arms = labels.iter().enumerate().map(|(a, label)| {
        let runs = (0..seeds).map(|seed| {
            let mut own = Streams::new(seed).index(a).rng("own");
            let mut shared = Streams::new(seed).rng("shared");
            let (wide, narrow) = (Normal::new(0.0, 0.03).unwrap(), Normal::new(0.0, 0.01).unwrap());
            let shift = wide.sample(&mut shared);
            let height = 0.3 + 0.35 * ((a * 7 + 3) % labels.len().max(2)) as f64 / labels.len().max(2) as f64;
            let n_measured: Vec<f64> = (0..rounds).map(|t| 96.0 * (t + 1) as f64).collect();
            let hit: Vec<f64> = (0..rounds)
                .map(|t| 0.05 + (height + shift) * (1.0 - (-0.35 * t as f64).exp()) + narrow.sample(&mut own))
                .collect();
            let values = BTreeMap::from([
                ("mse".to_string(), hit.iter().map(|v| 40.0 * (1.0 - v) * (1.0 - v)).collect()),
                ("pearson".to_string(), hit.iter().map(|v| 0.9 * v - 0.1).collect()),
                ("hit_ratio".to_string(), hit),
            ]);
            RunCurve { seed, n_measured, values }
        });
        StudyArm { label: label.clone(), reference, runs: runs.collect() }
    });
    Study {
        name: "acquisition on the simulated screen".into(),
        question: "Does looking at uncertainty find more hits than chance?".into(),
        metrics: metrics.map(String::from).to_vec(),
        arms: arms.collect(),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}

fn grid(first: &str, second: &str) -> Vec<String> {
    words(first).iter().flat_map(|a| words(second).into_iter().map(move |b| format!("{a} / {b}"))).collect()
}

/// Every shape of study that a figure or table must stand.
fn gallery() -> Vec<(&'static str, Study)> {
    let seven = words("random ucb thompson expected_improvement core_set bait max_dist");
    let mut nineteen = grid("random ucb thompson greedy core_set bait", "ridge gp forest");
    nineteen.push("oracle_best / gp".into());
    let mut out = vec![
        ("two", study(&words("random ucb"), Some(0), 5, 8)),
        ("seven", study(&seven, Some(0), 5, 10)),
        ("one_arm", study(&words("random"), None, 5, 10)),
        ("twelve", study(&grid("random ucb greedy bait", "ridge gp forest"), Some(0), 5, 30)),
        ("nineteen", study(&nineteen, Some(0), 5, 10)),
        ("hundred", study(&grid("random ucb ts ei greedy core bait badge max_dist bald", "ridge gp rf mlp knn svr pls zero ens lin"), Some(0), 5, 10)),
        ("hundred_flat", study(&(0..100).map(|i| format!("beta={}", i as f64 / 10.0)).collect::<Vec<_>>(), Some(0), 3, 10)),
        ("one_seed", study(&seven, Some(0), 1, 10)),
        ("one_round", study(&seven, Some(0), 5, 1)),
        ("two_seeds", study(&seven, Some(0), 2, 10)),
    ];
    // The reference that shares the model.
    let mut several = study(&nineteen, Some(0), 5, 10);
    (0..18).for_each(|i| several.arms[i].reference = Some(i % 3));
    several.arms[18].reference = Some(1);
    out.push(("several_references", several));
    let mut constant = study(&seven[..3], Some(0), 5, 6);
    for run in constant.arms.iter_mut().flat_map(|a| &mut a.runs) {
        run.values.get_mut("hit_ratio").unwrap().fill(0.25);
        run.values.get_mut("mse").unwrap().fill(0.0);
    }
    out.push(("constant", constant));
    let mut gaps = study(&seven[..4], Some(0), 5, 9);
    for (a, arm) in gaps.arms.iter_mut().enumerate() {
        for run in &mut arm.runs {
            let v = run.values.get_mut("hit_ratio").unwrap();
            v[1 + a] = f64::NAN;
            v[3 + a] = f64::NAN;
            run.values.remove("pearson");
        }
    }
    gaps.arms[2].runs.truncate(3);
    gaps.arms[3].runs.clear();
    out.push(("gaps", gaps));
    let mut odd = study(&words("a<b> c&d \"quoted\",comma x|y_z*"), Some(0), 4, 20_000 / 96);
    odd.arms[1].label = "a label so long that no figure could hold it beside the curves: acquisition=ucb(beta=2.5), kernel=fused(rbf, linear), seed=π".into();
    for run in odd.arms.iter_mut().flat_map(|a| &mut a.runs) {
        run.values.get_mut("mse").unwrap().iter_mut().for_each(|v| *v *= 1e-6);
        run.values.get_mut("hit_ratio").unwrap().iter_mut().for_each(|v| *v *= 3e6);
    }
    out.push(("odd", odd));
    out
}

/// Where the pictures go, for looking at; a folder that is emptied at the end unless SCREENWRIGHT_KEEP names one.
fn folder(name: &str) -> (PathBuf, bool) {
    match std::env::var_os("SCREENWRIGHT_KEEP") {
        Some(dir) => (PathBuf::from(dir).join(name), true),
        None => (std::env::temp_dir().join(format!("screenwright-report-{}-{name}", std::process::id())), false),
    }
}

#[test]
fn every_study_is_drawn_and_written() {
    for (name, study) in gallery() {
        let (dir, keep) = folder(name);
        let paths = study.write(&dir).unwrap();
        if keep {
            std::fs::write(dir.join("table.txt"), study.table()).unwrap();
        }
        for path in &paths {
            assert!(path.metadata().unwrap().len() > 0, "{}", path.display());
        }
        let svg = paths.iter().find(|p| p.ends_with("curves_hit_ratio.svg")).unwrap();
        let svg = std::fs::read_to_string(svg).unwrap();
        assert!(svg.contains("<text") && svg.contains("perturbations measured"));
        assert!(study.table().lines().all(|l| l.chars().count() <= 130), "{}", study.table());
        if !keep {
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}
