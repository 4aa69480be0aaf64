//! Farthest point first (core-set, k-centre greedy): the next pick is argmax over candidates x of the
//! smallest squared kernel distance to what is measured or chosen. Sener and Savarese 2018; BMDAL
//! `maxdist`; IterPert is this rule on a fused kernel. Cost O((measured + batch) x candidates) kernel
//! entries; with features of width d, one product for the measured and one row of products a pick.

use framework::ndarray::s;
use framework::numerics::linalg::{matmul_t, sq_norms, times_vector};
use framework::prelude::*;

/// Where distances start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// From the measured perturbations.
    #[default]
    Tp,
    /// From nothing: only the pool matters.
    P,
}

/// k-centre greedy on the scenario's kernel.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxDist {
    /// `tp` starts from the measured perturbations, `p` from nothing (its first pick is the candidate of
    /// largest k(x, x)).
    #[serde(default)]
    pub mode: Mode,
}

#[typetag::serde(name = "max_dist")]
impl Acquisition for MaxDist {
    fn needs(&self) -> Needs {
        Needs { gram: true, ..Needs::default() }
    }

    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let ids = cx.candidates.to_vec();
        let mut measured = match self.mode {
            Mode::Tp => cx.observed.ids.clone(),
            Mode::P => vec![],
        };
        measured.sort_unstable();
        measured.dedup();
        let n = ids.len();
        let all: Vec<usize> = ids.iter().chain(&measured).copied().collect();
        let gram = cx.gram()?.restrict(&all);
        let mut field = Field::new(&gram, n)?;
        field.add_measured();
        let mut batch = Batch::default();
        let mut taken = vec![false; n];
        while batch.ids.len() < cx.batch() {
            // Before there is any centre, the first is the candidate of largest k(x, x).
            let scores = if field.started { &field.nearest } else { &field.diagonal };
            let mut best: Option<(usize, f64)> = None;
            for (i, &s) in scores[..n].iter().enumerate() {
                if s > best.map_or(f64::NEG_INFINITY, |b| b.1) && !taken[i] {
                    best = Some((i, s));
                }
            }
            match best {
                Some((i, s)) if s > 0.0 => {
                    taken[i] = true;
                    batch.ids.push(ids[i]);
                    batch.scores.push(s);
                    field.add(i);
                }
                _ => {
                    fill(cx, &ids, &mut taken, &mut batch);
                    break;
                }
            }
        }
        Ok(batch)
    }
}

/// Fills the batch at random when nothing is left to choose by: all distances are zero.
fn fill(cx: &RunContext, ids: &[usize], taken: &mut [bool], batch: &mut Batch) {
    let missing = cx.batch() - batch.ids.len();
    let left: Vec<usize> = (0..ids.len()).filter(|&i| !taken[i]).collect();
    let among = Candidates::new(left.len(), vec![]);
    for k in among.sample(missing, &mut cx.rng("fill")) {
        taken[left[k]] = true;
        batch.ids.push(ids[left[k]]);
        batch.scores.push(0.0);
    }
    cx.record("filled", missing as f64);
}

/// Squared distance of every candidate to its nearest centre. Positions `0..n` of the Gram matrix are
/// candidates, the rest are measured.
struct Field<'a> {
    gram: &'a Gram,
    n: usize,
    /// k(x, x) of all positions.
    diagonal: Vec<f64>,
    /// Feature rows moved to their mean, and their squared norms, where the kernel is held so: distances
    /// do not change when the origin moves, and lose no digits near it.
    features: Option<(Array2<f64>, Vec<f64>)>,
    nearest: Vec<f64>,
    row: Vec<f64>,
    started: bool,
}

impl<'a> Field<'a> {
    fn new(gram: &'a Gram, n: usize) -> Result<Self> {
        let all: Vec<usize> = (0..gram.n()).collect();
        let diagonal = gram.diagonal(&all);
        if let Some(i) = diagonal.iter().position(|v| !v.is_finite() || *v < 0.0) {
            return Err(Error::Numerical(format!(
                "the kernel's diagonal holds {} (entry {i}); it must be finite and not negative",
                diagonal[i]
            )));
        }
        let features = gram.features().map(|x| {
            let mean = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
            let x = &x - &mean;
            let norms = sq_norms(x.view());
            (x, norms)
        });
        Ok(Self { gram, n, diagonal, features, nearest: vec![f64::INFINITY; n], row: vec![0.0; gram.n()], started: false })
    }

    /// Adds all measured perturbations as centres: with features, as one product.
    fn add_measured(&mut self) {
        let total = self.gram.n();
        if total == self.n {
            return;
        }
        self.started = true;
        match &self.features {
            None => (self.n..total).for_each(|c| self.add(c)),
            Some((x, norms)) => {
                let centres = x.slice(s![self.n.., ..]);
                const TILE: usize = 1024;
                for start in (0..self.n).step_by(TILE) {
                    let end = (start + TILE).min(self.n);
                    let products = matmul_t(x.slice(s![start..end, ..]), centres);
                    for (i, row) in (start..end).zip(products.outer_iter()) {
                        let mut least = f64::INFINITY;
                        for (p, c) in row.iter().zip(&norms[self.n..]) {
                            least = least.min(c - 2.0 * p);
                        }
                        self.nearest[i] = (norms[i] + least).max(0.0);
                    }
                }
            }
        }
    }

