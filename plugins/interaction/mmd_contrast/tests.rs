use super::bootstrap::widen;
use super::*;
use framework::domain::{PairClass, Samples};
use framework::testing::Mixture;
use rand_distr::{Cauchy, Distribution, Normal};

fn outcomes(t: &MmdContrast, s: &Samples, seed: usize) -> Vec<TestOutcome> {
    t.test(&TestContext::new(s, &Streams::new(seed as u64))).unwrap()
}

fn get(o: &TestOutcome, name: &str) -> f64 {
    o.diagnostics.iter().find(|d| d.0 == name).unwrap().1
}

fn k(shape: Shape, length: f64, a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    let r2: f64 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum();
    let q = (5.0 * r2).sqrt() / length;
    match shape {
        Shape::Linear => a.dot(&b),
        Shape::Rbf => (-r2 / 2.0 / length.powi(2)).exp(),
        Shape::Matern52 => (1.0 + q + q * q / 3.0) * (-q).exp(),
    }
}

const WEIGHT: [f64; 4] = [0.5, -0.5, -0.5, 0.5];

/// The contrast by its definition, and its resamples with the kernel centred within classes.
fn by_loops(t: &MmdContrast, s: &Samples, length: f64, seed: usize) -> (f64, Vec<f64>) {
    // The linear kernel has its origin at the mean of control, which matters where wells differ in size.
    let origin = mean(&s.control).unwrap();
    let x = s.classes(0).map(|c| c.x().unwrap().mapv(f64::from) - &origin);
    let unit = s.classes(0).map(|c| c.units().unwrap_or_else(|| (0..c.len()).collect()));
    let streams = Streams::new(seed as u64).child("mmd_contrast");
    let streams = [
        streams.child("control"),
        streams.child("single").child("A"),
        streams.child("single").child("B"),
        streams.child("pair").child("A").child("B"),
    ];
    let centre = Array1::zeros(x[0].ncols());
    let sides: Vec<Side> =
        (0..4).map(|c| Side::new(s.classes(0)[c], String::new, &centre, streams[c].clone()).unwrap()).collect();
    let signs: Vec<Array2<f32>> = sides.iter().map(|s| s.signs(0, t.resamples)).collect();
    let (mut score, mut resampled, mut variances) = (0.0, vec![0.0; t.resamples], [0.0; 4]);
    for a in 0..4 {
        for b in 0..4 {
            let (na, nb) = (x[a].nrows(), x[b].nrows());
            let mut gram = Array2::from_shape_fn((na, nb), |(i, j)| k(t.kernel, length, x[a].row(i), x[b].row(j)));
            let differs = |i: usize, j: usize| a != b || unit[a][i] != unit[b][j];
            let cells = || (0..na).flat_map(|i| (0..nb).map(move |j| (i, j))).filter(|(i, j)| differs(*i, *j));
            let sum: f64 = cells().map(|at| gram[at]).sum();
            score += WEIGHT[a] * WEIGHT[b] * sum / cells().count() as f64;
            let rows = gram.mean_axis(Axis(1)).unwrap();
            let columns = gram.mean_axis(Axis(0)).unwrap();
            let all = gram.mean().unwrap();
            gram.indexed_iter_mut().for_each(|((i, j), v)| *v += all - rows[i] - columns[j]);
            let scale = WEIGHT[a] * WEIGHT[b] * sides[a].scale * sides[b].scale;
            if a == b {
                let within: f64 = gram.indexed_iter().filter(|((i, j), _)| !differs(*i, *j)).map(|(_, v)| v).sum();
                variances[a] = within / sides[a].across;
            }
            // Differences of centred signs are those of signs: with the first as ±1, all are.
            let sign = |c: usize, i: usize, d: usize| {
                let column = signs[c].column(d);
                let high = column.iter().fold(f32::MIN, |m, v| m.max(*v));
                let low = column.iter().fold(f32::MAX, |m, v| m.min(*v));
                if high == low { 1.0 } else { f64::from(column[i] * 2.0 - high - low).signum() }
            };
            for (d, r) in resampled.iter_mut().enumerate() {
                *r += scale * cells().map(|(i, j)| sign(a, i, d) * sign(b, j, d) * gram[(i, j)]).sum::<f64>();
            }
        }
    }
    let signed: Vec<Signed> = sides.iter().zip(signs).map(|(side, signs)| Signed { side, signs }).collect();
    widen(&mut resampled, 0, variances, [&signed[0], &signed[1], &signed[2], &signed[3]]);
    (score, resampled)
}

