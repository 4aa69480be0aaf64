use super::*;
use framework::numerics::lbfgs;
use framework::serde_json::{self, json};
use framework::testing::{MockFunctions, TinyWorld};

fn rule(form: serde_json::Value) -> Oae {
    serde_json::from_value(form).unwrap()
}

/// 16 genes, 2 features; 0 to 5 measured.
fn world() -> (TinyWorld, Observed, Candidates) {
    let world = TinyWorld::new(16, 2, 1, false, 7).unwrap();
    let mut observed = world.observe(&(0..6).collect::<Vec<_>>(), 1).unwrap();
    observed.y.mapv_inplace(|y| (1.7 * y).sin() - 0.2);
    (world, observed, Candidates::new(16, (0..6).collect()))
}

fn functions() -> Array3<f64> {
    Array3::from_shape_fn((5, 16, 1), |(j, i, _)| ((i * 37 + j * 101 + i * j * j) % 53) as f64 / 10.0 - 2.5)
}

fn run(r: &Oae, direction: Direction, batch: usize) -> Batch {
    let (world, observed, candidates) = world();
    let model = MockFunctions(functions());
    let mut cx = world.context(batch, &candidates, &observed, Some(&model), None, 1);
    cx.target.direction = direction;
    r.select(&cx).unwrap()
}

#[test]
fn the_ensemble_is_the_pointwise_best_of_the_functions() {
    let f = functions();
    for direction in [Direction::Max, Direction::Min, Direction::Abs] {
        let best = |i: &usize| (0..5).map(|j| direction.merit(f[(j, *i, 0)])).fold(f64::MIN, f64::max);
        let ids: Vec<usize> = (6..16).collect();
        let want = Batch::top(&ids, &ids.iter().map(best).collect::<Vec<_>>(), 10).unwrap();
        assert_eq!(run(&Oae::default(), direction, 10), want);
    }
}

#[test]
fn a_sequential_ensemble_pulls_functions_to_their_mean_where_it_has_picked() {
    let mut f = functions().index_axis_move(Axis(2), 0);
    let mean = f.mean_axis(Axis(0)).unwrap();
    let off = &f - &mean;
    let mut k = off.t().dot(&off) / 5.0;
    let r = rule(json!({ "diversity": "sequential", "noise": 0.5 }));
    let got = run(&r, Direction::Max, 6);
    let mut taken = vec![];
    for (id, score) in got.ids.iter().zip(&got.scores) {
        let best = |i: usize| f.column(i).iter().copied().fold(f64::MIN, f64::max);
        let most = (6..16).filter(|i| !taken.contains(i)).map(best).fold(f64::MIN, f64::max);
        assert!((best(*id) - score).abs() < 1e-9 && (most - score).abs() < 1e-9);
        taken.push(*id);
        let gain = k.column(*id).to_owned() / (k[(*id, *id)] + 0.25);
        for mut g in f.outer_iter_mut() {
            let residual = g[*id] - mean[*id];
            g.scaled_add(-residual, &gain);
        }
        let row = k.row(*id).to_owned();
        k.zip_mut_with(&Array2::from_shape_fn((16, 16), |(a, b)| gain[a] * row[b]), |k, v| *k -= v);
    }
}

/// (1/n) Σ (f - y)² + (ρ/n)‖w‖² - λ A by its definition, at the candidates left; w then b.
struct Plain {
    x: Array2<f64>,
    y: Vec<f64>,
    /// Rows that count as measured.
    extra: Vec<(usize, f64)>,
    penalty: f64,
    lambda: f64,
}

