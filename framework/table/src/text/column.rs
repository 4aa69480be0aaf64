//! One column of a text table while it is read: as numbers as long as its cells allow.

use crate::cells::{self, Cells};
use crate::column::Column;
use crate::decimal::{self, Form};
use crate::spelling::Spelling;
use crate::words::is_missing_word;

/// Up to here every integer is a number.
const EXACT: u64 = 1 << 53;

#[derive(Debug)]
enum Values {
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
    Flags(Vec<bool>),
    Text(Cells),
}

/// A column while it grows.
#[derive(Debug)]
pub(crate) struct Growing {
    values: Values,
    spelling: Spelling,
    /// Whether a digit shows that this is a column of numbers: a gene may be called INF or NAN.
    digit: bool,
    filled: bool,
    /// Whether some numbers cannot be written again as the file has them.
    shortened: bool,
}

/// A column that is read.
pub(crate) enum Grown {
    Done(Column, Spelling),
    /// It is text and must be read again as such: its first cells were taken for numbers and shortened.
    ReadAgain,
}

impl Growing {
    pub fn new(as_text: bool) -> Self {
        Self {
            values: if as_text { Values::Text(Cells::default()) } else { Values::Integers(Vec::new()) },
            spelling: Spelling::default(),
            digit: false,
            filled: false,
            shortened: false,
        }
    }

    pub fn push(&mut self, cell: &str) {
        match &mut self.values {
            Values::Numbers(values) => {
                let row = values.len();
                let Some((value, form)) = decimal::read(cell).filter(|(value, _)| !value.is_nan()) else {
                    return self.push_other(cell);
                };
                values.push(value);
                match form {
                    Form::Plain if self.spelling.point_zero.is_none() || value.fract() != 0.0 => {
                        self.spelling.point_zero = self.spelling.point_zero.or((value.fract() == 0.0).then_some(false));
                    }
                    Form::Plain if self.spelling.point_zero == Some(false) => {}
                    Form::PointZero if *self.spelling.point_zero.get_or_insert(true) => {}
                    Form::Long => self.shortened = true,
                    _ => self.spelling.odd(row, cell),
                }
                // A cell that is read as a number has a digit, or is an infinity, which is odd.
                self.digit |= form != Form::Odd || has_digit(cell);
                self.filled = true;
            }
            Values::Text(all) => all.push(cell),
            Values::Integers(values) => match cell.trim().parse::<i64>() {
                Ok(value) => {
                    values.push(value);
                    self.digit = true;
                    self.filled = true;
                    if !is_plain_integer(cell) {
                        self.spelling.odd(values.len() - 1, cell);
                    }
                }
                Err(_) => self.push_other(cell),
            },
            Values::Flags(values) => match cells::flag(cell) {
                Some(value) => {
                    if cell != value.to_string() {
                        self.spelling.odd(values.len(), cell);
                    }
                    values.push(value);
                }
                None => self.push_other(cell),
            },
        }
    }

    /// A cell that is not as those before it.
    #[cold]
    fn push_other(&mut self, cell: &str) {
        if let Values::Integers(integers) = &self.values {
            if integers.is_empty() && cells::flag(cell).is_some() {
                self.values = Values::Flags(Vec::new());
                return self.push(cell);
            }
            if is_missing_word(cell) || cells::number(cell).is_some() {
                self.become_numbers();
                return self.push(cell);
            }
        }
        if let Values::Numbers(values) = &mut self.values {
            let row = values.len();
            if is_missing_word(cell) {
                values.push(f64::NAN);
                self.filled |= !cell.trim().is_empty();
                if self.spelling.missing.get_or_insert_with(|| cell.to_owned()) != cell {
                    self.spelling.odd(row, cell);
                }
                return;
            }
            if let Some(value) = cells::number(cell) {
                values.push(value);
                self.digit |= has_digit(cell);
                self.filled = true;
                return self.spelling.odd(row, cell);
            }
        }
        self.become_text();
        self.push(cell);
    }

    fn become_numbers(&mut self) {
        let Values::Integers(integers) = &self.values else { return };
        let mut values: Vec<f64> = integers.iter().map(|&value| value as f64).collect();
        let mut spelling = Spelling { point_zero: (!integers.is_empty()).then_some(false), ..Spelling::default() };
        for (row, &value) in integers.iter().enumerate() {
            match self.spelling.odd_cell(row) {
                Some(cell) => {
                    // Among numbers -0 is not 0.
                    values[row] = cells::number(cell).unwrap_or(values[row]);
                    spelling.odd(row, cell);
                }
                // Integers above 2^53 are no numbers: they are kept as they are written.
                None if value.unsigned_abs() > EXACT => spelling.odd(row, &value.to_string()),
                None => {}
            }
        }
        (self.values, self.spelling) = (Values::Numbers(values), spelling);
    }

    fn become_text(&mut self) {
        let values = std::mem::replace(&mut self.values, Values::Integers(Vec::new()));
        let spelling = std::mem::take(&mut self.spelling);
        self.values = Values::Text(match values {
            Values::Integers(values) => spelling.written(&Column::Integer(values)),
            Values::Numbers(values) => spelling.written(&Column::Number(values)),
            Values::Flags(values) => spelling.written(&Column::Flag(values)),
            Values::Text(cells) => cells,
        });
    }

    pub fn finish(mut self) -> Grown {
        match &self.values {
            Values::Integers(values) if values.is_empty() => self.become_text(),
            // Words alone are no numbers, unless they are empty.
            Values::Numbers(_) if self.filled && !self.digit => self.become_text(),
            _ => {}
        }
        match self.values {
            Values::Text(_) if self.shortened => Grown::ReadAgain,
            Values::Text(cells) => {
                let values = cells.iter().map(|cell| (!cell.is_empty()).then(|| cell.to_owned())).collect();
                Grown::Done(Column::Text(values), self.spelling)
            }
            Values::Integers(mut values) => {
                values.shrink_to_fit();
                Grown::Done(Column::Integer(values), self.spelling)
            }
            Values::Numbers(mut values) => {
                values.shrink_to_fit();
                Grown::Done(Column::Number(values), self.spelling)
            }
            Values::Flags(values) => Grown::Done(Column::Flag(values), self.spelling),
        }
    }
}

fn has_digit(cell: &str) -> bool {
    cell.bytes().any(|byte| byte.is_ascii_digit())
}

/// Whether an integer is written as it is shown.
fn is_plain_integer(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell).as_bytes();
    match digits {
        [b'0'] => digits.len() == cell.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}
