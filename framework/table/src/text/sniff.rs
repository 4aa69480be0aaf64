//! What the beginning of a text file says about the rest: what comes before the header, what stands
//! between cells, and how the header fits the rows.

use crate::delimiter::Delimiter;
use crate::text::MOST_COLUMNS;
use crate::text::split::split;
use crate::words::is_missing_word;

/// How a text file is to be read.
#[derive(Debug)]
pub(crate) struct Plan {
    pub delimiter: Delimiter,
    /// Lines before the header that are not blank.
    pub skipped: usize,
    pub shape: Shape,
    /// What the second line of a GCT file promises.
    pub promised: Option<Gct>,
    pub notes: Vec<String>,
}

/// The sizes of a GCT file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gct {
    pub rows: usize,
    pub samples: usize,
    /// Columns after the first that describe rows.
    pub of_rows: usize,
    /// Rows after the header that describe samples.
    pub of_samples: usize,
    /// Whether columns are called as version 1.2 calls them, whatever the header says.
    pub old: bool,
}

/// How the cells of a row stand below the names of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Equal,
    /// A row has one cell more, in front: the row names of R.
    RowNames,
    /// The header ends with a delimiter too many; rows may.
    HeaderTail,
    /// Rows end with a delimiter too many.
    RowTail,
}

/// What the name of a file says about its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Csv,
    Tsv,
    /// `.txt` and `.tab`, which say nothing.
    Text,
    Gct,
}

impl Ending {
    fn candidates(self) -> &'static [Delimiter] {
        use Delimiter::*;
        match self {
            Self::Csv => &[Comma, Semicolon, Tab],
            Self::Tsv | Self::Text => &[Tab, Comma, Semicolon, Spaces],
            Self::Gct => &[Tab],
        }
    }
}

pub(crate) fn plan(lines: &[String], ending: Ending) -> Plan {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut notes = Vec::new();
    let promised = gct(&lines);
    if promised.is_some() {
        let delimiter = Delimiter::Tab;
        let shape = shape(&counted(lines.get(2..).unwrap_or_default(), delimiter));
        return Plan { delimiter, skipped: 2, shape, promised, notes };
    }
    let comments = lines.iter().take_while(|line| line.starts_with('#')).count();
    let body = &lines[comments..];
    // Decimal commas look like row names: a header that fits as it is goes first.
    let candidates = || ending.candidates().iter().copied();
    let names = |d: &Delimiter| std::cmp::Reverse(body.first().map_or(0, |header| cells(header, *d).len()));
    let delimiter = candidates()
        .find(|&d| fits(body, d, false))
        .or_else(|| candidates().filter(|&d| fits(body, d, true)).min_by_key(names));
    let found = delimiter.is_some();
    let delimiter = delimiter.unwrap_or(ending.candidates()[0]);
    if found && (ending == Ending::Text || delimiter != ending.candidates()[0]) {
        notes.push(format!("cells are separated by {}", delimiter.name()));
    }
    let skipped = comments - usize::from(comments > 0 && is_header(lines[comments - 1], body, delimiter));
    if skipped > 0 {
        let lines = if skipped == 1 { "1 line".into() } else { format!("{skipped} lines") };
        notes.push(format!("{lines} before the header that begin with # are left out"));
    }
    let table = counted(&lines[skipped..], delimiter);
    let shape = shape(&table);
    match shape {
        Shape::Equal => {}
        Shape::RowNames => notes.push("rows have one cell more than the header: the first cell names the row".into()),
        Shape::HeaderTail => notes.push(format!("the header ends with a {} too many", delimiter.singular())),
        Shape::RowTail => notes.push(format!("rows end with a {} too many", delimiter.singular())),
    }
    Plan { delimiter, skipped, shape, promised: None, notes }
}

