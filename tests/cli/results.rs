//! Stored runs: the way of a sweep from its plan to exported tables, and runs that cannot be read.

use crate::common::*;

#[test]
fn a_sweep_from_plan_to_export() {
    let mut s = Session::new();
    s.write("tiny.toml", TINY);
    says(&s.run(0, "plan tiny.toml"), &["(0 finished, 9 to do)"]);
    s.run(2, "report tiny.toml");
    says(&s.run(0, "run tiny.toml -j 1"), &["9 runs: 9 ok, 0 failed"]);
    says(&s.run(0, "plan tiny.toml"), &["(9 finished, 0 to do)", "nothing to do"]);
    says(&s.silently(0, "run tiny.toml"), &["(9 finished, 0 to do)"]);
    s.run(0, "report tiny.toml");
    s.run(0, "results list");
    for format in ["csv", "json", "parquet"] {
        let r = s.run(0, &format!("results export tiny --format {format} --what picks"));
        says(&r, &["(234 rows of 9 runs)"]);
        assert!(s.path().join(format!("tiny_picks.{format}")).is_file());
    }
    let long = s.table("results/tiny.parquet");
    assert_eq!(long.height(), 9 * 4);
    assert_eq!(&long.names()[..7], ["run", "arm", "seed", "round", "n_measured", "hit_ratio", "rmse"]);
    s.run(2, "results export tyni");
    let first = result_bytes(&s.path().join("results"), "tiny")[0].0.split('/').next().expect("a run").to_string();
    let json: serde_json::Value =
        serde_json::from_str(&s.read(&format!("results/tiny/{first}/run.json"))).expect("run.json");
    for key in ["format", "resolved", "seed", "version", "git_revision", "data", "host", "started", "metrics"] {
        assert!(holds(&json, key), "{key} in {json}");
    }
    std::fs::create_dir(s.path().join("results/tiny/0123456789abcdef.partial")).expect("a folder");
    s.run(0, "results prune tiny --dry-run");
    assert!(s.path().join("results/tiny/0123456789abcdef.partial").exists());
    s.run(0, "results prune tiny");
    assert!(!s.path().join("results/tiny/0123456789abcdef.partial").exists());
    s.matches("sweep");
}

/// Whether a key stands anywhere in a value.
fn holds(v: &serde_json::Value, key: &str) -> bool {
    match v {
        serde_json::Value::Object(m) => m.contains_key(key) || m.values().any(|v| holds(v, key)),
        serde_json::Value::Array(a) => a.iter().any(|v| holds(v, key)),
        _ => false,
    }
}

#[test]
fn unreadable_runs_are_named_and_skipped() {
    let s = Session::new();
    s.write("s.toml", TINY);
    says(&s.silently(0, "run s.toml"), &["9 runs: 9 ok", "report.html"]);
    let folders: Vec<_> = std::fs::read_dir(s.path().join("results/tiny"))
        .expect("results")
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.join("run.json").is_file())
        .collect();
    assert_eq!(folders.len(), 9);
    std::fs::write(folders[0].join("run.json"), "{ broken").expect("write");
    let rounds = std::fs::read(folders[1].join("rounds.parquet")).expect("rounds");
    std::fs::write(folders[1].join("rounds.parquet"), &rounds[..rounds.len() / 2]).expect("write");
    let name = |k: usize| folders[k].file_name().expect("a name").to_string_lossy().into_owned();
    let r = s.silently(3, "report s.toml");
    says(&r, &["warning:", "2 of 9 runs are missing", "delete", &name(0), &name(1)]);
    assert!(s.read("results/tiny/report/report.html").contains(&name(0)));
    let r = s.silently(3, "results export tiny");
    says(&r, &["of 7 runs", "unreadable run, skipped", &name(0), &name(1)]);
    says(&s.silently(0, "results list"), &["8 finished", "1 unreadable"]);
    // An older layout is read, a newer one named.
    let layout = |k: usize, format: &str| {
        let path = folders[k].join("run.json");
        let json = std::fs::read_to_string(&path).expect("run.json");
        assert!(json.contains("\"format\": 1"), "{json}");
        std::fs::write(path, json.replace("\"format\": 1", format)).expect("write");
    };
    layout(2, "\"format\": 0");
    layout(3, "\"format\": 9");
    says(&s.silently(3, "report s.toml"), &["3 of 9 runs are missing", "newer version"]);
    // What was deleted is computed again and nothing else.
    for k in [0, 1, 3] {
        std::fs::remove_dir_all(&folders[k]).expect("remove");
    }
    says(&s.silently(0, "run s.toml"), &["6 finished, 3 to do", "9 runs: 9 ok"]);
}
