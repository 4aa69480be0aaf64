//! A low-rank matrix of pair rewards with a mean-field normal posterior.
//!
//! R_ij ~ N((U Vᵀ)_ij, σ²) with all entries of U and V (genes x rank) N(0, 1), fitted to the rewards measured so far by
//! maximising the closed-form bound on the evidence; equations, ways up and cost stand in
//! `learn::matrix_posterior`. A symmetric matrix (genes x genes) enters every reward as (i, j) and (j, i) and
//! is read as ½ (M + Mᵀ); `columns` makes it rectangular. Rewards are standardised before fitting, since the prior expects
//! numbers of unit size. After Jain et al. 2024 (section 4, appendix C) and Xu, Jain et al. 2024 (section 4).
//!
//! Predicts without features: what it knows of a gene comes from the pairs measured with it, and a pair of genes never
//! measured has the mean of all rewards and the prior's spread. Draws are held as draws of the factors, in single
//! precision, and multiplied out where asked for: all pairs of 20,000 genes need 0.4 GB for 500 draws at rank 5.

use framework::numerics::stats;
use framework::plugin::Drawn;
use framework::prelude::*;
use learn::matrix_posterior::{
    Entries, Factorisation, Inference, Init, MatrixDraws, MatrixJob, MatrixPosterior, MatrixSettings,
};
use std::sync::Arc;

/// Completes the matrix of pair rewards from those measured, for pools of pairs with one readout. A pair measured several
/// times enters several times.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowRankMatrix {
    /// Rank, at most the number of genes (of rows, of columns) and 64; default 5.
    #[serde(default = "five")]
    pub rank: usize,
    /// Standard deviation of the noise of a reward, in sds of the measured rewards (in units of the reward where they are
    /// not standardised); default 0.1.
    #[serde(default = "tenth")]
    pub noise: f64,
    /// Whether the noise is fitted too, with ln(noise) ~ N(ln `noise`, 1) beforehand; default false.
    #[serde(default)]
    pub learn_noise: bool,
    /// `"cavi"` (default): coordinate ascent, a row of U or V at a time; `"adam"`: the papers' way, by Adam on means and
    /// logarithmic sds. Both maximise the same bound.
    #[serde(default)]
    pub inference: Inference,
    /// Steps of Adam, or the most sweeps of coordinate ascent; default 5,000 and 500.
    #[serde(default)]
    pub steps: Option<usize>,
    /// Step size of Adam; default 0.01.
    #[serde(default = "hundredth")]
    pub rate: f64,
    /// Where means start: `"small"` (default; normal, sd 0.1, or 0.5 with `"diag"` and `"gram"`) or `"uniform"` (from -2 to 2). All sds
    /// start at 0.1.
    #[serde(default)]
    pub init: Init,
    /// Starts, of which the one of largest bound is kept; default 1.
    #[serde(default = "one")]
    pub restarts: usize,
    /// How a symmetric matrix is made: `"mirror"` (default; U Vᵀ and its mirror image) or `"diag"` (U diag(s) Uᵀ with
    /// s ~ N(0, 1), every reward entered once) or `"gram"` (U Uᵀ, for rewards known to have no negative eigenvalue).
    #[serde(default)]
    pub symmetry: Symmetry,
    /// Names of the genes that form the columns of a rectangular matrix; all others are rows, and a pair has one of each.
    /// A name that starts with `*` stands for all genes that end in the rest. Absent: the matrix is symmetric.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// Whether measured rewards are brought to mean 0 and sd 1 before fitting; default true. Where they are all equal,
    /// nothing tells their spread: their size (or 1) stands for the sd, and `low_rank_matrix.constant` is 1.
    #[serde(default = "yes")]
    pub standardise: bool,
    /// Whether the fit of a round starts where that of the round before ended; default false: from scratch. The fit then
    /// passes through all rounds again, so that a run taken up again has the same numbers.
    #[serde(default)]
    pub warm: bool,
    /// Steps or sweeps of every round but the last of a warm fit; default 500 and 20.
    #[serde(default)]
    pub warm_steps: Option<usize>,
}