    /// Adds one centre: one row of the kernel, then an elementwise minimum.
    fn add(&mut self, centre: usize) {
        let squares = match &self.features {
            Some((x, norms)) => {
                times_vector(x.slice(s![..self.n, ..]), x.row(centre), &mut self.row[..self.n]);
                norms
            }
            None => {
                self.gram.row(centre, &mut self.row);
                &self.diagonal
            }
        };
        let own = squares[centre];
        for ((near, p), d) in self.nearest.iter_mut().zip(&self.row).zip(squares) {
            *near = near.min((own + d - 2.0 * p).max(0.0));
        }
        if centre < self.n {
            // Rounding may leave a chosen point at a tiny distance from itself.
            self.nearest[centre] = 0.0;
        }
        self.started = true;
    }
}

framework::register!(Acquisition, MaxDist, "max_dist", "farthest point first from what is measured (core-set)");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;
    use std::sync::Arc;

    /// A pool with the given feature rows, some of them measured.
    fn select(x: Array2<f64>, measured: &[usize], batch: usize, mode: Mode) -> (Batch, Vec<(String, f64)>) {
        let genes = Arc::new(Genes::new((0..x.nrows()).map(|i| format!("g{i}"))).unwrap());
        let n = x.nrows();
        let block = Block::new("x", x, vec![true; n]).unwrap();
        let inputs = Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap());
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(measured, Array2::zeros((measured.len(), 1))), 0).unwrap();
        let candidates = Candidates::new(n, measured.to_vec());
        let round = Round { index: 1, of: 1, batch };
        let cx = RunContext::new(round, Target::default(), &inputs, &candidates, &observed, None, None, Streams::new(1));
        let b = MaxDist { mode }.select(&cx).unwrap();
        (b, cx.into_recorded())
    }

    #[test]
    fn points_on_a_line() {
        let x = framework::ndarray::array![[0.0], [1.0], [4.0], [10.0]];
        let (b, _) = select(x.clone(), &[0], 3, Mode::Tp);
        assert_eq!(b, Batch { ids: vec![3, 2, 1], scores: vec![100.0, 16.0, 1.0] });
        let (b, _) = select(x, &[], 4, Mode::P);
        assert_eq!(b.ids, [3, 0, 2, 1]);
    }

    #[test]
    fn equal_points_fill_at_random_and_say_so() {
        let (b, recorded) = select(Array2::ones((6, 2)), &[0], 3, Mode::Tp);
        assert_eq!(b.ids.len(), 3);
        assert_eq!(recorded, [("filled".to_string(), 3.0)]);
    }

    #[test]
    fn features_and_any_other_form_agree_with_brute_force() {
        let world = TinyWorld::new(60, 5, 1, false, 4).unwrap();
        let x = world.inputs.features(&(0..60).collect::<Vec<_>>());
        let (b, _) = select(x.clone(), &[7, 3], 10, Mode::Tp);
        let mut centres = vec![7, 3];
        for &pick in &b.ids {
            let far = |i: usize| {
                let d = |c: &usize| (&x.row(i) - &x.row(*c)).mapv(|v| v * v).sum();
                centres.iter().map(d).fold(f64::INFINITY, f64::min)
            };
            let want = (0..60).max_by(|&a, &b| far(a).total_cmp(&far(b)).then(b.cmp(&a))).unwrap();
            assert_eq!(pick, want);
            centres.push(pick);
        }
    }

    #[derive(serde::Deserialize)]
    struct Golden {
        pool: Vec<Vec<f64>>,
        train: Vec<Vec<f64>>,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        base_kernel: String,
        transforms: Vec<serde_json::Value>,
        method: String,
        options: std::collections::BTreeMap<String, serde_json::Value>,
        batch: usize,
        selected: Vec<usize>,
    }

    #[test]
    fn golden_sequences() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/select_a.json");
        let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let n = golden.pool.len();
        let flat: Vec<f64> = golden.pool.iter().chain(&golden.train).flatten().copied().collect();
        let x = Array2::from_shape_vec((n + golden.train.len(), golden.pool[0].len()), flat).unwrap();
        let measured: Vec<usize> = (n..x.nrows()).collect();
        let mut seen = 0;
        for c in golden.cases.iter().filter(|c| c.method == "maxdist" && c.base_kernel == "linear" && c.transforms.is_empty()) {
            let (x, mode, measured) = match c.options["sel_with_train"].as_bool() {
                Some(true) => (x.clone(), Mode::Tp, measured.as_slice()),
                _ => (x.slice(s![..n, ..]).to_owned(), Mode::P, [].as_slice()),
            };
            assert_eq!(select(x, measured, c.batch, mode).0.ids, c.selected, "{mode:?}");
            seen += 1;
        }
        assert!(seen >= 2, "{seen} golden cases");
    }
}
