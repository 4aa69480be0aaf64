//! A measured screen, replayed: the pool is the table's rows and a measurement is looked up.
//!
//! A measurement is the table's value plus, where `noise` says so, an error drawn from the stream of the
//! perturbation, so that every arm under one seed meets the same numbers in any round. Opening costs one
//! pass over the rows; measuring costs O(outputs) for each perturbation.
//!
//! A vector of readouts can be reduced to one number, its norm, row by row: with replicate rows a measurement is the
//! norm of one replicate, and the truth the mean of these norms.

use framework::prelude::*;
use framework::table::Table;
use rand_distr::{Distribution, StandardNormal};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Replays a table of measured perturbations: one gene column for single-gene screens, two for pairs, k
/// for sets of k genes (their order within a row means nothing).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScreenTable {
    /// Table with one row for each perturbation (.csv, .csv.gz, .tsv, .tsv.gz, .parquet), relative to the
    /// data folder.
    pub path: PathBuf,
    /// Columns that name the genes of a row; default `["gene"]`.
    #[serde(default = "gene_column")]
    pub genes: Vec<String>,
    /// Columns of the readout: one for a scalar phenotype, several for a profile. Absent: `["value"]`, or
    /// the mean of the replicate columns where `noise` or `replicates` names some.
    #[serde(default)]
    pub values: Option<Vec<String>>,
    /// Columns that hits and test scores are judged by instead of the measured values, such as those of another donor;
    /// as many as `values`. Absent: the values themselves.
    #[serde(default)]
    pub truth: Option<Vec<String>>,
    /// Columns of replicates (donors, wells) whose mean is judged: what their noise allows at best is reported beside
    /// the scores. Default none, or those that `noise` names.
    #[serde(default)]
    pub replicates: Vec<String>,
    /// Columns with the effect of each gene alone, in the order of `genes` (scalar readouts only); empty
    /// cells are unknown effects. Default none.
    #[serde(default)]
    pub single: Vec<String>,
    /// Measurement error: `{ from = "none" }` (default), `{ from = "sd", column = "sd" }` for a Gaussian
    /// error with each row's own sd, `{ from = "fixed", sd = 0.1 }` for one sd, or
    /// `{ from = "replicates", columns = ["rep1", "rep2"] }` to answer with one of the replicates.
    #[serde(default)]
    pub noise: Noise,
    /// What to do with rows that name a gene twice: `"keep"` (default) or `"drop"`.
    #[serde(default)]
    pub same_gene: SameGene,
    /// What to do with perturbations that have several rows: `"error"` (default), `"mean"`, or `"replicates"`: a
    /// measurement is one of the rows, and their mean is judged.
    #[serde(default)]
    pub repeats: Repeats,
    /// Whether the readout of a row becomes one number: `"none"` (default), `"abs"` (the absolute value of one column) or
    /// `"norm"` (the Euclidean norm of several).
    #[serde(default, skip_serializing_if = "Reduce::is_none")]
    pub reduce: Reduce,
    /// What columns are divided by before the norm is taken: `"none"` (default) or `"noise"`, the standard deviation
    /// between the replicate rows of a perturbation, pooled over all perturbations.
    #[serde(default, skip_serializing_if = "Unit::is_none")]
    pub scale: Unit,
    /// Endings for the gene names of each column, such as `["", "@query"]` where a gene of the second column is not the
    /// gene of that name in the first. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mark: Vec<String>,
    /// The name that stands in a gene column where no gene is perturbed (a non-targeting guide). Rows with one gene and
    /// otherwise control are that gene's effect alone, their mean where there are several; rows of control only are left
    /// out. Default: no name does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// With repeats = "replicates": rows that a measurement is the mean of, drawn without replacement (all, where there are
    /// fewer). Default 1.
    #[serde(default = "one_row", skip_serializing_if = "is_one")]
    pub rows: usize,
}

fn one_row() -> usize {
    1
}

fn is_one(n: &usize) -> bool {
    *n == 1
}

/// How a row of readouts becomes one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// Not at all.
    #[default]
    None,
    /// By its absolute value.
    Abs,
    /// By its Euclidean norm.
    Norm,
}

impl Reduce {
    fn is_none(&self) -> bool {
        *self == Reduce::None
    }
}

/// What columns are measured in before a norm is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Their own units.
    #[default]
    None,
    /// The noise of a replicate row.
    Noise,
}

impl Unit {
    fn is_none(&self) -> bool {
        *self == Unit::None
    }
}

/// Where measurement errors come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum Noise {
    /// None: a measurement is the table's value.
    None {},
    /// Gaussian, with the sd in a column.
    Sd {
        /// Name of the column.
        column: String,
    },
    /// A measurement is one of the replicates.
    Replicates {
        /// One column for each replicate.
        columns: Vec<String>,
    },
    /// Gaussian, with one sd for all.
    Fixed {
        /// Standard deviation, in units of the readout.
        sd: f64,
    },
}

impl Default for Noise {
    fn default() -> Self {
        Noise::None {}
    }
}

/// Rows that name a gene twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SameGene {
    /// They are perturbations like others (two guides against one gene).
    #[default]
    Keep,
    /// They are left out.
    Drop,
}

