//! Samples from a file.

use super::file::{SampleFile, Scale};
use super::loaded::Loaded;
use crate::data::DataRoot;
use crate::domain::{Labels, Samples};
use crate::error::{Error, Result, counted, listed};
use crate::measured::GuideMap;
use ndarray::Array2;
use numerics::memory::Limit;
use std::collections::BTreeSet;
use std::path::Path;
use table::FeatureChoice;

/// 8 GB.
const MOST: Limit = Limit::singles(1 << 31);

/// What a file holds, before its rows become classes.
struct Contents {
    /// Samples x features.
    x: Array2<f32>,
    /// By sample.
    labels: Vec<Option<String>>,
    /// By sample.
    unit: Option<Vec<Option<String>>>,
    features: Vec<String>,
    /// What was left out by `only`.
    notes: Vec<String>,
}

impl SampleFile {
    pub(super) fn read(&self, data: &DataRoot) -> Result<Loaded> {
        let path = data.path(&self.path);
        if self.labels.is_empty() || self.separator.is_empty() {
            return Err(Error::Config(
                "samples need at least one column of `labels` and a `separator` that is not empty".into(),
            ));
        }
        let mut contents = match cells::form(&path) {
            cells::Form::Other => self.read_table(data, &path)?,
            _ => self.read_cells(&path)?,
        };
        let at = |e: Error| e.at(path.display().to_string());
        let mut notes = std::mem::take(&mut contents.notes);
        if let Some(map) = &self.guides {
            notes.push(self.name_by_genes(&mut contents.labels, map, data).map_err(at)?);
        }
        let kept: Vec<usize> = (0..contents.labels.len()).filter(|r| contents.labels[*r].is_some()).collect();
        let dropped = contents.labels.len() - kept.len();
        if dropped > 0 && self.only.is_empty() && self.guides.is_none() {
            notes.push(format!(
                "{dropped} {} no label in `{}` and {} left out",
                if dropped == 1 { "sample has" } else { "samples have" },
                self.labels.join("`, `"),
                if dropped == 1 { "is" } else { "are" }
            ));
        }
        let labels: Vec<String> = kept.iter().filter_map(|r| contents.labels[*r].clone()).collect();
        let unit = match (&contents.unit, &self.unit) {
            (Some(u), Some(column)) => {
                let of = |r: &usize| {
                    u[*r].clone().ok_or_else(|| {
                        Error::Data(format!("sample {} has no value in `{column}`, the column of units", r + 1))
                    })
                };
                Some(kept.iter().map(of).collect::<Result<Vec<_>>>().map_err(at)?)
            }
            _ => None,
        };
        let mut x = if dropped > 0 { contents.x.select(ndarray::Axis(0), &kept) } else { contents.x };
        if let Some(((row, column), v)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(at(Error::Data(format!(
                "sample {}, feature {} is {v}; values must be finite: fill it in, or leave the sample or the feature out",
                kept[row] + 1,
                column + 1
            ))));
        }
        if self.scale == Scale::Control {
            let control =
                |l: &String| l.split(&self.separator).all(|part| self.control.iter().any(|c| c == part.trim()));
            let rows: Vec<usize> = (0..labels.len()).filter(|r| control(&labels[*r])).collect();
            let mut constant = 0;
            for mut column in x.columns_mut() {
                let values: Vec<f64> = rows.iter().map(|r| f64::from(column[*r])).collect();
                let sd = numerics::stats::sd(&values);
                if sd > 0.0 {
                    column.mapv_inplace(|v| (f64::from(v) / sd) as f32);
                } else {
                    constant += 1;
                    column.fill(0.0);
                }
            }
            if constant > 0 {
                notes.push(format!("{constant} features do not vary over control and are left out"));
            }
        }
        let rules = Labels { control: self.control.clone(), separator: self.separator.clone() };
        let grouped = Samples::group(&x, &labels, &rules, unit.as_deref()).map_err(at)?;
        let s = &grouped.samples;
        notes.push(format!(
            "{} samples of {} features: {} of control, {} genes alone, {} pairs to test{}",
            x.nrows(),
            x.ncols(),
            s.control.len(),
            s.singles.len(),
            s.pairs.len(),
            match grouped.left_out.len() {
                0 => String::new(),
                n => format!("; {n} labels cannot be tested (column not_tested says why)"),
            }
        ));
        Ok(Loaded {
            samples: grouped.samples,
            relations: None,
            known: None,
            left_out: grouped.left_out,
            features: contents.features,
            notes,
        })
    }

