//! Kernels of gene sets made of a kernel of genes, so that every rule and model of kernels works on pairs and triples.
//!
//! With k(g, h) on single genes and S, T two sets:
//!
//! - "sum": Σ_{g in S} Σ_{h in T} k(g, h), that of a sum of functions of one gene;
//! - "product": perm(k[S, T]) / m! for sets of m genes each, 0 for sets of different sizes: symmetrised tensor products,
//!   that is functions of all genes together that do not know their order;
//! - "anova" (default): Σ_m w_m Σ_{A in S, B in T, |A| = |B| = m} perm(k[A, B]) / m!, effects of one gene, of two, and so on.
//!
//! All are positive definite where k is. A gene that a set names twice counts twice. The Gram matrix of the genes is held (8 bytes
//! for each pair of genes); an entry costs order² lookups for sums and, for sets of at most three genes, 2 to 18 products
//! more.

use framework::numerics::GramSource;
use framework::prelude::*;
use framework::serde_json::{self, json};
use rayon::prelude::*;
use std::sync::Arc;

/// Most genes whose matrix is held: 2 GB.
const MOST: usize = 16_384;
/// Most genes of a set.
const ORDER: usize = 6;

/// Sum, product or ANOVA kernel over the genes of a perturbation, from any kernel of single genes.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetKernel {
    /// The kernel of genes, as a table with `use`; it sees the prior features of each gene. Default: inner products.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
    /// How genes combine: "anova" (default), "sum" or "product".
    #[serde(default)]
    pub form: Form,
    /// Weights of effects of one gene, of two, and so on, for "anova"; default 1 for all orders of the pool.
    #[serde(default)]
    pub weights: Vec<f64>,
    /// Whether the kernel of genes is divided by its mean diagonal first, so that orders are of one size; default true.
    #[serde(default = "yes")]
    pub scale: bool,
}

/// How genes combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Effects of one gene, of two, and so on.
    #[default]
    Anova,
    /// Effects of one gene.
    Sum,
    /// Effects of all genes together.
    Product,
}

fn yes() -> bool {
    true
}

#[typetag::serde(name = "set_kernel")]
impl Kernel for SetKernel {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let pool = cx.inputs.pool();
        let (genes, order) = (pool.genes(), pool.max_order());
        if genes.len() > MOST || order > ORDER {
            return Err(Error::Config(format!(
                "set_kernel: {} genes in sets of up to {order}; it holds the matrix of at most {MOST} genes, for sets of at most \
                 {ORDER}",
                genes.len()
            )));
        }
        if self.weights.iter().any(|w| !(*w >= 0.0 && w.is_finite())) {
            return Err(Error::Config("set_kernel: `weights` must be numbers not below 0".into()));
        }
        let linear;
        let of = match &self.of {
            Some(k) => k,
            None => {
                linear = serde_json::from_value::<Box<dyn Kernel>>(json!({ "use": "linear" }))
                    .map_err(|e| Error::Config(format!("set_kernel: the linear kernel cannot be built: {e}")))?;
                &linear
            }
        };
        // The same priors over single genes; nothing measured, no model: what these know is of sets.
        let single = Arc::new(Pool::singles(genes.clone()));
        let inputs = Arc::new(Inputs::new(single, cx.inputs.blocks().to_vec(), Compose::Sum)?);
        let observed = Observed::empty(cx.observed.n_outputs());
        let streams = cx.streams.child("genes");
        let all: Vec<usize> = (0..genes.len()).collect();
        let mut k = of.gram(&KernelContext::new(&inputs, &observed, &streams))?.to_dense(&all);
        let mean = k.diag().sum() / genes.len().max(1) as f64;
        if self.scale {
            if !(mean > 0.0 && mean.is_finite()) {
                return Err(Error::Numerical(format!(
                    "set_kernel divides the kernel of genes by its mean diagonal, which is {mean}; check the features, or set \
                     scale = false"
                )));
            }
            k /= mean;
        }
        let weights = match self.form {
            Form::Sum => vec![1.0],
            Form::Product => vec![],
            Form::Anova if self.weights.is_empty() => vec![1.0; order],
            Form::Anova => self.weights.clone(),
        };
        Ok(Gram::new(Sets { pool: pool.clone(), ids: None, k: Arc::new(k), weights: Arc::new(weights) }))
    }

    fn keeps_psd(&self) -> bool {
        self.of.as_ref().is_none_or(|k| k.keeps_psd())
    }

    fn needs(&self) -> Abilities {
        self.of.as_ref().map_or(Abilities::of([Ability::Features]), |k| k.needs())
    }
}

struct Sets {
    pool: Arc<Pool>,
    /// Perturbation of each position; absent: all.
    ids: Option<Arc<Vec<usize>>>,
    /// Of genes.
    k: Arc<Array2<f64>>,
    /// Of the orders; empty for products of all genes.
    weights: Arc<Vec<f64>>,
}

