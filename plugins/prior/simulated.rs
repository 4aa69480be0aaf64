//! Priors of chosen quality, made from the hidden truth of a simulator.
//!
//! Without `kind`: φ = ρ F̃ + √(1 - ρ²) ε + offset, with F̃ the simulator's gene factors, standardised, rotated at random
//! and standardised again, and ε ~ N(0, 1): ρ is the correlation of each feature with the truth. For questions of the
//! form "how good must prior knowledge be".
//!
//! With `kind`, one of the six kinds of source that IterPert fuses (Huang et al. 2023, section 3.3 and appendix A).
//! Each sees a part of the truth in its own way and has its own defaults:
//!
//! | kind | what it sees | informativeness | coverage | offset | dims |
//! |---|---|---|---|---|---|
//! | other_screen | profiles of the perturbations in another context, with their sizes | 0.7 | 0.9 | 0 | outputs |
//! | imaging | tanh of 64 mixtures of the gene factors, with their sizes | 0.5 | 0.95 | 0 | 64 |
//! | atlas | which module a gene belongs to, as a pattern over conditions | 0.5 | 1 | 1 | 100 |
//! | sequence | families of five genes, half of whose members share a module | 0.3 | 1 | 3 | 128 |
//! | network | links to the ten genes with the most similar factors, and features from them | 0.6 | 0.9 | 0 | 64 |
//! | literature | gene factors without sizes; `offset` grows with a gene's popularity | 0.4 | 1 | 3 | 64 |
//!
//! φ = ρ S + √(1 - ρ²) ε + offset with S the standardised signal. Profiles are scaled as a whole, so that ε is small
//! beside a strong effect and large beside a weak one. In the network ρ is the share of links that are true; the others
//! end at a gene drawn at random. Cost O(genes x factors x dims), for the network O(genes² x factors).

use framework::numerics::{Sparse, matmul, matmul_t};
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Features that know a simulator's hidden truth to a chosen degree. Needs an oracle that is a simulator.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Simulated {
    /// The source that it imitates: `"other_screen"`, `"imaging"`, `"atlas"`, `"sequence"`, `"network"` or
    /// `"literature"`. Absent: the gene factors themselves.
    pub kind: Option<Source>,
    /// How much of the truth it tells, 0 (noise) to 1: correlation ρ of a feature with its signal, for a network the
    /// share of true links. Absent: that of the kind, 0.7 without a kind.
    pub informativeness: Option<f64>,
    /// Share of the genes that the prior covers, 0 to 1, drawn at random. Absent: that of the kind, 1 without a kind.
    pub coverage: Option<f64>,
    /// A constant added to every feature, as a source with a large common mean has, in sds. Absent: that of the kind,
    /// 0 without a kind.
    pub offset: Option<f64>,
    /// Number of features. Absent: that of the kind; without a kind as many as the simulator has factors.
    pub dims: Option<usize>,
    /// Without a kind: whether the prior also knows how strong each gene is; default false: a gene's factors are
    /// scaled to length 1 first, so that it knows what a gene acts on but not how much.
    pub sizes: bool,
}

/// Kinds of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Perturb-seq of another cell line.
    OtherScreen,
    /// Optical pooled screen.
    Imaging,
    /// Expression atlas.
    Atlas,
    /// Protein sequence embedding.
    Sequence,
    /// Protein interactions.
    Network,
    /// Text embedding.
    Literature,
}

/// The dials with every default filled in.
struct Dials {
    informativeness: f64,
    coverage: f64,
    offset: f64,
    dims: Option<usize>,
}

impl Source {
    fn defaults(kind: Option<Self>) -> Dials {
        let (informativeness, coverage, offset, dims) = match kind {
            None => (0.7, 1.0, 0.0, None),
            Some(Source::OtherScreen) => (0.7, 0.9, 0.0, None),
            Some(Source::Imaging) => (0.5, 0.95, 0.0, Some(64)),
            Some(Source::Atlas) => (0.5, 1.0, 1.0, Some(100)),
            Some(Source::Sequence) => (0.3, 1.0, 3.0, Some(128)),
            Some(Source::Network) => (0.6, 0.9, 0.0, Some(64)),
            Some(Source::Literature) => (0.4, 1.0, 3.0, Some(64)),
        };
        Dials { informativeness, coverage, offset, dims }
    }
}

/// Links that each gene has to the genes most like it.
const LINKS: usize = 10;
/// Genes of a protein family.
const FAMILY: usize = 5;

