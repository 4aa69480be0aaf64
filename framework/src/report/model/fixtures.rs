//! Studies for the tests of the report.

use super::study::{RunCurve, Study, StudyArm};
use crate::scenario::Published;
use numerics::streams::Streams;
use rand_distr::{Distribution, Normal};
use std::collections::BTreeMap;
use table::{Column, Table};

/// Curves that rise from 0.05 towards a height of the arm's own, with noise shared by arms of one seed.
pub fn study(labels: &[String], reference: Option<usize>, seeds: u64, rounds: usize) -> Study {
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
        StudyArm {
            label: label.clone(),
            reference,
            cell: label.split(" / ").map(String::from).collect(),
            runs: runs.collect(),
            ..StudyArm::default()
        }
    });
    Study {
        name: "acquisition on the simulated screen".into(),
        question: "Does looking at uncertainty find more hits than chance?".into(),
        metrics: metrics.map(String::from).to_vec(),
        arms: arms.collect(),
        axes: labels.first().map_or(vec![], |l| l.split(" / ").enumerate().map(|(i, _)| format!("axis {i}")).collect()),
        ..Study::default()
    }
}

/// Words as labels.
pub fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}

/// Labels of a grid of two axes.
pub fn grid(first: &str, second: &str) -> Vec<String> {
    words(first).iter().flat_map(|a| words(second).into_iter().map(move |b| format!("{a} / {b}"))).collect()
}

