//! Gradient kernel of a network (finite-width neural tangent kernel): k(x, x') = Σ_layers ⟨ã, ã'⟩ ⟨δ, δ'⟩.
//!
//! ã is what enters a linear layer, a constant for its bias included, and δ the signal propagated back to its
//! output: the inner product of the gradients with respect to all weights, without ever forming them
//! (Holzmüller et al. 2023, sections 3.1 and 3.2, where it is `grad`). Projected by `rp`, each layer is a
//! product of two small projections. Cost: one pass forward and back over measured perturbations and
//! candidates; the widths of all layers are held for each; a row is one product with each of them.

use framework::numerics::Sum;
use framework::plugin::Outputs;
use framework::prelude::*;

/// Inner products of a network's gradients with respect to its weights. Needs a network; of an ensemble the
/// first member (see `ens`).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gradient {
    /// Which gradients of several outputs: `"sum"` (default), of the sum of the outputs, as in the released code
    /// of the paper; `"jacobian"`, of each, added up (memory grows with the number of outputs); `"project"`, of
    /// random combinations that give the Jacobian's kernel on average.
    #[serde(default)]
    pub outputs: Outputs,
    /// Number of random combinations where outputs = "project". Default 8.
    #[serde(default = "eight")]
    pub projections: usize,
}

fn eight() -> usize {
    8
}

#[typetag::serde(name = "gradient")]
impl Kernel for Gradient {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let layers = cx.layers("gradient", self.outputs, self.projections, false)?;
        Ok(Gram::new(Sum::new(layers.into_iter().map(|g| (1.0, g)).collect())?))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Layers])
    }
}

