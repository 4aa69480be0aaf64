use super::*;
use framework::domain::Readouts;
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

#[test]
fn three_points_by_hand() {
    // Measured at 0, 1 and 3, asked at 2; 3 x 3 system solved by cofactors.
    let inputs = line(&[0.0, 1.0, 3.0, 2.0]);
    let mut observed = Observed::empty(1);
    let y = [0.5, 2.0, -1.0];
    observed.push(&Readouts::plain(&[0, 1, 2], Array2::from_shape_fn((3, 1), |(i, _)| y[i])), 0).unwrap();
    let form = json!({ "kernel": { "use": "rbf", "length": 1.5 }, "noise": 0.3, "scale": 2.0 });
    let p = fit(form, &inputs, &observed).predict(&[3]).unwrap();
    let k = |a: f64, b: f64| 4.0 * (-(a - b) * (a - b) / (2.0 * 2.25)).exp();
    let (d, a, b, c) = (4.0 + 0.09, k(0.0, 1.0), k(0.0, 3.0), k(1.0, 3.0));
    let det = d * (d * d - c * c) - a * (a * d - c * b) + b * (a * c - d * b);
    let inverse = [
        [d * d - c * c, c * b - a * d, a * c - b * d],
        [c * b - a * d, d * d - b * b, a * b - d * c],
        [a * c - b * d, a * b - d * c, d * d - a * a],
    ];
    let star = [k(2.0, 0.0), k(2.0, 1.0), k(2.0, 3.0)];
    let (mut mean, mut explained) = (0.5, 0.0);
    for i in 0..3 {
        for j in 0..3 {
            mean += star[i] * inverse[i][j] / det * (y[j] - 0.5);
            explained += star[i] * inverse[i][j] / det * star[j];
        }
    }
    assert!((p.mean[(0, 0)] - mean).abs() < 1e-12);
    assert!((p.sd.unwrap()[(0, 0)] - (4.0 - explained).sqrt()).abs() < 1e-12);
}

/// The log marginal likelihood from its definition.
fn brute(k: &Array2<f64>, y: &Array2<f64>, noise: f64, scale: f64) -> f64 {
    let n = k.nrows();
    let c = Cholesky::new((k * (scale * scale) + Array2::<f64>::eye(n) * (noise * noise)).view()).unwrap();
    let quadratic: f64 = c.quadratic(y.view()).iter().sum();
    let l = y.ncols() as f64;
    -0.5 * quadratic - 0.5 * l * c.log_det() - 0.5 * n as f64 * l * std::f64::consts::TAU.ln()
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
        let (k, y) = (world.gram(&*k, &observed).unwrap().to_dense(&ids), &observed.y - &observed.mean());
        let at = brute(&k, &y, noise, scale);
        assert!((at - log_marginal).abs() < 1e-6 * at.abs(), "{kernel} {outputs}: {at} {log_marginal}");
        for i in 0..40 {
            for j in 0..40 {
                let (a, b) = (10f64.powf(-2.0 + 0.1 * i as f64), 10f64.powf(-2.0 + 0.1 * j as f64));
                let other = brute(&k, &y, a, b);
                assert!(other <= at + 1e-6 * at.abs(), "{kernel}: noise {a} and scale {b} give {other}, not {at}");
            }
        }
        // With one of the two given, the other is still the best.
        let fixed = fit(json!({ "kernel": { "use": kernel }, "noise": 0.5 }), &world.inputs, &observed);
        let [noise, scale, log_marginal] = recorded(&*fixed);
        assert!(noise == 0.5 || (noise - 0.5).abs() < 1e-12);
        for f in [0.98, 1.02] {
            assert!(brute(&k, &y, 0.5, scale * f) < log_marginal, "{kernel} {f}");
        }
        let fixed = fit(json!({ "kernel": { "use": kernel }, "scale": 0.8 }), &world.inputs, &observed);
        let [noise, _, log_marginal] = recorded(&*fixed);
        for f in [0.98, 1.02] {
            assert!(brute(&k, &y, noise * f, 0.8) < log_marginal, "{kernel} {f}");
        }
    }
}

#[test]
fn feature_space_and_function_space_agree() {
    let world = TinyWorld::new(40, 3, 2, false, 3).unwrap();
    let observed = noisy(&world, &(0..20).collect::<Vec<_>>(), 0.2);
    let ids: Vec<usize> = (15..40).collect();
    let own = fit(json!({ "kernel": { "use": "linear" }, "noise": 0.3, "scale": 0.9 }), &world.inputs, &observed);
    let p = own.predict(&ids).unwrap();
    let (x, star) = (world.inputs.features(&observed.ids), world.inputs.features(&ids));
    let k = x.dot(&x.t()) * 0.81 + Array2::<f64>::eye(20) * 0.09;
    let c = Cholesky::new(k.view()).unwrap();
    let cross = star.dot(&x.t()) * 0.81;
    let mean = cross.dot(&c.solve((&observed.y - &observed.mean()).view())) + &observed.mean();
    assert!((&mean - &p.mean).iter().all(|d| d.abs() < 1e-10));
    for (i, q) in c.quadratic(cross.t()).iter().enumerate() {
        let v = star.row(i).dot(&star.row(i)) * 0.81 - q;
        assert!((p.sd.as_ref().unwrap()[(i, 1)] - v.sqrt()).abs() < 1e-9);
    }
    let residuals = own.loo_residuals().unwrap();
    let inverse = c.solve(Array2::eye(20).view());
    let alpha = inverse.dot(&(&observed.y - &observed.mean()));
    assert!((0..20).all(|i| (residuals[(i, 1)] - alpha[(i, 1)] / inverse[(i, i)]).abs() < 1e-9));
}

#[test]
fn leave_one_out_residuals_equal_predictions_without_the_row() {
    let world = TinyWorld::new(30, 3, 1, false, 3).unwrap();
    let observed = noisy(&world, &(0..12).collect::<Vec<_>>(), 0.2);
    let s = fit(json!({ "kernel": { "use": "rbf", "length": 2.0 } }), &world.inputs, &observed);
    let [noise, scale, _] = recorded(&*s);
    let loo = s.loo_residuals().unwrap();
    let x = world.inputs.features(&observed.ids);
    let k = |i: usize, j: usize| scale * scale * (-(&x.row(i) - &x.row(j)).mapv(|v| v * v).sum() / 8.0).exp();
    let centre = observed.mean()[0];
    for i in 0..12 {
        let rest: Vec<usize> = (0..12).filter(|j| *j != i).collect();
        let own =
            Array2::from_shape_fn((11, 11), |(a, b)| k(rest[a], rest[b]) + if a == b { noise * noise } else { 0.0 });
        let y = Array2::from_shape_fn((11, 1), |(a, _)| observed.y[(rest[a], 0)] - centre);
        let alpha = Cholesky::new(own.view()).unwrap().solve(y.view());
        let mean: f64 = (0..11).map(|a| k(i, rest[a]) * alpha[(a, 0)]).sum::<f64>() + centre;
        assert!((loo[(i, 0)] - (observed.y[(i, 0)] - mean)).abs() < 1e-9, "{i}");
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
        let cross = g.block(&observed.ids, &kept) * 0.49;
        let explained = cross.t().dot(&Cholesky::new(own.view()).unwrap().solve(cross.view()));
        let covariance = g.to_dense(&kept) * 0.49 - explained;
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
