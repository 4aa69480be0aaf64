use super::*;
use crate::testing::TempDir;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;

fn record(round: usize) -> RoundRecord {
    let ids = vec![10 * round, 10 * round + 1];
    RoundRecord {
        round,
        names: ids.iter().map(|id| format!("G{id}")).collect(),
        scores: if round == 0 { vec![] } else { vec![0.5, 0.25] },
        values: vec![1.0, -1.0],
        n_measured: 2 * (round + 1),
        metrics: BTreeMap::from([("hits".to_string(), round as f64)]),
        recorded: if round == 0 { BTreeMap::new() } else { BTreeMap::from([("noise".to_string(), 0.1)]) },
        ids,
    }
}

fn header(id: &str) -> RunHeader {
    RunHeader {
        format: FORMAT,
        id: id.into(),
        status: "ok".into(),
        error: None,
        scenario: "s".into(),
        arm: "arm".into(),
        axes: vec![],
        seed: 7,
        resolved: json!({}),
        data: DataHashes::new(),
        provenance: Provenance::default(),
        started: 1,
        ended: 2,
        seconds: Seconds { fit: 1.0, ..Seconds::default() },
        metrics: vec![("hits".into(), "number of hits".into())],
    }
}

fn store() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::create(dir.path(), "s").unwrap();
    (dir, store)
}

/// A finished run of two rounds.
fn finished(store: &Store, id: &str) {
    let mut partial = store.begin(id).unwrap();
    (0..2).for_each(|r| partial.keep(&record(r)).unwrap());
    partial.finish(&header(id), &[record(0), record(1)]).unwrap();
}

#[test]
fn a_run_is_begun_kept_finished_and_read() {
    let (_dir, store) = store();
    let mut partial = store.begin("a").unwrap();
    assert!(store.is_partial("a") && !store.is_finished("a") && partial.done().is_empty() && !partial.begun_before());
    partial.log("hello");
    (0..2).for_each(|r| partial.keep(&record(r)).unwrap());
    let folder = partial.finish(&header("a"), &[record(0), record(1)]).unwrap();
    assert_eq!(folder, store.folder().join("a"));
    assert!(store.is_finished("a") && !store.is_partial("a") && !folder.join("rounds.jsonl").exists());
    assert_eq!(fs::read_to_string(folder.join("log.txt")).unwrap(), "hello\n");

    let (all, unreadable) = store.finished().unwrap();
    assert_eq!((all.len(), unreadable.len()), (1, 0));
    assert_eq!((all[0].header.seed, all[0].header.seconds.total()), (7, 1.0));
    let rounds = all[0].rounds().unwrap();
    assert_eq!(rounds.names(), ["round", "n_measured", "hits", "noise"]);
    assert_eq!(rounds.integers("n_measured").unwrap(), [2, 4]);
    let noise = rounds.numbers_or_missing("noise").unwrap();
    assert!(noise[0].is_nan() && noise[1] == 0.1);
    let picks = all[0].picks().unwrap();
    assert_eq!(picks.text("perturbation").unwrap(), ["G0", "G1", "G10", "G11"]);
    assert_eq!(picks.integers("rank").unwrap(), [1, 2, 1, 2]);
    assert!(picks.numbers_or_missing("score").unwrap()[0].is_nan());

    let (runs, unreadable) = store.read(&["a".into(), "unknown".into()]);
    assert_eq!((runs.len(), unreadable.len()), (1, 0));
    assert_eq!(runs["a"].1.height(), 2);
}

#[test]
fn a_line_that_was_cut_off_is_forgotten() {
    let (_dir, store) = store();
    let mut partial = store.begin("a").unwrap();
    (0..3).for_each(|r| partial.keep(&record(r)).unwrap());
    drop(partial);
    let lines = store.folder().join("a.partial/rounds.jsonl");
    let whole = fs::read_to_string(&lines).unwrap();
    let starts: Vec<usize> = std::iter::once(0).chain(whole.match_indices('\n').map(|m| m.0 + 1)).collect();
    // Cut anywhere, what is left are the rounds whose line has its end, and the next is written behind them.
    for cut in 0..=whole.len() {
        fs::write(&lines, &whole[..cut]).unwrap();
        let mut partial = store.begin("a").unwrap();
        let kept = starts.iter().filter(|s| **s > 0 && **s <= cut).count();
        assert_eq!(partial.done(), (0..kept).map(record).collect::<Vec<_>>(), "cut at {cut}");
        partial.keep(&record(kept)).unwrap();
        assert_eq!(fs::read_to_string(&lines).unwrap().lines().count(), kept + 1);
    }
    // A round that does not follow, and all behind it.
    let of = |r: usize| serde_json::to_string(&record(r)).unwrap();
    fs::write(&lines, format!("{}\n{}\n{}\n", of(0), of(2), of(1))).unwrap();
    assert_eq!(store.begin("a").unwrap().done(), [record(0)]);
}

