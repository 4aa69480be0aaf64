//! Names of genes in the rows of a table, read and written.

use crate::error::{Error, Result};
use table::{Column, Table};

/// By row, the names in the columns that hold them, or between separators in one. Errors do not name the file of settings
/// that go together badly.
pub fn names(table: &Table, columns: &[String], separator: Option<&str>) -> Result<Vec<Vec<String>>> {
    let wrong = |what: &str| Err(Error::Config(what.into()));
    let columns = match (columns, separator) {
        ([], _) => return wrong("`genes` names no column; name at least one, as in genes = [\"gene\"]"),
        (_, Some("")) => return wrong("`separator` is empty; give what stands between two genes, such as \"_\""),
        ([_, _, ..], Some(_)) => {
            return wrong("`separator` is for one column with several genes, and `genes` names several columns");
        }
        (columns, _) => columns.iter().map(|c| Ok(table.text(c)?)).collect::<Result<Vec<_>>>()?,
    };
    Ok((0..table.height())
        .map(|row| match separator {
            Some(s) => columns[0][row].split(s).map(|n| n.trim().to_string()).collect(),
            None => columns.iter().map(|c| c[row].to_string()).collect(),
        })
        .collect())
}

/// Adds columns with these names, which have as many genes in each row, or one column where there is a separator.
pub(super) fn write(
    table: &mut Table,
    columns: &[String],
    names: &[Vec<String>],
    separator: Option<&str>,
) -> Result<()> {
    if let (Some(separator), [column]) = (separator, columns) {
        table.push(column, Column::Text(names.iter().map(|n| Some(n.join(separator))).collect()))?;
        return Ok(());
    }
    for (k, column) in columns.iter().enumerate() {
        table.push(column, Column::Text(names.iter().map(|n| n.get(k).cloned()).collect()))?;
    }
    Ok(())
}

/// The first column whose name is one of these, in letters of any case.
pub(super) fn find_ignoring_case(table: &Table, wanted: &[&str]) -> Option<String> {
    if table.column(wanted[0]).is_some() {
        return None;
    }
    wanted.iter().find_map(|w| table.names().into_iter().find(|n| n.eq_ignore_ascii_case(w))).map(String::from)
}
