use super::*;
use framework::domain::{Block, Readouts};
use framework::ndarray;
use framework::testing::TinyWorld;

fn gp(form: serde_json::Value) -> Gp {
    serde_json::from_value(form).unwrap()
}

fn fit(form: serde_json::Value, inputs: &Arc<Inputs>, observed: &Observed) -> Box<dyn Surrogate> {
    gp(form).fit(&FitContext { inputs, observed, streams: &Streams::new(1) }).unwrap()
}

fn recorded(s: &dyn Surrogate) -> [f64; 3] {
    let r = s.record();
    [r[0].1, r[1].1, r[2].1]
}

fn noisy(world: &TinyWorld, ids: &[usize], noise: f64) -> Observed {
    let mut rng = Streams::new(8).rng("noise");
    let y = Array2::from_shape_fn((ids.len(), world.truth.ncols()), |(i, o)| {
        let z: f64 = StandardNormal.sample(&mut rng);
        world.truth[(ids[i], o)].sin() + noise * z
    });
    let mut observed = Observed::empty(world.truth.ncols());
    observed.push(&Readouts::plain(ids, y), 0).unwrap();
    observed
}

/// Points on a line.
fn line(x: &[f64]) -> Arc<Inputs> {
    let genes = Arc::new(Genes::new((0..x.len()).map(|i| format!("g{i}"))).unwrap());
    let block = Block::new("x", Array2::from_shape_fn((x.len(), 1), |(i, _)| x[i]), vec![true; x.len()]).unwrap();
    Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap())
}

/// The kernel over scale, noise over scale and readouts of one output: mean, sd and C⁻¹-weights by Gauss-Jordan.
fn inverse(c: &Array2<f64>) -> Array2<f64> {
    let n = c.nrows();
    let (mut a, mut inverse) = (c.clone(), Array2::<f64>::eye(n));
    for i in 0..n {
        let pivot = a[(i, i)];
        for j in 0..n {
            a[(i, j)] /= pivot;
            inverse[(i, j)] /= pivot;
        }
        for r in (0..n).filter(|r| *r != i) {
            let f = a[(r, i)];
            for j in 0..n {
                a[(r, j)] -= f * a[(i, j)];
                inverse[(r, j)] -= f * inverse[(i, j)];
            }
        }
    }
    inverse
}

#[test]
fn four_points_by_hand_with_and_without_known_errors() {
    // Measured at 0, 1 and 3, asked at 2. A vague normal mean of sd 300 stands for the flat one.
    let inputs = line(&[0.0, 1.0, 3.0, 2.0]);
    let y = [0.5, 2.0, -1.0];
    let form = json!({ "kernel": { "use": "rbf", "length": 1.5 }, "noise": 0.3, "scale": 2.0 });
    for errors in [[0.0; 3], [0.1, 2.0, 0.4]] {
        let mut observed = Observed::empty(1);
        let mut readouts = Readouts::plain(&[0, 1, 2], Array2::from_shape_fn((3, 1), |(i, _)| y[i]));
        readouts.sd = Some(Array2::from_shape_fn((3, 1), |(i, _)| errors[i]));
        observed.push(&readouts, 0).unwrap();
        let p = fit(form.clone(), &inputs, &observed).predict(&[3]).unwrap();
        let (x, vague) = ([0.0f64, 1.0, 3.0, 2.0], 1e5);
        let k = |i: usize, j: usize| 4.0 * (-(x[i] - x[j]) * (x[i] - x[j]) / (2.0 * 2.25)).exp() + vague;
        let c =
            Array2::from_shape_fn((3, 3), |(i, j)| k(i, j) + if i == j { 0.09 + errors[i] * errors[i] } else { 0.0 });
        let c = inverse(&c);
        let star = Array1::from_shape_fn(3, |i| k(3, i));
        let mean = star.dot(&c).dot(&Array1::from(y.to_vec()));
        let sd = (k(3, 3) - star.dot(&c).dot(&star)).sqrt();
        assert!((p.mean[(0, 0)] - mean).abs() < 1e-4, "{} {mean}", p.mean[(0, 0)]);
        assert!((p.sd.unwrap()[(0, 0)] - sd).abs() < 1e-4);
    }
}

