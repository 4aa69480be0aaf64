//! The catalogue: listed, shown, written out as pages, and a new plugin begun.

use crate::common::*;

#[test]
fn plugins_are_listed_and_shown() {
    let mut s = Session::new();
    let r = s.silently(0, "plugins list --json");
    let list: Vec<std::collections::BTreeMap<String, serde_json::Value>> = serde_json::from_str(&r.out).expect("JSON");
    says(&s.silently(0, "plugins list"), &["acquisition\n", "\n  ucb", "\n  gp"]);
    for (kind, name) in [
        ("acquisition", "max_dist"),
        ("interaction", "additivity"),
        ("kernel", "matern52"),
        ("model", "forest"),
        ("oracle", "latent_dag"),
        ("prior", "graph"),
    ] {
        assert!(list.iter().any(|e| e["kind"] == kind && e["name"] == name), "{kind} {name}");
    }
    // One with defaults, and one that cannot do without a parameter.
    s.run(0, "plugins show ucb");
    s.run(0, "plugins show ensemble");
    s.run(2, "plugins show ubc");
    for name in list.iter().map(|e| e["name"].as_str().expect("a name")) {
        let shown = s.silently(0, &format!("plugins show {name}"));
        let params =
            shown.out.split("parameters\n").nth(1).and_then(|t| t.split("\nin a scenario").next()).unwrap_or("");
        let mut lines = params.lines().filter(|l| !l.is_empty()).peekable();
        while let Some(l) = lines.next() {
            if l.starts_with("  ") && !l.starts_with("   ") {
                assert!(lines.peek().is_some_and(|n| n.starts_with("      ")), "{name}: `{l}` has no description");
            }
        }
    }
    s.matches("plugins");
}

#[test]
fn pages_name_every_plugin() {
    let s = Session::new();
    says(&s.silently(0, "plugins pages out"), &["acquisition.md"]);
    for entry in framework::plugin::catalogue() {
        let page = s.read(&format!("out/{}.md", entry.kind.word()));
        let heading = format!("## `{0}` {{#{0}}}", entry.name);
        assert!(page.contains(&heading) && page.contains(entry.summary), "{}", entry.name);
    }
}

#[test]
fn new_refuses_bad_names_and_taken_ones() {
    let mut s = Session::new();
    std::fs::create_dir_all(s.path().join("plugins/acquisition")).expect("a folder");
    s.run(2, "new acquisition Far-First");
    s.run(2, "new acquisition random");
    s.run(0, "new acquisition mine");
    assert!(s.path().join("plugins/acquisition/mine.rs").is_file());
    s.run(2, "new acquisition mine");
    s.run(2, "new kernel other");
    s.matches("new");
}