    /// Puts the genes of guides into the labels, and takes away the labels of guides that the table lacks.
    fn name_by_genes(&self, labels: &mut [Option<String>], map: &GuideMap, data: &DataRoot) -> Result<String> {
        let genes = map.genes(data)?;
        let mut unknown = BTreeSet::new();
        let (mut known, mut lost) = (0, 0);
        for slot in labels.iter_mut().filter(|l| l.is_some()) {
            let label = slot.take().unwrap_or_default();
            let parts = label.split(&self.separator).map(str::trim).map(|guide| match genes.get(guide) {
                Some(genes) => Ok(genes.join(&self.separator)),
                None if self.control.iter().any(|c| c == guide) => Ok(guide.to_string()),
                None => Err(guide.to_string()),
            });
            match parts.collect::<Result<Vec<String>, String>>() {
                Ok(parts) => {
                    known += 1;
                    *slot = Some(parts.join(&self.separator));
                }
                Err(guide) => {
                    lost += 1;
                    unknown.insert(guide);
                }
            }
        }
        let file = data.path(&map.path);
        if known == 0 {
            return Err(Error::Data(format!(
                "no sample is labelled with guides of {} (`{}` here); check the columns of labels and of guides",
                file.display(),
                unknown.first().map_or("", String::as_str)
            )));
        }
        let unknown: Vec<String> = unknown.into_iter().collect();
        Ok(match lost {
            0 => format!("labels are guides of {}", file.display()),
            _ => format!(
                "labels are guides of {}; {} of {} that it lacks left out: {}",
                file.display(),
                counted(lost, "sample"),
                counted(unknown.len(), "guide"),
                listed(&unknown, 5)
            ),
        })
    }

    /// Takes away the labels of samples that are not asked for.
    fn keep_only(
        &self,
        path: &Path,
        labels: &mut [Option<String>],
        texts: impl Fn(&str) -> Result<Vec<Option<String>>>,
    ) -> Result<Vec<String>> {
        self.only.iter().map(|(column, value)| Ok(cells::only(path, labels, column, &texts(column)?, value)?)).collect()
    }

    fn read_table(&self, data: &DataRoot, path: &Path) -> Result<Contents> {
        let t = data.table(&self.path)?;
        let mut notes = t.notes().to_vec();
        let named = self.labels.iter().map(|c| t.text_or_missing(c)).collect::<Result<Vec<_>, _>>()?;
        let label = |row: usize| {
            let parts: Option<Vec<&str>> = named.iter().map(|c| c[row].as_deref()).collect();
            parts.map(|p| p.join(&self.separator))
        };
        let mut labels: Vec<Option<String>> = (0..t.height()).map(label).collect();
        notes.extend(self.keep_only(path, &mut labels, |c| Ok(t.text_or_missing(c)?))?);
        let unit = self.unit.as_ref().map(|column| t.text_or_missing(column)).transpose()?;
        let choice = FeatureChoice { columns: self.columns.clone().unwrap_or_default(), exclude: self.exclude.clone() };
        let roles: Vec<&str> = self.labels.iter().chain(&self.unit).map(String::as_str).collect();
        let chosen = choice.of(&t, &roles)?;
        notes.extend(chosen.lines());
        check_size(path, t.height(), chosen.names.len())?;
        let mut x = Array2::zeros((t.height(), chosen.names.len()));
        for (j, values) in t.all_numbers(&chosen.names, false)?.into_iter().enumerate() {
            x.column_mut(j).iter_mut().zip(values).for_each(|(x, v)| *x = v as f32);
        }
        Ok(Contents { x, labels, unit, features: chosen.names, notes })
    }

    fn read_cells(&self, path: &Path) -> Result<Contents> {
        let file = cells::open(path, &cells::Options { layer: self.layer.clone(), ..Default::default() })?;
        let named = self.labels.iter().map(|c| file.column(c)).collect::<Result<Vec<_>, _>>()?;
        let label = |cell: usize| {
            let parts: Option<Vec<&str>> = named.iter().map(|c| c[cell].as_deref()).collect();
            parts.map(|p| p.join(&self.separator))
        };
        let mut labels: Vec<Option<String>> = (0..file.n_cells()).map(label).collect();
        let notes = self.keep_only(path, &mut labels, |c| Ok(file.column(c)?))?;
        let unit = self.unit.as_ref().map(|c| file.column(c)).transpose()?;
        let genes = file.genes();
        let keep: Vec<usize> = match &self.columns {
            Some(f) => f
                .iter()
                .map(|name| {
                    genes.iter().position(|g| g == name).ok_or_else(|| {
                        let near = crate::error::hint(name, genes.iter().map(String::as_str));
                        Error::Data(format!("{}: no gene `{name}`{near}", path.display()))
                    })
                })
                .collect::<Result<_>>()?,
            None => (0..genes.len()).filter(|g| !self.exclude.iter().any(|e| table::fits(e, &genes[*g]))).collect(),
        };
        check_size(path, file.n_cells(), keep.len())?;
        let mut place = vec![None; genes.len()];
        keep.iter().enumerate().for_each(|(j, g)| place[*g] = Some(j));
        let mut x = Array2::zeros((file.n_cells(), keep.len()));
        file.entries::<Error>(|cell, gene, v| {
            let Some(j) = place[gene] else { return Ok(()) };
            if x[[cell, j]] != 0.0 {
                return Err(Error::Data(format!(
                    "{}: cell {} lists gene {} twice; merge entries in Python (adata.X.sum_duplicates()) and write it \
                     again",
                    path.display(),
                    cell + 1,
                    genes[gene]
                )));
            }
            x[[cell, j]] = v as f32;
            Ok(())
        })?;
        let features = keep.iter().map(|&g| genes[g].clone()).collect();
        Ok(Contents { x, labels, unit, features, notes })
    }
}

fn check_size(path: &Path, rows: usize, columns: usize) -> Result<()> {
    MOST.check(&[rows, columns]).map_err(|size| {
        Error::Data(format!(
            "{}: {rows} samples x {columns} features take {size}; name fewer `columns`, or reduce them beforehand",
            path.display()
        ))
    })
}