/// Perturbations with several rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeats {
    /// Refused.
    #[default]
    Error,
    /// Averaged.
    Mean,
    /// A measurement is one of them, and their mean the truth.
    Replicates,
}

fn gene_column() -> Vec<String> {
    vec!["gene".into()]
}

#[typetag::serde(name = "screen_table")]
impl Oracle for ScreenTable {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        let table = setup.data.table(&self.path)?;
        Ok(Box::new(self.read(&table, &setup.data.path(&self.path))?))
    }

    fn data_files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn seeded(&self) -> bool {
        false
    }
}

/// The error of each row.
#[derive(Debug)]
enum Errors {
    None,
    Gaussian(Vec<f64>),
    Replicates(Array2<f64>),
    /// The readouts of all rows, and for each perturbation its rows.
    Rows(Array2<f64>, Vec<Vec<usize>>),
}

#[derive(Debug)]
struct Replay {
    pool: Arc<Pool>,
    values: Array2<f64>,
    truth: Option<Array2<f64>>,
    replicates: Option<Array2<f64>>,
    errors: Errors,
    /// Rows that a measurement is the mean of.
    rows: usize,
    single_effects: Option<Array2<f64>>,
    notes: Vec<String>,
}

impl ScreenTable {
    fn read(&self, table: &Table, path: &Path) -> Result<Replay> {
        let file = path.display();
        let wrong = |what: String| Error::Config(format!("screen_table ({file}): {what}"));
        if self.genes.is_empty() {
            return Err(wrong("`genes` names no column; name at least one, as in genes = [\"gene\"]".into()));
        }
        if table.height() == 0 {
            return Err(Error::Data(format!(
                "{file}: the table has no rows; a screen needs at least one perturbation"
            )));
        }
        let names = self.names(table).map_err(|e| if let Error::Config(what) = e { wrong(what) } else { e })?;
        let (replicates, named) = match (&self.noise, &self.replicates) {
            (Noise::Replicates { columns }, _) => (columns, "`noise.columns`"),
            (_, columns) => (columns, "`replicates`"),
        };
        if replicates.len() == 1 || (replicates.is_empty() && named == "`noise.columns`") {
            return Err(wrong(format!("{named} needs at least two replicate columns")));
        }
        let left_out = |row: usize| {
            let twice = |k: usize| names[..k].iter().any(|c| c[row] == names[k][row]);
            self.same_gene == SameGene::Drop && (1..names.len()).any(twice)
        };
        let columns_of = |columns: &[String]| columns_of(table, columns, left_out);
        let replicates = columns_of(replicates)?;
        let values = match &self.values {
            Some(columns) if columns.is_empty() => {
                return Err(wrong("`values` names no column; name at least one, as in values = [\"value\"]".into()));
            }
            Some(columns) => columns_of(columns)?,
            None if replicates.ncols() > 0 => {
                let n = replicates.ncols() as f64;
                replicates.map_axis(Axis(1), |r| r.sum() / n).insert_axis(Axis(1))
            }
            None => columns_of(&["value".to_string()])?,
        };
        let truth = self.truth.as_ref().map(|columns| columns_of(columns)).transpose()?;
        if truth.as_ref().is_some_and(|t| t.ncols() != values.ncols()) {
            return Err(wrong("`truth` needs as many columns as `values`".into()));
        }
        self.check_reduction(values.ncols()).map_err(wrong)?;
        let n_outputs = if self.reduce == Reduce::None { values.ncols() } else { 1 };
        if n_outputs > 1 && replicates.ncols() > 0 {
            return Err(wrong(
                "replicate columns serve one readout; give one column in `values`, or other noise".into(),
            ));
        }

        // Rows become perturbations, in the order in which each is first seen.
        let mut genes = Genes::default();
        let mut entry_of_row: Vec<Option<usize>> = Vec::with_capacity(table.height());
        let mut first_row: Vec<usize> = Vec::new();
        let mut perturbations: Vec<Perturbation> = Vec::new();
        let mut index: HashMap<Perturbation, usize> = HashMap::with_capacity(table.height());
        let (mut dropped, mut merged, mut empty) = (0usize, 0usize, 0usize);
        let mut alone: Vec<(Gene, usize)> = vec![];
        for row in 0..table.height() {
            if left_out(row) {
                dropped += 1;
                entry_of_row.push(None);
                continue;
            }
            let perturbed = names.iter().filter(|c| self.control.as_deref() != Some(&*c[row]));
            let p = Perturbation::new(perturbed.map(|c| genes.intern(&c[row])));
            if self.control.is_some() && p.genes().len() < 2.min(names.len()) {
                empty += usize::from(p.genes().is_empty());
                alone.extend(p.genes().first().map(|g| (*g, row)));
                entry_of_row.push(None);
                continue;
            }
            let next = perturbations.len();
            let entry = *index.entry(p.clone()).or_insert(next);
            if entry == next {
                perturbations.push(p);
                first_row.push(row);
            } else if self.repeats == Repeats::Error {
                let label: Vec<&str> = p.genes().iter().map(|g| genes.name(*g)).collect();
                return Err(Error::Data(format!(
                    "{file}: {} is measured twice ({} and {}); set repeats = \"mean\" to average repeated \
                     perturbations (or \"replicates\" to measure one of them), or remove one row",
                    label.join("+"),
                    table.place(first_row[entry]),
                    table.place(row)
                )));
            } else {
                merged += 1;
            }
            entry_of_row.push(Some(entry));
        }
        if perturbations.is_empty() {
            let why = if dropped > 0 {
                "every row names a gene twice; set same_gene = \"keep\""
            } else {
                "every row is of control"
            };
            return Err(Error::Data(format!("{file}: {why}")));
        }

        let n = perturbations.len();
        let scales = match self.scale {
            Unit::None => None,
            Unit::Noise => Some(noise_of(&values, &entry_of_row, n).map_err(|column| {
                let name = self.values.as_ref().and_then(|v| v.get(column)).map_or("value", |v| v);
                Error::Data(format!(
                    "{file}: the replicate rows of every perturbation agree in column {name}, so it cannot be measured in units \
                     of its noise; leave it out of `values`, or scale = \"none\""
                ))
            })?),
        };
        let reduced = |x: Array2<f64>| match (self.reduce, &scales) {
            (Reduce::None, _) => x,
            (_, None) => norms(x),
            (_, Some(s)) => norms(x / s),
        };
        let values = reduced(values);
        let truth = truth.map(reduced);
        let mut rows_of = vec![0.0; n];
        entry_of_row.iter().flatten().for_each(|&e| rows_of[e] += 1.0);
        let gather = |x: &Array2<f64>| {
            let mut out = Array2::<f64>::zeros((n, x.ncols()));
            for (row, e) in x.outer_iter().zip(&entry_of_row) {
                if let Some(e) = *e {
                    out.row_mut(e).scaled_add(1.0 / rows_of[e], &row);
                }
            }
            out
        };
        let errors = match &self.noise {
            Noise::None {} if self.repeats == Repeats::Replicates => {
                let mut rows = vec![vec![]; n];
                entry_of_row.iter().enumerate().for_each(|(row, e)| e.iter().for_each(|&e| rows[e].push(row)));
                Errors::Rows(values.clone(), rows)
            }
            _ if self.rows != 1 => return Err(wrong("`rows` is for repeats = \"replicates\"".into())),
            Noise::None {} => Errors::None,
            Noise::Replicates { .. } => Errors::Replicates(gather(&replicates)),
            Noise::Fixed { sd } if sd.is_finite() && *sd >= 0.0 => Errors::Gaussian(vec![*sd; n]),
            Noise::Fixed { sd } => {
                return Err(wrong(format!("`noise.sd` is {sd}; it must be a finite number, not negative")));
            }
            Noise::Sd { column } => {
                let sd = table.numbers(column)?;
                if let Some(row) = sd.iter().position(|s| *s < 0.0) {
                    return Err(Error::Data(format!(
                        "{file}: {}, column {column}: the standard deviation is {}; it must not be negative",
                        table.place(row),
                        sd[row]
                    )));
                }
                // The mean of m rows with sds s has the sd sqrt(sum s^2) / m.
                let mut variance = vec![0.0; n];
                for (s, e) in sd.iter().zip(&entry_of_row) {
                    if let Some(e) = *e {
                        variance[e] += (s / rows_of[e]).powi(2);
                    }
                }
                Errors::Gaussian(variance.into_iter().map(f64::sqrt).collect())
            }
        };

        let mut notes = Vec::new();
        if empty > 0 {
            notes.push(format!("{empty} rows of control only were left out"));
        }
        if dropped > 0 {
            notes.push(format!("{dropped} rows name a gene twice and were left out"));
        }
        if merged > 0 {
            let what = if self.repeats == Repeats::Mean { "were averaged" } else { "are its replicates" };
            notes.push(format!("{merged} rows repeat a perturbation and {what}"));
        }
        let plain = &values;
        let gathered = gather(&values);
        let truth = truth.map(|t| gather(&t));
        let replicates = match &errors {
            // Only where all have as many.
            Errors::Rows(x, rows) if n_outputs == 1 && rows.iter().all(|r| r.len() == rows[0].len() && r.len() > 1) => {
                Some(Array2::from_shape_fn((n, rows[0].len()), |(e, k)| x[(rows[e][k], 0)]))
            }
            _ => (replicates.ncols() > 0).then(|| gather(&replicates)),
        };
        if gathered.columns().into_iter().all(|c| c.iter().all(|v| *v == c[0])) && gathered.nrows() > 1 {
            notes.push("every perturbation has the same readout: there is nothing to find or to learn".into());
        }
        let single_effects = match self.single.len() {
            0 if self.control.is_some() && names.len() > 1 && n_outputs == 1 => {
                let (mut sum, mut count) = (Array2::<f64>::zeros((genes.len(), 1)), vec![0.0; genes.len()]);
                for (g, row) in &alone {
                    sum[(g.index(), 0)] += plain[(*row, 0)];
                    count[g.index()] += 1.0;
                }
                let unknown = count.iter().filter(|c| **c == 0.0).count();
                notes.push(format!("{} rows of a gene with control are effects of single genes", alone.len()));
                if unknown > 0 {
                    notes.push(format!("{unknown} of {} genes have no single effect", genes.len()));
                }
                // No row: 0 / 0, which stands for not known.
                sum.outer_iter_mut().zip(count).for_each(|(mut s, n)| s /= n);
                Some(sum)
            }
            0 => None,
            _ if self.control.is_some() => {
                return Err(wrong(
                    "effects of single genes come from `single` or from rows with `control`; leave out one".into(),
                ));
            }
            _ if n_outputs > 1 => {
                return Err(wrong("`single` serves one readout, and `values` names several".into()));
            }
            k if k != self.genes.len() => {
                return Err(wrong(format!(
                    "`single` names {k} columns and `genes` {}; give one column for each gene column",
                    self.genes.len()
                )));
            }
            _ => Some(self.single_effects(table, &names, &genes, &mut notes)?),
        };
        let genes = Arc::new(genes);
        let pool = if self.genes.len() == 1 { Pool::singles(genes) } else { Pool::list(genes, perturbations)? };
        let (pool, values) = (Arc::new(pool), gathered);
        Ok(Replay { pool, values, truth, replicates, errors, rows: self.rows, single_effects, notes })
    }

