use super::dropout::Gaps;
use super::gelu::Lane;
use super::training::{TILE, Training};
use super::*;
use numerics::streams::Streams;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

fn forms() -> Vec<SetSizes> {
    let sizes = |deep, lifted| SetSizes { order: 3, hidden: 11, deep, width: 5, lifted };
    vec![sizes(false, false), sizes(true, true), sizes(false, true), sizes(true, false)]
}

/// 150 sets of one to three of nine genes (gene 4 in none), effects in order, 0 where genes lack.
fn data() -> (Sets<f64>, Vec<f64>) {
    let mut rng = Streams::new(5).rng("data");
    let mut sets = Sets { start: vec![0], ..Sets::default() };
    let mut y = vec![];
    for i in 0..150 {
        let n = 1 + i % 3;
        for place in 0..3 {
            if place < n {
                let g = rng.random_range(0..8u32);
                sets.genes.push(if g < 4 { g } else { g + 1 });
            }
            sets.effects.push(if place < n { rng.random_range(-1.0..1.0) } else { 0.0 });
        }
        sets.start.push(sets.genes.len());
        y.push(rng.random_range(-1.0..1.0));
    }
    (sets, y)
}

fn network(sizes: SetSizes, tied: bool) -> SetNetwork<f64> {
    let mut rng = Streams::new(1).rng("start");
    let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| StandardNormal.sample(&mut rng)).collect() };
    let table =
        if tied { Table::Tied { features: Arc::new(draw(9 * 4)), n: 4 } } else { Table::Free(draw(9 * sizes.width)) };
    SetNetwork::new(sizes, 9, table, &mut Streams::new(2).rng("start"))
}

fn training(dropout: f64, batch: usize) -> SetTraining {
    SetTraining { epochs: 1, batch, rate: 0.01, last_rate: 0.1, dropout, l2: 0.0, mean: false }
}

/// What a set gets by the definition, layer by layer; `kept(kind, place)` is 0 or 1/(1 - p).
fn plain(n: &SetNetwork<f64>, values: &[f64], sets: &Sets<f64>, i: usize, kept: &dyn Fn(usize, usize) -> f64) -> f64 {
    let (f, at) = (n.sizes, n.sizes.at());
    let (h, p) = (f.hidden_lanes(), f.width_lanes());
    let gelu = |z: f64| 0.5 * z * (1.0 + statrs::function::erf::erf(z / 2f64.sqrt()));
    let genes = &sets.genes[sets.start[i]..sets.start[i + 1]];
    let y = &sets.effects[i * f.order..][..f.order];
    let mut a: Vec<f64> = (0..f.hidden)
        .map(|u| {
            let z: f64 = y.iter().enumerate().map(|(k, y)| y * values[at.w1 + k * h + u]).sum();
            gelu(kept(0, u) * z)
        })
        .collect();
    if f.deep {
        a = (0..f.hidden)
            .map(|u| {
                let z: f64 = a.iter().enumerate().map(|(k, a)| a * values[at.w2 + k * h + u]).sum();
                gelu(kept(1, u) * z)
            })
            .collect();
    }
    let mut sums = vec![0.0; f.width];
    for (o, &g) in genes.iter().enumerate() {
        let x: Vec<f64> = match &n.features {
            None => (0..f.width).map(|l| values[at.table + g as usize * p + l]).collect(),
            Some((of, d)) => (0..f.width)
                .map(|l| (0..*d).map(|j| of[g as usize * d + j] * values[at.table + j * p + l]).sum())
                .collect(),
        };
        let linear = |x: &[f64], w: usize, b: usize, u: usize| {
            values[b + u] + x.iter().enumerate().map(|(j, x)| x * values[w + j * p + u]).sum::<f64>()
        };
        let units: Vec<f64> = (0..f.width)
            .map(|u| linear(&x, at.l1, at.b1, u).max(0.0) * if f.lifted { kept(2, o * p + u) } else { 1.0 })
            .collect();
        for (u, s) in sums.iter_mut().enumerate() {
            *s += if f.lifted { linear(&units, at.l2, at.b2, u) } else { units[u] };
        }
    }
    let code = (0..f.width).map(|u| {
        let z = values[at.b3 + u] + (0..f.width).map(|j| sums[j] * values[at.l3 + j * p + u]).sum::<f64>();
        kept(3, u) * z.max(0.0)
    });
    let out: f64 = a.iter().enumerate().map(|(u, a)| a * values[at.out + u]).sum();
    out + values[at.constants]
        + values[at.constants + 1]
        + code.enumerate().map(|(u, c)| c * values[at.head + u]).sum::<f64>()
}

