//! A Perturb-seq screen, replayed: a measurement is the mean profile of a perturbation's cells against control.
//!
//! Each cell is x = log(1 + target_sum counts / total), or the log-normalised value of the file. With c_l the mean
//! over the control cells of lane l, the readout of perturbation p is the mean of x - c_l over its cells (of the
//! lanes that a round may use), its error s/√n with s² = ((n - 1) v_p + v) / n, where v_p is the variance over
//! these cells and v the one pooled over all perturbations: a perturbation of one cell has the error √v.
//! Following GEARS and IterPert, outputs are ranked by the absolute t score (Welch 1947) against control.
//!
//! Cost: two or three passes over the file, piece by piece; what stays in memory is 8 bytes for each entry that
//! is not zero among the genes kept. A measurement costs O(cells x outputs).

use framework::cells::{CellsError, TenX};
use framework::prelude::*;
use framework::table::Table;
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Replays a Perturb-seq screen from an AnnData file (`.h5ad`, needs a build with `--features h5ad`), a 10x folder
/// with a table of its cells, or a pseudobulk table (one row a perturbation, or several, and one column a gene).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerturbSeq {
    /// An `.h5ad` file, a 10x folder (matrix.mtx, barcodes.tsv, features.tsv or genes.tsv, plain or .gz), or a
    /// pseudobulk table (.csv, .csv.gz, .tsv, .tsv.gz, .parquet); relative to the data folder.
    pub path: PathBuf,
    /// The table of cells of a 10x folder, with `barcode`, `label` and perhaps `lane` as columns. Default none.
    #[serde(default)]
    pub obs: Option<PathBuf>,
    /// The column of that table with the barcode; default `"barcode"`.
    #[serde(default = "barcode_column")]
    pub barcode: String,
    /// The layer of an `.h5ad` file; absent: X.
    #[serde(default)]
    pub layer: Option<String>,
    /// Where gene names stand. `.h5ad`: a column of var, absent: its index. 10x: `"name"` (default) or `"id"`.
    #[serde(default)]
    pub gene_column: Option<String>,
    /// The column that names the perturbation of a cell. Cells without a value are left out.
    pub label: String,
    /// The label of control cells.
    pub control: String,
    /// What stands between genes in a label of several, as in `"+"`; a part equal to `control` counts for nothing,
    /// so that `A+control` is `A`. Absent: a label is one gene.
    #[serde(default)]
    pub separator: Option<String>,
    /// The column that names the lane (batch) of a cell. Absent: all cells are one lane.
    #[serde(default)]
    pub lane: Option<String>,
    /// Whether values are raw counts, which are scaled to `target_sum` in each cell and log(1 + x) transformed.
    /// Default false: they are log-normalised already.
    #[serde(default)]
    pub counts: bool,
    /// The sum to which the counts of a cell are scaled; default 10,000.
    #[serde(default = "target_sum")]
    pub target_sum: f64,
    /// Whether the values of a pseudobulk table are differences from control already; default false.
    #[serde(default)]
    pub differences: bool,
    /// Perturbations with fewer cells (rows of a table) are left out; default 10, for a table 1.
    #[serde(default)]
    pub min_cells: Option<usize>,
    /// Keep this many genes, those whose log-normalised values vary most over the cells used (sample variance);
    /// absent: all.
    #[serde(default)]
    pub genes: Option<usize>,
    /// Keep the genes of this table's column `gene` instead. Default none.
    #[serde(default)]
    pub gene_list: Option<PathBuf>,
    /// Keep the genes that are perturbed as well, where they are measured; default false.
    #[serde(default)]
    pub keep_targets: bool,
    /// Columns of numbers of a pseudobulk table that are not genes. Default none.
    #[serde(default)]
    pub not_genes: Vec<String>,
    /// What a cell is compared with: the control cells of its `"lane"` (default), or of `"all"` lanes.
    #[serde(default)]
    pub centre: Centre,
    /// What to do when a perturbation has no cell in the lanes that a round may use: `"error"` (default), or
    /// `"all_lanes"` to use its cells of all lanes.
    #[serde(default)]
    pub no_cells: NoCells,
    /// Measurement error: `{ from = "none" }` (default): the recorded mean, whatever the replicate;
    /// `{ from = "bootstrap" }`: the mean of as many cells drawn with replacement.
    #[serde(default)]
    pub noise: CellNoise,
}

/// What a cell is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// The control cells of its lane.
    #[default]
    Lane,
    /// All control cells.
    All,
}

/// A perturbation without cells in the lanes of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoCells {
    /// Refused.
    #[default]
    Error,
    /// Measured in all lanes.
    AllLanes,
}

/// Where measurement errors come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum CellNoise {
    /// None: a measurement is the recorded mean.
    None {},
    /// Cells drawn with replacement.
    Bootstrap {},
}

impl Default for CellNoise {
    fn default() -> Self {
        CellNoise::None {}
    }
}

fn barcode_column() -> String {
    "barcode".into()
}

fn target_sum() -> f64 {
    1e4
}

#[typetag::serde(name = "perturb_seq")]
impl Oracle for PerturbSeq {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        Ok(Box::new(self.read(setup)?))
    }

    fn data_files(&self) -> Vec<PathBuf> {
        [Some(&self.path), self.obs.as_ref(), self.gene_list.as_ref()].into_iter().flatten().cloned().collect()
    }

    fn seeded(&self) -> bool {
        false
    }
}

/// Where the entries come from.
enum Matrix {
    AnnData(framework::cells::AnnData),
    TenX(TenX),
    /// rows x genes.
    Table(Array2<f64>, Vec<String>),
}