/// A study of each shape that figures and tables must cope with.
pub fn gallery() -> Vec<(&'static str, Study)> {
    let seven = words("random ucb thompson expected_improvement core_set bait max_dist");
    let mut nineteen = grid("random ucb thompson greedy core_set bait", "ridge gp forest");
    nineteen.push("oracle_best / gp".into());
    let mut out = vec![
        ("two", study(&words("random ucb"), Some(0), 5, 8)),
        ("seven", study(&seven, Some(0), 5, 10)),
        ("one_arm", study(&words("random"), None, 5, 10)),
        ("twelve", study(&grid("random ucb greedy bait", "ridge gp forest"), Some(0), 5, 30)),
        ("nineteen", study(&nineteen, Some(0), 5, 10)),
        (
            "hundred",
            study(
                &grid(
                    "random ucb ts ei greedy core bait badge max_dist bald",
                    "ridge gp rf mlp knn svr pls zero ens lin",
                ),
                Some(0),
                5,
                10,
            ),
        ),
        (
            "hundred_flat",
            study(&(0..100).map(|i| format!("beta={}", i as f64 / 10.0)).collect::<Vec<_>>(), Some(0), 3, 10),
        ),
        ("one_seed", study(&seven, Some(0), 1, 10)),
        ("one_round", study(&seven, Some(0), 5, 1)),
        ("one_round_of_many", study(&(0..40).map(|i| format!("beta={i}")).collect::<Vec<_>>(), Some(0), 5, 1)),
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

/// Three arms of one metric whose values are the last ones; curves have two rounds, the first at zero.
pub fn tiny(values: [&[(u64, f64)]; 3]) -> Study {
    let arm = |(i, v): (usize, &[(u64, f64)])| StudyArm {
        label: ["control", "good, better", "bad|worse"][i].into(),
        reference: Some(0),
        runs: v
            .iter()
            .map(|&(seed, v)| RunCurve {
                seed,
                n_measured: vec![10.0, 20.0],
                values: BTreeMap::from([("mse".to_string(), vec![0.0, v])]),
            })
            .collect(),
        ..StudyArm::default()
    };
    Study {
        name: "tiny".into(),
        question: String::new(),
        metrics: vec!["mse".into()],
        arms: values.into_iter().enumerate().map(arm).collect(),
        ..Study::default()
    }
}

/// Two cells of different scale; arm 1 against arm 0, arm 3 against arm 2.
pub fn two_rules_in_two_assays() -> Study {
    let run = |seed: u64, hit: f64, mse: f64| RunCurve {
        seed,
        n_measured: vec![10.0, 20.0],
        values: BTreeMap::from([("hit_ratio".into(), vec![0.0, hit]), ("mse".into(), vec![9.0, mse])]),
    };
    let arm = |cell: [&str; 2], reference: usize, runs: [(f64, f64); 2]| StudyArm {
        label: cell.join(" / "),
        reference: Some(reference),
        cell: cell.map(String::from).to_vec(),
        runs: runs.iter().enumerate().map(|(s, v)| run(s as u64, v.0, v.1)).collect(),
        ..StudyArm::default()
    };
    Study {
        name: "groups".into(),
        metrics: vec!["hit_ratio".into(), "mse".into()],
        axes: vec!["rule".into(), "assay".into()],
        arms: vec![
            arm(["random", "a"], 0, [(0.1, 4.0), (0.3, 6.0)]),
            arm(["ucb", "a"], 0, [(0.2, 4.0), (0.3, 5.0)]),
            arm(["random", "b"], 2, [(0.5, 100.0), (0.5, 100.0)]),
            arm(["ucb", "b"], 2, [(0.6, 80.0), (0.7, 90.0)]),
        ],
        ..Study::default()
    }
}

/// Rules on six screens; "c" lacks one of them, so that five screens of three rules are more than six of two.
pub fn three_rules_on_six_screens() -> Study {
    let value = |rule: usize, screen: usize| [0.1, 0.2, 0.3][rule] + 0.01 * screen as f64;
    let arms = (0..6).flat_map(|screen| (0..3).map(move |rule| (rule, screen))).filter(|c| *c != (2, 5));
    let arm = |(rule, screen): (usize, usize)| StudyArm {
        label: format!("{} / s{screen}", ["a", "b", "c"][rule]),
        cell: vec![["a", "b", "c"][rule].into(), format!("s{screen}")],
        runs: (0..2)
            .map(|seed| RunCurve {
                seed,
                n_measured: vec![1.0],
                values: BTreeMap::from([("hit_ratio".into(), vec![value(rule, screen)])]),
            })
            .collect(),
        ..StudyArm::default()
    };
    Study {
        name: "ranks".into(),
        metrics: vec!["hit_ratio".into()],
        axes: vec!["rule".into(), "screen".into()],
        screens: Some("screen".into()),
        arms: arms.map(arm).collect(),
        ..Study::default()
    }
}

/// Published curves of two methods.
pub fn published_losses() -> Table {
    let words = |v: &[&str]| Column::Text(v.iter().map(|s| Some(s.to_string())).collect());
    Table::new()
        .with("paper_method", words(&["Core-Set", "Core-Set", "Core-Set", "Core-Set", "Random", "Random"]))
        .with("run", Column::Integer(vec![1, 1, 2, 2, 1, 1]))
        .with("round", Column::Integer(vec![0, 1, 0, 1, 1, 0]))
        .with("loss", Column::Number(vec![4.0, 2.0, 4.2, 1.0, 3.0, 4.0]))
        .with("mse", Column::Number(vec![0.0; 6]))
}

/// How [`published_losses`] is matched with [`study_of_losses`].
pub fn rules_for_losses() -> Published {
    Published {
        metrics: BTreeMap::from([("focal".into(), "loss".into())]),
        arms: BTreeMap::from([("by_hand".into(), "Random".into()), ("other".into(), "Nobody".into())]),
        ..Default::default()
    }
}

/// A study whose curves can be compared with [`published_losses`].
pub fn study_of_losses() -> Study {
    let arm = |label: &str, v: [f64; 2]| StudyArm {
        label: label.into(),
        runs: vec![RunCurve {
            seed: 0,
            n_measured: vec![5.0, 10.0],
            values: BTreeMap::from([("focal".to_string(), v.to_vec()), ("mse".to_string(), vec![2.0, 1.0])]),
        }],
        ..StudyArm::default()
    };
    Study {
        name: "s".into(),
        metrics: vec!["focal".into(), "mse".into(), "hit_ratio".into()],
        arms: vec![arm("core_set", [10.0, 4.0]), arm("by_hand", [8.0, 6.0]), arm("other", [1.0, 1.0])],
        ..Study::default()
    }
}
