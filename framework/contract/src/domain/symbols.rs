//! Old gene symbols and what they are called now.

use crate::error::Result;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use table::Table;

/// Old gene symbols and what they are called now.
#[derive(Clone, Debug, Default)]
pub struct SymbolUpdates {
    map: HashMap<String, Vec<String>>,
}

impl SymbolUpdates {
    /// From (old, current) pairs; an old symbol with two successors is kept as ambiguous.
    pub fn new<S: Into<String>>(pairs: impl IntoIterator<Item = (S, S)>) -> Self {
        let mut map: HashMap<String, Vec<String>> = HashMap::new();
        for (old, now) in pairs {
            let (old, now) = (old.into(), now.into());
            let list = map.entry(old).or_default();
            if !list.contains(&now) {
                list.push(now);
            }
        }
        Self { map }
    }

    /// Reads a table with the columns `old_symbol` and `symbol`, or one of HGNC: `symbol` with `previous` and `alias` symbols
    /// (several joined by | or commas) and ids (Ensembl, Entrez, HGNC) where there are columns of them.
    pub fn read(path: &Path) -> Result<Self> {
        let t = table::read(path)?;
        if t.column("old_symbol").is_none()
            && let Some(columns) = Columns::of(&t)
        {
            return columns.read(&t);
        }
        let (old, now) = (t.text("old_symbol")?, t.text("symbol")?);
        Ok(Self::new(old.into_iter().zip(now)))
    }

    /// All successors of an old symbol; empty if it is not an old one.
    pub fn successors(&self, name: &str) -> &[String] {
        self.map.get(name).map_or(&[], Vec::as_slice)
    }

    /// The one successor, if there is exactly one.
    pub fn current(&self, name: &str) -> Option<&str> {
        match self.successors(name) {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// The columns of a table of symbols, under the names that HGNC gives them in its files.
struct Columns<'a> {
    symbol: &'a str,
    previous: Option<&'a str>,
    alias: Option<&'a str>,
    /// Ids of the same genes elsewhere.
    ids: Vec<&'a str>,
}

impl Columns<'_> {
    fn of(t: &Table) -> Option<Columns<'_>> {
        let find = |names: &[&str]| {
            t.names().into_iter().find(|n| names.contains(&n.to_lowercase().replace(' ', "_").as_str()))
        };
        let previous = find(&["previous", "prev_symbol", "previous_symbols", "previous_symbol"]);
        let alias = find(&["alias", "alias_symbol", "alias_symbols", "synonyms"]);
        let ids = ["ensembl_gene_id", "ensembl", "ensembl_id", "entrez_id", "ncbi_gene_id", "hgnc_id"];
        let ids: Vec<&str> = ids.iter().filter_map(|n| find(&[n])).collect();
        let symbol = find(&["symbol", "approved_symbol"])?;
        (previous.is_some() || alias.is_some() || !ids.is_empty()).then_some(Columns { symbol, previous, alias, ids })
    }

    fn read(&self, t: &Table) -> Result<SymbolUpdates> {
        let symbols = t.text_or_missing(self.symbol)?;
        let approved: HashSet<&str> = symbols.iter().filter_map(Option::as_deref).collect();
        let mut pairs = vec![];
        // An approved symbol is current; a former symbol goes before an alias of another gene.
        let mut known: HashSet<String> = approved.iter().map(|s| s.to_string()).collect();
        let lists = [self.previous].into_iter().chain([self.alias]).flatten().chain(self.ids.iter().copied());
        for column in lists {
            let mut seen = vec![];
            for (symbol, names) in symbols.iter().zip(t.text_or_missing(column)?) {
                let (Some(symbol), Some(names)) = (symbol, names) else { continue };
                for name in names.split(['|', ',']).map(str::trim).filter(|n| !n.is_empty() && !known.contains(*n)) {
                    pairs.push((name.to_string(), symbol.clone()));
                    seen.push(name.to_string());
                }
            }
            known.extend(seen);
        }
        Ok(SymbolUpdates::new(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SymbolUpdates> {
        let dir = crate::testing::TempDir::new().unwrap();
        let file = dir.path().join("t.csv");
        std::fs::write(&file, text).unwrap();
        SymbolUpdates::read(&file)
    }

    #[test]
    fn tables_of_hgnc_are_read_as_they_come() {
        let u = read(
            "hgnc_id,symbol,previous,alias,ensembl_gene_id,entrez_id\nHGNC:1,A,OLD1|OLD2,B|SHARED,ENSG1,11\nHGNC:2,B,,OLD1|SHARED,ENSG2,\n\
             HGNC:3,C,,,,13\n",
        )
        .unwrap();
        assert_eq!([u.current("OLD1"), u.current("OLD2")], [Some("A"); 2], "a former symbol before an alias");
        assert_eq!(u.successors("SHARED"), ["A", "B"], "ambiguous");
        assert_eq!(u.current("B"), None, "an approved symbol is current");
        assert_eq!([u.current("ENSG2"), u.current("13"), u.current("HGNC:1")], [Some("B"), Some("C"), Some("A")]);
        let custom = read("Approved symbol,Previous symbols\nA,\"X, Y\"\n").unwrap();
        assert_eq!([custom.current("X"), custom.current("Y")], [Some("A"); 2]);
    }

    #[test]
    fn pairs_of_symbols_are_read_and_others_refused() {
        assert_eq!(read("old_symbol,symbol\nX,A\n").unwrap().current("X"), Some("A"));
        let e = read("symbol,name\nA,x\n").unwrap_err().to_string();
        assert!(e.contains("old_symbol"), "{e}");
    }
}