/// How a symmetric matrix is made of its factors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Symmetry {
    /// U Vᵀ and its mirror image.
    #[default]
    Mirror,
    /// U diag(s) Uᵀ.
    Diag,
    /// U Uᵀ.
    Gram,
}

fn five() -> usize {
    5
}

fn one() -> usize {
    1
}

fn tenth() -> f64 {
    0.1
}

fn hundredth() -> f64 {
    0.01
}

fn yes() -> bool {
    true
}

impl Default for LowRankMatrix {
    fn default() -> Self {
        Self {
            rank: five(),
            noise: tenth(),
            learn_noise: false,
            inference: Inference::default(),
            steps: None,
            rate: hundredth(),
            init: Init::default(),
            restarts: one(),
            symmetry: Symmetry::default(),
            columns: None,
            standardise: yes(),
            warm: false,
            warm_steps: None,
        }
    }
}

#[typetag::serde(name = "low_rank_matrix")]
impl Model for LowRankMatrix {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        if cx.observed.n_outputs() != 1 {
            return Err(Error::Config(format!(
                "low_rank_matrix: a reward is one number a pair, and readouts have {} outputs; reduce them to one in the oracle \
                 (screen_table: reduce = \"norm\")",
                cx.observed.n_outputs()
            )));
        }
        let sides = Sides::new(self.columns.as_deref(), cx.inputs.pool())?;
        // The rounds whose data each stage of the fit ends with.
        let last = cx.observed.round.iter().copied().max().unwrap_or(0);
        let mut ends: Vec<usize> = if self.warm { cx.observed.round.clone() } else { vec![last] };
        ends.sort_unstable();
        ends.dedup();
        let (mut stages, mut scale) = (Vec::with_capacity(ends.len()), Scale::default());
        for &end in &ends {
            let rows: Vec<usize> = (0..cx.observed.len()).filter(|&r| cx.observed.round[r] <= end).collect();
            let y: Vec<f64> = rows.iter().map(|&r| cx.observed.y[(r, 0)]).collect();
            scale = if self.standardise { Scale::of(&y) } else { Scale { mean: 0.0, sd: 1.0, constant: false } };
            let mut list = Vec::with_capacity(rows.len());
            for (&r, y) in rows.iter().zip(&y) {
                let (i, j) = sides.entry(cx.inputs.pool(), cx.observed.ids[r])?;
                list.push((i, j, (y - scale.mean) / scale.sd));
            }
            stages.push(Entries { rows: sides.rows, columns: sides.columns, list });
        }
        let adam = self.inference == Inference::Adam;
        let settings = MatrixSettings {
            rank: self.rank,
            form: match (&self.columns, self.symmetry) {
                (Some(_), _) => Factorisation::Rectangular,
                (None, Symmetry::Mirror) => Factorisation::Mirror,
                (None, Symmetry::Diag) => Factorisation::Diag,
                (None, Symmetry::Gram) => Factorisation::Gram,
            },
            inference: self.inference,
            steps: self.steps.unwrap_or(if adam { 5000 } else { 500 }),
            rate: self.rate,
            init: self.init,
            noise: self.noise,
            learn_noise: self.learn_noise,
            restarts: self.restarts,
            ..MatrixSettings::default()
        };
        // A warm fit must start alike in every round, and streams differ from round to round; what was measured first
        // does not.
        let streams = match (self.warm, stages.first()) {
            (true, Some(first)) => Streams::new(fingerprint(first)).child("low_rank_matrix"),
            _ => cx.streams.child("low_rank_matrix"),
        };
        let stage_steps = self.warm_steps.unwrap_or(if adam { 500 } else { 20 });
        let posterior = MatrixPosterior::fit(&MatrixJob { settings, stages: &stages, stage_steps, streams })?;
        Ok(Box::new(Fitted { pool: cx.inputs.pool().clone(), sides, posterior, scale }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd, Ability::Draws])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Pairs, Ability::Scalar])
    }
}

