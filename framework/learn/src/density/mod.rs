//! Distances, divergences and density ratios between samples.

mod bandwidth;
pub mod knn_kl;
pub mod mmd;
pub mod ratio;
pub mod smile;

pub use bandwidth::Bandwidth;
pub use mmd::{MeanKernel, Points, Shape};

#[cfg(test)]
mod testing {
    use numerics::samples::{Class, Design};

    pub(crate) struct PairClass {
        pub first: usize,
        pub second: usize,
        pub both: Class,
    }

    /// A design in memory.
    pub(crate) struct Samples {
        pub genes: Vec<String>,
        pub control: Class,
        pub singles: Vec<Class>,
        pub pairs: Vec<PairClass>,
    }

    impl Design for Samples {
        fn n_classes(&self) -> usize {
            1 + self.singles.len() + self.pairs.len()
        }
        fn n_shared(&self) -> usize {
            1 + self.singles.len()
        }
        fn class(&self, c: usize) -> &Class {
            match c.checked_sub(1) {
                None => &self.control,
                Some(g) if g < self.singles.len() => &self.singles[g],
                Some(p) => &self.pairs[p - self.singles.len()].both,
            }
        }
        fn four(&self, pair: usize) -> [usize; 4] {
            let p = &self.pairs[pair];
            [0, 1 + p.first, 1 + p.second, 1 + self.singles.len() + pair]
        }
        fn name(&self, c: usize) -> String {
            c.checked_sub(1).and_then(|g| self.genes.get(g)).cloned().unwrap_or_else(|| format!("class {c}"))
        }
        fn n_features(&self) -> usize {
            self.control.n_features()
        }
    }
}