framework::register!(Kernel, Gradient, "gradient", "inner products of a network's gradients");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;
    use ndarray::{Array, ArrayView2, concatenate, s};

    /// Two layers of tanh units on the prior features, two outputs.
    struct Net {
        x: Array2<f64>,
        first: Array2<f64>,
        second: Array2<f64>,
    }

    fn with_one(x: Array2<f64>) -> Array2<f64> {
        concatenate![Axis(1), x, Array2::ones((x.nrows(), 1))]
    }

    impl Net {
        fn forward(&self, first: &Array2<f64>, second: &Array2<f64>) -> Array2<f64> {
            with_one(with_one(self.x.clone()).dot(first).mapv(f64::tanh)).dot(second)
        }

        /// d f_o / d weight by central differences: (ids x weights) for each output.
        fn gradients(&self) -> Vec<Array2<f64>> {
            let h = 1e-5;
            let mut columns = vec![];
            for w in 0..self.first.len() + self.second.len() {
                let at = |step: f64| {
                    let (mut first, mut second) = (self.first.clone(), self.second.clone());
                    match w.checked_sub(first.len()) {
                        None => first.as_slice_mut().unwrap()[w] += step,
                        Some(w) => second.as_slice_mut().unwrap()[w] += step,
                    }
                    self.forward(&first, &second)
                };
                columns.push((at(h) - at(-h)) / (2.0 * h));
            }
            (0..2)
                .map(|o| Array2::from_shape_fn((self.x.nrows(), columns.len()), |(i, w)| columns[w][(i, o)]))
                .collect()
        }
    }

    impl Surrogate for Net {
        fn predict(&self, ids: &[usize]) -> Result<Posterior> {
            Ok(Posterior { mean: self.forward(&self.first, &self.second).select(Axis(0), ids), sd: None })
        }

        fn layers(&self) -> Option<&dyn LayerGradients> {
            Some(self)
        }
    }

    impl LayerGradients for Net {
        fn factors(&self, ids: &[usize], _: usize, directions: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
            let input = with_one(self.x.select(Axis(0), ids));
            let hidden = input.dot(&self.first).mapv(f64::tanh);
            let units = hidden.ncols();
            let q = directions.ncols();
            let back = self.second.slice(s![..units, ..]).dot(&directions);
            let signal = Array2::from_shape_fn((ids.len(), q * units), |(i, c)| {
                back[(c % units, c / units)] * (1.0 - hidden[(i, c % units)].powi(2))
            });
            let flat: Vec<f64> = directions.t().iter().copied().collect();
            let out = Array2::from_shape_fn((ids.len(), flat.len()), |(_, c)| flat[c]);
            Ok(vec![LayerFactors { input, signal }, LayerFactors { input: with_one(hidden), signal: out }])
        }
    }

    #[test]
    fn it_is_the_inner_product_of_explicit_gradients() {
        let world = TinyWorld::new(8, 3, 2, false, 5).unwrap();
        let ids: Vec<usize> = (0..8).collect();
        let weights = |r, c| Array::from_shape_fn((r, c), |(i, j)| ((i * 5 + j * 3) % 7) as f64 / 5.0 - 0.6);
        let net = Net { x: world.inputs.features(&ids), first: weights(4, 3), second: weights(4, 2) };
        let observed = world.observe(&[0, 3], 1).unwrap();
        let g = net.gradients();
        let jacobian = g[0].dot(&g[0].t()) + g[1].dot(&g[1].t());
        let sum = &g[0] + &g[1];
        let gram = |outputs, streams: &Streams| {
            let cx = KernelContext { surrogate: Some(&net), ..KernelContext::new(&world.inputs, &observed, streams) };
            Gradient { outputs, projections: 3 }.gram(&cx).unwrap().to_dense(&ids)
        };
        let streams = Streams::new(1);
        for (outputs, want) in [(Outputs::Sum, sum.dot(&sum.t())), (Outputs::Jacobian, jacobian.clone())] {
            let k = gram(outputs, &streams);
            for (a, b) in k.iter().zip(&want) {
                assert!((a - b).abs() < 1e-7 * (1.0 + b.abs()), "{outputs:?}: {a} for {b}");
            }
        }
        let runs = 600;
        let draws: Vec<Array2<f64>> = (0..runs).map(|r| gram(Outputs::Project, &streams.index(r))).collect();
        for at in [(0, 0), (2, 5), (7, 1)] {
            let v: Vec<f64> = draws.iter().map(|k| k[at]).collect();
            let error = framework::numerics::stats::sd(&v) / (runs as f64).sqrt();
            let mean = framework::numerics::stats::mean(&v);
            assert!((mean - jacobian[at]).abs() < 5.0 * error, "{mean} for {} ± {error}", jacobian[at]);
        }
    }

    #[test]
    fn only_what_is_asked_for_is_computed() {
        /// Fails for perturbations that are neither measured nor candidates.
        struct Careful(framework::testing::MockSurrogate);
        impl Surrogate for Careful {
            fn predict(&self, ids: &[usize]) -> Result<Posterior> {
                self.0.predict(ids)
            }

            fn layers(&self) -> Option<&dyn LayerGradients> {
                Some(self)
            }
        }

        impl LayerGradients for Careful {
            fn factors(&self, ids: &[usize], member: usize, d: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
                assert!(ids.iter().all(|i| *i != 2));
                self.0.factors(ids, member, d)
            }
        }
        let world = TinyWorld::new(6, 3, 1, false, 5).unwrap();
        let (observed, streams) = (world.observe(&[0], 1).unwrap(), Streams::new(1));
        let mock = framework::testing::MockSurrogate { mean: vec![0.3; 6], sd: vec![0.1; 6] };
        let (model, candidates) = (Careful(mock), Candidates::new(6, vec![0, 2]));
        let cx = KernelContext {
            surrogate: Some(&model),
            candidates: Some(&candidates),
            ..KernelContext::new(&world.inputs, &observed, &streams)
        };
        let k = Gradient { outputs: Outputs::Sum, projections: 8 }.gram(&cx).unwrap();
        assert!(k.restrict(&cx.scope()).to_dense(&[0, 4]).iter().all(|v| v.is_finite()));
        assert!(k.diagonal(&[2])[0].is_nan());
        let k = Gradient { outputs: Outputs::Project, projections: 0 };
        assert!(k.gram(&cx).unwrap_err().to_string().contains("projections must be at least 1"));
    }
}