    /// The gene names of each column, marked.
    fn names<'a>(&self, table: &'a Table) -> Result<Vec<Vec<Cow<'a, str>>>> {
        if !self.mark.is_empty() && self.mark.len() != self.genes.len() {
            return Err(Error::Config(format!(
                "`mark` has {} endings and `genes` names {} columns; give one for each, \"\" for none",
                self.mark.len(),
                self.genes.len()
            )));
        }
        let ending = |c: usize| self.mark.get(c).map_or("", |m| m);
        let mut all = Vec::with_capacity(self.genes.len());
        for (c, column) in self.genes.iter().enumerate() {
            let names = table.text(column)?.into_iter();
            all.push(match ending(c) {
                "" => names.map(Cow::Borrowed).collect(),
                mark => names.map(|n| Cow::Owned(format!("{n}{mark}"))).collect(),
            });
        }
        Ok(all)
    }

    /// What does not go together with one number a row, or with replicate rows.
    fn check_reduction(&self, columns: usize) -> Result<(), String> {
        let by_columns = matches!(self.noise, Noise::Replicates { .. }) || !self.replicates.is_empty();
        if self.reduce == Reduce::Abs && columns > 1 {
            return Err(format!("reduce = \"abs\" takes one column and `values` names {columns}; use \"norm\""));
        }
        if self.reduce != Reduce::None && (by_columns || !self.single.is_empty()) {
            return Err("`reduce` works on `values` and `truth` only; leave out `single` and replicate columns, or put replicates \
                        into rows of their own and set repeats = \"replicates\""
                .into());
        }
        if self.scale == Unit::Noise && (self.reduce != Reduce::Norm || self.repeats == Repeats::Error) {
            return Err("scale = \"noise\" is for reduce = \"norm\" with several rows a perturbation; set repeats to \
                        \"replicates\" or \"mean\""
                .into());
        }
        if self.rows == 0 {
            return Err("`rows` is 0; a measurement takes at least one".into());
        }
        if self.repeats == Repeats::Replicates && (by_columns || self.noise != Noise::None {}) {
            return Err("repeats = \"replicates\" takes the noise from rows; leave out `noise` and `replicates`".into());
        }
        Ok(())
    }

    /// The effect of each gene alone (genes x 1), NaN where no row knows it.
    fn single_effects(
        &self,
        table: &Table,
        names: &[Vec<Cow<str>>],
        genes: &Genes,
        notes: &mut Vec<String>,
    ) -> Result<Array2<f64>> {
        const SAME: f64 = 1e-9;
        let n = genes.len();
        let (mut first, mut sum, mut count) = (vec![f64::NAN; n], vec![0.0; n], vec![0usize; n]);
        let mut differs = vec![false; n];
        for (column, names) in self.single.iter().zip(names) {
            for (v, name) in table.numbers_or_missing(column)?.into_iter().zip(names) {
                let Some(g) = genes.find(name).map(Gene::index).filter(|_| !v.is_nan()) else { continue };
                if count[g] == 0 {
                    first[g] = v;
                }
                differs[g] |= (v - first[g]).abs() > SAME;
                sum[g] += v;
                count[g] += 1;
            }
        }
        let conflicts = differs.iter().filter(|d| **d).count();
        if conflicts > 0 {
            notes.push(format!("{conflicts} genes have several single effects, which were averaged"));
        }
        let unknown = count.iter().filter(|c| **c == 0).count();
        if unknown > 0 {
            notes.push(format!("{unknown} of {n} genes have no single effect"));
        }
        // A value that never changes is kept as it is, free of the rounding of a mean.
        Ok(Array2::from_shape_fn((n, 1), |(g, _)| if differs[g] { sum[g] / count[g] as f64 } else { first[g] }))
    }
}

