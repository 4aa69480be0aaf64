//! Words that stand where a value or a gene should be: for "no value", for a date that a spreadsheet
//! made of a gene name, and for a control. Whoever refuses, counts or warns of them asks here.

/// Whether a cell is one of the words that programs write for "no value": empty, `NaN` in any case,
/// `NA`, `N/A`, `<NA>`, `null`, `None`, `-`, `.`, and the errors of spreadsheets such as `#N/A`.
///
/// In a column of numbers these are missing values. Among genes `NA` may be a name; the others are
/// none.
///
/// ```
/// use table::words::is_missing_word;
///
/// assert!(is_missing_word("#N/A") && is_missing_word("-") && !is_missing_word("TP53"));
/// ```
pub fn is_missing_word(cell: &str) -> bool {
    let cell = cell.trim();
    // Almost every cell is longer, or a number.
    match cell.len() {
        0 => true,
        1 => matches!(cell, "-" | "."),
        2..=8 => MISSING.contains(&cell) || cell.eq_ignore_ascii_case("nan") || cell.eq_ignore_ascii_case("-nan"),
        _ => false,
    }
}

const MISSING: [&str; 21] = [
    "NA", "N/A", "n/a", "na", "<NA>", "#N/A", "#NA", "null", "NULL", "Null", "None", "none", "NONE", "--", "#VALUE!",
    "#DIV/0!", "#NUM!", "#REF!", "#NAME?", "#NULL!", "-1.#IND",
];

/// Whether a name looks like a date that a spreadsheet made of a gene: `1-Mar` of MARCH1, `2-Sep` of
/// SEPT2, `2021-03-01`, `01/03/2021`, `MAR1`.
///
/// `SEP15`, `DEC1` and `OCT4` are names of genes and no dates.
///
/// ```
/// use table::words::is_spreadsheet_date;
///
/// assert!(is_spreadsheet_date("1-Mar") && is_spreadsheet_date("Sep-02"));
/// assert!(!is_spreadsheet_date("MARCHF1") && !is_spreadsheet_date("OCT4"));
/// ```
pub fn is_spreadsheet_date(name: &str) -> bool {
    let name = name.trim();
    if !(4..=25).contains(&name.len()) || !name.is_ascii() {
        return false;
    }
    // MARCH1 to MARCH11 shortened; no other family of genes has been seen in this form.
    if let Some(digits) = name.strip_prefix("MAR") {
        return digits.parse::<u8>().is_ok_and(|n| (1..=11).contains(&n)) && !digits.starts_with('+');
    }
    // A date and time: only the date counts.
    let day = name.split([' ', 'T']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split(['-', '/', '.']).collect();
    match parts[..] {
        [a, b] => !day.contains('.') && (is_day(a) && is_month_name(b) || is_month_name(a) && is_day(b)),
        [a, b, c] if is_month_name(b) => is_day(a) && is_year(c),
        // A version such as 1.2.2021 is as unlikely among genes as a date.
        [a, b, c] if a.len() == 4 => is_year(a) && is_day(b) && is_day(c),
        [a, b, c] => is_day(a) && is_day(b) && is_year(c),
        _ => false,
    }
}

fn is_day(part: &str) -> bool {
    part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()) && part.parse().is_ok_and(|n| (1..=31).contains(&n))
}

fn is_year(part: &str) -> bool {
    matches!(part.len(), 2 | 4) && part.bytes().all(|b| b.is_ascii_digit())
}

fn is_month_name(part: &str) -> bool {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let part = part.to_ascii_lowercase();
    MONTHS.contains(&part.as_str()) || part == "sept"
}

/// Whether a label names a control and no gene: `non-targeting`, `NT`, `NegControl`, `safe-harbor`,
/// `LacZ`, `AAVS1`, `intergenic`, `NO_CURRENT`, `control` and their like, in any case and with a
/// number behind (`non-targeting_00012`).
///
/// `CTRL`, `NT3` and `NT5` are genes and no controls; `ctrl` in small letters is one.
///
/// ```
/// use table::words::is_control_word;
///
/// assert!(is_control_word("Non-Targeting Control") && is_control_word("NTC_12") && is_control_word("AAVS1"));
/// assert!(!is_control_word("TP53") && !is_control_word("NT5E"));
/// ```
pub fn is_control_word(label: &str) -> bool {
    const LONGEST: usize = 200;
    // A control next to a gene is that gene alone.
    label.len() <= LONGEST && label.split('+').flat_map(|part| part.split("__")).all(is_control)
}

