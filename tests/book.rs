//! The book in docs/: every page is in its summary, every link leads somewhere, and every file that a page includes exists.

mod common;

use common::root;
use std::path::{Path, PathBuf};

fn pages(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![];
    for e in std::fs::read_dir(dir).expect("docs").flatten() {
        let path = e.path();
        // Written by `screenwright plugins pages` and by mdbook.
        let generated = path.ends_with("docs/plugins") || path.ends_with("docs/book");
        if path.is_dir() && !generated {
            all.extend(pages(&path));
        } else if path.extension().is_some_and(|x| x == "md") {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// What stands between two marks, everywhere in a text.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close).map(|s| s.0)).collect()
}

#[test]
fn links_lead_somewhere_and_the_summary_has_every_page() {
    let docs = root().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).expect("SUMMARY.md");
    let mut links = 0;
    for page in pages(&docs) {
        let text = std::fs::read_to_string(&page).expect("a page");
        let folder = page.parent().expect("a folder");
        for target in between(&text, "](", ")") {
            let file = target.split('#').next().unwrap_or_default();
            // Pages of plugins are made from the registry.
            if file.is_empty()
                || file.contains("://")
                || file.starts_with("plugins/")
                || file.starts_with("../plugins/")
            {
                continue;
            }
            assert!(folder.join(file).exists(), "{}: {target} leads nowhere", page.display());
            links += 1;
        }
        for include in between(&text, "{{#include ", "}}") {
            let mut parts = include.split(':');
            let file = folder.join(parts.next().unwrap_or_default());
            let code = std::fs::read_to_string(&file)
                .unwrap_or_else(|e| panic!("{}: {}: {e}", page.display(), file.display()));
            if let Some(anchor) = parts.next().filter(|a| !a.is_empty() && a.parse::<usize>().is_err()) {
                assert!(
                    code.contains(&format!("ANCHOR: {anchor}")),
                    "{}: no anchor {anchor} in {}",
                    page.display(),
                    file.display()
                );
            }
            links += 1;
        }
        let name = page.strip_prefix(&docs).expect("below docs").display().to_string();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name} is not in SUMMARY.md");
    }
    assert!(links > 60, "{links} links");
}

#[test]
fn verbs_of_the_book_exist() {
    let out = common::run(&root(), &["--help"]);
    let verbs: Vec<&str> = out.out.lines().filter_map(|l| l.strip_prefix("  ")?.split_whitespace().next()).collect();
    for page in pages(&root().join("docs")).into_iter().chain([root().join("README.md")]) {
        let text = std::fs::read_to_string(&page).expect("a page");
        for line in text.lines().filter_map(|l| l.trim_start().strip_prefix("screenwright ")) {
            let verb = line.split_whitespace().next().unwrap_or_default();
            let word = verb.chars().all(|c| c.is_ascii_lowercase());
            assert!(!word || verbs.contains(&verb), "{}: `screenwright {verb}` is no verb", page.display());
        }
    }
}