/// The Euclidean norm of each row, as one column.
fn norms(x: Array2<f64>) -> Array2<f64> {
    x.map_axis(Axis(1), |r| r.dot(&r).sqrt()).insert_axis(Axis(1))
}

/// The standard deviation between rows of one perturbation, of each column: pooled over perturbations with several rows.
/// The number of the first column without any is the error.
fn noise_of(x: &Array2<f64>, entry_of_row: &[Option<usize>], n: usize) -> Result<Array1<f64>, usize> {
    let (mut mean, mut count) = (Array2::<f64>::zeros((n, x.ncols())), vec![0.0f64; n]);
    for (row, e) in x.outer_iter().zip(entry_of_row) {
        if let Some(e) = *e {
            count[e] += 1.0;
            let away = &row - &mean.row(e);
            mean.row_mut(e).scaled_add(1.0 / count[e], &away);
        }
    }
    let mut squares = Array1::zeros(x.ncols());
    for (row, e) in x.outer_iter().zip(entry_of_row) {
        if let Some(e) = *e {
            squares += &(&row - &mean.row(e)).mapv(|d| d * d);
        }
    }
    let freedom: f64 = count.iter().map(|c| (c - 1.0).max(0.0)).sum();
    let sd: Array1<f64> = (squares / freedom).mapv(f64::sqrt);
    match sd.iter().position(|s| !(*s > 0.0 && s.is_finite())) {
        Some(column) => Err(column),
        None => Ok(sd),
    }
}