/// The log likelihood of the contrasts from its definition, and the cost with the priors.
fn brute(k: &Array2<f64>, y: &Array2<f64>, noise: f64, scale: f64) -> f64 {
    let (n, l) = (k.nrows(), y.ncols() as f64);
    let c = Cholesky::new((k * (scale * scale) + Array2::<f64>::eye(n) * (noise * noise)).view()).unwrap();
    let ones = Array2::<f64>::ones((n, 1));
    let (solved, of_mean) = (c.solve(y.view()), c.quadratic(ones.view())[0]);
    let along = ones.t().dot(&solved);
    let quadratic = (y * &solved).sum() - along.mapv(|v| v * v).sum() / of_mean;
    let log_det = c.log_det() + of_mean.ln() - (n as f64).ln();
    -0.5 * quadratic - 0.5 * l * log_det - 0.5 * (n as f64 - 1.0) * l * std::f64::consts::TAU.ln()
}

/// Its sum with the log densities of the priors.
fn penalised(k: &Array2<f64>, y: &Array2<f64>, noise: f64, scale: f64, free: [bool; 2]) -> f64 {
    let n = k.nrows() as f64;
    let centred = y - &y.mean_axis(Axis(0)).unwrap();
    let middle = (0.5 * centred.iter().map(|v| v * v).sum::<f64>() / ((n - 1.0) * y.ncols() as f64)).ln();
    let unit = (k.diag().sum() - k.sum() / n) / (n - 1.0);
    let of = |log: f64| -0.5 * ((log - middle) / 2.0).powi(2);
    brute(k, y, noise, scale)
        + if free[0] { of(2.0 * noise.ln()) } else { 0.0 }
        + if free[1] { of(2.0 * scale.ln() + unit.ln()) } else { 0.0 }
}

#[test]
fn the_recorded_likelihood_is_the_definition_and_no_grid_point_is_better() {
    // Band and eigen form, function and feature space, more and fewer features than rows.
    for (kernel, features, outputs) in
        [("rbf", 4, 1), ("matern52", 4, 40), ("linear", 4, 2), ("linear", 4, 40), ("linear", 60, 2)]
    {
        let world = TinyWorld::new(90, features, outputs, false, 3).unwrap();
        let ids: Vec<usize> = (0..50).collect();
        let observed = noisy(&world, &ids, 0.3);
        let s = fit(json!({ "kernel": { "use": kernel } }), &world.inputs, &observed);
        let [noise, scale, log_marginal] = recorded(&*s);
        let k: Box<dyn Kernel> = serde_json::from_value(json!({ "use": kernel })).unwrap();
        let (k, y) = (world.gram(&*k, &observed).unwrap().to_dense(&ids), observed.y.clone());
        let at = brute(&k, &y, noise, scale);
        assert!((at - log_marginal).abs() < 1e-6 * at.abs(), "{kernel} {outputs}: {at} {log_marginal}");
        let best = penalised(&k, &y, noise, scale, [true, true]);
        for i in 0..40 {
            for j in 0..40 {
                let (a, b) = (10f64.powf(-2.0 + 0.1 * i as f64), 10f64.powf(-2.0 + 0.1 * j as f64));
                let other = penalised(&k, &y, a, b, [true, true]);
                assert!(
                    other <= best + 1e-6 * best.abs(),
                    "{kernel}: noise {a} and scale {b} give {other}, not {best}"
                );
            }
        }
        // With one of the two given, the other is still the best.
        let fixed = fit(json!({ "kernel": { "use": kernel }, "noise": 0.5 }), &world.inputs, &observed);
        let [noise, scale, _] = recorded(&*fixed);
        assert!((noise - 0.5).abs() < 1e-12);
        let best = penalised(&k, &y, 0.5, scale, [false, true]);
        for f in [0.98, 1.02] {
            assert!(penalised(&k, &y, 0.5, scale * f, [false, true]) < best, "{kernel} {f}");
        }
        let fixed = fit(json!({ "kernel": { "use": kernel }, "scale": 0.8 }), &world.inputs, &observed);
        let [noise, ..] = recorded(&*fixed);
        let best = penalised(&k, &y, noise, 0.8, [true, false]);
        for f in [0.98, 1.02] {
            assert!(penalised(&k, &y, noise * f, 0.8, [true, false]) < best, "{kernel} {f}");
        }
    }
}