/// What a GCT file says at its top.
fn gct(lines: &[&str]) -> Option<Gct> {
    let [first, second, ..] = lines else { return None };
    let numbers: Option<Vec<usize>> = second.trim_end().split('\t').map(|cell| cell.trim().parse().ok()).collect();
    match (first.trim_end(), &numbers?[..]) {
        ("#1.2", &[rows, samples]) => Some(Gct { rows, samples, of_rows: 1, of_samples: 0, old: true }),
        ("#1.3", &[rows, samples, of_rows, of_samples]) => Some(Gct { rows, samples, of_rows, of_samples, old: false }),
        _ => None,
    }
}

fn cells(line: &str, delimiter: Delimiter) -> Vec<String> {
    let mut all = Vec::new();
    // What is wrong with quotes is told when the line is read.
    let _ = split(line, delimiter, |cell| {
        // More are refused when the line is read.
        if all.len() <= MOST_COLUMNS {
            all.push(cell.trim().to_owned());
        }
    });
    all
}

fn counted(lines: &[&str], delimiter: Delimiter) -> Vec<Vec<String>> {
    lines.iter().map(|line| cells(line, delimiter)).collect()
}

fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

/// Whether every line has as many cells, of which there are several; with `row_names`, all but the
/// header one more.
fn fits(body: &[&str], delimiter: Delimiter, row_names: bool) -> bool {
    let table = counted(body, delimiter);
    let Some((header, rows)) = table.split_first() else { return false };
    if row_names {
        let shape = shape(&table);
        return shape == Shape::RowNames && (delimiter != Delimiter::Spaces || has_numbers(rows));
    }
    let count = rows.first().map_or(header.len(), Vec::len);
    let empty_end = |row: &Vec<String>| row.last().is_some_and(String::is_empty);
    let header_tail = header.len() == count + 1 && empty_end(header);
    let row_tail = header.len() + 1 == count && header.len() > 1 && rows.iter().all(empty_end);
    let fit = header.len() == count || header_tail || row_tail;
    if !fit || count < 2 || rows.iter().any(|row| row.len() != count) {
        return ragged_only_by_tails(header, rows);
    }
    // Texts have spaces too: only numbers show that spaces stand between cells.
    delimiter != Delimiter::Spaces || has_numbers(rows)
}

/// Whether some column is of numbers.
fn has_numbers(rows: &[Vec<String>]) -> bool {
    let width = rows.iter().map(Vec::len).min().unwrap_or_default();
    (0..width).any(|at| rows.iter().all(|row| is_number(&row[at])))
}

/// Whether rows differ only by a last cell that is empty, as the last one of the header is.
fn ragged_only_by_tails(header: &[String], rows: &[Vec<String>]) -> bool {
    header.len() > 2
        && header.last().is_some_and(String::is_empty)
        && rows.iter().all(|row| row.len() + 1 == header.len() || row.len() == header.len())
}

/// Whether a line with # in front is the header of what follows.
///
/// Comments come before the header; but the headers of BioGRID begin with # themselves.
fn is_header(comment: &str, body: &[&str], delimiter: Delimiter) -> bool {
    let (names, table) = (cells(comment, delimiter), counted(body, delimiter));
    let Some((first, rows)) = table.split_first() else { return names.len() > 1 };
    if names.len() != first.len() || names.len() < 2 || comment.starts_with("##") {
        return false;
    }
    let value = |cell: &str| is_number(cell) || is_missing_word(cell);
    let some_number = |at: usize| table.iter().any(|row| row.get(at).is_some_and(|cell| is_number(cell)));
    let numeric = |at: &usize| some_number(*at) && rows.iter().all(|row| row.get(*at).is_none_or(|cell| value(cell)));
    let columns: Vec<usize> = (0..first.len()).filter(numeric).collect();
    if columns.is_empty() {
        // Nothing tells: names stand at the #, sentences have a space.
        return !comment.starts_with("# ");
    }
    // Where each column of numbers starts with a name, the first line is the header.
    columns.iter().any(|&at| value(&first[at]))
}

