//! The additive model: the effect of a set of genes is the sum of their single effects.
//!
//! Ŷ_ij = Y_i + Y_j (for k genes, the sum over all k), with nothing fitted. The plain baseline of every pair
//! screen (Norman et al. 2019; NAIAD, section 4). Prediction costs O(genes x outputs) for each perturbation.

use framework::prelude::*;
use std::sync::Arc;

/// Adds up the known effects of the single genes. The sd is the root mean square of the residuals of the
/// measured rows (0 while fewer than two are measured), so it holds the noise of a measurement too.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Additive {}

#[typetag::serde(name = "additive")]
impl Model for Additive {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        let mut fitted = Fitted { inputs: cx.inputs.clone(), sd: Array1::zeros(cx.observed.n_outputs()) };
        if cx.observed.len() >= 2 {
            let residual = &cx.observed.y - &fitted.sums(&cx.observed.ids)?;
            fitted.sd = residual.map_axis(Axis(0), |r| (r.dot(&r) / r.len() as f64).sqrt());
        }
        Ok(Box::new(fitted))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::SingleEffects])
    }
}

struct Fitted {
    inputs: Arc<Inputs>,
    sd: Array1<f64>,
}

impl Fitted {
    /// Sums of single effects: ids x outputs.
    fn sums(&self, ids: &[usize]) -> Result<Array2<f64>> {
        let single = self.inputs.effects_for("additive", ids)?;
        let pool = self.inputs.pool();
        let mut sums = Array2::zeros((ids.len(), single.ncols()));
        for (mut row, &id) in sums.outer_iter_mut().zip(ids) {
            pool.with_genes(id, |genes| genes.iter().for_each(|g| row += &single.row(g.index())));
        }
        Ok(sums)
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let mean = self.sums(ids)?;
        let sd = Array2::from_shape_fn(mean.dim(), |(_, l)| self.sd[l]);
        Ok(Posterior { mean, sd: Some(sd) })
    }

    fn record(&self) -> Vec<(String, f64)> {
        vec![("additive_residual_sd".into(), self.sd.mean().unwrap_or(0.0))]
    }
}

framework::register!(Model, Additive, "additive", "sum of the single-gene effects, nothing fitted");

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn effects_add_up_and_unknown_genes_are_named() {
        let genes = Arc::new(Genes::new(["A", "B", "C"]).unwrap());
        let pool = Arc::new(Pool::all_pairs(genes));
        let single = array![[1.0], [2.5], [f64::NAN]];
        let inputs = Inputs::new(pool, vec![], Compose::Sum).unwrap().with_single_effects(Some(single));
        let inputs = Arc::new(inputs);
        let mut observed = Observed::empty(1);
        let streams = Streams::new(1);
        observed.push(&Readouts::plain(&[0, 0], array![[3.0], [5.0]]), 1).unwrap();
        let s = Additive {}.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &streams }).unwrap();
        let p = s.predict(&[0]).unwrap();
        assert_eq!(p.mean[(0, 0)], 3.5);
        // Residuals -0.5 and 1.5.
        assert!((p.sd.unwrap()[(0, 0)] - 1.25f64.sqrt()).abs() < 1e-12);
        let e = s.predict(&[1]).unwrap_err().to_string();
        assert!(e.starts_with("perturbation A+C: gene `C` has no measured effect of its own"), "{e}");
    }
}
