//! Gene sets in GMT: a line a set, with its name, a description and its genes between tabs.

use crate::column::Column;
use crate::delimiter::Delimiter;
use crate::encoding::Encoding;
use crate::error::TableError;
use crate::table::{Source, Table};
use crate::text::records::{Records, Stop};
use crate::text::split::split_plain;
use crate::text::{TextFile, encoding_note};

/// A long table with the columns `set`, `description` and `gene`: a row a gene in a set.
pub(super) fn pass(file: &TextFile<'_>, encoding: Encoding, mark: usize) -> Result<Table, Stop> {
    let mut records = Records::new(file, file.open(encoding, mark)?);
    records.delimiter = Delimiter::Tab;
    let (mut sets, mut descriptions, mut genes, mut lines) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut empty, mut weights, mut any) = (0, 0, false);
    while let Some((line, record)) = records.next_line()? {
        any = true;
        let mut cells = Vec::new();
        split_plain(record, b'\t', |cell| cells.push(cell.trim()));
        let [set, description, members @ ..] = cells.as_slice() else {
            let cause = format!("line {line} has no tab, where a set, its description and its genes are expected");
            return Err(TableError::Damaged { path: file.path.into(), kind: "GMT", cause }.into());
        };
        if set.is_empty() {
            let cause = format!("the set in line {line} has no name");
            return Err(TableError::Damaged { path: file.path.into(), kind: "GMT", cause }.into());
        }
        let before = genes.len();
        for member in members.iter().filter(|member| !member.is_empty()) {
            // Enrichr writes a weight behind each gene.
            let gene = match member.split_once(',') {
                Some((gene, weight)) if weight.parse::<f64>().is_ok() && !gene.is_empty() => {
                    weights += 1;
                    gene
                }
                _ => member,
            };
            sets.push(Some((*set).to_owned()));
            descriptions.push((!description.is_empty()).then(|| (*description).to_owned()));
            genes.push(Some(gene.to_owned()));
            lines.push(line);
        }
        empty += usize::from(genes.len() == before);
    }
    if !any {
        return Err(TableError::Empty { path: file.path.into() }.into());
    }
    let source = Source {
        format: "GMT",
        gzip: file.gzip,
        delimiter: Some(Delimiter::Tab),
        encoding: Some(encoding),
        bytes: file.bytes,
    };
    let mut table = Table::of(file.path, Some(lines), source);
    if empty > 0 {
        table.note(format!("sets without genes are left out: {empty}"));
    }
    if weights > 0 {
        table.note(format!("weights behind genes, as in \"TP53,1.0\", are left out: {weights}"));
    }
    encoding_note(encoding).into_iter().for_each(|note| table.note(note));
    for (name, values) in [("set", sets), ("description", descriptions), ("gene", genes)] {
        table.push(name, Column::Text(values))?;
    }
    Ok(table)
}