impl Matrix {
    fn genes(&self) -> &[String] {
        match self {
            Matrix::AnnData(m) => m.genes(),
            Matrix::TenX(m) => m.genes(),
            Matrix::Table(_, genes) => genes,
        }
    }

    /// Every entry that is not zero: cell, gene, value.
    fn entries(&self, mut f: impl FnMut(usize, usize, f64) -> Result<()>) -> Result<()> {
        match self {
            Matrix::AnnData(m) => m.entries(f),
            Matrix::TenX(m) => m.entries(f),
            Matrix::Table(x, _) => x.indexed_iter().filter(|(_, v)| **v != 0.0).try_for_each(|((i, j), v)| f(i, j, *v)),
        }
    }
}

/// The file and what its cells are.
struct Source {
    matrix: Matrix,
    label: Vec<Option<String>>,
    lane: Option<Vec<Option<String>>>,
}

/// What `path` is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    AnnData,
    TenX,
    Table,
}

/// What a cell is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    Unused,
    Control,
    Perturbed(u32),
}

impl PerturbSeq {
    fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::Config(format!("perturb_seq ({}): {what}", self.path.display()))
    }

    fn check(&self, form: Form) -> Result<()> {
        if !(self.target_sum > 0.0 && self.target_sum.is_finite()) {
            return Err(self.wrong(format!("target_sum is {}; it must be a positive number", self.target_sum)));
        }
        if self.separator.as_deref() == Some("") {
            return Err(self.wrong("separator is empty; leave it out where a label is one gene"));
        }
        if self.min_cells == Some(0) {
            return Err(self.wrong("min_cells = 0 means nothing: a perturbation has at least one cell; set it to 1"));
        }
        if self.genes == Some(0) {
            return Err(self.wrong("genes = 0 keeps nothing; leave it out to keep all"));
        }
        if self.genes.is_some() && self.gene_list.is_some() {
            return Err(self.wrong("`genes` and `gene_list` both say which genes to keep; leave one out"));
        }
        if self.differences && self.counts {
            return Err(self.wrong("values are counts or differences, not both; leave one out"));
        }
        if let Some(s) = self.separator.as_deref().filter(|s| self.control.contains(*s)) {
            return Err(self.wrong(format!(
                "control = \"{}\" contains the separator `{s}`, so that labels cannot be taken apart; rename the control \
                 label, or leave out `separator` where every label is one gene",
                self.control
            )));
        }
        let misplaced = [
            (form == Form::Table, "differences", self.differences),
            (form == Form::Table, "not_genes", !self.not_genes.is_empty()),
            (form == Form::AnnData, "layer", self.layer.is_some()),
            (form == Form::TenX, "obs", self.obs.is_some()),
            (form != Form::Table, "gene_column", self.gene_column.is_some()),
        ];
        if let Some((_, name, _)) = misplaced.iter().find(|(fits, _, set)| *set && !fits) {
            let kind = match form {
                Form::AnnData => "an AnnData file",
                Form::TenX => "a 10x folder",
                Form::Table => "a pseudobulk table",
            };
            return Err(self.wrong(format!("`{name}` means nothing for {kind}; leave it out")));
        }
        Ok(())
    }

    /// Opens the matrix and reads labels and lanes of its rows.
    fn source(&self, setup: &Setup, path: &Path, form: Form) -> Result<Source> {
        if form == Form::AnnData {
            return self.anndata(path);
        }
        if form == Form::Table {
            let table = setup.data.table(&self.path)?;
            let text = |c: &str| Ok::<_, Error>(table.text(c)?.into_iter().map(|t| Some(t.to_string())).collect());
            let label: Vec<Option<String>> = text(&self.label)?;
            let lane = self.lane.as_deref().map(text).transpose()?;
            return Ok(Source { matrix: self.profiles(&table)?, label, lane });
        }
        let tenx = TenX::open(path, self.gene_column.as_deref())?;
        let Some(obs) = &self.obs else {
            return Err(self.wrong(format!(
                "a 10x folder does not say how cells were perturbed; name a table with the columns `{}` and `{}` in `obs`",
                self.barcode, self.label
            )));
        };
        let table = setup.data.table(obs)?;
        let mut row_of: HashMap<&str, usize> = HashMap::with_capacity(table.height());
        for (row, barcode) in table.text(&self.barcode)?.into_iter().enumerate() {
            if let Some(first) = row_of.insert(barcode, row) {
                return Err(Error::Data(format!(
                    "{}: barcode {barcode} has two rows ({} and {}); keep one row for each cell",
                    setup.data.path(obs).display(),
                    table.place(first),
                    table.place(row)
                )));
            }
        }
        let rows: Vec<Option<usize>> = tenx.barcodes().iter().map(|b| row_of.get(b.as_str()).copied()).collect();
        if rows.iter().all(Option::is_none) {
            let show = |b: Option<&str>| b.unwrap_or("none").to_string();
            return Err(Error::Data(format!(
                "{}: none of the {} barcodes of the matrix (as {}) is among its {} barcodes (as {}); check suffixes as in -1",
                setup.data.path(obs).display(),
                rows.len(),
                show(tenx.barcodes().first().map(String::as_str)),
                table.height(),
                show(table.text(&self.barcode)?.first().copied())
            )));
        }
        let take = |c: &str| {
            let values = cells_of(&table, c)?;
            Ok::<_, Error>(rows.iter().map(|r| r.and_then(|r| values[r].clone())).collect())
        };
        let label = take(&self.label)?;
        let lane = self.lane.as_deref().map(take).transpose()?;
        Ok(Source { matrix: Matrix::TenX(tenx), label, lane })
    }

    fn anndata(&self, path: &Path) -> Result<Source> {
        let m = framework::cells::AnnData::open(path, self.layer.as_deref(), self.gene_column.as_deref())?;
        let label = m.column(&self.label)?;
        let lane = self.lane.as_deref().map(|c| m.column(c)).transpose()?;
        Ok(Source { matrix: Matrix::AnnData(m), label, lane })
    }

    /// The columns of numbers of a pseudobulk table.
    fn profiles(&self, table: &Table) -> Result<Matrix> {
        let other: HashSet<&str> = [Some(&self.label), self.lane.as_ref()]
            .into_iter()
            .flatten()
            .chain(&self.not_genes)
            .map(String::as_str)
            .collect();
        let genes: Vec<String> =
            table.numeric_columns().into_iter().filter(|c| !other.contains(c)).map(str::to_string).collect();
        if genes.is_empty() {
            return Err(self.wrong(
                "the table has no column of numbers besides label and lane; a pseudobulk table has a column for each gene",
            ));
        }
        let mut x = Array2::zeros((table.height(), genes.len()));
        for (j, gene) in genes.iter().enumerate() {
            x.column_mut(j).assign(&Array1::from(table.numbers(gene)?));
        }
        Ok(Matrix::Table(x, genes))
    }

    /// The genes of a label, in ascending order; empty for control.
    fn parts<'a>(&self, label: &'a str) -> Result<Vec<&'a str>> {
        if label == self.control {
            return Ok(vec![]);
        }
        let Some(separator) = &self.separator else { return Ok(vec![label]) };
        let mut parts: Vec<&str> = label.split(separator.as_str()).map(str::trim).collect();
        if parts.iter().any(|p| p.is_empty()) {
            return Err(Error::Data(format!(
                "{}: label `{label}` has an empty part beside `{separator}`; correct the label or the separator",
                self.path.display()
            )));
        }
        parts.retain(|p| *p != self.control);
        parts.sort_unstable();
        Ok(parts)
    }

    fn read(&self, setup: &Setup) -> Result<Profiles> {
        let path = setup.data.path(&self.path);
        let named = |end: &str| path.to_string_lossy().to_lowercase().ends_with(end);
        if named(".h5ad.gz") {
            return Err(CellsError::of(&path, "a packed .h5ad file cannot be read in pieces; unpack it: gunzip").into());
        }
        let form = match (path.is_dir(), named(".h5ad")) {
            (true, _) => Form::TenX,
            (false, true) => Form::AnnData,
            (false, false) => Form::Table,
        };
        let is_table = form == Form::Table;
        self.check(form)?;
        let source = self.source(setup, &path, form)?;
        let data = |what: String| Error::Data(format!("{}: {what}", path.display()));
        no_duplicates(source.matrix.genes()).map_err(|names| {
            data(format!(
                "gene names occur twice: {names}; make them unique in Python (adata.var_names_make_unique()) or name a \
                 column of unique names in `gene_column`"
            ))
        })?;
        let mut notes = Vec::new();

        // What each cell is; perturbations in the order of their names.
        let parts: Vec<Option<Vec<&str>>> = source
            .label
            .iter()
            .map(|l| l.as_deref().map(str::trim).filter(|l| !l.is_empty()).map(|l| self.parts(l)).transpose())
            .collect::<Result<_>>()?;
        let sets: BTreeSet<&[&str]> = parts.iter().flatten().map(Vec::as_slice).collect();
        if !sets.contains(&[][..]) && !self.differences {
            let known: BTreeSet<&str> = source.label.iter().flatten().map(String::as_str).collect();
            let hint = framework::error::hint(&self.control, known.iter().copied());
            return Err(data(format!(
                "no cell is labelled `{}` in `{}`; set `control` to the label of control cells ({}){hint}",
                self.control,
                self.label,
                listed(known.iter())
            )));
        }
        let sets: Vec<&[&str]> = sets.into_iter().filter(|s| !s.is_empty()).collect();
        let index: HashMap<&[&str], u32> = sets.iter().enumerate().map(|(i, s)| (*s, i as u32)).collect();
        let mut class: Vec<Class> = parts
            .iter()
            .map(|p| match p.as_deref() {
                None => Class::Unused,
                Some([]) => Class::Control,
                Some(p) => index.get(p).map_or(Class::Unused, |i| Class::Perturbed(*i)),
            })
            .collect();
        let unlabelled = class.iter().filter(|c| **c == Class::Unused).count();
        if unlabelled > 0 {
            notes.push(format!("{unlabelled} of {} cells have no label and were left out", class.len()));
        }
        let (lane, lane_names) = self.lanes(&source, &class, &path)?;

        // Raw counts: totals of cells, and what the values look like.
        let n_genes = source.matrix.genes().len();
        let mut looks = Looks { whole: true, largest: 0.0, least: 0.0, ordered: true, last: 0 };
        let mut total = vec![0.0f64; if self.counts { class.len() } else { 0 }];
        let place = |cell: usize, gene: usize| format!("cell {}, gene {}", cell + 1, source.matrix.genes()[gene]);
        let mut spread = Spread::new(if self.genes.is_some() { n_genes } else { 0 });
        let min_cells = self.min_cells.unwrap_or(if is_table { 1 } else { 10 });
        if !self.counts {
            drop_small(&mut class, &sets, min_cells, &mut notes);
        }
        source.matrix.entries(|cell, gene, v| {
            if !v.is_finite() {
                return Err(data(format!("{} is {v}; values must be finite", place(cell, gene))));
            }
            looks.see(cell, v);
            if self.counts {
                if v < 0.0 {
                    return Err(data(format!(
                        "{} is {v}, and counts are not negative; name the layer of raw counts in `layer`, or set \
                         counts = false for log-normalised values",
                        place(cell, gene)
                    )));
                }
                total[cell] += v;
            } else if self.genes.is_some() && class[cell] != Class::Unused {
                spread.add(gene, v);
            }
            Ok(())
        })?;
        if let Some(warning) = looks.warning(self) {
            eprintln!("{}: {warning}", path.display());
            notes.push(format!("WARNING: {warning}"));
        }
        if self.counts {
            let empty: Vec<usize> =
                (0..class.len()).filter(|&c| class[c] != Class::Unused && total[c] == 0.0).collect();
            if !empty.is_empty() {
                notes.push(format!("{} cells have no counts and were left out", empty.len()));
                empty.into_iter().for_each(|c| class[c] = Class::Unused);
            }
            drop_small(&mut class, &sets, min_cells, &mut notes);
        }
        if !self.differences && !class.contains(&Class::Control) {
            return Err(data("no control cell has any counts; check the layer and the file".into()));
        }
        if !class.iter().any(|c| matches!(c, Class::Perturbed(_))) {
            return Err(data(format!(
                "no perturbation is left of {}; lower min_cells = {min_cells}, or check `label` and `control`",
                sets.len()
            )));
        }
        let value = |cell: usize, v: f64| if self.counts { (v / total[cell] * self.target_sum).ln_1p() } else { v };
        if self.counts && self.genes.is_some() {
            source.matrix.entries(|cell, gene, v| {
                if class[cell] != Class::Unused {
                    spread.add(gene, value(cell, v));
                }
                Ok(())
            })?;
        }

        // Pool ids follow the names of the perturbations that are left.
        let mut left = vec![false; sets.len()];
        class.iter().for_each(|c| {
            if let Class::Perturbed(p) = c {
                left[*p as usize] = true;
            }
        });
        let kept_sets: Vec<&[&str]> = (0..sets.len()).filter(|&p| left[p]).map(|p| sets[p]).collect();
        let targets: BTreeSet<&str> = kept_sets.iter().flat_map(|s| s.iter().copied()).collect();
        let used = class.iter().filter(|c| **c != Class::Unused).count();
        let keep = self.kept_genes(setup, source.matrix.genes(), &spread, used, &targets, &mut notes)?;
        let cells = gather(&source.matrix, &class, &keep, looks.ordered, value, data)?;
        let outputs: Vec<String> = keep.iter().map(|&g| source.matrix.genes()[g].clone()).collect();

        let genes = Arc::new(Genes::new(targets.iter())?);
        let gene = |name: &&str| genes.find(name).unwrap_or(Gene(0));
        let pool = match kept_sets.iter().all(|s| s.len() == 1) {
            true => Pool::singles(genes.clone()),
            false => {
                let list = kept_sets.iter().map(|s| Perturbation::new(s.iter().map(gene)));
                Pool::list(genes.clone(), list.collect::<Vec<_>>())?
            }
        };
        let mut id_of = vec![0usize; sets.len()];
        (0..sets.len()).filter(|&p| left[p]).enumerate().for_each(|(id, p)| id_of[p] = id);
        let mut members = vec![Vec::new(); pool.len()];
        let mut controls = Vec::new();
        let mut lane_of = Vec::with_capacity(used);
        for (c, l) in class.iter().zip(&lane).filter(|(c, _)| **c != Class::Unused) {
            let row = lane_of.len() as u32;
            lane_of.push(*l);
            match c {
                Class::Perturbed(p) => members[id_of[*p as usize]].push(row),
                _ => controls.push(row),
            }
        }
        let rows = members.iter().map(Vec::len);
        let (fewest, most) = (rows.clone().min().unwrap_or(0), rows.max().unwrap_or(0));
        notes.push(format!(
            "{} perturbations of {fewest} to {most} {}, {} of control, {} outputs",
            pool.len(),
            if is_table { "rows" } else { "cells" },
            controls.len(),
            outputs.len()
        ));
        let mut profiles = Profiles {
            pool: Arc::new(pool),
            cells,
            lane_of,
            members,
            controls,
            centre: Array2::zeros((lane_names.len().max(1), outputs.len())),
            n_lanes: if self.lane.is_some() { lane_names.len() } else { 0 },
            lane_names,
            control: Arc::new(Control { mean: Array1::zeros(outputs.len()), cells: None, outputs: Some(outputs) }),
            control_moments: (Array1::zeros(0), Array1::zeros(0)),
            control_seen: vec![],
            truth: Array2::zeros((0, 0)),
            pooled: None,
            no_cells: self.no_cells,
            bootstrap: self.noise == CellNoise::Bootstrap {},
            single_cells: !is_table,
            differences: self.differences,
            notes,
        };
        profiles.prepare(self.centre, &path)?;
        Ok(profiles)
    }

    /// The lane of each cell and the names of lanes, whole numbers in their order and words in theirs.
    fn lanes(&self, source: &Source, class: &[Class], path: &Path) -> Result<(Vec<u32>, Vec<String>)> {
        let (Some(column), Some(name)) = (&source.lane, &self.lane) else {
            return Ok((vec![0; class.len()], vec![]));
        };
        let used = |i: usize| class[i] != Class::Unused;
        if let Some(i) = (0..class.len()).find(|&i| used(i) && column[i].is_none()) {
            return Err(Error::Data(format!(
                "{}: cell {} has a label and no value in `{name}`; fill it in, or leave `lane` out",
                path.display(),
                i + 1
            )));
        }
        let names = (0..class.len()).filter(|&i| used(i)).filter_map(|i| column[i].clone());
        let mut names: Vec<String> = names.collect::<HashSet<_>>().into_iter().collect();
        names.sort_by_cached_key(|n| (n.parse::<i64>().unwrap_or(i64::MAX), n.clone()));
        let index: HashMap<&str, u32> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i as u32)).collect();
        let lane = column.iter().map(|n| n.as_deref().and_then(|n| index.get(n).copied()).unwrap_or(0)).collect();
        Ok((lane, names))
    }

    /// Positions of the genes that become outputs, ascending.
    fn kept_genes(
        &self,
        setup: &Setup,
        genes: &[String],
        spread: &Spread,
        used: usize,
        targets: &BTreeSet<&str>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<usize>> {
        let mut keep = vec![self.genes.is_none() && self.gene_list.is_none(); genes.len()];
        if let Some(n) = self.genes {
            if n > genes.len() {
                return Err(self.wrong(format!("genes = {n}, and {} are measured; ask for fewer", genes.len())));
            }
            let variance = spread.variance(used);
            let mut order: Vec<usize> = (0..genes.len()).collect();
            order.sort_by(|&a, &b| variance[b].total_cmp(&variance[a]).then(a.cmp(&b)));
            order[..n].iter().for_each(|&g| keep[g] = true);
        }
        if let Some(file) = &self.gene_list {
            let table = setup.data.table(file)?;
            let wanted: HashSet<&str> = table.text("gene")?.into_iter().collect();
            keep.iter_mut().zip(genes).for_each(|(k, g)| *k = wanted.contains(g.as_str()));
            let found = keep.iter().filter(|k| **k).count();
            if found == 0 {
                return Err(self.wrong(format!(
                    "none of the {} genes of {} is measured (names as {}); check the names",
                    wanted.len(),
                    file.display(),
                    genes.first().map_or("none", String::as_str)
                )));
            }
            if found < wanted.len() {
                notes.push(format!(
                    "{} of {} genes of {} are not measured",
                    wanted.len() - found,
                    wanted.len(),
                    file.display()
                ));
            }
        }
        if self.keep_targets {
            keep.iter_mut().zip(genes).filter(|(_, g)| targets.contains(g.as_str())).for_each(|(k, _)| *k = true);
        }
        Ok((0..genes.len()).filter(|&g| keep[g]).collect())
    }
}