/// rows x columns; a row that is left out may lack values and then has zeros.
fn columns_of(table: &Table, columns: &[String], left_out: impl Fn(usize) -> bool) -> Result<Array2<f64>> {
    let mut x = Array2::zeros((table.height(), columns.len()));
    for (c, name) in columns.iter().enumerate() {
        let mut values = table.numbers_or_missing(name)?;
        if (0..values.len()).any(|row| values[row].is_nan() && !left_out(row)) {
            // The error names the place.
            values = table.numbers(name)?;
        }
        values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = 0.0);
        x.column_mut(c).assign(&Array1::from(values));
    }
    Ok(x)
}

impl Screen for Replay {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        self.values.ncols()
    }

    fn measure(&self, ids: &[usize], _: &Experiment, streams: &Streams) -> Result<Readouts> {
        let mut out = Readouts::plain(ids, self.values.select(Axis(0), ids));
        let key = |id: usize| streams.child("screen_table").index(id);
        match &self.errors {
            Errors::None => {}
            Errors::Gaussian(sd) => {
                let mut known = Array2::zeros(out.y.dim());
                for (r, &id) in ids.iter().enumerate() {
                    let mut rng = key(id).index(out.replicate[r] as usize).rng("noise");
                    known.row_mut(r).fill(sd[id]);
                    for v in out.y.row_mut(r) {
                        let z: f64 = StandardNormal.sample(&mut rng);
                        *v += sd[id] * z;
                    }
                }
                // An sd of exactly 0 would claim a certainty that no weighting survives.
                if sd.iter().all(|s| *s > 0.0) {
                    out.sd = Some(known);
                }
            }
            Errors::Replicates(values) => {
                let n = values.ncols();
                for (r, &id) in ids.iter().enumerate() {
                    // Repeated measurements go through the replicates in turn.
                    let start = key(id).rng("replicate").random_range(0..n);
                    out.y[(r, 0)] = values[(id, (start + out.replicate[r] as usize) % n)];
                }
            }
            Errors::Rows(values, rows) => {
                for (r, &id) in ids.iter().enumerate() {
                    let rows = &rows[id];
                    let mut rng = key(id).rng("replicate");
                    if self.rows == 1 {
                        let start = rng.random_range(0..rows.len());
                        out.y.row_mut(r).assign(&values.row(rows[(start + out.replicate[r] as usize) % rows.len()]));
                        continue;
                    }
                    // Repeated measurements go on where the last one ended.
                    let order = rand::seq::index::sample(&mut rng, rows.len(), rows.len()).into_vec();
                    let n = self.rows.min(rows.len());
                    let mut mean = Array1::zeros(values.ncols());
                    for k in 0..n {
                        mean += &values.row(rows[order[(out.replicate[r] as usize * n + k) % rows.len()]]);
                    }
                    out.y.row_mut(r).assign(&(mean / n as f64));
                }
            }
        }
        Ok(out)
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(self.truth.as_ref().unwrap_or(&self.values).select(Axis(0), ids))
    }

    fn replicates(&self, ids: &[usize]) -> Option<Array2<f64>> {
        // They are noise of what is judged only where that is their mean.
        let r = self.replicates.as_ref().filter(|_| self.truth.is_none())?;
        Some(r.select(Axis(0), ids))
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        self.single_effects.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

framework::register!(
    Oracle,
    ScreenTable,
    "screen_table",
    "replays a measured screen from a table",
    example = |dir| {
        let path = dir.join("screen_table.csv");
        let rows: String = (0..60).map(|i| format!("g{i},{}\n", ((i * 37) % 23) as f64 / 5.0 - 2.0)).collect();
        // A file that cannot be written shows as an error of the oracle, which names the path.
        let _ = std::fs::write(&path, format!("gene,value\n{rows}"));
        framework::serde_json::json!({ "path": path })
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;

    fn file(text: &str) -> PathBuf {
        static N: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = N.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("screen_table-{}-{n}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    fn open(text: &str, mut settings: serde_json::Value) -> Result<Box<dyn Screen>> {
        let path = file(text);
        settings["path"] = path.to_str().unwrap().into();
        let oracle: ScreenTable = serde_json::from_value(settings).unwrap();
        let s = oracle.open(&Setup { data: &DataRoot::default(), streams: &Streams::new(1) });
        std::fs::remove_file(path).unwrap();
        s
    }

    fn error(text: &str, settings: serde_json::Value) -> String {
        open(text, settings).err().expect("an error").to_string()
    }

    #[test]
    fn singles_keep_the_order_of_the_file() {
        let s = open("gene,value\nB,1\nA,-2\nC,0.5\n", serde_json::json!({})).unwrap();
        assert!(s.pool().is_singles());
        assert_eq!((0..3).map(|i| s.pool().label(i)).collect::<Vec<_>>(), ["B", "A", "C"]);
        let y = s.measure(&[2, 0], &Experiment::of_round(1), &Streams::new(3)).unwrap();
        assert_eq!(y.y.as_slice().unwrap(), [0.5, 1.0]);
        assert_eq!(s.truth(&[1]).unwrap()[(0, 0)], -2.0);
    }

    #[test]
    fn pairs_know_their_single_effects_and_same_gene_rows() {
        let text = "gene1,gene2,gamma,a,b\nA,B,1,0.1,0.2\nB,A,3,0.2,0.1\nA,A,5,0.1,0.1\nC,B,7,,0.4\n";
        let settings = |repeats: &str, same: &str| {
            serde_json::json!({ "genes": ["gene1", "gene2"], "values": ["gamma"], "single": ["a", "b"],
                                "repeats": repeats, "same_gene": same })
        };
        let e = error(text, settings("error", "keep"));
        assert!(e.contains(".csv: A+B is measured twice (line 2 and line 3); set repeats = \"mean\""), "{e}");
        let s = open(text, settings("mean", "keep")).unwrap();
        assert_eq!(s.pool().len(), 3);
        assert_eq!(s.truth(&[0, 1, 2]).unwrap().as_slice().unwrap(), [2.0, 5.0, 7.0]);
        let single = s.single_effects().unwrap();
        // B is 0.2, 0.2 and 0.4: averaged; A never changes; C is unknown.
        assert!((single[(1, 0)] - 0.8 / 3.0).abs() < 1e-15);
        assert_eq!(single[(0, 0)], 0.1);
        assert!(single[(2, 0)].is_nan());
        assert_eq!(s.notes().len(), 3, "{:?}", s.notes());
        // What a row that is left out lacks, nobody misses.
        let lacking = text.replace("A,A,5", "A,A,");
        assert!(error(&lacking, settings("mean", "keep")).contains("line 4"));
        assert_eq!(open(&lacking, settings("mean", "drop")).unwrap().truth(&[0, 1]).unwrap()[(1, 0)], 7.0);
        let s = open(text, settings("mean", "drop")).unwrap();
        assert_eq!(s.pool().len(), 2);
        assert_eq!(s.notes()[0], "1 rows name a gene twice and were left out");
    }

    #[test]
    fn replicate_rows_are_measured_one_at_a_time() {
        let text = "gene,value\nA,1\nB,2\nA,3\nB,6\nC,5\nC,5\n";
        let s = open(text, serde_json::json!({ "repeats": "replicates" })).unwrap();
        assert_eq!(s.truth(&[0, 1, 2]).unwrap().as_slice().unwrap(), [2.0, 4.0, 5.0]);
        assert_eq!(s.replicates(&[1]).unwrap().as_slice().unwrap(), [2.0, 6.0]);
        assert_eq!(s.notes(), ["3 rows repeat a perturbation and are its replicates"]);
        let y = s.measure(&[0, 0, 0], &Experiment::of_round(1), &Streams::new(3)).unwrap().y;
        assert!(y[(0, 0)] == y[(2, 0)] && y[(0, 0)] + y[(1, 0)] == 4.0, "{y}");
        let first = |seed| s.measure(&[1], &Experiment::of_round(1), &Streams::new(seed)).unwrap().y[(0, 0)];
        let seen: Vec<f64> = (0..30).map(first).collect();
        assert!(seen.contains(&2.0) && seen.contains(&6.0));
        // With unequal numbers of rows there is no table of replicates.
        let s = open("gene,value\nA,1\nA,3\nB,6\n", serde_json::json!({ "repeats": "replicates" })).unwrap();
        assert!(s.replicates(&[0]).is_none());
        let e = error(text, serde_json::json!({ "repeats": "replicates", "noise": { "from": "fixed", "sd": 1.0 } }));
        assert!(e.contains("takes the noise from rows"), "{e}");
    }

    #[test]
    fn readouts_become_one_number_row_by_row() {
        let text = "gene,a,b\nA,3,4\nA,0,2\nB,-6,8\nB,-3,10\n";
        let values = serde_json::json!(["a", "b"]);
        let settings = |v: serde_json::Value| {
            let mut s = serde_json::json!({ "values": values, "reduce": "norm", "repeats": "replicates" });
            s.as_object_mut().unwrap().extend(v.as_object().unwrap().clone());
            s
        };
        let s = open(text, settings(serde_json::json!({}))).unwrap();
        assert_eq!(s.n_outputs(), 1);
        assert!((s.truth(&[0]).unwrap()[(0, 0)] - 3.5).abs() < 1e-12, "(5 + 2) / 2");
        // Within perturbations both columns differ by 3 and 2: variances (4.5 + 4.5) / 2 and (2 + 2) / 2.
        let s = open(text, settings(serde_json::json!({ "scale": "noise" }))).unwrap();
        let norm = |a: f64, b: f64| (a * a / 4.5 + b * b / 2.0).sqrt();
        let want = [(norm(3.0, 4.0) + norm(0.0, 2.0)) / 2.0, (norm(6.0, 8.0) + norm(3.0, 10.0)) / 2.0];
        let got = s.truth(&[0, 1]).unwrap();
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12), "{got} {want:?}");
        let s = open("gene,value\nA,-3\nB,2\n", serde_json::json!({ "reduce": "abs" })).unwrap();
        assert_eq!(s.truth(&[0, 1]).unwrap().as_slice().unwrap(), [3.0, 2.0]);
        assert_eq!(s.measure(&[0], &Experiment::of_round(1), &Streams::new(1)).unwrap().y[(0, 0)], 3.0);
        let e = error(text, settings(serde_json::json!({ "reduce": "abs" })));
        assert!(e.contains("takes one column and `values` names 2"), "{e}");
        let e = error(text, settings(serde_json::json!({ "scale": "noise", "repeats": "error" })));
        assert!(e.contains("is for reduce = \"norm\" with several rows"), "{e}");
        let e = error("gene,a,b\nA,3,4\nA,3,2\n", settings(serde_json::json!({ "scale": "noise" })));
        assert!(e.contains("agree in column a"), "{e}");
        let e = error("gene,value,s\nA,3,4\n", serde_json::json!({ "reduce": "abs", "single": ["s"] }));
        assert!(e.contains("`reduce` works on `values` and `truth` only"), "{e}");
    }

    #[test]
    fn marks_tell_the_genes_of_two_columns_apart() {
        let text = "t,q,value\nA,B,1\nB,A,2\nA,A,3\n";
        let settings = |mark: &[&str]| serde_json::json!({ "genes": ["t", "q"], "mark": mark, "same_gene": "drop" });
        let s = open(text, settings(&["", "@query"])).unwrap();
        let labels: Vec<String> = (0..s.pool().len()).map(|i| s.pool().label(i)).collect();
        assert_eq!(labels, ["A+B@query", "B+A@query", "A+A@query"]);
        let e = error(text, settings(&["@query"]));
        assert!(e.contains("`mark` has 1 endings and `genes` names 2 columns"), "{e}");
        // Settings that are not used leave no trace in a run's identity.
        let plain: ScreenTable = serde_json::from_value(serde_json::json!({ "path": "x" })).unwrap();
        let written = serde_json::to_value(&plain).unwrap();
        assert!(["reduce", "scale", "mark"].iter().all(|k| written.get(k).is_none()));
    }

    #[test]
    fn noise_depends_on_the_perturbation_only() {
        let text = "gene,value,sd,r1,r2\nA,1,0.5,0,2\nB,2,0.1,1,3\nC,3,2,2,4\n";
        for noise in [
            serde_json::json!({ "from": "sd", "column": "sd" }),
            serde_json::json!({ "from": "fixed", "sd": 0.3 }),
            serde_json::json!({ "from": "replicates", "columns": ["r1", "r2"] }),
        ] {
            let s = open(text, serde_json::json!({ "noise": noise })).unwrap();
            let st = Streams::new(5);
            let all = s.measure(&[0, 1, 2], &Experiment::of_round(1), &st).unwrap().y;
            let turned = s.measure(&[2, 0], &Experiment::of_round(4), &st).unwrap().y;
            assert_eq!(turned[(0, 0)], all[(2, 0)]);
            assert_eq!(turned[(1, 0)], all[(0, 0)]);
            let many: Vec<usize> = vec![1; 40];
            let again = s.measure(&many, &Experiment::of_round(1), &st).unwrap();
            assert_eq!(again.replicate[39], 39);
            assert!(again.y.iter().any(|v| *v != again.y[(0, 0)]), "replicates differ");
            assert_eq!(s.truth(&[0]).unwrap()[(0, 0)], 1.0);
        }
    }

    #[test]
    fn rows_with_control_are_single_effects_and_measurements_average_rows() {
        let text = "a,b,value,other\nNT,NT,9,0\nA,NT,1,0\nNT,A,3,0\nB,NT,5,0\nA,B,10,1\nB,A,12,2\nA,B,20,3\nA,C,7,4\n";
        let settings = |more: serde_json::Value| {
            let mut s = serde_json::json!({ "genes": ["a", "b"], "control": "NT", "repeats": "replicates", "truth": ["other"] });
            s.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            s
        };
        let s = open(text, settings(serde_json::json!({ "rows": 2 }))).unwrap();
        assert_eq!((s.pool().len(), s.pool().label(0), s.pool().label(1)), (2, "A+B".into(), "A+C".into()));
        let single = s.single_effects().unwrap();
        assert_eq!((single[(0, 0)], single[(1, 0)]), (2.0, 5.0));
        assert!(single[(2, 0)].is_nan());
        let notes = s.notes().join("; ");
        assert!(
            notes.contains("1 rows of control only") && notes.contains("1 of 3 genes have no single effect"),
            "{notes}"
        );
        assert_eq!(s.truth(&[0, 1]).unwrap().column(0).to_vec(), [2.0, 4.0]);
        // Two of three rows at a time, without replacement; a pair with one row gives that row.
        let y = s.measure(&[0, 0, 0, 1], &Experiment::of_round(1), &Streams::new(5)).unwrap().y.column(0).to_vec();
        let means = [11.0, 15.0, 16.0];
        assert!(y[..3].iter().all(|v| means.contains(v)) && y[3] == 7.0, "{y:?}");
        // Three times two of three rows take each row twice.
        assert_eq!(y[..3].iter().sum::<f64>(), 42.0);
        let e = |more| open(text, settings(more)).map(|_| ()).unwrap_err().to_string();
        assert!(e(serde_json::json!({ "rows": 0 })).contains("`rows` is 0"));
        assert!(e(serde_json::json!({ "repeats": "mean", "rows": 2 })).contains("is for repeats"));
        assert!(e(serde_json::json!({ "single": ["other", "other"] })).contains("leave out one"));
        let none = "a,b,value,other\nNT,NT,9,0\n";
        assert!(
            open(none, settings(serde_json::json!({}))).map(|_| ()).unwrap_err().to_string().contains("of control")
        );
    }

    #[test]
    fn the_spread_of_gaussian_noise_is_the_one_asked_for() {
        let s = open("gene,value\nA,1\n", serde_json::json!({ "noise": { "from": "fixed", "sd": 0.3 } })).unwrap();
        let y = s.measure(&[0; 20_000], &Experiment::of_round(1), &Streams::new(5)).unwrap().y;
        let y = y.as_slice().unwrap();
        assert!((framework::numerics::stats::mean(y) - 1.0).abs() < 4.0 * 0.3 / 20_000f64.sqrt());
        assert!((framework::numerics::stats::sd(y) - 0.3).abs() < 0.01);
    }

    #[test]
    fn mistakes_name_the_place_and_the_remedy() {
        let e = error("gene,value\n", serde_json::json!({}));
        assert!(e.ends_with("the table has no rows; a screen needs at least one perturbation"), "{e}");
        let e = error("gene,value\nA,1\nB,x\n", serde_json::json!({}));
        assert!(e.contains("line 3"), "{e}");
        let e = error("gene,value,sd\nA,1,-1\n", serde_json::json!({ "noise": { "from": "sd", "column": "sd" } }));
        assert!(e.contains("line 2, column sd: the standard deviation is -1"), "{e}");
        let bad = serde_json::json!({ "path": "x", "noise": { "from": "none", "sd": 1.0 } });
        assert!(serde_json::from_value::<ScreenTable>(bad).is_err(), "noise refuses unknown settings");
    }

    #[test]
    fn twenty_thousand_rows_open() {
        let text: String = (0..20_000).map(|i| format!("GENE{i},{}\n", i as f64 * 0.5)).collect();
        let path = file(&format!("gene,value\n{text}"));
        let table = framework::table::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let oracle: ScreenTable = serde_json::from_value(serde_json::json!({ "path": "t.csv" })).unwrap();
        assert_eq!(oracle.read(&table, Path::new("t.csv")).unwrap().pool.len(), 20_000);
    }

    #[test]
    fn public_pair_screen_has_the_published_counts() {
        let Some(root) = std::env::var_os("SCREENWRIGHT_DATA") else {
            println!("skipped: SCREENWRIGHT_DATA is not set");
            return;
        };
        let settings = serde_json::json!({
            "path": "norman2019_pairs/gene_pairs.csv.gz", "genes": ["gene1", "gene2"], "values": ["gamma"],
            "single": ["gamma1", "gamma2"], "same_gene": "drop", "noise": { "from": "replicates", "columns": ["gamma_rep1", "gamma_rep2"] },
        });
        let oracle: ScreenTable = serde_json::from_value(settings).unwrap();
        let data = DataRoot::new(root);
        let s = oracle.open(&Setup { data: &data, streams: &Streams::new(1) }).unwrap();
        assert_eq!((s.pool().len(), s.pool().genes().len()), (6216, 112));
        let all: Vec<usize> = (0..6216).collect();
        let mean = s.truth(&all).unwrap().mean().unwrap();
        assert!((mean + 0.332).abs() < 1e-3, "{mean}");
        assert!(s.single_effects().unwrap().iter().all(|v| v.is_finite()), "{:?}", s.notes());
        // Targets by queries, though 14 genes stand on both sides; two replicates of 11 features.
        let path = "morphology_pairs_hct116/pair_interactions.parquet";
        let table = data.table(Path::new(path)).unwrap();
        let values: Vec<&str> = table.numeric_columns().into_iter().filter(|c| *c != "replicate").collect();
        assert_eq!(values.len(), 11);
        let settings = serde_json::json!({
            "path": path, "genes": ["target_gene", "query_gene"], "mark": ["", "@query"], "values": values,
            "reduce": "norm", "scale": "noise", "repeats": "replicates",
        });
        let oracle: ScreenTable = serde_json::from_value(settings).unwrap();
        let s = oracle.open(&Setup { data: &data, streams: &Streams::new(1) }).unwrap();
        assert_eq!((s.pool().len(), s.pool().genes().len()), (282 * 20, 302));
        let r = s.replicates(&(0..5640).collect::<Vec<_>>()).unwrap();
        let agreement = framework::numerics::stats::pearson(&r.column(0).to_vec(), &r.column(1).to_vec());
        assert!((agreement - 0.57).abs() < 0.02, "{agreement}");
    }
}