impl Sets {
    /// The genes of a position.
    fn genes(&self, i: usize) -> ([usize; ORDER], usize) {
        let id = self.ids.as_ref().map_or(i, |ids| ids[i]);
        self.pool.with_genes(id, |g| {
            let mut out = [0; ORDER];
            out.iter_mut().zip(g).for_each(|(o, g)| *o = g.index());
            (out, g.len())
        })
    }

    fn entry(&self, s: &[usize], t: &[usize]) -> f64 {
        if self.weights.is_empty() {
            return if s.len() == t.len() { symmetric(&self.k, s, t) } else { 0.0 };
        }
        let mut sum = 0.0;
        for (m, w) in (1..).zip(&*self.weights).filter(|(m, w)| **w > 0.0 && *m <= s.len().min(t.len())) {
            if m == 1 {
                sum += w * s.iter().map(|g| t.iter().map(|h| self.k[(*g, *h)]).sum::<f64>()).sum::<f64>();
            } else {
                let (of_s, of_t) = (subsets(s, m), subsets(t, m));
                sum += w * of_s.iter().map(|a| of_t.iter().map(|b| symmetric(&self.k, a, b)).sum::<f64>()).sum::<f64>();
            }
        }
        sum
    }
}

/// All subsets of `m` places.
fn subsets(s: &[usize], m: usize) -> Vec<Vec<usize>> {
    if m == s.len() {
        return vec![s.to_vec()];
    }
    let of = |bits: &u32| (0..s.len()).filter(|i| bits >> i & 1 == 1).map(|i| s[i]).collect();
    (0..1u32 << s.len()).filter(|bits| bits.count_ones() as usize == m).map(|bits| of(&bits)).collect()
}

/// perm(k[S, T]) / m!, by expansion along the first gene.
fn symmetric(k: &Array2<f64>, s: &[usize], t: &[usize]) -> f64 {
    match (s, t) {
        ([a, b], [c, d]) => 0.5 * (k[(*a, *c)] * k[(*b, *d)] + k[(*a, *d)] * k[(*b, *c)]),
        ([], _) => 1.0,
        ([first, rest @ ..], _) => {
            let without = |j: usize| t.iter().enumerate().filter(|(i, _)| *i != j).map(|(_, h)| *h).collect::<Vec<_>>();
            let sum: f64 = (0..t.len()).map(|j| k[(*first, t[j])] * symmetric(k, rest, &without(j))).sum();
            sum / t.len() as f64
        }
    }
}

impl GramSource for Sets {
    fn n(&self) -> usize {
        self.ids.as_ref().map_or(self.pool.len(), |ids| ids.len())
    }

    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        let of = |i: &usize| {
            let (g, n) = self.genes(*i);
            self.entry(&g[..n], &g[..n])
        };
        ids.par_iter().map(of).collect()
    }

    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        let columns: Vec<_> = b.iter().map(|i| self.genes(*i)).collect();
        let mut out = Array2::zeros((a.len(), b.len()));
        out.axis_iter_mut(Axis(0)).into_par_iter().zip(a).for_each(|(mut row, i)| {
            let (s, n) = self.genes(*i);
            row.iter_mut().zip(&columns).for_each(|(v, (t, m))| *v = self.entry(&s[..n], &t[..*m]));
        });
        out
    }

    fn restrict(&self, ids: &[usize]) -> Gram {
        let ids = ids.iter().map(|i| self.ids.as_ref().map_or(*i, |of| of[*i])).collect();
        let (pool, k, weights) = (self.pool.clone(), self.k.clone(), self.weights.clone());
        Gram::new(Sets { pool, ids: Some(Arc::new(ids)), k, weights })
    }
}

framework::register!(
    Kernel,
    SetKernel,
    "set_kernel",
    "sum, product or ANOVA kernel over the genes of a perturbation",
    example = |_| json!({ "form": "anova" })
);

#[cfg(test)]
mod tests {
    use super::*;