/// A column of text where cells may be empty.
fn cells_of(table: &Table, name: &str) -> Result<Vec<Option<String>>> {
    match table.column(name) {
        Some(framework::table::Column::Text(values)) => Ok(values.clone()),
        _ => Ok(table.text(name)?.into_iter().map(|t| Some(t.to_string())).collect()),
    }
}

/// The first few names and how many more there are.
fn listed(names: impl ExactSizeIterator<Item = impl AsRef<str>>) -> String {
    const MOST: usize = 5;
    let n = names.len();
    let shown: Vec<String> = names.take(MOST).map(|s| s.as_ref().to_string()).collect();
    if n > MOST { format!("{} and {} more", shown.join(", "), n - MOST) } else { shown.join(", ") }
}

/// Errors with the names that occur twice.
fn no_duplicates(genes: &[String]) -> Result<(), String> {
    let mut seen = HashSet::with_capacity(genes.len());
    let twice: BTreeSet<&str> = genes.iter().map(String::as_str).filter(|g| !seen.insert(*g)).collect();
    if twice.is_empty() { Ok(()) } else { Err(listed(twice.iter())) }
}

/// Marks the cells of perturbations below the least number of cells as unused.
fn drop_small(class: &mut [Class], sets: &[&[&str]], least: usize, notes: &mut Vec<String>) {
    let mut n = vec![0usize; sets.len()];
    for c in class.iter() {
        if let Class::Perturbed(p) = c {
            n[*p as usize] += 1;
        }
    }
    let small: Vec<String> = (0..sets.len()).filter(|&p| n[p] < least).map(|p| sets[p].join("+")).collect();
    if small.is_empty() {
        return;
    }
    notes.push(format!(
        "{} of {} perturbations have fewer than {least} cells and were left out: {}",
        small.len(),
        sets.len(),
        listed(small.iter())
    ));
    for c in class.iter_mut() {
        if let Class::Perturbed(p) = c
            && n[*p as usize] < least
        {
            *c = Class::Unused;
        }
    }
}

