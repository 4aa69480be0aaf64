//! The folder that Cell Ranger writes: `matrix.mtx`, `barcodes.tsv` and `features.tsv` (or `genes.tsv`), each
//! plain or with `.gz`. The matrix is genes x cells.

use crate::{CellsError, Result, listed};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// An opened folder.
#[derive(Debug)]
pub struct TenX {
    matrix: PathBuf,
    barcodes: Vec<String>,
    genes: Vec<String>,
    /// For each row of the file its gene, where the row is one.
    gene_of_row: Vec<Option<u32>>,
}

impl TenX {
    /// Reads the names; the matrix stays on disk. `gene_column`: `name` (second column, the default) or `id`
    /// (first). Rows of another kind than `Gene Expression` (guides, antibodies) are left out.
    pub fn open(folder: &Path, gene_column: Option<&str>) -> Result<Self> {
        let matrix = find(folder, &["matrix.mtx"])?;
        let barcodes = lines(&find(folder, &["barcodes.tsv"])?)?;
        let barcodes: Vec<String> = barcodes.into_iter().map(|l| first(&l).to_string()).collect();
        let features = find(folder, &["features.tsv", "genes.tsv"])?;
        let column = match gene_column {
            None | Some("name") => 1,
            Some("id") => 0,
            Some(other) => {
                return Err(CellsError::of(
                    &features,
                    format!("gene_column = \"{other}\"; a 10x folder has \"name\" and \"id\""),
                ));
            }
        };
        let (mut genes, mut gene_of_row) = (Vec::new(), Vec::new());
        for line in lines(&features)? {
            let fields: Vec<&str> = line.split('\t').collect();
            let is_gene = fields.get(2).is_none_or(|kind| kind.trim() == "Gene Expression");
            gene_of_row.push(is_gene.then_some(genes.len() as u32));
            if is_gene {
                // A table of one column has names only.
                let name = fields.get(column).or(fields.first()).copied().unwrap_or_default().trim();
                genes.push(name.to_string());
            }
        }
        Ok(Self { matrix, barcodes, genes, gene_of_row })
    }

    /// The cells in the order of the matrix.
    pub fn barcodes(&self) -> &[String] {
        &self.barcodes
    }

    /// The genes in the order of the matrix.
    pub fn genes(&self) -> &[String] {
        &self.genes
    }

    /// Calls `f` with cell, gene and value of every entry, in the order of the file.
    pub fn entries<E: From<CellsError>>(&self, mut f: impl FnMut(usize, usize, f64) -> Result<(), E>) -> Result<(), E> {
        let path = &self.matrix;
        let mut reader = open(path)?;
        let mut line = String::new();
        let (mut number, mut size, mut seen) = (0usize, None, 0usize);
        let (n_rows, n_cells) = (self.gene_of_row.len(), self.barcodes.len());
        loop {
            line.clear();
            number += 1;
            let read = reader.read_line(&mut line).map_err(|e| unreadable(path, number, &e))?;
            let text = line.trim();
            if read == 0 {
                break;
            }
            if number == 1 {
                let head = text.to_ascii_lowercase();
                let right = head.starts_with("%%matrixmarket matrix coordinate")
                    && (head.ends_with("integer general") || head.ends_with("real general"));
                if !right {
                    let what = format!("line 1 is `{}`", text.chars().take(60).collect::<String>());
                    let want = "%%MatrixMarket matrix coordinate integer (or real) general";
                    return Err(CellsError::of(path, format!("{what}; a 10x matrix begins with `{want}`")).into());
                }
                continue;
            }
            if text.is_empty() || text.starts_with('%') {
                continue;
            }
            let mut fields = text.split_ascii_whitespace();
            let Some(of) = size else {
                let sizes: Vec<usize> = fields.filter_map(|v| v.parse().ok()).collect();
                let &[rows, columns, entries] = sizes.as_slice() else {
                    let what = format!("line {number} is `{text}`; it must give rows, columns and entries");
                    return Err(CellsError::of(path, what).into());
                };
                if rows != n_rows || columns != n_cells {
                    let what = format!(
                        "it has {rows} rows and {columns} columns, and there are {n_rows} features and {n_cells} \
                         barcodes; the three files must belong together, with genes as rows"
                    );
                    return Err(CellsError::of(path, what).into());
                }
                size = Some(entries);
                continue;
            };
            let row = fields.next().and_then(|v| v.parse::<usize>().ok());
            let column = fields.next().and_then(|v| v.parse::<usize>().ok());
            let value = fields.next().and_then(|v| v.parse::<f64>().ok());
            let (Some(r @ 1..), Some(c @ 1..), Some(v)) = (row, column, value) else {
                let what = format!("line {number} is `{text}`; it must give row, column (from 1) and value");
                return Err(CellsError::of(path, what).into());
            };
            seen += 1;
            if r > n_rows || c > n_cells || seen > of {
                let what = format!("line {number} is `{text}`, outside the {n_rows} x {n_cells} and {of} entries");
                return Err(CellsError::of(path, format!("{what} that the file announces")).into());
            }
            if let Some(gene) = self.gene_of_row[r - 1] {
                f(c - 1, gene as usize, v)?;
            }
        }
        match size {
            Some(of) if of == seen => Ok(()),
            Some(of) => {
                let what = format!("it announces {of} entries and holds {seen}: it is cut short; copy it again");
                Err(CellsError::of(path, what).into())
            }
            None => Err(CellsError::of(path, "it has no line of sizes: it is cut short; copy it again").into()),
        }
    }
}

/// The file of one of these names, plain or compressed.
fn find(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    for name in names {
        for file in [folder.join(name), folder.join(format!("{name}.gz"))] {
            if file.is_file() {
                return Ok(file);
            }
        }
    }
    let mut here: Vec<String> = std::fs::read_dir(folder)
        .map(|d| d.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    here.sort();
    let what = format!(
        "there is no {} (or .gz) in this folder, which holds: {}; a 10x folder has matrix.mtx, barcodes.tsv and \
         features.tsv or genes.tsv",
        names.join(" or "),
        listed(&here)
    );
    Err(CellsError::of(folder, what))
}

/// The bytes of a file, unpacked where its name ends in `.gz`.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = File::open(path).map_err(|e| CellsError::of(path, format!("opening failed: {e}; check the path")))?;
    let plain: Box<dyn Read> = match path.extension().is_some_and(|e| e == "gz") {
        true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file))),
        false => Box::new(file),
    };
    Ok(Box::new(BufReader::with_capacity(1 << 18, plain)))
}

fn lines(path: &Path) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for (i, line) in open(path)?.lines().enumerate() {
        let line = line.map_err(|e| unreadable(path, i + 1, &e))?;
        if !line.trim().is_empty() {
            out.push(line.trim_end_matches('\r').to_string());
        }
    }
    Ok(out)
}

fn unreadable(path: &Path, line: usize, e: &std::io::Error) -> CellsError {
    CellsError::of(path, format!("reading line {line} failed: {e}; the file is damaged or cut short, copy it again"))
}

fn first(line: &str) -> &str {
    line.split('\t').next().unwrap_or_default().trim()
}
