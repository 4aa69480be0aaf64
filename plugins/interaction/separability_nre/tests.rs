use super::*;
use framework::domain::{PairClass, SampleSource, Samples};
use framework::serde_json::{self, json};
use learn::nn::conv::Shrink;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seven layers of a random rotation and a leaky ReLU of slope 0.2.
fn mixing(seed: u64) -> Vec<Array2<f64>> {
    let mut rng = Streams::new(seed).rng("mixing");
    let rotation = |_| {
        let mut q = Array2::from_shape_simple_fn((3, 3), || -> f64 { StandardNormal.sample(&mut rng) });
        for r in 0..3 {
            for before in 0..r {
                let overlap = q.row(r).dot(&q.row(before));
                let other = q.row(before).to_owned();
                q.row_mut(r).scaled_add(-overlap, &other);
            }
            let length = q.row(r).dot(&q.row(r)).sqrt();
            q.row_mut(r).mapv_inplace(|v| v / length);
        }
        q
    };
    (0..7).map(rotation).collect()
}

/// Control, singles and pairs of normal latents, mixed; each gene moves the latents of its mask by 3.
fn screen(genes: &[&[usize]], pairs: &[(usize, usize)], n: usize, shift: f64, mix: bool, seed: u64) -> Samples {
    let layers = if mix { mixing(seed) } else { vec![] };
    let mut number = 0;
    let mut class = |moved: &[usize]| {
        let mut rng = Streams::new(seed).index(number).rng("x");
        number += 1;
        let mut z = Array2::from_shape_fn((n, 3), |(_, l)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            z + if moved.contains(&l) { shift } else { 0.0 }
        });
        for q in &layers {
            z = z.dot(q).mapv(|v| if v > 0.0 { v } else { 0.2 * v });
        }
        Class::held(z.mapv(|v| v as f32))
    };
    let control = class(&[]);
    let singles = genes.iter().map(|g| class(g)).collect();
    let pairs = pairs
        .iter()
        .map(|(a, b)| {
            let both = class(&genes[*a].iter().chain(genes[*b]).copied().collect::<Vec<_>>());
            PairClass { first: *a, second: *b, both }
        })
        .collect();
    let genes = (0..genes.len()).map(|g| format!("g{g}")).collect();
    Samples { genes, control, singles, pairs, image: None }
}

/// A on latent 1, B on 1 and 2, C and D on 3: A-B and C-D interact.
fn tabular(n: usize, mix: bool, seed: u64) -> Samples {
    let pairs = [(0, 1), (2, 3), (0, 2), (0, 3), (1, 2), (1, 3)];
    screen(&[&[0], &[0, 1], &[2], &[2]], &pairs, n, 3.0, mix, seed)
}

fn plugin(settings: serde_json::Value) -> SeparabilityNre {
    serde_json::from_value(settings).unwrap()
}

fn test(t: &SeparabilityNre, s: &Samples, seed: u64) -> Vec<TestOutcome> {
    let streams = Streams::new(seed);
    t.test(&TestContext::new(s, &streams)).unwrap()
}

fn get(o: &TestOutcome, name: &str) -> f64 {
    o.diagnostics.iter().find(|d| d.0 == name).unwrap().1
}

/// Whether the two interacting pairs have the two largest scores.
fn first_two(outcomes: &[TestOutcome]) -> bool {
    let rest = outcomes[2..].iter().map(|o| o.score).fold(0.0, f64::max);
    outcomes[0].score.min(outcomes[1].score) > rest
}

#[test]
fn interacting_pairs_come_first_after_the_mixing() {
    let t = plugin(json!({ "epochs": 10, "standardise": "whiten", "statistic": "pointwise_squared" }));
    for seed in 1..=3 {
        let outcomes = test(&t, &tabular(20_000, true, seed), seed);
        let scores: Vec<f64> = outcomes.iter().map(|o| o.score).collect();
        println!("{seed} {scores:.2?} accuracy {:.3}", get(&outcomes[0], "accuracy"));
        assert!(first_two(&outcomes), "{scores:?}");
        // Six pairs are too few to be held against each other.
        assert!(outcomes.iter().all(|o| o.p_value.is_none()));
    }
}