/// What the values of a file look like.
struct Looks {
    whole: bool,
    largest: f64,
    least: f64,
    /// Whether cells came in ascending order.
    ordered: bool,
    last: usize,
}

impl Looks {
    fn see(&mut self, cell: usize, v: f64) {
        self.whole &= v.fract() == 0.0;
        self.largest = self.largest.max(v);
        self.least = self.least.min(v);
        self.ordered &= cell >= self.last;
        self.last = cell;
    }

    /// What to say where the values are not what the settings claim. The logarithm of 1 + 10,000 is 9.2.
    fn warning(&self, s: &PerturbSeq) -> Option<String> {
        const LOG: f64 = 15.0;
        let most = self.largest;
        if s.counts && !self.whole {
            let also = if most < LOG { "; they look log-normalised: set counts = false" } else { "" };
            Some(format!("counts = true, and not all values are whole numbers (the largest is {most:.3}){also}"))
        } else if !s.counts && !s.differences && self.whole && most > LOG {
            Some(format!("all values are whole numbers up to {most}: they look like raw counts; set counts = true"))
        } else if !s.counts && !s.differences && most > LOG {
            Some(format!(
                "the largest value is {most:.1}, too large for a logarithm: values look normalised but not log \
                 transformed; use counts = true with the raw counts, or sc.pp.log1p"
            ))
        } else if !s.counts && !s.differences && self.least < 0.0 {
            Some(format!(
                "the least value is {:.3}: values look scaled; differences are in units of that scale",
                self.least
            ))
        } else {
            None
        }
    }
}

