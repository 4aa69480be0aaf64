use super::ascent::{bound, gradient, improve_any};
use super::factor::{Factor, SLACK};
use super::problem::{Problem, State};
use super::*;
use numerics::stats;
use numerics::streams::Streams;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

const FORMS: [Factorisation; 4] =
    [Factorisation::Mirror, Factorisation::Diag, Factorisation::Gram, Factorisation::Rectangular];

/// Some entries of a small matrix, one of them twice.
fn small(form: Factorisation, n: usize, columns: usize) -> Entries {
    let mut rng = Streams::new(5).rng("entries");
    let mut list = Vec::new();
    let columns = if form == Factorisation::Rectangular { columns } else { n };
    for i in 0..n as u32 {
        for j in 0..columns as u32 {
            let wanted = if form == Factorisation::Rectangular { true } else { i < j };
            if wanted && (i + 2 * j) % 3 != 0 {
                let z: f64 = StandardNormal.sample(&mut rng);
                list.push(if (i + j) % 2 == 0 || form == Factorisation::Rectangular { (i, j, z) } else { (j, i, z) });
            }
        }
    }
    list.push((list[0].0, list[0].1, 0.3));
    Entries { rows: n, columns, list }
}

fn settings(form: Factorisation, rank: usize) -> MatrixSettings {
    MatrixSettings { form, rank, noise: 0.5, learn_noise: true, ..MatrixSettings::default() }
}

/// A state away from any optimum.
fn somewhere(s: &MatrixSettings, p: &Problem, e: &Entries, seed: u64) -> State {
    let mut rng = Streams::new(seed).rng("state");
    let columns = if s.form.one_sided() { 1 } else { e.columns };
    let mut factor = |n: usize| {
        let mut f = Factor::prior(n, s.rank);
        for k in 0..n * s.rank {
            f.mu[k] = StandardNormal.sample(&mut rng);
            f.var[k] = rng.random_range(0.05..0.8);
        }
        f
    };
    let (u, mut v) = (factor(e.rows), factor(columns));
    if s.form == Factorisation::Gram {
        v.mu.fill(1.0);
        v.var.fill(0.0);
    }
    let (u, v) = p.compact(&u, &v);
    State::new(p, u, v, -0.9)
}

#[test]
fn bound_agrees_with_monte_carlo() {
    for form in FORMS {
        let (s, e) = (settings(form, 2), small(form, 5, 4));
        let s = MatrixSettings { learn_noise: false, ..s };
        let p = Problem::new(form, &e);
        let state = somewhere(&s, &p, &e, 1);
        let mut rng = Streams::new(2).rng("q");
        let sigma = state.ln_noise.exp();
        let log_normal =
            |x: f64, m: f64, sd: f64| -0.5 * (2.0 * std::f64::consts::PI).ln() - sd.ln() - 0.5 * ((x - m) / sd).powi(2);
        let draws: Vec<f64> = (0..60_000)
            .map(|_| {
                let mut total = 0.0;
                let mut draw = |f: &Factor| -> Vec<f64> {
                    (0..f.n * f.m)
                        .map(|k| {
                            let z: f64 = StandardNormal.sample(&mut rng);
                            let (m, sd) = (f.mu[k], f.var[k].sqrt());
                            let x = m + sd * z;
                            total += log_normal(x, 0.0, 1.0) - log_normal(x, m, sd);
                            x
                        })
                        .collect()
                };
                let u = draw(&state.u);
                let v = if form == Factorisation::Gram { vec![1.0; 2] } else { draw(&state.v) };
                for &(i, j, y) in &p.list {
                    let (i, j) = (i as usize, j as usize);
                    let mean: f64 = (0..2)
                        .map(|k| match form {
                            Factorisation::Diag | Factorisation::Gram => u[2 * i + k] * v[k] * u[2 * j + k],
                            _ => u[2 * i + k] * v[2 * j + k],
                        })
                        .sum();
                    total += log_normal(y, mean, sigma);
                }
                total
            })
            .collect();
        let (mean, error) = (stats::mean(&draws), stats::sd(&draws) / (draws.len() as f64).sqrt());
        let got = bound::<4>(&s, &p, &state);
        assert!((got - mean).abs() < 5.0 * error, "{form:?}: {got} for {mean} ± {error}");
        assert!(error < 0.02 * got.abs(), "{form:?}: {got} ± {error}");
    }
}

