//! Samples of a screen by perturbation, as tests of interaction see them.

use super::readout::Cells;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayViewMut2};
use numerics::samples::{Class, Design, SampleSource};
use std::collections::{BTreeMap, HashMap};

impl SampleSource for Cells {
    fn len(&self) -> usize {
        self.x.nrows()
    }

    fn n_features(&self) -> usize {
        self.x.ncols()
    }

    fn rows(&self, at: &[usize], mut out: ArrayViewMut2<f32>) -> numerics::Result<()> {
        at.iter().zip(out.outer_iter_mut()).for_each(|(i, mut row)| row.assign(&self.x.row(*i)));
        Ok(())
    }

    fn held(&self) -> Option<&Array2<f32>> {
        Some(&self.x)
    }
}

/// A double perturbation with its samples.
#[derive(Clone)]
pub struct PairClass {
    /// Gene number of the first.
    pub first: usize,
    /// Gene number of the second.
    pub second: usize,
    /// Samples of both together.
    pub both: Class,
}

/// Samples of control, of single genes and of pairs. A pair's four classes are control, its two singles and itself;
/// control and singles are shared by all pairs.
#[derive(Clone)]
pub struct Samples {
    /// Names of the genes.
    pub genes: Vec<String>,
    /// Unperturbed samples.
    pub control: Class,
    /// Samples of each gene alone.
    pub singles: Vec<Class>,
    /// The pairs to test.
    pub pairs: Vec<PairClass>,
    /// Channels, rows and columns, where a sample is an image.
    pub image: Option<[usize; 3]>,
}

impl Samples {
    /// Number of classes: control, singles, pairs, in this order.
    pub fn n_classes(&self) -> usize {
        1 + self.singles.len() + self.pairs.len()
    }

    /// A class by its number: 0 control, then singles, then pairs.
    pub fn class(&self, c: usize) -> &Class {
        match c.checked_sub(1) {
            None => &self.control,
            Some(g) if g < self.singles.len() => &self.singles[g],
            Some(p) => &self.pairs[p - self.singles.len()].both,
        }
    }

    /// Class numbers of control, first, second and both of a pair.
    pub fn four(&self, pair: usize) -> [usize; 4] {
        let p = &self.pairs[pair];
        [0, 1 + p.first, 1 + p.second, 1 + self.singles.len() + pair]
    }

    /// The classes of a pair: control, first, second, both.
    pub fn classes(&self, pair: usize) -> [&Class; 4] {
        self.four(pair).map(|c| self.class(c))
    }

    /// Sample sizes of the four classes of a pair.
    pub fn sizes(&self, pair: usize) -> [usize; 4] {
        self.classes(pair).map(Class::len)
    }

    /// What a class is called in messages.
    pub fn name(&self, c: usize) -> String {
        match c.checked_sub(1) {
            None => "control".into(),
            Some(g) if g < self.singles.len() => self.genes[g].clone(),
            Some(p) => self.label(p - self.singles.len()),
        }
    }

    /// The two genes of a pair, joined by `+`.
    pub fn label(&self, pair: usize) -> String {
        let p = &self.pairs[pair];
        format!("{}+{}", self.genes[p.first], self.genes[p.second])
    }

    /// Numbers that make up a sample.
    pub fn n_features(&self) -> usize {
        self.control.n_features()
    }

    /// Errors unless all classes have samples, equal width and finite values, and units cover them.
    pub fn check(&self) -> Result<()> {
        let d = self.n_features();
        for c in 0..self.n_classes() {
            let (class, name) = (self.class(c), self.name(c));
            if class.is_empty() || class.n_features() != d || d == 0 {
                return Err(Error::Data(format!(
                    "`{name}` has {} samples of {} features; every class needs samples of {d} features",
                    class.len(),
                    class.n_features()
                )));
            }
            if class.unit.as_ref().is_some_and(|u| u.len() != class.len()) {
                return Err(Error::Data(format!("`{name}` has {} samples and units for another number", class.len())));
            }
            let held = class.in_memory().and_then(|x| x.indexed_iter().find(|(_, v)| !v.is_finite()));
            if let Some(((row, column), v)) = held {
                return Err(Error::Data(format!(
                    "`{name}` holds the value {v} (its sample {}, feature {}); values must be finite: fill it in, or \
                     leave the sample out",
                    row + 1,
                    column + 1
                )));
            }
        }
        Ok(())
    }

    /// The same samples with only some pairs.
    pub fn with_pairs(&self, pairs: &[usize]) -> Self {
        Self { pairs: pairs.iter().map(|p| self.pairs[*p].clone()).collect(), ..self.clone() }
    }

