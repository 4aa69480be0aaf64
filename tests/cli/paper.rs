//! The figures and tables of a paper, from finished runs.

use crate::common::*;

#[test]
fn what_is_missing_is_told_and_the_rest_is_made() {
    let mut s = Session::new();
    let claim = "[[claim]]\ntext = \"greedy finds more than random\"\nbetter = { \"acquisition\" = \"greedy\" }\n\
                 than = { \"acquisition\" = \"random\" }\n";
    s.write("tiny.toml", &format!("{TINY}\n{claim}"));
    let listing = "[[item]]\nid = \"one\"\npaper = \"Them\"\nwhat = \"Fig. 1 | all\"\nscenario = \"tiny.toml\"\nfigure = \"curves_hit_ratio\"\n\
                   table = \"arms\"\ncolumns = [\"arm\", \"final_mean\"]\nmetric = \"rmse\"\nwidth_mm = 89\nhours = 0.5\n";
    s.write("paper/paper.toml", listing);
    s.run(3, "paper");
    says(&s.silently(0, "run tiny.toml"), &["9 ok"]);
    s.note("after the runs");
    s.run(0, "paper --check");
    assert!(!s.path().join("paper/figures").exists());
    s.run(0, "paper");
    let svg = s.read("paper/figures/one.svg");
    assert!(svg.contains("width=\"89mm\"") && svg.contains("<text"), "vector text at its width in print");
    let tex = s.read("paper/tables/one.tex");
    assert!(tex.contains("arm & final mean \\\\") && tex.contains("\\toprule"), "{tex}");
    let csv = s.table("paper/tables/one.csv");
    assert_eq!((csv.height(), csv.names()), (3, vec!["arm", "final_mean"]));
    let readme = s.read("paper/README.md");
    for part in
        ["## Them", "greedy finds more than random", "[svg](figures/one.svg)", "[tex](tables/one.tex)", "9 runs"]
    {
        assert!(readme.contains(part), "{part}\n{readme}");
    }
    let manifest: serde_json::Value = serde_json::from_str(&s.read("paper/manifest.json")).expect("JSON");
    assert_eq!(manifest["items"]["one"]["runs"].as_array().expect("a list").len(), 9);
    // Made again from the same runs: the same bytes. Without the runs: what was made stays.
    let before = (svg, readme);
    says(&s.silently(0, "paper"), &["1 of 1"]);
    let now = |s: &Session| (s.read("paper/figures/one.svg"), s.read("paper/README.md"));
    assert_eq!(now(&s), before);
    std::fs::remove_dir_all(s.path().join("results")).expect("remove");
    s.note("without the runs");
    s.run(3, "paper");
    assert_eq!(now(&s), before);
    let left = std::fs::read_dir(s.path().join("paper")).expect("a folder").flatten();
    assert!(!left.map(|e| e.file_name()).any(|n| n.to_string_lossy().starts_with(".making")));

    let mut wrong = |from: &str, to: &str| {
        assert!(listing.contains(from), "{from}");
        s.write("paper/w.toml", &listing.replace(from, to));
        s.note(&format!("{from:?} becomes {to:?}"));
        s.run(2, "paper paper/w.toml");
    };
    wrong(
        "figure = \"curves_hit_ratio\"\ntable = \"arms\"\ncolumns = [\"arm\", \"final_mean\"]\nmetric = \"rmse\"\n",
        "",
    );
    wrong("what =", "whta =");
    wrong("tiny.toml", "none.toml");
    s.run(2, "paper --only nothing");
    s.silently(0, "run tiny.toml");
    let mut wrong = |from: &str, to: &str| {
        s.write("paper/w.toml", &listing.replace(from, to));
        s.note(&format!("{from:?} becomes {to:?}"));
        s.run(2, "paper paper/w.toml");
    };
    wrong("curves_hit_ratio", "curves_hits");
    wrong("final_mean", "final");
    s.matches("paper");
}