fn shape(table: &[Vec<String>]) -> Shape {
    let Some((header, rows)) = table.split_first() else { return Shape::Equal };
    let names = header.len();
    let nameless_end = names > 1 && header.last().is_some_and(String::is_empty);
    let empty_end = |row: &Vec<String>| row.last().is_some_and(String::is_empty);
    if nameless_end && rows.iter().all(|row| row.len() + 1 == names || (row.len() == names && empty_end(row))) {
        return Shape::HeaderTail;
    }
    if rows.is_empty() || rows.iter().any(|row| row.len() != names + 1) {
        return Shape::Equal;
    }
    if rows.iter().all(empty_end) {
        return Shape::RowTail;
    }
    // R refuses to write row names that are empty or repeated; a comma within a cell gives such.
    let mut firsts: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    firsts.sort_unstable();
    let unlike =
        firsts.windows(2).all(|pair| pair[0] != pair[1]) && firsts.first().is_some_and(|first| !first.is_empty());
    if rows.len() > 1 && unlike { Shape::RowNames } else { Shape::Equal }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str, ending: Ending) -> Plan {
        plan(&text.lines().map(str::to_owned).collect::<Vec<_>>(), ending)
    }

    #[test]
    fn delimiters() {
        for (text, ending, delimiter) in [
            ("gene,lfc\nTP53,1", Ending::Csv, Delimiter::Comma),
            ("gene;lfc\nTP53;-1,5\nMYC;0,5", Ending::Csv, Delimiter::Semicolon),
            ("gene\tlfc\nTP53\t1", Ending::Csv, Delimiter::Tab),
            ("gene\nTP53", Ending::Csv, Delimiter::Comma),
            ("gene\tlfc\nTP53\t1", Ending::Text, Delimiter::Tab),
            ("gene,lfc\nTP53,1", Ending::Text, Delimiter::Comma),
            ("protein1 protein2 combined_score\n9606.A 9606.B 402\n9606.A 9606.C 403", Ending::Text, Delimiter::Spaces),
            ("cell type\nT cell\nB cell", Ending::Text, Delimiter::Tab),
            ("a b c\nT cell x\nB cell y", Ending::Tsv, Delimiter::Tab),
            ("\"gene\" \"lfc\"\n\"1\" \"TP53\" -1.3\n\"2\" \"MYC\" 2", Ending::Text, Delimiter::Spaces),
        ] {
            assert_eq!(planned(text, ending).delimiter, delimiter, "{text}");
        }
    }

    #[test]
    fn comments() {
        for (text, skipped) in [
            ("# exported by pipeline 3\n# cell line: Jurkat\ngene\tlfc\nTP53\t-1.3", 2),
            ("#BioGRID ID\tSymbol\tScore\n103\tMAP2K4\t-", 0),
            ("# made by x\ty\ngene\tlfc\nTP53\t-1.3", 1),
            ("#made by x\ty\ngene\tlfc\nTP53\t-1.3", 1),
            ("# gene\tlfc\nTP53\t-1.3\nMYC\t2", 0),
            ("#node1\tnode2\nA\tB", 0),
            ("# of two\tcells\nnode1\tnode2\nA\tB", 1),
            ("## x\ty\n#node1\tnode2\nA\tB", 1),
        ] {
            assert_eq!(planned(text, Ending::Tsv).skipped, skipped, "{text}");
        }
    }

    #[test]
    fn shapes() {
        for (text, shape) in [
            ("gene\tlfc\t\nTP53\t-1.3\nMYC\t-2.1", Shape::HeaderTail),
            ("gene\tlfc\t\nTP53\t-1.3\t\nMYC\t-2.1", Shape::HeaderTail),
            ("gene\tlfc\t\nTP53\t-1.3\t7\nMYC\t-2.1\t", Shape::Equal),
            ("gene\tlfc\nr1\tTP53\t-1.3\nr2\tMYC\t-2.1", Shape::RowNames),
            ("gene\tlfc\nr1\tTP53\t-1.3\nr1\tMYC\t-2.1", Shape::Equal),
            ("gene\tlfc\nTP53\t-1.3\t\nMYC\t-2.1\t", Shape::RowTail),
            ("gene\tlfc\nTP53\t-1.3\nMYC\t-2.1\t3", Shape::Equal),
        ] {
            assert_eq!(planned(text, Ending::Tsv).shape, shape, "{text}");
        }
    }
}
