//! What a table holds, for a user who has just been given the file.

use std::collections::HashMap;

use crate::column::Column;
use crate::genes::{self, GeneNames};
use crate::table::{Named, Source, Table};
use crate::words::{is_control_word, is_missing_word, is_spreadsheet_date};

/// What a table holds.
#[derive(Clone, Debug)]
pub struct Description {
    /// What the file is; `None` for a table that was made in memory.
    pub source: Option<Source>,
    pub rows: usize,
    /// In the order of the table.
    pub columns: Vec<Summary>,
    /// Columns of types that are not read, and why.
    pub unread: Vec<(String, String)>,
    /// What was found out while the file was read; see [`Table::notes`].
    pub notes: Vec<String>,
}

/// What a column holds.
#[derive(Clone, Debug)]
pub struct Summary {
    pub name: String,
    pub kind: Kind,
    /// Whether it only numbers or names the rows.
    pub index: bool,
    /// Cells without a value.
    pub missing: usize,
    /// Different values.
    pub distinct: usize,
    /// Smallest and largest number.
    pub range: Option<(f64, f64)>,
    /// The first few different values, as they are written.
    pub examples: Vec<String>,
    /// What kind of gene names it seems to hold.
    pub genes: Option<GeneNames>,
    /// Values that look like dates which a spreadsheet made of genes.
    pub dates: Found,
    /// Values that name controls.
    pub controls: Found,
    /// Words for "no value" in a column of text, such as `NaN`.
    pub missing_words: Found,
    /// Rows whose value is in a row before.
    pub repeated: usize,
}

/// The kind of values in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    WholeNumber,
    Flag,
}

/// Values of some kind: in how many cells they are, and the first few different ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub cells: usize,
    pub examples: Vec<String>,
}

const EXAMPLES: usize = 5;

/// What a table holds.
pub fn describe(table: &Table) -> Description {
    Description {
        source: table.source().cloned(),
        rows: table.height(),
        columns: table.all().iter().map(summary).collect(),
        unread: table.unread().to_vec(),
        notes: table.notes().to_vec(),
    }
}

fn summary(named: &Named) -> Summary {
    let kind = match named.column {
        Column::Text(_) => Kind::Text,
        Column::Number(_) => Kind::Number,
        Column::Integer(_) => Kind::WholeNumber,
        Column::Flag(_) => Kind::Flag,
    };
    let mut summary = Summary {
        name: named.name.clone(),
        kind,
        index: named.index,
        missing: 0,
        distinct: 0,
        range: range(&named.column),
        examples: Vec::new(),
        genes: None,
        dates: Found::default(),
        controls: Found::default(),
        missing_words: Found::default(),
        repeated: 0,
    };
    match &named.column {
        Column::Text(values) => of_texts(&mut summary, values.iter().map(Option::as_deref)),
        // Columns of whole numbers may be ids, and those of fractions never are.
        Column::Number(values) => of_numbers(&mut summary, values.iter().copied()),
        Column::Integer(values) => {
            of_numbers(&mut summary, values.iter().map(|&value| value as f64));
            summary.genes = genes::of_integers(&named.name, values);
        }
        Column::Flag(values) => of_texts(&mut summary, values.iter().map(|&v| Some(if v { "true" } else { "false" }))),
    }
    summary
}

fn of_texts<'a>(summary: &mut Summary, values: impl Iterator<Item = Option<&'a str>>) {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut order = Vec::new();
    for value in values {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => match counts.entry(value) {
                std::collections::hash_map::Entry::Occupied(mut entry) => *entry.get_mut() += 1,
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(1);
                    order.push(value);
                }
            },
            None => summary.missing += 1,
        }
    }
    summary.distinct = order.len();
    summary.examples = order.iter().take(EXAMPLES).map(|&value| value.to_owned()).collect();
    summary.repeated = counts.values().map(|count| count - 1).sum();
    if summary.kind != Kind::Text {
        return;
    }
    for value in &order {
        let cells = counts[value];
        if is_spreadsheet_date(value) {
            summary.dates.add(value, cells);
        }
        if is_control_word(value) {
            summary.controls.add(value, cells);
        }
        if is_missing_word(value) {
            summary.missing_words.add(value, cells);
        }
    }
    summary.genes = genes::of_texts(&order);
}

fn of_numbers(summary: &mut Summary, values: impl Iterator<Item = f64>) {
    let mut seen: Vec<u64> = Vec::new();
    for value in values {
        if value.is_nan() {
            summary.missing += 1;
            continue;
        }
        if summary.examples.len() < EXAMPLES {
            let shown = value.to_string();
            if !summary.examples.contains(&shown) {
                summary.examples.push(shown);
            }
        }
        // Adding zero makes -0 and 0 one value.
        seen.push((value + 0.0).to_bits());
    }
    let filled = seen.len();
    seen.sort_unstable();
    seen.dedup();
    summary.distinct = seen.len();
    summary.repeated = filled - seen.len();
}

fn range(column: &Column) -> Option<(f64, f64)> {
    let over = |values: &mut dyn Iterator<Item = f64>| {
        values.filter(|value| !value.is_nan()).fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        })
    };
    match column {
        Column::Number(values) => over(&mut values.iter().copied()),
        Column::Integer(values) => over(&mut values.iter().map(|&value| value as f64)),
        Column::Text(_) | Column::Flag(_) => None,
    }
}

impl Found {
    fn add(&mut self, value: &str, cells: usize) {
        self.cells += cells;
        if self.examples.len() < EXAMPLES {
            self.examples.push(value.to_owned());
        }
    }
}

impl Kind {
    /// Its name, for users.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::WholeNumber => "whole number",
            Self::Flag => "true or false",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes() {
        let texts = |values: &[&str]| {
            Column::Text(values.iter().map(|value| (!value.is_empty()).then(|| (*value).to_owned())).collect())
        };
        let table = Table::new()
            .with("gene", texts(&["TP53", "MYC", "1-Mar", "non-targeting", "NaN", "MYC", "KRAS", "CD28", "LAT", ""]))
            .with("value", Column::Number(vec![0.5, f64::NAN, -1.0, 0.5, 0.0, -0.0, 1.0, 2.0, 3.0, 4.0]))
            .with("entrez", Column::Integer(vec![7157, 4609, 1, 2, 3, 4609, 3845, 940, 27040, 5]))
            .with("hit", Column::Flag(vec![true; 10]));
        let all = describe(&table);
        assert_eq!((all.rows, all.columns.len(), all.source), (10, 4, None));
        let [gene, value, entrez, hit] = all.columns.as_slice() else { panic!("four columns") };
        assert_eq!((gene.kind, gene.missing, gene.distinct, gene.repeated), (Kind::Text, 1, 8, 1));
        assert_eq!(gene.examples, ["TP53", "MYC", "1-Mar", "non-targeting", "NaN"]);
        assert_eq!(gene.dates, Found { cells: 1, examples: vec!["1-Mar".into()] });
        assert_eq!(gene.controls, Found { cells: 1, examples: vec!["non-targeting".into()] });
        assert_eq!(gene.missing_words, Found { cells: 1, examples: vec!["NaN".into()] });
        assert!(matches!(gene.genes, Some(GeneNames::Symbols { .. })));
        assert_eq!((value.kind, value.missing, value.distinct), (Kind::Number, 1, 7));
        assert_eq!(value.range, Some((-1.0, 4.0)));
        assert!(matches!(entrez.genes, Some(GeneNames::Entrez)));
        assert_eq!((hit.kind, hit.distinct, hit.repeated), (Kind::Flag, 1, 9));
    }
}
