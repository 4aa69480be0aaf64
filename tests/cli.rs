//! What a person sees: every verb, every named bad input, exit codes.

mod common;
use common::*;
use framework::testing::TempDir;
use std::path::Path;

fn dir() -> TempDir {
    TempDir::new().expect("a folder")
}

/// Runs a scenario text and gives what it printed.
fn scenario(d: &Path, text: &str) -> Ran {
    let file = write(d, "s.toml", text);
    run(d, &["run", file.to_str().expect("utf-8"), "--data-dir", "."])
}

/// A screen of 40 genes in a CSV, and the scenario that replays it with one prior table.
fn table_scenario(d: &Path) -> String {
    let rows: String = (0..40).map(|i| format!("G{i:03},{}\n", (i * 37 % 19) as f64 / 10.0)).collect();
    write(d, "screen.csv", &format!("gene,value\n{rows}"));
    let rows: String = (0..40).map(|i| format!("G{i:03},{},{}\n", i % 5, i % 7)).collect();
    write(d, "prior.csv", &format!("gene,a,b\n{rows}"));
    "name = \"s\"\nseeds = { from = 0, count = 1 }\nrounds = 2\nbatch = 4\nmetrics = [\"hit_ratio\"]\n[pool]\ninit = 4\n\
     [oracle]\nuse = \"screen_table\"\npath = \"screen.csv\"\n[prior.p]\nuse = \"embedding_table\"\npath = \"prior.csv\"\n\
     [model]\nuse = \"ridge\"\n[acquisition]\nuse = \"max_dist\"\n"
        .to_string()
}

#[track_caller]
fn says(r: &Ran, code: i32, texts: &[&str]) {
    assert_eq!(r.code, code, "{}{}", r.out, r.err);
    for t in texts {
        assert!(r.err.contains(t) || r.out.contains(t), "no `{t}` in:\n{}{}", r.out, r.err);
    }
    assert!(
        !r.err.contains("panicked at") || r.err.contains("a plugin panicked"),
        "a panic reached the user:\n{}",
        r.err
    );
}

#[test]
fn all_mistakes_are_shown_at_once_with_line_caret_and_nearest_word() {
    let d = dir();
    let text = TINY
        .replace("batch = 6", "bach = 6")
        .replace("\"rmse\"", "\"rmsee\"")
        .replace("use = \"ridge\"", "use = \"rigde\"")
        .replace("genes = 120", "gens = 120\nphenotype_noise = \"loud\"")
        .replace("{ use = \"greedy\" }", "{ use = \"greedy\", betta = 1 }");
    let r = scenario(d.path(), &text);
    says(
        &r,
        2,
        &[
            "s.toml has 6 mistakes",
            "unknown key `bach`; did you mean `batch`?",
            "the key `batch` is missing; add batch = 100",
            "unknown model `rigde`; did you mean `ridge`?",
            "unknown key `gens`; did you mean `genes`?",
            "wrong type: got string \"loud\", expected a number",
            "unknown key `betta`",
            " --> ",
            "s.toml:4:1",
            "4 | bach = 6",
            "  | ^^^^ unknown key `bach`",
        ],
    );
    let r = scenario(d.path(), &TINY.replace("\"rmse\"", "\"rmsee\""));
    says(
        &r,
        2,
        &[
            "has 1 mistake\n",
            "unknown metric `rmsee`; did you mean `rmse`?",
            "5 | metrics = [\"hit_ratio\", \"rmsee\"]",
            "^^^^^^^",
        ],
    );
}

#[test]
fn wrong_types_and_syntax_have_a_place() {
    let d = dir();
    let r = scenario(d.path(), &TINY.replace("rounds = 3", "rounds = \"three\""));
    says(&r, 2, &["s.toml:3:10", "wrong type: got string \"three\", expected a whole number, 0 or more"]);
    let r = scenario(d.path(), &TINY.replace("rounds = 3", "rounds = -3"));
    says(&r, 2, &["wrong value: got the number `-3`, expected a whole number, 0 or more"]);
    let r = scenario(d.path(), &TINY.replace("rounds = 3", "rounds = = 3"));
    says(&r, 2, &["is not valid TOML", "s.toml:3:10"]);
    let r = scenario(d.path(), &TINY.replace("count = 3", "coutn = 3"));
    says(&r, 2, &["unknown key `coutn`; did you mean `count`?", "the key `count` is missing here"]);
    let r = scenario(d.path(), &TINY.replace("use = \"ridge\"", "use = \"random\""));
    says(&r, 2, &["`random` is of kind acquisition, not model"]);
    let r = run(d.path(), &["run", "nowhere.toml"]);
    says(&r, 2, &["nowhere.toml: cannot be read", "check the path"]);
    let r = run(d.path(), &["rnu"]);
    says(&r, 2, &["rnu"]);
}

#[test]
fn arms_that_cannot_work_are_refused_before_anything_runs() {
    let d = dir();
    let bare = TINY.replace("[prior.knowledge]\nuse = \"simulated\"\n", "");
    says(
        &scenario(d.path(), &bare),
        2,
        &["learns from features and no prior is active", "compares perturbations but nothing describes them"],
    );
    let no_model = TINY.replace("[model]\nuse = \"ridge\"\n", "");
    says(&scenario(d.path(), &no_model), 2, &["this acquisition needs a model; add a [model] section"]);
    let no_draws = TINY.replace("{ use = \"greedy\" }", "{ use = \"thompson\" }").replace("\"ridge\"", "\"additive\"");
    says(&scenario(d.path(), &no_draws), 2, &["this acquisition needs posterior draws; models that give them:", "gp"]);
    let cold = TINY.replace("init = 8", "init = 0");
    says(&scenario(d.path(), &cold), 2, &["nothing is measured before; set init under [pool]"]);
    let axis = TINY.replace("\"acquisition\" = [{ use = \"random\" }", "\"acquisitoin\" = [{ use = \"random\" }");
    says(&scenario(d.path(), &axis), 2, &["unknown axis `acquisitoin`; did you mean `acquisition`?"]);
    let prior = TINY.replace("[grid]", "[grid]\n\"prior\" = [\"all\", \"knowlege\"]");
    says(&scenario(d.path(), &prior), 2, &["unknown prior `knowlege`; did you mean `knowledge`?"]);
    assert!(!d.path().join("results").join("tiny").exists(), "nothing may be written");
}

#[test]
fn unusable_tables_are_explained() {
    let d = dir();
    let text = table_scenario(d.path());
    assert_eq!(scenario(d.path(), &text).code, 0);
    let screen = std::fs::read_to_string(d.path().join("screen.csv")).expect("the table");
    let with = |s: &str| {
        write(d.path(), "screen.csv", s);
        scenario(d.path(), &text)
    };
    says(&with(&screen.replace("G003,", "G002,")), 2, &["screen.csv", "G002", "repeats = \"mean\""]);
    for word in ["NaN", "inf", "", "high"] {
        let line = |l: &str| if l.starts_with("G007,") { format!("G007,{word}\n") } else { format!("{l}\n") };
        let broken: String = screen.lines().map(line).collect();
        says(&with(&broken), 2, &["screen.csv", "line 9", "value", word]);
    }
    says(&with("gene,value\n"), 2, &["screen.csv", "no"]);
    says(&with(""), 2, &["screen.csv", "empty"]);
    says(&with(&screen.replace("gene,value", "symbol,value")), 2, &["screen.csv", "gene", "symbol"]);
    std::fs::remove_file(d.path().join("screen.csv")).expect("remove");
    says(&scenario(d.path(), &text), 2, &["screen.csv", "no such data file", "SCREENWRIGHT_DATA", "docs/data.md"]);
}