#[test]
fn the_log_is_written_on_and_never_over() {
    let (_dir, store) = store();
    let log = store.folder().join("a.partial/log.txt");
    store.begin("a").unwrap().log("first");
    let mut again = store.begin("a").unwrap();
    assert!(again.begun_before());
    again.log("second");
    assert_eq!(fs::read_to_string(&log).unwrap(), "first\nsecond\n");
    // A line without its end keeps it to itself.
    fs::write(&log, "first\nsec").unwrap();
    store.begin("a").unwrap().log("third");
    assert_eq!(fs::read_to_string(&log).unwrap(), "first\nsec\nthird\n");
    fs::write(&log, "").unwrap();
    assert!(!store.begin("a").unwrap().begun_before());
}

#[test]
fn interrupted_and_failed_runs_are_told_apart() {
    let (_dir, store) = store();
    drop(store.begin("cut").unwrap());
    let failed = RunHeader { status: "failed".into(), error: Some("the oracle is away".into()), ..header("bad") };
    store.begin("bad").unwrap().fail(&failed);
    finished(&store, "good");
    assert_eq!(["cut", "bad", "good"].map(|id| store.is_partial(id)), [true, true, false]);
    assert_eq!(["cut", "bad", "good"].map(|id| store.has_failed(id)), [false, true, false]);
    let partial: Vec<Option<String>> =
        store.partial().unwrap().into_iter().map(|(_, header)| header.and_then(|h| h.error)).collect();
    assert_eq!(partial, [Some("the oracle is away".to_string()), None]);
    let log = fs::read_to_string(store.folder().join("bad.partial/log.txt")).unwrap();
    assert_eq!(log, "failed: the oracle is away\n");
    // Begun again, it is a run under way: an old reason would outlive this attempt if it were cut off.
    drop(store.begin("bad").unwrap());
    assert!(store.is_partial("bad") && !store.has_failed("bad"));
}

#[test]
fn runs_that_cannot_be_read_are_named_with_the_remedy() {
    let (_dir, store) = store();
    ["newer", "broken", "tables", "good"].iter().for_each(|id| finished(&store, id));
    let path = |id: &str, file: &str| store.folder().join(id).join(file);
    let text = fs::read_to_string(path("newer", "run.json")).unwrap();
    fs::write(path("newer", "run.json"), text.replace("\"format\": 1", "\"format\": 99")).unwrap();
    fs::write(path("broken", "run.json"), "{").unwrap();
    fs::write(path("tables", "rounds.parquet"), "no table").unwrap();
    let (all, unreadable) = store.finished().unwrap();
    assert_eq!(all.iter().map(|f| f.header.id.as_str()).collect::<Vec<_>>(), ["good", "tables"]);
    let said = |all: &[String], id: &str, remedy: &str| {
        assert!(all.iter().any(|e| e.contains(&format!("/{id}")) && e.contains(remedy)), "{id}: {all:?}");
    };
    assert_eq!(unreadable.len(), 2);
    said(&unreadable, "broken", "delete this run's folder to compute it again");
    said(&unreadable, "newer", "written by a newer version (format 99, this program knows 1); update screenwright");
    let (runs, unreadable) = store.read(&["newer", "broken", "tables", "good"].map(String::from));
    assert_eq!((runs.len(), unreadable.len()), (1, 3));
    said(&unreadable, "tables", "to compute this run again");
}

#[test]
fn an_id_changes_with_what_decides_the_numbers() {
    let seeds = RunSeeds { world: 1, init: 2, training: 3 };
    let data = DataHashes::from([("a.csv".to_string(), "00".to_string())]);
    let id = run_id(&json!({ "x": 1 }), seeds, &data);
    assert_eq!((id.len(), &id), (16, &run_id(&json!({ "x": 1 }), seeds, &data)));
    for other in [
        run_id(&json!({ "x": 2 }), seeds, &data),
        run_id(&json!({ "x": 1 }), RunSeeds { init: 1, training: 2, ..seeds }, &data),
        run_id(&json!({ "x": 1 }), seeds, &DataHashes::new()),
        run_id(&json!({ "x": 1 }), seeds, &DataHashes::from([("a.csv0".to_string(), "0".to_string())])),
    ] {
        assert_ne!(id, other);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("s"), "in the way").unwrap();
    let e = Store::create(dir.path(), "s").err().unwrap().to_string();
    assert!(e.contains("creating the results folder failed"), "{e}");
    assert!(Store::at(dir.path(), "nowhere").finished().unwrap().0.is_empty());
}

#[test]
fn tables_of_several_runs_are_stacked() {
    let (_dir, store) = store();
    finished(&store, "a");
    let t = store.finished().unwrap().0[0].rounds().unwrap();
    let mut other = table::Table::new();
    other.push("round", table::Column::Integer(vec![0])).unwrap();
    other.push("word", table::Column::Text(vec![Some("x".into())])).unwrap();
    let all = stack(&[("a".into(), "one".into(), 1, t), ("b".into(), "two".into(), 2, other)]).unwrap();
    assert_eq!(all.names(), ["run", "arm", "seed", "round", "n_measured", "hits", "noise", "word"]);
    assert_eq!(all.text("run").unwrap(), ["a", "a", "b"]);
    assert_eq!(all.integers("round").unwrap(), [0, 1, 0]);
    let hits = all.numbers_or_missing("hits").unwrap();
    assert!(hits[..2] == [0.0, 1.0] && hits[2].is_nan());
}
