//! Gene identifiers: one type, an index into a table of names.

use super::mismatch::{likely_cause, stripped};
use super::symbols::SymbolUpdates;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;
use table::{Column, Table};

/// A gene of one [`Genes`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gene(pub u32);

impl Gene {
    /// Position in the table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The genes of a screen, in a fixed order, found by name in O(1).
#[derive(Clone, Debug, Default)]
pub struct Genes {
    names: Vec<Arc<str>>,
    index: HashMap<Arc<str>, u32>,
}

impl Genes {
    /// Builds the table in the given order; a repeated name is an error.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut genes = Genes::default();
        for name in names {
            let name = name.as_ref();
            let before = genes.len();
            if genes.intern(name).index() != before {
                return Err(Error::Data(format!("gene `{name}` is listed twice; keep one row for each gene")));
            }
        }
        Ok(genes)
    }

    /// The gene of that name, added at the end if it is new.
    pub fn intern(&mut self, name: &str) -> Gene {
        if let Some(&i) = self.index.get(name) {
            return Gene(i);
        }
        let i = self.names.len() as u32;
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        self.index.insert(name, i);
        Gene(i)
    }

    /// Number of genes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True without genes.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of a gene of this table.
    pub fn name(&self, gene: Gene) -> &str {
        &self.names[gene.index()]
    }

    /// The gene of that exact name.
    pub fn find(&self, name: &str) -> Option<Gene> {
        self.index.get(name).map(|&i| Gene(i))
    }

    /// All names in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|n| &**n)
    }

    /// Finds each of `names` (rows of some table) among these genes: by exact name first, then without the taxon that STRING
    /// puts before its ids (`9606.ENSP...`), then, with a symbol-update table, by current symbol. Each gene is given to at most one row: an exact match
    /// wins over an updated one, the first of several updated ones wins over the rest, and every
    /// losing row is reported as ambiguous. O(rows + genes).
    pub fn join(&self, names: &[&str], updates: Option<&SymbolUpdates>) -> Match {
        let mut gene: Vec<Option<Gene>> = names.iter().map(|n| self.find(n)).collect();
        let mut report = NameReport { rows: names.len(), ..NameReport::default() };
        let mut taken = vec![false; self.len()];
        for g in gene.iter().flatten() {
            taken[g.index()] = true;
        }
        for (slot, name) in gene.iter_mut().zip(names) {
            if slot.is_none()
                && let Some(g) = stripped(name).and_then(|id| self.find(id)).filter(|g| !taken[g.index()])
            {
                taken[g.index()] = true;
                *slot = Some(g);
            }
        }
        report.exact = taken.iter().filter(|t| **t).count();
        if let Some(updates) = updates {
            let mut current: HashMap<&str, Gene> = HashMap::new();
            for (i, name) in self.names().enumerate() {
                if let Some(now) = updates.current(name) {
                    current.entry(now).or_insert(Gene(i as u32));
                }
            }
            for (slot, name) in gene.iter_mut().zip(names) {
                if slot.is_some() {
                    continue;
                }
                let successors = updates.successors(name);
                if successors.len() > 1 {
                    report.ambiguous.push(Unplaced { name: name.to_string(), candidates: successors.to_vec() });
                    continue;
                }
                let now: &str = successors.first().map_or(*name, |s| s.as_str());
                let found = self.find(now).or_else(|| current.get(now).copied());
                match found {
                    Some(g) if taken[g.index()] => report
                        .ambiguous
                        .push(Unplaced { name: name.to_string(), candidates: vec![self.name(g).into()] }),
                    Some(g) => {
                        taken[g.index()] = true;
                        report.updated += 1;
                        *slot = Some(g);
                    }
                    None => {}
                }
            }
        }
        let lost = |name: &str| Unplaced {
            name: name.to_string(),
            candidates: updates.map_or(vec![], |u| u.successors(name).to_vec()),
        };
        report.missing = self.names().zip(&taken).filter(|(_, t)| !**t).map(|(n, _)| lost(n)).collect();
        if report.uninformed() {
            let missing: Vec<&str> = report.missing.iter().map(|m| m.name.as_str()).collect();
            let unused: Vec<&str> = names.iter().zip(&gene).filter(|(_, g)| g.is_none()).map(|(n, _)| *n).collect();
            report.cause = likely_cause(&missing, &unused);
        }
        Match { gene, report }
    }
}

