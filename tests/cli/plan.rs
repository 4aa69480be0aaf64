//! What would run: grids, variants, strategies.

use crate::common::*;
use crate::scenarios::judged;

#[test]
fn grids_skip_merge_and_word_priors() {
    let mut s = Session::new();
    let text = TINY
        .replace(
            "[prior.knowledge]\nuse = \"simulated\"",
            "[prior.a]\nuse = \"simulated\"\n[prior.b]\nuse = \"simulated\"\n[prior.c]\nuse = \"simulated\"\n\
             informativeness = 0.1",
        )
        .replace("[model]\nuse = \"ridge\"", "[model]\nuse = \"mean\"")
        .replace("[grid]", "[grid]\n\"prior\" = [\"all\", \"each_alone\", \"leave_one_out\"]")
        .replace("{ use = \"greedy\" }, ", "")
        .replace("[compare]", "[[skip]]\n\"acquisition\" = \"random\"\nnot = { \"prior\" = \"all\" }\n\n[compare]");
    s.write("tiny.toml", &text);
    s.note("seven subsets of three priors under max_dist, and one control");
    says(&s.run(0, "plan tiny.toml"), &["8 arms x 3 seeds = 24 runs"]);
    s.note("of two priors each alone is what leaving the other out leaves");
    s.write("two.toml", &text.replace("[prior.c]\nuse = \"simulated\"\ninformativeness = 0.1", ""));
    says(&s.run(0, "plan two.toml"), &["4 arms x 3 seeds"]);
    s.note("a rule that skips everything");
    let none = text.replace("not = { \"prior\" = \"all\" }", "");
    s.write("none.toml", &none.replace("\"acquisition\" = \"random\"", "\"rounds\" = 3"));
    s.run(2, "plan none.toml");
    s.matches("plan_grids");
}

#[test]
fn variants_have_folders_of_their_own() {
    let mut s = Session::new();
    s.write("tiny.toml", &judged(s.path()));
    s.run(0, "plan tiny.toml --variant short --data-dir .");
    s.run(0, "plan tiny.toml --variant short --variant gp --quick --data-dir .");
    s.run(2, "report tiny.toml --variant short --data-dir .");
    s.note("an arm that a claim needs is left out");
    let r = s.run(0, "run tiny.toml --variant short --data-dir . -j 1");
    says(&r, &["6 runs: 6 ok", "not run"]);
    assert!(s.path().join("results/tiny-short.parquet").is_file() && !s.path().join("results/tiny").exists());
    says(&s.silently(0, "report tiny.toml --variant short --data-dir ."), &["(6 finished, 0 to do)"]);
    s.run(2, "plan tiny.toml --variant shrot --data-dir .");
    s.write("plain.toml", TINY);
    s.run(2, "plan plain.toml --variant x");
    s.matches("plan_variants");
}

#[test]
fn variants_of_strategies_are_checked() {
    let mut s = Session::new();
    let text = TINY.split("[grid]").next().expect("the part before the grid").to_string()
        + "[strategy.near]\nacquisition = { use = \"lcmd\" }\nkernel = { use = \"rbf\" }\n\
           [strategy.far]\nacquisition = { use = \"max_dist\" }\n\
           [variant.p]\n\"strategy.far.acquisition.mode\" = \"p\"\n\
           [variant.bad]\n\"strategy.far.acquisition.moode\" = \"p\"\n\"model.use\" = \"rigde\"\n";
    s.write("s.toml", &text);
    says(&s.run(0, "plan s.toml --variant p"), &["2 arms"]);
    s.run(2, "plan s.toml --variant bad");
    s.note("unused variants are checked as far as their keys");
    s.mistake("plan bad.toml", &text, "\"model.use\"", "\"modl.use\"");
    let (far, none) = ("strategy.far.acquisition.mode\"", "strategy.fra.acquisition.mode\"");
    s.mistake("plan bad.toml --variant p", &text, far, none);
    s.matches("plan_strategies");
}
