//! The bilinear model of principal components: change of output v under perturbation p = g_vᵀ W p + m_v.
//!
//! Training profiles X = x̄ 1ᵀ + C (outputs x perturbations; x̄ the control mean, C the readouts, repeats averaged).
//! G (outputs x K) are the scores of the K leading principal components of X with perturbations as variables, that
//! is of X with its columns centred. The vector p of a perturbation is the sum of the rows of G that belong to its
//! genes. With m the row means of C over the perturbations that have a vector and P their vectors as columns,
//! W = (GᵀG + λI)⁻¹ Gᵀ(C - m1ᵀ)Pᵀ (PPᵀ + λI)⁻¹: K x K numbers, not a ridge regression for each gene. After
//! Ahlmann-Eltze, Huber & Anders (Nature Methods 2025). The control profile itself is no training column.
//!
//! Cost O(min(L, n)² max(L, n)) for the components, O(L n K) for the rest.

use framework::numerics::{eigh, matmul, matmul_t, symmetric_product};
use framework::prelude::*;
use std::sync::Arc;

/// Predicts profiles from the principal components of those measured. A perturbation with a gene that is not among
/// the outputs has no vector: it is left out of the fit (`bilinear_pca.dropped` counts them) and predicted as the
/// mean of those that were used.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BilinearPca {
    /// Number of components K; default 10.
    #[serde(default = "ten")]
    pub components: usize,
    /// Ridge penalty λ > 0 on both sides; default 0.1.
    #[serde(default = "tenth")]
    pub penalty: f64,
    /// An active prior whose rows stand for G; outputs whose gene the pool or the prior lacks are predicted as the
    /// mean. Absent: the components.
    #[serde(default)]
    pub gene_embedding: Option<String>,
    /// An active prior whose rows, summed over the genes of a perturbation, stand for p. Absent: the rows of G.
    #[serde(default)]
    pub perturbation_embedding: Option<String>,
}

fn ten() -> usize {
    10
}

fn tenth() -> f64 {
    0.1
}

impl Default for BilinearPca {
    fn default() -> Self {
        Self { components: ten(), penalty: tenth(), gene_embedding: None, perturbation_embedding: None }
    }
}

#[typetag::serde(name = "bilinear_pca")]
impl Model for BilinearPca {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        if self.components == 0 || !(self.penalty > 0.0 && self.penalty.is_finite()) {
            return Err(Error::Config(format!(
                "bilinear_pca: components = {} and penalty = {}; both must be positive numbers",
                self.components, self.penalty
            )));
        }
        let inputs = cx.inputs;
        let ids = cx.observed.distinct();
        let change = framework::plugin::mean_readouts(cx.observed);
        let output_of = inputs.output_of_genes();
        if inputs.control().is_none() && (self.perturbation_embedding.is_none() || self.gene_embedding.is_some()) {
            return Err(Error::Config(
                "bilinear_pca takes perturbations as rows of a matrix of gene scores, and this oracle does not say which \
                 output measures which gene; use an oracle of profiles, or name a prior in perturbation_embedding"
                    .into(),
            ));
        }

        let scores = match &self.gene_embedding {
            None => self.components_of(&change, inputs.control().map(|c| &c.mean))?,
            Some(name) => {
                let block = prior(inputs, name)?;
                let mut g = Array2::zeros((change.ncols(), block.x.ncols()));
                let covered = |gene: &usize| block.present[*gene];
                for (gene, output) in output_of.iter().enumerate().filter(|(gene, _)| covered(gene)) {
                    if let Some(o) = output {
                        g.row_mut(*o).assign(&block.x.row(gene));
                    }
                }
                g
            }
        };
        let vectors = match &self.perturbation_embedding {
            None => {
                let rows = output_of.iter().map(|o| o.map(|o| scores.row(o).to_owned()));
                rows.collect()
            }
            Some(name) => {
                let block = prior(inputs, name)?;
                (0..block.x.nrows()).map(|g| block.present[g].then(|| block.x.row(g).to_owned())).collect()
            }
        };
        let width = match &self.perturbation_embedding {
            None => scores.ncols(),
            Some(name) => prior(inputs, name)?.x.ncols(),
        };
        let mut fitted = Fitted {
            inputs: inputs.clone(),
            vectors,
            width,
            mean: Array1::zeros(0),
            map: Array2::zeros((0, 0)),
            used: 0,
            dropped: 0,
        };