#[test]
fn damaged_files_are_told_apart() {
    let d = dir();
    let text = table_scenario(d.path());
    let parquet = text.replace("screen.csv", "screen.parquet");
    write(d.path(), "screen.parquet", "gene,value\nA,1\n");
    says(&scenario(d.path(), &parquet), 2, &["screen.parquet", "not a Parquet file"]);
    let t = table_of(40);
    framework::table::write_parquet(&t, &d.path().join("screen.parquet")).expect("a table");
    assert_eq!(scenario(d.path(), &parquet).code, 0);
    let bytes = std::fs::read(d.path().join("screen.parquet")).expect("bytes");
    std::fs::write(d.path().join("screen.parquet"), &bytes[..bytes.len() / 2]).expect("write");
    says(&scenario(d.path(), &parquet), 2, &["screen.parquet", "ends early"]);
    let gz = text.replace("screen.csv", "screen.csv.gz");
    framework::table::write_csv(&t, &d.path().join("screen.csv.gz")).expect("a table");
    assert_eq!(scenario(d.path(), &gz).code, 0);
    let bytes = std::fs::read(d.path().join("screen.csv.gz")).expect("bytes");
    std::fs::write(d.path().join("screen.csv.gz"), &bytes[..bytes.len() / 2]).expect("write");
    says(&scenario(d.path(), &gz), 2, &["screen.csv.gz", "ends early"]);
}

fn table_of(n: usize) -> framework::table::Table {
    use framework::table::{Column, Table};
    Table::new()
        .with("gene", Column::Text((0..n).map(|i| Some(format!("G{i:03}"))).collect()))
        .with("value", Column::Number((0..n).map(|i| ((i * 37) % 19) as f64).collect()))
}

#[test]
fn impossible_sizes_and_useless_priors_are_explained() {
    let d = dir();
    let text = table_scenario(d.path());
    says(
        &scenario(d.path(), &text.replace("batch = 4", "batch = 20")),
        2,
        &[
            "asks for 44 perturbations (4 initial + 2 rounds x 20) but only 32 are left of 40 after 8 were held out",
            "lower rounds, batch, init or test",
        ],
    );
    write(d.path(), "prior.csv", "gene,a\nX1,0.5\nX2,0.25\n");
    says(&scenario(d.path(), &text), 2, &["prior `p` covers no gene of the pool", "`G000`", "symbol_updates"]);
    write(d.path(), "prior.csv", "gene,a\nG001,0.5\nG001,0.25\n");
    says(&scenario(d.path(), &text), 2, &["G001"]);
    write(d.path(), "prior.csv", "gene,a\nG001,0.5\nG002,inf\n");
    says(&scenario(d.path(), &text), 2, &["prior.csv", "inf"]);
}

#[test]
fn results_that_cannot_be_written_lose_nothing() {
    let d = dir();
    let text = table_scenario(d.path());
    write(d.path(), "taken", "a file in the way");
    let file = write(d.path(), "s.toml", &text);
    let file = file.to_str().expect("utf-8");
    let r = run(d.path(), &["run", file, "--data-dir", ".", "--results-dir", "taken"]);
    says(&r, 2, &["taken", "creating the results folder failed"]);
    // A disk that fills up in the middle: the record of rounds of one run is /dev/full.
    if Path::new("/dev/full").exists() {
        let three = text.replace("count = 1", "count = 3");
        std::fs::write(file, three).expect("write");
        assert_eq!(run(d.path(), &["run", file, "--data-dir", "."]).code, 0);
        let want = result_bytes(&d.path().join("results"), "s");
        let id = want[0].0.split('/').next().expect("a run").to_string();
        let folder = d.path().join("results/s");
        std::fs::remove_dir_all(folder.join(&id)).expect("remove");
        let partial = folder.join(format!("{id}.partial"));
        std::fs::create_dir(&partial).expect("a folder");
        std::os::unix::fs::symlink("/dev/full", partial.join("rounds.jsonl")).expect("a link");
        let r = run(d.path(), &["run", file, "--data-dir", "."]);
        says(
            &r,
            3,
            &["writing a finished round failed", "The disk is full: free some space", "3 runs: 2 ok, 1 failed"],
        );
        assert_eq!(result_bytes(&d.path().join("results"), "s").len(), 4, "the others are kept");
        std::fs::remove_file(partial.join("rounds.jsonl")).expect("remove");
        assert_eq!(run(d.path(), &["run", file, "--data-dir", "."]).code, 0);
        assert_eq!(result_bytes(&d.path().join("results"), "s"), want);
    }
}

#[test]
fn a_sweep_from_plan_to_export() {
    let d = dir();
    let file = write(d.path(), "tiny.toml", TINY);
    let file = file.to_str().expect("utf-8");
    let r = run(d.path(), &["plan", file]);
    says(
        &r,
        0,
        &[
            "tiny   3 arms x 3 seeds = 9 runs   (0 finished, 9 to do)",
            "random     3 to do (new)   (reference)",
            "cost: unknown until one run has finished",
        ],
    );
    let r = run(d.path(), &["report", file]);
    says(&r, 2, &["no finished run of this scenario; first do: screenwright run"]);
    let r = run(d.path(), &["run", file]);
    says(&r, 0, &["9 runs: 9 ok, 0 failed", "greedy", "max_dist", "figure: ", ".svg"]);
    let r = run(d.path(), &["plan", file]);
    says(&r, 0, &["(9 finished, 0 to do)", "nothing to do"]);
    let again = run(d.path(), &["run", file]);
    says(&again, 0, &["(9 finished, 0 to do)"]);
    let r = run(d.path(), &["results", "list"]);
    says(&r, 0, &["tiny   9 finished, 0 interrupted, 0 failed"]);
    for format in ["csv", "json", "parquet"] {
        let r = run(d.path(), &["results", "export", "tiny", "--format", format, "--what", "picks"]);
        says(&r, 0, &["(234 rows of 9 runs)"]);
        assert!(d.path().join(format!("tiny_picks.{format}")).is_file());
    }
    let long = framework::table::read(&d.path().join("results/tiny.parquet")).expect("the long table");
    assert_eq!(long.height(), 9 * 4);
    assert_eq!(&long.names()[..7], ["run", "arm", "seed", "round", "n_measured", "hit_ratio", "rmse"]);
    says(
        &run(d.path(), &["results", "export", "tyni"]),
        2,
        &["no results of a scenario `tyni`", "did you mean `tiny`?"],
    );
    let json = std::fs::read_to_string(d.path().join("results/tiny").join(first_run(d.path())).join("run.json"))
        .expect("run.json");
    for key in [
        "\"format\"",
        "\"resolved\"",
        "\"seed\"",
        "\"version\"",
        "\"git_revision\"",
        "\"data\"",
        "\"host\"",
        "\"started\"",
        "\"metrics\"",
    ] {
        assert!(json.contains(key), "{key} in {json}");
    }
    std::fs::create_dir(d.path().join("results/tiny/0123456789abcdef.partial")).expect("a folder");
    says(&run(d.path(), &["results", "prune", "tiny", "--dry-run"]), 0, &["would delete", "0123456789abcdef.partial"]);
    says(&run(d.path(), &["results", "prune", "tiny"]), 0, &["deleted"]);
}

fn first_run(d: &Path) -> String {
    result_bytes(&d.join("results"), "tiny")[0].0.split('/').next().expect("a run").to_string()
}

#[test]
fn arms_of_one_seed_meet_the_same_world() {
    let d = dir();
    let file = write(d.path(), "tiny.toml", TINY);
    assert_eq!(run(d.path(), &["run", file.to_str().expect("utf-8")]).code, 0);
    assert_eq!(run(d.path(), &["results", "export", "tiny", "--what", "picks"]).code, 0);
    let t = framework::table::read(&d.path().join("tiny_picks.csv")).expect("picks");
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
    for s in 0..3 {
        assert_eq!(init[&(s, "random")], init[&(s, "greedy")]);
        assert_ne!(init[&(s, "random")], init[&((s + 1) % 3, "random")]);
    }
}

