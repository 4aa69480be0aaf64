//! Minimisation of a smooth function of few numbers whose value and gradient come from one computation.

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use std::cell::RefCell;

/// Pairs of steps kept.
const MEMORY: usize = 8;

/// A point with its value and gradient.
type Seen = (Vec<f64>, f64, Vec<f64>);

/// The solver asks for value and gradient apart; the latest point is remembered so that each is computed once.
struct Problem<F> {
    f: F,
    latest: RefCell<Option<Seen>>,
    best: RefCell<Option<(Vec<f64>, f64)>>,
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> Problem<F> {
    fn at<T>(&self, x: &[f64], what: impl Fn(&Seen) -> T) -> T {
        let mut latest = self.latest.borrow_mut();
        match &*latest {
            Some(seen) if seen.0 == x => what(seen),
            _ => {
                let mut gradient = vec![0.0; x.len()];
                let mut value = (self.f)(x, &mut gradient);
                let mut best = self.best.borrow_mut();
                if let (false, Some(b)) = (value.is_finite(), best.as_ref()) {
                    // A steep wall, from which the line search turns back.
                    (value, gradient) = (1e3 * (1.0 + b.1.abs()), vec![0.0; x.len()]);
                }
                if value.is_finite() && best.as_ref().is_none_or(|b| value < b.1) {
                    *best = Some((x.to_vec(), value));
                }
                what(latest.insert((x.to_vec(), value, gradient)))
            }
        }
    }
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> CostFunction for &Problem<F> {
    type Param = Vec<f64>;
    type Output = f64;
    fn cost(&self, x: &Vec<f64>) -> Result<f64, Error> {
        Ok(self.at(x, |seen| seen.1))
    }
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> Gradient for &Problem<F> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;
    fn gradient(&self, x: &Vec<f64>) -> Result<Vec<f64>, Error> {
        Ok(self.at(x, |seen| seen.2.clone()))
    }
}

/// A function of one number, for argmin's solvers without gradients.
pub struct Cost<'a>(pub &'a dyn Fn(f64) -> f64);

impl CostFunction for Cost<'_> {
    type Param = f64;
    type Output = f64;
    fn cost(&self, x: &f64) -> Result<f64, Error> {
        Ok((self.0)(*x))
    }
}

/// The lowest point found from `start` by limited-memory BFGS with a Wolfe line search (Moré & Thuente 1994), and the value there. `f` gives
/// the value and writes the gradient; a value that is not finite is avoided. Stops when the gradient is shorter
/// than `tolerance`, the value no longer falls, or after `steps` steps. Nothing where the start has no value.
pub fn lbfgs(
    f: impl Fn(&[f64], &mut [f64]) -> f64,
    start: &[f64],
    tolerance: f64,
    steps: usize,
) -> Option<(Vec<f64>, f64)> {
    let problem = Problem { f, latest: RefCell::default(), best: RefCell::default() };
    if !problem.at(start, |seen| seen.1).is_finite() {
        return None;
    }
    let run = || -> Result<(), Error> {
        let solver = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY)
            .with_tolerance_grad(tolerance)?
            .with_tolerance_cost(1e-15)?;
        let executor = Executor::new(&problem, solver);
        executor.configure(|state| state.param(start.to_vec()).max_iters(steps as u64)).run()?;
        Ok(())
    };
    // A search that ends early (no step falls any further) has still seen its best point.
    let _ = run();
    problem.best.into_inner()
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