        let used: Vec<usize> = (0..ids.len()).filter(|&i| fitted.vector(ids[i]).is_some()).collect();
        (fitted.used, fitted.dropped) = (used.len(), ids.len() - used.len());
        // Without any vector the mean of all that was measured is what is left.
        let c = if used.is_empty() { change } else { change.select(Axis(0), &used) };
        fitted.mean = c.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(c.ncols()));
        fitted.map = Array2::zeros((c.ncols(), width));
        if !used.is_empty() {
            let p = fitted.rows(&used.iter().map(|&i| ids[i]).collect::<Vec<_>>());
            let ridge = |x: &Array2<f64>| {
                Cholesky::new((symmetric_product(x.view()) + Array2::<f64>::eye(x.ncols()) * self.penalty).view())
            };
            // Here rows are perturbations: (C - m)ᵀ and Pᵀ.
            let cross = matmul(matmul((&c - &fitted.mean).view(), scores.view()).t(), p.view());
            let left = ridge(&scores)?.solve(cross.view());
            let w = ridge(&p)?.solve(left.t());
            fitted.map = matmul_t(scores.view(), w.view());
        }
        Ok(Box::new(fitted))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Embedding])
    }
}

/// The active prior of that name.
fn prior<'a>(inputs: &'a Inputs, name: &str) -> Result<&'a Arc<Block>> {
    inputs.blocks().iter().find(|b| b.name == name).ok_or_else(|| {
        let known: Vec<&str> = inputs.blocks().iter().map(|b| b.name.as_str()).collect();
        Error::Config(format!(
            "bilinear_pca: no prior `{name}` is active (active: {}){}",
            if known.is_empty() { "none".into() } else { known.join(", ") },
            framework::error::hint(name, known.iter().copied())
        ))
    })
}

impl BilinearPca {
    /// Scores of the leading components: outputs x K, from the changes (perturbations x outputs).
    fn components_of(&self, change: &Array2<f64>, control: Option<&Array1<f64>>) -> Result<Array2<f64>> {
        let mut x = change.clone();
        if let Some(control) = control {
            x += control;
        }
        for mut row in x.outer_iter_mut() {
            let mean = row.mean().unwrap_or(0.0);
            row -= mean;
        }
        let (n, l) = x.dim();
        let by_perturbation = n <= l;
        let (_, axes) =
            eigh(if by_perturbation { matmul_t(x.view(), x.view()) } else { symmetric_product(x.view()) }.view())?;
        let k = self.components.min(n.min(l));
        let order: Vec<usize> = (axes.ncols() - k..axes.ncols()).rev().collect();
        let leading = axes.select(Axis(1), &order);
        let mut scores = if by_perturbation {
            matmul(x.t(), leading.view())
        } else {
            // Left vectors: lengths come from projecting x on them.
            let lengths = matmul(x.view(), leading.view()).map_axis(Axis(0), |c| c.dot(&c).sqrt());
            leading * &lengths
        };
        // The sign of a component means nothing; the largest entry is made positive.
        for mut column in scores.columns_mut() {
            let largest = column.iter().fold(0.0f64, |m, v| if v.abs() > m.abs() { *v } else { m });
            if largest < 0.0 {
                column.mapv_inplace(|v| -v);
            }
        }
        Ok(scores)
    }
}

struct Fitted {
    inputs: Arc<Inputs>,
    /// The vector of each gene that has one.
    vectors: Vec<Option<Array1<f64>>>,
    width: usize,
    mean: Array1<f64>,
    /// G W: outputs x width.
    map: Array2<f64>,
    used: usize,
    dropped: usize,
}

impl Fitted {
    /// p, if every gene of the perturbation has a vector.
    fn vector(&self, id: usize) -> Option<Array1<f64>> {
        self.inputs.pool().with_genes(id, |genes| {
            let mut p = Array1::zeros(self.width);
            for g in genes {
                p += self.vectors[g.index()].as_ref()?;
            }
            Some(p)
        })
    }

