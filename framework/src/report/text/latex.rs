//! Tables for LaTeX.

use table::{Column, Table};

/// A table with rules above, between and below (package booktabs): numbers with four significant digits, right-aligned;
/// names of columns as given.
pub fn latex(t: &Table, caption: &str, label: &str) -> String {
    let names = t.names();
    let columns: Vec<&Column> = names.iter().filter_map(|n| t.column(n)).collect();
    let sides: String = columns.iter().map(|c| if matches!(c, Column::Text(_)) { 'l' } else { 'r' }).collect();
    let line = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
    let mut out = format!(
        "\\begin{{table}}\n  \\centering\n  \\caption{{{}}}\n  \\label{{tab:{label}}}\n  \\begin{{tabular}}{{{sides}}}\n    \\toprule\n",
        escape(caption)
    );
    out += &line(names.iter().map(|n| escape(&n.replace('_', " "))).collect());
    out += "    \\midrule\n";
    for row in 0..t.height() {
        out += &line(
            columns
                .iter()
                .map(|c| match c {
                    Column::Text(v) => escape(v[row].as_deref().unwrap_or("")),
                    Column::Integer(v) => v[row].to_string(),
                    Column::Flag(v) => if v[row] { "yes" } else { "no" }.to_string(),
                    Column::Number(v) => number(v[row]),
                })
                .collect(),
        );
    }
    out + "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n"
}

fn number(v: f64) -> String {
    match v {
        v if !v.is_finite() => "--".into(),
        0.0 => "0".into(),
        v if v.abs() >= 1e6 || v.abs() < 1e-4 => {
            let power = v.abs().log10().floor() as i32;
            format!("${:.2} \\times 10^{{{power}}}$", v / 10f64.powi(power))
        }
        v => {
            let digits = (3 - v.abs().log10().floor() as i32).max(0) as usize;
            let text = format!("{v:.digits$}");
            if v < 0.0 { format!("${text}$") } else { text }
        }
    }
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out += "\\textbackslash{}",
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '<' => out += "$<$",
            '>' => out += "$>$",
            '±' => out += "$\\pm$",
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_by_hand() {
        let t = Table::new()
            .with("arm_name", Column::Text(vec![Some("a & b_c".into()), None]))
            .with("p", Column::Number(vec![0.01234, f64::NAN]))
            .with("n", Column::Integer(vec![3, 4]));
        let text = latex(&t, "50 % of <all>", "x");
        for part in [
            "\\begin{tabular}{lrr}",
            "arm name & p & n \\\\",
            "a \\& b\\_c & 0.01234 & 3 \\\\",
            " & -- & 4 \\\\",
            "\\caption{50 \\% of $<$all$>$}",
            "\\label{tab:x}",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!([number(-1.5), number(2.5e-7), number(0.0)], ["$-1.500$", "$2.50 \\times 10^{-7}$", "0"]);
    }
}