#[test]
fn the_search_with_gradients_has_the_same_likelihood_and_exact_slopes() {
    for (outputs, errors) in [(1, vec![0.0; 20]), (30, (0..20).map(|i| 0.01 * i as f64).collect::<Vec<_>>())] {
        let world = TinyWorld::new(30, 4, outputs, false, 3).unwrap();
        let ids: Vec<usize> = (0..20).collect();
        let observed = noisy(&world, &ids, 0.3);
        let y = &observed.y - &observed.mean();
        let x = world.inputs.features(&ids);
        let part = |r: std::ops::Range<usize>, usual: f64| {
            let x = x.slice(ndarray::s![.., r]);
            (sq_distances(x, x), usual)
        };
        let priors = Priors::new(variance_of(&y, None));
        let form = Form::Lengths(vec![part(0..1, 1.2), part(1..4, 2.0)]);
        let search = Search::new(form, y.clone(), errors.clone(), priors, Given::default()).unwrap();
        let at = [0.3, -0.2, 0.4, -1.0];
        let mut gradient = [0.0; 4];
        let (cost, log_marginal) = search.cost_at(&at, &mut gradient);
        for i in 0..4 {
            let mut costs = [0.0; 2];
            for (c, step) in costs.iter_mut().zip([1e-5, -1e-5]) {
                let mut near = at;
                near[i] += step;
                *c = search.cost_at(&near, &mut [0.0; 4]).0;
            }
            let slope = (costs[0] - costs[1]) / 2e-5;
            assert!((slope - gradient[i]).abs() < 1e-5 * (1.0 + slope.abs()), "{i}: {slope} {}", gradient[i]);
        }
        assert!(cost > -log_marginal);
        if errors[1] == 0.0 {
            let (a, b) = (1.2 * at[0].exp(), 2.0 * at[1].exp());
            let k = Array2::from_shape_fn((20, 20), |(i, j)| {
                let d = &x.row(i) - &x.row(j);
                (-0.5 * (d[0] * d[0] / (a * a) + d.slice(ndarray::s![1..]).mapv(|v| v * v).sum() / (b * b))).exp()
            });
            let own = brute(&k, &y, (at[3] / 2.0).exp(), (at[2] / 2.0).exp());
            assert!((own - log_marginal).abs() < 1e-8, "{own} {log_marginal}");
        }
    }
}

/// A pool with one block of normal features a name.
fn sources(n: usize, of: &[(&str, usize)], seed: u64) -> Arc<Inputs> {
    let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).unwrap());
    let mut rng = Streams::new(seed).rng("sources");
    let blocks = of.iter().map(|(name, d)| {
        let x = normals(n, *d, &mut rng);
        Arc::new(Block::new(*name, x, vec![true; n]).unwrap())
    });
    Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), blocks.collect(), Compose::Sum).unwrap())
}

/// Readouts of the first perturbations, with errors where they are given.
fn measure(y: &[f64], sd: Option<&[f64]>) -> Observed {
    let ids: Vec<usize> = (0..y.len()).collect();
    let column = |v: &[f64]| Array2::from_shape_fn((v.len(), 1), |(i, _)| v[i]);
    let mut readouts = Readouts::plain(&ids, column(y));
    readouts.sd = sd.map(column);
    let mut observed = Observed::empty(1);
    observed.push(&readouts, 0).unwrap();
    observed
}

#[test]
fn a_source_that_tells_nothing_is_weighed_down() {
    let inputs = sources(400, &[("noise", 5), ("signal", 2)], 5);
    let x = inputs.features(&(0..400).collect::<Vec<_>>());
    let mut rng = Streams::new(6).rng("noise");
    let truth: Vec<f64> = (0..400).map(|i| (1.5 * x[(i, 5)]).sin() + 0.5 * x[(i, 6)]).collect();
    let y: Vec<f64> = truth[..250].iter().map(|t| t + 0.2 * normals(1, 1, &mut rng)[(0, 0)]).collect();
    let s = fit(json!({}), &inputs, &measure(&y, None));
    let kept: BTreeMap<String, f64> = s.record().into_iter().collect();
    let (noise, signal) = (kept["gp.length.noise"] / 5f64.sqrt(), kept["gp.length.signal"] / 2f64.sqrt());
    assert!(noise > 4.0 * signal, "{noise} {signal}");
    let ids: Vec<usize> = (250..400).collect();
    let p = s.predict(&ids).unwrap();
    let error = ids.iter().map(|&i| (p.mean[(i - 250, 0)] - truth[i]).powi(2)).sum::<f64>() / 150.0;
    assert!(error < 0.03, "{error}");
    let covered =
        ids.iter().filter(|&&i| (p.mean[(i - 250, 0)] - truth[i]).abs() < 1.96 * p.sd.as_ref().unwrap()[(i - 250, 0)]);
    let covered = covered.count();
    assert!((130..=150).contains(&covered), "{covered} of 150");
}

