//! Linear regression on single-gene effects.
//!
//! Ŷ_ij = β0 + β1 Y_i + β2 Y_j by ordinary least squares, β1 = β2 unless told otherwise (NAIAD, section 4:
//! the "Linear" rows of its tables). For k genes the symmetric form regresses on the sum of the k effects.
//! Fitting costs O(rows x outputs) in the symmetric form.

use framework::prelude::*;
use std::sync::Arc;

/// Ordinary least squares on the effects of the single genes, one regression for each output. Below three
/// measured rows, or while the measured rows have no spread to regress on, it adds the effects up instead.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearSingle {
    /// One slope for all genes of a perturbation. `false` gives each position its own slope, with genes in
    /// the order of the pool's gene table; every perturbation must then have the same number of genes.
    /// Default true.
    #[serde(default = "yes")]
    pub symmetric: bool,
}

fn yes() -> bool {
    true
}

impl Default for LinearSingle {
    fn default() -> Self {
        Self { symmetric: true }
    }
}

#[typetag::serde(name = "linear_single")]
impl Model for LinearSingle {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        let n_outputs = cx.observed.n_outputs();
        let mut fitted = Fitted { inputs: cx.inputs.clone(), symmetric: self.symmetric, outputs: vec![] };
        fitted.outputs = (0..n_outputs)
            .map(|l| {
                let x = fitted.effects(&cx.observed.ids, l)?;
                Regression::fit(&x, cx.observed.y.column(l))
            })
            .collect::<Result<_>>()?;
        Ok(Box::new(fitted))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::SingleEffects])
    }
}

/// y = level + (x - centre)ᵀ slope, with the residual variance and the covariance of level and slope.
struct Regression {
    level: f64,
    centre: Array1<f64>,
    slope: Array1<f64>,
    variance: f64,
    level_variance: f64,
    slope_covariance: Array2<f64>,
}

impl Regression {
    fn fit(x: &Array2<f64>, y: ArrayView1<f64>) -> Result<Self> {
        let (n, k) = x.dim();
        let additive = |variance| Self {
            level: 0.0,
            centre: Array1::zeros(k),
            slope: Array1::ones(k),
            variance,
            level_variance: 0.0,
            slope_covariance: Array2::zeros((k, k)),
        };
        let Some(centre) = x.mean_axis(Axis(0)) else { return Ok(additive(0.0)) };
        let residual_of_sum = &y - &x.sum_axis(Axis(1));
        let mean_square = residual_of_sum.dot(&residual_of_sum) / n as f64;
        let z = x - &centre;
        let gram = z.t().dot(&z);
        let scale: f64 = x.iter().map(|v| v * v).sum();
        let (eigenvalues, _) = framework::numerics::eigh(gram.view())?;
        // Fewer rows than coefficients + 1, or effects that do not vary: nothing can be estimated.
        if n < (k + 2).max(3) || eigenvalues[0] <= 1e-12 * scale.max(f64::MIN_POSITIVE) {
            return Ok(additive(if n < 2 { 0.0 } else { mean_square }));
        }
        let level = y.sum() / n as f64;
        let target = z.t().dot(&(&y - level)).insert_axis(Axis(1));
        let factor = Cholesky::new(gram.view())?;
        let slope = factor.solve(target.view()).column(0).to_owned();
        let residual = &y - level - z.dot(&slope);
        let variance = residual.dot(&residual) / (n - k - 1) as f64;
        let slope_covariance = factor.solve(Array2::eye(k).view()) * variance;
        Ok(Self { level, centre, slope, variance, level_variance: variance / n as f64, slope_covariance })
    }

    /// Mean and sd at the effects `x`; the sd holds the residual spread and the error of the coefficients.
    fn predict(&self, x: ArrayView1<f64>) -> (f64, f64) {
        let z = &x - &self.centre;
        let mean = self.level + z.dot(&self.slope);
        let variance = self.variance + self.level_variance + z.dot(&self.slope_covariance.dot(&z));
        (mean, variance.max(0.0).sqrt())
    }
}

struct Fitted {
    inputs: Arc<Inputs>,
    symmetric: bool,
    outputs: Vec<Regression>,
}

impl Fitted {
    /// What one output is regressed on: ids x 1 (sums), or ids x genes of a perturbation.
    fn effects(&self, ids: &[usize], output: usize) -> Result<Array2<f64>> {
        let single = self.inputs.effects_for("linear_single", ids)?;
        let pool = self.inputs.pool();
        let k = if self.symmetric { 1 } else { pool.max_order() };
        let mut x = Array2::zeros((ids.len(), k));
        for (mut row, &id) in x.outer_iter_mut().zip(ids) {
            pool.with_genes(id, |genes| {
                if !self.symmetric && genes.len() != k {
                    return Err(Error::Config(format!(
                        "linear_single with symmetric = false needs perturbations of {k} genes, and {} has {}; \
                         set symmetric = true",
                        pool.label(id),
                        genes.len()
                    )));
                }
                for (position, g) in genes.iter().enumerate() {
                    row[if self.symmetric { 0 } else { position }] += single[(g.index(), output)];
                }
                Ok(())
            })?;
        }
        Ok(x)
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let mut mean = Array2::zeros((ids.len(), self.outputs.len()));
        let mut sd = Array2::zeros(mean.dim());
        for (l, regression) in self.outputs.iter().enumerate() {
            let x = self.effects(ids, l)?;
            for (i, row) in x.outer_iter().enumerate() {
                (mean[(i, l)], sd[(i, l)]) = regression.predict(row);
            }
        }
        Ok(Posterior { mean, sd: Some(sd) })
    }