/// A number that depends on all entries and on nothing else.
fn fingerprint(e: &Entries) -> u64 {
    let mix = |h: u64, v: u64| (h ^ v).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    e.list.iter().fold(0xcbf2_9ce4_8422_2325, |h, &(i, j, y)| mix(mix(mix(h, u64::from(i)), u64::from(j)), y.to_bits()))
}

/// What is subtracted from rewards and what they are divided by.
#[derive(Clone, Copy, Debug, Default)]
struct Scale {
    mean: f64,
    sd: f64,
    constant: bool,
}

impl Scale {
    fn of(y: &[f64]) -> Self {
        let mean = stats::mean(y);
        let square = y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / y.len() as f64;
        let size = y.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        match square.sqrt() {
            sd if sd > 1e-12 * size => Self { mean, sd, constant: false },
            _ => Self { mean, sd: if size > 0.0 { size } else { 1.0 }, constant: true },
        }
    }
}

/// Which gene is which row or column.
#[derive(Debug)]
struct Sides {
    rows: usize,
    columns: usize,
    /// For each gene its row, or its column with the mark set; in a symmetric matrix its number.
    place: Option<Vec<(bool, u32)>>,
}

impl Sides {
    fn new(columns: Option<&[String]>, pool: &Pool) -> Result<Self> {
        let genes = pool.genes();
        if pool.is_singles() {
            return Err(Error::Config(
                "low_rank_matrix: the matrix is one of pairs and this pool holds single genes; use an oracle of pairs, or a \
                 model of single genes"
                    .into(),
            ));
        }
        let Some(names) = columns else { return Ok(Self { rows: genes.len(), columns: genes.len(), place: None }) };
        let mut is_column = vec![false; genes.len()];
        for name in names {
            match (name.strip_prefix('*'), genes.find(name)) {
                (_, Some(g)) => is_column[g.index()] = true,
                (Some(end), None) => {
                    let mut any = false;
                    for (g, _) in genes.names().enumerate().filter(|(_, n)| n.ends_with(end)) {
                        (any, is_column[g]) = (true, true);
                    }
                    if !any {
                        return Err(Error::Config(format!(
                            "low_rank_matrix: `columns` names `{name}`, and no gene of the pool ends in `{end}`"
                        )));
                    }
                }
                (None, None) => {
                    return Err(Error::Config(format!(
                        "low_rank_matrix: `columns` names `{name}`, which is no gene of the pool{}",
                        framework::error::hint(name, genes.names())
                    )));
                }
            }
        }
        let mut next = [0u32; 2];
        let place: Vec<(bool, u32)> = is_column
            .iter()
            .map(|&c| {
                next[usize::from(c)] += 1;
                (c, next[usize::from(c)] - 1)
            })
            .collect();
        Ok(Self { rows: next[0] as usize, columns: next[1] as usize, place: Some(place) })
    }

    /// Row and column of a pair.
    fn entry(&self, pool: &Pool, id: usize) -> Result<(u32, u32)> {
        let found = pool.with_genes(id, |genes| match (genes, &self.place) {
            ([a, b], None) if a != b => Some((a.0, b.0)),
            ([a, b], Some(place)) => match (place[a.index()], place[b.index()]) {
                ((false, i), (true, j)) | ((true, j), (false, i)) => Some((i, j)),
                _ => None,
            },
            _ => None,
        });
        found.ok_or_else(|| {
            Error::Config(format!(
                "low_rank_matrix: `{}` has no place in the matrix; every perturbation must be a pair of {}",
                pool.label(id),
                if self.place.is_some() {
                    "one row gene and one column gene (see `columns`)"
                } else {
                    "two different genes (screen_table: same_gene = \"drop\")"
                }
            ))
        })
    }
}

struct Fitted {
    pool: Arc<Pool>,
    sides: Sides,
    posterior: MatrixPosterior,
    scale: Scale,
}

