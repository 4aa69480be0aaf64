//! Reads of guides, one column a sample, as log2 ratios of genes.
//!
//! With reads k of guide i in sample j and the size s of a sample, n = k/s. A guide's ratio in a treated sample t is
//! log2((n_t + p) / (m + p)), where m is the mean of n over the control samples, or the one that t is paired with. A gene's
//! ratio in t is the mean (or median) of those of its guides; the readout is the mean over t.
//!
//! Sizes, by the samples that are named: "median" takes the median over guides of k_j / (geometric mean of k over samples),
//! among guides with reads in every sample (Anders and Huber 2010, as in DESeq); "control" does so among the guides of control;
//! "total" takes the sum of reads divided by its mean over samples. All guides count for sizes, those left out later too.
//!
//! The standard error is that over guides, of their mean over t: s/√n, for a median times √(π/2). A gene with one guide, or with
//! guides that agree exactly, takes s pooled over the genes. Cost: O(guides x samples), for medians times a logarithm.

use super::{Measurements, genes};
use crate::domain::Names;
use crate::error::{Error, Result, counted, listed};
use numerics::stats::{mean, quantile, sd};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use table::{Column, Table};

/// How reads of guides become effects of genes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Columns of the samples after selection, each a replicate.
    pub treatment: Names,
    /// Columns of the samples they are compared with: day 0, plasmid, vehicle, the other bin.
    pub control: Names,
    /// Whether the first treated sample goes with the first of control, and so on; default false: each with the mean of all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paired: bool,
    /// How samples of unequal depth become comparable: `"median"` (default), `"total"`, `"control"` or `"none"`.
    #[serde(default)]
    pub normalise: Normalise,
    /// Added to normalised reads before the ratio is taken; default 1.
    #[serde(default = "one")]
    pub pseudocount: f64,
    /// Guides with fewer reads in control (mean over its samples, before they are normalised) are left out; default 0. Guides
    /// without any read always are.
    #[serde(default)]
    pub min_count: f64,
    /// How the guides of a gene become one number: `"mean"` (default) or `"median"`.
    #[serde(default)]
    pub summary: Summary,
}

fn one() -> f64 {
    1.0
}

/// How samples of unequal depth become comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// By medians of ratios over all guides with reads in every sample.
    #[default]
    Median,
    /// By the sum of reads.
    Total,
    /// By medians of ratios over guides of control.
    Control,
    /// Not at all: they are comparable.
    None,
}

/// How the guides of a gene become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Summary {
    /// By their mean.
    #[default]
    Mean,
    /// By their median.
    Median,
}

impl Summary {
    /// One number of at least one.
    fn of(self, x: &[f64]) -> f64 {
        match self {
            Summary::Mean => mean(x),
            Summary::Median => quantile(x, 0.5),
        }
    }

    /// Its standard error in units of s/√n; for the median that of many guides with normal errors.
    fn error(self) -> f64 {
        match self {
            Summary::Mean => 1.0,
            Summary::Median => (std::f64::consts::PI / 2.0).sqrt(),
        }
    }
}

/// The name of the readout in the table that is made.
pub(super) const RATIO: &str = "log2_ratio";
/// The name of its standard error.
pub(super) const SD: &str = "sd";
/// The name of the number of guides.
pub(super) const GUIDES: &str = "guides";