/// cargo test --lib separability_nre -- --ignored
#[test]
#[ignore = "trains 20 networks on 220,000 samples each, about 12 s each; three seeds at fewer epochs run in \
            interacting_pairs_come_first_after_the_mixing"]
fn twenty_of_twenty_seeds_at_full_size() {
    let t = plugin(json!({ "epochs": 40, "standardise": "whiten", "statistic": "pointwise_squared" }));
    let ranked = (1..=20).filter(|seed| {
        let outcomes = test(&t, &tabular(20_000, true, *seed), *seed);
        let scores: Vec<f64> = outcomes.iter().map(|o| o.score).collect();
        let kl: Vec<f64> = outcomes.iter().map(|o| get(o, "signed")).collect();
        println!("{seed} {scores:.2?} by divergences {kl:.2?}");
        first_two(&outcomes)
    });
    assert_eq!(ranked.count(), 20);
}

#[test]
fn every_statistic_finds_the_interaction_on_latents() {
    let s = tabular(3000, false, 4);
    for statistic in ["kl", "kl_debiased", "pointwise_absolute", "pointwise_squared"] {
        for mixture in ["control", "all", "overlap"] {
            if mixture != "overlap" && statistic.starts_with("kl") {
                continue;
            }
            let t = plugin(json!({
                "hidden": [64, 32], "epochs": 8, "batch": 256, "statistic": statistic, "mixture": mixture, "tau": 8.0
            }));
            let outcomes = test(&t, &s, 4);
            println!("{statistic} {mixture} {:.2?}", outcomes.iter().map(|o| o.score).collect::<Vec<_>>());
            assert!(first_two(&outcomes), "{statistic} {mixture}");
            let scores: Vec<f64> = outcomes.iter().map(|o| get(o, "null_level")).collect();
            assert!(scores.iter().all(|s| s.is_finite()));
        }
    }
}

#[test]
fn pairs_are_held_against_each_other() {
    // Forty pairs of genes on different latents, two on the same.
    let genes: Vec<&[usize]> =
        (0..42).flat_map(|p| if p < 40 { [&[0][..], &[1][..]] } else { [&[0][..]; 2] }).collect();
    let pairs: Vec<(usize, usize)> = (0..42).map(|p| (2 * p, 2 * p + 1)).collect();
    let s = screen(&genes, &pairs, 120, 1.5, false, 3);
    for statistic in ["kl", "pointwise_squared"] {
        let t = plugin(json!({ "hidden": [32, 16], "epochs": 15, "batch": 256, "statistic": statistic }));
        let p: Vec<f64> = test(&t, &s, 5).iter().map(|o| o.p_value.unwrap()).collect();
        println!("{statistic} {p:.3?}");
        assert!(p[40..].iter().all(|p| *p < 0.05), "{statistic} {p:?}");
        assert!(p[..40].iter().filter(|p| **p <= 0.05).count() <= 6, "{statistic} {p:?}");
    }
}

#[test]
fn images_go_through_convolutions() {
    // A brightens the left half, B the right, C the left as well.
    let lit: [&[usize]; 6] = [&[], &[0], &[1], &[0], &[0, 1], &[0, 0]];
    let mut rng = Streams::new(7).rng("images");
    let mut classes: Vec<Class> = lit
        .iter()
        .map(|lit| {
            Class::held(Array2::from_shape_fn((300, 64), |(_, at)| {
                let z: f32 = StandardNormal.sample(&mut rng);
                z + 0.5 * lit.iter().filter(|half| at % 8 / 4 == **half).count() as f32
            }))
        })
        .collect();
    let doubles = classes.split_off(4);
    let control = classes.remove(0);
    let pairs = doubles.into_iter().zip([(0, 1), (0, 2)]);
    let pairs = pairs.map(|(both, (first, second))| PairClass { first, second, both }).collect();
    let genes = ["A", "B", "C"].map(String::from).to_vec();
    let s = Samples { genes, control, singles: classes, pairs, image: Some([1, 8, 8]) };
    let t = plugin(json!({ "widths": [6, 8, 8], "rate": 5e-3, "epochs": 12, "batch": 128 }));
    let outcomes = test(&t, &s, 1);
    // 32 pixels of 0.5: KL 4 each; a double brightening 16, of which the sum of singles explains 8.
    println!("{:.2?}", outcomes.iter().map(|o| o.score).collect::<Vec<_>>());
    assert!(outcomes[1].score > 2.0 * outcomes[0].score);
}