#[test]
fn repeats_vary_what_they_say() {
    let d = dir();
    let picks = |varies: &str| {
        let text = format!("{TINY}\n[repeat]\nvaries = \"{varies}\"\n")
            .replace("latent_dag\"", "latent_dag\"\nworld_seed = 1");
        let file = write(d.path(), "tiny.toml", &text);
        let results = varies.replace('+', "_");
        let r = run(d.path(), &["run", file.to_str().expect("utf-8"), "--results-dir", &results]);
        assert_eq!(r.code, 0, "{}", r.err);
        let out = format!("{results}.csv");
        run(d.path(), &["results", "export", "tiny", "--what", "picks", "--results-dir", &results, "--out", &out]);
        let t = framework::table::read(&d.path().join(out)).expect("picks");
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
fn grids_skip_merge_and_word_priors() {
    let d = dir();
    let text = TINY
        .replace("[prior.knowledge]\nuse = \"simulated\"", "[prior.a]\nuse = \"simulated\"\n[prior.b]\nuse = \"simulated\"\n[prior.c]\nuse = \"simulated\"\ninformativeness = 0.1")
        .replace("[model]\nuse = \"ridge\"", "[model]\nuse = \"mean\"")
        .replace("[grid]", "[grid]\n\"prior\" = [\"all\", \"each_alone\", \"leave_one_out\"]")
        .replace("{ use = \"greedy\" }, ", "")
        .replace("[compare]", "[[skip]]\n\"acquisition\" = \"random\"\nnot = { \"prior\" = \"all\" }\n\n[compare]");
    let file = write(d.path(), "tiny.toml", &text);
    let r = run(d.path(), &["plan", file.to_str().expect("utf-8")]);
    // Seven subsets under max_dist and one control.
    says(&r, 0, &["8 arms x 3 seeds = 24 runs", "all / random", "all but a / max_dist", "c / max_dist"]);
    let two = text.replace("[prior.c]\nuse = \"simulated\"\ninformativeness = 0.1", "");
    let file = write(d.path(), "two.toml", &two);
    let r = run(d.path(), &["plan", file.to_str().expect("utf-8")]);
    // With two priors `each_alone` and `leave_one_out` are the same two subsets.
    says(&r, 0, &["4 arms x 3 seeds"]);
    let none =
        text.replace("not = { \"prior\" = \"all\" }", "").replace("\"acquisition\" = \"random\"", "\"rounds\" = 3");
    let file = write(d.path(), "none.toml", &none);
    says(&run(d.path(), &["plan", file.to_str().expect("utf-8")]), 2, &["the skip rules leave no arm"]);
}

#[test]
fn suggest_with_a_campaign_and_without_a_model() {
    let d = dir();
    table_scenario(d.path());
    write(d.path(), "done.csv", "gene,value\nG001,0.5\nG010,1.5\nG020,-0.5\nG030,0.25\nG031,0.3\n");
    let campaign = "name = \"next\"\nbatch = 5\nseed = 3\n[target]\ndirection = \"max\"\n[pool]\npath = \"screen.csv\"\n\
        [measured]\npath = \"done.csv\"\nvalues = [\"value\"]\n[prior.p]\nuse = \"embedding_table\"\npath = \"prior.csv\"\n\
        [model]\nuse = \"gp\"\n[acquisition]\nuse = \"ucb\"\n";
    let file = write(d.path(), "campaign.toml", campaign);
    let file = file.to_str().expect("utf-8");
    let r = run(d.path(), &["suggest", file]);
    says(&r, 0, &["rank,perturbation,score,mean,sd\n1,G"]);
    assert_eq!(r.out.lines().count(), 6);
    assert_eq!(r.out, run(d.path(), &["suggest", file]).out, "the same seed gives the same batch");
    for measured in ["G001,", "G010,", "G020,"] {
        assert!(!r.out.contains(measured), "{measured} is measured already");
    }
    let r = run(d.path(), &["suggest", file, "--out", "next.csv"]);
    says(&r, 0, &["wrote next.csv (5 perturbations)"]);
    let r = run(
        d.path(),
        &["suggest", "--features", "prior.csv", "--measured", "done.csv", "--rule", "max_dist", "--batch", "3"],
    );
    says(&r, 0, &["rank,perturbation,score\n1,G", "40 perturbations x 2 features, 5 measured"]);
    assert_eq!(r.out.lines().count(), 4);

    let bad = |from: &str, to: &str| {
        let file = write(d.path(), "bad.toml", &campaign.replace(from, to));
        run(d.path(), &["suggest", file.to_str().expect("utf-8")])
    };
    says(&bad("batch = 5", "batch = 36"), 2, &["a batch of 36 is larger than the 35 candidates left"]);
    says(&bad("use = \"ucb\"", "use = \"ubc\""), 2, &["unknown acquisition `ubc`; did you mean `ucb`?"]);
    write(d.path(), "done.csv", "gene,value\nG001,0.5\nG01,1.5\n");
    says(&run(d.path(), &["suggest", file]), 2, &["done.csv, row 2: unknown gene `G01`", "did you mean"]);
    says(
        &run(d.path(), &["suggest", "--features", "prior.csv", "--rule", "greedy", "--batch", "3"]),
        2,
        &["--rule greedy: this acquisition needs a model", "campaign file"],
    );
    says(&run(d.path(), &["suggest"]), 2, &["--features"]);
}

#[test]
fn plugins_are_listed_and_shown() {
    let d = dir();
    let r = run(d.path(), &["plugins", "list", "--json"]);
    assert_eq!(r.code, 0);
    let list: Vec<std::collections::BTreeMap<String, serde_json::Value>> = serde_json::from_str(&r.out).expect("JSON");
    for (kind, name) in [
        ("model", "gp"),
        ("model", "forest"),
        ("kernel", "matern52"),
        ("prior", "graph"),
        ("oracle", "latent_dag"),
        ("acquisition", "max_dist"),
        ("interaction", "additivity"),
    ] {
        assert!(list.iter().any(|e| e["kind"] == kind && e["name"] == name), "{kind} {name}");
    }
    let r = run(d.path(), &["plugins", "show", "ucb"]);
    says(
        &r,
        0,
        &[
            "ucb   (acquisition)",
            "Upper confidence bound",
            "beta = 1.0",
            "Weight of the predicted standard deviation",
            "use = \"ucb\"",
        ],
    );
    says(&run(d.path(), &["plugins", "show", "ubc"]), 2, &["unknown plugin `ubc`; did you mean `ucb`?"]);
    // Defaults are told of plugins that cannot do without a parameter too.
    let r = run(d.path(), &["plugins", "show", "ensemble"]);
    says(&r, 0, &["  of   (required)", "  members = 5", "  resample = \"none\""]);
    for name in list.iter().map(|e| e["name"].as_str().expect("a name")) {
        let shown = run(d.path(), &["plugins", "show", name]);
        assert_eq!(shown.code, 0);
        let params =
            shown.out.split("parameters\n").nth(1).and_then(|t| t.split("\nin a scenario").next()).unwrap_or("");
        let mut lines = params.lines().filter(|l| !l.is_empty()).peekable();
        while let Some(l) = lines.next() {
            if l.starts_with("  ") && !l.starts_with("   ") {
                assert!(lines.peek().is_some_and(|n| n.starts_with("      ")), "{name}: `{l}` has no description");
            }
        }
    }
}

#[test]
fn new_refuses_bad_names_and_taken_ones() {
    let d = dir();
    std::fs::create_dir_all(d.path().join("plugins/acquisition")).expect("a folder");
    says(&run(d.path(), &["new", "acquisition", "Far-First"]), 2, &["cannot be a plugin name", "such as `far_first`"]);
    says(
        &run(d.path(), &["new", "acquisition", "random"]),
        2,
        &["the acquisition `random` exists already; choose another name"],
    );
    says(&run(d.path(), &["new", "acquisition", "mine"]), 0, &["wrote plugins/acquisition/mine.rs"]);
    says(&run(d.path(), &["new", "acquisition", "mine"]), 2, &["exists already"]);
    says(&run(d.path(), &["new", "kernel", "other"]), 2, &["no such folder", "--dir"]);
}

#[test]
fn help_has_examples_and_exit_codes() {
    let d = dir();
    let r = run(d.path(), &["--help"]);
    says(&r, 0, &["Examples:", "Exit codes: 0 ok; 2 usage", "3 some runs failed"]);
    for verb in ["run", "plan", "report", "suggest", "new"] {
        says(&run(d.path(), &[verb, "--help"]), 0, &["Example"]);
    }
    for shell in ["bash", "zsh", "fish"] {
        says(&run(d.path(), &["completions", shell]), 0, &["screenwright"]);
    }
}

#[test]
fn data_check_tells_present_missing_and_corrupt() {
    let d = dir();
    let text = table_scenario(d.path());
    write(d.path(), "s.toml", &text);
    let hash = |f: &str| {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let mut c = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
        c.stdin.take().expect("a pipe").write_all(&std::fs::read(d.path().join(f)).expect("a file")).expect("a pipe");
        String::from_utf8_lossy(&c.wait_with_output().expect("sha256sum").stdout)[..64].to_string()
    };
    write(d.path(), "data.sha256", &format!("{}  screen.csv\n{}  prior.csv\n", hash("screen.csv"), hash("prior.csv")));
    let check = || run(d.path(), &["data", "check", "s.toml", "--data-dir", "."]);
    says(&check(), 0, &["ok       screen.csv", "ok       prior.csv"]);
    write(d.path(), "prior.csv", "gene,a\nG001,1\n");
    std::fs::remove_file(d.path().join("screen.csv")).expect("remove");
    says(&check(), 2, &["MISSING  screen.csv", "CORRUPT", "prior.csv", "2 files missing or corrupt; docs/data.md"]);
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
    let d = dir();
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

/// The tiny scenario with prices, claims, a variant and published curves.
fn judged(d: &Path) -> String {
    let rows: String = (0..2)
        .flat_map(|run| {
            (0..4).map(move |t| {
                format!("Random,{run},{t},{}\nMaxDist,{run},{t},{}\n", 2.0 - 0.2 * t as f64, 2.0 - 0.3 * t as f64)
            })
        })
        .collect();
    write(d, "paper.csv", &format!("paper_method,run,round,loss\n{rows}"));
    format!(
        "{TINY}\n[cost]\nper_perturbation = 10.0\nper_round = 5.0\nmonths_per_round = 2.0\n\
         [variant.short]\nrounds = 1\n\"grid.acquisition\" = [{{ use = \"random\" }}, {{ use = \"max_dist\" }}]\n\
         [variant.gp]\n\"model.use\" = \"gp\"\n\
         [published]\nfile = \"paper.csv\"\nmetrics = {{ rmse = \"loss\" }}\n\
         [[claim]]\ntext = \"greedy finds more than random\"\nbetter = {{ \"acquisition\" = \"greedy\" }}\n\
         than = {{ \"acquisition\" = \"random\" }}\n\
         [[claim]]\ntext = \"greedy is the fastest\"\nkind = \"speedup\"\nat_least = 1.5\n\
         better = {{ \"acquisition\" = \"greedy\" }}\nthan = {{}}\nall_of = true\n"
    )
}

#[test]
fn results_are_judged_without_running_anything_again() {
    let d = dir();
    let text = judged(d.path());
    let file = write(d.path(), "tiny.toml", &text);
    let file = file.to_str().expect("utf-8");
    let with = |args: &[&str]| run(d.path(), &[args, &["--data-dir", "."]].concat());
    says(
        &with(&["plan", file]),
        0,
        &["26 perturbations, 275 USD, 6 months", "variants (--variant NAME): ", "short", "gp", "judge: 2"],
    );
    let r = with(&["run", file]);
    says(&r, 0, &["9 runs: 9 ok", "Claims", "greedy finds more than random", "speed-up over reference (hit_ratio)"]);
    says(&r, 0, &["Published curves of paper.csv: 2 arms matched"]);
    let report = d.path().join("results/tiny/report");
    for f in ["speedup.csv", "claims.csv", "published.csv", "published_rmse.svg", "published_rmse.png", "report.md"] {
        assert!(report.join(f).is_file(), "{f}");
    }
    let long = framework::table::read(&d.path().join("results/tiny.parquet")).expect("the long table");
    assert_eq!(long.numbers("cost").expect("cost")[..4], [80.0, 145.0, 210.0, 275.0]);
    assert_eq!(long.numbers("months").expect("months")[..4], [0.0, 2.0, 4.0, 6.0]);
    // Prices, claims and what is published are no part of a run.
    let other = text
        .replace("10.0", "20.0")
        .replace("at_least = 1.5", "at_least = 2.5")
        .replace("\"paper.csv\"", "\"gone.csv\"");
    write(d.path(), "tiny.toml", &other);
    says(&with(&["plan", file]), 0, &["(9 finished, 0 to do)", "535 USD"]);
    let r = with(&["report", file, "--axis", "cost", "--metric", "rmse", "--target", "1.0"]);
    says(
        &r,
        0,
        &["gone.csv: no such file, so nothing published is compared", "speed-up over reference (rmse)", "rmse at 1"],
    );
    assert!(!report.join("published.csv").exists());
    assert!(std::fs::read_to_string(report.join("curves_rmse.svg")).expect("a figure").contains("cost (USD)"));
    says(&with(&["report", file, "--against", "paper.csv"]), 0, &["Published curves of paper.csv: 2 arms matched"]);
    says(&with(&["report", file, "--metric", "rmsee"]), 2, &["--metric rmsee: not among", "did you mean `rmse`?"]);
    says(&with(&["report", file, "--axis", "weeks"]), 2, &["measured", "months"]);
}

#[test]
fn variants_have_folders_of_their_own() {
    let d = dir();
    let text = judged(d.path());
    let file = write(d.path(), "tiny.toml", &text);
    let file = file.to_str().expect("utf-8");
    let with = |args: &[&str]| run(d.path(), &[args, &["--data-dir", "."]].concat());
    says(
        &with(&["plan", file, "--variant", "short"]),
        0,
        &["tiny-short (variant short)   2 arms x 3 seeds = 6 runs", "1 rounds x 6"],
    );
    says(
        &with(&["plan", file, "--variant", "short", "--variant", "gp", "--quick"]),
        0,
        &["tiny-short-gp-quick (variants short, gp)"],
    );
    says(&with(&["report", file, "--variant", "short"]), 2, &["screenwright run", "--variant short"]);
    // An arm that a claim needs is left out.
    says(&with(&["run", file, "--variant", "short"]), 0, &["6 runs: 6 ok", "not run"]);
    assert!(d.path().join("results/tiny-short.parquet").is_file() && !d.path().join("results/tiny").exists());
    says(&with(&["report", file, "--variant", "short"]), 0, &["(6 finished, 0 to do)"]);
    says(&with(&["plan", file, "--variant", "shrot"]), 2, &["has no variant `shrot`; did you mean `short`?"]);
    let plain = write(d.path(), "plain.toml", TINY);
    says(
        &run(d.path(), &["plan", plain.to_str().expect("utf-8"), "--variant", "x"]),
        2,
        &["it has none, write one as a [variant.x] section"],
    );
    // A setting of a strategy, and mistakes at their place.
    let strategies = TINY.split("[grid]").next().expect("the part before the grid").to_string()
        + "[strategy.near]\nacquisition = { use = \"lcmd\" }\nkernel = { use = \"rbf\" }\n\
           [strategy.far]\nacquisition = { use = \"max_dist\" }\n\
           [variant.p]\n\"strategy.far.acquisition.mode\" = \"p\"\n\
           [variant.bad]\n\"strategy.far.acquisition.moode\" = \"p\"\n\"model.use\" = \"rigde\"\n";
    let file = write(d.path(), "s.toml", &strategies);
    let file = file.to_str().expect("utf-8");
    says(&run(d.path(), &["plan", file, "--variant", "p"]), 0, &["2 arms"]);
    let r = run(d.path(), &["plan", file, "--variant", "bad"]);
    says(
        &r,
        2,
        &[
            "unknown key `moode`; did you mean `mode`?",
            "\"strategy.far.acquisition.moode\" = \"p\"",
            "unknown model `rigde`; did you mean `ridge`?",
            "\"model.use\" = \"rigde\"",
        ],
    );
    // Unused variants are checked as far as their keys.
    let typo = strategies.replace("\"model.use\"", "\"modl.use\"");
    let typo = write(d.path(), "t.toml", &typo);
    says(&run(d.path(), &["plan", typo.to_str().expect("utf-8")]), 2, &["unknown key `modl`; did you mean `model`?"]);
    let none = strategies.replace("strategy.far.acquisition.mode\"", "strategy.fra.acquisition.mode\"");
    let none = write(d.path(), "n.toml", &none);
    says(
        &run(d.path(), &["plan", none.to_str().expect("utf-8"), "--variant", "p"]),
        2,
        &["there is no [strategy.fra] section"],
    );
}

#[test]
fn mistakes_in_prices_claims_and_published_curves_are_shown_at_plan_time() {
    let d = dir();
    let text = judged(d.path());
    let bad = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let file = write(d.path(), "bad.toml", &text.replacen(from, to, 1));
        run(d.path(), &["plan", file.to_str().expect("utf-8"), "--data-dir", "."])
    };
    says(&bad("per_round = 5.0", "per_round = -5.0"), 2, &["per_round = -5.0", "a price or time must be 0 or more"]);
    says(&bad("per_round = 5.0", "per_rond = 5.0"), 2, &["unknown key `per_rond`; did you mean `per_round`?"]);
    says(&bad("kind = \"speedup\"", "kind = \"speed\""), 2, &["unknown word `speed`", "speedup"]);
    says(&bad("at_least = 1.5", "at_least = 0"), 2, &["the factor must be above 0"]);
    says(&bad("at_least = 1.5", "at = \"last\""), 2, &["a speed-up is taken at the last round"]);
    says(
        &bad("text = \"greedy finds", "at = \"first\"\ntext = \"greedy finds"),
        2,
        &["expected \"last\", \"aulc\" or a round"],
    );
    says(&bad("text = \"greedy finds", "at = 7\ntext = \"greedy finds"), 2, &["there is no round 7; the last is 3"]);
    says(
        &bad("text = \"greedy finds", "at_least = 2.0\ntext = \"greedy finds"),
        2,
        &["only a speed-up has a least factor"],
    );
    says(
        &bad("text = \"greedy finds", "metric = \"mae\"\ntext = \"greedy finds"),
        2,
        &["`mae` is not among this scenario's metrics"],
    );
    says(&bad("text = \"greedy is the fastest\"\n", ""), 2, &["the key `text` is missing here"]);
    says(
        &bad("better = { \"acquisition\" = \"greedy\" }", "better = { \"acquisition\" = \"bait\" }"),
        2,
        &["no arm matches `better`"],
    );
    says(
        &bad("better = { \"acquisition\" = \"greedy\" }", "better = { \"acquisitoin\" = \"greedy\" }"),
        2,
        &["unknown key `acquisitoin`"],
    );
    says(
        &bad("metrics = { rmse = \"loss\" }", "metrics = { rmsee = \"loss\" }"),
        2,
        &["`rmsee` is not among", "`rmse`"],
    );
    says(
        &bad("[published]", "[published.arms]\ngredy = \"Random\"\n[published]"),
        2,
        &["no arm is called `gredy`; did you mean `greedy`?"],
    );
    says(&bad("[[claim]]", "[claim]"), 2, &["claim"]);
}

/// Two donors of 60 genes, two tables of features, two sizes of screen, two models and a rule that one of them cannot
/// serve.
fn benchmark(d: &Path) -> String {
    let donor = |i: usize, k: usize| (i * 37 % 23) as f64 / 10.0 - 1.1 + ((i * (5 + 2 * k) + k) % 7) as f64 / 10.0;
    let rows: String = (0..60).map(|i| format!("G{i:03},{},{}\n", donor(i, 0), donor(i, 1))).collect();
    write(d, "donors.csv", &format!("gene,d1,d2\n{rows}"));
    for (name, m) in [("a", 23), ("b", 11)] {
        let rows: String = (0..60).map(|i| format!("G{i:03},{},{}\n", i * 37 % m, i % 7)).collect();
        write(d, &format!("{name}.csv"), &format!("gene,x,y\n{rows}"));
    }
    "name = \"bench\"\nseeds = { from = 0, count = 3 }\nrounds = 3\nbatch = 4\nincompatible = \"skip\"\n\
     metrics = [\"hit_ratio\", \"mse\", \"pearson\", \"hits\", \"hits_per_kusd\", \"enrichment\", \"hit_ratio_all\"]\n\
     [target]\nhit_fraction = 0.25\n[pool]\ninit = 6\nexhausted = \"stop\"\ncovered_by = \"all\"\n\
     [oracle]\nuse = \"screen_table\"\npath = \"donors.csv\"\nreplicates = [\"d1\", \"d2\"]\n\
     [acquisition]\nuse = \"random\"\n\
     [strategy.random]\nacquisition = { use = \"random\" }\n\
     [strategy.greedy]\nacquisition = { use = \"greedy\" }\n\
     [strategy.ucb]\nacquisition = { use = \"ucb\" }\n\
     [axis.features.a]\n\"prior.a\" = { use = \"embedding_table\", path = \"a.csv\" }\n\
     [axis.features.both]\n\"prior.a\" = { use = \"embedding_table\", path = \"a.csv\" }\n\
     \"prior.b\" = { use = \"embedding_table\", path = \"b.csv\" }\n\
     [axis.size.small]\nbatch = 4\n[axis.size.large]\nbatch = 30\nrounds = 2\n\
     [axis.learner.ridge]\nmodel = { use = \"ridge\" }\n[axis.learner.mean]\nmodel = { use = \"mlp\", widths = [4], epochs = 2 }\n\
     [compare]\nreference = { strategy = \"random\" }\nby = [\"strategy\", \"learner\"]\n"
        .to_string()
}

#[test]
fn named_axes_skip_what_does_not_fit_and_reports_group_what_is_left() {
    let d = dir();
    let text = benchmark(d.path());
    let file = write(d.path(), "bench.toml", &text);
    let file = file.to_str().expect("utf-8");
    let with = |args: &[&str]| run(d.path(), &[args, &["--data-dir", "."]].concat());
    says(
        &with(&["plan", file]),
        0,
        &[
            "20 arms x 3 seeds = 60 runs",
            "left out as incompatible: 4 arms",
            "4 x model mlp with acquisition ucb and kernel none: this acquisition needs predicted standard deviations",
            "6 initial + 3 rounds x 4 = 18 perturbations",
            "6 initial + 2 rounds x 30 = 66 perturbations",
        ],
    );
    let r = with(&["run", file]);
    says(&r, 0, &["60 runs: 60 ok", "By strategy / learner", "greedy / ridge", "noise ceiling of pearson"]);
    let folder = d.path().join("results/bench/report");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect(name);
    let groups = read("groups.csv");
    assert!(groups.starts_with("group,metric,n_cells,final_mean"), "{groups}");
    assert!(groups.lines().any(|l| l.starts_with("greedy / ridge,hit_ratio,4,")), "{groups}");
    assert!(read("tradeoff.svg").contains("change of mse over the reference"));
    assert!(read("report.md").contains("p (Holm)"));
    // 48 genes of which 6 are measured first: a round of 30 fits, a second does not.
    let log = std::fs::read_dir(d.path().join("results/bench"))
        .expect("results")
        .flatten()
        .filter_map(|e| std::fs::read_to_string(e.path().join("log.txt")).ok())
        .find(|l| l.contains("the pool is exhausted after 1 rounds of 30"));
    assert!(log.is_some(), "a log tells that the screen stopped");
    let arms = read("arms.csv");
    let column = |name: &str, line: &str| -> f64 {
        let at = arms.lines().next().and_then(|h| h.split(',').position(|c| c == name)).expect(name);
        line.split(',').nth(at).and_then(|v| v.parse().ok()).expect("a number")
    };
    let of = |metric: &str| {
        let start = format!("random / a / small / ridge,{metric},");
        arms.lines().find(|l| l.contains(&start)).unwrap_or_else(|| panic!("{metric} in {arms}"))
    };
    assert!(column("ceiling", of("pearson")) > 0.5 && column("ceiling", of("pearson")) < 1.0);
    assert!(column("ceiling", of("hit_ratio")) >= 0.0);
    // 18 perturbations at 30 USD.
    let (hits, per) = (column("final_mean", of("hits")), column("final_mean", of("hits_per_kusd")));
    assert!((per - hits / 0.54).abs() < 1e-6, "{per} for {hits}");
    let (ratio, enrichment) = (column("final_mean", of("hit_ratio")), column("final_mean", of("enrichment")));
    assert!((enrichment - ratio / (18.0 / 48.0)).abs() < 1e-6);

    says(
        &with(&["report", file, "--where", "size=small", "--where", "learner=ridge", "--by", "strategy"]),
        0,
        &["By strategy", "report-size_small-learner_ridge"],
    );
    says(&with(&["report", file, "--where", "size=smal"]), 2, &["no arm has `smal`; did you mean `small`?"]);
    says(&with(&["report", file, "--where", "sise=small"]), 2, &["did you mean `size`?"]);
    says(&with(&["report", file, "--by", "lerner"]), 2, &["--by lerner: no axis", "did you mean `learner`?"]);
}

#[test]
fn mistakes_in_named_axes_and_hits_are_told_at_their_place() {
    let d = dir();
    let text = benchmark(d.path());
    let told = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let file = write(d.path(), "bad.toml", &text.replacen(from, to, 1));
        run(d.path(), &["run", file.to_str().expect("utf-8"), "--data-dir", "."])
    };
    says(&told("incompatible = \"skip\"", "incompatible = \"error\""), 2, &["needs predicted standard deviations"]);
    says(
        &told("incompatible = \"skip\"", "incompatible = \"drop\""),
        2,
        &["expected \"error\" (the default) or \"skip\""],
    );
    says(
        &told("[axis.size.small]\nbatch", "[axis.size.small]\nbach"),
        2,
        &["unknown key `bach`; did you mean `batch`?"],
    );
    says(
        &told("[axis.features.a]", "[axis.batch.a]"),
        2,
        &["`batch` is a key of the scenario; give the axis another name"],
    );
    says(&told("by = [\"strategy\"", "by = [\"stratgy\""), 2, &["no axis `stratgy`; did you mean `strategy`?"]);
    says(
        &told("[compare]", "[grid]\nsize = [\"smal\"]\n[compare]"),
        2,
        &["unknown size `smal`; did you mean `small`?"],
    );
    says(
        &told("\"hits\", \"hits_per_kusd\"", "\"hits_per_kusd\""),
        2,
        &["`hits_per_kusd` is made of `hits`; list that too"],
    );
    says(&told("exhausted = \"stop\"", "exhausted = \"error\""), 2, &["set exhausted = \"stop\" under [pool]"]);
    says(
        &told("hit_fraction = 0.25", "hit_threshold = 99.0"),
        2,
        &["no perturbation reaches hit_threshold = 99; lower it"],
    );
    says(
        &told("init = 6", "init = 60"),
        2,
        &["asks for 72 perturbations (60 initial + 3 rounds x 4) but only 48 are left"],
    );
    let rows: String = (0..60).map(|i| format!("G{i:03},1,1\n")).collect();
    write(d.path(), "donors.csv", &format!("gene,d1,d2\n{rows}"));
    let r = told("name = \"bench\"", "name = \"flat\"");
    says(&r, 0, &["60 runs: 60 ok"]);
    let logs: Vec<String> = std::fs::read_dir(d.path().join("results/flat"))
        .expect("results")
        .flatten()
        .filter_map(|e| std::fs::read_to_string(e.path().join("log.txt")).ok())
        .collect();
    assert!(
        logs.iter().all(|l| l.contains("every perturbation has the same readout") && l.contains("hits cannot be told"))
    );
    let rows: String = (0..60).map(|i| format!("G{:03},1,{i}\n", i / 2)).collect();
    write(d.path(), "donors.csv", &format!("gene,d1,d2\n{rows}"));
    says(&told("name = \"bench\"", "name = \"twice\""), 2, &["G000 is measured twice", "set repeats = \"mean\""]);
}

/// Wells of control, A, B, A+B and C: two features, six wells each, B+A far from additive.
fn wells(d: &Path) -> String {
    let mut text = "perturbation,plate,x,y\n".to_string();
    let at =
        [("NT", 0.0, 0.0), ("A", 2.0, 0.0), ("B", 0.0, 1.0), ("B+A", 9.0, 9.0), ("C", 1.0, 1.0), ("A+C", 3.0, 1.0)];
    for (label, x, y) in at {
        for k in 0..6 {
            let e = (f64::from(k) - 2.5) / 10.0;
            text.push_str(&format!("{label},{},{},{}\n", k % 3, x + e, y - e * e));
        }
    }
    write(d, "wells.csv", &text).to_str().expect("utf-8").to_string()
}

#[test]
fn interactions_from_a_file_of_samples_to_tables_and_figures() {
    let d = dir();
    let file = wells(d.path());
    let go = ["interactions", "--samples", &file, "--control", "NT", "--ignore", "plate", "--test", "additivity"];
    let r = run(d.path(), &go);
    says(&r, 0, &["36 samples of 2 features: 6 of control, 3 genes alone, 2 pairs to test", "A+B", "called"]);
    let out = d.path().join("results/wells");
    let table = std::fs::read_to_string(out.join("additivity.csv")).expect("the table");
    assert!(
        table.starts_with("seed,pair,first,second,score,p,q,called,null,n_control,n_first,n_second,n_both,"),
        "{table}"
    );
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert!(rows.len() == 2 && rows[0].starts_with("0,A+B,A,B,") && rows[1].starts_with("0,A+C,A,C,"), "{table}");
    assert!(rows[0].contains(",true,additive,6,6,6,6,") && rows[1].contains(",false,additive,"), "{table}");
    assert!(out.join("additivity_map.svg").exists() && out.join("additivity_map.png").exists());
    // The same bytes on one thread, and with wells of a plate taken together a p value of few units.
    let mut one = go.to_vec();
    one.extend(["--threads", "1", "--out", "one"]);
    says(&run(d.path(), &one), 0, &[]);
    assert_eq!(std::fs::read_to_string(d.path().join("one/additivity.csv")).expect("the table"), table);
    let mut units = go.to_vec();
    units.extend(["--unit", "plate", "--out", "units"]);
    says(&run(d.path(), &units), 0, &["A+B"]);
    assert_ne!(std::fs::read_to_string(d.path().join("units/additivity.csv")).expect("the table"), table);
}

#[test]
fn bad_samples_and_studies_of_interactions_are_explained() {
    let d = dir();
    let file = wells(d.path());
    let with = |more: &[&str]| {
        let mut go = vec!["interactions", "--samples", &file, "--test", "additivity"];
        go.extend(more);
        run(d.path(), &go)
    };
    says(&with(&[]), 2, &["no sample is labelled as control (`control`)", "--control"]);
    says(&with(&["--control", "NT", "--labels", "pertubation"]), 2, &["pertubation", "perturbation"]);
    says(&with(&["--control", "NT", "--separator", "_"]), 2, &["no pair can be tested", "joined by `_`"]);
    says(&with(&["--control", "NT", "--ignore", "plat"]), 2, &["no column `plat` to ignore; did you mean `plate`?"]);
    says(&with(&["--control", "NT", "--rate", "2"]), 2, &["must lie between 0 and 1"]);
    says(&with(&["--control", "NT", "--test", "addditivity"]), 2, &["did you mean `additivity`?"]);
    let text = std::fs::read_to_string(&file).expect("wells");
    let of = |text: &str| {
        let f = write(d.path(), "other.csv", text);
        let file = f.to_str().expect("utf-8");
        let test = ["--test", "additivity:form=debiased"];
        run(d.path(), &["interactions", "--samples", file, "--control", "NT", "--ignore", "plate", test[0], test[1]])
    };
    // A class of one sample is left out of tests that need two; a pair without one of its singles is named.
    let few: String =
        text.lines().filter(|l| !l.starts_with("C,") || l.contains("0.75")).map(|l| format!("{l}\n")).collect();
    says(&of(&few), 0, &["1 not tested"]);
    let table = std::fs::read_to_string(d.path().join("results/other/additivity.csv")).expect("the table");
    assert!(table.contains("a class has fewer than 2 samples (6, 6, 1, 6)"), "{table}");
    let none: String = text.lines().filter(|l| !l.starts_with("C,")).map(|l| format!("{l}\n")).collect();
    says(&of(&none), 0, &["1 labels cannot be tested"]);
    let table = std::fs::read_to_string(d.path().join("results/other/additivity.csv")).expect("the table");
    assert!(table.contains("no samples of C alone"), "{table}");
    says(&of(&text.replace("A,0,1.75,", "A,0,,")), 2, &["line 8, column \"x\": the cell is empty"]);
    let study = |text: &str| {
        let f = write(d.path(), "study.toml", text);
        run(d.path(), &["interactions", f.to_str().expect("utf-8")])
    };
    says(
        &study("name = \"s\"\n[oracle]\nuse = \"latent_shift\"\nsample = 5\n[test.a]\nuse = \"additivty\"\n"),
        2,
        &["2 mistakes", "did you mean `samples`?", "did you mean `additivity`?"],
    );
    says(&study("name = \"s\"\n[test.a]\nuse = \"additivity\"\n"), 2, &["either an [oracle]"]);
    says(&study("name = \"s\"\n[oracle]\nuse = \"latent_shift\"\n"), 2, &["no test; add a section"]);
    says(
        &study("name = \"s\"\n[oracle]\nuse = \"latent_dag\"\n[test.a]\nuse = \"additivity\"\n"),
        2,
        &["gives no samples of control"],
    );
}

#[test]
fn labels_and_pools_of_pairs_that_cannot_work_are_explained() {
    let d = dir();
    let of = |rows: &str| {
        let file = write(d.path(), "wells.csv", &format!("perturbation,x\nNT,1\nNT,1\n{rows}"));
        let file = file.to_str().expect("utf-8").to_string();
        run(d.path(), &["interactions", "--samples", &file, "--control", "NT", "--test", "additivity"])
    };
    says(&of("A,2\nB,3\nA++B,4\n"), 2, &["row 5: the label `A++B` has an empty part", "two genes joined by `+`"]);
    says(&of("A,2\nB,3\nA_B,4\n"), 2, &["no pair can be tested", "--separator"]);
    // Samples that are all alike deviate from nothing.
    let alike = "A,1\nA,1\nB,1\nB,1\nA+B,1\nA+B,1\n";
    says(&of(alike), 0, &["1 pairs; 0 called"]);
    let table = std::fs::read_to_string(d.path().join("results/wells/additivity.csv")).expect("the table");
    assert!(table.contains("0,A+B,A,B,0.0,1.0,1.0,false,"), "{table}");
    let screen = |batch: usize, rank: usize| {
        let text = format!(
            "name = \"tiny\"\nseeds = {{ from = 0, count = 1 }}\nrounds = 1\nbatch = {batch}\nmetrics = [\"hit_ratio\"]\n\
             [target]\ndirection = \"max\"\n[pool]\ntest = 0.0\ninit = 2\n[oracle]\nuse = \"reward_matrix\"\ngenes = 4\n\
             rank = 2\n[model]\nuse = \"low_rank_matrix\"\nrank = {rank}\n[acquisition]\nuse = \"ids\"\n"
        );
        scenario(d.path(), &text)
    };
    says(&screen(10, 2), 2, &["asks for 12 perturbations (2 initial + 1 rounds x 10)", "only 6 are left"]);
    says(&screen(2, 7), 3, &["rank = 7 is larger than a matrix of 4 genes can have; lower the rank"]);
}

#[test]
fn a_simulated_study_of_interactions_knows_its_truth() {
    let d = dir();
    let text = "name = \"mix\"\nseeds = { from = 0, count = 2 }\n[oracle]\nuse = \"latent_mixture\"\nsamples = 300\nlayers = 0\n\
                laws = { A = { component = 1, at = 5 }, B = { component = 2, at = 5 }, C = { component = 2, at = -5 }, \
                \"B+C\" = { component = 2, at = 20 } }\nweights = [0.3, 0.3, 0.4]\n[test.additivity]\nuse = \"additivity\"\n";
    let file = write(d.path(), "mix.toml", text);
    let r = run(d.path(), &["interactions", file.to_str().expect("utf-8")]);
    says(&r, 0, &["the pairs that interact in truth rank first in 2 of 2 seeds", "0 of them wrong; 2 of 2 found"]);
    let table = std::fs::read_to_string(d.path().join("results/mix/additivity.csv")).expect("the table");
    assert!(table.contains(",relation,") && table.contains(",interacting,") && table.contains(",disjoint,"), "{table}");
    assert!(d.path().join("results/mix/additivity_volcano.png").exists());
}

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
    let t = dir();
    let d = t.path();
    write(d, "p.toml", PLANS);
    let r = run(d, &["power", "p.toml"]);
    says(
        &r,
        0,
        &["4 plans x 20 worlds of 300 perturbations", "recommended for 6000 USD", "<- recommended", "cost.svg"],
    );
    let table = framework::table::read(&d.join("results/plans/plans.csv")).unwrap();
    assert_eq!(table.height(), 4);
    for name in ["cells", "rounds", "cost", "detectable_effect", "recall", "cost_per_hit", "recommended"] {
        assert!(table.column(name).is_some(), "{name}");
    }
    assert!(d.join("results/plans/cells.svg").is_file());
    // The same on one thread, another budget on the command line.
    let first = std::fs::read(d.join("results/plans/plans.csv")).unwrap();
    says(&run(d, &["power", "p.toml", "--threads", "1"]), 0, &["plans.csv"]);
    assert_eq!(std::fs::read(d.join("results/plans/plans.csv")).unwrap(), first);
    says(&run(d, &["power", "p.toml", "--budget", "10"]), 0, &["no plan fits 10 USD, the cheapest costs"]);

    let wrong = |from: &str, to: &str, texts: &[&str]| {
        write(d, "w.toml", &PLANS.replace(from, to));
        says(&run(d, &["power", "w.toml"]), 2, texts);
    };
    wrong("cells =", "cels =", &["unknown key `cels`", "`cells`", "w.toml:"]);
    wrong("cells = [10, 100]", "cells = []", &["at least one number", "^"]);
    wrong("batch = [50]", "batch = [500]", &["every plan measures more than the 300 perturbations"]);
    wrong("[effects]\nactive = 0.2\nsd = 1.0", "", &["none of [pilot], [oracle] and [effects]"]);
    wrong("active = 0.2", "active = 2", &["must be above 0 and at most 1"]);
    wrong("r2 = 0.3", "r2 = 1.0", &["at least 0 and below 1"]);
    wrong(
        "active = 0.2\nsd = 1.0",
        "active = 0.2\nsd = 1.0\n[target]\nhit_threshold = 99",
        &["no perturbation of any world is a hit"],
    );
    wrong(
        "[effects]\nactive = 0.2\nsd = 1.0",
        "[oracle]\nuse = \"latent_dag\"\ngenes = 50\nreadout = \"profile\"",
        &["one number a perturbation"],
    );
    wrong("[effects]\nactive = 0.2\nsd = 1.0", "[pilot]\npath = \"none.csv\"", &["none.csv"]);
    says(&run(d, &["power", "p.toml", "--budget", "-3"]), 2, &["budget"]);
    says(&run(d, &["power", "p.toml", "--worlds", "1"]), 2, &["at least 2"]);
}