    fn world(n: usize) -> (Arc<Inputs>, Array2<f64>) {
        let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).unwrap());
        let mut sets = vec![];
        for i in 0..n as u32 {
            sets.push(vec![i]);
            for j in i..n as u32 {
                sets.push(vec![i, j]);
                sets.extend((j + 1..n as u32).map(|k| vec![i, j, k]));
            }
        }
        let list = sets.iter().map(|s| Perturbation::new(s.iter().map(|g| Gene(*g))));
        let pool = Pool::list(genes, list).unwrap();
        let x = Array2::from_shape_fn((n, 3), |(i, j)| ((i * 3 + j) as f64 * 1.7).sin());
        let block = Block::new("x", x.clone(), vec![true; n]).unwrap();
        (Arc::new(Inputs::new(Arc::new(pool), vec![Arc::new(block)], Compose::Sum).unwrap()), x)
    }

    fn gram(form: Form, weights: Vec<f64>, inputs: &Arc<Inputs>) -> Gram {
        let (observed, streams) = (Observed::empty(1), Streams::new(1));
        let kernel = SetKernel { of: None, form, weights, scale: false };
        kernel.gram(&KernelContext::new(inputs, &observed, &streams)).unwrap()
    }

    /// Features of the tensor product, averaged over all orders of the genes.
    fn tensor(x: &Array2<f64>, set: &[usize]) -> Vec<f64> {
        let orders: Vec<Vec<usize>> = match set.len() {
            1 => vec![vec![0]],
            2 => vec![vec![0, 1], vec![1, 0]],
            _ => [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].map(|o| o.to_vec()).to_vec(),
        };
        let d = x.ncols();
        let mut out = vec![0.0; d.pow(set.len() as u32)];
        for o in &orders {
            for (at, v) in out.iter_mut().enumerate() {
                let mut rest = at;
                let mut value = 1.0;
                for place in o {
                    value *= x[(set[*place], rest % d)];
                    rest /= d;
                }
                *v += value / orders.len() as f64;
            }
        }
        out
    }

    #[test]
    fn entries_are_inner_products_of_explicit_features() {
        let (inputs, x) = world(5);
        let n = inputs.pool().len();
        let sets: Vec<Vec<usize>> =
            (0..n).map(|i| inputs.pool().with_genes(i, |g| g.iter().map(|g| g.index()).collect())).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let all: Vec<usize> = (0..n).collect();
        let weights = [0.5, 2.0, 3.0];
        let (sum, product) = (gram(Form::Sum, vec![], &inputs), gram(Form::Product, vec![], &inputs));
        let anova = gram(Form::Anova, weights.to_vec(), &inputs).to_dense(&all);
        let (sum, product) = (sum.to_dense(&all), product.to_dense(&all));
        let linear = inputs.features(&all);
        // Each order's features: the sum over subsets of the symmetric tensors.
        let features = |s: &[usize], m: usize| {
            let mut out = vec![0.0; x.ncols().pow(m as u32)];
            for subset in (0..1u32 << s.len()).filter(|b| b.count_ones() as usize == m) {
                let part: Vec<usize> = (0..s.len()).filter(|i| subset >> i & 1 == 1).map(|i| s[i]).collect();
                out.iter_mut().zip(tensor(&x, &part)).for_each(|(o, v)| *o += v);
            }
            out
        };
        for i in 0..n {
            for j in 0..n {
                let (s, t) = (&sets[i], &sets[j]);
                assert!((sum[(i, j)] - linear.row(i).dot(&linear.row(j))).abs() < 1e-12);
                let same = s.len() == t.len();
                let want = if same { dot(&tensor(&x, s), &tensor(&x, t)) } else { 0.0 };
                assert!((product[(i, j)] - want).abs() < 1e-12, "{s:?} {t:?}: {} {want}", product[(i, j)]);
                let want: f64 =
                    (1..=s.len().min(t.len())).map(|m| weights[m - 1] * dot(&features(s, m), &features(t, m))).sum();
                assert!((anova[(i, j)] - want).abs() < 1e-12, "{s:?} {t:?}: {} {want}", anova[(i, j)]);
            }
        }
        let (values, _) = framework::numerics::eigh(anova.view()).unwrap();
        assert!(values[0] > -1e-10);
    }

    #[test]
    fn parts_and_scale_agree_with_the_whole() {
        let (inputs, x) = world(6);
        let g = gram(Form::Anova, vec![], &inputs);
        let some = [4, 30, 11];
        let part = g.restrict(&some);
        let whole = g.block(&some, &some);
        assert_eq!(part.to_dense(&[0, 1, 2]), whole);
        assert_eq!(part.restrict(&[2]).diagonal(&[0]), g.diagonal(&[11]));
        let (observed, streams) = (Observed::empty(1), Streams::new(1));
        let cx = KernelContext::new(&inputs, &observed, &streams);
        let scaled = SetKernel { scale: true, form: Form::Sum, ..SetKernel::default() }.gram(&cx).unwrap();
        let mean = x.outer_iter().map(|r| r.dot(&r)).sum::<f64>() / 6.0;
        let plain = gram(Form::Sum, vec![], &inputs);
        assert!((scaled.diagonal(&[9])[0] * mean - plain.diagonal(&[9])[0]).abs() < 1e-12);
        let radial: SetKernel = serde_json::from_value(json!({ "of": { "use": "rbf" }, "form": "product" })).unwrap();
        // Unit diagonal of single genes: a set with itself has at least the share of the one order that matches.
        let d = radial.gram(&cx).unwrap().diagonal(&(0..inputs.pool().len()).collect::<Vec<_>>());
        assert!(d.iter().all(|v| *v <= 1.0 + 1e-12 && *v >= 1.0 / 6.0), "{d:?}");
        let bad = SetKernel { weights: vec![-1.0], ..SetKernel::default() };
        assert!(bad.gram(&cx).unwrap_err().to_string().contains("not below 0"));
    }
}