/// Sums and sums of squares of each gene.
struct Spread {
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    fn new(n: usize) -> Self {
        Self { sum: vec![0.0; n], squares: vec![0.0; n] }
    }

    fn add(&mut self, gene: usize, v: f64) {
        self.sum[gene] += v;
        self.squares[gene] += v * v;
    }

    /// Sample variance over `n` cells, zeros included.
    fn variance(&self, n: usize) -> Vec<f64> {
        let n = n as f64;
        let each = self.sum.iter().zip(&self.squares);
        each.map(|(s, q)| ((q - s * s / n) / (n - 1.0).max(1.0)).max(0.0)).collect()
    }
}

/// Cells x outputs, entries that are not zero, row by row.
#[derive(Debug, Default)]
struct Rows {
    starts: Vec<usize>,
    output: Vec<u32>,
    value: Vec<f32>,
}

/// Reads the entries of used cells and kept genes. A file that comes cell by cell is read once; any other twice, to
/// count and to place. A cell that lists a gene twice is an error, worded by `fault`.
fn gather(
    matrix: &Matrix,
    class: &[Class],
    keep: &[usize],
    ordered: bool,
    value: impl Fn(usize, f64) -> f64,
    fault: impl Fn(String) -> Error,
) -> Result<Rows> {
    let mut row_of = vec![u32::MAX; class.len()];
    let mut n = 0u32;
    for (row, _) in row_of.iter_mut().zip(class).filter(|(_, c)| **c != Class::Unused) {
        *row = n;
        n += 1;
    }
    let n = n as usize;
    let mut output_of = vec![u32::MAX; matrix.genes().len()];
    keep.iter().enumerate().for_each(|(o, &g)| output_of[g] = o as u32);
    let mut rows = Rows { starts: vec![0; n + 1], ..Rows::default() };
    if ordered {
        let visit = |cell: usize, gene: usize, v: f64| {
            let (row, output) = (row_of[cell], output_of[gene]);
            if row != u32::MAX && output != u32::MAX {
                rows.output.push(output);
                rows.value.push(value(cell, v) as f32);
                rows.starts[row as usize + 1] += 1;
            }
            Ok(())
        };
        matrix.entries(visit)?;
        for r in 0..n {
            rows.starts[r + 1] += rows.starts[r];
        }
    } else {
        let count = |cell: usize, gene: usize, _| {
            if row_of[cell] != u32::MAX && output_of[gene] != u32::MAX {
                rows.starts[row_of[cell] as usize + 1] += 1;
            }
            Ok(())
        };
        matrix.entries(count)?;
        for r in 0..n {
            rows.starts[r + 1] += rows.starts[r];
        }
        rows.output = vec![0; rows.starts[n]];
        rows.value = vec![0.0; rows.starts[n]];
        let mut next = rows.starts.clone();
        let place = |cell: usize, gene: usize, v: f64| {
            let (row, output) = (row_of[cell], output_of[gene]);
            if row != u32::MAX && output != u32::MAX {
                let at = &mut next[row as usize];
                rows.output[*at] = output;
                rows.value[*at] = value(cell, v) as f32;
                *at += 1;
            }
            Ok(())
        };
        matrix.entries(place)?;
    }
    for r in 0..n {
        let span = rows.starts[r]..rows.starts[r + 1];
        if rows.output[span.clone()].is_sorted_by(|a, b| a < b) {
            continue;
        }
        let mut pairs: Vec<(u32, f32)> =
            rows.output[span.clone()].iter().copied().zip(rows.value[span.clone()].iter().copied()).collect();
        pairs.sort_by_key(|p| p.0);
        if let Some(w) = pairs.windows(2).find(|w| w[0].0 == w[1].0) {
            let cell = row_of.iter().position(|x| *x as usize == r).unwrap_or(0);
            let gene = &matrix.genes()[keep[w[0].0 as usize]];
            return Err(fault(format!(
                "cell {} lists gene {gene} twice; merge entries in Python (adata.X.sum_duplicates()) and write it again",
                cell + 1
            )));
        }
        for (k, (o, v)) in pairs.into_iter().enumerate() {
            rows.output[span.start + k] = o;
            rows.value[span.start + k] = v;
        }
    }
    Ok(rows)
}

