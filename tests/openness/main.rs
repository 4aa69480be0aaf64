//! Who may know whom: crates, files and plugins point one way. A new plugin is one file; a crate outside the tree works
//! alike.

#[path = "../common/mod.rs"]
mod common;
mod sources;

use common::*;
use sources::{Crate, tokens};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const KINDS: [&str; 6] = ["acquisition", "interaction", "kernel", "model", "oracle", "prior"];

fn rust_files(dir: &Path, out: &mut Vec<std::path::PathBuf>) {
    for e in std::fs::read_dir(dir).expect("a folder").flatten() {
        let p = e.path();
        if p.is_dir() {
            rust_files(&p, out);
        } else if p.extension().is_some_and(|x| x == "rs") {
            out.push(p);
        }
    }
}

#[test]
fn the_framework_never_imports_a_plugin() {
    let mut files = Vec::new();
    rust_files(&root().join("framework"), &mut files);
    assert!(files.len() > 30);
    for f in &files {
        let text = std::fs::read_to_string(f).expect("source");
        for (i, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let names = code.contains("plugins::") && !code.contains("plugins::Plugins");
            assert!(!names && !code.contains("extern crate plugins"), "{}:{}: {line}", f.display(), i + 1);
        }
    }
}

/// The crates of the house, each with those it may depend on, whatever for.
const CRATES: [(&str, &[&str]); 8] = [
    ("framework/numerics", &[]),
    ("framework/device", &[]),
    ("framework/table", &[]),
    ("framework/cells", &[]),
    ("framework/learn", &["framework/numerics", "framework/device"]),
    ("framework/contract", &["framework/numerics", "framework/device", "framework/table", "framework/cells"]),
    (
        "framework",
        &["framework/contract", "framework/numerics", "framework/device", "framework/table", "framework/cells"],
    ),
    ("plugins", &["framework/contract", "framework/learn"]),
];

#[test]
fn crates_point_one_way() {
    let mut seen = 0;
    for (name, may) in CRATES {
        let folder = root().join(name);
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        for path in text.lines().filter_map(|l| l.split("path = \"").nth(1)?.split('"').next()) {
            let Ok(to) = folder.join(path).canonicalize() else { panic!("{name}: {path}") };
            // A target's file is no crate.
            if to.join("Cargo.toml").is_file() {
                let to = to.strip_prefix(root().canonicalize().expect("a folder")).expect("in the tree");
                assert!(may.iter().any(|m| to == Path::new(m)), "{name} depends on {}", to.display());
                seen += 1;
            }
        }
        // Every crate of the house is named by its path, as above.
        let by_version = |l: &&str| l.starts_with("screenwright") && l.contains('=') && !l.contains("path = ");
        assert_eq!(text.lines().filter(by_version).collect::<Vec<_>>(), [""; 0], "{name}");
    }
    assert!(seen > 10, "{seen} dependencies");
    let crates = std::fs::read_dir(root().join("framework")).expect("a folder").flatten();
    for e in crates.filter(|e| e.path().join("Cargo.toml").is_file()) {
        let name = format!("framework/{}", e.file_name().to_string_lossy());
        assert!(CRATES.iter().any(|c| c.0 == name), "{name} has no place in the order of crates");
    }
}

#[test]
fn files_point_one_way() {
    let mut found = vec![];
    let mut uses = BTreeMap::new();
    for (name, _) in CRATES.iter().filter(|c| c.0 != "plugins") {
        let house = Crate::read(&root().join(name).join("src"));
        uses.insert(*name, house.uses().len());
        found.extend(house.circles().iter().map(|c| format!("{name}/src: {c}")));
    }
    assert!(uses["framework"] > 100 && uses["framework/contract"] > 50, "too few uses are seen: {uses:?}");
    assert!(found.is_empty(), "{} circles:\n{}", found.len(), found.join("\n"));
}

