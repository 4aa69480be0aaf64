//! Interrupted and resumed equals uninterrupted, and threads change nothing, byte for byte.

mod common;
use common::*;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Slow enough to be killed in the middle: a forest a round.
fn scenario() -> String {
    TINY.replace("rounds = 3", "rounds = 8").replace("use = \"ridge\"", "use = \"forest\"")
}

#[test]
fn killed_at_any_moment_and_resumed_gives_the_same_bytes() {
    let s = Session::new();
    s.write("tiny.toml", &scenario());
    s.silently(0, "run tiny.toml -j 2 --results-dir whole");
    let want = result_bytes(&s.path().join("whole"), "tiny");
    assert_eq!(want.len(), 9 * 2);

    // Killed again and again, each time a little later, until a call gets through.
    let mut kills = 0;
    let mut partial_seen = false;
    for attempt in 0.. {
        assert!(attempt < 400, "never finished");
        let mut child = screenwright(s.path())
            .args(["run", "tiny.toml", "-j", "2", "--results-dir", "cut"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let deadline = Instant::now() + Duration::from_millis(30 + 23 * attempt);
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break Some(status);
            }
            if Instant::now() > deadline {
                child.kill().expect("SIGKILL");
                child.wait().expect("a child");
                kills += 1;
                break None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        partial_seen |= std::fs::read_dir(s.path().join("cut/tiny")).is_ok_and(|entries| {
            entries.flatten().any(|e| {
                let lines = std::fs::read_to_string(e.path().join("rounds.jsonl")).unwrap_or_default();
                lines.lines().count() > 0
            })
        });
        if let Some(status) = status {
            assert!(status.success());
            break;
        }
    }
    assert!(kills > 2 && partial_seen, "{kills} kills, rounds kept: {partial_seen}");
    assert_eq!(result_bytes(&s.path().join("cut"), "tiny"), want);
    let mut left = std::fs::read_dir(s.path().join("cut/tiny")).expect("results").flatten();
    assert!(!left.any(|e| e.path().extension().is_some_and(|x| x == "partial")));
}

#[test]
fn one_thread_and_four_give_the_same_bytes() {
    let s = Session::new();
    s.write("tiny.toml", &scenario().replace("\"ridge\"", "\"gp\""));
    for (out, jobs, threads) in [("one", 1, 1), ("four", 4, 1), ("wide", 1, 4)] {
        s.silently(0, &format!("run tiny.toml -j {jobs} --threads {threads} --results-dir {out}"));
    }
    let bytes = |out: &str| result_bytes(&s.path().join(out), "tiny");
    assert_eq!(bytes("one").len(), 18);
    assert_eq!(bytes("one"), bytes("four"));
    assert_eq!(bytes("one"), bytes("wide"));
}

#[test]
fn a_half_written_round_is_computed_again() {
    let s = Session::new();
    s.write("tiny.toml", TINY);
    s.silently(0, "run tiny.toml");
    let want = result_bytes(&s.path().join("results"), "tiny");
    // Put one run back into the state of a crash in the middle of a line.
    let id = want[0].0.split('/').next().expect("a run id").to_string();
    let results = s.path().join("results/tiny");
    std::fs::rename(results.join(&id), results.join(format!("{id}.partial"))).expect("rename");
    std::fs::write(results.join(format!("{id}.partial/rounds.jsonl")), "{\"round\":0,\"ids\":[1,2").expect("write");
    says(&s.silently(0, "run tiny.toml"), &["(8 finished, 1 to do)"]);
    assert_eq!(result_bytes(&s.path().join("results"), "tiny"), want);
}
