//! Numbers with commas in them: decimals of half of the world, thousands of the other half. They
//! are read where a column, or the file, leaves only one reading.

use crate::cells::Cells;
use crate::column::Column;
use crate::delimiter::Delimiter;
use crate::spelling::Spelling;
use crate::text::has_fractions;
use crate::words::is_missing_word;

#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    /// A comma is in some cell.
    commas: bool,
    /// Each comma may separate thousands.
    thousands: bool,
    /// Two commas in a number, or a comma and a point, which decimal commas never give.
    surely_thousands: bool,
    /// Each comma may stand before decimals.
    decimals: bool,
    /// Not three digits behind a comma, as thousands always have.
    surely_decimals: bool,
    /// A point is in a cell without a comma.
    points: bool,
    /// A number above a thousand without a comma.
    ungrouped: bool,
}

/// Reads the columns of text that are numbers with commas; says what was read, and how.
pub(super) fn read_columns(columns: &mut [(String, Column, Spelling)], delimiter: Delimiter) -> Vec<String> {
    let all: Vec<Option<Facts>> = columns
        .iter()
        .map(|(_, column, _)| match column {
            Column::Text(values) => facts(values).filter(|facts| facts.commas),
            _ => None,
        })
        .collect();
    let thousands = |f: &Facts| f.thousands && f.surely_thousands && !f.ungrouped;
    let decimals = |f: &Facts| delimiter != Delimiter::Comma && f.decimals && f.surely_decimals && !f.points;
    // One column that is sure speaks for the others, unless the file has points as well.
    let points = columns.iter().any(|(_, column, _)| has_fractions(column))
        || all.iter().flatten().any(|f| f.points || thousands(f));
    let file_of_decimals = !points && all.iter().flatten().any(decimals);
    let mut read: [Vec<&str>; 2] = [Vec::new(), Vec::new()];
    for ((name, column, spelling), facts) in columns.iter_mut().zip(&all) {
        let Some(facts) = facts else { continue };
        let by_thousands = thousands(facts);
        if by_thousands || decimals(facts) || (file_of_decimals && facts.decimals) {
            read_column(column, spelling, if by_thousands { "" } else { "." });
            read[usize::from(by_thousands)].push(name);
        }
    }
    let [decimals, thousands] = read;
    let note = |names: Vec<&str>, what: &str| (!names.is_empty()).then(|| format!("{what}: {}", some(&names)));
    let decimals = note(decimals, "decimals are written with commas");
    decimals.into_iter().chain(note(thousands, "commas separate thousands")).collect()
}

