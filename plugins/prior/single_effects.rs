//! The known effects of single genes as a prior for pairs and larger sets.
//!
//! φ(gene) = its measured effect alone, one feature an output (NAIAD, section 4, takes Y_i and Y_j as inputs).

use framework::prelude::*;

/// Takes the single-gene effects that the oracle knows as features. Genes without one are missing.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleEffects {}

#[typetag::serde(name = "single_effects")]
impl Prior for SingleEffects {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        let known = cx.screen.and_then(|s| Some((s, s.single_effects()?)));
        let Some((screen, effects)) = known else {
            return Err(Error::Config(format!(
                "prior `{}` takes the effects of single genes from the oracle, and this one knows none; name them \
                 in the oracle's settings (`single` of screen_table), or remove the prior",
                cx.name
            )));
        };
        let genes = screen.pool().genes();
        let known: Vec<usize> = (0..genes.len()).filter(|&g| effects.row(g).iter().all(|v| v.is_finite())).collect();
        let names: Vec<&str> = known.iter().map(|&g| genes.name(Gene(g as u32))).collect();
        cx.block_from_rows(&names, &effects.select(Axis(0), &known))
    }
}

framework::register!(Prior, SingleEffects, "single_effects", "the oracle's known single-gene effects");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;
    use ndarray::array;
    use std::sync::Arc;

    struct Pairs(Arc<Pool>, Option<Array2<f64>>);
    impl Screen for Pairs {
        fn pool(&self) -> &Arc<Pool> {
            &self.0
        }
        fn n_outputs(&self) -> usize {
            1
        }
        fn measure(&self, ids: &[usize], _: &Experiment, _: &Streams) -> Result<Readouts> {
            Ok(Readouts::plain(ids, Array2::zeros((ids.len(), 1))))
        }
        fn single_effects(&self) -> Option<Array2<f64>> {
            self.1.clone()
        }
    }

    #[test]
    fn effects_become_features_and_unknown_ones_are_missing() {
        let genes = Arc::new(Genes::new(["A", "B", "C"]).unwrap());
        let pool = Arc::new(Pool::all_pairs(genes.clone()));
        let (data, streams) = (DataRoot::default(), Streams::new(1));
        let setup = Setup { data: &data, streams: &streams };
        let embed = |effects| {
            let screen = Pairs(pool.clone(), effects);
            SingleEffects {}.embed(&PriorContext {
                name: "p",
                genes: &genes,
                updates: None,
                screen: Some(&screen),
                setup: &setup,
            })
        };
        let b = embed(Some(array![[1.0], [f64::NAN], [-2.0]])).unwrap();
        assert_eq!(b.present, [true, false, true]);
        assert_eq!((b.x[(0, 0)], b.x[(2, 0)]), (1.0, -2.0));
        assert!(embed(None).unwrap_err().to_string().contains("this one knows none"));
    }
}
