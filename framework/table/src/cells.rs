//! How single cells are stored, understood and shown.

/// The cells of one column as text, in one allocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    text: String,
    ends: Vec<usize>,
}

impl Cells {
    pub fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, at: usize) -> Option<&str> {
        let start = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.text.get(start..*self.ends.get(at)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let cell = &self.text[start..end];
            start = end;
            cell
        })
    }
}

impl FromIterator<String> for Cells {
    fn from_iter<I: IntoIterator<Item = String>>(cells: I) -> Self {
        let mut all = Self::default();
        for cell in cells {
            all.push(&cell);
        }
        all
    }
}

/// The number in a cell; infinities and NaN too.
pub(crate) fn number(cell: &str) -> Option<f64> {
    cell.trim().parse().ok()
}

/// The whole number in a cell.
pub(crate) fn integer(cell: &str) -> Option<i64> {
    let cell = cell.trim();
    cell.parse().ok().or_else(|| whole(cell.parse().ok()?))
}

/// A number as an integer, where every integer of its size is a number too.
pub(crate) fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// True or false, as Python, R and Rust write them.
pub(crate) fn flag(cell: &str) -> Option<bool> {
    match cell.trim() {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// The shortest text that reads back as the same number, and as a number rather than an integer.
pub(crate) fn digits(number: f64) -> String {
    match number {
        f64::INFINITY => "inf".into(),
        f64::NEG_INFINITY => "-inf".into(),
        _ => format!("{number:?}"),
    }
}

/// A cell for an error message: quoted, one line, not too long.
pub(crate) fn shown(cell: &str) -> String {
    const LONGEST: usize = 40;
    let mut text: String = cell.chars().take(LONGEST).collect();
    if text.len() < cell.len() {
        text.push_str("...");
    }
    format!("{text:?}")
}