#[test]
fn shipped_plans_need_no_data_but_the_pilot() {
    let t = dir();
    let study = root().join("scenarios/power/planning.toml");
    says(&run(t.path(), &["power", study.to_str().unwrap(), "--worlds", "3"]), 0, &["recommended for 30000 USD"]);
    let pilot = root().join("scenarios/power/pilot.toml");
    says(&run(t.path(), &["power", pilot.to_str().unwrap(), "--worlds", "2"]), 2, &["schmidt2021_ifng_donors.csv.gz"]);
    if let Some(data) = data_root() {
        let args = ["power", pilot.to_str().unwrap(), "--worlds", "2", "--data-dir", data.to_str().unwrap()];
        says(&run(t.path(), &args), 0, &["brought to", "recommended for"]);
    }
}

#[test]
fn unreadable_runs_are_named_and_skipped() {
    let t = dir();
    let d = t.path();
    says(&scenario(d, TINY), 0, &["9 runs: 9 ok", "report.html"]);
    let folders: Vec<_> = std::fs::read_dir(d.join("results/tiny"))
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.join("run.json").is_file())
        .collect();
    assert_eq!(folders.len(), 9);
    std::fs::write(folders[0].join("run.json"), "{ broken").unwrap();
    let rounds = std::fs::read(folders[1].join("rounds.parquet")).unwrap();
    std::fs::write(folders[1].join("rounds.parquet"), &rounds[..rounds.len() / 2]).unwrap();
    let name = |k: usize| folders[k].file_name().unwrap().to_string_lossy().into_owned();
    let r = run(d, &["report", "s.toml"]);
    says(&r, 3, &["warning:", "2 of 9 runs are missing", "delete", &name(0), &name(1)]);
    assert!(std::fs::read_to_string(d.join("results/tiny/report/report.html")).unwrap().contains(&name(0)));
    says(&run(d, &["results", "export", "tiny"]), 3, &["of 7 runs", "unreadable run, skipped", &name(0), &name(1)]);
    says(&run(d, &["results", "list"]), 0, &["8 finished", "1 unreadable"]);
    // An older layout is read, a newer one named.
    let json = std::fs::read_to_string(folders[2].join("run.json")).unwrap();
    std::fs::write(folders[2].join("run.json"), json.replace("\"format\": 1", "\"format\": 0")).unwrap();
    std::fs::write(
        folders[3].join("run.json"),
        std::fs::read_to_string(folders[3].join("run.json")).unwrap().replace("\"format\": 1", "\"format\": 9"),
    )
    .unwrap();
    says(&run(d, &["report", "s.toml"]), 3, &["3 of 9 runs are missing", "newer version"]);
    // What was deleted is computed again and nothing else.
    folders[..2].iter().for_each(|f| std::fs::remove_dir_all(f).unwrap());
    std::fs::remove_dir_all(&folders[3]).unwrap();
    says(&run(d, &["run", "s.toml"]), 0, &["6 finished, 3 to do", "9 runs: 9 ok"]);
}