/// An opened screen.
#[derive(Debug)]
struct Profiles {
    pool: Arc<Pool>,
    cells: Rows,
    /// Lane of each row.
    lane_of: Vec<u32>,
    /// Rows of each perturbation, ascending.
    members: Vec<Vec<u32>>,
    controls: Vec<u32>,
    /// What is subtracted in each lane: lanes x outputs.
    centre: Array2<f64>,
    n_lanes: usize,
    lane_names: Vec<String>,
    control: Arc<Control>,
    /// Mean and variance of the centred control cells.
    control_moments: (Array1<f64>, Array1<f64>),
    /// Outputs seen in control.
    control_seen: Vec<bool>,
    /// perturbations x outputs, over all lanes.
    truth: Array2<f64>,
    /// Variance within perturbations, an output each.
    pooled: Option<Array1<f64>>,
    no_cells: NoCells,
    bootstrap: bool,
    single_cells: bool,
    differences: bool,
    notes: Vec<String>,
}

/// Perturbations summarised in one piece.
const TILE: usize = 64;

impl Profiles {
    /// Centres, truth and the variances behind errors.
    fn prepare(&mut self, centre: Centre, path: &Path) -> Result<()> {
        let l = self.n_outputs();
        if !self.differences {
            let mut sums = Array2::<f64>::zeros(self.centre.dim());
            let mut n = vec![0usize; sums.nrows()];
            let mut all = Array1::<f64>::zeros(l);
            for &row in &self.controls {
                let lane = self.lane_of[row as usize] as usize;
                n[lane] += 1;
                for (o, v) in self.entries(row) {
                    sums[(lane, o)] += v;
                    all[o] += v;
                }
            }
            all /= self.controls.len() as f64;
            self.control_seen = all.iter().map(|v| *v != 0.0).collect();
            match centre {
                Centre::All => self.centre.outer_iter_mut().for_each(|mut row| row.assign(&all)),
                Centre::Lane => {
                    let mut perturbed = vec![0usize; n.len()];
                    self.members.iter().flatten().for_each(|r| perturbed[self.lane_of[*r as usize] as usize] += 1);
                    let bare: Vec<&String> =
                        (0..n.len()).filter(|&i| n[i] == 0 && perturbed[i] > 0).map(|i| &self.lane_names[i]).collect();
                    if !bare.is_empty() {
                        return Err(Error::Data(format!(
                            "{}: {} of {} lanes have perturbed cells and no control cells: {}; set centre = \"all\" to \
                             compare with the control cells of all lanes, or take these lanes out of the file",
                            path.display(),
                            bare.len(),
                            n.len(),
                            listed(bare.iter())
                        )));
                    }
                    for (mut row, (sum, n)) in self.centre.outer_iter_mut().zip(sums.outer_iter().zip(&n)) {
                        row.assign(&(&sum / (*n as f64).max(1.0)));
                    }
                }
            }
            let cells = self.single_cells.then(|| Arc::new(self.centred_cells(&self.controls)));
            let outputs = self.control.outputs.clone();
            let (mean, squares) = self.moments(&self.controls);
            self.control_moments = (mean, squares / (self.controls.len() as f64 - 1.0).max(1.0));
            self.control = Arc::new(Control { mean: all, cells, outputs });
        }
        let mut truth = Array2::zeros((self.pool.len(), l));
        let (mut within, mut free) = (Array1::<f64>::zeros(l), 0usize);
        for start in (0..self.pool.len()).step_by(TILE) {
            let ids = start..(start + TILE).min(self.pool.len());
            let each: Vec<_> = ids.clone().into_par_iter().map(|id| self.moments(&self.members[id])).collect();
            for (id, (mean, squares)) in ids.zip(each) {
                truth.row_mut(id).assign(&mean);
                within += &squares;
                free += self.members[id].len() - 1;
            }
        }
        self.truth = truth;
        if free > 0 {
            within /= free as f64;
            // An error of exactly 0 would claim a certainty that no weighting survives.
            let least = 1e-6 * within.mean().unwrap_or(0.0);
            within.mapv_inplace(|v| v.max(least));
            self.pooled = Some(within).filter(|_| least > 0.0);
        }
        Ok(())
    }

