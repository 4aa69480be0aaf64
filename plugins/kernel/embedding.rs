//! Embedding kernel ⟨e(x), e(x')⟩ of the model's own representation.
//!
//! With a network's decoder state this is the kernel of the baselines in IterPert (Huang et al. 2023, released
//! code: `cross-gene`), which reduces representations of more than 10,000 numbers to their min(n, 100) leading
//! principal components over measured perturbations and candidates, after subtracting the mean. Cost: one pass
//! of the model over these, whose representations are held; with components O(n d 145) for each of 18 products.

use framework::numerics::{matmul, truncated_svd};
use framework::prelude::*;

/// Inner products of the model's own representation of a perturbation. Needs a model that has one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Reduce representations of more than 10,000 numbers to min(n, 100) centred principal components. Default
    /// true.
    #[serde(default = "yes")]
    pub pca: bool,
}

fn yes() -> bool {
    true
}

/// Representations wider than this are reduced,
const WIDE: usize = 10_000;
/// to so many components.
const COMPONENTS: usize = 100;

#[typetag::serde(name = "embedding")]
impl Kernel for Embedding {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let representation = cx.surrogate("embedding")?.try_representation()?;
        let scope = cx.scope();
        let Some(first) = scope.first() else {
            return Err(Error::Data("`embedding`: the pool holds no perturbation".into()));
        };
        let d = representation.embed(&[*first])?.ncols();
        let mut rows = cx.hold("embedding", d, |ids| representation.embed(ids))?;
        if self.pca && d > WIDE {
            let x = rows.get(&scope);
            drop(rows);
            let z = components(x, COMPONENTS, &mut cx.streams.rng("components"))?;
            rows = cx.hold_rows("embedding", &z)?;
        }
        Ok(FeatureGram::linear(rows).into())
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Embedding])
    }
}

/// Scores of the rows of `x` on their leading principal components: n x min(n, most), fewer where the rest are
/// negligible.
fn components(mut x: Array2<f64>, most: usize, rng: &mut StreamRng) -> Result<Array2<f64>> {
    if let Some(mean) = x.mean_axis(Axis(0)) {
        x -= &mean;
    }
    if x.iter().all(|v| *v == 0.0) {
        return Err(Error::Numerical(
            "`embedding`: the model represents all perturbations alike; check its training, or use another kernel"
                .into(),
        ));
    }
    let rank = most.min(x.nrows());
    let (u, s) = truncated_svd(x.dim(), rank, 8, |v| matmul(x.view(), v), |y| matmul(x.t(), y), rng)?;
    Ok(u * &s)
}

framework::register!(Kernel, Embedding, "embedding", "inner products of the model's own representation");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn entries_are_products_of_representations() {
        let world = TinyWorld::new(5, 3, 1, false, 2).unwrap();
        let (observed, streams) = (world.observe(&[1, 4], 1).unwrap(), Streams::new(3));
        let model = MockSurrogate { mean: vec![1.0, -2.0, 0.5, 0.0, 3.0], sd: vec![0.5; 5] };
        let cx = KernelContext { surrogate: Some(&model), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let k = Embedding { pca: true }.gram(&cx).unwrap();
        assert_eq!(k.block(&[0, 1], &[4, 2]), ndarray::array![[3.25, 0.75], [-5.75, -0.75]]);
    }

    #[test]
    fn components_keep_what_matters() {
        let wave = |i: usize, j: usize| ((i * j + 3 * i + j * j) % 29) as f64 / 29.0 - 0.5;
        // Six directions far above the rest, and a mean that must not matter.
        let x = Array2::from_shape_fn((40, 60), |(i, j)| {
            7.0 + (0..6).map(|c| wave(i + c, 7 * c + 1) * wave(c + 2, j + c)).sum::<f64>() * 5.0 + 1e-7 * wave(i, j)
        });
        let centred = &x - &x.mean_axis(Axis(0)).unwrap();
        let z = components(x.clone(), 6, &mut Streams::new(1).rng("x")).unwrap();
        assert_eq!(z.dim(), (40, 6));
        assert!((&z.dot(&z.t()) - &centred.dot(&centred.t())).iter().all(|d| d.abs() < 1e-5));
        let z = components(x, 100, &mut Streams::new(1).rng("x")).unwrap();
        assert!((&z.dot(&z.t()) - &centred.dot(&centred.t())).iter().all(|d| d.abs() < 1e-9));
        let e = components(Array2::ones((4, 9)), 3, &mut Streams::new(1).rng("x")).unwrap_err().to_string();
        assert!(e.contains("all perturbations alike"), "{e}");
    }

    #[test]
    fn wide_representations_are_reduced_over_what_may_be_chosen() {
        struct Wide;
        impl Surrogate for Wide {
            fn predict(&self, ids: &[usize]) -> Result<Posterior> {
                Ok(Posterior { mean: Array2::zeros((ids.len(), 1)), sd: None })
            }

            fn representation(&self) -> Option<&dyn Representation> {
                Some(self)
            }
        }

        impl Representation for Wide {
            fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
                Ok(Array2::from_shape_fn((ids.len(), 10_001), |(i, j)| ((ids[i] * 37 + j * ids[i] + j) % 11) as f64))
            }
        }
        let world = TinyWorld::new(7, 3, 1, false, 2).unwrap();
        let (observed, streams) = (world.observe(&[1, 4], 1).unwrap(), Streams::new(3));
        let candidates = Candidates::new(7, vec![1, 4, 6]);
        let cx = KernelContext {
            surrogate: Some(&Wide),
            candidates: Some(&candidates),
            ..KernelContext::new(&world.inputs, &observed, &streams)
        };
        let (reduced, full) = (Embedding { pca: true }.gram(&cx).unwrap(), Embedding { pca: false }.gram(&cx).unwrap());
        assert!(reduced.rows().is_some_and(|r| r.d() <= 6));
        let scope = [0, 1, 2, 3, 4, 5];
        let (a, b) = (reduced.sq_distances(&scope, &scope), full.sq_distances(&scope, &scope));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-7 * (1.0 + b)));
        assert!(reduced.diagonal(&[6])[0].is_nan(), "held out of the pool");
    }
}
