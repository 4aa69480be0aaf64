use super::*;
use numerics::stats::{half_width_95, mean};
use numerics::streams::Streams;
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

#[test]
fn grids_of_two_axes_have_a_heat_map() {
    let (_, twelve) = gallery().into_iter().find(|(name, _)| *name == "twelve").unwrap();
    let (dir, keep) = folder("heat");
    let paths = twelve.write(&dir).unwrap();
    let svg = std::fs::read_to_string(dir.join("heat_hit_ratio.svg")).unwrap();
    assert!(paths.contains(&dir.join("heat_hit_ratio.png")) && svg.contains("after the last round (larger is better)"));
    let first = &twelve.summarise()[0];
    assert!(svg.contains(&format!("{:.2}", first.final_mean)), "the number stands in its cell");
    assert!(svg.contains(&format!("± {:.2}", first.final_half_width)));
    assert!(std::fs::read_to_string(dir.join("report.md")).unwrap().contains("heat_hit_ratio"));
    let (_, one_axis) = &gallery()[1];
    let names = |p: &std::path::PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
    assert!(!one_axis.write(&dir.join("one")).unwrap().iter().map(names).any(|n| n.starts_with("heat")));
    if !keep {
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn groups_average_changes_over_cells_by_seed() {
    // Two cells of different scale; arm 1 against arm 0, arm 3 against arm 2.
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
    let study = Study {
        name: "groups".into(),
        metrics: vec!["hit_ratio".into(), "mse".into()],
        axes: vec!["rule".into(), "assay".into()],
        arms: vec![
            arm(["random", "a"], 0, [(0.1, 4.0), (0.3, 6.0)]),
            arm(["ucb", "a"], 0, [(0.2, 4.0), (0.3, 5.0)]),
            arm(["random", "b"], 2, [(0.5, 100.0), (0.5, 100.0)]),
            arm(["ucb", "b"], 2, [(0.6, 80.0), (0.7, 90.0)]),
        ],
        by: vec!["rule".into()],
        ..Study::default()
    };
    let rows = study.group_summaries();
    let of = |label: &str, metric: &str| rows.iter().find(|r| r.label == label && r.metric == metric).unwrap();
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} for {b}");
    let hits = of("ucb", "hit_ratio");
    // Cell a: +0.5 and 0 of a mean of 0.2; cell b: +0.2 and +0.4 of 0.5. By seed 0.35 and 0.2.
    near(hits.last.unwrap().mean, 0.275);
    near(hits.last.unwrap().hi - 0.275, half_width_95(&[0.35, 0.2]));
    near(hits.last.unwrap().p, 0.5);
    near(hits.p_holm, 0.5);
    near(hits.final_mean, mean(&[0.4, 0.5]));
    // Cell a: 0 and -1 of 5; cell b: -20 and -10 of 100.
    near(of("ucb", "mse").last.unwrap().mean, mean(&[-0.1, -0.15]));
    assert!(of("random", "mse").last.is_none() && of("random", "mse").n_cells == 0);
    assert_eq!(of("ucb", "mse").n_cells, 2);
    let text = study.table();
    assert!(text.contains("By rule") && text.contains("+27.5 %"), "{text}");
    let (dir, keep) = folder("groups");
    study.write(&dir).unwrap();
    let report = std::fs::read_to_string(dir.join("report.md")).unwrap();
    assert!(report.contains("## By rule") && report.contains("| ucb | 2 |"), "{report}");
    assert!(std::fs::read_to_string(dir.join("groups.csv")).unwrap().contains("ucb,hit_ratio,2,"));
    if !keep {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn equal_studies_give_equal_files() {
    let study = &gallery()[4].1;
    let dirs = ["first", "second"].map(|d| folder(&format!("equal-{d}")).0);
    let [a, b] = dirs.clone().map(|d| study.write(&d).unwrap());
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert!(std::fs::read(a).unwrap() == std::fs::read(b).unwrap(), "{} differs", a.display());
    }
    assert_eq!(std::fs::read_dir(&dirs[0]).unwrap().count(), a.len(), "nothing else is left in the folder");
    dirs.iter().for_each(|d| std::fs::remove_dir_all(d).unwrap());
}

/// Three arms of one metric whose values are the last ones; curves have two rounds, the first at zero.
fn tiny(values: [&[(u64, f64)]; 3]) -> Study {
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

#[test]
fn statistics_by_hand() {
    let study = tiny([
        &[(1, 4.0), (2, 6.0), (3, 8.0)],
        // Seed 9 has no partner; the pairs differ by -2, -1, -3.
        &[(3, 5.0), (1, 2.0), (2, 5.0), (9, 40.0)],
        &[(1, 100.0)],
    ]);
    let rows = study.summarise();
    let (control, good, bad) = (&rows[0], &rows[1], &rows[2]);
    assert!(control.is_reference && control.difference.is_none());
    assert_eq!((control.n_seeds, control.final_mean, control.aulc_mean), (3, 6.0, 3.0));
    assert!((control.final_half_width - half_width_95(&[4.0, 6.0, 8.0])).abs() < 1e-12);
    // t(.975, 2) = 4.302653, s = 2.
    assert!((control.final_half_width - 4.302653 * 2.0 / 3f64.sqrt()).abs() < 1e-5);

    assert_eq!((good.n_seeds, good.final_mean), (4, mean(&[5.0, 2.0, 5.0, 40.0])));
    let d = good.difference.as_ref().unwrap();
    assert_eq!((d.reference.as_str(), d.last.n, d.last.mean), ("control", 3, -2.0));
    assert!((d.last.hi - d.last.mean - 4.302653 / 3f64.sqrt()).abs() < 1e-5);
    // Of the sign patterns of (2, 1, 3) two of eight reach |sum| = 6.
    assert_eq!((d.last.p, d.aulc.p, d.aulc.mean), (0.25, 0.25, -1.0));

    let d = bad.difference.as_ref().unwrap();
    assert_eq!((bad.n_seeds, d.last.n, d.last.mean), (1, 1, 96.0));
    assert!(bad.final_half_width.is_nan() && d.last.lo.is_nan() && d.last.p.is_nan());

    // A smaller mse is better: control 3, good 6.5, bad 50.
    assert_eq!(study.ranking(&rows), [0, 1, 2]);
    let mut other = study.clone();
    other.metrics = vec!["pearson".into()];
    other.arms.iter_mut().flat_map(|a| &mut a.runs).for_each(|r| {
        let v = r.values.remove("mse").unwrap();
        r.values.insert("pearson".into(), v);
    });
    assert_eq!(other.ranking(&other.summarise()), [2, 1, 0]);
}

#[test]
fn equal_arms_differ_by_nothing_however_many_seeds() {
    let v: Vec<(u64, f64)> = (0..30).map(|s| (s, s as f64)).collect();
    let rows = tiny([&v, &v, &v]).summarise();
    let d = rows[1].difference.as_ref().unwrap().last;
    assert_eq!((d.mean, d.lo, d.hi, d.p), (0.0, 0.0, 0.0, 1.0));
}

#[test]
fn a_missing_value_leaves_the_area_undefined_and_ranks_last() {
    let mut study = tiny([&[(1, 4.0)], &[(1, 2.0)], &[(1, 3.0)]]);
    study.arms[1].runs[0].values.get_mut("mse").unwrap()[0] = f64::NAN;
    let rows = study.summarise();
    assert!(rows[1].aulc_mean.is_nan() && rows[1].final_mean == 2.0 && rows[1].n_aulc == 0);
    assert_eq!(study.ranking(&rows), [2, 0, 1]);
    let curve = study.arms[1].curve("mse");
    assert_eq!((curve[0].n, curve[1].n, curve[1].mean), (0, 1, 2.0));
    assert!(curve[0].mean.is_nan() && curve[0].n_measured == 10.0);
}

#[test]
fn tables_say_what_the_numbers_are() {
    let study = tiny([&[(1, 4.0), (2, 6.0)], &[(1, 2.0), (2, 5.0)], &[(1, 100.0)]]);
    let text = study.table();
    for part in [
        "good, better  2     3.50 ± 19.06",
        "reference   ",
        "100.00 (n = 1)",
        "0.5000",
        "Ranked by the AULC of mse (smaller",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let many = study_of_100().table();
    assert!(many.contains("... 80 more in arms.csv"), "{many}");
    assert!(many.lines().any(|l| l.contains("97  random / ridge") && l.contains("reference")), "{many}");
    let (dir, _) = folder("text");
    study.write(&dir).unwrap();
    let markdown = std::fs::read_to_string(dir.join("report.md")).unwrap();
    assert!(markdown.contains(r"bad\|worse") && markdown.contains("![curves_mse](curves_mse.svg)"));
    let arms = table::read(&dir.join("arms.csv")).unwrap();
    assert_eq!(arms.text("arm").unwrap(), ["good, better", "control", "bad|worse"]);
    assert_eq!(arms.integers("aulc_pairs").unwrap(), [2, 0, 1]);
    std::fs::remove_dir_all(&dir).unwrap();
}

fn study_of_100() -> Study {
    gallery().into_iter().find(|(name, _)| *name == "hundred").unwrap().1
}

#[test]
fn svg_escapes_labels() {
    theme::register_fonts().unwrap();
    let mut study = tiny([&[(1, 4.0)], &[(1, 2.0)], &[(1, 3.0)]]);
    study.arms[1].label = "a<b> & \"c\"\u{1}".into();
    let looks = curves::Looks::new(&study, &[0, 1, 2]);
    let svg = curves::draw(&study, &looks, "mse").unwrap().svg().unwrap();
    assert!(svg.contains("a&lt;b&gt; &amp; &quot;c&quot; "), "{svg}");
    assert!(!svg.contains('\u{1}'));
}

#[test]
fn colours_do_not_depend_on_the_metric_or_the_rank() {
    let study = &gallery()[1].1;
    let (a, b) = (curves::Looks::new(study, &[0, 1, 2, 3, 4, 5, 6]), curves::Looks::new(study, &[6, 5, 4, 3, 2, 1, 0]));
    assert_eq!(a.styles(), b.styles());
    assert_eq!(a.styles()[0].colour, theme::REFERENCE);
    assert_eq!(a.styles()[1], theme::style(0));
}

#[test]
fn nothing_to_report_and_nowhere_to_write_are_errors() {
    let (dir, _) = folder("errors");
    let empty = tiny([&[], &[], &[]]);
    let message = empty.write(&dir).unwrap_err().to_string();
    assert_eq!(message, "the study `tiny` has no finished run to report; run its scenario first");
    assert!(empty.table().contains("no finished run") && !dir.exists());

    let study = tiny([&[(1, 4.0)], &[(1, 2.0)], &[(1, 3.0)]]);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("file"), "in the way").unwrap();
    let message = study.write(&dir.join("file")).unwrap_err().to_string();
    assert!(message.contains("making the report's folder failed") && message.contains("Move the file"), "{message}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_axis_moves_figures_and_not_the_areas() {
    let mut s = study(&words("random ucb"), Some(0), 3, 4);
    let before = s.summarise()[0].aulc_mean;
    s.cost = crate::scenario::Cost { per_perturbation: 2.0, per_round: 100.0, months_per_round: 0.5 };
    let x = |s: &Study| -> Vec<f64> { s.curve(1, "mse").iter().map(|p| p.x).collect() };
    assert_eq!(x(&s), [96.0, 192.0, 288.0, 384.0]);
    s.along = Along::Round;
    assert_eq!(x(&s), [0.0, 1.0, 2.0, 3.0]);
    s.along = Along::Months;
    assert_eq!(x(&s), [0.0, 0.5, 1.0, 1.5]);
    s.along = Along::Cost;
    assert_eq!(x(&s), [192.0, 484.0, 776.0, 1068.0]);
    assert_eq!(s.summarise()[0].aulc_mean, before);
    let (dir, _) = folder("axis");
    s.write(&dir).unwrap();
    assert!(std::fs::read_to_string(dir.join("curves_mse.svg")).unwrap().contains("cost (USD)"));
    let t = table::read(&dir.join("curves.csv")).unwrap();
    assert_eq!(t.numbers("cost").unwrap()[..2], [192.0, 484.0]);
    assert_eq!(t.numbers("months").unwrap()[..2], [0.0, 0.5]);
    assert_eq!(t.numbers("n_measured").unwrap()[..2], [96.0, 192.0]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn screens_have_a_panel_each_and_methods_are_ranked_within_them() {
    // On the second screen everything is easier: by value its arms would all come before those of the first.
    let mut s = study(&grid("hard easy", "random a b c d e f g h i j k l m n o p q"), Some(0), 3, 4);
    for (i, arm) in s.arms.iter_mut().enumerate() {
        let (easy, method) = (i / 18, i % 18);
        arm.reference = Some(18 * easy);
        for run in &mut arm.runs {
            // `q` is second on each screen; `a` is first on the easy one and last on the other.
            let place = match (method, easy) {
                (17, _) => 16.0,
                (0, _) => -5.0,
                (1, e) => 20.0 * e as f64 - 3.0,
                (m, _) => 15.0 - m as f64,
            };
            run.values.insert("hit_ratio".into(), vec![0.01 * place + 0.5 * easy as f64; 4]);
        }
    }
    s.screens = Some("axis 0".into());
    let ranking = s.ranking(&s.summarise());
    assert_eq!(s.arms[ranking[0]].label, "easy / a");
    let looks = curves::Looks::new(&s, &ranking);
    assert_eq!(looks.titles(), ["hard", "easy"]);
    let coloured = |method: usize| !looks.styles()[method].is_faint();
    assert!(coloured(17) && looks.styles()[17] == looks.styles()[35], "one look a method");
    assert!(!coloured(1) && !coloured(16) && looks.styles()[0] == looks.styles()[18]);
    for (i, arm) in s.arms.iter_mut().enumerate() {
        arm.cell[0] = if i < 18 { "6" } else { "1" }.into();
    }
    assert_eq!(curves::Looks::new(&s, &ranking).titles(), ["axis 0 = 6", "axis 0 = 1"]);
}

#[test]
fn many_bands_give_way_to_the_best_and_the_reference() {
    let s = &gallery()[3].1;
    let looks = curves::Looks::new(s, &(0..12).collect::<Vec<_>>());
    let banded = looks.styles().iter().filter(|s| s.band > 0.0).count();
    assert_eq!(banded, 3, "two and the reference");
    let few = curves::Looks::new(&gallery()[1].1, &(0..7).collect::<Vec<_>>());
    assert!(few.styles().iter().all(|s| s.band > 0.0));
}

#[test]
fn speed_ups_claims_and_published_curves_have_their_files_and_sections() {
    use crate::scenario::{Assertion, At, Claim};
    let mut s = study(&words("random ucb core_set bait max_dist lcmd"), Some(0), 5, 6);
    let claim = |text: &str, says, better: &[usize]| Claim {
        text: text.into(),
        metric: "hit_ratio".into(),
        says,
        better: better.to_vec(),
        than: vec![0],
        all_of: false,
    };
    s.claims = vec![
        claim("ucb | beats random", Assertion::Better(At::Last), &[1]),
        claim("twice as fast", Assertion::Sooner(2.0), &[1, 2]),
        claim("an arm of another form", Assertion::Better(At::Aulc), &[]),
    ];
    s.target = Some(0.3);
    let pair = |i: usize| (i, StudyArm { runs: s.arms[(i + 1) % 6].runs.clone(), ..s.arms[i].clone() });
    s.published = Some(PublishedCurves {
        source: "paper.csv".into(),
        metrics: vec![("mse".into(), "loss".into())],
        arms: (0..6).map(pair).collect(),
        notes: vec![],
    });
    s.published_values = Some(PublishedTable {
        source: "table.csv".into(),
        rows: vec![PublishedValue { arm: 1, metric: "mse".into(), value: 0.5, error: 0.1 }],
        notes: vec!["no row for mse of bait".into()],
    });
    let (dir, keep) = folder("sections");
    s.write(&dir).unwrap();
    let text = s.table();
    for part in [
        "Claims",
        "not run",
        "speed-up over reference (hit_ratio)",
        "hit_ratio at 0.3",
        "Published curves of paper.csv",
        "Published numbers of table.csv",
        "no row for mse of bait",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.lines().all(|l| l.chars().count() <= 130), "{text}");
    let markdown = std::fs::read_to_string(dir.join("report.md")).unwrap();
    for part in [
        "## Claims",
        "ucb \\| beats random",
        "## Speed-up",
        "## Published curves",
        "published_mse.svg",
        "## Published numbers",
    ] {
        assert!(markdown.contains(part), "{part}\n{markdown}");
    }
    let speed = table::read(&dir.join("speedup.csv")).unwrap();
    assert_eq!(speed.height(), 6 * 5 + 6);
    assert_eq!(table::read(&dir.join("claims.csv")).unwrap().text("verdict").unwrap()[2], "not run");
    assert_eq!(table::read(&dir.join("published.csv")).unwrap().height(), 36);
    let beside = table::read(&dir.join("published_values.csv")).unwrap();
    let number = |c: &str| beside.numbers(c).unwrap()[0];
    assert!((number("apart_in_se") - (number("ours") - 0.5) / 0.1).abs() < 1e-9);
    if keep {
        std::fs::write(dir.join("table.txt"), &text).unwrap();
    }
    // What an earlier report wrote and this one does not say is gone.
    (s.claims, s.published, s.published_values) = (vec![], None, None);
    s.write(&dir).unwrap();
    assert!(["claims.csv", "published.csv", "published_values.csv"].iter().all(|f| !dir.join(f).exists()));
    if !keep {
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn bands_within_seeds_leave_out_what_arms_share() {
    let arm = |values: [[f64; 2]; 3]| StudyArm {
        runs: values
            .iter()
            .enumerate()
            .map(|(seed, v)| RunCurve {
                seed: seed as u64,
                n_measured: vec![1.0, 2.0],
                values: [("mse".to_string(), v.to_vec())].into(),
            })
            .collect(),
        ..StudyArm::default()
    };
    let of = |arms: Vec<StudyArm>| Study { metrics: vec!["mse".into()], arms, ..Study::default() }.within_seeds("mse");
    // Worlds far apart; the arms differ by 1 in every one of them, then by 1, 2 and 3.
    let a = arm([[10.0, 10.0], [20.0, 20.0], [30.0, 30.0]]);
    let b = arm([[11.0, 11.0], [21.0, 22.0], [31.0, 33.0]]);
    let found = of(vec![a.clone(), b.clone()]).unwrap();
    assert!(found[0][0].abs() < 1e-12 && found[1][0].abs() < 1e-12);
    // Deviations from the mean of two arms are half the difference; times the root of 2.
    let want = 2f64.sqrt() * numerics::stats::half_width_95(&[0.5, 1.0, 1.5]);
    assert!(found.iter().all(|h| (h[1] - want).abs() < 1e-12), "{found:?} {want}");
    assert!(of(vec![a.clone()]).is_none(), "one arm is compared with nothing");
    let mut other = b;
    other.runs[0].seed = 9;
    assert!(of(vec![a, other]).is_none(), "not the same seeds");
}

#[test]
fn published_numbers_are_found_by_axes_and_metric() {
    use crate::scenario::PublishedValues;
    let s = study(&words("linear naiad other"), Some(0), 3, 2);
    let t = Table::new()
        .with("metric", Column::Text(["rmse", "rmse", "rmse", "hits"].map(|v| Some(v.into())).to_vec()))
        .with("model", Column::Text(["Linear", "NAIAD", "NAIAD", "Linear"].map(|v| Some(v.into())).to_vec()))
        .with("obs", Column::Integer(vec![4, 4, 10, 4]))
        .with("value", Column::Number(vec![6.2, 5.1, 4.7, 92.0]))
        .with("se", Column::Number(vec![1.7, 1.8, 1.2, f64::NAN]));
    let rules = |form: serde_json::Value| serde_json::from_value::<PublishedValues>(form).unwrap();
    let read = |r: &PublishedValues| {
        let axes = |a: &StudyArm| vec![("learner".to_string(), a.label.clone()), ("seed".into(), "x".into())];
        PublishedTable::read(&t, r, "t.csv".into(), &s, axes).unwrap()
    };
    let form = serde_json::json!({
        "file": "t.csv", "error": "se", "row": { "obs": "4" }, "metrics": { "mse": { "row": { "metric": "rmse" }, "times": 0.01 } },
        "axes": { "learner": { "linear": { "model": "Linear" }, "naiad": { "model": "NAIAD" } } },
    });
    let found = read(&rules(form.clone()));
    let at = |arm, value, error| PublishedValue { arm, metric: "mse".into(), value, error };
    assert_eq!(found.rows.len(), 2);
    for (r, w) in found.rows.iter().zip([at(0, 0.062, 0.017), at(1, 0.051, 0.018)]) {
        assert!(r.arm == w.arm && (r.value - w.value).abs() < 1e-12 && (r.error - w.error).abs() < 1e-12, "{r:?}");
    }
    assert!(found.notes.is_empty());
    let mut vague = form;
    vague["row"] = serde_json::json!({});
    assert!(read(&rules(vague.clone())).notes[0].contains("2 rows for mse of naiad"));
    vague["row"] = serde_json::json!({ "obs": "7" });
    assert_eq!(read(&rules(vague)).notes.len(), 2);
}

/// The data of a page, read back from its text.
fn data_of(html: &str) -> serde_json::Value {
    let open = "<script type=\"application/json\" id=\"study\">";
    let from = html.find(open).unwrap() + open.len();
    let to = from + html[from..].find("</script>").unwrap();
    serde_json::from_str(&html[from..to]).unwrap()
}

#[test]
fn the_page_holds_the_whole_study_and_needs_nothing_else() {
    let (dir, _) = folder("page");
    let mut s = study(&grid("random ucb </script><b>", "ridge gp"), Some(0), 4, 6);
    s.question = "Which & why?".into();
    s.command = "screenwright run x.toml".into();
    s.seeds = (0..4).collect();
    for (a, arm) in s.arms.iter_mut().enumerate() {
        arm.settings = BTreeMap::from([("model.noise".into(), (a % 2).to_string()), ("batch".into(), "8".into())]);
        arm.seconds = Some(Seconds { fit: 1.0, ..Seconds::default() });
        for run in &mut arm.runs {
            run.values.insert("weight ppi".into(), vec![0.25; 6]);
        }
    }
    s.provenance = vec![("program".into(), "screenwright 0".into())];
    s.write(&dir).unwrap();
    let html = std::fs::read_to_string(dir.join("report.html")).unwrap();
    // The one address is the name of SVG's namespace.
    let others = html.replace("http://www.w3.org/2000/svg", "");
    assert!(!others.contains("://") && !html.contains("{{"), "asks for nothing");
    let data = data_of(&html);
    assert_eq!(data["arms"].as_array().unwrap().len(), 6);
    assert_eq!(data["arms"][4]["label"], "</script><b> / ridge");
    assert_eq!(data["settings"], serde_json::json!(["model.noise"]), "only what differs");
    assert_eq!(data["curves"].as_array().unwrap().len(), 3);
    assert_eq!(data["curves"][0][5]["mean"].as_array().unwrap().len(), 6);
    assert_eq!(data["traces"][0]["curves"][0]["label"], "ppi");
    assert_eq!(data["arms"][0]["seconds"]["fit"], 1);
    let mean = data["summary"][0][1]["aulc"].as_f64().unwrap();
    assert!((mean - s.summarise()[3].aulc_mean).abs() < 1e-5 * mean.abs(), "six digits");
    let looks: Vec<String> = data["arms"].as_array().unwrap().iter().map(|a| a["look"].to_string()).collect();
    let mut own = looks.clone();
    own.sort();
    own.dedup();
    assert_eq!(own.len(), 6, "each method its own look: {looks:?}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn methods_are_ranked_over_blocks() {
    // Rules on six screens; "c" lacks one of them, so that five screens of three rules are less than six of two.
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
    let mut s = Study {
        name: "ranks".into(),
        metrics: vec!["hit_ratio".into()],
        axes: vec!["rule".into(), "screen".into()],
        screens: Some("screen".into()),
        arms: arms.map(arm).collect(),
        ..Study::default()
    };
    let r = &s.rankings()[0];
    assert_eq!((r.n_blocks, r.methods.len()), (5, 3), "{r:?}");
    let names: Vec<(&str, f64)> = r.methods.iter().map(|m| (m.0.as_str(), m.1)).collect();
    assert_eq!(names, [("c", 1.0), ("b", 2.0), ("a", 3.0)]);
    assert!((r.ranks.chi2 - 10.0).abs() < 1e-9, "n (k - 1) where all blocks agree: {}", r.ranks.chi2);
    assert_eq!(r.cliques, [(0, 1), (1, 2)], "critical difference {}", r.ranks.critical_difference);
    assert_eq!(r.blocks, "screen, means over seeds");
    let t = s.ranks_table(&s.rankings());
    assert_eq!(t.text("not_differing").unwrap(), ["1", "1 2", "2"]);
    // One screen: blocks are its seeds.
    s.arms.retain(|a| a.cell[1] == "s0");
    let r = &s.rankings()[0];
    assert_eq!((r.n_blocks, r.blocks.as_str()), (2, "seeds"));
}

#[test]
fn warnings_name_what_is_missing_and_what_to_do() {
    let mut s = study(&words("random ucb bait"), Some(0), 4, 5);
    (s.seeds, s.command) = ((0..5).collect(), "screenwright run x.toml".into());
    s.arms[2].runs.truncate(1);
    s.unreadable = vec!["results/x/abc/run.json: broken; delete it".into()];
    let rows = s.summarise();
    let all = s.warnings(&rows).join("\n");
    for part in [
        "results/x/abc/run.json: broken",
        "6 of 15 runs are missing, in 3 of 3 arms (`random`: 4 of 5 seeds)",
        "`screenwright run x.toml` goes on with the rest",
        "1 of 3 arms have one seed",
        "with 4 seeds no exact test can stand",
    ] {
        assert!(all.contains(part), "{part}\n{all}");
    }
    // Pairs are those seeds that both arms have, and arms with one have neither interval nor test.
    let d = |a: usize| rows[a * s.metrics.len()].difference.as_ref().unwrap().aulc;
    assert_eq!((d(1).n, d(2).n), (4, 1));
    assert!(d(2).lo.is_nan() && d(2).p.is_nan() && d(2).boot[0].is_nan() && d(2).seeds_needed.is_none());
    assert!(d(1).boot[0] <= d(1).mean && d(1).mean <= d(1).boot[1] && d(1).p_holm >= d(1).p);
    // Enough seeds and clear differences: nothing to warn of.
    let mut s = study(&words("random ucb"), Some(0), 10, 5);
    s.seeds = (0..10).collect();
    assert!(s.warnings(&s.summarise()).is_empty(), "{:?}", s.warnings(&s.summarise()));
}

#[test]
fn one_column_of_a_journal_has_figures_of_its_own() {
    let (dir, keep) = folder("narrow");
    let mut s = study(&words("random ucb thompson expected_improvement"), Some(0), 5, 8);
    let size = |s: &Study| -> (f64, f64) {
        s.write_curves(&dir, "curve").unwrap();
        let svg = std::fs::read_to_string(dir.join("curve_hit_ratio.svg")).unwrap();
        let number = |name: &str| {
            let from = svg.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
            svg[from..].split('"').next().unwrap().parse::<f64>().unwrap()
        };
        (number("width"), number("height"))
    };
    assert!(size(&s).0 >= 900.0);
    s.narrow = true;
    let (width, height) = size(&s);
    // At 89 mm letters of 12 pixels are at least 6 points high (2.1 mm).
    assert!(12.0 * 89.0 / width >= 2.1 && height < 500.0, "{width} x {height}");
    let svg = std::fs::read_to_string(dir.join("curve_hit_ratio.svg")).unwrap();
    assert!(svg.contains("taken out") && svg.contains("thompson"), "the caption is whole");
    let definition = crate::metric::find("hit_ratio").unwrap().definition.split(';').next().unwrap();
    let last = definition.split_whitespace().last().unwrap();
    assert!(svg.contains(last), "the definition is whole: `{last}` of {definition}");
    if !keep {
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
