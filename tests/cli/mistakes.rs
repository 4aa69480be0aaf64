//! Scenarios that cannot be run as they are: everything that is wrong is told at once, at its place, with a remedy.

use crate::common::*;
use crate::scenarios::{benchmark, judged, logs};

#[test]
fn all_mistakes_are_shown_at_once_with_line_caret_and_nearest_word() {
    let mut s = Session::new();
    let text = TINY
        .replace("batch = 6", "bach = 6")
        .replace("\"rmse\"", "\"rmsee\"")
        .replace("use = \"ridge\"", "use = \"rigde\"")
        .replace("genes = 120", "gens = 120\nphenotype_noise = \"loud\"")
        .replace("{ use = \"greedy\" }", "{ use = \"greedy\", betta = 1 }");
    s.write("s.toml", &text);
    s.run(2, "run s.toml");
    s.mistake("run bad.toml", TINY, "\"rmse\"", "\"rmsee\"");
    s.matches("mistakes_at_once");
}

#[test]
fn wrong_types_and_syntax_have_a_place() {
    let mut s = Session::new();
    for (from, to) in [
        ("rounds = 3", "rounds = \"three\""),
        ("rounds = 3", "rounds = -3"),
        ("rounds = 3", "rounds = = 3"),
        ("count = 3", "coutn = 3"),
        ("use = \"ridge\"", "use = \"random\""),
    ] {
        s.mistake("run bad.toml", TINY, from, to);
    }
    s.run(2, "run nowhere.toml");
    s.matches("mistakes_of_type");
}

#[test]
fn arms_that_cannot_work_are_refused_before_anything_runs() {
    let mut s = Session::new();
    let run = "run bad.toml";
    s.mistake(run, TINY, "[prior.knowledge]\nuse = \"simulated\"\n", "");
    s.mistake(run, TINY, "[model]\nuse = \"ridge\"\n", "");
    let additive = TINY.replace("\"ridge\"", "\"additive\"");
    s.mistake(run, &additive, "{ use = \"greedy\" }", "{ use = \"thompson\" }");
    s.mistake(run, TINY, "init = 8", "init = 0");
    s.mistake(run, TINY, "\"acquisition\" = [{ use = \"random\" }", "\"acquisitoin\" = [{ use = \"random\" }");
    s.mistake(run, TINY, "[grid]", "[grid]\n\"prior\" = [\"all\", \"knowlege\"]");
    assert!(!s.path().join("results").join("tiny").exists(), "nothing may be written");
    s.matches("mistakes_of_arms");
}

#[test]
fn prices_claims_and_published_curves_are_checked_at_plan_time() {
    let mut s = Session::new();
    let text = judged(s.path());
    for (from, to) in [
        ("per_round = 5.0", "per_round = -5.0"),
        ("per_round = 5.0", "per_rond = 5.0"),
        ("kind = \"speedup\"", "kind = \"speed\""),
        ("at_least = 1.5", "at_least = 0"),
        ("at_least = 1.5", "at = \"last\""),
        ("text = \"greedy finds", "at = \"first\"\ntext = \"greedy finds"),
        ("text = \"greedy finds", "at = 7\ntext = \"greedy finds"),
        ("text = \"greedy finds", "at_least = 2.0\ntext = \"greedy finds"),
        ("text = \"greedy finds", "metric = \"mae\"\ntext = \"greedy finds"),
        ("text = \"greedy is the fastest\"\n", ""),
        ("better = { \"acquisition\" = \"greedy\" }", "better = { \"acquisition\" = \"bait\" }"),
        ("better = { \"acquisition\" = \"greedy\" }", "better = { \"acquisitoin\" = \"greedy\" }"),
        ("metrics = { rmse = \"loss\" }", "metrics = { rmsee = \"loss\" }"),
        ("[published]", "[published.arms]\ngredy = \"Random\"\n[published]"),
        ("[[claim]]", "[claim]"),
    ] {
        s.mistake("plan bad.toml --data-dir .", &text, from, to);
    }
    s.matches("mistakes_of_claims");
}

#[test]
fn named_axes_and_hits_are_checked() {
    let mut s = Session::new();
    let text = benchmark(s.path());
    for (from, to) in [
        ("incompatible = \"skip\"", "incompatible = \"error\""),
        ("incompatible = \"skip\"", "incompatible = \"drop\""),
        ("[axis.size.small]\nbatch", "[axis.size.small]\nbach"),
        ("[axis.features.a]", "[axis.batch.a]"),
        ("by = [\"strategy\"", "by = [\"stratgy\""),
        ("[compare]", "[grid]\nsize = [\"smal\"]\n[compare]"),
        ("\"hits\", \"hits_per_kusd\"", "\"hits_per_kusd\""),
        ("exhausted = \"stop\"", "exhausted = \"error\""),
        ("hit_fraction = 0.25", "hit_threshold = 99.0"),
        ("init = 6", "init = 60"),
    ] {
        s.mistake("run bad.toml --data-dir .", &text, from, to);
    }
    let rows: String = (0..60).map(|i| format!("G{:03},1,{i}\n", i / 2)).collect();
    s.write("donors.csv", &format!("gene,d1,d2\n{rows}"));
    s.mistake("run bad.toml --data-dir .", &text, "name = \"bench\"", "name = \"twice\"");
    s.matches("mistakes_of_axes");
}

#[test]
fn readouts_that_are_all_alike_are_told_in_the_logs() {
    let s = Session::new();
    let text = benchmark(s.path());
    let rows: String = (0..60).map(|i| format!("G{i:03},1,1\n")).collect();
    s.write("donors.csv", &format!("gene,d1,d2\n{rows}"));
    s.write("flat.toml", &text.replacen("name = \"bench\"", "name = \"flat\"", 1));
    says(&s.silently(0, "run flat.toml --data-dir ."), &["60 runs: 60 ok"]);
    let logs = logs(&s, "flat");
    assert_eq!(logs.len(), 60);
    let told = |l: &String| l.contains("every perturbation has the same readout") && l.contains("hits cannot be told");
    assert!(logs.iter().all(told));
}

#[test]
fn sizes_and_priors_that_cannot_work_are_explained() {
    let mut s = Session::new();
    let text = table_scenario(s.path());
    let run = "run bad.toml --data-dir .";
    s.mistake(run, &text, "batch = 4", "batch = 20");
    for prior in ["gene,a\nX1,0.5\nX2,0.25\n", "gene,a\nG001,0.5\nG001,0.25\n", "gene,a\nG001,0.5\nG002,inf\n"] {
        s.write("prior.csv", prior);
        s.note(&format!("prior.csv is {prior:?}"));
        s.write("s.toml", &text);
        s.run(2, "run s.toml --data-dir .");
    }
    let screen = |batch: usize, rank: usize| {
        format!(
            "name = \"tiny\"\nseeds = {{ from = 0, count = 1 }}\nrounds = 1\nbatch = {batch}\nmetrics = [\"hit_ratio\"]\n\
             [target]\ndirection = \"max\"\n[pool]\ntest = 0.0\ninit = 2\n[oracle]\nuse = \"reward_matrix\"\ngenes = 4\n\
             rank = 2\n[model]\nuse = \"low_rank_matrix\"\nrank = {rank}\n[acquisition]\nuse = \"ids\"\n"
        )
    };
    s.note("six pairs of four genes");
    s.write("pairs.toml", &screen(10, 2));
    s.run(2, "run pairs.toml");
    s.write("pairs.toml", &screen(2, 7));
    s.run(3, "run pairs.toml");
    s.matches("mistakes_of_size");
}