#[test]
fn circles_are_found() {
    let dir = framework::testing::TempDir::new().expect("a folder");
    let circles = |files: &[(&str, &str)]| {
        let _ = std::fs::remove_dir_all(dir.path());
        files.iter().for_each(|(name, text)| drop(write(dir.path(), name, text)));
        Crate::read(dir.path()).circles()
    };
    // Through names that a door hands on, on both sides, and through paths in code.
    let doors = [
        ("lib.rs", "mod a; mod b; pub use a::A; pub use b::{B as Renamed, make};"),
        ("a.rs", "use crate::Renamed;\npub struct A(Renamed);"),
        ("b.rs", "pub struct B;\n\npub fn make() -> Option<crate::a::A> { None }"),
    ];
    assert_eq!(circles(&doors), ["a.rs:1 uses b.rs, b.rs:3 uses a.rs"]);
    // Tests, comments and texts do not count; nor do a door and the files behind it.
    let free = [
        ("lib.rs", "mod a; mod b; pub use b::B;"),
        ("a/mod.rs", "mod c; pub struct A; pub fn open() { c::work(A) }"),
        ("a/c.rs", "use super::A; pub fn work(_: A) { let _ = crate::B; }"),
        (
            "b.rs",
            "pub struct B; // crate::a::A\nconst T: &str = \"crate::a::A\";\n\
             #[cfg(test)]\nmod tests { use super::*; use crate::a::A; }",
        ),
    ];
    assert_eq!(circles(&free), [""; 0]);
    // Folders are one for those outside: no file is in a circle here, but a and b are.
    let folders = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "pub mod one; pub mod two;"),
        ("a/one.rs", "use crate::b; pub fn f() { b::three::f() }"),
        ("a/two.rs", "pub fn g() {}"),
        ("b/mod.rs", "pub mod three; pub mod four;"),
        ("b/three.rs", "pub fn f() {}"),
        ("b/four.rs", "use crate::a::*;\nfn h() { two::g() }"),
    ];
    assert_eq!(circles(&folders), ["a/one.rs:1 uses b/three.rs, b/four.rs:2 uses a/two.rs"]);
    // Three files of one folder, through `super`.
    let three = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod x; mod y; mod z;"),
        ("a/x.rs", "use super::y::{self, Y};\npub struct X;\nfn f() { y::g() }"),
        ("a/y.rs", "pub struct Y; pub fn g() { let _: super::z::Z; }"),
        ("a/z.rs", "pub struct Z; mod inner { use super::super::x::X; }"),
    ];
    assert_eq!(circles(&three), ["a/x.rs:1 uses a/y.rs, a/y.rs:1 uses a/z.rs, a/z.rs:1 uses a/x.rs"]);
}

/// The words of a name, in lower case and without a plural s.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && !before.is_uppercase()) {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().expect("one").extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|w| !w.is_empty());
    words.iter().map(|w| w.trim_end_matches('s').to_string()).collect()
}

/// Code for numbers has no name that speaks of biology or of the program: no name at all in `numerics`, and no module,
/// type or function that `learn` offers (its network on sets calls the members of a set genes, inside).
#[test]
fn numerics_and_learn_know_no_gene() {
    assert_eq!(words("of_genes"), ["of", "gene"]);
    assert_eq!(words("GenePool"), ["gene", "pool"]);
    assert_eq!(words("GENERAL"), ["general"]);
    let mut names = BTreeMap::new();
    let mut wrong = vec![];
    for name in ["framework/numerics", "framework/learn"] {
        let mut files = vec![];
        rust_files(&root().join(name).join("src"), &mut files);
        for f in files {
            let all = tokens(&std::fs::read_to_string(&f).expect("source"));
            let mut depth = 0;
            for (i, t) in all.iter().enumerate() {
                depth += i32::from(t.text == "{") - i32::from(t.text == "}");
                let item = |kind: &str| ["mod", "struct", "enum", "trait", "type", "fn", "const"].contains(&kind);
                let offered = || depth == 0 && i > 1 && item(&all[i - 1].text) && all[i - 2].text == "pub";
                if t.is_name() && (name.ends_with("numerics") || offered()) {
                    *names.entry(name).or_insert(0) += 1;
                    let of = words(&t.text);
                    if ["gene", "pool", "perturbation", "plugin"].iter().any(|w| of.iter().any(|o| o == w)) {
                        wrong.push(format!("{}:{}: {}", f.display(), t.line, t.text));
                    }
                }
            }
        }
    }
    assert!(names["framework/learn"] > 100 && names["framework/numerics"] > 10_000, "{names:?}");
    assert!(wrong.is_empty(), "{} names:\n{}", wrong.len(), wrong.join("\n"));
}

