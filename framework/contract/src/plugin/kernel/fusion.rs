//! What all fusions share: which kernels they fuse, how these are made comparable, and what is done when the
//! result is not positive semidefinite. A fusion plugin holds the four settings as its own fields (so that they
//! are listed with it) and hands them over as [`Sources`].

use super::{Kernel, KernelContext};
use crate::domain::Observed;
use crate::error::{Error, Result};
use crate::plugin::{Abilities, Ability};
use ndarray::{Array2, Axis};
use numerics::{FeatureGram, Gram, Normalise, Rows, Sum, eigh};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// What is done when a fused kernel is not positive semidefinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Nothing: distance rules take negative squared distances for 0, and `smallest_eigenvalue` is recorded.
    #[default]
    None,
    /// The nearest positive semidefinite matrix (negative eigenvalues become 0); up to 3,000 measured
    /// perturbations and candidates, O(n³).
    Clip,
    /// An error.
    Refuse,
}

/// Above this many perturbations a matrix is not decomposed.
const CLIPPED: usize = 3000;
const LOOKED_AT: usize = 2000;

/// The settings that all fusions share, borrowed from the plugin.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// How kernels are made comparable, by their matrix over measured perturbations and candidates.
    pub normalise: Normalise,
    /// The kernel of each prior's own features; absent: inner products.
    pub each: Option<&'a dyn Kernel>,
    /// Kernels fused beside the priors; absent: the model's predictions.
    pub with: Option<&'a [Box<dyn Kernel>]>,
    /// See [`Repair`].
    pub repair: Repair,
}

/// One kernel of a fusion, normalised.
#[derive(Clone, Debug)]
pub struct Source {
    /// The prior's name, or the kernel's.
    pub name: String,
    /// Its matrix.
    pub gram: Gram,
    /// Whether it is known to be positive semidefinite.
    pub psd: bool,
}

/// The kernel of model predictions, by its name in the catalogue: plugins are not known here.
fn prediction() -> Result<Box<dyn Kernel>> {
    serde_json::from_value(serde_json::json!({ "use": "prediction" })).map_err(|_| {
        Error::Unsupported(
            "a fusion takes in the model by the kernel `prediction` and none is linked in; name kernels in `with`, or \
             set with = [] for the priors alone"
                .into(),
        )
    })
}

impl<'a> Sources<'a> {
    /// What a fusion of these asks of the scenario.
    pub fn needs(&self) -> Abilities {
        let with = match self.with {
            Some(list) => list.iter().map(|k| k.needs()).collect(),
            None => prediction().map_or(Abilities::of([Ability::Model]), |k| k.needs()),
        };
        // Which priors are active is known only in a run; without other kernels one must be.
        let own = self.each.map_or(Abilities::NONE, |k| k.needs()).without(Ability::Features);
        let alone = self.with.is_some_and(<[_]>::is_empty);
        (with | own).with_if(Ability::Features, alone)
    }

    /// Whether every kernel is positive semidefinite whatever the input.
    pub fn keep_psd(&self) -> bool {
        self.normalise != Normalise::MinMax
            && self.each.is_none_or(|k| k.keeps_psd())
            && self.with.is_none_or(|list| list.iter().all(|k| k.keeps_psd()))
    }

    /// The kernels, normalised: one of each active prior, then those beside them.
    pub fn grams(&self, cx: &KernelContext) -> Result<Vec<Source>> {
        let mut found: Vec<(String, Gram, bool)> = Vec::new();
        for (b, block) in cx.inputs.blocks().iter().enumerate() {
            let inputs = Arc::new(cx.inputs.only(&[b]));
            let (gram, psd) = match self.each {
                None => (FeatureGram::linear(Rows::Made(inputs)).into(), true),
                Some(k) => {
                    let streams = cx.streams.child(&block.name);
                    let cx = KernelContext { inputs: &inputs, input: None, streams: &streams, ..*cx };
                    (k.gram(&cx)?, k.keeps_psd())
                }
            };
            found.push((block.name.clone(), gram, psd));
        }
        let default;
        let with = match self.with {
            Some(list) => list,
            None => {
                default = [prediction()?];
                &default
            }
        };
        for (i, k) in with.iter().enumerate() {
            let form = serde_json::to_value(k).map_err(|e| Error::Plugin(e.to_string()))?;
            let name = form["use"].as_str().unwrap_or("kernel").to_string();
            let streams = cx.streams.child("with").index(i);
            found.push((name, k.gram(&KernelContext { input: None, streams: &streams, ..*cx })?, k.keeps_psd()));
        }
        if found.is_empty() {
            return Err(Error::Config(
                "a fusion of no kernels: no prior is active and `with` is empty; add a [prior.NAME] section or name a \
                 kernel in `with`"
                    .into(),
            ));
        }
        let scope = cx.scope();
        let mut used: HashMap<String, usize> = HashMap::new();
        found
            .into_iter()
            .map(|(name, gram, psd)| {
                let (gram, psd) = self.normalise.apply(&gram, &scope, psd).map_err(|e| match e {
                    numerics::Error::Breakdown(_) => Error::from(e).at(format!("kernel `{name}`")),
                    other => other.into(),
                })?;
                let n = used.entry(name.clone()).or_default();
                *n += 1;
                let name = if *n == 1 { name } else { format!("{name} {n}") };
                Ok(Source { name, gram, psd })
            })
            .collect()
    }

