use super::*;
use crate::data::DataRoot;
use crate::runner::Worlds;
use crate::testing::TempDir;
use crate::tiny;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn small(batch: usize) -> crate::scenario::Scenario {
    let mut scenario = tiny::breaking(None);
    scenario.batch = batch;
    scenario
}

/// Two arms under two seeds, of which the second breaks in its round 2 where that is wanted.
fn plan(dir: &TempDir, breaks: bool) -> Plan {
    let second = tiny::breaking(breaks.then_some(2));
    Plan::of(tiny::sweep(vec![("two", small(2)), ("three", second)]), DataRoot::default(), dir.path()).unwrap()
}

fn run(plan: &Plan) {
    std::fs::create_dir_all(plan.store.folder()).unwrap();
    tiny::run(&plan.jobs, &plan.store, &AtomicBool::new(false), |_, _| {});
}

#[test]
fn a_plan_knows_what_is_done_and_why_the_rest_is_not() {
    let dir = TempDir::new().unwrap();
    let before = plan(&dir, true);
    assert_eq!(before.why, [Why::New; 4]);
    assert_eq!(before.headline(), "tiny   2 arms x 2 seeds = 4 runs   (0 finished, 4 to do)");
    assert_eq!(before.command(), "screenwright run tiny.toml");
    assert_eq!(before.cost(), Some(Estimate::Unknown));
    // Seed by seed, arm by arm; ids arm by arm.
    let order: Vec<(&str, u64)> = before.jobs.iter().map(|j| (j.arm.as_str(), j.seed)).collect();
    assert_eq!(order, [("two", 3), ("three", 3), ("two", 4), ("three", 4)]);
    assert_eq!(before.ids[2], before.jobs[1].id);
    let mut ids = before.ids.clone();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);

    run(&before);
    // One of the failed runs is put back into the state of a run that was cut off.
    std::fs::remove_file(before.store.folder().join(format!("{}.partial/run.json", before.ids[3]))).unwrap();
    let after = plan(&dir, true);
    assert_eq!(after.ids, before.ids);
    assert_eq!(after.why, [Why::Finished, Why::Finished, Why::Failed, Why::Interrupted]);
    assert_eq!(after.why_of_jobs(), [Why::Failed, Why::Interrupted]);
    assert_eq!(after.headline(), "tiny   2 arms x 2 seeds = 4 runs   (2 finished, 2 to do)");
    // The arm that is left has no finished run: judged by the median of the others.
    let (finished, _) = after.store.finished().unwrap();
    let median = finished.iter().map(|f| f.header.seconds.total()).sum::<f64>() / 2.0;
    match after.cost() {
        Some(Estimate::About { seconds, finished: 2 }) => assert!((seconds - 2.0 * median).abs() < 1e-12),
        other => panic!("{other:?}"),
    }
    let whole = plan(&dir, false);
    assert_eq!(whole.why[..2], [Why::Finished; 2]);
    run(&whole);
    assert_eq!(plan(&dir, false).cost(), Some(Estimate::NothingToDo));
}

#[test]
fn a_file_that_is_not_there_is_found_before_anything_runs() {
    let dir = TempDir::new().unwrap();
    let with = |known: &str| {
        let mut scenario = tiny::breaking(None);
        scenario.known = Some(serde_json::from_value(json!({ "path": known })).unwrap());
        Plan::of(tiny::sweep(vec![("a", scenario)]), DataRoot::new(dir.path()), dir.path())
    };
    let e = with("pairs.csv").err().unwrap().to_string();
    assert!(e.contains("pairs.csv: no such data file; point --data-dir or SCREENWRIGHT_DATA"), "{e}");
    // A file changes the id with its content, and bad content is found by opening the world.
    std::fs::write(dir.path().join("pairs.csv"), "gene1,gene2\nG00,G01\n").unwrap();
    let good = with("pairs.csv").unwrap();
    good.preflight(&Worlds::new(good.data.clone(), 2)).unwrap();
    std::fs::write(dir.path().join("pairs.csv"), "gene1,other\nG00,G01\n").unwrap();
    let bad = with("pairs.csv").unwrap();
    assert_ne!(good.ids, bad.ids);
    let e = bad.preflight(&Worlds::new(bad.data.clone(), 2)).unwrap_err().to_string();
    assert!(e.starts_with("tiny.toml: ") && e.contains("gene2"), "{e}");
}

