//! Decimal numbers, read quickly, with a word on how they are written.

/// How a number is written, beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As its value is shown: `12`, `-0.5`.
    Plain,
    /// As its value is shown, with `.0` behind: `12.0`.
    PointZero,
    /// With a point and more digits than a name has, or with point and exponent: a measurement,
    /// whose shortest form says the same.
    Long,
    /// Otherwise: `007`, `1.50`, `1e5`.
    Odd,
}

/// The number in a cell, and how it is written; `None` where [`str::parse`] finds no number either.
pub(crate) fn read(cell: &str) -> Option<(f64, Form)> {
    let bytes = cell.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    // Most measurements: a digit, a point, and all decimals that there are.
    if bytes.len() > LONG && bytes[1 + usize::from(negative)] == b'.' && bytes[usize::from(negative)].is_ascii_digit() {
        return Some((fast_float2::parse(bytes).ok()?, Form::Long));
    }
    let mut at = usize::from(negative);
    let mut mantissa: u64 = 0;
    let start = at;
    while let Some(digit @ b'0'..=b'9') = bytes.get(at).copied() {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    let whole = at - start;
    let mut decimals = 0;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let point = at;
        while let Some(digit @ b'0'..=b'9') = bytes.get(at).copied() {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            at += 1;
        }
        decimals = at - point;
    }
    if at < bytes.len() || whole == 0 {
        return unusual(cell);
    }
    // Zeros in front count as digits: the few such numbers with many of them are parsed below.
    let value = if whole + decimals <= EXACT_DIGITS {
        // Both are exact, so that the quotient is the nearest number.
        let value = mantissa as f64 / TENS[decimals];
        if negative { -value } else { value }
    } else {
        fast_float2::parse(bytes).ok()?
    };
    let zero_first = whole > 1 && bytes[start] == b'0';
    let point = start + whole;
    let form = if zero_first || point + 1 == bytes.len() {
        Form::Odd
    } else if point == bytes.len() {
        if whole <= EXACT_DIGITS { Form::Plain } else { Form::Odd }
    } else if decimals == 1 && bytes[point + 1] == b'0' {
        if whole <= EXACT_DIGITS { Form::PointZero } else { Form::Long }
    } else if significant(mantissa, whole + decimals) > EXACT_DIGITS {
        Form::Long
    } else if bytes[bytes.len() - 1] == b'0' {
        Form::Odd
    } else {
        Form::Plain
    };
    Some((value, form))
}

const EXACT_DIGITS: usize = 15;

/// Longer cells have more digits than that, or zeros in front, which the shortest form keeps.
const LONG: usize = EXACT_DIGITS + 2;

const TENS: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Digits but for the zeros in front.
fn significant(mantissa: u64, digits: usize) -> usize {
    const WRAPS: usize = 20;
    if digits < WRAPS { mantissa.checked_ilog10().map_or(0, |log| log as usize + 1) } else { digits }
}

#[cold]
fn unusual(cell: &str) -> Option<(f64, Form)> {
    let value = cell.parse().ok()?;
    let long = cell.contains('.') && cell.contains(['e', 'E']);
    Some((value, if long { Form::Long } else { Form::Odd }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let mut cells: Vec<String> =
            ["0", "-0", "-0.0", ".5", "5.", "1e5", "-1.5E-3", "inf", "nan", "+3", "", "-", "1 "]
                .map(str::to_owned)
                .to_vec();
        for _ in 0..20_000 {
            let digits: String = (0..1 + next() % 24).map(|_| char::from(b'0' + (next() % 10) as u8)).collect();
            let at = next() as usize % (digits.len() + 1);
            let sign = if next() % 2 == 0 { "-" } else { "" };
            cells.push(format!("{sign}{}.{}", &digits[..at], &digits[at..]));
            cells.push(format!("{sign}{digits}"));
            cells.push(format!("{}", f64::from_bits(next() << 33 ^ next() << 10)));
        }
        for cell in &cells {
            let (ours, theirs) = (read(cell), cell.parse::<f64>().ok());
            assert_eq!(ours.map(|(value, _)| value.to_bits()), theirs.map(f64::to_bits), "{cell:?}");
            match ours {
                Some((value, Form::Plain)) => assert_eq!(value.to_string(), *cell),
                Some((value, Form::PointZero)) => assert_eq!(format!("{value}.0"), *cell),
                _ => {}
            }
        }
    }

    #[test]
    fn forms() {
        for (cell, form) in [
            ("12", Form::Plain),
            ("-0.5", Form::Plain),
            ("0", Form::Plain),
            ("7157.0", Form::PointZero),
            ("0.12345678901234567", Form::Long),
            ("1.5e-5", Form::Long),
            ("007", Form::Odd),
            ("1.50", Form::Odd),
            ("1e5", Form::Odd),
            ("12345678901234567890", Form::Odd),
        ] {
            assert_eq!(read(cell).map(|(_, form)| form), Some(form), "{cell}");
        }
    }
}
