//! The part of a screen that is left when genes are dropped: a screen of its own.

use crate::domain::{Control, Pool, Readouts, ScreenId};
use crate::error::{Error, Result};
use crate::plugin::{Experiment, Relation, Screen};
use ndarray::{Array2, Axis};
use numerics::streams::Streams;
use std::collections::HashMap;
use std::sync::Arc;

/// A screen of some of another's genes. Its ids are those of its own, smaller pool; what the whole screen answers for a
/// perturbation, and its noise, stay what they were.
pub(super) struct Part {
    whole: Box<dyn Screen>,
    pool: Arc<Pool>,
    /// What the whole screen calls each id.
    of: Vec<ScreenId>,
    /// The genes kept, by their numbers in the whole screen.
    genes: Vec<usize>,
}

impl Part {
    /// The part of a screen with the genes for which `keep` is true; its pool may be empty.
    pub(super) fn new(whole: Box<dyn Screen>, keep: &[bool]) -> Result<Self> {
        let (pool, of) = whole.pool().restrict_genes(keep)?;
        let genes = (0..keep.len()).filter(|&g| keep[g]).collect();
        Ok(Self { whole, pool: Arc::new(pool), of, genes })
    }

    fn asked(&self, ids: &[usize]) -> Vec<usize> {
        ids.iter().map(|&id| self.of[id].0).collect()
    }
}

impl Screen for Part {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        self.whole.n_outputs()
    }

    fn measure(&self, ids: &[usize], experiment: &Experiment, streams: &Streams) -> Result<Readouts> {
        let asked = self.asked(ids);
        let mut readouts = self.whole.measure(&asked, experiment, streams)?;
        let own: HashMap<usize, usize> = asked.into_iter().zip(ids.iter().copied()).collect();
        for id in &mut readouts.ids {
            *id = *own.get(id).ok_or_else(|| {
                Error::Plugin(format!("the oracle answered for perturbation {id}, which was not asked"))
            })?;
        }
        Ok(readouts)
    }

    fn n_lanes(&self) -> usize {
        self.whole.n_lanes()
    }

    fn control(&self) -> Option<Arc<Control>> {
        self.whole.control()
    }

    fn clarity(&self, ids: &[usize]) -> Option<Array2<f64>> {
        self.whole.clarity(&self.asked(ids))
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        self.whole.truth(&self.asked(ids))
    }

    fn replicates(&self, ids: &[usize]) -> Option<Array2<f64>> {
        self.whole.replicates(&self.asked(ids))
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        self.whole.single_effects().map(|e| e.select(Axis(0), &self.genes))
    }

    fn gene_factors(&self) -> Option<Array2<f64>> {
        self.whole.gene_factors().map(|f| f.select(Axis(0), &self.genes))
    }

    fn relations(&self, ids: &[usize]) -> Option<Vec<Relation>> {
        self.whole.relations(&self.asked(ids))
    }

    fn p_values(&self, ids: &[usize]) -> Option<Vec<f64>> {
        self.whole.p_values(&self.asked(ids))
    }

    fn notes(&self) -> Vec<String> {
        self.whole.notes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Genes;

    /// Pairs of five genes; the answer for a pair is its id.
    struct Pairs(Arc<Pool>);

    impl Screen for Pairs {
        fn pool(&self) -> &Arc<Pool> {
            &self.0
        }
        fn n_outputs(&self) -> usize {
            1
        }
        fn measure(&self, ids: &[usize], _: &Experiment, _: &Streams) -> Result<Readouts> {
            Ok(Readouts::plain(ids, Array2::from_shape_fn((ids.len(), 1), |(i, _)| ids[i] as f64)))
        }
        fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
            Some(Array2::from_shape_fn((ids.len(), 1), |(i, _)| ids[i] as f64))
        }
        fn single_effects(&self) -> Option<Array2<f64>> {
            Some(Array2::from_shape_fn((5, 1), |(g, _)| g as f64))
        }
    }

    #[test]
    fn a_part_answers_as_the_whole_under_its_own_ids() {
        let genes = Arc::new(Genes::new(["A", "B", "C", "D", "E"]).unwrap());
        let whole = Pool::all_pairs(genes);
        let part = Part::new(Box::new(Pairs(Arc::new(whole.clone()))), &[false, true, true, false, true]).unwrap();
        assert_eq!((part.pool().len(), part.pool().label(1)), (3, "B+E".to_string()));
        let readouts = part.measure(&[2, 0, 2], &Experiment::default(), &Streams::new(1)).unwrap();
        assert_eq!(readouts.ids, [2, 0, 2]);
        for (id, y) in [2, 0, 2].into_iter().zip(&readouts.y) {
            assert_eq!(whole.label(*y as usize), part.pool().label(id));
        }
        assert_eq!(part.truth(&[1]).unwrap()[(0, 0)], readouts_of(&whole, "B+E"));
        assert_eq!(part.single_effects().unwrap().into_raw_vec_and_offset().0, [1.0, 2.0, 4.0]);
    }

    fn readouts_of(pool: &Pool, label: &str) -> f64 {
        (0..pool.len()).position(|id| pool.label(id) == label).unwrap() as f64
    }
}
