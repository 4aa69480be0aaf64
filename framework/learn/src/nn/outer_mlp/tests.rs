use super::*;
use ndarray::Array2;

fn table(n: usize, d: usize, k: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, d), |(i, j)| ((i * 31 + j * 17 + i * j + k) % 23) as f64 / 9.0 - 1.1)
}

/// Blocks that are not full, and more p than a tile takes.
const FORM: OuterMlp = OuterMlp { units: 70, width: 3, hidden: 5 };

fn parameters() -> Vec<f64> {
    (0..FORM.n_parameters()).map(|i| ((i * 37 + i * i % 11) % 29) as f64 / 14.0 - 1.0).collect()
}

fn value(p: &[f64], a: &Array2<f64>, b: &Array2<f64>, weights: &[f64], pass: &mut OuterPass<f64>) -> Array2<f64> {
    FORM.forward(p, a.view(), b.view(), weights, 12.0, &mut FORM.running(), pass)
}

#[test]
fn gradients_match_central_differences() {
    let (p, a, b) = (parameters(), table(70, 3, 0), table(6, 3, 5));
    let weights = [0.1, 0.2, 0.05, 0.3, 0.25, 0.1];
    let direction = table(6, 70, 2);
    let mut pass = OuterPass::new();
    value(&p, &a, &b, &weights, &mut pass);
    let mut gradient = vec![0.0; p.len()];
    let (to_a, to_b) = FORM.backward(&p, &weights, direction.view(), &mut pass, &mut gradient);
    let mut at = |p: &[f64], a: &Array2<f64>, b: &Array2<f64>| (value(p, a, b, &weights, &mut pass) * &direction).sum();
    let h = 1e-7;
    let near = |got: f64, want: f64, what: &str| {
        assert!((got - want).abs() < 2e-5 * want.abs().max(1.0), "{what}: {got} {want}");
    };
    for i in 0..p.len() {
        let (mut up, mut down) = (p.clone(), p.clone());
        (up[i], down[i]) = (p[i] + h, p[i] - h);
        near(gradient[i], (at(&up, &a, &b) - at(&down, &a, &b)) / (2.0 * h), &format!("parameter {i}"));
    }
    for i in (0..70 * 3).step_by(7).map(|i| (i / 3, i % 3)) {
        let (mut up, mut down) = (a.clone(), a.clone());
        (up[i], down[i]) = (a[i] + h, a[i] - h);
        near(to_a[i], (at(&p, &up, &b) - at(&p, &down, &b)) / (2.0 * h), &format!("a {i:?}"));
    }
    for (i, got) in to_b.indexed_iter() {
        let (mut up, mut down) = (b.clone(), b.clone());
        (up[i], down[i]) = (b[i] + h, b[i] - h);
        near(*got, (at(&p, &a, &up) - at(&p, &a, &down)) / (2.0 * h), &format!("b {i:?}"));
    }
}

#[test]
fn running_statistics_of_many_equal_batches_give_the_same_values() {
    let (p, a, b) = (parameters(), table(70, 3, 0), table(6, 3, 5));
    let (weights, mut pass, mut running) = ([1.0 / 6.0; 6], OuterPass::new(), FORM.running());
    let mut o = Array2::zeros((0, 0));
    for _ in 0..300 {
        o = FORM.forward(&p, a.view(), b.view(), &weights, 1e12, &mut running, &mut pass);
    }
    let evaluated = FORM.evaluate(&p, a.view(), b.view(), &running);
    assert!((&o - &evaluated).iter().all(|d| d.abs() < 1e-9));
}