#[test]
fn few_readouts_without_information_leave_the_error_of_the_mean() {
    let inputs = sources(60, &[("any", 8)], 7);
    let y = [1.2, -0.3, 0.4, -1.1, 0.9, -0.6];
    let (n, mean) = (6.0, y.iter().sum::<f64>() / 6.0);
    let sample = (y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let sd = fit(json!({}), &inputs, &measure(&y, None)).predict(&(6..60).collect::<Vec<_>>()).unwrap().sd.unwrap();
    let least = sd.iter().fold(f64::INFINITY, |m, v| m.min(*v));
    assert!(least > 0.8 * sample / n.sqrt() && least < 2.0 * sample, "{least} {sample}");
}

#[test]
fn a_readout_with_a_huge_error_changes_nothing() {
    let inputs = sources(40, &[("a", 2), ("b", 2)], 8);
    let mut rng = Streams::new(9).rng("y");
    let mut y: Vec<f64> = normals(12, 1, &mut rng).iter().copied().collect();
    let mut sd = vec![0.2; 12];
    let ask: Vec<usize> = (0..40).collect();
    for form in
        [json!({}), json!({ "kernel": { "use": "rbf", "length": 2.0 } }), json!({ "kernel": { "use": "linear" } })]
    {
        let without = fit(form.clone(), &inputs, &measure(&y[..11], Some(&sd[..11]))).predict(&ask).unwrap();
        sd[11] = 1e6;
        for value in [-3.0, 100.0] {
            y[11] = value;
            let with = fit(form.clone(), &inputs, &measure(&y, Some(&sd))).predict(&ask).unwrap();
            let most = |a: &Array2<f64>, b: &Array2<f64>| (a - b).iter().fold(0.0f64, |m, v| m.max(v.abs()));
            // The search of hyper-parameters stops at a slope of 1e-3.
            assert!(most(&with.mean, &without.mean) < 5e-3, "{form} {}", most(&with.mean, &without.mean));
            assert!(most(&with.sd.unwrap(), without.sd.as_ref().unwrap()) < 5e-3, "{form}");
        }
    }
}

#[test]
fn errors_that_are_not_errors_are_refused() {
    let inputs = sources(9, &[("a", 2)], 8);
    let observed = measure(&[0.1, 0.5, 0.2], Some(&[0.1, -1.0, 0.1]));
    let cx = FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(1) };
    let e = gp(json!({})).fit(&cx).err().unwrap().to_string();
    assert!(e.contains("the error of the readout of `g1`"), "{e}");
}

#[test]
fn intervals_hold_what_they_promise_when_the_world_is_the_model() {
    // Functions drawn from the prior; 60 measured, 60 asked for with noise. 60 worlds: 3,600 intervals, not independent.
    let mut covered = 0;
    for seed in 0..60 {
        let inputs = sources(120, &[("a", 2)], 100 + seed);
        let x = inputs.features(&(0..120).collect::<Vec<_>>());
        let k = Array2::from_shape_fn((120, 120), |(i, j)| {
            let d = &x.row(i) - &x.row(j);
            (-0.5 * d.dot(&d)).exp() + if i == j { 1e-9 } else { 0.0 }
        });
        let mut rng = Streams::new(seed).rng("truth");
        let truth = Cholesky::new(k.view()).unwrap().times(normals(120, 1, &mut rng).view()) + 2.0;
        let y = truth + normals(120, 1, &mut rng) * 0.4;
        let y: Vec<f64> = y.iter().copied().collect();
        let s = fit(json!({}), &inputs, &measure(&y[..60], None));
        let p = s.predict(&(60..120).collect::<Vec<_>>()).unwrap();
        let noise = s.noise_variance().unwrap()[0];
        covered += (60..120)
            .filter(|&i| {
                let sd = (p.sd.as_ref().unwrap()[(i - 60, 0)].powi(2) + noise).sqrt();
                (y[i] - p.mean[(i - 60, 0)]).abs() < 1.959964 * sd
            })
            .count();
    }
    let share = covered as f64 / 3600.0;
    assert!((0.93..0.97).contains(&share), "{share}");
}