/// Files of a folder belong to the plugin of its name and may reach it; no path leads out of a plugin.
#[test]
fn no_plugin_imports_another() {
    for kind in KINDS {
        let dir = root().join("plugins").join(kind);
        let mut files = Vec::new();
        rust_files(&dir, &mut files);
        for f in &files {
            let folders: Vec<_> = f.strip_prefix(&dir).expect("below its kind").iter().rev().skip(1).collect();
            if let Some(name) = folders.last() {
                let main = dir.join(name).with_extension("rs");
                assert!(main.is_file(), "{} belongs to no plugin: {} is missing", f.display(), main.display());
            }
            let text = std::fs::read_to_string(f).expect("source");
            if let Some((line, code)) = leads_out(&text, folders.len()) {
                panic!("{}:{line} leads out of its plugin: {code}", f.display());
            }
        }
    }
}

/// The first line with a path out of the plugin, in a file so many folders below that of its kind: `crate::`, or more
/// `super::` than folders and modules around the line. Relies on the layout of rustfmt: a module ends at its indent.
fn leads_out(text: &str, folders: usize) -> Option<(usize, &str)> {
    let mut modules: Vec<usize> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or("");
        let indent = code.len() - code.trim_start().len();
        if code.trim() == "}" && modules.last() == Some(&indent) {
            modules.pop();
        }
        let longest = (1..).take_while(|n| code.contains(&"super::".repeat(*n))).last().unwrap_or(0);
        if code.contains("crate::") || longest > folders + modules.len() {
            return Some((i + 1, line));
        }
        let declared = code.trim_start().trim_start_matches("pub ").strip_prefix("mod ");
        if declared.is_some_and(|d| d.ends_with('{')) {
            modules.push(indent);
        }
    }
    None
}

#[test]
fn paths_out_of_a_plugin_are_seen() {
    let own = "use super::data::Pair;\n\nmod tests {\n    use super::super::Gears;\n}\n";
    assert_eq!(leads_out(own, 1), None);
    assert_eq!(leads_out("mod tests {\n    use super::*;\n}\n", 0), None);
    for (text, folders, line) in [
        ("use crate::model::ridge::Ridge;", 1, 1),
        ("use super::ridge::Ridge;", 0, 1),
        ("use super::data::Pair;\nuse super::super::ridge::Ridge;", 1, 2),
        ("mod tests {\n    use super::*;\n}\n\nfn f() {\n    super::ridge::g()\n}", 0, 6),
        ("mod tests {\n    use super::super::ridge;\n}", 0, 2),
    ] {
        assert_eq!(leads_out(text, folders).map(|found| found.0), Some(line), "{text}");
    }
}

