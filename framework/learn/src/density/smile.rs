//! The SMILE estimate of a Kullback-Leibler divergence from a log density ratio (Song & Ermon 2020).
//!
//! With f an estimate of ln p/q, KL(p ‖ q) is estimated by mean_p f - ln mean_q clip(eᶠ, e^-τ, e^τ). The clip keeps the
//! variance of the second term small and makes it biased, even where f is exact: it should be ln 1 = 0. For normal
//! distributions of equal covariance, f is N(-K, 2K) under q and N(K, 2K) under p (K the divergence), so that the
//! estimate has the closed form [`of_normal`], which is monotone and can be inverted ([`normal_kl`]).

use numerics::stats::normal_cdf;

/// ln mean clip(eᶠ, e^-τ, e^τ), stable for any τ; NaN of nothing.
pub fn log_mean_clipped(f: &[f64], tau: f64) -> f64 {
    let top = f.iter().fold(f64::NEG_INFINITY, |m, v| m.max(v.clamp(-tau, tau)));
    if f.is_empty() || !top.is_finite() {
        return f64::NAN;
    }
    let sum: f64 = f.iter().map(|v| (v.clamp(-tau, tau) - top).exp()).sum();
    top + (sum / f.len() as f64).ln()
}

/// mean_p f - ln mean_q clip(eᶠ, e^-τ, e^τ), from the values of f at samples of p and of q.
pub fn smile(f_p: &[f64], f_q: &[f64], tau: f64) -> f64 {
    f_p.iter().sum::<f64>() / f_p.len() as f64 - log_mean_clipped(f_q, tau)
}

/// The estimate of an infinite sample with the exact ratio of two normal distributions of equal covariance whose
/// divergence is `kl`.
pub fn of_normal(kl: f64, tau: f64) -> f64 {
    if kl <= 0.0 {
        return kl;
    }
    let sd = (2.0 * kl).sqrt();
    // Under q: the share below -τ, that above τ, and between them eᶠ, which turns N(-K, 2K) into N(K, 2K).
    let low = (-tau).exp() * normal_cdf((kl - tau) / sd);
    let high = tau.exp() * normal_cdf((-kl - tau) / sd);
    let middle = normal_cdf((tau - kl) / sd) - normal_cdf((-tau - kl) / sd);
    kl - (low + middle + high).ln()
}

/// The divergence whose estimate by [`of_normal`] is `estimate`; what is not positive is left as it is.
pub fn normal_kl(estimate: f64, tau: f64) -> f64 {
    // NaN as well.
    if estimate.is_nan() || estimate <= 0.0 {
        return estimate;
    }
    // The clip takes more from the mean of eᶠ than it adds, as P_q(f > τ) <= e^-τ P_p(f > τ): no estimate is below its
    // divergence.
    let (mut low, mut high) = (0.0, estimate);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if of_normal(middle, tau) < estimate {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Derivative of [`of_normal`] by the divergence.
pub fn of_normal_slope(kl: f64, tau: f64) -> f64 {
    let h = 1e-5 * kl.abs().max(1.0);
    (of_normal(kl + h, tau) - of_normal(kl - h, tau)) / (2.0 * h)
}

#[cfg(test)]
mod tests {
    use super::*;
    use numerics::streams::Streams;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn golden_values() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/numerics.json");
        let all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for case in all["smile"].as_array().unwrap() {
            let list = |name: &str| -> Vec<f64> { serde_json::from_value(case[name].clone()).unwrap() };
            let (p, q) = (list("f_p"), list("f_q"));
            let near = |name: &str, got: f64| {
                let want = case[name].as_f64().unwrap();
                assert!((got - want).abs() < 1e-9 * want.abs().max(1.0), "{name}: {got} {want}");
            };
            near("smile_tau1", smile(&p, &q, 1.0));
            near("smile_tau5", smile(&p, &q, 5.0));
            near("mile", smile(&p, &q, f64::INFINITY));
            let soft = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
            let mean = |x: &[f64], sign: f64| x.iter().map(|v| soft(sign * v)).sum::<f64>() / x.len() as f64;
            near("nre_loss_joint_fp_independent_fq", 0.5 * (mean(&p, -1.0) + mean(&q, 1.0)));
        }
    }

    #[test]
    fn the_exact_ratio_of_normals_gives_the_known_bias() {
        let known = [(5.0, [4.882, 10.387, 15.969]), (20.0, [4.500, 9.003, 13.581])];
        for (tau, estimates) in known {
            for (kl, want) in [4.5, 9.0, 13.5].into_iter().zip(estimates) {
                let got = of_normal(kl, tau);
                assert!((got - want).abs() < 6e-4, "tau {tau}, divergence {kl}: {got} {want}");
                assert!((normal_kl(got, tau) - kl).abs() < 1e-9);
            }
        }
        // The same by drawing: f = 3 x - 4.5 at x of N(0, 1) (p and q swap roles by symmetry).
        let mut rng = Streams::new(2).rng("x");
        let f: Vec<f64> = (0..400_000)
            .map(|_| {
                let z: f64 = StandardNormal.sample(&mut rng);
                3.0 * z - 4.5
            })
            .collect();
        let under_p: Vec<f64> = f.iter().map(|v| v + 9.0).collect();
        assert!((smile(&under_p, &f, 5.0) - 4.882).abs() < 0.03);
    }

    #[test]
    fn the_closed_form_is_monotone_and_its_edges_are_plain() {
        for tau in [1.0, 5.0, 20.0] {
            let all: Vec<f64> = (0..400).map(|i| of_normal(0.1 * f64::from(i), tau)).collect();
            assert!(all.windows(2).all(|w| w[1] > w[0]), "tau {tau}");
        }
        assert_eq!((normal_kl(-0.2, 5.0), normal_kl(0.0, 5.0)), (-0.2, 0.0));
        assert!(log_mean_clipped(&[], 5.0).is_nan());
        assert!((of_normal_slope(1.0, 50.0) - 1.0).abs() < 1e-6);
    }
}