#[test]
fn many_measurements_are_told_by_inducing_ones() {
    let inputs = sources(3600, &[("a", 2)], 11);
    let x = inputs.features(&(0..3600).collect::<Vec<_>>());
    let mut rng = Streams::new(12).rng("y");
    let y: Vec<f64> =
        (0..3200).map(|i| x[(i, 0)].sin() + x[(i, 1)].cos() + 0.3 * normals(1, 1, &mut rng)[(0, 0)]).collect();
    let form = json!({ "kernel": { "use": "rbf", "length": 1.0 }, "noise": 0.3, "scale": 1.0 });
    let s = fit(form.clone(), &inputs, &measure(&y, None));
    let ask: Vec<usize> = (3200..3600).collect();
    let p = s.predict(&ask).unwrap();
    let exact = {
        let k = |a: &[usize], b: &[usize]| {
            sq_distances(x.select(Axis(0), a).view(), x.select(Axis(0), b).view()).mapv(|d| (-0.5 * d).exp())
        };
        let train: Vec<usize> = (0..3200).collect();
        Space::function(&k(&train, &train), vec![0.09; 3200], &Array2::from_shape_vec((3200, 1), y.clone()).unwrap())
            .map(|space| match space {
                Space::Function { factor, weights, mean, ones, flat, .. } => {
                    let star = k(&ask, &train);
                    let q = factor.quadratic(star.t());
                    let off = star.dot(&ones);
                    let sd: Vec<f64> =
                        q.iter().zip(&off).map(|(q, o)| (1.0 - q + flat * (1.0 - o).powi(2)).sqrt()).collect();
                    (star.dot(&weights) + mean, sd)
                }
                Space::Features { .. } => unreachable!(),
            })
            .unwrap()
    };
    let sd = p.sd.unwrap();
    for i in 0..ask.len() {
        assert!((p.mean[(i, 0)] - exact.0[(i, 0)]).abs() < 0.02, "{i}: {} {}", p.mean[(i, 0)], exact.0[(i, 0)]);
        assert!((sd[(i, 0)] - exact.1[i]).abs() < 0.02, "{i}: {} {}", sd[(i, 0)], exact.1[i]);
    }
    let own = s.covariance().unwrap().between(&ask[..3], &ask[..3], 0).unwrap();
    assert!((0..3).all(|i| (own[(i, i)] - sd[(i, 0)].powi(2)).abs() < 1e-9));
    let d = s.draws().unwrap().draw(&ask, 400, &mut Streams::new(1).rng("d")).unwrap();
    let spread = (0..400).map(|k| (d[(k, 5, 0)] - p.mean[(5, 0)]).powi(2)).sum::<f64>() / 400.0;
    assert!((spread.sqrt() / sd[(5, 0)] - 1.0).abs() < 0.2);
}

#[test]
fn feature_space_and_function_space_agree() {
    let world = TinyWorld::new(40, 3, 2, false, 3).unwrap();
    let mut observed = noisy(&world, &(0..20).collect::<Vec<_>>(), 0.2);
    observed.sd = Some(Array2::from_shape_fn((20, 2), |(i, _)| 0.02 * i as f64));
    let ids: Vec<usize> = (15..40).collect();
    let own = fit(json!({ "kernel": { "use": "linear" }, "noise": 0.3, "scale": 0.9 }), &world.inputs, &observed);
    let p = own.predict(&ids).unwrap();
    let (x, star) = (world.inputs.features(&observed.ids), world.inputs.features(&ids));
    let noise: Vec<f64> = (0..20).map(|i| (0.09 + (0.02 * i as f64).powi(2)) / 0.81).collect();
    let space = Space::function(&x.dot(&x.t()), noise, &observed.y).unwrap();
    let Space::Function { factor, ones, flat, weights, mean, .. } = space else { unreachable!() };
    let cross = star.dot(&x.t());
    assert!((&cross.dot(&weights) + &mean - &p.mean).iter().all(|d| d.abs() < 1e-10));
    for (i, q) in factor.quadratic(cross.t()).iter().enumerate() {
        let v = star.row(i).dot(&star.row(i)) - q + flat * (1.0 - cross.row(i).dot(&ones)).powi(2);
        assert!((p.sd.as_ref().unwrap()[(i, 1)] - 0.9 * v.sqrt()).abs() < 1e-9);
    }
    let residuals = own.loo_residuals().unwrap();
    let inverse = factor.solve(Array2::eye(20).view());
    let share = |i: usize| inverse[(i, i)] - flat * ones[i] * ones[i];
    assert!((0..20).all(|i| (residuals[(i, 1)] - weights[(i, 1)] / share(i)).abs() < 1e-9));
}