#[test]
fn several_scenarios_are_compared_arm_by_arm() {
    let t = dir();
    let d = t.path();
    for (name, genes) in [("a", "120"), ("b", "90")] {
        let text = TINY
            .replace("name = \"tiny\"", &format!("name = \"{name}\""))
            .replace("genes = 120", &format!("genes = {genes}"));
        write(d, &format!("{name}.toml"), &text);
        says(&run(d, &["run", &format!("{name}.toml")]), 0, &["9 runs: 9 ok"]);
    }
    let r = run(d, &["report", "a.toml", "b.toml"]);
    says(&r, 0, &["a / random", "b / greedy", "report.html"]);
    let ranks = framework::table::read(&d.join("results/a+b/report/ranks.csv")).unwrap();
    let first: Vec<&str> = ranks.text("metric").unwrap();
    assert_eq!(first.iter().filter(|m| **m == "hit_ratio").count(), 3, "methods are arms, whatever the scenario");
    assert_eq!(ranks.integers("n_blocks").unwrap()[0], 6, "two scenarios of three seeds");
    write(d, "c.toml", &TINY.replace("\"hit_ratio\", \"rmse\"", "\"spearman\"").replace("tiny", "c"));
    says(&run(d, &["report", "a.toml", "c.toml"]), 2, &["c.toml: no finished run", "screenwright run c.toml"]);
    says(&run(d, &["run", "c.toml"]), 0, &["9 ok"]);
    says(&run(d, &["report", "a.toml", "c.toml"]), 2, &["share no metric"]);
}

