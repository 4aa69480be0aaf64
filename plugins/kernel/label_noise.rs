//! Random labels: φ(x) ← ε_x φ(x) with ε_x ~ N(0, 1), independent for each perturbation.
//!
//! The gradient of ½(y - f(x))² with respect to a network's last layer is (f(x) - y) h(x); with the label drawn from
//! the model's own belief, y ~ N(f(x), 1), it is ε h(x). After `last_layer` this transform so gives BADGE's gradient
//! embedding for regression (Ash et al. 2020; GeneDisco, Mehrjou et al. 2022): k(x, x') = ε_x ε_x' k_base(x, x'), for
//! k-means++ to draw from. Cost: that of the base kernel, and one random number a row read, keyed by perturbation and
//! round.

use framework::numerics::gram::MakeRows;
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// Multiplies each perturbation's features by a standard normal number of its own; for kernels that are inner products
/// of features.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelNoise {
    /// The kernel to transform; absent: what stands before it in a chain.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
}

/// Rows times a number each.
struct Noisy {
    of: Rows,
    streams: Streams,
}

impl MakeRows for Noisy {
    fn n(&self) -> usize {
        self.of.n()
    }
    fn d(&self) -> usize {
        self.of.d()
    }
    fn get(&self, ids: &[usize]) -> Array2<f64> {
        let mut x = self.of.get(ids);
        for (mut row, id) in x.outer_iter_mut().zip(ids) {
            let e: f64 = StandardNormal.sample(&mut self.streams.index(*id).rng("label"));
            row *= e;
        }
        x
    }
}

#[typetag::serde(name = "label_noise")]
impl Kernel for LabelNoise {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let base = cx.base(self.of.as_deref(), "label_noise")?;
        let Some(of) = base.rows() else {
            return Err(Error::Config(
                "`label_noise` multiplies features, and the kernel it acts on has none; put it directly after a \
                 kernel of features (last_layer, linear, cosine, embedding, prediction), or project the kernel before (`rp`)"
                    .into(),
            ));
        };
        let noisy = Noisy { of, streams: cx.streams.child("label_noise") };
        Ok(FeatureGram::linear(Rows::Made(Arc::new(noisy))).into())
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref())
    }
}

framework::register!(Kernel, LabelNoise, "label_noise", "features times random labels (BADGE's gradient embedding)");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn entries_are_those_of_the_base_times_both_labels() {
        let world = TinyWorld::new(8, 3, 1, false, 2).unwrap();
        let observed = world.observe(&[1, 4], 1).unwrap();
        let ids: Vec<usize> = (0..8).collect();
        let x = world.inputs.features(&ids);
        let base = Gram::of_features(x.clone());
        let gram = |seed: usize| {
            let streams = Streams::new(3).index(seed);
            let cx = KernelContext { input: Some(&base), ..KernelContext::new(&world.inputs, &observed, &streams) };
            LabelNoise::default().gram(&cx).unwrap()
        };
        let (mut mean, mut square, runs) = (Array2::<f64>::zeros((8, 8)), Array2::<f64>::zeros((8, 8)), 20_000);
        for seed in 0..runs {
            let g = gram(seed);
            let k = g.to_dense(&ids);
            // Rank and shape: one factor a perturbation, whatever is read first.
            let e: Vec<f64> = (0..8).map(|i| g.block(&[i], &[i])[(0, 0)] / x.row(i).dot(&x.row(i))).collect();
            let product = k[(2, 5)] / x.row(2).dot(&x.row(5));
            assert!((product * product - e[2] * e[5]).abs() < 1e-9 * (1.0 + product * product));
            mean += &(&k / runs as f64);
            square += &(&(&k * &k) / runs as f64);
        }
        for i in 0..8 {
            for j in 0..8 {
                // E ε² = 1 with E ε⁴ = 3 on the diagonal; independent labels off it.
                let k = x.row(i).dot(&x.row(j));
                let (want, second) = if i == j { (k, 3.0 * k * k) } else { (0.0, k * k) };
                let error = (second / runs as f64).sqrt() + 1e-12;
                assert!((mean[(i, j)] - want).abs() < 5.0 * error, "{i} {j}: {} {want}", mean[(i, j)]);
                assert!((square[(i, j)] / second - 1.0).abs() < 0.25, "{i} {j}: {} {second}", square[(i, j)]);
            }
        }
    }

    /// BADGE: ε times what enters the last layer.
    #[test]
    fn after_the_last_layer_it_is_the_gradient_embedding() {
        let world = TinyWorld::new(9, 3, 1, false, 2).unwrap();
        let (observed, streams) = (world.observe(&[1, 4], 1).unwrap(), Streams::new(3));
        let mean: Vec<f64> = (0..9).map(|i| (i as f64 * 0.7).sin()).collect();
        let model = MockSurrogate { sd: mean.iter().map(|m| 0.2 + m * m).collect(), mean };
        let cx = KernelContext { surrogate: Some(&model), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let kernel: Box<dyn Kernel> =
            framework::serde_json::from_str(r#"{"use": "label_noise", "of": {"use": "last_layer"}}"#).unwrap();
        assert!(kernel.needs().contains(Ability::Layers));
        let ids: Vec<usize> = (0..9).collect();
        let g = kernel.gram(&cx).unwrap();
        let h = model.factors(&ids, 0, Array2::ones((1, 1)).view()).unwrap().pop().unwrap().input;
        let rows = g.rows().unwrap().get(&ids);
        for i in 0..9 {
            let e = rows[(i, 3)];
            assert!((&rows.row(i) - &(&h.row(i) * e)).iter().all(|d| d.abs() < 1e-12), "the bias feature is 1");
        }
    }

    #[test]
    fn a_kernel_without_features_is_refused() {
        let world = TinyWorld::new(5, 3, 1, false, 2).unwrap();
        let (observed, streams, g) = (Observed::empty(1), Streams::new(1), Gram::stored(Array2::eye(5)));
        let cx = KernelContext { input: Some(&g), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let e = LabelNoise::default().gram(&cx).unwrap_err().to_string();
        assert!(e.contains("has none") && e.contains("`rp`"), "{e}");
    }
}