#[test]
fn leave_one_out_residuals_equal_predictions_without_the_row() {
    let world = TinyWorld::new(30, 3, 1, false, 3).unwrap();
    let observed = noisy(&world, &(0..12).collect::<Vec<_>>(), 0.2);
    let form = json!({ "kernel": { "use": "rbf", "length": 2.0 }, "noise": 0.3, "scale": 0.8 });
    let loo = fit(form.clone(), &world.inputs, &observed).loo_residuals().unwrap();
    for i in 0..12 {
        let rest: Vec<usize> = (0..12).filter(|j| *j != i).collect();
        let mut without = Observed::empty(1);
        without.push(&Readouts::plain(&rest, observed.y.select(Axis(0), &rest)), 0).unwrap();
        let p = fit(form.clone(), &world.inputs, &without).predict(&[i]).unwrap();
        assert!((loo[(i, 0)] - (observed.y[(i, 0)] - p.mean[(0, 0)])).abs() < 1e-9, "{i}");
    }
}

/// Mean and covariance of many draws against the posterior, for the ids `keep` of `ids`.
fn check_draws(s: &dyn Surrogate, ids: &[usize], keep: &[usize], covariance: &Array2<f64>, tolerance: f64) {
    let n = 6000;
    let p = s.predict(ids).unwrap();
    let mut rng = Streams::new(3).rng("draw");
    let mut sums = Array2::<f64>::zeros((keep.len(), keep.len()));
    let mut means = vec![0.0; keep.len()];
    for _ in 0..n / 500 {
        let d = s.draws().unwrap().draw(ids, 500, &mut rng).unwrap();
        for k in 0..500 {
            for (a, &i) in keep.iter().enumerate() {
                means[a] += (d[(k, i, 0)] - p.mean[(i, 0)]) / n as f64;
                for (b, &j) in keep.iter().enumerate() {
                    sums[(a, b)] += (d[(k, i, 0)] - p.mean[(i, 0)]) * (d[(k, j, 0)] - p.mean[(j, 0)]) / n as f64;
                }
            }
        }
    }
    for a in 0..keep.len() {
        let sd = covariance[(a, a)].sqrt();
        assert!(means[a].abs() < 4.0 * sd / (n as f64).sqrt() + 1e-9, "mean {a}: {}", means[a]);
        for b in 0..keep.len() {
            let unit = (covariance[(a, a)] * covariance[(b, b)]).sqrt();
            let off = (sums[(a, b)] - covariance[(a, b)]).abs();
            assert!(off < tolerance * unit + 1e-9, "covariance {a} {b}: {} {}", sums[(a, b)], covariance[(a, b)]);
        }
    }
}

