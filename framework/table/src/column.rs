//! The values of one column.

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Text; `None` where a cell is empty.
    Text(Vec<Option<String>>),
    /// Numbers; NaN where a cell is empty.
    Number(Vec<f64>),
    /// Whole numbers.
    Integer(Vec<i64>),
    /// True and false.
    Flag(Vec<bool>),
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Flag(values) => values.len(),
        }
    }

    /// The values at these rows, in this order.
    pub(crate) fn take(&self, rows: &[usize]) -> Self {
        match self {
            Self::Text(values) => Self::Text(rows.iter().map(|&row| values[row].clone()).collect()),
            Self::Number(values) => Self::Number(rows.iter().map(|&row| values[row]).collect()),
            Self::Integer(values) => Self::Integer(rows.iter().map(|&row| values[row]).collect()),
            Self::Flag(values) => Self::Flag(rows.iter().map(|&row| values[row]).collect()),
        }
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
