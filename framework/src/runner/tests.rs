use super::*;
use crate::data::DataRoot;
use crate::scenario::Scenario;
use crate::store::{RunSeeds, Store};
use crate::testing::TempDir;
use crate::tiny::{breaking, job, run, scenario};
use serde_json::json;
use std::sync::atomic::AtomicBool;

fn name(event: &Event) -> String {
    match event {
        Event::RunStarted { rounds_done } => format!("run started {rounds_done}"),
        Event::Note { round: None, .. } => "note".into(),
        Event::Note { round: Some(round), .. } => format!("note {round}"),
        Event::Unplaced { .. } => "unplaced".into(),
        Event::RoundStarted { round } => format!("round {round} started"),
        Event::RoundFinished { record } => format!("round {} finished", record.round),
        Event::RunFinished { .. } => "run finished".into(),
        Event::RunFailed { .. } => "run failed".into(),
        Event::RunStopped { .. } => "run stopped".into(),
    }
}

/// Plays a scenario under seed 3 without a store.
fn play(scenario: &Scenario, done: Vec<RoundRecord>) -> Result<(Vec<RoundRecord>, Vec<String>)> {
    let seeds = RunSeeds::new(scenario, 3);
    let base = Base::open(scenario, &DataRoot::default(), seeds.world)?;
    let stop = AtomicBool::new(false);
    let mut heard = vec![];
    let out = execute(Start { scenario, seeds, base: &base, done, stop: &stop }, &mut |event| {
        heard.push(name(&event));
        Ok(())
    })?;
    Ok((out.expect("nobody stopped it").0, heard))
}

#[test]
fn a_run_goes_through_its_rounds_in_order() {
    let (rounds, heard) = play(&breaking(None), vec![]).unwrap();
    let want = (0..5).flat_map(|r| [format!("round {r} started"), format!("note {r}"), format!("round {r} finished")]);
    assert_eq!(heard, want.collect::<Vec<_>>());
    assert_eq!(rounds.iter().map(|r| r.n_measured).collect::<Vec<_>>(), [5, 8, 11, 14, 17]);
    let mut ids: Vec<usize> = rounds.iter().flat_map(|r| r.ids.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 17, "nothing is measured twice");
    for (index, r) in rounds.iter().enumerate() {
        assert_eq!(r.names, r.ids.iter().map(|id| format!("G{id:02}")).collect::<Vec<_>>());
        assert_eq!((r.round, r.values.len()), (index, r.ids.len()));
        assert_eq!(r.scores.len(), if index == 0 { 0 } else { 3 });
        // What the model and the rule recorded; a number that is none is left out.
        assert_eq!(r.recorded.get("rows"), Some(&(r.n_measured as f64)));
        assert_eq!(r.recorded.get("largest").copied(), r.scores.first().copied());
        assert!(!r.recorded.contains_key("nothing"));
        assert!(r.metrics.contains_key("rmse") && r.metrics.contains_key("hits"));
        assert!(!r.metrics.contains_key("hits_per_kusd"), "computed when results are reported");
        assert_eq!(r.metrics.contains_key("marginal_gain"), index > 0);
    }
    let share = |round: usize| rounds[round].metrics["fraction_discovered"];
    // A fifth of 40 are hits.
    assert!((rounds[4].metrics["marginal_gain"] - 8.0 * (share(4) - share(0)) / 4.0).abs() < 1e-12);
    assert!(rounds[4].metrics["hits"] > rounds[0].metrics["hits"], "greedy choice on a bell finds its top");
}

#[test]
fn going_on_after_any_round_gives_the_same_records() {
    let scenario = breaking(None);
    let (whole, _) = play(&scenario, vec![]).unwrap();
    for kept in 1..=5 {
        let (again, heard) = play(&scenario, whole[..kept].to_vec()).unwrap();
        assert_eq!(again, whole, "after {kept} rounds");
        assert_eq!(heard.first().map(String::as_str), (kept < 5).then_some(&*format!("round {kept} started")));
    }
}

#[test]
fn stored_rounds_of_another_scenario_are_refused() {
    let scenario = breaking(None);
    let (whole, _) = play(&scenario, vec![]).unwrap();
    type Change = fn(&mut [RoundRecord]);
    let changes: [(Change, usize); 3] = [
        (|done| done[1].names[0] = "other".into(), 1),
        (|done| done[1].ids[0] = done[0].ids[0], 1),
        (|done| done[0].round = 1, 0),
    ];
    for (change, round) in changes {
        let mut done = whole[..2].to_vec();
        change(&mut done);
        let e = play(&scenario, done).unwrap_err().to_string();
        assert!(e.contains(&format!("does not fit its scenario (round {round}); delete its .partial folder")), "{e}");
    }
}

#[test]
fn a_listener_that_fails_ends_the_run() {
    let scenario = breaking(None);
    let seeds = RunSeeds::new(&scenario, 3);
    let base = Base::open(&scenario, &DataRoot::default(), seeds.world).unwrap();
    let stop = AtomicBool::new(false);
    let start = Start { scenario: &scenario, seeds, base: &base, done: vec![], stop: &stop };
    let mut rounds = 0;
    let out = execute(start, &mut |event| {
        rounds += usize::from(matches!(event, Event::RoundFinished { .. }));
        if rounds == 2 { Err(crate::Error::Data("the disk is full".into())) } else { Ok(()) }
    });
    assert_eq!((out.unwrap_err().to_string(), rounds), ("the disk is full".to_string(), 2));
}