/// The loss of all rows with the masks that the tiles drew.
fn plain_loss(t: &Training<f64>, sets: &Sets<f64>, values: &[f64], y: &[f64], dropout: f64) -> f64 {
    let (h, p) = (t.network.sizes.hidden_lanes(), t.network.sizes.width_lanes());
    let scale = 1.0 / (1.0 - dropout);
    (0..y.len())
        .map(|i| {
            let tile = &t.tiles[i / TILE];
            let r = i % TILE;
            let first = sets.start[i] - sets.start[i / TILE * TILE];
            let kept = |kind: usize, place: usize| {
                let at = match kind {
                    0 | 1 => r * h + place,
                    2 => first * p + place,
                    _ => r * p + place,
                };
                if tile.dropped[kind].contains(&(at as u32)) { 0.0 } else { scale }
            };
            (plain(t.network, values, sets, i, &kept) - y[i]).powi(2)
        })
        .sum()
}

#[test]
fn gradients_are_those_of_the_loss_with_its_masks() {
    let (sets, y) = data();
    for (f, tied) in forms().into_iter().flat_map(|f| [(f, false), (f, true)]) {
        let mut n = network(f, tied);
        let whole = n.values.clone();
        let dropout = 0.3;
        let mut t = Training::new(&mut n, &sets, &training(dropout, 150), &Streams::new(3));
        // The second time, masks of the first must have gone.
        t.gradient(&y, 0..150);
        let loss = t.gradient(&y, 0..150);
        assert!((loss / plain_loss(&t, &sets, &whole, &y, dropout) - 1.0).abs() < 1e-12);
        assert!(t.tiles.iter().all(|t| t.dropped[0].len() > 100 && t.dropped[3].len() > 30));
        let at = f.at();
        // From the place among the genes used to that among all.
        let p = f.width_lanes();
        let full = |k: usize| match (k.checked_sub(at.table), tied) {
            (Some(k), false) => at.table + t.used[k / p] * p + k % p,
            _ => k,
        };
        let mut checked = 0;
        for k in 0..t.gradient.len() {
            let mut v = whole.clone();
            let mut by = |h: f64| {
                v[full(k)] = whole[full(k)] + h;
                plain_loss(&t, &sets, &v, &y, dropout)
            };
            // A kink of a ReLU between the two points would be a wrong answer of the check, not of the gradient.
            let want = (by(1e-6) - by(-1e-6)) / 2e-6;
            let got = t.gradient[k];
            if got == 0.0 && want == 0.0 {
                continue;
            }
            checked += 1;
            assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{f:?} tied {tied}, {k}: {got} {want}");
        }
        let used = if tied { 4 } else { t.used.len() };
        // Units whose ReLU is off everywhere have no gradient.
        assert!(checked > (f.n_shared() + used * f.width) * 2 / 3, "{checked} of {}", f.n_shared());
    }
}

#[test]
fn losses_follow_an_independent_training() {
    let (sets, y) = data();
    for (f, tied) in [(forms()[0], false), (forms()[1], true)] {
        let f = SetSizes { hidden: 3, width: 2, ..f };
        let mut n = network(f, tied);
        let mut v = n.values.clone();
        let how = SetTraining { epochs: 6, ..training(0.0, 100) };
        // Adam by its definition on numerical gradients, two batches an epoch, in the order of the rows.
        let (mut m, mut s) = (vec![0.0; v.len()], vec![0.0; v.len()]);
        let mut want = vec![];
        let error = |v: &[f64], i: usize| (plain(&n, v, &sets, i, &|_, _| 1.0) - y[i]).powi(2);
        let mut step = 0i32;
        for _ in 0..6 {
            let mut squares = 0.0;
            for rows in [0..100, 100..150] {
                let loss = |v: &[f64]| rows.clone().map(|i| error(v, i)).sum::<f64>();
                squares += loss(&v);
                let g: Vec<f64> = (0..v.len())
                    .map(|k| {
                        let mut by = v.clone();
                        by[k] += 1e-5;
                        let up = loss(&by);
                        by[k] -= 2e-5;
                        (up - loss(&by)) / 2e-5
                    })
                    .collect();
                // Twelve steps: a rise over 1.2 of them, then a line down to a tenth.
                let s0 = f64::from(step);
                let share: f64 = if s0 < 1.2 { ((s0 + 1.0) / 1.2f64).min(1.0) } else { 0.1 + 0.9 * (12.0 - s0) / 10.8 };
                step += 1;
                for k in 0..v.len() {
                    m[k] = 0.9 * m[k] + 0.1 * g[k];
                    s[k] = 0.999 * s[k] + 0.001 * g[k] * g[k];
                    let (m, s) = (m[k] / (1.0 - 0.9f64.powi(step)), s[k] / (1.0 - 0.999f64.powi(step)));
                    v[k] -= 0.01 * share * m / (s.sqrt() + 1e-8);
                }
            }
            want.push(squares / 150.0);
        }
        let got = n.train(&sets, &y, &how, &Streams::new(3));
        for (g, w) in got.iter().zip(&want) {
            assert!((g / w - 1.0).abs() < 1e-5, "{got:?} {want:?}");
        }
    }
}

