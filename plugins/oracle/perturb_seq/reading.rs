//! From a file to an opened screen: which cells and genes are used, and what each cell is.

use super::input::Input;
use super::profiles::Profiles;
use super::values::{Spread, ValueCheck, gather};
use super::{CellNoise, PerturbSeq};
use framework::domain::Control;
use framework::prelude::*;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// What a cell is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Class {
    Unused,
    Control,
    Perturbed(u32),
}

impl PerturbSeq {
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

    pub(super) fn read(&self, setup: &Setup) -> Result<Profiles> {
        let path = setup.data.path(&self.path);
        let is_table = framework::cells::form(&path) == framework::cells::Form::Other;
        self.check(is_table)?;
        let input = self.input(setup, &path, is_table)?;
        let data = |what: String| Error::Data(format!("{}: {what}", path.display()));
        no_duplicates(input.matrix.genes()).map_err(|names| {
            data(format!(
                "gene names occur twice: {names}; make them unique in Python (adata.var_names_make_unique()) or name a \
                 column of unique names in `gene_column`"
            ))
        })?;
        let mut notes = input.notes.clone();

        // What each cell is; perturbations in the order of their names.
        let parts: Vec<Option<Vec<&str>>> = input
            .label
            .iter()
            .map(|l| l.as_deref().map(str::trim).filter(|l| !l.is_empty()).map(|l| self.parts(l)).transpose())
            .collect::<Result<_>>()?;
        let sets: BTreeSet<&[&str]> = parts.iter().flatten().map(Vec::as_slice).collect();
        if !sets.contains(&[][..]) && !self.differences {
            let known: BTreeSet<&str> = input.label.iter().flatten().map(String::as_str).collect();
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
        if unlabelled > 0 && self.only.is_empty() {
            notes.push(format!("{unlabelled} of {} cells have no label and were left out", class.len()));
        }
        let (lane, lane_names) = self.lanes(&input, &class, &path)?;

        // Raw counts: totals of cells, and what the values look like.
        let n_genes = input.matrix.genes().len();
        let mut check = ValueCheck::new();
        let mut total = vec![0.0f64; if self.counts { class.len() } else { 0 }];
        let place = |cell: usize, gene: usize| format!("cell {}, gene {}", cell + 1, input.matrix.genes()[gene]);
        let mut spread = Spread::new(if self.genes.is_some() { n_genes } else { 0 });
        let min_cells = self.min_cells.unwrap_or(if is_table { 1 } else { 10 });
        if !self.counts {
            drop_small(&mut class, &sets, min_cells, &mut notes);
        }
        input.matrix.entries(|cell, gene, v| {
            if !v.is_finite() {
                return Err(data(format!("{} is {v}; values must be finite", place(cell, gene))));
            }
            check.add(cell, v);
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
        if let Some(warning) = check.warning(self) {
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
            input.matrix.entries(|cell, gene, v| {
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
        let keep = self.kept_genes(setup, input.matrix.genes(), &spread, used, &targets, &mut notes)?;
        let cells = gather(&input.matrix, &class, &keep, check.ordered, value, data)?;
        let outputs: Vec<String> = keep.iter().map(|&g| input.matrix.genes()[g].clone()).collect();

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
    fn lanes(&self, input: &Input, class: &[Class], path: &Path) -> Result<(Vec<u32>, Vec<String>)> {
        let (Some(column), Some(name)) = (&input.lane, &self.lane) else {
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

/// The first few names and how many more there are.
pub(super) fn listed(names: impl ExactSizeIterator<Item = impl AsRef<str>>) -> String {
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