fn normals(rows: usize, columns: usize, rng: &mut StreamRng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

#[typetag::serde(name = "simulated")]
impl Prior for Simulated {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        let wrong = |what: String| Error::Config(format!("prior `{}`: {what}", cx.name));
        let own = Source::defaults(self.kind);
        let dials = Dials {
            informativeness: self.informativeness.unwrap_or(own.informativeness),
            coverage: self.coverage.unwrap_or(own.coverage),
            offset: self.offset.unwrap_or(own.offset),
            dims: self.dims.or(own.dims),
        };
        for (name, v) in [("informativeness", dials.informativeness), ("coverage", dials.coverage)] {
            if !(0.0..=1.0).contains(&v) {
                return Err(wrong(format!("{name} = {v} is not within 0 to 1")));
            }
        }
        if !dials.offset.is_finite() || dials.dims == Some(0) {
            return Err(wrong("`offset` must be a finite number and `dims` at least 1".into()));
        }
        if self.kind.is_some() && self.sizes {
            return Err(wrong("each kind has its own knowledge of sizes; leave `sizes` out".into()));
        }
        let known = cx.screen.and_then(|s| Some((s, s.gene_factors()?)));
        let Some((screen, factors)) = known else {
            return Err(wrong(
                "a simulated prior needs an oracle that is a simulator (such as latent_dag); use embedding_table \
                 with a recorded screen"
                    .into(),
            ));
        };
        let streams = cx.setup.streams.child("prior").child(cx.name);
        let genes = screen.pool().genes();
        let n = (dials.coverage * genes.len() as f64).round() as usize;
        let mut covered = rand::seq::index::sample(&mut streams.rng("coverage"), genes.len(), n).into_vec();
        covered.sort_unstable();

        let mut graph = None;
        let signal = match self.kind {
            None => rotated(factors, self.sizes, dials.dims, &streams)?,
            Some(Source::Literature) => rotated(factors, false, dials.dims, &streams)?,
            Some(Source::OtherScreen) => {
                let profiles = single_profiles(screen).ok_or_else(|| {
                    wrong("kind = \"other_screen\" needs an oracle that knows the effects of single genes".into())
                })?;
                other_screen(profiles, dials.dims, &streams)
            }
            Some(Source::Imaging) => imaging(&factors, dials.dims.unwrap_or(1), &streams),
            Some(Source::Atlas) => {
                let module = modules(&factors, &streams);
                patterns(&module, dials.dims.unwrap_or(1), &mut streams.rng("conditions"))
            }
            Some(Source::Sequence) => {
                let family = families(&modules(&factors, &streams), &streams);
                patterns(&family, dials.dims.unwrap_or(1), &mut streams.rng("families"))
            }
            Some(Source::Network) => {
                let network = network(&factors, dials.informativeness, &covered, &streams);
                let features = of_network(&network, dials.dims.unwrap_or(1), &streams);
                graph = Some(network);
                features
            }
        };
        // False links are the noise of a network.
        let rho = if self.kind == Some(Source::Network) { 1.0 } else { dials.informativeness };
        let noise = (1.0 - rho * rho).sqrt();
        let mut rng = streams.rng("noise");
        let mut popular = streams.rng("popularity");
        let mut x = signal;
        for mut row in x.outer_iter_mut() {
            let fame: f64 = StandardNormal.sample(&mut popular);
            // Log-normal with mean 1.
            let fame = if self.kind == Some(Source::Literature) { (0.5 * fame - 0.125).exp() } else { 1.0 };
            row.mapv_inplace(|v| {
                let z: f64 = StandardNormal.sample(&mut rng);
                rho * v + noise * z + dials.offset * fame
            });
        }
        let names: Vec<&str> = covered.iter().map(|&g| genes.name(Gene(g as u32))).collect();
        let block = cx.block_from_rows(&names, &x.select(Axis(0), &covered))?;
        Ok(match graph {
            Some(graph) => block.with_graph(graph),
            None => block,
        })
    }

    fn seeded(&self) -> bool {
        true
    }
}

