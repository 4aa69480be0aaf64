//! Columns that data frames write for their row index.

use crate::column::Column;

/// Whether a column only numbers or names the rows.
pub(crate) fn is_index(at: usize, name: &str, column: &Column) -> bool {
    let level = |rest: &str| rest.strip_suffix("__").is_some_and(|digits| digits.parse::<u32>().is_ok());
    // A frame that was written and read several times has "Unnamed: 0.1" too.
    let pandas = name.strip_prefix("Unnamed: 0").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let arrow = name.strip_prefix("__index_level_").is_some_and(level);
    // What R makes of a header without a name; readr numbers it by its place.
    let readr = at == 0 && name == "...1";
    let base =
        at == 0 && matches!(name, "X" | "index" | "level_0" | "row.names" | "rownames") && are_row_numbers(column);
    pandas || arrow || readr || base
}

/// Whether a column counts the rows, from 0 or 1.
pub(crate) fn are_row_numbers(column: &Column) -> bool {
    match column {
        Column::Integer(values) => {
            let start = values.first().copied();
            values.len() > 1
                && matches!(start, Some(0 | 1))
                && values.iter().zip(start.unwrap_or_default()..).all(|(&value, row)| value == row)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_an_index() {
        let counted = Column::Integer(vec![1, 2, 3]);
        let other = Column::Integer(vec![3, 5, 9]);
        for (at, name, column, wanted) in [
            (0, "Unnamed: 0", &other, true),
            (1, "Unnamed: 0.1", &counted, true),
            (5, "__index_level_0__", &other, true),
            (0, "...1", &other, true),
            (0, "X", &counted, true),
            (0, "X", &other, false),
            (2, "X", &counted, false),
            (4, "Unnamed: 4", &counted, false),
            (0, "gene", &counted, false),
        ] {
            assert_eq!(is_index(at, name, column), wanted, "{at} {name}");
        }
    }
}
