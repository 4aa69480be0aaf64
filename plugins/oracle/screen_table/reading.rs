//! From a table to an opened screen: rows become perturbations with readouts, truth, errors and single effects.

use super::{Errors, Noise, Reduce, Repeats, Replay, SameGene, ScreenTable, Unit};
use framework::domain::{MissingRows, Suspects};
use framework::prelude::*;
use framework::table::Table;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

impl ScreenTable {
    pub(super) fn read(&self, table: &Table, path: &Path) -> Result<Replay> {
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
        let suspects = Suspects::among(names.iter().flatten().map(|n| &**n).filter(|n| !n.is_empty()), &self.accept);
        suspects.refuse_missing(&file.to_string(), "`accept`")?;
        let is_control = |name: &str| name.is_empty() || self.control.as_ref().is_some_and(|c| c.contains(name));
        let twice = |row: usize| {
            let twice = |k: usize| !names[k][row].is_empty() && names[..k].iter().any(|c| c[row] == names[k][row]);
            (1..names.len()).any(twice)
        };
        let mut left_out: Vec<bool> =
            (0..table.height()).map(|r| self.same_gene == SameGene::Drop && twice(r)).collect();
        let dropped = left_out.iter().filter(|l| **l).count();
        // Replicates may be missing as long as one is there.
        let replicates = known_of(table, replicates)?;
        let mean_of_known = |r: ArrayView1<f64>| {
            let known: Vec<f64> = r.iter().copied().filter(|v| !v.is_nan()).collect();
            known.iter().sum::<f64>() / known.len() as f64
        };
        let lone = vec!["value".to_string()];
        let (read, by_replicates) = match &self.values {
            Some(columns) if columns.is_empty() => {
                return Err(wrong("`values` names no column; name at least one, as in values = [\"value\"]".into()));
            }
            Some(columns) => (columns, false),
            None if replicates.ncols() > 0 => (&lone, true),
            None => (&lone, false),
        };
        let mut values = if by_replicates {
            replicates.map_axis(Axis(1), mean_of_known).insert_axis(Axis(1))
        } else {
            known_of(table, read)?
        };
        let mut truth = self.truth.as_ref().map(|columns| known_of(table, columns)).transpose()?;
        let errors_of_rows = match &self.noise {
            Noise::Sd { column } => known_of(table, std::slice::from_ref(column))?,
            _ => Array2::zeros((table.height(), 0)),
        };
        let lacks = |row: usize| {
            let empty = |x: &Array2<f64>| x.row(row).iter().any(|v| v.is_nan());
            let no_replicate = replicates.ncols() > 0 && replicates.row(row).iter().all(|v| v.is_nan());
            empty(&values) || truth.as_ref().is_some_and(empty) || empty(&errors_of_rows) || no_replicate
        };
        let missing: Vec<usize> = (0..table.height()).filter(|&row| !left_out[row] && lacks(row)).collect();
        if let (Some(&row), MissingRows::Error) = (missing.first(), self.missing) {
            // The error of a column names the place; where all replicates are missing none does.
            let columns = if by_replicates { &[][..] } else { &read[..] };
            let of_noise = if let Noise::Sd { column } = &self.noise { Some(column) } else { None };
            for column in columns.iter().chain(self.truth.iter().flatten()).chain(of_noise) {
                let found = table.numbers_or_missing(column)?;
                if found[row].is_nan() {
                    let e = table.numbers(column).err().map_or(String::new(), |e| e.to_string());
                    return Err(Error::Data(format!("{e}; or set missing = \"drop\" to leave out such rows")));
                }
            }
            return Err(Error::Data(format!(
                "{file}: {}: every replicate is missing; fill one in, or set missing = \"drop\" to leave out such rows",
                table.place(row)
            )));
        }
        missing.iter().for_each(|&row| left_out[row] = true);
        let zeros = |x: &mut Array2<f64>| x.mapv_inplace(|v| if v.is_nan() { 0.0 } else { v });
        zeros(&mut values);
        truth.iter_mut().for_each(zeros);
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

        let has_control = self.control.is_some() || self.separator.is_some();
        // Rows become perturbations, in the order in which each is first seen.
        let mut genes = Genes::default();
        let mut entry_of_row: Vec<Option<usize>> = Vec::with_capacity(table.height());
        let mut first_row: Vec<usize> = Vec::new();
        let mut perturbations: Vec<Perturbation> = Vec::new();
        let mut index: HashMap<Perturbation, usize> = HashMap::with_capacity(table.height());
        let (mut merged, mut empty) = (0usize, 0usize);
        let mut alone: Vec<(Gene, usize)> = vec![];
        for row in 0..table.height() {
            if left_out[row] {
                entry_of_row.push(None);
                continue;
            }
            let perturbed = names.iter().filter(|c| !is_control(&c[row]));
            let p = Perturbation::new(perturbed.map(|c| genes.intern(&c[row])));
            if has_control && p.genes().len() < 2.min(names.len()) {
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
            let why = if !missing.is_empty() {
                "every row lacks a value"
            } else if dropped > 0 {
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
        // The mean of what is there, column by column.
        let gather_known = |x: &Array2<f64>| {
            if x.iter().all(|v| !v.is_nan()) {
                return gather(x);
            }
            let (mut sum, mut count) = (Array2::<f64>::zeros((n, x.ncols())), Array2::<f64>::zeros((n, x.ncols())));
            for (row, e) in x.outer_iter().zip(&entry_of_row) {
                for (c, v) in row.iter().enumerate().filter(|v| !v.1.is_nan()) {
                    if let Some(e) = *e {
                        sum[(e, c)] += v;
                        count[(e, c)] += 1.0;
                    }
                }
            }
            sum / count
        };
        let errors = match &self.noise {
            Noise::None {} if self.repeats == Repeats::Replicates => {
                let mut rows = vec![vec![]; n];
                entry_of_row.iter().enumerate().for_each(|(row, e)| e.iter().for_each(|&e| rows[e].push(row)));
                Errors::Rows(values.clone(), rows)
            }
            _ if self.rows != 1 => return Err(wrong("`rows` is for repeats = \"replicates\"".into())),
            Noise::None {} => Errors::None,
            Noise::Replicates { .. } => Errors::Replicates(gather_known(&replicates)),
            Noise::Fixed { sd } if sd.is_finite() && *sd >= 0.0 => Errors::Gaussian(vec![*sd; n]),
            Noise::Fixed { sd } => {
                return Err(wrong(format!("`noise.sd` is {sd}; it must be a finite number, not negative")));
            }
            Noise::Sd { column } => {
                let sd = errors_of_rows.column(0);
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
        if !missing.is_empty() {
            notes.push(format!("{} rows lack a value and were left out", missing.len()));
        }
        notes.extend(suspects.lines());
        let others: Vec<String> = suspects.controls.into_iter().filter(|n| !is_control(n)).collect();
        if !others.is_empty() {
            notes.push(format!(
                "warning: taken as genes although they look like controls: {}; name them under `control` if they are",
                framework::error::listed(&others, 5)
            ));
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
            _ => (replicates.ncols() > 0).then(|| gather_known(&replicates)),
        };
        let incomplete =
            replicates.iter().map(|r| r.outer_iter().filter(|r| r.iter().any(|v| v.is_nan())).count()).sum::<usize>();
        if incomplete > 0 {
            notes
                .push(format!("{incomplete} of {n} perturbations lack a replicate, so that no noise ceiling is given"));
        }
        let replicates = replicates.filter(|_| incomplete == 0);
        if gathered.columns().into_iter().all(|c| c.iter().all(|v| *v == c[0])) && gathered.nrows() > 1 {
            notes.push("every perturbation has the same readout: there is nothing to find or to learn".into());
        }
        let single_effects = match self.single.len() {
            0 if has_control && names.len() > 1 && n_outputs == 1 => {
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
            _ if has_control => {
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
        let pool = if names.len() == 1 { Pool::singles(genes) } else { Pool::list(genes, perturbations)? };
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
        if let Some(separator) = &self.separator {
            return self.split(table, separator);
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

    /// The gene names of one column that holds all genes of a row, by position; empty after the last gene of a row.
    fn split<'a>(&self, table: &'a Table, separator: &str) -> Result<Vec<Vec<Cow<'a, str>>>> {
        let [column] = &self.genes[..] else {
            return Err(Error::Config("`separator` is for one column in `genes` that holds all genes of a row".into()));
        };
        if separator.is_empty() || !self.mark.is_empty() {
            return Err(Error::Config("`separator` must not be empty, and does not go with `mark`".into()));
        }
        let rows: Vec<Vec<&str>> =
            table.text(column)?.into_iter().map(|l| l.split(separator).map(str::trim).collect()).collect();
        let order = rows.iter().map(Vec::len).max().unwrap_or(1);
        Ok((0..order).map(|c| rows.iter().map(|r| Cow::Borrowed(r.get(c).copied().unwrap_or(""))).collect()).collect())
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

/// rows x columns, NaN where a value is missing.
fn known_of(table: &Table, columns: &[String]) -> Result<Array2<f64>> {
    let mut x = Array2::zeros((table.height(), columns.len()));
    for (c, values) in table.all_numbers(columns, true)?.into_iter().enumerate() {
        x.column_mut(c).assign(&Array1::from(values));
    }
    Ok(x)
}