/// The factors in random orthogonal directions, standardised.
fn rotated(mut truth: Array2<f64>, sizes: bool, dims: Option<usize>, streams: &Streams) -> Result<Array2<f64>> {
    let k = truth.ncols();
    let d = dims.unwrap_or(k);
    // Orthonormal columns (or rows, where there are more features than factors): the Cholesky factor L
    // of GᵀG makes G L⁻ᵀ orthonormal.
    let g = normals(k, d, &mut streams.rng("rotation"));
    let rotation = if d <= k {
        Cholesky::new(matmul(g.t(), g.view()).view())?.half_solve(g.t()).reversed_axes()
    } else {
        Cholesky::new(matmul(g.view(), g.t()).view())?.half_solve(g.view())
    };
    if !sizes {
        to_unit_length(&mut truth);
    }
    standardise(&mut truth);
    let mut x = matmul(truth.view(), rotation.view());
    standardise(&mut x);
    Ok(x)
}

/// True profiles of the single genes: genes x outputs.
fn single_profiles(screen: &dyn Screen) -> Option<Array2<f64>> {
    let pool = screen.pool();
    if pool.is_singles() { screen.truth(&(0..pool.len()).collect::<Vec<_>>()) } else { screen.single_effects() }
}

/// Profiles, or so many random mixtures of their outputs, with mean square 1 over all entries.
fn other_screen(mut profiles: Array2<f64>, dims: Option<usize>, streams: &Streams) -> Array2<f64> {
    if let Some(d) = dims.filter(|d| *d != profiles.ncols()) {
        profiles = matmul(profiles.view(), normals(profiles.ncols(), d, &mut streams.rng("mixtures")).view());
    }
    let size = (profiles.iter().map(|v| v * v).sum::<f64>() / profiles.len() as f64).sqrt();
    if size > 0.0 { profiles / size } else { profiles }
}

fn imaging(factors: &Array2<f64>, d: usize, streams: &Streams) -> Array2<f64> {
    let (n, k) = factors.dim();
    let size = (factors.iter().map(|v| v * v).sum::<f64>() / n as f64).sqrt();
    let mixtures = normals(k, d, &mut streams.rng("mixtures")) / size.max(1e-300);
    let mut x = matmul(factors.view(), mixtures.view()).mapv_into(f64::tanh);
    standardise(&mut x);
    x
}

/// The factor that is largest for each gene; one at random for a gene without any.
fn modules(factors: &Array2<f64>, streams: &Streams) -> Vec<usize> {
    let mut rng = streams.rng("modules");
    let of = |row: ArrayView1<f64>| {
        let any = rng.random_range(0..row.len());
        row.iter().enumerate().fold((any, 0.0), |best, (p, v)| if v.abs() > best.1 { (p, v.abs()) } else { best }).0
    };
    factors.outer_iter().map(of).collect()
}

/// Families of genes: half of the members come from one module, half from anywhere.
fn families(module: &[usize], streams: &Streams) -> Vec<usize> {
    let mut rng = streams.rng("families");
    let n_modules = module.iter().max().map_or(1, |m| m + 1);
    let mut order: Vec<(usize, u32, usize)> = module
        .iter()
        .enumerate()
        .map(|(g, &m)| {
            let (stays, other) = (rng.random::<bool>(), rng.random_range(0..n_modules));
            (if stays { m } else { other }, rng.random(), g)
        })
        .collect();
    order.sort_unstable();
    let mut family = vec![0; module.len()];
    order.iter().enumerate().for_each(|(i, o)| family[o.2] = i / FAMILY);
    family
}

/// One random pattern for each group, standardised.
fn patterns(group: &[usize], d: usize, rng: &mut StreamRng) -> Array2<f64> {
    let n_groups = group.iter().max().map_or(1, |m| m + 1);
    let mut x = normals(n_groups, d, rng).select(Axis(0), group);
    standardise(&mut x);
    x
}

