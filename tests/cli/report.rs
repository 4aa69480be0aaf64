//! Reports of finished runs: claims, prices, published curves, several scenarios.

use crate::common::*;
use crate::scenarios::judged;

#[test]
fn results_are_judged_without_running_anything_again() {
    let mut s = Session::new();
    let text = judged(s.path());
    s.write("tiny.toml", &text);
    s.run(0, "plan tiny.toml --data-dir .");
    says(&s.silently(0, "run tiny.toml --data-dir ."), &["9 runs: 9 ok", "Claims"]);
    s.run(0, "report tiny.toml --data-dir .");
    let report = s.path().join("results/tiny/report");
    for f in ["speedup.csv", "claims.csv", "published.csv", "published_rmse.svg", "published_rmse.png", "report.md"] {
        assert!(report.join(f).is_file(), "{f}");
    }
    let long = s.table("results/tiny.parquet");
    assert_eq!(long.numbers("cost").expect("cost")[..4], [80.0, 145.0, 210.0, 275.0]);
    assert_eq!(long.numbers("months").expect("months")[..4], [0.0, 2.0, 4.0, 6.0]);
    s.note("prices, claims and what is published are no part of a run");
    let other = text
        .replace("10.0", "20.0")
        .replace("at_least = 1.5", "at_least = 2.5")
        .replace("\"paper.csv\"", "\"gone.csv\"");
    s.write("tiny.toml", &other);
    s.run(0, "plan tiny.toml --data-dir .");
    s.run(0, "report tiny.toml --data-dir . --axis cost --metric rmse --target 1.0");
    assert!(!report.join("published.csv").exists());
    assert!(s.read("results/tiny/report/curves_rmse.svg").contains("cost (USD)"));
    s.run(0, "report tiny.toml --data-dir . --against paper.csv");
    s.run(2, "report tiny.toml --data-dir . --metric rmsee");
    s.run(2, "report tiny.toml --data-dir . --axis weeks");
    s.matches("report_judged");
}

#[test]
fn several_scenarios_are_compared_arm_by_arm() {
    let mut s = Session::new();
    for (name, genes) in [("a", "120"), ("b", "90")] {
        let text = TINY
            .replace("name = \"tiny\"", &format!("name = \"{name}\""))
            .replace("genes = 120", &format!("genes = {genes}"));
        s.write(&format!("{name}.toml"), &text);
        says(&s.silently(0, &format!("run {name}.toml")), &["9 runs: 9 ok"]);
    }
    s.run(0, "report a.toml b.toml");
    let ranks = s.table("results/a+b/report/ranks.csv");
    let first: Vec<&str> = ranks.text("metric").expect("metrics");
    assert_eq!(first.iter().filter(|m| **m == "hit_ratio").count(), 3, "methods are arms, whatever the scenario");
    assert_eq!(ranks.integers("n_blocks").expect("blocks")[0], 6, "two scenarios of three seeds");
    s.write("c.toml", &TINY.replace("\"hit_ratio\", \"rmse\"", "\"spearman\"").replace("tiny", "c"));
    s.run(2, "report a.toml c.toml");
    says(&s.silently(0, "run c.toml"), &["9 ok"]);
    s.run(2, "report a.toml c.toml");
    s.matches("report_several");
}