    /// The entries of a row that are not zero.
    fn entries(&self, row: u32) -> impl Iterator<Item = (usize, f64)> + '_ {
        let span = self.cells.starts[row as usize]..self.cells.starts[row as usize + 1];
        self.cells.output[span.clone()].iter().zip(&self.cells.value[span]).map(|(o, v)| (*o as usize, f64::from(*v)))
    }

    /// A row minus the control of its lane.
    fn centred(&self, row: u32, into: &mut Array1<f64>) {
        into.assign(&self.centre.row(self.lane_of[row as usize] as usize));
        into.mapv_inplace(|v| -v);
        self.entries(row).for_each(|(o, v)| into[o] += v);
    }

    /// Mean of centred rows, and sum of squares about it.
    fn moments(&self, rows: &[u32]) -> (Array1<f64>, Array1<f64>) {
        let l = self.n_outputs();
        let (mut mean, mut squares, mut x) = (Array1::<f64>::zeros(l), Array1::<f64>::zeros(l), Array1::zeros(l));
        for &row in rows {
            self.centred(row, &mut x);
            mean += &x;
        }
        mean /= (rows.len() as f64).max(1.0);
        for &row in rows {
            self.centred(row, &mut x);
            squares.zip_mut_with(&(&x - &mean), |s, d| *s += d * d);
        }
        (mean, squares)
    }

    fn centred_cells(&self, rows: &[u32]) -> Cells {
        let mut x = Array2::<f32>::zeros((rows.len(), self.n_outputs()));
        let mut buffer = Array1::zeros(self.n_outputs());
        for (mut to, &row) in x.outer_iter_mut().zip(rows) {
            self.centred(row, &mut buffer);
            to.zip_mut_with(&buffer, |t, v| *t = *v as f32);
        }
        Cells { x, lane: rows.iter().map(|r| self.lane_of[*r as usize]).collect() }
    }

    /// The rows of a perturbation that a round may use.
    fn rows(&self, id: usize, lanes: Option<&[u32]>) -> Result<Vec<u32>> {
        let Some(lanes) = lanes else { return Ok(self.members[id].clone()) };
        let rows: Vec<u32> =
            self.members[id].iter().copied().filter(|r| lanes.contains(&self.lane_of[*r as usize])).collect();
        if !rows.is_empty() {
            return Ok(rows);
        }
        match self.no_cells {
            NoCells::AllLanes => Ok(self.members[id].clone()),
            NoCells::Error => Err(Error::Data(format!(
                "perturbation {} has no cell in the {} lanes of this round ({}); set no_cells = \"all_lanes\" to use its \
                 cells of other lanes, or use larger groups of lanes",
                self.pool.label(id),
                lanes.len(),
                listed(lanes.iter().map(|l| self.lane_names[*l as usize].as_str()).collect::<Vec<_>>().iter())
            ))),
        }
    }
}

