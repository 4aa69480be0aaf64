//! Adam (Kingma & Ba 2015), with its defaults β₁ = 0.9, β₂ = 0.999, ε = 1e-8: the one optimiser of everything that is
//! trained here.
//!
//! m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², p ← p - η m̂ / (√v̂ + ε), where m̂ and v̂ are m and v over 1 - β₁ᵗ and
//! 1 - β₂ᵗ. These two are the same for all parameters, so that networks put them into η and ε once a step.

use numerics::Real;
use rayon::prelude::*;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Parameters of a block of an update: fixed, so that the result does not depend on the number of threads.
pub(crate) const BLOCK: usize = 1 << 15;

/// The moments of parameters that lie in one line.
#[derive(Clone, Debug)]
pub struct Adam<T> {
    /// Penalty on half the squared parameters, added to the gradient after it is clipped; 0.
    pub l2: f64,
    /// Largest absolute value of an entry of the gradient in [`Adam::step`]; infinite for none.
    pub clip: f64,
    steps: i32,
    mean: Vec<T>,
    square: Vec<T>,
}

/// What all parameters share in one step.
#[derive(Clone, Copy)]
pub(crate) struct Step<T> {
    epsilon: T,
    l2: T,
    rate: T,
}

impl<T: Real> Step<T> {
    /// Updates some parameters and their moments.
    pub(crate) fn update(self, parameters: &mut [T], mean: &mut [T], square: &mut [T], gradient: &[T]) {
        update(parameters, mean, square, gradient, self);
    }
}

impl<T: Real> Adam<T> {
    /// For `n` parameters.
    pub fn new(n: usize) -> Self {
        Self { l2: 0.0, clip: f64::INFINITY, steps: 0, mean: vec![T::zero(); n], square: vec![T::zero(); n] }
    }

    /// One step at learning rate `rate`; the gradient is clipped in place.
    pub fn step(&mut self, parameters: &mut [T], gradient: &mut [T], rate: f64) {
        let clip = self.clip;
        let (step, mean, square) = self.begin(rate);
        // The shape in which zipped pieces come.
        #[allow(clippy::type_complexity)]
        let run = |(((p, m), v), g): (((&mut [T], &mut [T]), &mut [T]), &mut [T])| {
            if clip < f64::INFINITY {
                clip_to(g, T::of(clip));
            }
            step.update(p, m, v, g);
        };
        if parameters.len() <= BLOCK {
            run((((parameters, mean), square), gradient));
        } else {
            let parts = parameters.par_chunks_mut(BLOCK).zip(mean.par_chunks_mut(BLOCK));
            parts.zip(square.par_chunks_mut(BLOCK)).zip(gradient.par_chunks_mut(BLOCK)).for_each(run);
        }
    }

    /// Counts a step and hands out what it takes, both moments last: for gradients that are formed block by block, each
    /// used while it is in the cache.
    pub(crate) fn begin(&mut self, rate: f64) -> (Step<T>, &mut [T], &mut [T]) {
        self.steps = self.steps.saturating_add(1);
        let corrected = (1.0 - BETA2.powi(self.steps)).sqrt();
        let step = Step {
            epsilon: T::of(EPSILON * corrected),
            l2: T::of(self.l2),
            rate: T::of(rate * corrected / (1.0 - BETA1.powi(self.steps))),
        };
        (step, &mut self.mean, &mut self.square)
    }

    /// One step with m̂ and v̂ formed for each parameter, without penalty or clipping. It differs from [`Adam::step`] by
    /// rounding, and stays for matrix posteriors, whose results would change in their last digits. A negative rate
    /// climbs. Numbers beyond those of the moments are left alone.
    pub fn step_as_written(&mut self, parameters: &mut [T], gradient: &[T], rate: f64) {
        self.steps = self.steps.saturating_add(1);
        let corrections = [BETA1, BETA2].map(|b| T::of(1.0 / (1.0 - b.powi(self.steps))));
        update_as_written(parameters, &mut self.mean, &mut self.square, gradient, T::of(rate), corrections);
    }
}

wide! {
    /// A value that is not a number stays one, so that it is found.
    fn clip_to<T: Real>(x: &mut [T], bound: T) {
        for x in x {
            *x = if *x > bound { bound } else if *x < -bound { -bound } else { *x };
        }
    }
}

