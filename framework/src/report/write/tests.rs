use super::*;
use crate::report::model::fixtures::{gallery, grid, study, tiny, two_rules_in_two_assays, words};
use crate::report::model::published_curves::PublishedCurves;
use crate::report::model::published_values::{PublishedTable, PublishedValue};
use crate::report::model::report::Comparisons;
use crate::report::model::study::StudyArm;
use crate::report::model::view::Along;
use crate::report::text::terminal::table;
use crate::store::Seconds;
use std::collections::BTreeMap;

fn of(study: Study) -> Report {
    Report { study, ..Report::default() }
}

/// Where the figures go: a folder that is removed at the end, unless SCREENWRIGHT_KEEP names one that is to stay for
/// looking at them.
fn folder(name: &str) -> (PathBuf, bool) {
    match std::env::var_os("SCREENWRIGHT_KEEP") {
        Some(dir) => (PathBuf::from(dir).join(name), true),
        None => (std::env::temp_dir().join(format!("screenwright-report-{}-{name}", std::process::id())), false),
    }
}

#[test]
fn every_study_is_drawn_and_written() {
    for (name, study) in gallery() {
        let (dir, keep) = folder(name);
        let report = of(study);
        let paths = write(&report, &dir).unwrap();
        if keep {
            std::fs::write(dir.join("table.txt"), table(&report)).unwrap();
        }
        for path in &paths {
            assert!(path.metadata().unwrap().len() > 0, "{}", path.display());
        }
        let svg = paths.iter().find(|p| p.ends_with("curves_hit_ratio.svg")).unwrap();
        let svg = std::fs::read_to_string(svg).unwrap();
        assert!(svg.contains("<text") && svg.contains("perturbations measured"));
        assert!(table(&report).lines().all(|l| l.chars().count() <= 130), "{}", table(&report));
        if !keep {
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

#[test]
fn grids_of_two_axes_have_a_heat_map() {
    let (_, twelve) = gallery().into_iter().find(|(name, _)| *name == "twelve").unwrap();
    let (dir, keep) = folder("heat");
    let paths = write(&of(twelve.clone()), &dir).unwrap();
    let svg = std::fs::read_to_string(dir.join("heat_hit_ratio.svg")).unwrap();
    assert!(paths.contains(&dir.join("heat_hit_ratio.png")) && svg.contains("after the last round (larger is better)"));
    let first = &Summary::of(&twelve).rows[0];
    assert!(svg.contains(&format!("{:.2}", first.final_mean)), "the number stands in its cell");
    assert!(svg.contains(&format!("± {:.2}", first.final_half_width)));
    assert!(std::fs::read_to_string(dir.join("report.md")).unwrap().contains("heat_hit_ratio"));
    let (_, one_axis) = &gallery()[1];
    let names = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
    assert!(!write(&of(one_axis.clone()), &dir.join("one")).unwrap().iter().map(names).any(|n| n.starts_with("heat")));
    if !keep {
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn groups_have_their_sections() {
    let study = two_rules_in_two_assays();
    let report = Report { study, view: View { by: vec!["rule".into()], ..View::default() }, ..Report::default() };
    let text = table(&report);
    assert!(text.contains("By rule") && text.contains("+27.5 %"), "{text}");
    let (dir, keep) = folder("groups");
    write(&report, &dir).unwrap();
    let markdown = std::fs::read_to_string(dir.join("report.md")).unwrap();
    assert!(markdown.contains("## By rule") && markdown.contains("| ucb | 2 |"), "{markdown}");
    assert!(std::fs::read_to_string(dir.join("groups.csv")).unwrap().contains("ucb,hit_ratio,2,"));
    if !keep {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn equal_studies_give_equal_files() {
    let report = of(gallery().remove(4).1);
    let dirs = ["first", "second"].map(|d| folder(&format!("equal-{d}")).0);
    let [a, b] = dirs.clone().map(|d| write(&report, &d).unwrap());
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert!(std::fs::read(a).unwrap() == std::fs::read(b).unwrap(), "{} differs", a.display());
    }
    assert_eq!(std::fs::read_dir(&dirs[0]).unwrap().count(), a.len(), "nothing else is left in the folder");
    dirs.iter().for_each(|d| std::fs::remove_dir_all(d).unwrap());
}

#[test]
fn files_say_what_the_numbers_are() {
    let study = tiny([&[(1, 4.0), (2, 6.0)], &[(1, 2.0), (2, 5.0)], &[(1, 100.0)]]);
    let (dir, _) = folder("text");
    write(&of(study), &dir).unwrap();
    let markdown = std::fs::read_to_string(dir.join("report.md")).unwrap();
    assert!(markdown.contains(r"bad\|worse") && markdown.contains("![curves_mse](curves_mse.svg)"));
    let arms = ::table::read(&dir.join("arms.csv")).unwrap();
    assert_eq!(arms.text("arm").unwrap(), ["good, better", "control", "bad|worse"]);
    assert_eq!(arms.integers("aulc_pairs").unwrap(), [2, 0, 1]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn nothing_to_report_and_nowhere_to_write_are_errors() {
    let (dir, _) = folder("errors");
    let empty = of(tiny([&[], &[], &[]]));
    let message = write(&empty, &dir).unwrap_err().to_string();
    assert_eq!(message, "the study `tiny` has no finished run to report; run its scenario first");
    assert!(table(&empty).contains("no finished run") && !dir.exists());

    let study = tiny([&[(1, 4.0)], &[(1, 2.0)], &[(1, 3.0)]]);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("file"), "in the way").unwrap();
    let message = write(&of(study), &dir.join("file")).unwrap_err().to_string();
    assert!(message.contains("making the report's folder failed") && message.contains("Move the file"), "{message}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_axis_moves_figures_and_not_the_areas() {
    let mut s = of(study(&words("random ucb"), Some(0), 3, 4));
    let before = Summary::of(&s.study).rows[0].aulc_mean;
    s.view.cost = crate::scenario::Cost { per_perturbation: 2.0, per_round: 100.0, months_per_round: 0.5 };
    s.view.along = Along::Cost;
    assert_eq!(Summary::of(&s.study).rows[0].aulc_mean, before);
    let (dir, _) = folder("axis");
    write(&s, &dir).unwrap();
    assert!(std::fs::read_to_string(dir.join("curves_mse.svg")).unwrap().contains("cost (USD)"));
    let t = ::table::read(&dir.join("curves.csv")).unwrap();
    assert_eq!(t.numbers("cost").unwrap()[..2], [192.0, 484.0]);
    assert_eq!(t.numbers("months").unwrap()[..2], [0.0, 0.5]);
    assert_eq!(t.numbers("n_measured").unwrap()[..2], [96.0, 192.0]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn speed_ups_claims_and_published_curves_have_their_files_and_sections() {
    use crate::scenario::{Assertion, At, Claim};
    let mut s = of(study(&words("random ucb core_set bait max_dist lcmd"), Some(0), 5, 6));
    let claim = |text: &str, says, better: &[usize]| Claim {
        text: text.into(),
        metric: "hit_ratio".into(),
        says,
        better: better.to_vec(),
        than: vec![0],
        all_of: false,
    };
    s.comparisons.claims = vec![
        claim("ucb | beats random", Assertion::Better(At::Last), &[1]),
        claim("twice as fast", Assertion::Sooner(2.0), &[1, 2]),
        claim("an arm of another form", Assertion::Better(At::Aulc), &[]),
    ];
    s.view.target = Some(0.3);
    let pair = |i: usize| (i, StudyArm { runs: s.study.arms[(i + 1) % 6].runs.clone(), ..s.study.arms[i].clone() });
    s.comparisons.curves = Some(PublishedCurves {
        source: "paper.csv".into(),
        metrics: vec![("mse".into(), "loss".into())],
        arms: (0..6).map(pair).collect(),
        notes: vec![],
    });
    s.comparisons.values = Some(PublishedTable {
        source: "table.csv".into(),
        rows: vec![PublishedValue { arm: 1, metric: "mse".into(), value: 0.5, error: 0.1 }],
        notes: vec!["no row for mse of bait".into()],
    });
    let (dir, keep) = folder("sections");
    write(&s, &dir).unwrap();
    let text = table(&s);
    for part in [
        "Claims",
        "not run",
        "speed-up over reference (hit_ratio)",
        "hit_ratio at 0.3",
        "Published curves of paper.csv",
        "Published numbers of table.csv",
        "no row for mse of bait",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.lines().all(|l| l.chars().count() <= 130), "{text}");
    let markdown = std::fs::read_to_string(dir.join("report.md")).unwrap();
    for part in [
        "## Claims",
        "ucb \\| beats random",
        "## Speed-up",
        "## Published curves",
        "published_mse.svg",
        "## Published numbers",
    ] {
        assert!(markdown.contains(part), "{part}\n{markdown}");
    }
    let speed = ::table::read(&dir.join("speedup.csv")).unwrap();
    assert_eq!(speed.height(), 6 * 5 + 6);
    assert_eq!(::table::read(&dir.join("claims.csv")).unwrap().text("verdict").unwrap()[2], "not run");
    assert_eq!(::table::read(&dir.join("published.csv")).unwrap().height(), 36);
    let beside = ::table::read(&dir.join("published_values.csv")).unwrap();
    let number = |c: &str| beside.numbers(c).unwrap()[0];
    assert!((number("apart_in_se") - (number("ours") - 0.5) / 0.1).abs() < 1e-9);
    if keep {
        std::fs::write(dir.join("table.txt"), &text).unwrap();
    }
    // What an earlier report wrote and this one does not say is gone.
    s.comparisons = Comparisons::default();
    write(&s, &dir).unwrap();
    assert!(["claims.csv", "published.csv", "published_values.csv"].iter().all(|f| !dir.join(f).exists()));
    if !keep {
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// The data of a page, read back from its text.
fn data_of(html: &str) -> serde_json::Value {
    let open = "<script type=\"application/json\" id=\"study\">";
    let from = html.find(open).unwrap() + open.len();
    let to = from + html[from..].find("</script>").unwrap();
    serde_json::from_str(&html[from..to]).unwrap()
}

#[test]
fn the_page_holds_the_whole_study_and_needs_nothing_else() {
    let (dir, _) = folder("page");
    let mut s = study(&grid("random ucb </script><b>", "ridge gp"), Some(0), 4, 6);
    s.question = "Which & why?".into();
    s.command = "screenwright run x.toml".into();
    s.seeds = (0..4).collect();
    for (a, arm) in s.arms.iter_mut().enumerate() {
        arm.settings = BTreeMap::from([("model.noise".into(), (a % 2).to_string()), ("batch".into(), "8".into())]);
        arm.seconds = Some(Seconds { fit: 1.0, ..Seconds::default() });
        for run in &mut arm.runs {
            run.values.insert("weight ppi".into(), vec![0.25; 6]);
        }
    }
    s.provenance = vec![("program".into(), "screenwright 0".into())];
    let report = of(s);
    write(&report, &dir).unwrap();
    let html = std::fs::read_to_string(dir.join("report.html")).unwrap();
    // The one address is the name of SVG's namespace.
    let others = html.replace("http://www.w3.org/2000/svg", "");
    assert!(!others.contains("://") && !html.contains("{{"), "asks for nothing");
    let data = data_of(&html);
    assert_eq!(data["arms"].as_array().unwrap().len(), 6);
    assert_eq!(data["arms"][4]["label"], "</script><b> / ridge");
    assert_eq!(data["settings"], serde_json::json!(["model.noise"]), "only what differs");
    assert_eq!(data["curves"].as_array().unwrap().len(), 3);
    assert_eq!(data["curves"][0][5]["mean"].as_array().unwrap().len(), 6);
    assert_eq!(data["traces"][0]["curves"][0]["label"], "ppi");
    assert_eq!(data["arms"][0]["seconds"]["fit"], 1);
    let mean = data["summary"][0][1]["aulc"].as_f64().unwrap();
    assert!((mean - Summary::of(&report.study).rows[3].aulc_mean).abs() < 1e-5 * mean.abs(), "six digits");
    let looks: Vec<String> = data["arms"].as_array().unwrap().iter().map(|a| a["look"].to_string()).collect();
    let mut own = looks.clone();
    own.sort();
    own.dedup();
    assert_eq!(own.len(), 6, "each method its own look: {looks:?}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn one_column_of_a_journal_has_figures_of_its_own() {
    let (dir, keep) = folder("narrow");
    let s = study(&words("random ucb thompson expected_improvement"), Some(0), 5, 8);
    let size = |narrow| -> (f64, f64) {
        write_curves(&s, &View { narrow, ..View::default() }, &dir, "curve").unwrap();
        let svg = std::fs::read_to_string(dir.join("curve_hit_ratio.svg")).unwrap();
        let number = |name: &str| {
            let from = svg.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
            svg[from..].split('"').next().unwrap().parse::<f64>().unwrap()
        };
        (number("width"), number("height"))
    };
    assert!(size(false).0 >= 900.0);
    let (width, height) = size(true);
    // At 89 mm letters of 12 pixels are at least 6 points high (2.1 mm).
    assert!(12.0 * 89.0 / width >= 2.1 && height < 500.0, "{width} x {height}");
    let svg = std::fs::read_to_string(dir.join("curve_hit_ratio.svg")).unwrap();
    assert!(svg.contains("taken out") && svg.contains("thompson"), "the caption is whole");
    let definition = crate::metric::find("hit_ratio").unwrap().definition.split(';').next().unwrap();
    let last = definition.split_whitespace().last().unwrap();
    assert!(svg.contains(last), "the definition is whole: `{last}` of {definition}");
    if !keep {
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