    /// The weighted sum of kernels, with each weight recorded as `weight NAME` and, as `weights_from_data`,
    /// whether they were chosen by the measurements; without weights, the mean.
    pub fn weighted(&self, cx: &KernelContext, sources: Vec<Source>, weights: Option<Vec<f64>>) -> Result<Gram> {
        cx.record("weights_from_data", f64::from(u8::from(weights.is_some())));
        let mean = sources.len() as f64;
        let weights = weights.unwrap_or_else(|| vec![mean.recip(); sources.len()]);
        let psd = sources.iter().zip(&weights).all(|(s, w)| *w >= 0.0 && (s.psd || *w == 0.0));
        for (s, w) in sources.iter().zip(&weights) {
            cx.record(&format!("weight {}", s.name), *w);
        }
        // A kernel without weight is not read again.
        let terms = sources.into_iter().zip(weights).filter(|(_, w)| *w != 0.0).map(|(s, w)| (w, s.gram)).collect();
        self.finish(cx, Gram::new(Sum::new(terms)?), psd)
    }

    /// Looks at a fused kernel that may not be positive semidefinite: records its `smallest_eigenvalue` (over the
    /// measured perturbations, or over these and the candidates up to 2,000), and repairs it as asked.
    pub fn finish(&self, cx: &KernelContext, gram: Gram, psd: bool) -> Result<Gram> {
        if psd {
            return Ok(gram);
        }
        let scope = cx.scope();
        let train = cx.train();
        let clip = self.repair == Repair::Clip;
        if clip && scope.len() > CLIPPED {
            return Err(Error::Config(format!(
                "repair = \"clip\" decomposes the matrix of {} measured perturbations and candidates; it is allowed up \
                 to {CLIPPED}; use repair = \"none\" with a rule of distances, or weights that are not negative",
                scope.len()
            )));
        }
        let looked_at = if clip || scope.len() <= LOOKED_AT { &scope } else { &train };
        if looked_at.is_empty() || looked_at.len() > CLIPPED {
            return Ok(gram);
        }
        let k = gram.to_dense(looked_at);
        if k.iter().any(|v| !v.is_finite()) {
            return Err(Error::Numerical("a fused kernel holds entries that are not finite; check its sources".into()));
        }
        let (values, vectors) = eigh(k.view())?;
        let (smallest, largest) = (values[0], values[values.len() - 1]);
        cx.record("smallest_eigenvalue", smallest);
        let rounding = 1e-12 * looked_at.len() as f64 * largest.abs().max(-smallest);
        if smallest >= -rounding {
            return Ok(gram);
        }
        match self.repair {
            Repair::None => Ok(gram),
            Repair::Refuse => Err(Error::Numerical(format!(
                "the fused kernel is not positive semidefinite: its smallest eigenvalue is {smallest:.3e}, its largest \
                 {largest:.3e}; set repair = \"clip\", or choose a fusion without negative weights or maxima"
            ))),
            Repair::Clip => {
                let kept: Vec<usize> = (0..values.len()).filter(|&e| values[e] > 0.0).collect();
                let mut x = Array2::from_elem((gram.n(), kept.len().max(1)), f64::NAN);
                for (r, &id) in looked_at.iter().enumerate() {
                    let mut row = x.row_mut(id);
                    row.fill(0.0);
                    row.iter_mut().zip(&kept).for_each(|(o, &e)| *o = vectors[(r, e)] * values[e].sqrt());
                }
                Ok(FeatureGram::linear(Rows::Held(Arc::new(x))).into())
            }
        }
    }
}

