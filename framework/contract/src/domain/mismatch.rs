//! Why the names of a table and of a screen do not meet.

use std::collections::{HashMap, HashSet};
use table::words::is_spreadsheet_date;

/// An id without the taxon that STRING puts before it: `ENSP00000269305` of `9606.ENSP00000269305`.
pub(super) fn stripped(name: &str) -> Option<&str> {
    let (taxon, id) = name.split_once('.')?;
    let is_taxon = !taxon.is_empty() && taxon.bytes().all(|b| b.is_ascii_digit());
    (is_taxon && id.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(id)
}

/// A way in which two spellings of one gene differ, what it is called, and what to do.
struct Difference {
    same: fn(&str) -> String,
    what: &'static str,
    remedy: &'static str,
}

const DIFFERENCES: [Difference; 4] = [
    Difference {
        same: str::to_uppercase,
        what: "capitals",
        remedy: "write them alike; between species take a table of orthologues",
    },
    Difference {
        same: without_version,
        what: "the version of their Ensembl ids",
        remedy: "leave out what follows the point in one of them",
    },
    Difference {
        same: without_brackets,
        what: "what follows in brackets",
        remedy: "leave out the brackets (layout = \"columns\" does where a column is a gene)",
    },
    Difference {
        same: letters_and_digits,
        what: "spaces, points or hyphens",
        remedy: "write them alike; R puts points for hyphens unless check.names = FALSE",
    },
];

/// The kind of difference that explains most of the names that are not found, with an example and what to do; or that the
/// two are names of different kinds, or that a spreadsheet made dates of them. O(names).
pub(super) fn likely_cause(screen: &[&str], table: &[&str]) -> Option<String> {
    // Fewer tell nothing, since some names are old symbols, which differ in the same ways.
    let least = (screen.len() / 10).max(1);
    let mut best: Option<(usize, String)> = None;
    for d in &DIFFERENCES {
        let of: HashMap<String, &str> = table.iter().rev().map(|n| ((d.same)(n), *n)).collect();
        let met: Vec<(&str, &str)> =
            screen.iter().filter_map(|n| of.get(&(d.same)(n)).map(|t| (*n, *t))).filter(|(a, b)| a != b).collect();
        if let Some((one, other)) = met.first()
            && met.len() >= least
            && best.as_ref().is_none_or(|b| met.len() > b.0)
        {
            let text = format!(
                "{} of them differ from names of the table in {} only (`{one}` and `{other}`): {}",
                met.len(),
                d.what,
                d.remedy
            );
            best = Some((met.len(), text));
        }
    }
    if let Some((_, text)) = best {
        return Some(text);
    }
    if let (Some(a), Some(b)) = (kind(screen), kind(table))
        && a != b
    {
        let example = |names: &[&str]| names.first().map_or("", |n| *n).to_string();
        return Some(format!(
            "the screen has {a} such as `{}` and the table {b} such as `{}`: translate one of them (a table with both, as \
             `symbol_updates` under [pool], does it)",
            example(screen),
            example(table)
        ));
    }
    let date = screen.iter().chain(table).find(|n| is_spreadsheet_date(n))?;
    Some(format!("`{date}` is a date that a spreadsheet made of a gene: write the genes again from their source"))
}

fn without_version(name: &str) -> String {
    match name.split_once('.') {
        Some((id, version)) if id.starts_with("ENS") && version.bytes().all(|b| b.is_ascii_digit()) => id.into(),
        _ => name.into(),
    }
}

fn without_brackets(name: &str) -> String {
    name.split(" (").next().unwrap_or(name).trim().into()
}

fn letters_and_digits(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// What most of the names are.
fn kind(names: &[&str]) -> Option<&'static str> {
    let different: HashSet<&&str> = names.iter().collect();
    let most = |is: fn(&str) -> bool| 10 * different.iter().filter(|n| is(n)).count() >= 6 * different.len();
    let digits = |n: &str| n.bytes().all(|b| b.is_ascii_digit());
    if different.is_empty() {
        None
    } else if most(|n| n.starts_with("ENS") && n.len() > 14) {
        Some("Ensembl ids")
    } else if most(digits) {
        Some("Entrez ids")
    } else if most(|n| n.len() < 12 && n.starts_with(|c: char| c.is_ascii_alphabetic())) {
        Some("gene symbols")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_likely_cause_is_told_with_an_example() {
        for (screen, table, part) in [
            (
                vec!["Myc", "Cd28"],
                vec!["MYC", "CD28", "LAT"],
                "2 of them differ from names of the table in capitals only (`Myc` and `MYC`)",
            ),
            (vec!["ENSG00000141510"], vec!["ENSG00000141510.16"], "in the version of their Ensembl ids only"),
            (vec!["A1BG", "TP53"], vec!["A1BG (1)", "TP53 (7157)"], "in what follows in brackets only"),
            (vec!["HLA-A", "X"], vec!["HLA.A"], "in spaces, points or hyphens only"),
            (
                vec!["ENSG00000141510"],
                vec!["TP53", "MYC"],
                "the screen has Ensembl ids such as `ENSG00000141510` and the table gene symbols such as `TP53`",
            ),
            (vec!["7157", "4609"], vec!["TP53", "MYC"], "the screen has Entrez ids"),
            (vec!["1-Mar", "Q"], vec!["MARCHF1", "ZZ3"], "`1-Mar` is a date"),
        ] {
            let cause = likely_cause(&screen, &table).unwrap();
            assert!(cause.contains(part), "{cause}");
        }
        assert_eq!(likely_cause(&["AAA"], &["BBB"]), None);
        assert_eq!(likely_cause(&[], &[]), None);
    }

    #[test]
    fn taxa_are_numbers_before_a_point() {
        assert_eq!(stripped("9606.ENSP00000269305"), Some("ENSP00000269305"));
        assert_eq!(stripped("4932.YAL001C"), Some("YAL001C"));
        assert_eq!([stripped("AC004556.3"), stripped("0.5"), stripped(".A"), stripped("TP53")], [None; 4]);
    }
}
