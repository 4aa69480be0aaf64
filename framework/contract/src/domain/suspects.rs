//! Names in a column of genes that are probably none: words for no value, dates, controls.

use crate::error::{Error, Result, listed};
use table::words::{is_control_word, is_missing_word, is_spreadsheet_date};

/// Names that are probably no genes, each once, in the order in which they are seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suspects {
    /// Words that stand for no value, but `NA`.
    missing: Vec<String>,
    /// `NA`, which may be a name.
    perhaps: bool,
    /// What a spreadsheet made of genes.
    dates: Vec<String>,
    /// What screens call their controls.
    pub controls: Vec<String>,
}

impl Suspects {
    /// Those among some names. `accepted` are genes, whatever they look like. O(names).
    pub fn among<'a>(names: impl IntoIterator<Item = &'a str>, accepted: &[String]) -> Self {
        let mut found = Self::default();
        let add = |list: &mut Vec<String>, name: &str| {
            if !list.iter().any(|n| n == name) {
                list.push(name.into());
            }
        };
        for name in names {
            if accepted.iter().any(|a| a == name) {
            } else if name == "NA" {
                found.perhaps = true;
            } else if is_missing_word(name) {
                add(&mut found.missing, name);
            } else if is_spreadsheet_date(name) {
                add(&mut found.dates, name);
            } else if is_control_word(name) {
                add(&mut found.controls, name);
            }
        }
        found
    }

    /// An error where a word for no value stands among the genes; `accept` is the key that takes it as a gene.
    pub fn refuse_missing(&self, file: &str, accept: &str) -> Result<()> {
        match self.missing.first() {
            None => Ok(()),
            Some(word) => Err(Error::Data(format!(
                "{file}: `{word}` stands in a column of genes and means that there is none{}; leave out these rows, or name it \
                 under {accept} if it is a gene",
                match self.missing.len() {
                    1 => String::new(),
                    n => format!(" ({n} such words: {})", listed(&self.missing, 5)),
                }
            ))),
        }
    }

    /// What to tell of `NA` and of dates.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![];
        if self.perhaps {
            lines.push("warning: `NA` is taken as a gene, and R writes it where there is none".to_string());
        }
        if !self.dates.is_empty() {
            let n = self.dates.len();
            lines.push(format!(
                "warning: {n} {} a date that a spreadsheet made of a gene ({}); write the genes again from their source",
                if n == 1 { "name is" } else { "names are each" },
                listed(&self.dates, 5)
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_no_genes_are_found() {
        let names = ["TP53", "#N/A", "NA", "1-Mar", "NegControl", "NaN", "NaN", "LacZ"];
        let found = Suspects::among(names, &[]);
        assert_eq!(found.controls, ["NegControl", "LacZ"]);
        let e = found.refuse_missing("a.csv", "accept").unwrap_err().to_string();
        assert!(
            e.starts_with("a.csv: `#N/A` stands in a column of genes") && e.contains("(2 such words: #N/A, NaN)"),
            "{e}"
        );
        assert_eq!(found.lines().len(), 2);
        let accepted = ["#N/A", "NaN", "NA", "1-Mar", "NegControl", "LacZ"].map(String::from);
        assert_eq!(Suspects::among(names, &accepted), Suspects::default());
    }
}
