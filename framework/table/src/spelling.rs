//! How numbers are written in a file.

use crate::cells::Cells;
use crate::column::Column;

/// How the cells of a column of numbers are written, where that is not as their values are shown:
/// names stay as they are, `007` too, at hardly any cost for columns of measurements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling {
    /// What stands for a missing value.
    pub missing: Option<String>,
    /// Whether whole numbers are written with `.0`.
    pub point_zero: Option<bool>,
    /// Rows that are written in another way, in order.
    pub rows: Vec<usize>,
    pub cells: Cells,
}

impl Spelling {
    /// Every cell as it is.
    pub fn all(cells: Cells) -> Self {
        Self { rows: (0..cells.len()).collect(), cells, ..Self::default() }
    }

    pub fn odd(&mut self, row: usize, cell: &str) {
        self.rows.push(row);
        self.cells.push(cell);
    }

    /// Each cell as the file has it; a number with point and more than 15 digits in its shortest form.
    pub fn written(&self, column: &Column) -> Cells {
        (0..column.len()).map(|row| self.cell(column, row)).collect()
    }

    /// How the rows at these positions are written.
    pub fn take(&self, rows: &[usize]) -> Self {
        let mut taken = Self { missing: self.missing.clone(), point_zero: self.point_zero, ..Self::default() };
        for (at, &row) in rows.iter().enumerate() {
            if let Some(cell) = self.odd_cell(row) {
                taken.odd(at, cell);
            }
        }
        taken
    }

    pub fn odd_cell(&self, row: usize) -> Option<&str> {
        self.cells.get(self.rows.binary_search(&row).ok()?)
    }

    pub fn cell(&self, column: &Column, row: usize) -> String {
        if let Some(cell) = self.odd_cell(row) {
            return cell.to_owned();
        }
        match column {
            Column::Text(values) => values[row].clone().unwrap_or_default(),
            Column::Number(values) if values[row].is_nan() => self.missing.clone().unwrap_or_default(),
            Column::Number(values) if self.point_zero == Some(true) && values[row].fract() == 0.0 => {
                format!("{}.0", values[row])
            }
            Column::Number(values) => values[row].to_string(),
            Column::Integer(values) => values[row].to_string(),
            Column::Flag(values) => values[row].to_string(),
        }
    }
}
