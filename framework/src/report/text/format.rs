//! Numbers, tables of aligned columns and lines of text, for the terminal and for Markdown.

use crate::report::model::paired::Paired;
use numerics::stats::quantile;

/// Stands where there is no number.
pub const NONE: &str = "-";

/// How the numbers of a column are written: with so many decimals, or else with an exponent.
#[derive(Clone, Copy)]
pub struct Digits(Option<usize>);

impl Digits {
    /// Three significant digits for a column's typical value, and one for its typical half width.
    pub fn of(column: impl Iterator<Item = [f64; 2]>) -> Self {
        let (values, halves): (Vec<f64>, Vec<f64>) = column.map(|[v, h]| (v.abs(), h.abs())).unzip();
        let digits = |v: Vec<f64>, significant: f64| {
            let v: Vec<f64> = v.into_iter().filter(|v| *v > 0.0 && v.is_finite()).collect();
            let middle = quantile(&v, 0.5);
            if middle.is_finite() { significant - 1.0 - middle.log10().floor() } else { 0.0 }
        };
        let (value, half) = (digits(values, 3.0), digits(halves, 1.0));
        Self((-3.0..=5.0).contains(&value).then(|| value.max(half.min(6.0)).max(0.0) as usize))
    }

    /// A number, or [`NONE`].
    pub fn show(self, v: f64) -> String {
        match self.0 {
            _ if !v.is_finite() => NONE.to_string(),
            None => format!("{v:.2e}"),
            // An outlier among small numbers.
            Some(_) if v.abs() >= 1e7 => format!("{v:.2e}"),
            // No "-0.000".
            Some(d) => format!("{:.d$}", if (v * 10f64.powi(d as i32)).abs() < 0.5 { 0.0 } else { v }),
        }
    }

    /// A number with its sign.
    pub fn signed(self, v: f64) -> String {
        format!("{}{}", if v > 0.0 { "+" } else { "" }, self.show(v))
    }
}

/// A mean with the half width of its interval, over so many seeds.
pub fn value(mean: f64, half: f64, n: usize, digits: Digits) -> String {
    match n {
        0 => NONE.to_string(),
        1 => format!("{} (n = 1)", digits.show(mean)),
        _ => format!("{} ± {}", digits.show(mean), digits.show(half)),
    }
}

/// A difference with its interval.
pub fn difference(d: &Paired, digits: Digits) -> String {
    let [mean, lo, hi] = [d.mean, d.lo, d.hi].map(|v| digits.signed(v));
    match d.n {
        0 => NONE.to_string(),
        1 => format!("{mean} (n = 1)"),
        _ => format!("{mean} [{lo}, {hi}]"),
    }
}

/// A relative change and its interval in per cent.
pub fn percent(p: &Paired) -> String {
    let all = [p.mean, p.lo, p.hi].map(|v| 100.0 * v);
    if p.lo.is_finite() {
        format!("{:+.1} % [{:+.1}, {:+.1}]", all[0], all[1], all[2])
    } else {
        format!("{:+.1} %", all[0])
    }
}

/// A p value with four decimals.
pub fn p_value(p: f64) -> String {
    match p {
        p if p.is_nan() => NONE.to_string(),
        p if p < 0.0001 => "<0.0001".to_string(),
        p => format!("{p:.4}"),
    }
}

/// Number of characters.
pub fn chars(text: &str) -> usize {
    text.chars().count()
}

/// A text filled up with spaces to a width; `right` aligns it there.
pub fn fill(text: &str, width: usize, right: bool) -> String {
    let space = " ".repeat(width.saturating_sub(chars(text)));
    if right { space + text } else { text.to_string() + &space }
}

/// Lines of cells as lines of text with aligned columns. Cells that begin with a number are aligned at
/// its decimal point.
pub fn pad(lines: &[Vec<String>], right: &[bool]) -> Vec<String> {
    let columns = lines.first().map_or(0, Vec::len);
    // Characters before the first decimal point or the end of the first word.
    let head = |cell: &str| {
        let numeric =
            cell.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '<') || (c == '-' && cell.len() > 1));
        if numeric { cell.find(['.', ' ']).unwrap_or(cell.len()) } else { 0 }
    };
    let shift: Vec<usize> =
        (0..columns).map(|c| lines.iter().skip(1).map(|l| head(&l[c])).max().unwrap_or(0)).collect();
    let moved = |line: &[String], c: usize| match right[c] || head(&line[c]) == 0 {
        true => line[c].clone(),
        false => " ".repeat(shift[c] - head(&line[c])) + &line[c],
    };
    let lines: Vec<Vec<String>> = lines
        .iter()
        .enumerate()
        .map(|(i, l)| (0..columns).map(|c| if i == 0 { l[c].clone() } else { moved(l, c) }).collect())
        .collect();
    let widths: Vec<usize> = (0..columns).map(|c| lines.iter().map(|l| chars(&l[c])).max().unwrap_or(0)).collect();
    lines
        .iter()
        .map(|l| (0..columns).map(|c| fill(&l[c], widths[c], right[c])).collect::<Vec<_>>().join("  "))
        .collect()
}

/// A label shortened in its middle.
pub fn shorten(label: &str, most: usize) -> String {
    let all: Vec<char> = label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if all.len() <= most {
        return all.into_iter().collect();
    }
    let keep = most - 1;
    all[..keep.div_ceil(2)].iter().chain(&['…']).chain(&all[all.len() - keep / 2..]).collect()
}

/// Lines of at most `width` characters, the later ones indented.
pub fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.trim().is_empty() && chars(&line) + 1 + chars(word) > width {
            out += &format!("{line}\n");
            line = " ".to_string();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    out + &line + "\n"
}

/// The noun for a number of things.
pub fn plural(n: usize, noun: &str) -> String {
    if n == 1 { noun.to_string() } else { format!("{noun}s") }
}

/// Text in which nothing is Markdown.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '|' | '*' | '_' | '`' | '<' | '[' | ']' | '\\' | '#' | '~' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}