fn is_control(label: &str) -> bool {
    let label = label.trim();
    // CTRL is the symbol of chymotrypsin-like protease, Ctrl that of the mouse.
    if let Some(rest) = label.strip_prefix("ctrl") {
        return rest.chars().all(|c| !c.is_alphabetic());
    }
    // A number behind a separator counts the guides of a control.
    let base = label.trim_end_matches(|c: char| c.is_ascii_digit());
    let counted = base.len() < label.len() && base.ends_with(['_', ' ', '.', '#', ':']);
    let word = letters(if counted { base } else { label });
    // Two guides of a vector: NegCtrl0_NegCtrl1 is a control, NegCtrl0_AHR is none.
    if let Some((first, second)) = label.split_once('_')
        && ["negctrl", "negcontrol"].iter().any(|start| letters(first).starts_with(start))
    {
        return second.bytes().all(|byte| byte.is_ascii_digit()) || is_control(second);
    }
    CONTROLS.contains(&word.as_str()) || CONTROL_STARTS.iter().any(|start| word.starts_with(start))
}

fn letters(label: &str) -> String {
    label.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whole words, in small letters and digits only.
const CONTROLS: [&str; 28] = [
    "nt",
    "ntc",
    "neg",
    "negative",
    "control",
    "controls",
    "safe",
    "lacz",
    "aavs1",
    "rosa26",
    "gfp",
    "egfp",
    "mcherry",
    "luciferase",
    "fluc",
    "mock",
    "untreated",
    "unperturbed",
    "vehicle",
    "dmso",
    "scramble",
    "scrambled",
    "nosgrna",
    "noguide",
    "poscontrol",
    "posctrl",
    "positivecontrol",
    "wildtype",
];

/// Beginnings that no gene has.
const CONTROL_STARTS: [&str; 16] = [
    "nontarget",
    "notarget",
    "negcontrol",
    "negctrl",
    "negativecontrol",
    "negativectrl",
    "ntcontrol",
    "ntctrl",
    "safeharbor",
    "safeharbour",
    "safetarget",
    "intergenic",
    "nocurrent",
    "nosite",
    "onenongenesite",
    "controlguide",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_words() {
        for word in ["", " ", "NaN", "nan", "NAN", "NA", "N/A", "#N/A", "<NA>", "null", "NULL", "-", ".", "None"] {
            assert!(is_missing_word(word), "{word}");
        }
        for word in ["#VALUE!", "#DIV/0!", " NA "] {
            assert!(is_missing_word(word), "{word}");
        }
        for word in ["NAN1", "TP53", "0", "-1", "inf", "NANOG", "a very long word indeed"] {
            assert!(!is_missing_word(word), "{word}");
        }
    }

    #[test]
    fn dates() {
        for name in [
            "1-Mar",
            "01-MAR",
            "2-Sep",
            "Mar-01",
            "Sept-2",
            "2021-03-01",
            "2021-03-01 00:00:00",
            "3/1/2021",
            "1-Dec-20",
        ] {
            assert!(is_spreadsheet_date(name), "{name}");
        }
        assert!(is_spreadsheet_date("MAR1") && is_spreadsheet_date("MAR11"));
        for name in
            ["MARCHF1", "MARC1", "SEP15", "DEC1", "OCT4", "HLA-A", "NKX2-1", "MAR", "MAR12", "1.2.3", "7-2-9999x"]
        {
            assert!(!is_spreadsheet_date(name), "{name}");
        }
    }

    #[test]
    fn controls() {
        for label in [
            "non-targeting",
            "Nontargeting_control_3",
            "NT",
            "NT_12",
            "NTC",
            "NegControl",
            "NegCtrl0_NegCtrl0+NegCtrl0",
            "NegCtrl10_NegCtrl0__NegCtrl10_NegCtrl0",
            "NegCtrl_12",
            "NegCtrl10_NegCtrl0__NegCtrl10_NegCtrl0",
            "NegCtrl_12",
            "control",
            "ctrl",
            "ctrl_1",
            "safe-harbor",
            "Safe_Targeting",
            "LacZ",
            "AAVS1",
            "INTERGENIC_chr10",
            "NO_CURRENT",
            "NO_CURRENT_1",
            "ONE_NON-GENE_SITE_2",
            "Scramble",
            "no-target",
        ] {
            assert!(is_control_word(label), "{label}");
        }
        for label in [
            "TP53",
            "TP53+ctrl",
            "NegCtrl0_AHR",
            "NegCtrl0__AHR",
            "CTRL",
            "Ctrl",
            "NT3",
            "NT5",
            "NT5E",
            "NTRK1",
            "NEGR1",
            "CONTROLX",
            "SAFB",
            "",
            "WT1",
            "MOCOS",
        ] {
            assert!(!is_control_word(label), "{label}");
        }
    }
}
