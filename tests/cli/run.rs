//! Running: worlds and repeats, results that cannot be written, the shipped scenarios.

use crate::common::*;
use crate::scenarios::{benchmark, logs};
use std::path::Path;

#[test]
fn the_quick_form_of_a_sweep() {
    let mut s = Session::new();
    s.write("tiny.toml", TINY);
    s.run(0, "run tiny.toml --quick -j 1");
    s.matches("run_quick");
}

#[test]
fn results_that_cannot_be_written_lose_nothing() {
    let mut s = Session::new();
    let text = table_scenario(s.path());
    s.write("taken", "a file in the way");
    s.write("s.toml", &text);
    s.run(2, "run s.toml --data-dir . --results-dir taken");
    // A disk that fills up in the middle: the record of rounds of one run is /dev/full.
    if Path::new("/dev/full").exists() {
        let again = "run s.toml --data-dir .";
        s.write("s.toml", &text.replace("count = 1", "count = 3"));
        s.silently(0, again);
        let results = s.path().join("results");
        let want = result_bytes(&results, "s");
        let id = want[0].0.split('/').next().expect("a run").to_string();
        std::fs::remove_dir_all(results.join("s").join(&id)).expect("remove");
        let partial = results.join("s").join(format!("{id}.partial"));
        std::fs::create_dir(&partial).expect("a folder");
        std::os::unix::fs::symlink("/dev/full", partial.join("rounds.jsonl")).expect("a link");
        let r = s.silently(3, again);
        says(&r, &["writing a finished round failed", "The disk is full: free some space", "3 runs: 2 ok, 1 failed"]);
        assert_eq!(result_bytes(&results, "s").len(), 4, "the others are kept");
        std::fs::remove_file(partial.join("rounds.jsonl")).expect("remove");
        s.silently(0, again);
        assert_eq!(result_bytes(&results, "s"), want);
    }
    s.matches("run_in_the_way");
}

#[test]
fn arms_of_one_seed_meet_the_same_world() {
    let s = Session::new();
    s.write("tiny.toml", TINY);
    s.silently(0, "run tiny.toml");
    s.silently(0, "results export tiny --what picks");
    let t = s.table("tiny_picks.csv");
    let (arm, seed, round) =
        (t.text("arm").expect("arm"), t.integers("seed").expect("seed"), t.integers("round").expect("round"));
    let (name, value) = (t.text("perturbation").expect("names"), t.numbers("value").expect("values"));
    let mut world = std::collections::HashMap::new();
    let mut init = std::collections::HashMap::<(i64, &str), Vec<&str>>::new();
    let mut shared = 0;
    for i in 0..t.height() {
        if round[i] == 0 {
            init.entry((seed[i], arm[i])).or_default().push(name[i]);
        }
        // The same perturbation under the same seed answers alike, whichever arm asks and when.
        if let Some(v) = world.insert((seed[i], name[i]), value[i]) {
            assert_eq!(v, value[i], "{} under seed {}", name[i], seed[i]);
            shared += 1;
        }
    }
    assert!(shared > 40);
    for seed in 0..3 {
        assert_eq!(init[&(seed, "random")], init[&(seed, "greedy")]);
        assert_ne!(init[&(seed, "random")], init[&((seed + 1) % 3, "random")]);
    }
}

#[test]
fn repeats_vary_what_they_say() {
    let s = Session::new();
    let picks = |varies: &str| {
        let text = format!("{TINY}\n[repeat]\nvaries = \"{varies}\"\n")
            .replace("latent_dag\"", "latent_dag\"\nworld_seed = 1");
        s.write("tiny.toml", &text);
        let results = varies.replace('+', "_");
        s.silently(0, &format!("run tiny.toml --results-dir {results}"));
        s.silently(0, &format!("results export tiny --what picks --results-dir {results} --out {results}.csv"));
        let t = s.table(&format!("{results}.csv"));
        let rows: Vec<(String, i64, i64, String)> = (0..t.height())
            .map(|i| {
                let text = |c: &str| t.text(c).expect("text")[i].to_string();
                let int = |c: &str| t.integers(c).expect("integer")[i];
                (text("arm"), int("seed"), int("round"), text("perturbation"))
            })
            .filter(|r| r.0 == "random")
            .collect();
        let of = |seed, initial: bool| -> Vec<String> {
            rows.iter().filter(|r| r.1 == seed && (r.2 == 0) == initial).map(|r| r.3.clone()).collect()
        };
        (of(0, true) == of(1, true), of(0, false) == of(1, false))
    };
    assert_eq!(picks("training"), (true, false));
    assert_eq!(picks("init+training"), (false, false));
    assert_eq!(picks("split+init+training"), (false, false));
}