    /// Sorts the rows of a table (samples x features) into classes by their labels.
    pub fn group(x: &Array2<f32>, labels: &[String], rules: &Labels, unit: Option<&[String]>) -> Result<Grouped> {
        let mut genes: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rows: HashMap<Vec<&str>, Vec<usize>> = HashMap::new();
        let mut more = BTreeMap::new();
        for (row, label) in labels.iter().enumerate() {
            let mut parts: Vec<&str> = label.split(&rules.separator).map(str::trim).collect();
            parts.retain(|p| !rules.control.iter().any(|c| c == p));
            if parts.iter().any(|p| p.is_empty()) {
                return Err(Error::Data(format!(
                    "row {}: the label `{label}` has an empty part; labels are a gene, two genes joined by `{}`, or \
                     control",
                    row + 1,
                    rules.separator
                )));
            }
            if parts.len() > 2 {
                *more.entry(label.clone()).or_insert(0usize) += 1;
                continue;
            }
            parts.sort_unstable();
            genes.extend(parts.iter().map(|p| (*p, 0)));
            rows.entry(parts).or_default().push(row);
        }
        let Some(control) = rows.remove(&vec![]) else {
            let known: Vec<&str> = labels.iter().map(String::as_str).collect();
            let named = rules.control.first().map_or("", String::as_str);
            return Err(Error::Data(format!(
                "no sample is labelled as control (`{}`){}; name the label of unperturbed samples with --control",
                rules.control.join("`, `"),
                crate::error::hint(named, known.into_iter())
            )));
        };
        let units: HashMap<&str, u32> = match unit {
            Some(u) => {
                let distinct: std::collections::BTreeSet<&str> = u.iter().map(String::as_str).collect();
                distinct.into_iter().zip(0..).collect()
            }
            None => HashMap::new(),
        };
        let class = |rows: &[usize]| {
            let class = Class::held(x.select(ndarray::Axis(0), rows));
            match unit {
                Some(u) => class.with_units(rows.iter().map(|r| units[u[*r].as_str()]).collect()),
                None => class,
            }
        };
        let mut left_out: Vec<(String, String)> =
            more.into_iter().map(|(l, n)| (l, format!("{n} samples of more than two genes"))).collect();
        let mut names = Vec::new();
        let mut singles = Vec::new();
        for (gene, at) in &mut genes {
            if let Some(rows) = rows.get(&vec![*gene]) {
                *at = names.len();
                names.push(gene.to_string());
                singles.push(class(rows));
            }
        }
        let mut doubles: Vec<(&Vec<&str>, &Vec<usize>)> = rows.iter().filter(|(k, _)| k.len() == 2).collect();
        doubles.sort_unstable();
        let mut pairs = Vec::new();
        for (key, rows) in doubles {
            if key[0] == key[1] {
                left_out.push((key.join("+"), "the same gene twice".into()));
                continue;
            }
            let missing: Vec<&str> = key
                .iter()
                .copied()
                .filter(|g| genes.get(g).is_none_or(|at| names.get(*at).map(String::as_str) != Some(*g)))
                .collect();
            if !missing.is_empty() {
                left_out.push((key.join("+"), format!("no samples of {} alone", missing.join(" and "))));
                continue;
            }
            pairs.push(PairClass { first: genes[key[0]], second: genes[key[1]], both: class(rows) });
        }
        if pairs.is_empty() {
            let why = left_out.first().map_or(String::new(), |(l, why)| format!(" ({l}: {why})"));
            return Err(Error::Data(format!(
                "no pair can be tested{why}: it takes samples labelled with two genes joined by `{}` and samples of \
                 each of the two alone; see --separator and --labels",
                rules.separator
            )));
        }
        let samples = Samples { genes: names, control: class(&control), singles, pairs, image: None };
        samples.check()?;
        Ok(Grouped { samples, left_out })
    }
}

impl Design for Samples {
    fn n_classes(&self) -> usize {
        self.n_classes()
    }
    fn n_shared(&self) -> usize {
        1 + self.singles.len()
    }
    fn class(&self, c: usize) -> &Class {
        self.class(c)
    }
    fn four(&self, pair: usize) -> [usize; 4] {
        self.four(pair)
    }
    fn name(&self, c: usize) -> String {
        self.name(c)
    }
    fn n_features(&self) -> usize {
        self.n_features()
    }
}

/// How labels name perturbations.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// Words for an unperturbed sample; they also fill the other half of a single perturbation (`A+control`).
    pub control: Vec<String>,
    /// What joins two genes.
    pub separator: String,
}

/// Samples, and what could not become part of them.
pub struct Grouped {
    /// The classes and pairs.
    pub samples: Samples,
    /// Labels that are not tested, each with the reason.
    pub left_out: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(labels: &[&str], unit: Option<&[&str]>) -> Result<Grouped> {
        let x = Array2::from_shape_fn((labels.len(), 2), |(i, j)| (10 * i + j) as f32);
        let owned = |t: &[&str]| t.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let rules = Labels { control: vec!["ctrl".into(), "NT".into()], separator: "+".into() };
        Samples::group(&x, &owned(labels), &rules, unit.map(owned).as_deref())
    }

    #[test]
    fn labels_become_classes() {
        let g = group(
            &["B+A", "ctrl", "A", "B + NT", "A+B", "NT+ctrl", "C+A", "A+B+D", "Z"],
            Some(&["w2", "w1", "w1", "w1", "w1", "w1", "w1", "w1", "w1"]),
        )
        .unwrap();
        let s = &g.samples;
        assert_eq!((s.genes.join(" "), s.pairs.len(), s.label(0)), ("A B Z".into(), 1, "A+B".into()));
        assert_eq!(s.sizes(0), [2, 1, 1, 2]);
        assert_eq!(s.four(0), [0, 1, 2, 4]);
        assert_eq!(s.pairs[0].both.x().unwrap().column(0).to_vec(), [0.0, 40.0]);
        assert_eq!(s.pairs[0].both.unit.as_deref(), Some(&[1, 0][..]));
        assert_eq!((s.pairs[0].both.n_units(), s.control.n_units()), (2, 1));
        let why: Vec<String> = g.left_out.iter().map(|(l, w)| format!("{l}: {w}")).collect();
        assert_eq!(why, ["A+B+D: 1 samples of more than two genes", "A+C: no samples of C alone"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = |l: &[&str]| group(l, None).map(|_| ()).unwrap_err().to_string();
        assert!(text(&["A", "B", "A+B", "cntrl"]).contains("no sample is labelled as control"));
        assert!(text(&["A", "ctrl", "A+B"]).contains("A+B: no samples of B alone"));
        assert!(text(&["A", "ctrl", "A++B"]).contains("empty part"));
    }
}