impl Plain {
    fn f(&self, i: usize, t: &[f64]) -> f64 {
        self.x[(i, 0)] * t[0] + self.x[(i, 1)] * t[1] + t[2]
    }
    fn loss(&self, t: &[f64], reward: impl Fn(&dyn Fn(usize) -> f64) -> f64) -> f64 {
        let n = self.y.len() as f64;
        let mut e: f64 = self.y.iter().enumerate().map(|(i, y)| (self.f(i, t) - y).powi(2)).sum();
        e += self.extra.iter().map(|(i, y)| (self.f(*i, t) - y).powi(2)).sum::<f64>();
        (e + self.penalty * (t[0] * t[0] + t[1] * t[1])) / n - self.lambda * reward(&|i| self.f(i, t))
    }
    /// The minimum from several starts, with gradients by differences.
    fn minimise(&self, reward: impl Fn(&dyn Fn(usize) -> f64) -> f64) -> (Vec<f64>, f64) {
        let f = |t: &[f64], g: &mut [f64]| {
            for k in 0..3 {
                let (mut up, mut down) = (t.to_vec(), t.to_vec());
                up[k] += 1e-5;
                down[k] -= 1e-5;
                g[k] = (self.loss(&up, &reward) - self.loss(&down, &reward)) / 2e-5;
            }
            self.loss(t, &reward)
        };
        let starts = [[0.0, 0.0, 0.0], [1.0, 1.0, 0.5], [-1.0, 1.0, 0.5], [1.0, -1.0, 0.5], [-1.0, -1.0, 2.0]];
        let all = starts.iter().filter_map(|s| lbfgs(f, s, 1e-10, 500));
        all.reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap()
    }
}

fn plain(sign: f64) -> Plain {
    let (world, observed, _) = world();
    let y: Vec<f64> = observed.y.iter().map(|y| sign * y).collect();
    let lambda = 0.8 * sd(&y);
    Plain { x: world.inputs.features(&(0..16).collect::<Vec<_>>()), y, extra: vec![], penalty: 0.6, lambda }
}

fn p_norm(f: &dyn Fn(usize) -> f64, left: &[usize]) -> f64 {
    (left.iter().map(|i| f(*i).max(0.0).powf(3.0)).sum::<f64>() / left.len() as f64).powf(1.0 / 3.0)
}

#[test]
fn fits_are_the_minima_of_their_objective() {
    let all: Vec<usize> = (6..16).collect();
    for (direction, signs) in
        [(Direction::Max, &[1.0][..]), (Direction::Min, &[-1.0][..]), (Direction::Abs, &[1.0, -1.0][..])]
    {
        for reward in ["mean", "max", "p_norm"] {
            let mut want = [f64::MIN; 16];
            for sign in signs {
                let o = plain(*sign);
                let t = match reward {
                    "mean" => o.minimise(|f| all.iter().map(|i| f(*i)).sum::<f64>() / 10.0).0,
                    "p_norm" => o.minimise(|f| p_norm(f, &all)).0,
                    _ => {
                        let each = all.iter().map(|i| o.minimise(|f| f(*i)));
                        each.reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap().0
                    }
                };
                (0..16).for_each(|i| want[i] = want[i].max(o.f(i, &t)));
            }
            let r = rule(json!({ "form": "fit", "reward": reward, "p": 3.0, "lambda": 0.8, "penalty": 0.6 }));
            let got = run(&r, direction, 10);
            for (id, score) in got.ids.iter().zip(&got.scores) {
                assert!((score - want[*id]).abs() < 1e-4, "{direction:?} {reward} {id}: {score} {}", want[*id]);
            }
        }
    }
    // Without a reward it is the ridge regression.
    let o = plain(1.0);
    let t = Plain { lambda: 0.0, ..o }.minimise(|_| 0.0).0;
    let got = run(&rule(json!({ "form": "fit", "lambda": 0.0, "penalty": 0.6 })), Direction::Max, 10);
    let o = plain(1.0);
    assert!(got.ids.iter().zip(&got.scores).all(|(i, s)| (o.f(*i, &t) - s).abs() < 1e-5));
}

