//! What each verb says of itself.

use crate::common::*;

/// The verbs that a help text lists.
fn verbs(help: &str) -> Vec<String> {
    let listed = help.split("Commands:\n").nth(1).and_then(|t| t.split("\n\n").next()).unwrap_or_default();
    let names = listed.lines().filter_map(|l| l.strip_prefix("  ").filter(|l| !l.starts_with(' ')));
    names.filter_map(|l| l.split_whitespace().next()).filter(|v| *v != "help").map(str::to_string).collect()
}

#[test]
fn every_verb_has_help_with_examples_and_exit_codes() {
    let mut s = Session::new();
    let all = s.run(0, "--help");
    assert_eq!(verbs(&all.out).len(), 12, "{}", all.out);
    for verb in verbs(&all.out) {
        let help = s.run(0, &format!("{verb} --help"));
        for below in verbs(&help.out) {
            s.run(0, &format!("{verb} {below} --help"));
        }
    }
    s.run(2, "rnu");
    s.matches("help");
}

#[test]
fn completions_are_for_three_shells() {
    let mut s = Session::new();
    for shell in ["bash", "zsh", "fish"] {
        let r = s.silently(0, &format!("completions {shell}"));
        let verbs = ["interactions", "suggest", "--data-dir"].map(|w| w.trim_start_matches('-'));
        says(&r, &verbs);
        s.note(&format!("{shell}, the first lines"));
        r.out.lines().take(4).for_each(|l| s.note(l));
    }
    s.matches("completions");
}