impl Screen for Profiles {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        self.centre.ncols()
    }

    fn measure(&self, ids: &[usize], experiment: &Experiment, streams: &Streams) -> Result<Readouts> {
        let lanes = experiment.lanes.as_deref();
        if let Some(l) = lanes.and_then(|l| l.iter().find(|l| **l as usize >= self.n_lanes)) {
            return Err(Error::Config(format!(
                "perturb_seq: lane {l} is asked for and the screen has {} lanes; name their column in `lane`",
                self.n_lanes
            )));
        }
        let mut out = Readouts::plain(ids, Array2::zeros((ids.len(), self.n_outputs())));
        let key = streams.child("perturb_seq");
        let measured: Vec<_> = ids
            .par_iter()
            .zip(&out.replicate)
            .map(|(&id, &replicate)| {
                let mut rows = self.rows(id, lanes)?;
                if self.bootstrap {
                    let mut rng = key.index(id).index(replicate as usize).rng("cells");
                    rows = (0..rows.len()).map(|_| rows[rng.random_range(0..rows.len())]).collect();
                }
                let (mean, squares) = self.moments(&rows);
                let n = rows.len() as f64;
                let error = self.pooled.as_ref().map(|v| (squares + v).mapv(|s| s.sqrt() / n));
                let cells = self.single_cells.then(|| Arc::new(self.centred_cells(&rows)));
                Ok((mean, error, cells))
            })
            .collect::<Result<_>>()?;
        let mut sd = Array2::zeros(out.y.dim());
        let mut cells = Vec::with_capacity(ids.len());
        for (r, (mean, error, c)) in measured.into_iter().enumerate() {
            out.y.row_mut(r).assign(&mean);
            if let Some(error) = error {
                sd.row_mut(r).assign(&error);
            }
            cells.extend(c);
        }
        out.sd = self.pooled.is_some().then_some(sd);
        out.cells = self.single_cells.then_some(cells);
        Ok(out)
    }

    fn n_lanes(&self) -> usize {
        self.n_lanes
    }

    fn control(&self) -> Option<Arc<Control>> {
        Some(self.control.clone())
    }

    /// Welch's t against all control cells; for one cell the pooled variance stands in, and without any variance
    /// (a table of one row each) the absolute difference. An output counts if it is seen under the perturbation or
    /// nowhere.
    fn clarity(&self, ids: &[usize]) -> Option<Array2<f64>> {
        let mut out = Array2::zeros((ids.len(), self.n_outputs()));
        out.axis_iter_mut(Axis(0)).into_par_iter().zip(ids).for_each(|(mut row, &id)| {
            let rows = &self.members[id];
            let (mean, squares) = self.moments(rows);
            let mut seen = vec![self.differences; self.n_outputs()];
            rows.iter().flat_map(|r| self.entries(*r)).for_each(|(o, v)| seen[o] |= v != 0.0);
            let (n, nc) = (rows.len() as f64, self.controls.len() as f64);
            for o in 0..row.len() {
                if !seen[o] && self.control_seen[o] {
                    row[o] = f64::NEG_INFINITY;
                    continue;
                }
                let Some(pooled) = &self.pooled else {
                    row[o] = mean[o].abs();
                    continue;
                };
                let own = if rows.len() > 1 { squares[o] / (n - 1.0) } else { pooled[o] };
                let (centre, spread) = match self.differences {
                    true => (0.0, 0.0),
                    false => (self.control_moments.0[o], self.control_moments.1[o] / nc),
                };
                let difference = (mean[o] - centre).abs();
                let error = (own / n + spread).sqrt();
                // Without any variance a difference is as clear as can be.
                row[o] = match error > 0.0 {
                    true => difference / error,
                    false if difference > 0.0 => f64::MAX,
                    false => 0.0,
                };
            }
        });
        Some(out)
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(self.truth.select(Axis(0), ids))
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        if self.pool.is_singles() {
            return None;
        }
        let n = self.pool.genes().len();
        let mut out = Array2::from_elem((n, self.n_outputs()), f64::NAN);
        for g in 0..n {
            if let Some(id) = self.pool.find(&Perturbation::new([Gene(g as u32)])) {
                out.row_mut(g).assign(&self.truth.row(id));
            }
        }
        Some(out)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

framework::register!(
    Oracle,
    PerturbSeq,
    "perturb_seq",
    "replays a Perturb-seq screen from cells or pseudobulk",
    example = |dir| {
        let path = dir.join("perturb_seq.csv");
        let value = |i: usize, j: usize| ((i * 37 + j * 11) % 23) as f64 / 7.0;
        let row = |name: &str, i: usize| format!("{name},{},{},{}\n", value(i, 0), value(i, 1), value(i, 2));
        let rows: String = (0..40).map(|i| row(&format!("g{}", i % 20), i)).collect();
        // A file that cannot be written shows as an error of the oracle, which names the path.
        let _ = std::fs::write(&path, format!("perturbation,g0,g1,g2\n{}{rows}", row("control", 99)));
        framework::serde_json::json!({ "path": path, "label": "perturbation", "control": "control" })
    }
);