/// Links of the covered genes to those with the most similar factors, each false with probability 1 - `truth`.
fn network(factors: &Array2<f64>, truth: f64, covered: &[usize], streams: &Streams) -> Sparse {
    const TILE: usize = 256;
    let n = covered.len();
    let mut rows = factors.select(Axis(0), covered);
    to_unit_length(&mut rows);
    let k = LINKS.min(n.saturating_sub(1));
    let nearest: Vec<Vec<(usize, f64)>> = (0..n.div_ceil(TILE))
        .flat_map(|t| {
            let tile = rows.slice(ndarray::s![t * TILE..n.min((t + 1) * TILE), ..]);
            let similar = matmul_t(tile, rows.view());
            (0..similar.nrows())
                .into_par_iter()
                .map(|i| {
                    let mut all: Vec<(usize, f64)> =
                        similar.row(i).iter().copied().enumerate().filter(|(j, _)| *j != t * TILE + i).collect();
                    let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
                    if k > 0 && k < all.len() {
                        all.select_nth_unstable_by(k - 1, order);
                        all.truncate(k);
                    }
                    all.sort_by(order);
                    all
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let mut rng = streams.rng("links");
    let mut links = BTreeMap::new();
    for (i, near) in nearest.iter().enumerate() {
        for &(j, similarity) in near {
            let (u, other): (f64, usize) = (rng.random(), rng.random_range(0..n));
            let j = if u < truth { j } else { other };
            // A gene without factors has links too, of little weight.
            let weight = similarity.max(0.1);
            if i != j {
                let slot = links.entry((i.min(j), i.max(j))).or_insert(weight);
                *slot = f64::max(*slot, weight);
            }
        }
    }
    let both = links.into_iter().flat_map(|((i, j), w)| {
        let (a, b) = (covered[i] as u32, covered[j] as u32);
        [(a, b, w), (b, a, w)]
    });
    Sparse::new(factors.nrows(), factors.nrows(), both.collect())
}

/// Random features averaged over links three times, D^-½ (A + I) D^-½, standardised.
fn of_network(network: &Sparse, d: usize, streams: &Streams) -> Array2<f64> {
    let n = network.dim().0;
    let degree: Vec<f64> = (0..n).map(|g| 1.0 + network.row(g).map(|e| e.1).sum::<f64>()).collect();
    let mut entries: Vec<(u32, u32, f64)> = (0..n).map(|g| (g as u32, g as u32, 1.0 / degree[g])).collect();
    entries.extend(network.entries().map(|(a, b, w)| (a as u32, b as u32, w / (degree[a] * degree[b]).sqrt())));
    let step = Sparse::new(n, n, entries);
    let mut x = normals(n, d, &mut streams.rng("walk"));
    for _ in 0..3 {
        x = step.times(x.view());
    }
    standardise(&mut x);
    x
}

fn to_unit_length(x: &mut Array2<f64>) {
    for mut row in x.outer_iter_mut() {
        let length = row.dot(&row).sqrt();
        if length > 0.0 {
            row /= length;
        }
    }
}

/// Gives every column mean 0 and sd 1; a constant column becomes 0.
fn standardise(x: &mut Array2<f64>) {
    let n = x.nrows() as f64;
    for mut column in x.columns_mut() {
        let mean = column.sum() / n;
        column -= mean;
        let sd = (column.dot(&column) / n).sqrt();
        if sd > 0.0 {
            column /= sd;
        }
    }
}

framework::register!(Prior, Simulated, "simulated", "a simulator's hidden truth as one of six kinds of source");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;
    use framework::numerics::stats::pearson;
    use std::sync::Arc;

    struct World(Arc<Pool>, Array2<f64>);
    impl Screen for World {
        fn pool(&self) -> &Arc<Pool> {
            &self.0
        }
        fn n_outputs(&self) -> usize {
            1
        }
        fn measure(&self, ids: &[usize], _: &Experiment, _: &Streams) -> Result<Readouts> {
            Ok(Readouts::plain(ids, Array2::zeros((ids.len(), 1))))
        }
        fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
            let mut rng = Streams::new(10).rng("loadings");
            Some(self.1.select(Axis(0), ids).dot(&normals(self.1.ncols(), 30, &mut rng)))
        }
        fn gene_factors(&self) -> Option<Array2<f64>> {
            Some(self.1.clone())
        }
    }

    fn embed(settings: Simulated, name: &str) -> Result<(Array2<f64>, Block)> {
        let genes = Arc::new(Genes::new((0..3000).map(|i| format!("g{i}"))).unwrap());
        let mut rng = Streams::new(9).rng("factors");
        let f = Array2::from_shape_simple_fn((3000, 4), || StandardNormal.sample(&mut rng));
        let screen = World(Arc::new(Pool::singles(genes.clone())), f.clone());
        let (data, streams) = (DataRoot::default(), Streams::new(1));
        let setup = Setup { data: &data, streams: &streams };
        let cx = PriorContext { name, genes: &genes, updates: None, screen: Some(&screen), setup: &setup };
        Ok((f, settings.embed(&cx)?))
    }

    /// Share of each feature's variance that a linear map of the factors explains (factors independent).
    fn explained(f: &Array2<f64>, b: &Block) -> Vec<f64> {
        let column = |x: &Array2<f64>, c: usize| x.column(c).to_vec();
        (0..b.x.ncols()).map(|c| (0..4).map(|k| pearson(&column(f, k), &column(&b.x, c)).powi(2)).sum()).collect()
    }

    #[test]
    fn informativeness_is_the_correlation_with_the_truth() {
        for dims in [None, Some(2), Some(9)] {
            for rho in [0.0, 0.7, 1.0] {
                let settings = Simulated { informativeness: Some(rho), dims, sizes: true, ..Simulated::default() };
                let (f, b) = embed(settings, "p").unwrap();
                assert_eq!(b.x.ncols(), dims.unwrap_or(4));
                // Sampling error of a squared correlation at n = 3000, and of the factors' independence.
                assert!(explained(&f, &b).iter().all(|r| (r - rho * rho).abs() < 0.06), "{:?}", explained(&f, &b));
            }
        }
    }

    #[test]
    fn coverage_offset_and_name_count() {
        let settings = || Simulated { coverage: Some(0.25), offset: Some(10.0), ..Simulated::default() };
        let (_, b) = embed(settings(), "p").unwrap();
        assert_eq!(b.n_present(), 750);
        assert!(b.note.starts_with("750 of 3000 genes covered"), "{}", b.note);
        let (_, again) = embed(settings(), "p").unwrap();
        assert_eq!(b.x, again.x);
        let (_, other) = embed(settings(), "q").unwrap();
        assert_ne!(b.x, other.x);
        let full = embed(Simulated { offset: Some(10.0), ..Simulated::default() }, "p").unwrap().1;
        assert!((full.x.mean().unwrap() - 10.0).abs() < 0.05);
        let e = embed(Simulated { coverage: Some(1.5), ..Simulated::default() }, "p").unwrap_err().to_string();
        assert_eq!(e, "prior `p`: coverage = 1.5 is not within 0 to 1");
    }

    const KINDS: [Source; 6] =
        [Source::OtherScreen, Source::Imaging, Source::Atlas, Source::Sequence, Source::Network, Source::Literature];

    /// A block over genes of 12 modules, a tenth of them without effect, with their factors.
    fn source(settings: Simulated) -> (Array2<f64>, Block) {
        let genes = Arc::new(Genes::new((0..600).map(|i| format!("g{i}"))).unwrap());
        let mut rng = Streams::new(9).rng("factors");
        let f = Array2::from_shape_fn((600, 12), |(g, p)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            let size = if g % 10 == 9 { 0.0 } else { 1.0 + (g % 7) as f64 };
            size * (0.2 * z + if g % 12 == p { 1.0 } else { 0.0 })
        });
        let screen = World(Arc::new(Pool::singles(genes.clone())), f.clone());
        let (data, streams) = (DataRoot::default(), Streams::new(1));
        let setup = Setup { data: &data, streams: &streams };
        let cx = PriorContext { name: "p", genes: &genes, updates: None, screen: Some(&screen), setup: &setup };
        (f, settings.embed(&cx).unwrap())
    }

    /// Correlation over pairs of genes of the cosines of centred features and of factors.
    fn told(f: &Array2<f64>, b: &Block) -> f64 {
        let genes: Vec<usize> = (0..600).filter(|&g| b.present[g] && g % 10 != 9).collect();
        let cosines = |x: &Array2<f64>, centre: bool| {
            let mut x = x.select(Axis(0), &genes);
            if centre {
                x -= &x.mean_axis(Axis(0)).unwrap();
            }
            to_unit_length(&mut x);
            let all = x.dot(&x.t());
            (0..genes.len()).flat_map(|i| all.row(i).to_vec()[..i].to_vec()).collect::<Vec<_>>()
        };
        pearson(&cosines(f, false), &cosines(&b.x, true))
    }

    fn of(kind: Source) -> Simulated {
        Simulated { kind: Some(kind), ..Simulated::default() }
    }

    #[test]
    fn every_kind_tells_as_much_as_it_is_set_to() {
        for kind in KINDS {
            let at = |rho: f64| {
                let (f, b) = source(Simulated { informativeness: Some(rho), coverage: Some(1.0), ..of(kind) });
                told(&f, &b)
            };
            let (none, some, all) = (at(0.0), at(0.6), at(1.0));
            println!("{kind:?}: {none:.3} {some:.3} {all:.3}");
            assert!(none.abs() < 0.03, "{kind:?}: {none}");
            // Few pairs of genes are of one family.
            let least = if kind == Source::Sequence { 0.005 } else { 0.03 };
            assert!(some > none.abs() + least && all > some, "{kind:?}: {none} {some} {all}");
        }
        // A family says less than a module, and a module less than a profile.
        let at = |kind| {
            let (f, b) = source(Simulated { informativeness: Some(1.0), coverage: Some(1.0), ..of(kind) });
            told(&f, &b)
        };
        assert!(at(Source::Sequence) < 0.5 * at(Source::Atlas));
    }

    #[test]
    fn every_kind_has_its_other_dials() {
        for kind in KINDS {
            let own = Source::defaults(Some(kind));
            let (_, b) = source(of(kind));
            assert_eq!(b.x.ncols(), own.dims.unwrap_or(30), "{kind:?}");
            assert_eq!(b.n_present(), (own.coverage * 600.0).round() as usize, "{kind:?}");
            let (_, b) = source(Simulated { dims: Some(7), coverage: Some(0.5), offset: Some(20.0), ..of(kind) });
            assert_eq!((b.x.ncols(), b.n_present()), (7, 300), "{kind:?}");
            let rows: Vec<usize> = (0..600).filter(|&g| b.present[g]).collect();
            let x = b.x.select(Axis(0), &rows);
            assert!((x.mean().unwrap() - 20.0).abs() < 1.5, "{kind:?}: {:?}", x.mean());
            assert_eq!(
                b.x,
                source(Simulated { dims: Some(7), coverage: Some(0.5), offset: Some(20.0), ..of(kind) }).1.x
            );
        }
    }

    #[test]
    fn kinds_differ_in_what_they_know() {
        // Sizes: in the screen and, less, in images; not in the literature.
        let length = |kind| {
            let (f, b) =
                source(Simulated { informativeness: Some(1.0), coverage: Some(1.0), offset: Some(0.0), ..of(kind) });
            let norms = |x: &Array2<f64>| x.outer_iter().map(|r| r.dot(&r).sqrt()).collect::<Vec<_>>();
            let active: Vec<usize> = (0..600).filter(|g| g % 10 != 9).collect();
            pearson(&norms(&f.select(Axis(0), &active)), &norms(&b.x.select(Axis(0), &active)))
        };
        assert!(length(Source::OtherScreen) > 0.9, "{}", length(Source::OtherScreen));
        assert!(length(Source::Imaging) > 0.4 && length(Source::Literature).abs() < 0.2);
        // Popularity: a common direction of a size of its own for each gene.
        let (_, b) = source(of(Source::Literature));
        let means: Vec<f64> = b.x.mean_axis(Axis(1)).unwrap().to_vec();
        assert!(framework::numerics::stats::sd(&means) > 1.0);
    }

    #[test]
    fn a_network_has_links() {
        let (f, b) = source(Simulated { informativeness: Some(1.0), coverage: Some(0.5), ..of(Source::Network) });
        let graph = b.graph.as_ref().unwrap();
        assert_eq!(graph.dim(), (600, 600));
        let module = |g: usize| {
            f.row(g).iter().enumerate().fold((0, 0.0), |m, (p, v)| if v.abs() > m.1 { (p, v.abs()) } else { m }).0
        };
        let (mut n, mut same) = (0, 0);
        for (a, c, w) in graph.entries() {
            assert!(b.present[a] && b.present[c] && a != c && w > 0.0);
            assert!(graph.row(c).any(|(d, v)| d == a && v == w), "symmetric");
            if a % 10 != 9 && c % 10 != 9 {
                n += 1;
                same += usize::from(module(a) == module(c));
            }
        }
        assert!(n > 2000 && same as f64 > 0.95 * n as f64, "{same} of {n}");
        let half = source(Simulated { informativeness: Some(0.5), ..of(Source::Network) }).1.graph.unwrap();
        let of_module = half.entries().filter(|(a, c, _)| a % 10 != 9 && c % 10 != 9);
        let (n, same) = of_module.fold((0, 0), |(n, s), (a, c, _)| (n + 1, s + usize::from(module(a) == module(c))));
        let share = same as f64 / f64::from(n);
        assert!((0.4..0.65).contains(&share), "{share}");
        assert!(source(of(Source::Atlas)).1.graph.is_none());
        let e = embed(Simulated { sizes: true, ..of(Source::Atlas) }, "p").unwrap_err().to_string();
        assert_eq!(e, "prior `p`: each kind has its own knowledge of sizes; leave `sizes` out");
    }
}