#[test]
fn gradient_agrees_with_finite_differences() {
    for form in FORMS {
        // Rank 5 in rows of 8: what a wide load takes of the next row must not count.
        let (s, e) = (settings(form, 5), small(form, 7, 6));
        let p = Problem::new(form, &e);
        let state = somewhere(&s, &p, &e, 3);
        let at = |side: usize, k: usize, ln_sd: bool, h: f64| {
            let (mut u, mut v) = (state.u.clone(), state.v.clone());
            let f = if side == 0 { &mut u } else { &mut v };
            if ln_sd {
                f.var[k] *= (2.0 * h).exp()
            } else {
                f.mu[k] += h
            };
            bound::<8>(&s, &p, &State::new(&p, u, v, state.ln_noise))
        };
        let precision = (-2.0 * state.ln_noise).exp();
        let mut state = State::new(&p, state.u.clone(), state.v.clone(), state.ln_noise);
        state.pair_all(&p);
        for (side, links) in
            [(0, &p.by_row), (1, &p.by_column)].into_iter().take(2 - usize::from(form == Factorisation::Gram))
        {
            let (own, other) = if side == 0 { (&state.u, state.beside_u(&p)) } else { (&state.v, state.beside_v(&p)) };
            let size = own.n * own.m;
            let (mut g, mut h) = (vec![0.0; size + SLACK], vec![0.0; size + SLACK]);
            gradient::<8>(links, own, other, precision, &mut g, &mut h);
            for k in 0..size {
                for (ln_sd, got) in [(false, g[k]), (true, h[k])] {
                    let d = 1e-5;
                    let want = (at(side, k, ln_sd, d) - at(side, k, ln_sd, -d)) / (2.0 * d);
                    assert!(
                        (got - want).abs() < 1e-5 * (1.0 + want.abs()),
                        "{form:?} {side} {k} {ln_sd}: {got} {want}"
                    );
                }
            }
        }
    }
}

#[test]
fn sweeps_never_lower_the_bound_and_end_where_adam_does_or_near() {
    for form in FORMS {
        for learn_noise in [false, true] {
            let e = small(form, 9, 7);
            let streams = Streams::new(8);
            let fit = |inference, steps, restarts| {
                let s = MatrixSettings { inference, steps, restarts, tolerance: 0.0, learn_noise, ..settings(form, 3) };
                let stages = [e.clone()];
                let job = MatrixJob { settings: s, stages: &stages, stage_steps: 0, streams: streams.clone() };
                MatrixPosterior::fit(&job).unwrap()
            };
            // Optima are many; the best of several starts is no worse than half a nat below.
            let cavi = fit(Inference::Cavi, 2000, 8);
            let slack = |v: f64| 1e-9 * (1.0 + v.abs());
            assert!(cavi.trace.windows(2).all(|w| w[1] >= w[0] - slack(w[0])), "{form:?} {:?}", cavi.trace);
            // From where Adam ended the sweeps have next to nothing left to gain: it is an optimum of the same bound.
            let adam = fit(Inference::Adam, 5000, 1);
            assert!(adam.steps == 5000 && cavi.trace.len() > 3);
            let p = Problem::new(form, &e);
            let s = MatrixSettings { learn_noise, tolerance: 1e-9, anneal: false, ..settings(form, 3) };
            let (u, v) = p.compact(&adam.u, &adam.v);
            let mut state = State::new(&p, u, v, adam.noise.ln());
            let after = improve_any(&s, &p, &mut state, 200).0;
            let gain = after.last().unwrap() - adam.elbo;
            assert!((-1e-6..0.2).contains(&gain), "{form:?} {learn_noise}: {gain}");
            assert!(cavi.elbo > adam.elbo - 0.5, "{form:?} {learn_noise}: {} {}", cavi.elbo, adam.elbo);
        }
    }
}