#[test]
fn what_cannot_be_run_is_said_before_the_first_round() {
    let mut none = breaking(None);
    none.rounds = 40;
    let e = play(&none, vec![]).unwrap_err().to_string();
    assert!(e.contains("asks for 125 perturbations (5 initial + 40 rounds x 3) but only 32 are left of 40"), "{e}");
    none.pool.exhausted = crate::scenario::Exhausted::Stop;
    let (rounds, heard) = play(&none, vec![]).unwrap();
    assert_eq!((rounds.len(), heard[0].as_str()), (10, "note"));
    let e = serde_json::from_value::<Scenario>(json!({ "name": "t" })).unwrap_err().to_string();
    assert!(e.contains("missing field"), "{e}");
}

/// A store in a folder of its own.
fn store(dir: &TempDir) -> Store {
    Store::create(dir.path(), "tiny").unwrap()
}

fn read(store: &Store, id: &str, file: &str) -> String {
    std::fs::read_to_string(store.folder().join(id).join(file)).unwrap()
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn a_plugin_that_panics_fails_its_own_run_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let (store, stop) = (store(&dir), AtomicBool::new(false));
    let jobs = [job(Some("breaks"), breaking(Some(2))), job(Some("whole"), breaking(None))];
    let mut ends = vec![String::new(); 2];
    let mut reason = String::new();
    run(&jobs, &store, &stop, |job, event| {
        if let Event::RunFailed { reason: why, folder, .. } = &event {
            assert_eq!(*folder, store.folder().join("breaks.partial"));
            reason = why.clone();
        }
        ends[job] = name(&event);
    });
    assert_eq!(ends, ["run failed", "run finished"]);
    assert!(reason.starts_with("a plugin panicked at ") && reason.contains("tiny.rs:"), "{reason}");
    assert!(reason.contains("the rule broke") && reason.contains("other runs are not affected"), "{reason}");
    assert!(store.has_failed("breaks") && !store.is_finished("breaks"));
    let failed = store.partial().unwrap();
    let header = failed[0].1.as_ref().unwrap();
    assert_eq!((header.status.as_str(), header.error.as_ref()), ("failed", Some(&reason)));

    // All that was said before, round by round, and then the panic.
    let log = read(&store, "breaks.partial", "log.txt");
    let mut at = 0;
    for line in [
        "arm / seed 3 / run breaks\nthe bell is open\n",
        "round 0: fitted to 5 rows\nround 0: 5 measured; ",
        "round 1: fitted to 8 rows\nround 1: 8 measured; ",
        "failed: a plugin panicked at ",
    ] {
        at += log[at..].find(line).unwrap_or_else(|| panic!("no `{line}` behind byte {at} of\n{log}"));
    }
    assert!(log[at..].contains("tiny.rs:") && log[at..].contains("the rule broke"), "{log}");
    assert_eq!(read(&store, "breaks.partial", "rounds.jsonl").lines().count(), 2);

    // The same run with the rule put right goes on, writes on, and ends in the same bytes.
    run(&[job(Some("breaks"), breaking(None))], &store, &stop, |_, _| {});
    let again = read(&store, "breaks", "log.txt");
    assert!(again.starts_with(&log), "{again}");
    let more = &again[log.len()..];
    assert!(more.starts_with("going on after round 1\nthe bell is open\nround 2: fitted to 11 rows\n"), "{more}");
    assert_eq!((count(&again, "round 1: 8 measured"), count(&again, "round 4: 17 measured")), (1, 1));
    for file in ["rounds.parquet", "picks.parquet"] {
        let bytes = |id: &str| std::fs::read(store.folder().join(id).join(file)).unwrap();
        assert_eq!(bytes("breaks"), bytes("whole"), "{file}");
    }
}

#[test]
fn a_stopped_run_keeps_its_round_and_goes_on() {
    let dir = TempDir::new().unwrap();
    let (store, stop) = (store(&dir), AtomicBool::new(true));
    let gate = dir.path().join("gate");
    let jobs = [job(Some("cut"), scenario(json!({ "use": "tiny_largest", "wait_for": gate })))];
    run(&jobs, &store, &stop, |_, event| panic!("nothing is begun after a stop: {event:?}"));

    // Its rule waits in round 2 until the run is told to stop; that round is still finished.
    stop.store(false, Ordering::Relaxed);
    let mut heard = vec![];
    run(&jobs, &store, &stop, |_, event| {
        if matches!(&event, Event::RoundStarted { round: 2 }) {
            stop.store(true, Ordering::Relaxed);
            std::fs::write(&gate, "").unwrap();
        }
        heard.push(name(&event));
    });
    assert_eq!(heard[heard.len() - 2..], ["round 2 finished", "run stopped"]);
    assert!(store.is_partial("cut") && !store.has_failed("cut"));
    assert_eq!(read(&store, "cut.partial", "rounds.jsonl").lines().count(), 3);

    stop.store(false, Ordering::Relaxed);
    heard.clear();
    run(&jobs, &store, &stop, |_, event| heard.push(name(&event)));
    assert_eq!((heard[0].as_str(), heard.last().unwrap().as_str()), ("run started 3", "run finished"));
    assert_eq!(count(&read(&store, "cut", "log.txt"), "\nstopped\ngoing on after round 2\n"), 1);
}

#[test]
fn a_run_that_cannot_be_stored_fails_alone() {
    let dir = TempDir::new().unwrap();
    let (store, stop) = (store(&dir), AtomicBool::new(false));
    std::fs::write(store.folder().join("blocked.partial"), "in the way").unwrap();
    let mut ends = vec![String::new(); 2];
    let jobs = [job(Some("blocked"), breaking(None)), job(None, breaking(None))];
    run(&jobs, &store, &stop, |job, event| {
        if let Event::RunFailed { reason, .. } = &event {
            assert!(reason.contains("creating a run folder failed"), "{reason}");
        }
        ends[job] = name(&event);
    });
    assert_eq!(ends, ["run failed", "run finished"]);
}