impl Counts {
    /// Puts a table of genes for one of guides; `control` are the names that stand for no gene.
    pub(super) fn apply(
        &self,
        m: &mut Measurements,
        names: Vec<Vec<String>>,
        control: &[String],
        separator: Option<&str>,
        file: &str,
    ) -> Result<()> {
        let samples = self.samples().map_err(|e| e.at(file.to_string()))?;
        let reads = m.table.all_numbers(&samples, false)?;
        for (sample, column) in samples.iter().zip(&reads) {
            if let Some(row) = column.iter().position(|v| *v < 0.0) {
                return Err(Error::Data(format!(
                    "{file}, {}, column {sample}: {} reads; reads cannot be negative, so name a column of counts",
                    m.table.place(row),
                    column[row]
                )));
            }
        }
        let is_control: Vec<bool> = names.iter().map(|n| n.iter().all(|n| control.contains(n))).collect();
        let sizes = self.sizes(&samples, &reads, &is_control).map_err(|e| e.at(file.to_string()))?;
        let (treated, of_control) = reads.split_at(self.treatment.0.len());
        let (s_treated, s_control) = sizes.split_at(treated.len());
        let n_control = of_control.len() as f64;
        let (mut empty, mut few) = (0, 0);
        let mut kept = vec![];
        for row in 0..names.len() {
            if reads.iter().all(|c| c[row] == 0.0) {
                empty += 1;
            } else if of_control.iter().map(|c| c[row]).sum::<f64>() / n_control < self.min_count {
                few += 1;
            } else {
                kept.push(row);
            }
        }
        if kept.is_empty() {
            return Err(Error::Data(format!(
                "{file}: no guide is left: {empty} have no reads and {few} fewer than {} in control; check `control`, or lower \
                 `min_count`",
                self.min_count
            )));
        }
        let p = self.pseudocount;
        let ratios: Vec<Vec<f64>> = (0..treated.len())
            .map(|t| {
                let ratio = |row: usize| {
                    let control = match self.paired {
                        true => of_control[t][row] / s_control[t],
                        false => of_control.iter().zip(s_control).map(|(c, s)| c[row] / s).sum::<f64>() / n_control,
                    };
                    ((treated[t][row] / s_treated[t] + p) / (control + p)).log2()
                };
                kept.iter().map(|&row| ratio(row)).collect()
            })
            .collect();

        m.notes.push(self.of_sizes(&samples, &sizes));
        if empty + few > 0 {
            m.notes.push(format!(
                "{} of {} left out: {empty} without reads, {few} with fewer than {} in control",
                empty + few,
                counted(names.len(), "guide"),
                self.min_count
            ));
        }
        let spread: Vec<f64> = (0..kept.len())
            .filter(|&k| is_control[kept[k]])
            .map(|k| mean(&ratios.iter().map(|r| r[k]).collect::<Vec<_>>()))
            .collect();
        if !spread.is_empty() {
            m.notes.push(format!(
                "{} of control ({}): log2 ratio {:.3} (median), {:.3} (standard deviation)",
                counted(spread.len(), "guide"),
                listed(control, 3),
                quantile(&spread, 0.5),
                if spread.len() > 1 { sd(&spread) } else { 0.0 }
            ));
        }
        let names = kept.iter().map(|&row| in_order(&names[row], control));
        let by_gene = ByGene::new(names, &ratios, self.summary);
        let labels = if treated.len() > 1 { &self.treatment.0[..] } else { &[] };
        by_gene.put(m, separator, labels)
    }

    /// All samples, the treated ones first.
    fn samples(&self) -> Result<Vec<&str>> {
        let wrong = |what: String| Err(Error::Config(what));
        let (treated, control) = (&self.treatment.0, &self.control.0);
        for (key, list) in [("treatment", treated), ("control", control)] {
            if list.is_empty() {
                return wrong(format!("`{key}` of `counts` names no sample; name at least one column"));
            }
        }
        let samples: Vec<&str> = treated.iter().chain(control).map(String::as_str).collect();
        if let Some(k) = (1..samples.len()).find(|&k| samples[..k].contains(&samples[k])) {
            return wrong(format!("`counts` names the sample {} twice; name each once", samples[k]));
        }
        if self.paired && treated.len() != control.len() {
            return wrong(format!(
                "`counts` pairs {} with {} of control; give as many, or leave out `paired`",
                counted(treated.len(), "treated sample"),
                control.len()
            ));
        }
        if !(self.pseudocount > 0.0 && self.pseudocount.is_finite()) {
            return wrong(format!("`pseudocount` is {}; it must be above 0, such as 1", self.pseudocount));
        }
        if !(self.min_count >= 0.0 && self.min_count.is_finite()) {
            return wrong(format!("`min_count` is {}; it must not be negative", self.min_count));
        }
        Ok(samples)
    }

    /// What the reads of each sample are divided by.
    fn sizes(&self, samples: &[&str], reads: &[Vec<f64>], is_control: &[bool]) -> Result<Vec<f64>> {
        let totals: Vec<f64> = reads.iter().map(|c| c.iter().sum()).collect();
        if let Some(k) = totals.iter().position(|t| *t == 0.0) {
            return Err(Error::Data(format!("sample {} has no reads; leave it out of `counts`", samples[k])));
        }
        let mean_total = mean(&totals);
        match self.normalise {
            Normalise::None => return Ok(vec![1.0; reads.len()]),
            Normalise::Total => return Ok(totals.into_iter().map(|t| t / mean_total).collect()),
            Normalise::Median | Normalise::Control => {}
        }
        let among_control = self.normalise == Normalise::Control;
        let mut away: Vec<Vec<f64>> = vec![vec![]; reads.len()];
        for row in (0..is_control.len()).filter(|&row| !among_control || is_control[row]) {
            let logs: Vec<f64> = reads.iter().map(|c| c[row].ln()).collect();
            if logs.iter().all(|l| l.is_finite()) {
                let centre = mean(&logs);
                away.iter_mut().zip(logs).for_each(|(a, l)| a.push(l - centre));
            }
        }
        if away[0].is_empty() {
            let (which, remedy) = match (among_control, is_control.contains(&true)) {
                (true, false) => ("no row is of control", "name the guides without a target as `control`, or"),
                (true, true) => ("no guide of control has reads in every sample", "leave out the poorest sample, or"),
                _ => ("no guide has reads in every sample", "leave out the poorest sample, or"),
            };
            return Err(Error::Data(format!("{which}; {remedy} set normalise = \"total\" in `counts`")));
        }
        Ok(away.iter().map(|a| quantile(a, 0.5).exp()).collect())
    }

