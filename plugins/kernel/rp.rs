//! Random projection to p features: φ ← p^(-1/2) G φ, G standard normal.
//!
//! Inner products are right on average, with a relative error of about √(2/p) on the diagonal (Holzmüller et
//! al. 2023, section 3.2). A product of kernels, such as a layer of `gradient`, is projected factor by factor,
//! √p (s ∘ s'), with relative variance 8/p, and never forms its feature map; sums add the projections of their
//! terms. Cost: p products a feature, made where rows are read.

use framework::numerics::memory::Limit;
use framework::prelude::*;

/// Replaces features by a few random combinations of them; for kernels that are inner products of features, and
/// sums and products of such.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rp {
    /// Number of projected features. Default 512.
    #[serde(default = "p")]
    pub p: usize,
    /// The kernel to transform; absent: what stands before it in a chain.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
}

fn p() -> usize {
    512
}

#[typetag::serde(name = "rp")]
impl Kernel for Rp {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let base = cx.base(self.of.as_deref(), "rp")?;
        if self.p == 0 {
            return Err(Error::Config("rp: p must be at least 1".into()));
        }
        if let Some(d) = base.rows().map(|r| r.d())
            && let Err(size) = Limit::USUAL.check(&[d, self.p])
        {
            return Err(Error::Config(format!(
                "rp: projecting {d} features to {} takes {size} of random numbers; use a smaller p or fewer features",
                self.p
            )));
        }
        base.sketch(self.p, &cx.streams.child("rp")).ok_or_else(|| {
            Error::Config(
                "`rp` projects features, and the kernel it acts on has none; put it directly after a kernel of features \
                 (linear, cosine, last_layer, gradient, prediction, embedding), or leave it out"
                    .into(),
            )
        })
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref())
    }
}

framework::register!(Kernel, Rp, "rp", "random projection of a kernel's features");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::numerics::{Affine, Product, Sum, stats};
    use framework::testing::TinyWorld;

    fn table(d: usize, seed: usize) -> Gram {
        let x = Array2::from_shape_fn((5, d), |(i, j)| ((i * 7 + j * 5 + i * j * seed + seed) % 13) as f64 / 6.0 - 1.0);
        Gram::of_features(x)
    }

    #[test]
    fn projections_are_right_on_average_and_as_noisy_as_they_should_be() {
        let world = TinyWorld::new(5, 3, 1, false, 2).unwrap();
        let observed = Observed::empty(1);
        let (a, b, c) = (table(4, 1), table(6, 2), table(3, 3));
        let product = Gram::new(Product::new(vec![a.clone(), b.clone()]).unwrap());
        let three = Gram::new(Product::new(vec![a.clone(), b.clone(), c.clone()]).unwrap());
        let sum = Gram::new(Sum::new(vec![(0.5, product.clone()), (2.0, c.clone()), (1.0, a.clone())]).unwrap());
        let scaled = Gram::new(Affine::new(sum.clone(), 3.0, 0.0));
        let shifted = Gram::new(Affine::new(c, 1.0, 0.7));
        let (p, runs, all) = (16, 2000, [0, 1, 2, 3, 4]);
        // Relative variance of a diagonal entry times p: E[z⁴] - 1 = 2, and 3² - 1, 3³ - 1 for products.
        for (gram, spread) in [
            (a, Some(2.0)),
            (product, Some(8.0)),
            (three, Some(26.0)),
            (sum, None),
            (scaled, None),
            (shifted, Some(2.0)),
        ] {
            let want = gram.to_dense(&all);
            let draws: Vec<Array2<f64>> = (0..runs)
                .map(|r| {
                    let streams = Streams::new(7).index(r);
                    let cx =
                        KernelContext { input: Some(&gram), ..KernelContext::new(&world.inputs, &observed, &streams) };
                    let k = Rp { p, of: None }.gram(&cx).unwrap();
                    assert_eq!(k.rows().unwrap().d(), p);
                    k.to_dense(&all)
                })
                .collect();
            for (i, j) in [(0, 0), (1, 3), (4, 2), (3, 3)] {
                let v: Vec<f64> = draws.iter().map(|k| k[(i, j)]).collect();
                let (mean, sd) = (stats::mean(&v), stats::sd(&v));
                let error = sd / (runs as f64).sqrt();
                assert!((mean - want[(i, j)]).abs() < 5.0 * error, "{i} {j}: {mean} for {} ± {error}", want[(i, j)]);
                if i == j {
                    let relative = (sd / want[(i, i)]).powi(2) * p as f64;
                    match spread {
                        Some(s) => assert!((relative / s - 1.0).abs() < 0.5, "{relative} for {s}"),
                        None => assert!(relative < 8.5, "{relative}: a sum is no noisier than its noisiest term"),
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_no_features_or_too_many_is_refused() {
        let world = TinyWorld::new(5, 3, 1, false, 2).unwrap();
        let (observed, streams) = (Observed::empty(1), Streams::new(1));
        let cx = KernelContext::new(&world.inputs, &observed, &streams);
        let gram =
            |g: Gram, p| Rp { p, of: None }.gram(&KernelContext { input: Some(&g), ..cx }).unwrap_err().to_string();
        let e = gram(Gram::stored(Array2::eye(5)), 8);
        assert!(e.contains("has none"), "{e}");
        let e = gram(table(3, 1), 0);
        assert!(e.contains("at least 1"), "{e}");
        let e = gram(table(3, 1), 1 << 30);
        assert!(e.contains("26 GB"), "{e}");
    }
}