/// The mean readout of each measured perturbation over its replicates, in the order of their first measurement:
/// distinct perturbations x outputs.
pub fn mean_readouts(observed: &Observed) -> Array2<f64> {
    let ids = observed.distinct();
    let place: HashMap<usize, usize> = ids.iter().copied().zip(0..).collect();
    let mut mean = Array2::<f64>::zeros((ids.len(), observed.n_outputs()));
    let mut count = vec![0.0; ids.len()];
    for (id, row) in observed.ids.iter().zip(observed.y.outer_iter()) {
        if let Some(&p) = place.get(id) {
            count[p] += 1.0;
            mean.row_mut(p).zip_mut_with(&row, |m, v| *m += v);
        }
    }
    mean.outer_iter_mut().zip(count).for_each(|(mut row, c)| row /= c);
    mean
}

/// What fusions that fit a Gaussian process to the measurements need: the kernels over at most 1,000 measured
/// rows (evenly spaced where there are more, so that a round's cost is bounded), and their readouts less the mean,
/// with mean square 1. Nothing before three rows are measured or where all readouts agree.
pub fn gp_problem(cx: &KernelContext, sources: &[Source]) -> Option<(Vec<Array2<f64>>, Array2<f64>)> {
    const MOST: usize = 1000;
    let n = cx.observed.len();
    if n < 3 {
        return None;
    }
    let rows: Vec<usize> = if n <= MOST { (0..n).collect() } else { (0..MOST).map(|i| i * n / MOST).collect() };
    let ids: Vec<usize> = rows.iter().map(|&r| cx.observed.ids[r]).collect();
    let y = cx.observed.y.select(Axis(0), &rows);
    let mut y = &y - &y.mean_axis(Axis(0))?;
    let size = (y.iter().map(|v| v * v).sum::<f64>() / y.len() as f64).sqrt();
    if size.is_nan() || size <= 0.0 {
        return None;
    }
    y /= size;
    Some((sources.iter().map(|s| s.gram.to_dense(&ids)).collect(), y))
}

/// Minimises a function of the matrix A = Σ wₘ Kₘ + v I over weights and noise, all positive, in their logarithms
/// by L-BFGS from three starts; the lowest of them, the first of several. `f` gives its value at A and the
/// symmetric matrix of its derivatives by the entries of A. Weights are divided by their sum; the second answer is
/// noise v over that sum. Nothing where no start has a value.
pub fn fit_weights(
    kernels: &[Array2<f64>],
    f: impl Fn(&Array2<f64>) -> Option<(f64, Array2<f64>)>,
) -> Option<(Vec<f64>, f64)> {
    // Far beyond any fit, and safe to exponentiate.
    const FARTHEST: f64 = 30.0;
    let m = kernels.len();
    let n = kernels.first()?.nrows();
    let unit: Vec<f64> = kernels.iter().map(|k| (k.diag().sum() / n as f64).max(f64::MIN_POSITIVE)).collect();
    // Weights in units of each kernel's mean diagonal, so that starts and steps mean the same for all.
    let value = |t: &[f64], gradient: &mut [f64]| -> f64 {
        if t.iter().any(|v| v.abs() > FARTHEST) {
            return f64::INFINITY;
        }
        let mut a = Array2::<f64>::zeros((n, n));
        for ((k, t), u) in kernels.iter().zip(t).zip(&unit) {
            a.scaled_add(t.exp() / u, k);
        }
        a.diag_mut().iter_mut().for_each(|v| *v += t[m].exp());
        let Some((value, by_entry)) = f(&a) else { return f64::INFINITY };
        for i in 0..m {
            gradient[i] = t[i].exp() / unit[i] * numerics::gram::normalise::dot(&by_entry, &kernels[i]);
        }
        gradient[m] = t[m].exp() * by_entry.diag().sum();
        value
    };
    let mut best: Option<(Vec<f64>, f64)> = None;
    // Equal weights with little, as much, and ten times as much noise as signal.
    for noise in [0.1f64, 1.0, 10.0] {
        let mut start = vec![-(m as f64).ln(); m + 1];
        start[m] = noise.ln();
        let found = numerics::lbfgs(value, &start, 1e-6, 200);
        if let Some(found) = found.filter(|f| best.as_ref().is_none_or(|b| f.1 < b.1)) {
            best = Some(found);
        }
    }
    let (t, _) = best?;
    let weights: Vec<f64> = t[..m].iter().zip(&unit).map(|(t, u)| t.exp() / u).collect();
    let sum: f64 = weights.iter().sum();
    (sum > 0.0 && sum.is_finite()).then(|| (weights.iter().map(|w| w / sum).collect(), t[m].exp() / sum))
}