impl Fitted {
    fn entries(&self, ids: &[usize]) -> Result<Vec<(u32, u32)>> {
        ids.iter().map(|&id| self.sides.entry(&self.pool, id)).collect()
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let (mut mean, mut sd) = (Array2::zeros((ids.len(), 1)), Array2::zeros((ids.len(), 1)));
        for (r, &id) in ids.iter().enumerate() {
            let (i, j) = self.sides.entry(&self.pool, id)?;
            let (m, v) = self.posterior.moments(i as usize, j as usize);
            mean[(r, 0)] = self.scale.mean + self.scale.sd * m;
            sd[(r, 0)] = self.scale.sd * v.sqrt();
        }
        Ok(Posterior { mean, sd: Some(sd) })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn noise_variance(&self) -> Option<Array1<f64>> {
        Some(Array1::from_elem(1, (self.scale.sd * self.posterior.noise).powi(2)))
    }

    fn record(&self) -> Vec<(String, f64)> {
        let named = |name: &str, v: f64| (format!("low_rank_matrix.{name}"), v);
        vec![
            named("elbo", self.posterior.elbo),
            named("noise", self.scale.sd * self.posterior.noise),
            named("steps", self.posterior.steps as f64),
            named("constant", f64::from(u8::from(self.scale.constant))),
        ]
    }
}

impl JointDraws for Fitted {
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let mut x = Vec::new();
        self.pieces(n, rng).at(ids, &mut x)?;
        Array3::from_shape_vec((n, ids.len(), 1), x).map_err(|e| Error::Plugin(e.to_string()))
    }

    fn drawn(&self, n: usize, rng: &mut StreamRng) -> Result<Option<Box<dyn Drawn + '_>>> {
        Ok(Some(Box::new(self.pieces(n, rng))))
    }
}

impl Fitted {
    fn pieces(&self, n: usize, rng: &mut StreamRng) -> Draws<'_> {
        Draws { of: self, draws: self.posterior.draws(n, &Streams::new(rng.random())) }
    }
}

struct Draws<'a> {
    of: &'a Fitted,
    draws: MatrixDraws,
}

impl Drawn for Draws<'_> {
    fn at(&self, ids: &[usize], out: &mut Vec<f64>) -> Result<()> {
        self.draws.values(&self.of.entries(ids)?, self.of.scale.mean, self.of.scale.sd, out);
        Ok(())
    }
}