/// Rows of a table matched to genes.
#[derive(Clone, Debug)]
pub struct Match {
    /// The gene of each row, if it has one.
    pub gene: Vec<Option<Gene>>,
    /// What was found and what was not.
    pub report: NameReport,
}

/// What became of the names when a table met a screen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NameReport {
    /// Rows of the table.
    pub rows: usize,
    /// Genes found by exact name.
    pub exact: usize,
    /// Genes found only through a symbol update.
    pub updated: usize,
    /// Genes of the screen that the table does not have.
    pub missing: Vec<Unplaced>,
    /// Rows left out because their name has several successors, or their gene already had a row.
    pub ambiguous: Vec<Unplaced>,
    /// Why fewer than half of the genes are found, where the names tell, and what to do.
    pub cause: Option<String>,
}

/// A name for which no counterpart was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    /// As it is written.
    pub name: String,
    /// What it may stand for: the symbols that came after it, or the gene that another row has already.
    pub candidates: Vec<String>,
}

impl NameReport {
    /// The names that are lost or ambiguous, in the columns `prior`, `name`, `became` and `candidates`; absent where all are
    /// placed.
    pub fn unplaced(reports: &[(&str, &NameReport)]) -> Option<Table> {
        let mut columns: [Vec<Option<String>>; 4] = Default::default();
        for (prior, report) in reports {
            for (became, list) in [("lost", &report.missing), ("ambiguous", &report.ambiguous)] {
                for u in list {
                    let candidates = (!u.candidates.is_empty()).then(|| u.candidates.join("|"));
                    let cells = [Some((*prior).into()), Some(u.name.clone()), Some(became.into()), candidates];
                    columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
                }
            }
        }
        let names = ["prior", "name", "became", "candidates"];
        let with = |t: Table, (name, cells): (&str, Vec<Option<String>>)| t.with(name, Column::Text(cells));
        (!columns[0].is_empty()).then(|| names.into_iter().zip(columns).fold(Table::new(), with))
    }

    /// Whether fewer than half of the genes are found.
    pub fn uninformed(&self) -> bool {
        self.exact + self.updated < self.missing.len()
    }
}

impl std::fmt::Display for NameReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total = self.exact + self.updated + self.missing.len();
        write!(f, "{} of {total} genes covered", self.exact + self.updated)?;
        if self.updated > 0 {
            write!(f, " ({} through symbol updates)", self.updated)?;
        }
        for (what, names) in [("missing", &self.missing), ("ambiguous", &self.ambiguous)] {
            if !names.is_empty() {
                let shown: Vec<&str> = names.iter().take(5).map(|u| u.name.as_str()).collect();
                let more = if names.len() > 5 { ", ..." } else { "" };
                write!(f, "; {} {what}: {}{more}", names.len(), shown.join(", "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_counts_exact_updated_missing_and_ambiguous() {
        let genes = Genes::new(["A", "OLD1", "C", "D"]).unwrap();
        let updates =
            SymbolUpdates::new([("OLD1", "B"), ("OLDC", "C"), ("OLDC2", "C"), ("SPLIT", "X"), ("SPLIT", "D")]);
        let m = genes.join(&["B", "A", "OLDC", "OLDC2", "SPLIT", "Z"], Some(&updates));
        let found: Vec<Option<u32>> = m.gene.iter().map(|g| g.map(|g| g.0)).collect();
        assert_eq!(found, [Some(1), Some(0), Some(2), None, None, None]);
        assert_eq!((m.report.exact, m.report.updated), (1, 2));
        let table = NameReport::unplaced(&[("go", &m.report)]).unwrap();
        assert_eq!(table.text("name").unwrap(), ["D", "OLDC2", "SPLIT"]);
        assert_eq!(table.text("became").unwrap(), ["lost", "ambiguous", "ambiguous"]);
        assert_eq!(
            table.text_or_missing("candidates").unwrap(),
            [None, Some("C".to_string()), Some("X|D".to_string())]
        );
        assert!(NameReport::unplaced(&[("go", &NameReport::default())]).is_none());
        assert_eq!(
            m.report.to_string(),
            "3 of 4 genes covered (2 through symbol updates); 1 missing: D; 2 ambiguous: OLDC2, SPLIT"
        );
    }

    #[test]
    fn repeated_names_are_refused() {
        let e = Genes::new(["A", "B", "A"]).unwrap_err().to_string();
        assert_eq!(e, "gene `A` is listed twice; keep one row for each gene");
    }
}