/// A copy of the project as a new user has it after `screenwright new`, built and checked, and a crate
/// outside the tree with its own plugin. Both share the dependencies already built for these tests.
#[test]
fn a_crate_outside_the_tree_adds_plugins_written_by_new() {
    let dir = framework::testing::TempDir::new().expect("a folder");
    let target = target_dir();
    let own = dir.path().join("out_of_tree");
    copy(&root().join("tests/out_of_tree"), &own);
    for kind in KINDS {
        let name = format!("fresh_{kind}");
        std::fs::create_dir_all(own.join("src").join(kind)).expect("a folder");
        let r = run(dir.path(), &["new", kind, &name, "--dir", own.join("src").to_str().expect("utf-8")]);
        assert_eq!(r.code, 0, "{}", r.err);
    }
    // `new` writes into src/<kind>/; this crate names its modules by hand.
    let main = own.join("src/main.rs");
    let mut text = std::fs::read_to_string(&main).expect("main.rs");
    for kind in KINDS {
        text.push_str(&format!("#[path = \"{kind}/fresh_{kind}.rs\"]\nmod fresh_{kind};\n"));
    }
    std::fs::write(&main, text).expect("main.rs");
    let manifest = std::fs::read_to_string(own.join("Cargo.toml")).expect("a manifest");
    std::fs::write(own.join("Cargo.toml"), manifest.replace("../..", root().to_str().expect("utf-8")))
        .expect("a manifest");
    std::fs::copy(root().join("Cargo.lock"), own.join("Cargo.lock")).expect("the lock file");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--manifest-path"])
        .arg(own.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let bin = target.join("debug").join("out_of_tree");
    let call = |args: &[&str]| finish(Command::new(&bin).current_dir(dir.path()).args(args).output().expect("it runs"));

    let listed = call(&["plugins", "list", "--json"]);
    // Those that the book's tutorials show, and the templates of `new`.
    let tutorials = ["far_and_uncertain", "rational_quadratic", "annotation_count", "pathway_screen"];
    for name in tutorials {
        assert!(listed.out.contains(&format!("\"{name}\"")), "{name} is not listed");
    }
    assert!(listed.out.contains("\"random\""), "the shipped plugins are not listed");
    for name in KINDS.map(|k| format!("fresh_{k}")) {
        assert!(listed.out.contains(&format!("\"{name}\"")), "{name} is not listed");
    }
    let conforms = call(&["conformance"]);
    assert_eq!(conforms.code, 0, "{}{}", conforms.out, conforms.err);

    // The scenario that the tutorials quote.
    let quoted =
        call(&["run", own.join("own.toml").to_str().expect("utf-8"), "--data-dir", own.to_str().expect("utf-8")]);
    assert_eq!(quoted.code, 0, "{}{}", quoted.out, quoted.err);

    // Its own metric is computed, and known where a wrong one is named.
    let arms = std::fs::read_to_string(dir.path().join("results/own/report/arms.csv")).expect("arms.csv");
    let at = |name: &str| arms.lines().next().and_then(|h| h.split(',').position(|c| c == name)).expect("a column");
    let values: Vec<f64> = arms
        .lines()
        .filter(|l| l.split(',').any(|cell| cell == "right_direction"))
        .map(|l| l.split(',').nth(at("final_mean")).and_then(|v| v.parse().ok()).expect("a number"))
        .collect();
    assert!(values.len() == 6 && values.iter().all(|v| (0.4..=1.0).contains(v)), "{values:?} in {arms}");
    let wrong = std::fs::read_to_string(own.join("own.toml")).expect("own.toml").replace("rmse", "quality");
    let wrong = call(&["plan", write(dir.path(), "wrong.toml", &wrong).to_str().expect("utf-8")]);
    assert_eq!(wrong.code, 2, "{}{}", wrong.out, wrong.err);
    assert!(wrong.err.contains("unknown metric `quality`; known: alignment, best, "), "{}", wrong.err);
    assert!(wrong.err.contains("regret, right_direction, rmse"), "{}", wrong.err);

    // A sweep with its own rule, and with rules that break the law, each in its own fault domain.
    let scenario = TINY
        .replace("[prior.knowledge]", "[prior.fresh]\nuse = \"fresh_prior\"\n\n[prior.knowledge]")
        .replace(
            "{ use = \"greedy\" }",
            "{ use = \"far_and_uncertain\" }, { use = \"fresh_acquisition\" }, { use = \"broken\", how = \"panic\" }, \
             { use = \"broken\", how = \"repeat\" }, { use = \"broken\", how = \"foreign\" }, { use = \"broken\", how = \"short\" }",
        );
    let file = write(dir.path(), "own.toml", &scenario);
    let r = call(&["run", file.to_str().expect("utf-8")]);
    assert_eq!(r.code, 3, "{}{}", r.out, r.err);
    for text in [
        "a plugin panicked at",
        "on purpose; this is a mistake in the plugin, other runs are not affected",
        "twice in one batch",
        "which is not a candidate (already measured, held out, or outside the pool)",
        "returned 5 perturbations and 5 scores where 6 were asked for",
    ] {
        assert!(r.err.contains(text), "no `{text}` in {}", r.err);
    }
    assert!(r.out.contains("24 runs: 12 ok, 12 failed"), "{}", r.out);
    assert!(r.out.contains("far_and_uncertain"), "{}", r.out);

    // Where there is no run to fail, a panic is one message and the exit code of an error.
    write(dir.path(), "features.csv", "gene,a,b\nA,0,1\nB,1,0\nC,1,1\n");
    let r = call(&["suggest", "--features", "features.csv", "--rule", "broken:how=panic", "--batch", "2"]);
    assert_eq!(r.code, 2, "{}{}", r.out, r.err);
    for text in
        ["error: suggest: a plugin panicked at ", "broken.rs", "on purpose; this is a mistake in the plugin, not in"]
    {
        assert!(r.err.contains(text), "no `{text}` in {}", r.err);
    }
    assert!(!r.err.contains("stack backtrace"), "{}", r.err);
}

fn target_dir() -> std::path::PathBuf {
    // target/debug/deps/openness-* -> target
    let exe = std::env::current_exe().expect("the test's own path");
    exe.ancestors().nth(3).expect("a target folder").to_path_buf()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for e in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(e.file_name());
        if e.path().is_dir() {
            copy(&e.path(), &target);
        } else {
            std::fs::copy(e.path(), target).expect("a copy");
        }
    }
}
