//! Networks on the same scaled rows as one model: its members are functions, their mean and spread its posterior.

use super::network::Network;
use super::scaling::Scaling;
use ndarray::{Array1, Array2, Array3, ArrayView2, Axis, s};
use numerics::gram::MakeRows;
use numerics::streams::StreamRng;
use numerics::{Error, Result};
use rand::RngExt;
use std::sync::Arc;

/// Rows answered in one piece.
const TILE: usize = 4096;

/// At least one network. Outputs of a network beyond those of the readouts (a noise head) are for its owner.
pub struct Ensemble {
    /// Where features come from.
    pub inputs: Arc<dyn MakeRows>,
    /// From features to rows, from values to readouts.
    pub scaling: Scaling,
    /// Soft limit c of scaled features x, which become c tanh(x/c); 0: none.
    pub clip: f64,
    /// The members.
    pub networks: Vec<Network<f64>>,
}

impl Ensemble {
    fn n_outputs(&self) -> usize {
        self.scaling.y_mean.len()
    }

    /// What the members see of some perturbations: ids x features.
    pub fn rows(&self, ids: &[usize]) -> Result<Array2<f64>> {
        let mut x = self.scaling.rows(&*self.inputs, ids)?;
        limit(&mut x, self.clip);
        Ok(x)
    }

    /// Readouts that some members predict: members x ids x outputs.
    pub fn values(&self, ids: &[usize], members: &[usize]) -> Result<Array3<f64>> {
        let n = self.n_outputs();
        let mut out = Array3::zeros((members.len(), ids.len(), n));
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let x = self.rows(tile)?;
            for (k, &m) in members.iter().enumerate() {
                let f = self.networks[m].forward(x.view());
                let f = &f.slice(s![.., ..n]) * &self.scaling.y_sd + &self.scaling.y_mean;
                out.slice_mut(s![k, t * TILE..t * TILE + tile.len(), ..]).assign(&f);
            }
        }
        Ok(out)
    }

    /// Mean over members, and for several the sd between them (÷ members).
    pub fn predict(&self, ids: &[usize]) -> Result<(Array2<f64>, Option<Array2<f64>>)> {
        let n = self.networks.len();
        let f = self.values(ids, &(0..n).collect::<Vec<_>>())?;
        let mean = f.sum_axis(Axis(0)) / n as f64;
        let sd = (n > 1).then(|| {
            let squares = (f - &mean).mapv(|v| v * v).sum_axis(Axis(0));
            squares.mapv(|s| (s / n as f64).sqrt())
        });
        Ok((mean, sd))
    }

    /// The members, where there are several: members x ids x outputs.
    pub fn functions(&self, ids: &[usize]) -> Result<Option<Array3<f64>>> {
        let n = self.networks.len();
        if n < 2 { Ok(None) } else { self.values(ids, &(0..n).collect::<Vec<_>>()).map(Some) }
    }

    fn several(&self, what: &str) -> Result<usize> {
        match self.networks.len() {
            n @ 2.. => Ok(n),
            _ => Err(Error::Unsupported(format!(
                "one network gives no {what}; set `members` of the {} above 1",
                self.scaling.model
            ))),
        }
    }

    /// `n` draws, each a member, drawn uniformly: n x ids x outputs.
    pub fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let k = self.several("draws")?;
        let drawn: Vec<usize> = (0..n).map(|_| rng.random_range(0..k)).collect();
        let mut used = drawn.clone();
        used.sort_unstable();
        used.dedup();
        let f = self.values(ids, &used)?;
        let rows: Vec<usize> = drawn.iter().map(|m| used.partition_point(|u| u < m)).collect();
        Ok(f.select(Axis(0), &rows))
    }

    /// Last hidden layer, members side by side.
    pub fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        let widths = self.networks.iter().map(|n| n.layers.last().map_or(0, |l| l.weight.nrows()));
        let mut out = Array2::zeros((ids.len(), widths.sum()));
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let x = self.rows(tile)?;
            let mut at = 0;
            for network in &self.networks {
                let h = network.last_hidden(x.view());
                out.slice_mut(s![t * TILE..t * TILE + tile.len(), at..at + h.ncols()]).assign(&h);
                at += h.ncols();
            }
        }
        Ok(out)
    }

    /// Layer by layer the two factors of the gradient of a member ([`Network::gradient_factors`]), whose outputs are
    /// scaled.
    pub fn factors(
        &self,
        ids: &[usize],
        member: usize,
        directions: ArrayView2<f64>,
    ) -> Result<Vec<(Array2<f64>, Array2<f64>)>> {
        let n = self.n_outputs();
        let network = self.networks.get(member).ok_or_else(|| {
            Error::Unsupported(format!(
                "member {member} of a network ensemble of {} was asked for",
                self.networks.len()
            ))
        })?;
        if directions.nrows() != n {
            return Err(Error::Unsupported(format!(
                "directions of {} outputs for a network of {n}",
                directions.nrows()
            )));
        }
        let all = network.layers.last().map_or(n, |l| l.weight.ncols());
        let mut padded = Array2::zeros((all, directions.ncols()));
        padded.slice_mut(s![..n, ..]).assign(&directions);
        Ok(network.gradient_factors(self.rows(ids)?.view(), padded.view()))
    }

    /// Σ_o Var f_o at points of feature space and its gradient, 2/n Σ_mo (f_mo - mean) ∇f_mo over the n members,
    /// through soft limit and scale.
    pub fn variance_gradient(&self, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
        let n = self.several("variance")?;
        let base = &self.scaling;
        let mut scaled = (&x - &base.x_mean) / &base.x_sd;
        limit(&mut scaled, self.clip);
        let place = s![.., ..self.n_outputs()];
        let mut f: Vec<Array2<f64>> = self.networks.iter().map(|m| m.forward(scaled.view())).collect();
        let mut mean = Array2::zeros((x.nrows(), self.n_outputs()));
        f.iter().for_each(|f| mean += &f.slice(place));
        mean /= n as f64;
        let (mut variance, mut gradient) = (Array1::zeros(x.nrows()), Array2::zeros(x.dim()));
        for (network, f) in self.networks.iter().zip(&mut f) {
            let apart = (&f.slice(place) - &mean) * &base.y_sd;
            variance += &(apart.mapv(|v| v * v).sum_axis(Axis(1)) / n as f64);
            f.fill(0.0);
            f.slice_mut(place).assign(&(apart * &base.y_sd * (2.0 / n as f64)));
            gradient += &network.input_gradient(scaled.view(), f.view());
        }
        if self.clip > 0.0 {
            gradient.zip_mut_with(&scaled, |g, x| *g *= 1.0 - (x / self.clip).powi(2));
        }
        Ok((variance, gradient / &base.x_sd))
    }
}

/// The soft limit.
pub fn limit(x: &mut Array2<f64>, clip: f64) {
    if clip > 0.0 {
        x.mapv_inplace(|v| clip * (v / clip).tanh());
    }
}