#[test]
fn draws_have_the_posterior_moments_in_every_form() {
    // (kernel, features, genes): weights, exact features, joint covariance, random features.
    for (kernel, features, genes, tolerance) in
        [("linear", 3, 30, 0.07), ("linear", 20, 30, 0.07), ("rbf", 2, 30, 0.07), ("rbf", 2, 2100, 0.15)]
    {
        let world = TinyWorld::new(genes, features, 1, false, 3).unwrap();
        let observed = noisy(&world, &(0..12).collect::<Vec<_>>(), 0.5);
        let form = json!({ "kernel": { "use": kernel }, "noise": 0.5, "scale": 0.7 });
        let s = fit(form, &world.inputs, &observed);
        let ids: Vec<usize> = (0..genes).rev().collect();
        let keep = [0, 1, genes - 3, genes / 2];
        let kept: Vec<usize> = keep.iter().map(|&i| ids[i]).collect();
        let k: Box<dyn Kernel> = serde_json::from_value(json!({ "use": kernel })).unwrap();
        let g = world.gram(&*k, &observed).unwrap();
        let own = g.to_dense(&observed.ids) * 0.49 + Array2::<f64>::eye(12) * 0.25;
        let (own, cross) = (Cholesky::new(own.view()).unwrap(), g.block(&observed.ids, &kept) * 0.49);
        let ones = own.solve(Array2::ones((12, 1)).view());
        let off = cross.t().dot(&ones) - 1.0;
        let covariance =
            g.to_dense(&kept) * 0.49 - cross.t().dot(&own.solve(cross.view())) + off.dot(&off.t()) / ones.sum();
        let own = s.covariance().unwrap().between(&kept, &kept[..3], 0).unwrap();
        assert!((&own - &covariance.slice(ndarray::s![.., ..3])).iter().all(|d| d.abs() < 1e-9));
        let sd = s.predict(&kept).unwrap().sd.unwrap();
        assert!((0..3).all(|i| (own[(i, i)] - sd[(i, 0)].powi(2)).abs() < 1e-9));
        assert!((s.noise_variance().unwrap()[0] - 0.25).abs() < 1e-12);
        check_draws(&*s, &ids, &keep, &covariance, tolerance);
    }
}

#[test]
fn draws_beyond_the_joint_limit_need_features() {
    let world = TinyWorld::new(2100, 2, 1, false, 3).unwrap();
    let observed = noisy(&world, &[0, 1, 2, 3], 0.5);
    let s = fit(json!({ "kernel": { "use": "stored_for_test" } }), &world.inputs, &observed);
    let ids: Vec<usize> = (0..2100).collect();
    assert!(s.draws().unwrap().draw(&ids[..2000], 1, &mut Streams::new(1).rng("d")).is_ok());
    let e = s.draws().unwrap().draw(&ids, 1, &mut Streams::new(1).rng("d")).unwrap_err().to_string();
    assert!(e.contains("neither features nor random features"), "{e}");
}

/// A kernel known by its matrix only.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {}

#[typetag::serde(name = "stored_for_test")]
impl Kernel for Stored {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let n = cx.inputs.pool().len();
        Ok(Gram::dense(Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { 0.5 }))?)
    }
}

#[test]
fn replicates_constants_and_single_rows() {
    let world = TinyWorld::new(30, 3, 1, false, 3).unwrap();
    let mut observed = noisy(&world, &[0, 1, 2, 3, 4, 5, 6, 7], 0.1);
    let once = fit(json!({}), &world.inputs, &observed).predict(&[0, 20]).unwrap();
    let again = observed.y.clone() + 0.05;
    observed.push(&Readouts::plain(&[0, 1, 2, 3, 4, 5, 6, 7], again), 1).unwrap();
    let twice = fit(json!({}), &world.inputs, &observed).predict(&[0, 20]).unwrap();
    assert!(twice.mean.iter().all(|v| v.is_finite()) && (&twice.mean - &once.mean).iter().all(|d| d.abs() < 0.5));
    let mut one = Observed::empty(1);
    one.push(&Readouts::plain(&[4], Array2::from_elem((1, 1), 2.5)), 0).unwrap();
    let s = fit(json!({}), &world.inputs, &one);
    let p = s.predict(&[4, 9]).unwrap();
    let sd = p.sd.unwrap();
    assert_eq!(p.mean, Array2::from_elem((2, 1), 2.5));
    assert!(sd[(0, 0)] < 0.11 && sd[(1, 0)] > sd[(0, 0)], "the sd tells near from far");
    let mut flat = noisy(&world, &[0, 1, 2, 3], 0.1);
    flat.y.fill(0.1);
    assert!(fit(json!({}), &world.inputs, &flat).predict(&[0, 9]).unwrap().check(2, 1).is_ok());
}

#[test]
fn settings_out_of_range_are_refused() {
    let world = TinyWorld::new(8, 2, 1, false, 3).unwrap();
    let observed = noisy(&world, &[0, 1, 2], 0.1);
    let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
    for form in [json!({ "noise": -1.0 }), json!({ "scale": 0.0 })] {
        assert!(gp(form).fit(&cx).err().unwrap().to_string().contains("must be a positive number"));
    }
}