#[test]
fn shipped_scenarios_expand_and_run_in_quick_form() {
    let mut files: Vec<_> = std::fs::read_dir(root().join("scenarios"))
        .expect("scenarios")
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 4);
    let data = data_root();
    let d = Session::new();
    for f in &files {
        let text = std::fs::read_to_string(f).expect("a scenario");
        assert!(text.starts_with("# Question:"), "{} opens with its question", f.display());
        let needs_data = text.contains("path");
        if needs_data && data.is_none() {
            eprintln!("SKIPPED: {} needs the public data", f.display());
            continue;
        }
        let mut c = screenwright(d.path());
        c.args(["run", f.to_str().expect("utf-8"), "--quick"]);
        if let Some(root) = &data {
            c.arg("--data-dir").arg(root);
        }
        let r = finish(c.output().expect("the binary runs"));
        assert_eq!(r.code, 0, "{}: {}{}", f.display(), r.out, r.err);
        assert!(r.out.contains(" 0 failed"), "{}", r.out);
    }
}

#[test]
fn named_axes_leave_out_what_does_not_fit() {
    let mut s = Session::new();
    s.write("bench.toml", &benchmark(s.path()));
    let r = s.run(0, "plan bench.toml --data-dir .");
    says(&r, &["20 arms x 3 seeds = 60 runs", "left out as incompatible: 4 arms"]);
    says(&s.silently(0, "run bench.toml --data-dir ."), &["60 runs: 60 ok", "greedy / ridge"]);
    // 48 genes of which 6 are measured first: a round of 30 fits, a second does not.
    let stopped = logs(&s, "bench").iter().any(|l| l.contains("the pool is exhausted after 1 rounds of 30"));
    assert!(stopped, "a log tells that the screen stopped");

    s.run(0, "report bench.toml --data-dir .");
    let groups = s.read("results/bench/report/groups.csv");
    assert!(groups.starts_with("group,metric,n_cells,final_mean"), "{groups}");
    assert!(groups.lines().any(|l| l.starts_with("greedy / ridge,hit_ratio,4,")), "{groups}");
    assert!(s.read("results/bench/report/tradeoff.svg").contains("change of mse over the reference"));
    assert!(s.read("results/bench/report/report.md").contains("p (Holm)"));
    let arms = s.table("results/bench/report/arms.csv");
    let (arm, metrics) = (arms.text("arm").expect("arms"), arms.text("metric").expect("metrics"));
    let of = |metric: &str, column: &str| {
        let row = arm.iter().zip(&metrics).position(|(a, m)| *a == "random / a / small / ridge" && *m == metric);
        arms.numbers_or_missing(column).expect(column)[row.unwrap_or_else(|| panic!("no {metric}"))]
    };
    assert!(of("pearson", "ceiling") > 0.5 && of("pearson", "ceiling") < 1.0);
    assert!(of("hit_ratio", "ceiling") >= 0.0);
    // 18 perturbations at 30 USD.
    let (hits, per) = (of("hits", "final_mean"), of("hits_per_kusd", "final_mean"));
    assert!((per - hits / 0.54).abs() < 1e-6, "{per} for {hits}");
    let (ratio, enrichment) = (of("hit_ratio", "final_mean"), of("enrichment", "final_mean"));
    assert!((enrichment - ratio / (18.0 / 48.0)).abs() < 1e-6);

    s.run(0, "report bench.toml --data-dir . --where size=small --where learner=ridge --by strategy");
    s.run(2, "report bench.toml --data-dir . --where size=smal");
    s.run(2, "report bench.toml --data-dir . --where sise=small");
    s.run(2, "report bench.toml --data-dir . --by lerner");
    s.matches("run_axes");
}
