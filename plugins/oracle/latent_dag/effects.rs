//! Expectations: what a perturbation does to the states of programs, and the moments of its cells.

use super::Readout;
use super::world::World;
use framework::prelude::*;

/// The smallest share of its expression that a gene keeps when it is itself the target.
pub(super) const LEFT: f64 = 0.02;

/// Cells of one kind under a perturbation and guide.
pub(super) struct Part {
    /// Share of the cells.
    pub(super) weight: f64,
    /// Their program states.
    pub(super) states: Array1<f64>,
    /// Outputs of the target genes themselves, and the change of ln(share) there.
    pub(super) own: Vec<(usize, f64)>,
}

impl World {
    /// The kinds of cells under genes that are perturbed together by their guides of number `guide`.
    pub(super) fn parts(&self, genes: &[Gene], extra: Option<&Array1<f64>>, guide: usize) -> Vec<Part> {
        let components = self.settings.components;
        let mut acted: Vec<u32> = genes.iter().map(|g| self.component[g.index()]).collect();
        acted.sort_unstable();
        acted.dedup();
        let mut parts = vec![];
        for (i, &c) in acted.iter().enumerate() {
            let mut v = Array1::zeros(self.settings.programs);
            let mut own = vec![];
            for g in genes.iter().filter(|g| self.component[g.index()] == c) {
                let e = self.efficacy[(g.index(), guide)];
                v.scaled_add(e, &self.inputs.row(g.index()));
                if g.index() < self.settings.outputs {
                    own.push((g.index(), (1.0 - e).max(LEFT).ln()));
                }
            }
            // A planted interaction acts where the first gene does.
            if let Some(extra) = extra.filter(|_| i == 0) {
                v += extra;
            }
            parts.push(Part { weight: 1.0 / components as f64, states: self.states(v), own });
        }
        if acted.len() < components {
            let weight = (components - acted.len()) as f64 / components as f64;
            parts.push(Part { weight, states: Array1::zeros(self.settings.programs), own: vec![] });
        }
        parts
    }

    /// The effect on the outputs of the cells of a part: on the profile, or on ln(share).
    pub(super) fn effect(&self, part: &Part) -> Array1<f64> {
        let mut effect = self.loadings.dot(&part.states);
        if self.counts.is_some() {
            part.own.iter().for_each(|&(o, change)| effect[o] += change);
        }
        effect
    }

    /// Mean (minus control), variance between cells and ln P(no count) of each output, over the cells of one guide.
    pub(super) fn cell_moments(&self, effects: &[(f64, Array1<f64>)]) -> [Array1<f64>; 3] {
        let s = &self.settings;
        let mut sums: [Array1<f64>; 3] = std::array::from_fn(|_| Array1::zeros(s.outputs));
        let [mean, square, zero] = &mut sums;
        let several = effects.len() > 1;
        for (weight, effect) in effects {
            for (o, e) in effect.iter().enumerate() {
                let [m, v, z] = match &self.counts {
                    None => [*e, s.cell_sd * s.cell_sd, f64::NEG_INFINITY],
                    Some(c) => {
                        let [m, v, z] = c.at(o, *e);
                        [m - c.control[o][0], v, z]
                    }
                };
                mean[o] += weight * m;
                square[o] += weight * (v + m * m);
                zero[o] += if several { weight * z.exp() } else { z };
            }
        }
        square.zip_mut_with(mean, |q, m| *q = (*q - m * m).max(0.0));
        if several {
            zero.mapv_inplace(f64::ln);
        }
        sums
    }

    /// Guides that differ: one where all have the same efficacy.
    fn n_different_guides(&self) -> usize {
        if self.settings.efficacy_sd > 0.0 { self.settings.guides } else { 1 }
    }

    /// For each different guide the moments of its cells.
    pub(super) fn guide_moments(&self, genes: &[Gene], extra: Option<&Array1<f64>>) -> Vec<[Array1<f64>; 3]> {
        (0..self.n_different_guides())
            .map(|guide| {
                let parts = self.parts(genes, extra, guide);
                let effects: Vec<_> = parts.iter().map(|p| (p.weight, self.effect(p))).collect();
                self.cell_moments(&effects)
            })
            .collect()
    }

    /// The noise-free readout: the mean over guides.
    pub(super) fn expected(&self, genes: &[Gene], extra: Option<&Array1<f64>>) -> Array1<f64> {
        let n = self.n_different_guides() as f64;
        let mut sum = Array1::zeros(self.n_outputs());
        if self.settings.readout == Readout::Scalar {
            for guide in 0..self.n_different_guides() {
                for part in self.parts(genes, extra, guide) {
                    sum.scaled_add(part.weight / n, &self.read(&part.states));
                }
            }
        } else {
            self.guide_moments(genes, extra).iter().for_each(|m| sum.scaled_add(1.0 / n, &m[0]));
        }
        sum
    }

    pub(super) fn expected_of(&self, id: usize) -> Array1<f64> {
        self.pool.with_genes(id, |genes| self.expected(genes, self.planted.get(&id)))
    }

    pub(super) fn control_variance(&self, output: usize) -> f64 {
        self.counts.as_ref().map_or(self.settings.cell_sd.powi(2), |c| c.control[output][1])
    }
}