#[test]
fn sequential_fits_are_refits_with_hallucinated_rows() {
    for reward in ["mean", "max", "p_norm"] {
        let form = json!({ "form": "fit", "reward": reward, "p": 3.0, "lambda": 0.8, "penalty": 0.6,
                           "diversity": "sequential" });
        let got = run(&rule(form), Direction::Max, 4);
        let mut o = plain(1.0);
        let lambda = o.lambda;
        o.lambda = 0.0;
        let ridge = o.minimise(|_| 0.0).0;
        o.lambda = lambda;
        let mut left: Vec<usize> = (6..16).collect();
        for (id, score) in got.ids.iter().zip(&got.scores) {
            let t = match reward {
                "mean" => o.minimise(|f| left.iter().map(|i| f(*i)).sum::<f64>() / left.len() as f64).0,
                "p_norm" => o.minimise(|f| p_norm(f, &left)).0,
                _ => {
                    let each = left.iter().map(|i| o.minimise(|f| f(*i)));
                    each.reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap().0
                }
            };
            let most = left.iter().map(|i| o.f(*i, &t)).fold(f64::MIN, f64::max);
            assert!((o.f(*id, &t) - score).abs() < 1e-4 && most - score < 1e-4, "{reward} {id}: {score} {most}");
            let label = o.f(*id, &ridge);
            o.extra.push((*id, label));
            left.retain(|i| i != id);
        }
    }
}

#[test]
fn determinants_are_those_of_the_similarities() {
    let (world, ..) = world();
    let ids: Vec<usize> = (6..16).collect();
    let f = functions();
    let value: Vec<f64> = ids.iter().map(|&i| (0..5).map(|j| f[(j, i, 0)].abs()).fold(f64::MIN, f64::max)).collect();
    let (mean, unit) = (value.iter().sum::<f64>() / 10.0, sd(&value));
    let x = world.inputs.features(&ids);
    let similarity = Array2::from_shape_fn((10, 10), |(a, b)| {
        let (x, y) = (x.row(a), x.row(b));
        x.dot(&y) / (x.dot(&x) * y.dot(&y)).sqrt()
    });
    let log_det = |set: &[usize]| -> f64 {
        let own = similarity.select(Axis(0), set).select(Axis(1), set);
        if set.is_empty() { 0.0 } else { Cholesky::new(own.view()).unwrap().log_det() }
    };
    // Two features: two picks have a determinant, more are told apart by their scores only.
    let got = run(&rule(json!({ "diversity": "determinant", "weight": 0.7 })), Direction::Abs, 2);
    let mut set: Vec<usize> = vec![];
    for (id, score) in got.ids.iter().zip(&got.scores) {
        let gain = |i: usize| (value[i] - mean) / unit + 0.7 * (log_det(&[&set[..], &[i]].concat()) - log_det(&set));
        let best = (0..10).filter(|i| !set.contains(i)).map(gain).fold(f64::MIN, f64::max);
        assert!((gain(id - 6) - score).abs() < 1e-7 && best - score < 1e-7, "{id}: {score} {best}");
        set.push(id - 6);
    }
    assert_eq!(run(&rule(json!({ "diversity": "determinant" })), Direction::Abs, 10).ids.len(), 10);
}

#[test]
fn settings_out_of_range_and_fits_without_measurements_are_refused() {
    let (world, observed, candidates) = world();
    let model = MockFunctions(functions());
    for (form, text) in [
        (json!({ "lambda": -1.0 }), "lambda must be 0 or a positive number"),
        (json!({ "p": 0.5 }), "p must be at least 1"),
        (json!({ "draws": 0 }), "draws must be at least 1"),
    ] {
        let e = rule(form).select(&world.context(1, &candidates, &observed, Some(&model), None, 1)).unwrap_err();
        assert!(e.to_string().contains(text), "{e}");
    }
    let r = rule(json!({ "form": "fit" }));
    assert!(!r.needs().contains(Ability::Model));
    let e = r.select(&world.context(1, &candidates, &Observed::empty(1), None, None, 1)).unwrap_err().to_string();
    assert!(e.contains("there are none yet"), "{e}");
}
