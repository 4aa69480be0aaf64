//! Minimisation of a smooth function of few numbers whose value and gradient come from one computation.
//!
//! Limited-memory BFGS (Nocedal 1980) with backtracking: deterministic, and each point is looked at once. A solver
//! that asks for value and gradient apart would factor every matrix behind them twice.

/// Pairs of steps kept.
const MEMORY: usize = 8;
/// Halvings of a step before the search ends.
const HALVINGS: usize = 30;

/// The lowest point found from `start`, and the value there. `f` gives the value and writes the gradient; a value
/// that is not finite is avoided. Stops when the largest slope is below `tolerance`, the value no longer falls, or
/// after `steps` steps. Nothing where the start itself has no value.
pub fn lbfgs(
    f: impl Fn(&[f64], &mut [f64]) -> f64,
    start: &[f64],
    tolerance: f64,
    steps: usize,
) -> Option<(Vec<f64>, f64)> {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let mut x = start.to_vec();
    let mut gradient = vec![0.0; x.len()];
    let mut value = f(&x, &mut gradient);
    if !value.is_finite() {
        return None;
    }
    let mut pairs: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..steps {
        if gradient.iter().all(|g| g.abs() <= tolerance) {
            break;
        }
        let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut along = Vec::with_capacity(pairs.len());
        for (s, y) in pairs.iter().rev() {
            let a = dot(s, &direction) / dot(s, y);
            direction.iter_mut().zip(y).for_each(|(d, y)| *d -= a * y);
            along.push(a);
        }
        // Without curvature seen yet, a first step of length at most 1.
        let scale = match pairs.last() {
            Some((s, y)) => dot(s, y) / dot(y, y),
            None => 1.0 / dot(&gradient, &gradient).sqrt().max(1.0),
        };
        direction.iter_mut().for_each(|d| *d *= scale);
        for ((s, y), a) in pairs.iter().zip(along.iter().rev()) {
            let b = a - dot(y, &direction) / dot(s, y);
            direction.iter_mut().zip(s).for_each(|(d, s)| *d += b * s);
        }
        let mut slope = dot(&gradient, &direction);
        if slope >= 0.0 {
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
            pairs.clear();
        }
        let mut step = 1.0;
        let mut next = vec![0.0; x.len()];
        let mut found = None;
        let mut its_gradient = vec![0.0; x.len()];
        for _ in 0..HALVINGS {
            next.iter_mut().zip(&x).zip(&direction).for_each(|((n, x), d)| *n = x + step * d);
            let v = f(&next, &mut its_gradient);
            if v.is_finite() && v <= value + 1e-4 * step * slope {
                found = Some(v);
                break;
            }
            step *= 0.5;
        }
        let Some(v) = found else { break };
        let s: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = its_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&s, &y) > 1e-12 * dot(&s, &s).sqrt() * dot(&y, &y).sqrt() {
            pairs.push((s, y));
            if pairs.len() > MEMORY {
                pairs.remove(0);
            }
        }
        let gain = value - v;
        (x, value, gradient) = (next, v, its_gradient);
        if gain <= 1e-12 * value.abs().max(1.0) {
            break;
        }
    }
    Some((x, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valleys_and_bowls_are_minimised() {
        let rosenbrock = |p: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - p[0], p[1] - p[0] * p[0]);
            g[0] = -2.0 * a - 400.0 * p[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        };
        let (x, v) = lbfgs(rosenbrock, &[-1.2, 1.0], 1e-8, 500).unwrap();
        assert!(v < 1e-12 && (x[0] - 1.0).abs() < 1e-6, "{x:?} {v}");
        let bowl = |p: &[f64], g: &mut [f64]| {
            (0..6).for_each(|i| g[i] = 2.0 * 10f64.powi(i as i32) * (p[i] - 1.0));
            (0..6).map(|i| 10f64.powi(i as i32) * (p[i] - 1.0).powi(2)).sum()
        };
        let (x, _) = lbfgs(bowl, &[0.0; 6], 1e-8, 500).unwrap();
        assert!(x.iter().all(|v| (v - 1.0).abs() < 1e-6), "{x:?}");
    }

    #[test]
    fn values_that_are_not_numbers_are_walked_around() {
        // Defined for positive numbers only; the first step of length 1 leaves them.
        let f = |p: &[f64], g: &mut [f64]| {
            g[0] = 1.0 - 0.1 / p[0];
            p[0] - 0.1 * p[0].ln()
        };
        let (x, _) = lbfgs(f, &[0.9], 1e-9, 200).unwrap();
        assert!((x[0] - 0.1).abs() < 1e-6, "{x:?}");
        assert!(lbfgs(f, &[-1.0], 1e-9, 200).is_none());
    }
}
