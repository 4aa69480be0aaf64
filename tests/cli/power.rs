//! Plans of a screen, compared before it is done.

use crate::common::*;

/// A study of plans that takes a moment.
const PLANS: &str = r#"name = "plans"

[effects]
active = 0.2
sd = 1.0

[noise]
cell = 3.0

[learning]
r2 = 0.3

[plans]
cells = [10, 100]
batch = [50]
rounds = [1, 3]
perturbations = 300
worlds = 20
budget = 6000
"#;

#[test]
fn plans_are_compared_and_one_is_recommended() {
    let mut s = Session::new();
    s.write("p.toml", PLANS);
    s.run(0, "power p.toml");
    let table = s.table("results/plans/plans.csv");
    assert_eq!(table.height(), 4);
    for name in ["cells", "rounds", "cost", "detectable_effect", "recall", "cost_per_hit", "recommended"] {
        assert!(table.column(name).is_some(), "{name}");
    }
    assert!(s.path().join("results/plans/cells.svg").is_file());
    // The same on one thread, another budget on the command line.
    let first = s.read("results/plans/plans.csv");
    says(&s.silently(0, "power p.toml --threads 1"), &["plans.csv"]);
    assert_eq!(s.read("results/plans/plans.csv"), first);
    s.run(0, "power p.toml --budget 10");

    let effects = "[effects]\nactive = 0.2\nsd = 1.0";
    for (from, to) in [
        ("cells =", "cels ="),
        ("cells = [10, 100]", "cells = []"),
        ("batch = [50]", "batch = [500]"),
        (effects, ""),
        ("active = 0.2", "active = 2"),
        ("r2 = 0.3", "r2 = 1.0"),
        ("active = 0.2\nsd = 1.0", "active = 0.2\nsd = 1.0\n[target]\nhit_threshold = 99"),
        (effects, "[oracle]\nuse = \"latent_dag\"\ngenes = 50\nreadout = \"profile\""),
        (effects, "[pilot]\npath = \"none.csv\""),
    ] {
        s.mistake("power bad.toml", PLANS, from, to);
    }
    s.run(2, "power p.toml --budget -3");
    s.run(2, "power p.toml --worlds 1");
    s.matches("power");
}

#[test]
fn shipped_plans_need_no_data_but_the_pilot() {
    let s = Session::new();
    let study = |name: &str| root().join("scenarios/power").join(name).display().to_string();
    let planning = s.silently(0, &format!("power {} --worlds 3", study("planning.toml")));
    says(&planning, &["recommended for 30000 USD"]);
    let pilot = format!("power {} --worlds 2", study("pilot.toml"));
    says(&s.silently(2, &pilot), &["schmidt2021_ifng_donors.csv.gz"]);
    if let Some(data) = data_root() {
        let r = s.silently(0, &format!("{pilot} --data-dir {}", data.display()));
        says(&r, &["brought to", "recommended for"]);
    }
}