/// A matrix of rank 2 and the pairs i < j of which every `every`-th is hidden.
fn planted(n: usize) -> impl Fn(usize, usize) -> f64 {
    let mut rng = Streams::new(11).rng("planted");
    let u: Vec<f64> = (0..2 * n).map(|_| StandardNormal.sample(&mut rng)).collect();
    move |i, j| (u[2 * i] * u[2 * j] - u[2 * i + 1] * u[2 * j + 1]) / 2f64.sqrt()
}

#[test]
fn hidden_entries_of_a_low_rank_matrix_are_recovered() {
    let (n, mut rng) = (40, Streams::new(12).rng("noise"));
    let truth = planted(n);
    let (mut list, mut hidden) = (vec![], vec![]);
    for i in 0..n {
        for j in i + 1..n {
            let z: f64 = StandardNormal.sample(&mut rng);
            if rng.random_range(0.0..1.0) < 0.4 {
                list.push((i as u32, j as u32, truth(i, j) + 0.1 * z));
            } else {
                hidden.push((i, j));
            }
        }
    }
    let stages = [Entries { rows: n, columns: n, list }];
    for form in [Factorisation::Mirror, Factorisation::Diag] {
        for inference in [Inference::Cavi, Inference::Adam] {
            for init in [Init::Small, Init::Uniform] {
                // Three factors of size 2 against noise of 0.1 are too rough a start for steps of 0.01.
                if (form, inference, init) == (Factorisation::Diag, Inference::Adam, Init::Uniform) {
                    continue;
                }
                let steps = if inference == Inference::Adam { 3000 } else { 500 };
                let s = MatrixSettings { form, inference, init, steps, rank: 5, ..MatrixSettings::default() };
                let job = MatrixJob { settings: s, stages: &stages, stage_steps: 0, streams: Streams::new(3) };
                let fit = MatrixPosterior::fit(&job).unwrap();
                let mean: Vec<f64> = hidden.iter().map(|&(i, j)| fit.moments(i, j).0).collect();
                let want: Vec<f64> = hidden.iter().map(|&(i, j)| truth(i, j)).collect();
                let r = stats::pearson(&mean, &want);
                assert!(r > 0.95, "{form:?} {inference:?} {init:?}: {r}");
            }
        }
    }
}

#[test]
fn moments_are_those_of_the_draws_and_a_draw_is_one_matrix() {
    for form in FORMS {
        let (s, e) = (settings(form, 3), small(form, 18, 20));
        // The last row has no entry: its factors are as before any measurement.
        let e = Entries { rows: 19, columns: if form == Factorisation::Rectangular { 20 } else { 19 }, ..e };
        let stages = [e.clone()];
        let job = MatrixJob { settings: s, stages: &stages, stage_steps: 0, streams: Streams::new(4) };
        let fit = MatrixPosterior::fit(&job).unwrap();
        let n = 20_000;
        let draws = fit.draws(n, &Streams::new(6));
        let all: Vec<(u32, u32)> = (0..19)
            .flat_map(|i| (0..e.columns as u32).map(move |j| (i, j)))
            .filter(|(i, j)| form == Factorisation::Rectangular || i < j)
            .collect();
        let mut x = vec![];
        draws.values(&all, 1.0, 2.0, &mut x);
        for (c, &(i, j)) in all.iter().enumerate() {
            let column: Vec<f64> = (0..n).map(|s| x[s * all.len() + c]).collect();
            let (mean, var) = fit.moments(i as usize, j as usize);
            let (got, sd) = (stats::mean(&column), stats::sd(&column));
            assert!((got - 1.0 - 2.0 * mean).abs() < 6.0 * sd / (n as f64).sqrt() + 1e-9, "{form:?} {i} {j}");
            assert!((sd / (2.0 * var.sqrt()) - 1.0).abs() < 0.1, "{form:?} {i} {j}: {sd} {}", 2.0 * var.sqrt());
        }
        // The same numbers, wherever an entry stands in the list.
        let some = [all[40], all[7], all[8], all[9], all[100]];
        let mut y = vec![];
        draws.values(&some, 1.0, 2.0, &mut y);
        for (c, at) in [40, 7, 8, 9, 100].into_iter().enumerate() {
            assert!((0..50).all(|s| y[s * 5 + c] == x[s * all.len() + at]));
        }
    }
}