#[test]
fn predictions_are_those_of_the_definition() {
    let (sets, _) = data();
    for (f, tied) in forms().into_iter().flat_map(|f| [(f, false), (f, true)]) {
        let n = network(f, tied);
        let ready = n.ready();
        let mut out = vec![0.0; sets.len()];
        ready.effects(&sets.effects, &mut Default::default(), &mut out);
        let mut code = vec![0.0; ready.code()];
        for (i, out) in out.iter_mut().enumerate() {
            *out += ready.genes(&sets.genes[sets.start[i]..sets.start[i + 1]], &mut code);
            let want = plain(&n, &n.values, &sets, i, &|_, _| 1.0);
            assert!((*out - want).abs() < 1e-12, "{out} {want}");
        }
    }
}

#[test]
fn single_precision_learns_and_threads_do_not_matter() {
    let (sets, y) = data();
    let single = Sets {
        start: sets.start.clone(),
        genes: sets.genes.clone(),
        effects: sets.effects.iter().map(|v| *v as f32).collect(),
    };
    let y: Vec<f32> = y.iter().map(|v| *v as f32).collect();
    // Large enough for several threads.
    let f = SetSizes { order: 3, hidden: 128, deep: true, width: 8, lifted: true };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut rng = Streams::new(1).rng("start");
            let start = (0..9 * 8).map(|_| Distribution::<f64>::sample(&StandardNormal, &mut rng) as f32).collect();
            let mut n = SetNetwork::<f32>::new(f, 9, Table::Free(start), &mut rng);
            let how = SetTraining { epochs: 60, ..training(0.1, 150) };
            let losses = n.train(&single, &y, &how, &Streams::new(3));
            (losses, n.values)
        })
    };
    let (losses, values) = run(1);
    assert!(losses[59] < 0.8 * losses[0], "{losses:?}");
    assert_eq!((losses, values), run(3));
}

#[test]
fn the_activation_in_single_precision() {
    for i in -3000..=3000 {
        let z = f64::from(i) * 0.005;
        let (g, d) = f64::gelu::<false>(z);
        for (h, s) in [f32::gelu::<false>(z as f32), f32::gelu::<true>(z as f32)] {
            assert!((f64::from(h) - g).abs() < 4e-7 * z.abs().max(1.0), "{z}: {h} {g}");
            assert!((f64::from(s) - d).abs() < 1e-6, "{z}: {s} {d}");
        }
    }
    assert!(f32::gelu::<false>(f32::NAN).0.is_nan());
}

#[test]
fn units_are_left_out_at_their_share_and_independently() {
    for dropout in [0.1, 0.5, 0.004] {
        let gaps = Gaps::new(dropout).unwrap();
        let mut rng = Streams::new(1).rng("gaps");
        let (n, mut places, mut count, mut twice) = (400_000usize, vec![], 0usize, 0usize);
        gaps.places(n, &mut rng, &mut places);
        count += places.len();
        twice += places.windows(2).filter(|w| w[1] == w[0] + 1).count();
        let sd = (n as f64 * dropout * (1.0 - dropout)).sqrt();
        assert!((count as f64 - n as f64 * dropout).abs() < 4.0 * sd, "{count} at {dropout}");
        let pairs = n as f64 * dropout * dropout;
        assert!((twice as f64 - pairs).abs() < 5.0 * pairs.sqrt() + 1.0, "{twice} for {pairs}");
    }
    assert!(Gaps::new(0.0).is_none());
}

#[test]
fn the_rate_rises_and_falls_along_lines() {
    let of = |s| rate_share(s, 100, 0.1);
    assert!((of(0) - 0.1).abs() < 1e-12 && (of(9) - 1.0).abs() < 1e-12 && (of(10) - 1.0).abs() < 1e-12);
    assert!((of(55) - 0.55).abs() < 1e-12 && (of(99) - (0.1 + 0.9 / 90.0)).abs() < 1e-12);
    assert_eq!(rate_share(0, 1, 0.0), 1.0);
}

#[test]
fn parameters_are_counted() {
    // 2 x 64 + 64 + 1, 2 x (16² + 16) + 16 + 1, embeddings 112 x 16.
    let f = SetSizes { order: 2, hidden: 64, deep: false, width: 16, lifted: false };
    assert_eq!(f.n_shared(), 193 + 544 + 17);
    let n = SetNetwork::new(f, 112, Table::Free(vec![0.0f64; 112 * 16]), &mut Streams::new(1).rng("start"));
    assert_eq!(n.n_parameters(), 193 + 544 + 17 + 1792);
    // 64² more with two layers, 16² + 16 more where genes are lifted.
    let code = SetSizes { deep: true, lifted: true, ..f };
    assert_eq!(code.n_shared(), f.n_shared() + 4096 + 272);
}