wide! {
    fn update<T: Real>(parameters: &mut [T], mean: &mut [T], square: &mut [T], gradient: &[T], step: Step<T>) {
        let Step { epsilon, l2, rate } = step;
        let (beta1, beta2) = (T::of(BETA1), T::of(BETA2));
        let (rest1, rest2) = (T::one() - beta1, T::one() - beta2);
        let moments = mean.iter_mut().zip(square).zip(gradient);
        for (p, ((m, v), g)) in parameters.iter_mut().zip(moments) {
            let g = *g + l2 * *p;
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            *p -= rate * *m / (v.sqrt() + epsilon);
        }
    }
}

wide! {
    fn update_as_written<T: Real>(
        parameters: &mut [T],
        mean: &mut [T],
        square: &mut [T],
        gradient: &[T],
        rate: T,
        corrections: [T; 2],
    ) {
        let (beta1, beta2, epsilon) = (T::of(BETA1), T::of(BETA2), T::of(EPSILON));
        let (rest1, rest2) = (T::one() - beta1, T::one() - beta2);
        let moments = mean.iter_mut().zip(square).zip(gradient);
        for (p, ((m, v), g)) in parameters.iter_mut().zip(moments) {
            *m = beta1 * *m + rest1 * *g;
            *v = beta2 * *v + rest2 * *g * *g;
            *p -= rate * (*m * corrections[0]) / ((*v * corrections[1]).sqrt() + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradients of some size and sign, different at every step.
    fn gradient(n: usize, t: i32) -> Vec<f64> {
        (0..n).map(|k| ((k * 7 + t as usize * 13) % 23) as f64 / 5.0 - 2.0).collect()
    }

    #[test]
    fn steps_follow_the_definition_with_penalty_and_clipping() {
        let n = 9;
        let mut adam = Adam::<f64>::new(n);
        (adam.l2, adam.clip) = (0.1, 1.5);
        let mut plain = Adam::<f64>::new(n);
        let (mut p, mut q) = (vec![0.5; n], vec![0.5; n]);
        let (mut m, mut v, mut want) = (vec![0.0; n], vec![0.0; n], vec![0.5; n]);
        let (mut m2, mut v2, mut uphill) = (m.clone(), v.clone(), want.clone());
        for t in 1..=40 {
            let g = gradient(n, t);
            adam.step(&mut p, &mut g.clone(), 0.01);
            plain.step_as_written(&mut q, &g, -0.01);
            let moved = |m: &mut f64, v: &mut f64, g: f64| {
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                0.01 * (*m / (1.0 - 0.9f64.powi(t))) / ((*v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8)
            };
            for k in 0..n {
                let clipped = g[k].clamp(-1.5, 1.5) + 0.1 * want[k];
                want[k] -= moved(&mut m[k], &mut v[k], clipped);
                uphill[k] += moved(&mut m2[k], &mut v2[k], g[k]);
            }
        }
        for k in 0..n {
            assert!((p[k] - want[k]).abs() < 1e-12, "{k}: {} {}", p[k], want[k]);
            assert!((q[k] - uphill[k]).abs() < 1e-12, "{k}: {} {}", q[k], uphill[k]);
        }
    }

    #[test]
    fn blocks_change_no_bit_and_numbers_that_are_none_are_not_hidden() {
        let n = 2 * BLOCK + 5;
        let mut whole = Adam::<f32>::new(n);
        let mut parts = whole.clone();
        let (mut p, mut q) = (vec![0.25f32; n], vec![0.25f32; n]);
        for t in 1..=3 {
            let mut g: Vec<f32> = gradient(n, t).iter().map(|g| *g as f32).collect();
            let (step, mean, square) = parts.begin(0.01);
            for from in (0..n).step_by(1000) {
                let of = from..(from + 1000).min(n);
                step.update(&mut q[of.clone()], &mut mean[of.clone()], &mut square[of.clone()], &g[of]);
            }
            whole.step(&mut p, &mut g, 0.01);
        }
        assert!(p == q && p[0] != 0.25);
        let mut adam = Adam::<f32>::new(2);
        adam.clip = 1.0;
        let mut p = [0.0; 2];
        adam.step(&mut p, &mut [f32::NAN, f32::INFINITY], 0.01);
        assert!(p[0].is_nan() && (p[1] + 0.01).abs() < 1e-6, "{p:?}");
    }
}