fn some(names: &[&str]) -> String {
    const MOST: usize = 5;
    match names.len().checked_sub(MOST) {
        Some(more) if more > 0 => format!("{} and {more} more columns", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}

fn facts(values: &[Option<String>]) -> Option<Facts> {
    let mut all = Facts { thousands: true, decimals: true, ..Facts::default() };
    for cell in values.iter().flatten().map(|cell| cell.trim()).filter(|cell| !is_missing_word(cell)) {
        if !cell.contains(',') {
            if !cell.parse::<f64>().is_ok_and(f64::is_finite) {
                return None;
            }
            all.points |= cell.contains('.');
            all.ungrouped |= cell.bytes().filter(|byte| *byte != b'-').take_while(u8::is_ascii_digit).count() > 3;
            continue;
        }
        let (thousands, decimals) = (is_grouped(cell), is_decimal(cell));
        if !thousands && !decimals {
            return None;
        }
        all.commas = true;
        all.thousands &= thousands;
        all.decimals &= decimals;
        all.surely_thousands |= thousands && !decimals;
        all.surely_decimals |= decimals && !thousands;
    }
    Some(all)
}

fn unsigned(cell: &str) -> &str {
    cell.strip_prefix(['-', '+']).unwrap_or(cell)
}

fn all_digits(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Thousands between commas: `1,204`, `1,204,300.5`.
fn is_grouped(cell: &str) -> bool {
    let (whole, decimals) = match unsigned(cell).split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (unsigned(cell), None),
    };
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    all_digits(first)
        && first.len() <= 3
        && !first.starts_with('0')
        && whole.contains(',')
        && groups.all(|group| group.len() == 3 && all_digits(group))
        && decimals.is_none_or(all_digits)
}

/// A comma before decimals: `0,5`, `1,2e-5`.
fn is_decimal(cell: &str) -> bool {
    let (number, exponent) = match unsigned(cell).split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (unsigned(cell), None),
    };
    number.split_once(',').is_some_and(|(whole, decimals)| all_digits(whole) && all_digits(decimals))
        && exponent.is_none_or(|exponent| all_digits(unsigned(exponent)))
}

/// Makes a column of numbers out of one of text.
fn read_column(column: &mut Column, spelling: &mut Spelling, comma: &str) {
    let Column::Text(texts) = column else { return };
    let values: Option<Vec<f64>> = texts
        .iter()
        .map(|cell| match cell.as_deref().map(str::trim) {
            None => Some(f64::NAN),
            Some(cell) if is_missing_word(cell) => Some(f64::NAN),
            Some(cell) => cell.replace(',', comma).parse().ok(),
        })
        .collect();
    // Each cell was seen to be a number before.
    let Some(values) = values else { return };
    let whole: Option<Vec<i64>> = values.iter().map(|&value| crate::cells::whole(value)).collect();
    let cells: Cells = std::mem::take(texts).into_iter().map(Option::unwrap_or_default).collect();
    *spelling = Spelling::all(cells);
    *column = match whole {
        Some(whole) if comma.is_empty() => Column::Integer(whole),
        _ => Column::Number(values),
    };
}

/// What a number with one comma may mean: `1,204` is 1204 or 1.204.
pub(crate) fn both_readings(cell: &str) -> Option<(String, String)> {
    let cell = cell.trim();
    (is_grouped(cell) && is_decimal(cell)).then(|| (cell.replace(',', ""), cell.replace(',', ".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(columns: &[&[&str]], delimiter: Delimiter) -> (Vec<Column>, Vec<String>) {
        let mut all: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(at, cells)| {
                let cells = cells.iter().map(|cell| Some((*cell).to_owned())).collect();
                (format!("c{at}"), Column::Text(cells), Spelling::default())
            })
            .collect();
        let notes = read_columns(&mut all, delimiter);
        (all.into_iter().map(|(_, column, _)| column).collect(), notes)
    }

    #[test]
    fn reads_what_has_one_meaning() {
        let (columns, notes) = read(&[&["1,204,300", "950", "12,044"]], Delimiter::Comma);
        assert_eq!(columns[0], Column::Integer(vec![1204300, 950, 12044]));
        assert_eq!(notes, ["commas separate thousands: c0"]);
        let (columns, _) = read(&[&["1,204.5", "-12,000"]], Delimiter::Tab);
        assert_eq!(columns[0], Column::Number(vec![1204.5, -12000.0]));
        let (columns, notes) = read(&[&["-1,5", "2"], &["1,204", "10,500"]], Delimiter::Semicolon);
        assert_eq!(columns, [Column::Number(vec![-1.5, 2.0]), Column::Number(vec![1.204, 10.5])]);
        assert_eq!(notes, ["decimals are written with commas: c0, c1"]);
    }

    #[test]
    fn leaves_what_has_two_meanings() {
        for (cells, delimiter) in [
            (&["1,204", "10,500", "950"], Delimiter::Comma),
            (&["1,204", "10,500", "950"], Delimiter::Semicolon),
            (&["1,204,300", "1204", "1"], Delimiter::Comma),
            (&["0,5", "1.5", "2"], Delimiter::Semicolon),
            (&["0,5", "1", "2"], Delimiter::Comma),
            (&["1,204,300", "x", "2"], Delimiter::Comma),
        ] {
            let (columns, notes) = read(&[cells], delimiter);
            assert!(matches!(columns[0], Column::Text(_)), "{cells:?}");
            assert!(notes.is_empty());
        }
        assert_eq!(both_readings("1,204"), Some(("1204".into(), "1.204".into())));
        assert_eq!(both_readings("1,5"), None);
    }
}