#[test]
fn score_and_resamples_match_their_definition() {
    let plain = Mixture::of([7, 5, 9, 6]).draw(&mut Streams::new(1).rng("x"));
    let mut wells = Mixture { cells: 2, ..Mixture::of([8, 6, 10, 6]) }.draw(&mut Streams::new(2).rng("x"));
    wells.control.unit = Some([0u32, 0, 0, 4, 4, 9, 9, 9].into());
    for s in [&plain, &wells] {
        for kernel in [Shape::Linear, Shape::Rbf, Shape::Matern52] {
            let t = MmdContrast { kernel, bandwidth: Bandwidth::Length(2.5), resamples: 150 };
            let (score, resampled) = by_loops(&t, s, 2.5, 3);
            let o = &outcomes(&t, s, 3)[0];
            let size = if kernel == Shape::Linear { 30.0 } else { 1.0 };
            assert!((o.score - score).abs() < 1e-6 * size, "{kernel:?} {} {score}", o.score);
            let reached = resampled.iter().filter(|v| **v >= score - 1e-6 * size).count();
            assert_eq!(o.p_value, Some((1 + reached) as f64 / 151.0), "{kernel:?}");
            let mean = resampled.iter().sum::<f64>() / 150.0;
            let var = resampled.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 149.0;
            assert!((get(o, "z") - score / var.sqrt()).abs() < 1e-3 * (1.0 + get(o, "z").abs()));
        }
    }
}

#[test]
fn linear_is_a_quarter_of_the_debiased_additivity_score() {
    for n in [[12, 5, 9, 7], [40, 300, 2, 30]] {
        let s = Mixture::of(n).draw(&mut Streams::new(4).rng("x"));
        let json = r#"{"use": "additivity", "form": "debiased", "resamples": 0}"#;
        let additivity: Box<dyn InteractionTest> = framework::serde_json::from_str(json).unwrap();
        let want = additivity.test(&TestContext::new(&s, &Streams::new(1))).unwrap()[0].score / 4.0;
        let t = MmdContrast { kernel: Shape::Linear, resamples: 0, ..Default::default() };
        let got = outcomes(&t, &s, 1)[0].score;
        assert!((got - want).abs() < 1e-5 * (1.0 + want.abs()), "{got} {want}");
    }
}

#[test]
fn the_score_is_unbiased_for_unequal_classes() {
    let n = [9, 3, 5, 4];
    for heavy in [false, true] {
        let mixture = Mixture { heavy, ..Mixture::of(n) };
        let t = MmdContrast { bandwidth: Bandwidth::Length(2.0), resamples: 0, ..Default::default() };
        let scores: Vec<f64> = (0..6000usize)
            .into_par_iter()
            .map(|i| outcomes(&t, &mixture.draw(&mut Streams::new(5).index(i).rng("x")), 1)[0].score)
            .collect();
        use framework::numerics::stats::{mean, sd};
        let error = sd(&scores) / (scores.len() as f64).sqrt();
        // The truth is 0; four standard errors. Keeping the diagonal would add Σ 1/(4 n_c) = 0.2.
        assert!(mean(&scores).abs() < 4.0 * error && error < 0.005, "{} +- {error}", mean(&scores));
    }
}

fn rejected(t: &MmdContrast, mixture: Mixture, trials: usize, by_cell: bool) -> f64 {
    let reached = (0..trials).into_par_iter().filter(|i| {
        let mut s = mixture.draw(&mut Streams::new(78).index(*i).rng("x"));
        if by_cell {
            s.control.unit = None;
            s.singles.iter_mut().for_each(|c| c.unit = None);
            s.pairs[0].both.unit = None;
        }
        outcomes(t, &s, *i)[0].p_value.unwrap() <= 0.05
    });
    reached.count() as f64 / trials as f64
}