#[test]
fn a_study_holds_the_finished_runs_of_a_plan() {
    let dir = TempDir::new().unwrap();
    run(&plan(&dir, true));
    let plan = plan(&dir, true);
    let (report, runs) = study(&plan).unwrap();
    let study = &report.study;
    assert_eq!((study.name.as_str(), study.question.as_str()), ("tiny", "Does it work?"));
    assert_eq!((&study.axes, &study.seeds), (&vec!["rule".to_string()], &vec![3, 4]));
    assert_eq!(study.screens, None, "both arms measure one screen");
    let n_runs: Vec<usize> = study.arms.iter().map(|a| a.runs.len()).collect();
    assert_eq!((n_runs, runs.len()), (vec![2, 0], 2));
    assert_eq!((&study.arms[0].cell, study.arms[0].reference), (&vec!["two".to_string()], Some(0)));
    assert_eq!(study.arms[0].settings["acquisition.use"], "tiny_largest");
    assert!(study.arms[0].seconds.is_some() && study.arms[1].seconds.is_none());
    let curve = &study.arms[0].runs[0];
    assert_eq!((curve.seed, &curve.n_measured), (3, &vec![5.0, 7.0, 9.0, 11.0, 13.0]));
    // 30 USD a perturbation.
    for (t, hits) in curve.values["hits"].iter().enumerate() {
        let want = 1000.0 * hits / (30.0 * curve.n_measured[t]);
        assert!((curve.values["hits_per_kusd"][t] - want).abs() < 1e-12);
    }
    assert!(study.provenance.iter().any(|(name, value)| name == "runs" && value.starts_with("2, started ")));

    let written = write(&plan, &report, &runs, "report").unwrap();
    assert!(written.iter().all(|p| p.is_file()), "{written:?}");
    let long = table::read(&dir.path().join("tiny.parquet")).unwrap();
    assert_eq!((long.height(), long.names()[..3].to_vec()), (10, vec!["run", "arm", "seed"]));
    assert_eq!(long.numbers("cost").unwrap()[4], 30.0 * 13.0);
    let e = alignment(&plan, study, &runs, "").err().unwrap().to_string();
    assert!(e.contains("the runs of `two` hold no alignment"), "{e}");
    let e = alignment(&plan, study, &runs, "tow").err().unwrap().to_string();
    assert!(e.contains("no arm `tow` in this scenario; did you mean `two`?"), "{e}");

    // A run whose tables are gone is named, and the rest is kept.
    std::fs::remove_file(plan.store.folder().join(&plan.ids[0]).join("rounds.parquet")).unwrap();
    let (report, runs) = super::study(&plan).unwrap();
    let study = &report.study;
    assert_eq!((study.unreadable.len(), runs.len()), (1, 1));
    assert!(study.unreadable[0].contains(&plan.ids[0]), "{:?}", study.unreadable);
}

#[test]
fn arms_are_chosen_and_studies_put_together() {
    let dir = TempDir::new().unwrap();
    let of = || study(&plan(&dir, false)).unwrap().0;
    let mut one = of();
    assert_eq!(restrict(&mut one, &["rule=three".into()]).unwrap(), "report-rule_three");
    let one = one.study;
    assert_eq!((one.arms.len(), one.arms[0].reference, one.axes.len()), (1, None, 0));
    assert_eq!(one.name, "tiny: rule=three");
    for (rule, text) in [
        ("rule", "write an axis and a value"),
        ("rulle=two", "no axis of this scenario on which arms differ; did you mean `rule`?"),
        ("rule=tow", "no arm has `tow`; did you mean `two`?"),
    ] {
        let e = restrict(&mut of(), &[rule.to_string()]).unwrap_err().to_string();
        assert!(e.contains(text), "{e}");
    }
    let mut other = of();
    other.study.name = "other".into();
    let both = combined(vec![of(), other]).unwrap().study;
    assert_eq!((both.name.as_str(), &both.axes[..]), ("tiny and other", &["scenario", "rule"].map(String::from)[..]));
    let labels: Vec<&str> = both.arms.iter().map(|a| a.label.as_str()).collect();
    assert_eq!(labels, ["tiny / two", "tiny / three", "other / two", "other / three"]);
    assert_eq!(both.arms.iter().map(|a| a.reference).collect::<Vec<_>>(), [Some(0), Some(0), Some(2), Some(2)]);
    let mut apart = of();
    apart.study.metrics = vec!["nll".into()];
    let e = combined(vec![of(), apart]).err().unwrap().to_string();
    assert!(e.contains("the scenarios share no metric"), "{e}");
}

#[test]
fn published_numbers_that_are_not_there_are_named() {
    let dir = TempDir::new().unwrap();
    let mut plan = plan(&dir, false);
    plan.data = Arc::new(DataRoot::new(dir.path()));
    plan.sweep.published = Some(serde_json::from_value(json!({ "file": "curves.csv" })).unwrap());
    let (mut study, _) = study(&plan).unwrap();
    let missing = add_published(&mut study, &plan, None).unwrap();
    assert_eq!(missing.len(), 1);
    assert!(missing[0].contains("curves.csv: no such file, so nothing published is compared"), "{missing:?}");
}