framework::register!(
    Model,
    LowRankMatrix,
    "low_rank_matrix",
    "completes a low-rank matrix of pair rewards (variational Bayes)"
);

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, StandardNormal};

    /// All pairs of `n` genes with rewards 50 + 20 u_i u_j, and a list of some ids.
    fn world(n: usize) -> (Arc<Inputs>, Vec<f64>, Vec<usize>) {
        let genes = Arc::new(Genes::new((0..n).map(|g| format!("g{g}"))).unwrap());
        let inputs = Arc::new(Inputs::new(Arc::new(Pool::all_pairs(genes)), vec![], Compose::Sum).unwrap());
        let mut rng = Streams::new(4).rng("u");
        let u: Vec<f64> = (0..n).map(|_| StandardNormal.sample(&mut rng)).collect();
        let pool = inputs.pool();
        let truth: Vec<f64> = (0..pool.len())
            .map(|id| pool.with_genes(id, |g| 50.0 + 20.0 * u[g[0].index()] * u[g[1].index()]))
            .collect();
        let some = rand::seq::index::sample(&mut rng, pool.len(), pool.len() / 2).into_vec();
        (inputs, truth, some)
    }

    fn observe(truth: &[f64], ids: &[usize], rounds: usize) -> Observed {
        let mut observed = Observed::empty(1);
        for (r, part) in ids.chunks(ids.len().div_ceil(rounds)).enumerate() {
            let y = Array2::from_shape_fn((part.len(), 1), |(i, _)| truth[part[i]]);
            observed.push(&Readouts::plain(part, y), r).unwrap();
        }
        observed
    }

    fn fit(model: &LowRankMatrix, inputs: &Arc<Inputs>, observed: &Observed, seed: u64) -> Result<Box<dyn Surrogate>> {
        model.fit(&FitContext { inputs, observed, streams: &Streams::new(seed) })
    }

    #[test]
    fn rewards_are_completed_in_their_own_units() {
        let (inputs, truth, some) = world(20);
        let observed = observe(&truth, &some, 1);
        let rest: Vec<usize> = (0..truth.len()).filter(|i| !some.contains(i)).collect();
        for symmetry in [Symmetry::Mirror, Symmetry::Diag] {
            let model = LowRankMatrix { symmetry, rank: 3, noise: 0.05, ..LowRankMatrix::default() };
            let s = fit(&model, &inputs, &observed, 1).unwrap();
            let p = s.predict(&rest).unwrap();
            let want: Vec<f64> = rest.iter().map(|&i| truth[i]).collect();
            let r = stats::pearson(&p.mean.column(0).to_vec(), &want);
            assert!(r > 0.97, "{symmetry:?}: {r}");
            let error: Vec<f64> = p.mean.iter().zip(&want).map(|(m, w)| (m - w).abs()).collect();
            assert!(stats::mean(&error) < 4.0, "{symmetry:?}: {}", stats::mean(&error));
            // Draws have the predicted moments, in every way of asking for them.
            let sd = p.sd.unwrap();
            let d = s.draws().unwrap().draw(&rest[..30], 4000, &mut Streams::new(2).rng("d")).unwrap();
            for i in 0..30 {
                let column: Vec<f64> = (0..4000).map(|l| d[(l, i, 0)]).collect();
                assert!((stats::mean(&column) - p.mean[(i, 0)]).abs() < 6.0 * sd[(i, 0)] / 4000f64.sqrt() + 1e-4);
                assert!((stats::sd(&column) / sd[(i, 0)] - 1.0).abs() < 0.2);
            }
            let drawn = s.draws().unwrap().drawn(4000, &mut Streams::new(2).rng("d")).unwrap().unwrap();
            let mut x = vec![];
            drawn.at(&rest[7..9], &mut x).unwrap();
            assert!((0..4000).all(|l| x[2 * l] == d[(l, 7, 0)] && x[2 * l + 1] == d[(l, 8, 0)]));
        }
    }

    #[test]
    fn columns_make_it_rectangular() {
        let names: Vec<String> = (0..8).map(|g| format!("g{g}")).chain((0..4).map(|g| format!("g{g}@query"))).collect();
        let genes = Arc::new(Genes::new(&names).unwrap());
        let pairs = (0..8).flat_map(|i| (8..12).map(move |j| Perturbation::new([Gene(i), Gene(j)])));
        let pool = Arc::new(Pool::list(genes, pairs).unwrap());
        let inputs = Arc::new(Inputs::new(pool, vec![], Compose::Sum).unwrap());
        let value = |id: usize| ((id / 4) as f64 - 3.0) * ((id % 4) as f64 - 1.0);
        let ids: Vec<usize> = (0..32).filter(|i| i % 5 != 0).collect();
        let truth: Vec<f64> = (0..32).map(value).collect();
        let observed = observe(&truth, &ids, 1);
        let columns = |c: &[&str]| Some(c.iter().map(|s| s.to_string()).collect());
        let model = LowRankMatrix { rank: 2, columns: columns(&["*@query"]), ..LowRankMatrix::default() };
        let s = fit(&model, &inputs, &observed, 1).unwrap();
        let hidden: Vec<usize> = (0..32).step_by(5).collect();
        let p = s.predict(&hidden).unwrap();
        assert!(hidden.iter().zip(&p.mean).all(|(&i, m)| (m - truth[i]).abs() < 1.0), "{:?}", p.mean);
        let listed = LowRankMatrix { columns: columns(&["g0@query", "g1@query"]), ..model.clone() };
        let e = fit(&listed, &inputs, &observed, 1).err().unwrap().to_string();
        assert!(e.contains("has no place in the matrix; every perturbation must be a pair of one row gene"), "{e}");
        let wrong = LowRankMatrix { columns: columns(&["g0@quer"]), ..model.clone() };
        let e = fit(&wrong, &inputs, &observed, 1).err().unwrap().to_string();
        assert!(e.contains("which is no gene of the pool; did you mean `g0@query`?"), "{e}");
        let none = LowRankMatrix { columns: columns(&["*@x"]), ..model };
        assert!(
            fit(&none, &inputs, &observed, 1).err().unwrap().to_string().contains("no gene of the pool ends in `@x`")
        );
    }

    #[test]
    fn warm_fits_go_on_from_the_round_before_whatever_the_stream() {
        let (inputs, truth, some) = world(14);
        let warm = LowRankMatrix { rank: 2, warm: true, ..LowRankMatrix::default() };
        let observed = observe(&truth, &some, 4);
        let at = |m: &LowRankMatrix, o: &Observed, seed| {
            fit(m, &inputs, o, seed).unwrap().predict(&[0, 5, 40]).unwrap().mean
        };
        assert_eq!(at(&warm, &observed, 1), at(&warm, &observed, 2));
        let cold = LowRankMatrix { warm: false, ..warm.clone() };
        assert_ne!(at(&cold, &observed, 1), at(&cold, &observed, 2));
        // With one round there is nothing to pass through: four sweeps are those of a cold fit.
        let s = fit(&warm, &inputs, &observed, 1).unwrap();
        let steps = s.record().iter().find(|r| r.0 == "low_rank_matrix.steps").unwrap().1;
        assert!(steps > 4.0, "{steps}");
    }

    #[test]
    fn what_cannot_be_fitted_is_told_and_equal_rewards_are_a_stated_case() {
        let (inputs, truth, some) = world(4);
        let e = fit(&LowRankMatrix::default(), &inputs, &observe(&truth, &some, 1), 1).err().unwrap().to_string();
        assert_eq!(e, "low-rank matrix: rank = 5 is larger than a matrix of 4 genes can have; lower the rank");
        let model = LowRankMatrix { rank: 2, ..LowRankMatrix::default() };
        let s = fit(&model, &inputs, &observe(&[7.0; 6], &[0, 1, 4], 1), 1).unwrap();
        let p = s.predict(&[0, 1, 2, 3, 4, 5]).unwrap();
        p.check(6, 1).unwrap();
        assert!((p.mean[(0, 0)] - 7.0).abs() < 1e-6);
        assert!(s.record().contains(&("low_rank_matrix.constant".into(), 1.0)));
        let singles = framework::testing::TinyWorld::new(6, 2, 1, false, 1).unwrap();
        let observed = singles.observe(&[0, 1], 1).unwrap();
        let e = fit(&model, &singles.inputs, &observed, 1).err().unwrap().to_string();
        assert!(e.contains("this pool holds single genes"), "{e}");
        let genes = Arc::new(Genes::new(["A", "B", "C"]).unwrap());
        let triple = |v: &[u32]| Perturbation::new(v.iter().map(|&g| Gene(g)));
        let pool = Pool::list(genes, [triple(&[0, 1]), triple(&[0, 1, 2]), triple(&[2, 2])]).unwrap();
        let inputs = Arc::new(Inputs::new(Arc::new(pool), vec![], Compose::Sum).unwrap());
        let s = fit(&model, &inputs, &observe(&[1.0, 2.0, 3.0], &[0], 1), 1).unwrap();
        for id in [1, 2] {
            let e = s.predict(&[id]).unwrap_err().to_string();
            assert!(e.contains("must be a pair of two different genes"), "{e}");
        }
        let wide = framework::testing::TinyWorld::new(6, 2, 3, true, 1).unwrap();
        let e = fit(&model, &wide.inputs, &wide.observe(&[0, 1], 1).unwrap(), 1).err().unwrap().to_string();
        assert!(e.contains("readouts have 3 outputs; reduce them to one"), "{e}");
    }
}
