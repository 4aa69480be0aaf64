//! obs and var: their columns as text, of whatever kind they are.

use super::check;
use crate::error::{listed, nearest};
use crate::store::{Array, Group, Kind, wrong};
use crate::{CellsError, Result};

/// A data frame in a file.
pub(super) struct Frame {
    group: Box<dyn Group>,
    /// The name of its index.
    index: String,
}

impl Frame {
    pub(super) fn open(root: &dyn Group, name: &str) -> Result<Self> {
        let members = root.members()?;
        if members.has_array(name) {
            let what = "is stored as by anndata before 0.7; read the file with a newer anndata and write it again";
            return Err(CellsError::of(root.path(), format!("{name} {what}")));
        }
        if !members.has_group(name) {
            let here = [members.groups, members.arrays].concat();
            return Err(CellsError::of(
                root.path(),
                format!(
                    "there is no `{name}`, so this is not an AnnData file (it holds {}); write it with \
                     adata.write_h5ad(path)",
                    listed(&here)
                ),
            ));
        }
        let group = root.group(name)?;
        if let Some(kind) = group.text("encoding-type") {
            let version = group.text("encoding-version");
            check(group.path(), name, &kind, version.as_deref(), &[("dataframe", &["0.1.0", "0.2.0"])])?;
        }
        let index = group.text("_index").unwrap_or_else(|| "_index".into());
        Ok(Self { group, index })
    }

    /// How many rows, by the length of the index.
    pub(super) fn rows(&self) -> Result<usize> {
        let members = self.group.members()?;
        let index = match members.has_group(&self.index) {
            // An index with missing values, or of categories.
            true => {
                let index = self.group.group(&self.index)?;
                let name = if index.members()?.has_array("codes") { "codes" } else { "values" };
                index.array(name)?
            }
            false if members.has_array(&self.index) => self.group.array(&self.index)?,
            false => {
                let what = format!("has no index `{}`: the file is damaged, write it again", self.index);
                return Err(wrong(self.group.path(), self.group.place(), what));
            }
        };
        index.check_claim()?;
        Ok(index.rows() as usize)
    }

    /// The index, or a column in its place; every value present.
    pub(super) fn names(&self, column: Option<&str>) -> Result<Vec<String>> {
        let name = column.unwrap_or(&self.index);
        let values = self.column(name, self.rows()?)?;
        if let Some(row) = values.iter().position(Option::is_none) {
            let what = format!("has no value in row {}; fill it in", row + 1);
            return Err(wrong(self.group.path(), &format!("{}/{name}", self.group.place()), what));
        }
        Ok(values.into_iter().flatten().collect())
    }

    /// A column as text; `None` where a value is missing.
    pub(super) fn column(&self, name: &str, rows: usize) -> Result<Vec<Option<String>>> {
        let members = self.group.members()?;
        let former = members.has_group("__categories");
        if members.has_array(name) {
            let column = self.group.array(name)?;
            column.check_rows(rows, "rows")?;
            // anndata before 0.8 keeps the categories of all columns in a group of their own.
            if former {
                let categories = self.group.group("__categories")?;
                if categories.members()?.has_array(name) {
                    return coded(&*column, plain(&*categories.array(name)?)?);
                }
            }
            return plain(&*column);
        }
        if members.has_group(name) && name != "__categories" {
            return packed(&*self.group.group(name)?, Some(rows));
        }
        let mut known = self.group.texts("column-order").unwrap_or_default();
        if known.is_empty() {
            let all = members.groups.into_iter().chain(members.arrays);
            known = all.filter(|k| k != "__categories" && *k != self.index).collect();
        }
        let near = nearest(name, &known).map_or(String::new(), |k| format!("; did you mean `{k}`?"));
        let what = format!("there is no column `{name}` in {}; columns: {}{near}", self.group.place(), listed(&known));
        Err(CellsError::of(self.group.path(), what))
    }
}

/// A column that is a group: categories, or values beside a mask of those missing.
fn packed(group: &dyn Group, rows: Option<usize>) -> Result<Vec<Option<String>>> {
    let known: [(&str, &[&str]); 4] = [
        ("categorical", &["0.2.0"]),
        ("nullable-integer", &["0.1.0"]),
        ("nullable-boolean", &["0.1.0"]),
        ("nullable-string-array", &["0.1.0"]),
    ];
    let kind = group.text("encoding-type").unwrap_or_default();
    check(group.path(), group.place(), &kind, group.text("encoding-version").as_deref(), &known)?;
    let agree = |a: &dyn Array| rows.map_or(Ok(()), |n| a.check_rows(n, "rows"));
    if kind == "categorical" {
        let codes = group.array("codes")?;
        agree(&*codes)?;
        // Categories of text may be nullable, as pandas has them since 3.0.
        let categories = match group.members()?.has_group("categories") {
            true => packed(&*group.group("categories")?, None)?,
            false => plain(&*group.array("categories")?)?,
        };
        return coded(&*codes, categories);
    }
    let (values, mask) = (group.array("values")?, group.array("mask")?);
    agree(&*values)?;
    mask.check_rows(values.rows() as usize, "values")?;
    let mask = mask.all_integers()?;
    Ok(plain(&*values)?.into_iter().zip(mask).map(|(v, m)| v.filter(|_| m == 0)).collect())
}

/// Codes and their categories; a negative code is a missing value.
fn coded(codes: &dyn Array, categories: Vec<Option<String>>) -> Result<Vec<Option<String>>> {
    let of = |code: i64| match usize::try_from(code) {
        Err(_) => Ok(None),
        Ok(c) if c < categories.len() => Ok(categories[c].clone()),
        Ok(c) => Err(wrong(
            codes.path(),
            codes.place(),
            format!(
                "holds the code {c} and there are {} categories: the file is damaged, write it again",
                categories.len()
            ),
        )),
    };
    codes.all_integers()?.into_iter().map(of).collect()
}

/// An array as text: strings as they are, numbers as Python writes them; NaN is a missing value.
fn plain(column: &dyn Array) -> Result<Vec<Option<String>>> {
    if let Some(kind) = column.text("encoding-type") {
        let known: [(&str, &[&str]); 2] = [("array", &["0.2.0"]), ("string-array", &["0.2.0"])];
        check(column.path(), column.place(), &kind, column.text("encoding-version").as_deref(), &known)?;
    }
    column.check_whole()?;
    let all = 0..column.rows();
    Ok(match column.kind() {
        Kind::Text => column.strings()?.into_iter().map(Some).collect(),
        Kind::Real => {
            let text = |v: f64| (!v.is_nan()).then(|| format!("{v:?}"));
            column.numbers(all)?.into_iter().map(text).collect()
        }
        Kind::Truth => {
            let text = |v: i64| Some(if v == 0 { "False" } else { "True" }.to_string());
            column.integers(all)?.into_iter().map(text).collect()
        }
        Kind::Integer | Kind::Other(_) => column.integers(all)?.iter().map(|v| Some(v.to_string())).collect(),
    })
}