/// Counts what is asked of it.
struct Made {
    x: Array2<f32>,
    most: Arc<AtomicUsize>,
}

impl SampleSource for Made {
    fn len(&self) -> usize {
        self.x.nrows()
    }

    fn n_features(&self) -> usize {
        self.x.ncols()
    }

    fn rows(&self, at: &[usize], mut out: ndarray::ArrayViewMut2<f32>) -> framework::numerics::Result<()> {
        self.most.fetch_max(at.len(), Ordering::Relaxed);
        at.iter().zip(out.outer_iter_mut()).for_each(|(i, mut row)| row.assign(&self.x.row(*i)));
        Ok(())
    }
}

#[test]
fn samples_made_on_demand_are_never_held() {
    let held = tabular(3000, false, 6);
    let most = Arc::new(AtomicUsize::new(0));
    let made = |c: &Class| Class::new(Made { x: c.x().unwrap().into_owned(), most: most.clone() });
    let mut s = held.clone();
    s.control = made(&held.control);
    s.singles = held.singles.iter().map(made).collect();
    s.pairs.iter_mut().zip(&held.pairs).for_each(|(p, h)| p.both = made(&h.both));
    let t = plugin(json!({ "hidden": [8], "epochs": 2, "batch": 500, "mixture": "all" }));
    assert_eq!(test(&t, &s, 2), test(&t, &held, 2));
    assert!(most.load(Ordering::Relaxed) <= 1024);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let s = tabular(20, false, 1);
    let error = |settings: serde_json::Value| {
        let streams = Streams::new(1);
        plugin(settings).test(&TestContext::new(&s, &streams)).unwrap_err().to_string()
    };
    assert!(error(json!({ "preset": "guides" })).contains("needs images"));
    assert!(error(json!({ "hidden": [] })).contains("at least one width"));
    assert!(error(json!({ "batch": 1 })).contains("at least 2"));
    assert!(error(json!({ "dropout": 1.0 })).contains("shares below 1"));
    assert!(error(json!({ "tau": 0.0 })).contains("at most 100"));
    // All samples alike: no ratio to learn, and nothing that breaks.
    let same = |_: &Class| Class::held(Array2::ones((12, 3)));
    let mut flat = s.clone();
    (flat.control, flat.singles) = (same(&s.control), s.singles.iter().map(same).collect());
    flat.pairs.iter_mut().for_each(|p| p.both = same(&p.both));
    let t = plugin(json!({ "hidden": [8], "epochs": 2 }));
    assert!(test(&t, &flat, 1).iter().all(|o| o.score.is_finite()));
}

#[test]
fn presets_are_those_of_the_papers() {
    let settings = |preset: &str, image| plugin(json!({ "preset": preset })).settings(image).unwrap();
    let p = settings("tabular", None);
    assert_eq!((p.hidden, p.schedule.rate, p.schedule.epochs, p.schedule.batch), (vec![128, 64], 5e-3, 500, 1024));
    let p = settings("gene_embeddings", None);
    assert_eq!((p.hidden, p.schedule.rate, p.schedule.epochs, p.schedule.batch), (vec![2048, 256], 1e-4, 2500, 16384));
    let p = settings("guides", Some([6, 32, 32]));
    assert_eq!((p.widths, p.hidden, p.dropout, p.shrink), (vec![32, 64, 128], vec![256, 128], 0.3, Shrink::MaxPool));
    let p = SeparabilityNre::default().settings(Some([3, 128, 128])).unwrap();
    assert_eq!((p.widths, p.schedule.rate, p.kind), (vec![32, 54, 128, 256, 512], 2e-4, Kind::Conv));
}