#[test]
fn a_paper_says_what_is_missing_and_makes_the_rest() {
    let t = dir();
    let d = t.path();
    write(
        d,
        "tiny.toml",
        &format!(
            "{TINY}\n[[claim]]\ntext = \"greedy finds more than random\"\nbetter = {{ \"acquisition\" = \"greedy\" }}\nthan = {{ \"acquisition\" = \"random\" }}\n"
        ),
    );
    let listing = "[[item]]\nid = \"one\"\npaper = \"Them\"\nwhat = \"Fig. 1 | all\"\nscenario = \"tiny.toml\"\nfigure = \"curves_hit_ratio\"\n\
                   table = \"arms\"\ncolumns = [\"arm\", \"final_mean\"]\nmetric = \"rmse\"\nwidth_mm = 89\nhours = 0.5\n";
    write(d, "paper/paper.toml", listing);
    says(
        &run(d, &["paper"]),
        3,
        &["one", "missing    9 of 9 runs, about 30 min of one core: screenwright run tiny.toml", "0 of 1 items"],
    );
    says(&run(d, &["run", "tiny.toml"]), 0, &["9 ok"]);
    says(&run(d, &["paper", "--check"]), 0, &["complete", "1 of 1 items"]);
    assert!(!d.join("paper/figures").exists());
    says(&run(d, &["paper"]), 0, &["made       figures/one.svg", "1 of 1 items"]);
    let svg = std::fs::read_to_string(d.join("paper/figures/one.svg")).unwrap();
    assert!(svg.contains("width=\"89mm\"") && svg.contains("<text"), "vector text at its width in print");
    let tex = std::fs::read_to_string(d.join("paper/tables/one.tex")).unwrap();
    assert!(tex.contains("arm & final mean \\\\") && tex.contains("\\toprule"), "{tex}");
    let csv = framework::table::read(&d.join("paper/tables/one.csv")).unwrap();
    assert_eq!((csv.height(), csv.names()), (3, vec!["arm", "final_mean"]));
    let readme = std::fs::read_to_string(d.join("paper/README.md")).unwrap();
    for part in
        ["## Them", "greedy finds more than random", "[svg](figures/one.svg)", "[tex](tables/one.tex)", "9 runs"]
    {
        assert!(readme.contains(part), "{part}\n{readme}");
    }
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(d.join("paper/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["items"]["one"]["runs"].as_array().unwrap().len(), 9);
    // Made again from the same runs: the same bytes. Without the runs: what was made stays.
    let before = (svg, readme);
    says(&run(d, &["paper"]), 0, &["1 of 1"]);
    let now = || {
        (
            std::fs::read_to_string(d.join("paper/figures/one.svg")).unwrap(),
            std::fs::read_to_string(d.join("paper/README.md")).unwrap(),
        )
    };
    assert_eq!(now(), before);
    std::fs::remove_dir_all(d.join("results")).unwrap();
    says(&run(d, &["paper"]), 3, &["made before, kept"]);
    assert_eq!(now(), before);
    assert!(
        !std::fs::read_dir(d.join("paper"))
            .unwrap()
            .flatten()
            .any(|e| e.file_name().to_string_lossy().starts_with(".making"))
    );

    let wrong = |from: &str, to: &str, texts: &[&str]| {
        write(d, "paper/w.toml", &listing.replace(from, to));
        says(&run(d, &["paper", "paper/w.toml"]), 2, texts);
    };
    wrong(
        "figure = \"curves_hit_ratio\"\ntable = \"arms\"\ncolumns = [\"arm\", \"final_mean\"]\nmetric = \"rmse\"\n",
        "",
        &["neither figure nor table"],
    );
    wrong("what =", "whta =", &["whta", "[[item]]"]);
    wrong("tiny.toml", "none.toml", &["none.toml"]);
    says(&run(d, &["paper", "--only", "nothing"]), 2, &["no item with `nothing`", "one"]);
    says(&run(d, &["run", "tiny.toml"]), 0, &["9 ok"]);
    wrong("curves_hit_ratio", "curves_hits", &["no figure `curves_hits`", "curves_hit_ratio"]);
    wrong("final_mean", "final", &["no column `final`", "final_mean"]);
}

#[test]
fn plugin_pages_name_every_plugin() {
    let t = dir();
    says(&run(t.path(), &["plugins", "pages", "out"]), 0, &["acquisition.md"]);
    for entry in framework::plugin::catalogue() {
        let page = std::fs::read_to_string(t.path().join(format!("out/{}.md", entry.kind.word()))).unwrap();
        assert!(
            page.contains(&format!("## `{0}` {{#{0}}}", entry.name)) && page.contains(entry.summary),
            "{}",
            entry.name
        );
    }
}