#[test]
fn level_under_the_null() {
    let (trials, resamples) = (2000, 199);
    let mut bad = vec![];
    let wells = |n: [usize; 4]| Mixture { cells: 5, ..Mixture::of(n) };
    let heavy = |n| Mixture { heavy: true, ..Mixture::of(n) };
    for (name, mixture) in [
        ("10 each", Mixture::of([10; 4])),
        ("20 each", Mixture::of([20; 4])),
        ("unequal", Mixture::of([200, 10, 15, 30])),
        ("few in both", Mixture::of([60, 40, 30, 10])),
        ("heavy", heavy([15; 4])),
        ("heavy, unequal", heavy([100, 15, 20, 30])),
        ("heavy, very few", heavy([100, 10, 20, 15])),
        ("wells", wells([50; 4])),
        ("wells, unequal", wells([100, 50, 60, 40])),
    ] {
        for kernel in [Shape::Rbf, Shape::Matern52] {
            let t = MmdContrast { kernel, resamples, ..Default::default() };
            let level = rejected(&t, mixture, trials, false);
            println!("{name}, {kernel:?}: level {level}");
            // 99 % of binomial counts. Ten samples with Cauchy tails are tested a little too cautiously.
            let least = if name == "heavy, very few" { 0.03 } else { 0.05 - 0.0126 };
            if !(least..0.05 + 0.0126).contains(&level) {
                bad.push(format!("{name}, {kernel:?}: {level}"));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
    let t = MmdContrast { resamples, ..Default::default() };
    let by_cell = rejected(&t, wells([50; 4]), 200, true);
    println!("wells taken for independent cells: {by_cell}");
    assert!(by_cell > 0.1, "{by_cell}");
}

#[test]
fn power_grows_with_the_interaction() {
    let t = MmdContrast { resamples: 199, ..Default::default() };
    let power: Vec<f64> = [0.0, 1.5, 3.0, 6.0]
        .map(|planted| rejected(&t, Mixture { planted, ..Mixture::of([100, 50, 50, 50]) }, 300, false))
        .to_vec();
    println!("power at shifts of 0, 1.5, 3 and 6 of a third of the samples: {power:?}");
    assert!(power.windows(2).all(|w| w[0] < w[1]) && power[3] > 0.9, "{power:?}");
}

#[test]
fn equal_samples_score_nothing_and_have_p_one() {
    let mut s = Mixture::of([5, 4, 3, 6]).draw(&mut Streams::new(1).rng("x"));
    let same = |n| Class::held(Array2::from_elem((n, 3), 0.7));
    (s.control, s.pairs[0].both) = (same(5), same(6));
    s.singles = vec![same(4), same(3)];
    for kernel in [Shape::Linear, Shape::Rbf, Shape::Matern52] {
        let o = &outcomes(&MmdContrast { kernel, ..Default::default() }, &s, 1)[0];
        assert!(o.score.abs() < 1e-9);
        assert_eq!((o.p_value, get(o, "z").abs() < 1e-3), (Some(1.0), true), "{kernel:?} {o:?}");
    }
}

#[test]
fn a_single_well_gives_a_score_without_p_and_a_single_sample_an_error() {
    let mut s = Mixture { cells: 3, ..Mixture::of([6, 6, 6, 3]) }.draw(&mut Streams::new(1).rng("x"));
    let o = &outcomes(&MmdContrast::default(), &s, 1)[0];
    assert!(o.p_value.is_none() && o.score.is_finite() && get(o, "z").is_nan());
    s.pairs[0].both = Class::held(Array2::ones((1, 3)));
    let text = MmdContrast::default().test(&TestContext::new(&s, &Streams::new(1))).unwrap_err().to_string();
    assert!(text.contains("`A+B` has 1 sample"), "{text}");
    s.pairs[0].both = Class::held(Array2::from_elem((2, 3), 1e20));
    let text = MmdContrast::default().test(&TestContext::new(&s, &Streams::new(1))).unwrap_err().to_string();
    assert!(text.contains("`A+B`: a sample lies"), "{text}");
}

#[test]
fn pairs_do_not_disturb_each_other_nor_do_threads() {
    let mut rng = Streams::new(5).rng("x");
    let one = Mixture::of([300, 20, 30, 25]).draw(&mut rng);
    let mut two = one.clone();
    two.pairs.insert(0, PairClass { first: 1, second: 0, both: Class::held(Array2::ones((2, 3))) });
    for bandwidth in [Bandwidth::Global, Bandwidth::Pair] {
        let t = MmdContrast { bandwidth, ..Default::default() };
        let all = outcomes(&t, &two, 7);
        if bandwidth == Bandwidth::Global {
            assert_eq!(outcomes(&t, &one, 7)[0], all[1]);
        }
        assert_eq!(all[0].n, [300, 30, 20, 2]);
        let alone = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| outcomes(&t, &two, 7))
        };
        assert_eq!((alone(1), alone(3)), (all.clone(), all));
    }
}

/// Section D.1.3 of Xu, Jain et al. 2024: a latent mixture of six components, seven perturbations, all 21 pairs;
/// only D and E, and F and G, act on the same component with an effect of their own together.
fn latent_mixture(n: usize, seed: u64) -> Samples {
    const D: usize = 10;
    let streams = Streams::new(seed);
    let layers: Vec<Array2<f64>> = (0..10).map(|l| orthogonal(D, streams.index(l).rng("layer"))).collect();
    // What each perturbation does to its component: mean, scale, Cauchy.
    let single = [
        (0, 5.0, 1.0),
        (1, 10.0, 1.0),
        (2, -5.0, 5.0),
        (3, 0.0, 5.0),
        (3, -10.0, 5.0),
        (4, 15.0, 1.0),
        (4, -15.0, 1.0),
    ];
    let class = |acts: &[(usize, f64, f64)], number: usize| {
        let mut rng = streams.index(number).rng("samples");
        let mut x = Array2::zeros((n, D));
        for mut row in x.outer_iter_mut() {
            let u: f64 = rng.random();
            let component = if u < 0.5 { (u * 8.0) as usize } else { 4 + usize::from(u >= 0.75) };
            let law = acts.iter().find(|a| a.0 == component);
            let (mean, scale) = law.map_or((0.0, 1.0), |a| (a.1, a.2));
            for v in row.iter_mut() {
                let z: f64 = if law.is_some() && component == 4 {
                    Cauchy::new(mean, scale).unwrap().sample(&mut rng)
                } else {
                    Normal::new(mean, scale).unwrap().sample(&mut rng)
                };
                // Tails of the Cauchy law would leave the range of single precision.
                *v = z.clamp(-1e3, 1e3);
            }
        }
        for w in &layers {
            x = framework::numerics::matmul(x.view(), w.view());
            x.mapv_inplace(|v| if v > 0.0 { v } else { 0.2 * v });
        }
        Class::held(x.mapv(|v| v as f32))
    };
    let mut pairs = vec![];
    for first in 0..7 {
        for second in first + 1..7 {
            let acts = match (first, second) {
                (3, 4) => vec![(3, 10.0, 5.0)],
                (5, 6) => vec![(4, 20.0, 1.0)],
                _ => vec![single[first], single[second]],
            };
            pairs.push(PairClass { first, second, both: class(&acts, 100 + 7 * first + second) });
        }
    }
    Samples {
        genes: ["A", "B", "C", "D", "E", "F", "G"].map(String::from).to_vec(),
        control: class(&[], 50),
        singles: (0..7).map(|g| class(&single[g..=g], 60 + g)).collect(),
        pairs,
        image: None,
    }
}

fn orthogonal(d: usize, mut rng: StreamRng) -> Array2<f64> {
    let mut w = Array2::from_shape_simple_fn((d, d), || Normal::new(0.0, 1.0).unwrap().sample(&mut rng));
    for i in 0..d {
        for j in 0..i {
            let (before, mut row) = w.multi_slice_mut((framework::ndarray::s![j, ..], framework::ndarray::s![i, ..]));
            let along: f64 = before.dot(&row);
            row.scaled_add(-along, &before);
        }
        let length = w.row(i).dot(&w.row(i)).sqrt();
        w.row_mut(i).mapv_inplace(|v| v / length);
    }
    w
}

#[test]
fn the_two_joint_pairs_of_the_latent_mixture_rank_first() {
    let mut margins = vec![];
    for seed in 0..20 {
        let s = latent_mixture(1000, seed);
        for kernel in [Shape::Rbf, Shape::Matern52] {
            let t = MmdContrast { kernel, resamples: 0, ..Default::default() };
            let mut ranked: Vec<(f64, String)> =
                outcomes(&t, &s, 1).iter().enumerate().map(|(p, o)| (o.score, s.label(p))).collect();
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut first = [ranked[0].1.as_str(), ranked[1].1.as_str()];
            first.sort_unstable();
            assert_eq!(first, ["D+E", "F+G"], "seed {seed}, {kernel:?}: {ranked:?}");
            margins.push(ranked[1].0 / ranked[2].0.abs());
        }
    }
    println!("second over third, least of 40: {:.2}", margins.iter().fold(f64::INFINITY, |m, v| m.min(*v)));
}