#[test]
fn rows_never_measured_keep_the_prior_which_is_where_adam_would_take_them() {
    let list = vec![(0, 1, 1.0), (1, 2, -1.0)];
    let stages = [Entries { rows: 6, columns: 6, list }];
    let settings = MatrixSettings { rank: 2, ..MatrixSettings::default() };
    let job = MatrixJob { settings, stages: &stages, stage_steps: 0, streams: Streams::new(1) };
    let (mean, var) = MatrixPosterior::fit(&job).unwrap().moments(4, 5);
    assert!(mean == 0.0 && (var - 1.0).abs() < 1e-12, "½ (uv + uv) of rank 2: {mean} {var}");
}

#[test]
fn fits_are_the_same_on_any_number_of_threads_and_stages_go_on_from_one_another() {
    let e = small(Factorisation::Mirror, 12, 12);
    let half = Entries { list: e.list[..e.list.len() / 2].to_vec(), ..e.clone() };
    let stages = [half, e];
    let jobs: Vec<MatrixJob> = (0..6)
        .map(|seed| MatrixJob {
            settings: MatrixSettings { rank: 3, restarts: 2, ..MatrixSettings::default() },
            stages: if seed % 2 == 0 { &stages } else { &stages[1..] },
            stage_steps: 20,
            streams: Streams::new(seed / 2),
        })
        .collect();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let fits = fit_all(&jobs).into_iter().map(Result::unwrap);
            fits.map(|f| {
                let mut x = vec![];
                f.draws(7, &Streams::new(1)).values(&[(0, 5), (3, 4)], 0.0, 1.0, &mut x);
                (f.elbo.to_bits(), f.moments(0, 3).0.to_bits(), x)
            })
            .collect::<Vec<_>>()
        })
    };
    let one = on(1);
    assert_eq!(one, on(4));
    assert_ne!(one[0].0, one[1].0, "a start from half of the entries");
}

#[test]
fn mistakes_are_explained() {
    let e = |list: Vec<(u32, u32, f64)>| [Entries { rows: 4, columns: 4, list }];
    let fit = |s: MatrixSettings, e: &[Entries]| {
        let job = MatrixJob { settings: s, stages: e, stage_steps: 0, streams: Streams::new(1) };
        MatrixPosterior::fit(&job).unwrap_err().to_string()
    };
    let s = MatrixSettings { rank: 3, ..MatrixSettings::default() };
    let text = fit(MatrixSettings { rank: 5, ..s }, &e(vec![(0, 1, 1.0)]));
    assert_eq!(text, "low-rank matrix: rank = 5 is larger than a matrix of 4 genes can have; lower the rank");
    let wide = MatrixSettings { rank: 5, form: Factorisation::Rectangular, ..s };
    assert!(fit(wide, &e(vec![(0, 0, 1.0)])).contains("4 rows and 4 columns"));
    assert!(fit(s, &e(vec![(2, 2, 1.0)])).contains("off the diagonal"));
    assert!(fit(s, &e(vec![(0, 1, f64::NAN)])).contains("entries are finite"));
    assert!(fit(MatrixSettings { noise: 0.0, ..s }, &e(vec![])).contains("noise = 0; it must be a positive number"));
    // Numbers beyond any reason do not pass for a fit.
    let far = fit(s, &e(vec![(0, 1, 1e200), (1, 2, -1e200), (0, 3, 1e199)]));
    assert!(far.contains("standardise the rewards"), "{far}");
}