    /// Vectors as rows; zeros where there is none, so that the mean is predicted.
    fn rows(&self, ids: &[usize]) -> Array2<f64> {
        let mut out = Array2::zeros((ids.len(), self.width));
        for (mut row, &id) in out.outer_iter_mut().zip(ids) {
            if let Some(p) = self.vector(id) {
                row.assign(&p);
            }
        }
        out
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let mean = matmul_t(self.rows(ids).view(), self.map.view()) + &self.mean;
        Ok(Posterior { mean, sd: None })
    }

    fn representation(&self) -> Option<&dyn Representation> {
        Some(self)
    }

    fn record(&self) -> Vec<(String, f64)> {
        vec![("bilinear_pca.used".into(), self.used as f64), ("bilinear_pca.dropped".into(), self.dropped as f64)]
    }
}

impl Representation for Fitted {
    /// The vectors p.
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        Ok(self.rows(ids))
    }
}

framework::register!(
    Model,
    BilinearPca,
    "bilinear_pca",
    "bilinear in principal components of profiles (Ahlmann-Eltze)",
    example = |_| framework::serde_json::json!({ "perturbation_embedding": "signal" })
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::Control;
    use rand_distr::{Distribution, StandardNormal};

    /// 9 perturbed genes of which the first 7 are among 12 outputs; pool of singles, or of listed pairs.
    fn world(pairs: bool, block: Option<Block>) -> (Arc<Inputs>, Array2<f64>, Array1<f64>) {
        let genes = Arc::new(Genes::new((0..9).map(|g| format!("g{g}"))).unwrap());
        let list = (0..9).flat_map(|i| (i + 1..9).map(move |j| Perturbation::new([Gene(i), Gene(j)])));
        let pool = Arc::new(if pairs { Pool::list(genes, list).unwrap() } else { Pool::singles(genes) });
        let mut rng = Streams::new(4).rng("x");
        let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
        let mean = Array1::from_shape_simple_fn(12, || 2.0 + draw());
        let truth = Array2::from_shape_simple_fn((pool.len(), 12), &mut draw);
        let outputs = (0..12).map(|o| if o < 7 { format!("g{o}") } else { format!("other{o}") }).collect();
        let control = Control { mean: mean.clone(), cells: None, outputs: Some(outputs) };
        let inputs = Inputs::new(pool, block.map(Arc::new).into_iter().collect(), Compose::Product).unwrap();
        (Arc::new(inputs.with_control(Some(Arc::new(control)))), truth, mean)
    }

    fn observe(truth: &Array2<f64>, ids: &[usize]) -> Observed {
        let mut observed = Observed::empty(truth.ncols());
        observed.push(&Readouts::plain(ids, truth.select(Axis(0), ids)), 0).unwrap();
        observed
    }

    fn fit(model: &BilinearPca, inputs: &Arc<Inputs>, observed: &Observed) -> Result<Box<dyn Surrogate>> {
        model.fit(&FitContext { inputs, observed, streams: &Streams::new(1) })
    }

    /// Inverse by Gauss-Jordan elimination.
    fn inverse(a: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let n = a.len();
        let mut m: Vec<Vec<f64>> =
            (0..n).map(|i| a[i].iter().copied().chain((0..n).map(|j| f64::from(u8::from(i == j)))).collect()).collect();
        for i in 0..n {
            let pivot = (i..n).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs())).unwrap();
            m.swap(i, pivot);
            let d = m[i][i];
            m[i].iter_mut().for_each(|v| *v /= d);
            for r in 0..n {
                if r != i {
                    let f = m[r][i];
                    let row = m[i].clone();
                    m[r].iter_mut().zip(row).for_each(|(v, p)| *v -= f * p);
                }
            }
        }
        m.into_iter().map(|r| r[n..].to_vec()).collect()
    }

    fn product(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let cell = |r: &Vec<f64>, j: usize| r.iter().zip(b).map(|(x, row)| x * row[j]).sum();
        a.iter().map(|r| (0..b[0].len()).map(|j| cell(r, j)).collect()).collect()
    }

    fn transpose(a: &[Vec<f64>]) -> Vec<Vec<f64>> {
        (0..a[0].len()).map(|j| a.iter().map(|r| r[j]).collect()).collect()
    }

    /// Principal component scores by power iteration with deflation on X Xᵀ of the column-centred L x n matrix.
    fn scores(x: &[Vec<f64>], k: usize) -> Vec<Vec<f64>> {
        let l = x.len();
        let mut centred = transpose(x);
        for column in &mut centred {
            let mean = column.iter().sum::<f64>() / l as f64;
            column.iter_mut().for_each(|v| *v -= mean);
        }
        let mut s = product(&transpose(&centred), &centred);
        let mut columns = Vec::new();
        for c in 0..k {
            let mut v: Vec<Vec<f64>> = (0..l).map(|i| vec![((i * 7 + c) as f64).sin()]).collect();
            let mut value = 0.0;
            for _ in 0..60_000 {
                let w = product(&s, &v);
                value = w.iter().map(|x| x[0] * x[0]).sum::<f64>().sqrt();
                v = w.into_iter().map(|x| vec![x[0] / value]).collect();
            }
            for i in 0..l {
                for j in 0..l {
                    s[i][j] -= value * v[i][0] * v[j][0];
                }
            }
            columns.push(v.iter().map(|x| x[0] * value.sqrt()).collect());
        }
        transpose(&columns)
    }

    /// The whole model with loops; p of a perturbation is the sum of rows of `vectors`.
    fn by_hand(
        inputs: &Inputs,
        truth: &Array2<f64>,
        mean: Option<&Array1<f64>>,
        measured: &[usize],
        k: usize,
        lambda: f64,
    ) -> Vec<Vec<f64>> {
        let l = truth.ncols();
        let offset = |o: usize| mean.map_or(0.0, |m| m[o]);
        let x: Vec<Vec<f64>> = (0..l).map(|o| measured.iter().map(|&i| truth[(i, o)] + offset(o)).collect()).collect();
        let g = scores(&x, k);
        let p_of = |id: usize| -> Option<Vec<f64>> {
            let genes: Vec<usize> = inputs.pool().get(id).genes().iter().map(|g| g.index()).collect();
            if genes.iter().any(|g| *g >= 7) {
                return None;
            }
            Some((0..k).map(|c| genes.iter().map(|&u| g[u][c]).sum()).collect())
        };
        let used: Vec<usize> = measured.iter().copied().filter(|i| p_of(*i).is_some()).collect();
        let m: Vec<f64> =
            (0..l).map(|o| used.iter().map(|&i| truth[(i, o)]).sum::<f64>() / used.len() as f64).collect();
        let c: Vec<Vec<f64>> = (0..l).map(|o| used.iter().map(|&i| truth[(i, o)] - m[o]).collect()).collect();
        let p = transpose(&used.iter().map(|&i| p_of(i).unwrap()).collect::<Vec<_>>());
        let ridge = |a: Vec<Vec<f64>>| {
            let mut a = a;
            (0..a.len()).for_each(|i| a[i][i] += lambda);
            inverse(&a)
        };
        let left = product(&ridge(product(&transpose(&g), &g)), &transpose(&g));
        let right = product(&transpose(&p), &ridge(product(&p, &transpose(&p))));
        let gw = product(&g, &product(&product(&left, &c), &right));
        let rows = (0..inputs.pool().len()).map(|id| {
            let p = p_of(id).unwrap_or_else(|| vec![0.0; k]);
            (0..l).map(|o| m[o] + gw[o].iter().zip(&p).map(|(a, b)| a * b).sum::<f64>()).collect()
        });
        rows.collect()
    }

    #[test]
    fn predictions_agree_with_loops_on_either_side() {
        for (pairs, measured) in [(false, vec![0, 2, 3, 5, 8]), (true, (0..30).collect())] {
            let (inputs, truth, mean) = world(pairs, None);
            let model = BilinearPca { components: 3, penalty: 0.3, ..BilinearPca::default() };
            let s = fit(&model, &inputs, &observe(&truth, &measured)).unwrap();
            let all: Vec<usize> = (0..inputs.pool().len()).collect();
            let got = s.predict(&all).unwrap().mean;
            let want = by_hand(&inputs, &truth, Some(&mean), &measured, 3, 0.3);
            for (i, row) in want.iter().enumerate() {
                for (o, w) in row.iter().enumerate() {
                    // Power iteration reaches 1e-8 where eigenvalues lie this far apart.
                    assert!((got[(i, o)] - w).abs() < 1e-7, "{pairs} {i} {o}: {} {w}", got[(i, o)]);
                }
            }
        }
    }

    #[test]
    fn a_gene_that_is_not_measured_gets_the_mean_of_those_used() {
        let (inputs, truth, _) = world(false, None);
        let s = fit(&BilinearPca::default(), &inputs, &observe(&truth, &[0, 1, 4, 8])).unwrap();
        let p = s.predict(&[7]).unwrap().mean;
        for o in 0..12 {
            let m = (truth[(0, o)] + truth[(1, o)] + truth[(4, o)]) / 3.0;
            assert!((p[(0, o)] - m).abs() < 1e-12);
        }
        assert_eq!(s.record(), [("bilinear_pca.used".into(), 3.0), ("bilinear_pca.dropped".into(), 1.0)]);
        assert!(s.representation().unwrap().embed(&[7]).unwrap().iter().all(|v| *v == 0.0));
        // None used: the mean of all.
        let s = fit(&BilinearPca::default(), &inputs, &observe(&truth, &[7, 8])).unwrap();
        assert!((s.predict(&[0]).unwrap().mean[(0, 3)] - (truth[(7, 3)] + truth[(8, 3)]) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_large_penalty_gives_the_mean_and_repeats_are_averaged() {
        let (inputs, truth, _) = world(false, None);
        let model = BilinearPca { penalty: 1e12, ..BilinearPca::default() };
        let p = fit(&model, &inputs, &observe(&truth, &[0, 1, 2])).unwrap().predict(&[5]).unwrap().mean;
        assert!((p[(0, 4)] - truth.slice(ndarray::s![..3, 4]).mean().unwrap()).abs() < 1e-9);
        let mut twice = observe(&truth, &[0, 1, 2]);
        let again = truth.select(Axis(0), &[1]) + 1.0;
        twice.push(&Readouts::plain(&[1], again), 1).unwrap();
        let mut averaged = truth.clone();
        averaged.row_mut(1).mapv_inplace(|v| v + 0.5);
        let model = BilinearPca::default();
        let a = fit(&model, &inputs, &twice).unwrap().predict(&[3]).unwrap().mean;
        let b = fit(&model, &inputs, &observe(&averaged, &[0, 1, 2])).unwrap().predict(&[3]).unwrap().mean;
        assert!((a - b).iter().all(|d| d.abs() < 1e-12));
    }

    #[test]
    fn priors_take_the_place_of_either_side() {
        let x = Array2::from_shape_fn((9, 2), |(g, j)| ((g * 3 + j * 5) % 7) as f64 - 3.0);
        let mut present = vec![true; 9];
        present[2] = false;
        let (inputs, truth, _) = world(false, Some(Block::new("ppi", x.clone(), present).unwrap()));
        let name = || Some("ppi".to_string());
        let measured = [0, 1, 2, 3, 4, 7, 8];
        let model = BilinearPca { gene_embedding: name(), perturbation_embedding: name(), ..BilinearPca::default() };
        let s = fit(&model, &inputs, &observe(&truth, &measured)).unwrap();
        assert_eq!(s.record()[1].1, 1.0, "gene 2 has no row");
        assert_eq!(s.representation().unwrap().embed(&[3]).unwrap().row(0), x.row(3));
        // Outputs 7 and beyond are no genes of the pool: the mean of the six.
        let p = s.predict(&[5]).unwrap().mean;
        let m: f64 = [0, 1, 3, 4, 7, 8].iter().map(|&i| truth[(i, 9)]).sum::<f64>() / 6.0;
        assert!((p[(0, 9)] - m).abs() < 1e-12 && (p[(0, 1)] - m).abs() > 1e-6);
        let model = BilinearPca { gene_embedding: Some("pip".into()), ..BilinearPca::default() };
        let e = fit(&model, &inputs, &observe(&truth, &measured)).err().unwrap().to_string();
        assert_eq!(e, "bilinear_pca: no prior `pip` is active (active: ppi); did you mean `ppi`?");
    }

    #[test]
    fn screens_without_named_outputs_are_refused() {
        let world = framework::testing::TinyWorld::new(9, 2, 3, false, 1).unwrap();
        let observed = world.observe(&[0, 1, 2], 1).unwrap();
        let e = fit(&BilinearPca::default(), &world.inputs, &observed).err().unwrap().to_string();
        assert!(e.contains("does not say which output measures which gene"), "{e}");
    }
}