    fn record(&self) -> Vec<(String, f64)> {
        let n = self.outputs.len() as f64;
        let mean = |f: &dyn Fn(&Regression) -> f64| self.outputs.iter().map(f).sum::<f64>() / n;
        vec![
            ("linear_intercept".into(), mean(&|r| r.level - r.centre.dot(&r.slope))),
            ("linear_slope".into(), mean(&|r| r.slope.mean().unwrap_or(0.0))),
        ]
    }
}

framework::register!(Model, LinearSingle, "linear_single", "least squares on the single-gene effects");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;

    fn toy(n: usize, symmetric: bool) -> (Arc<Inputs>, Observed) {
        let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).unwrap());
        let pool = Arc::new(Pool::all_pairs(genes));
        let single = Array2::from_shape_fn((n, 1), |(g, _)| ((g * 7) % 5) as f64 - 1.5 + 0.1 * g as f64);
        let slope = if symmetric { 0.7 } else { 0.2 };
        let y = |id: usize| {
            pool.with_genes(id, |g| -0.3 + 0.7 * single[(g[0].index(), 0)] + slope * single[(g[1].index(), 0)])
        };
        let ids: Vec<usize> = (0..pool.len()).step_by(2).collect();
        let y = Array2::from_shape_fn((ids.len(), 1), |(i, _)| y(ids[i]));
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(&ids, y), 1).unwrap();
        let inputs = Inputs::new(pool.clone(), vec![], Compose::Sum).unwrap().with_single_effects(Some(single.clone()));
        (Arc::new(inputs), observed)
    }

    #[test]
    fn an_exact_line_is_found_again() {
        for symmetric in [true, false] {
            let (inputs, observed) = toy(9, symmetric);
            let streams = Streams::new(1);
            let cx = FitContext { inputs: &inputs, observed: &observed, streams: &streams };
            let s = LinearSingle { symmetric }.fit(&cx).unwrap();
            let single = inputs.single_effects().unwrap();
            let slope = if symmetric { 0.7 } else { 0.2 };
            for id in 0..inputs.pool().len() {
                let want = inputs
                    .pool()
                    .with_genes(id, |g| -0.3 + 0.7 * single[(g[0].index(), 0)] + slope * single[(g[1].index(), 0)]);
                let p = s.predict(&[id]).unwrap();
                assert!((p.mean[(0, 0)] - want).abs() < 1e-12);
                assert!(p.sd.unwrap()[(0, 0)] < 1e-7);
            }
        }
    }

    #[test]
    fn few_rows_are_added_up() {
        let (inputs, observed) = toy(9, true);
        let mut two = Observed::empty(1);
        two.push(&Readouts::plain(&observed.ids[..2], observed.y.slice(ndarray::s![..2, ..]).to_owned()), 1).unwrap();
        let streams = Streams::new(1);
        let cx = FitContext { inputs: &inputs, observed: &two, streams: &streams };
        let p = LinearSingle::default().fit(&cx).unwrap().predict(&[0]).unwrap();
        let single = inputs.single_effects().unwrap();
        assert_eq!(p.mean[(0, 0)], single[(0, 0)] + single[(1, 0)]);
    }

    #[test]
    fn coverage_of_the_sd_is_nominal_for_new_measurements() {
        // y = 1 + 2x + noise of sd 0.5, 30 rows: about 95 % of new measurements within 2.05 sd (t, 28).
        let mut rng = Streams::new(3).rng("coverage");
        let mut normal = || -> f64 { rand_distr::Distribution::sample(&rand_distr::StandardNormal, &mut rng) };
        let (mut inside, trials) = (0, 2000);
        for _ in 0..trials {
            let x = Array2::from_shape_fn((30, 1), |(i, _)| i as f64 / 10.0);
            let y = x.column(0).mapv(|v| 1.0 + 2.0 * v + 0.5 * normal());
            let r = Regression::fit(&x, y.view()).unwrap();
            let new = 1.0 + 2.0 * 4.0 + 0.5 * normal();
            let (m, s) = r.predict(ndarray::array![4.0].view());
            inside += usize::from((new - m).abs() < 2.048 * s);
        }
        let share = inside as f64 / trials as f64;
        assert!((share - 0.95).abs() < 0.02, "{share}");
    }

    #[test]
    fn the_published_line_of_the_norman_screen() {
        let Some(root) = std::env::var_os("SCREENWRIGHT_DATA") else {
            println!("skipped: SCREENWRIGHT_DATA is not set");
            return;
        };
        let table = DataRoot::new(root).table(std::path::Path::new("norman2019_pairs/gene_pairs.csv.gz")).unwrap();
        let column = |name: &str| table.numbers(name).unwrap();
        let (a, b, y, same) = (column("gamma1"), column("gamma2"), column("gamma"), column("same_gene"));
        let rows: Vec<usize> = (0..y.len()).filter(|&i| same[i] == 0.0).collect();
        let x = Array2::from_shape_fn((rows.len(), 1), |(i, _)| a[rows[i]] + b[rows[i]]);
        let r = Regression::fit(&x, rows.iter().map(|&i| y[i]).collect::<Array1<f64>>().view()).unwrap();
        // Residual sd 0.0609 over pairs of different genes and slope near 0.72, from the data's description.
        assert!((r.variance.sqrt() - 0.0609).abs() < 5e-4, "{}", r.variance.sqrt());
        assert!((r.slope[0] - 0.72).abs() < 0.02, "{}", r.slope[0]);
    }
}