    fn of_sizes(&self, samples: &[&str], sizes: &[f64]) -> String {
        let how = match self.normalise {
            Normalise::Median => "medians of ratios",
            Normalise::Control => "medians of ratios of the guides of control",
            Normalise::Total => "total reads",
            Normalise::None => return "reads are taken as they are".into(),
        };
        let sizes: Vec<String> = samples.iter().zip(sizes).map(|(n, s)| format!("{n} {s:.3}")).collect();
        format!("reads are divided by sizes from {how}: {}", listed(&sizes, 8))
    }
}

/// The names of a row as a key: in alphabetical order, and all names of control one, at the end.
fn in_order(names: &[String], control: &[String]) -> Vec<String> {
    let (of_control, mut genes): (Vec<&String>, Vec<&String>) = names.iter().partition(|n| control.contains(n));
    genes.sort_unstable();
    genes.into_iter().cloned().chain(of_control.iter().map(|_| control[0].clone())).collect()
}

/// Effects of genes, from those of their guides.
pub(super) struct ByGene {
    names: Vec<Vec<String>>,
    guides: Vec<i64>,
    /// Replicates x genes.
    values: Vec<Vec<f64>>,
    /// Absent where no gene has two guides that differ.
    errors: Option<Vec<f64>>,
    /// Genes whose error is the pooled one.
    pooled: usize,
}

impl ByGene {
    /// From the genes of each guide, and the replicates x guides of their effects.
    pub(super) fn new(names: impl Iterator<Item = Vec<String>>, effects: &[Vec<f64>], summary: Summary) -> Self {
        let mut at: HashMap<Vec<String>, usize> = HashMap::new();
        let mut all: Vec<(Vec<String>, Vec<usize>)> = vec![];
        for (guide, name) in names.enumerate() {
            let next = all.len();
            let at = *at.entry(name.clone()).or_insert(next);
            if at == next {
                all.push((name, vec![]));
            }
            all[at].1.push(guide);
        }
        let of = |guides: &[usize], x: &[f64]| guides.iter().map(|&g| x[g]).collect::<Vec<f64>>();
        let values = effects.iter().map(|x| all.iter().map(|a| summary.of(&of(&a.1, x))).collect()).collect();
        let n_guides = effects.first().map_or(0, Vec::len);
        let means: Vec<f64> = (0..n_guides).map(|g| mean(&effects.iter().map(|x| x[g]).collect::<Vec<_>>())).collect();
        let spread: Vec<f64> = all.iter().map(|a| if a.1.len() > 1 { sd(&of(&a.1, &means)) } else { 0.0 }).collect();
        let freedom = |a: &(Vec<String>, Vec<usize>)| (a.1.len() - 1) as f64;
        let squares: f64 = all.iter().zip(&spread).map(|(a, s)| freedom(a) * s * s).sum();
        let pooled = (squares / all.iter().map(freedom).sum::<f64>()).sqrt();
        let known = pooled > 0.0 && pooled.is_finite();
        let error = |(a, s): (&(Vec<String>, Vec<usize>), &f64)| {
            let s = if *s > 0.0 { *s } else { pooled };
            summary.error() * s / (a.1.len() as f64).sqrt()
        };
        Self {
            errors: known.then(|| all.iter().zip(&spread).map(error).collect()),
            pooled: spread.iter().filter(|s| **s == 0.0).count(),
            guides: all.iter().map(|a| a.1.len() as i64).collect(),
            values,
            names: all.into_iter().map(|a| a.0).collect(),
        }
    }

    /// Puts the genes in place of the guides; `replicates` names the columns of replicates, if they are kept.
    pub(super) fn put(self, m: &mut Measurements, separator: Option<&str>, replicates: &[String]) -> Result<()> {
        let n = self.names.len();
        let mut table: Table = m.table.emptied();
        genes::write(&mut table, &m.genes, &self.names, separator)?;
        let of = |g: usize| mean(&self.values.iter().map(|v| v[g]).collect::<Vec<_>>());
        table.push(RATIO, Column::Number((0..n).map(of).collect()))?;
        let few = self.guides.iter().filter(|g| **g == 1).count();
        let average = self.guides.iter().sum::<i64>() as f64 / n as f64;
        let mut note = format!("{} from {average:.1} guides each on average", counted(n, "row"));
        match self.errors {
            Some(errors) => {
                table.push(SD, Column::Number(errors))?;
                m.sd = Some(SD.into());
                if self.pooled > 0 {
                    note += &format!(
                        "; {} with one guide, or guides that agree, {} the error that is usual for a guide",
                        self.pooled,
                        if self.pooled == 1 { "takes" } else { "take" }
                    );
                }
            }
            None if few == n => note += "; none has two guides, so that no error is known",
            None => note += "; guides of one gene all agree, so that no error is known",
        }
        m.notes.push(note);
        table.push(GUIDES, Column::Integer(self.guides))?;
        for (name, values) in replicates.iter().zip(self.values) {
            table.push(name, Column::Number(values))?;
        }
        m.table = Arc::new(table);
        m.values = vec![RATIO.into()];
        m.replicates = replicates.to_vec();
        Ok(())
    }
}
