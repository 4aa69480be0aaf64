//! From p values to calls: error rates over many tests, at once or one after another.

/// How false calls are held down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorControl {
    /// False discovery rate of independent or positively dependent tests (Benjamini and Hochberg 1995).
    #[default]
    Bh,
    /// The same under any dependence (Benjamini and Yekutieli 2001).
    By,
    /// False discovery rate of tests that come one after another and whose calls cannot be taken back: LORD++
    /// (Ramdas et al. 2017), for independent p values.
    Online,
}

impl ErrorControl {
    /// Adjusted p values: a test is called at rate α where its value is at most α. NaN marks what was not tested and
    /// stays NaN. [`ErrorControl::Online`] has none; use [`lord`].
    pub fn adjust(self, p: &[f64]) -> Vec<f64> {
        let tested = p.iter().filter(|p| !p.is_nan()).count();
        let factor = match self {
            ErrorControl::By => (1..=tested).map(|i| 1.0 / i as f64).sum(),
            _ => 1.0,
        };
        let mut order: Vec<usize> = (0..p.len()).filter(|i| !p[*i].is_nan()).collect();
        order.sort_by(|a, b| p[*a].total_cmp(&p[*b]).then(a.cmp(b)));
        let mut q = vec![f64::NAN; p.len()];
        let mut least = 1.0f64;
        for (rank, &i) in order.iter().enumerate().rev() {
            least = least.min(p[i] * factor * tested as f64 / (rank + 1) as f64);
            q[i] = least;
        }
        q
    }
}

/// LORD++: the level at which each test of a sequence is called, given the calls before it. With γ_j proportional to
/// ln(max(j, 2)) / (j exp(√ln j)), w_0 = α/2 and calls at τ_1 < τ_2 < ...,
/// α_t = w_0 γ_t + (α - w_0) γ_{t-τ_1} + α Σ_{j≥2} γ_{t-τ_j} (Ramdas et al. 2017, section 4). Returns (level, called);
/// NaN is skipped and never called. O(tests x calls).
pub fn lord(p: &[f64], alpha: f64) -> Vec<(f64, bool)> {
    let gamma = |j: usize| {
        // With the published constant the sequence sums to 0.98; at most 1 is allowed.
        let j = j as f64;
        0.077_208_38 * j.max(2.0).ln() / (j * j.ln().sqrt().exp())
    };
    let start = 0.5 * alpha;
    let mut calls: Vec<usize> = vec![];
    let mut t = 0;
    p.iter()
        .map(|&p| {
            if p.is_nan() {
                return (f64::NAN, false);
            }
            t += 1;
            let earned: f64 = calls
                .iter()
                .enumerate()
                .map(|(k, tau)| (if k == 0 { alpha - start } else { alpha }) * gamma(t - tau))
                .sum();
            let level = start * gamma(t) + earned;
            let called = p <= level;
            if called {
                calls.push(t);
            }
            (level, called)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::Streams;
    use rand::RngExt;

    #[test]
    fn adjusted_by_hand() {
        let p = [0.01, f64::NAN, 0.04, 0.03, 0.005];
        let q = ErrorControl::Bh.adjust(&p);
        let want = [0.02, f64::NAN, 0.04, 0.04, 0.02];
        assert!(q.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-15 || (a.is_nan() && b.is_nan())), "{q:?}");
        let q = ErrorControl::By.adjust(&p);
        let c = 1.0 + 0.5 + 1.0 / 3.0 + 0.25;
        assert!((q[0] - 0.02 * c).abs() < 1e-15 && (q[2] - 0.04 * c).abs() < 1e-15);
        assert_eq!(ErrorControl::Bh.adjust(&[0.9, 1.0]), [1.0, 1.0]);
    }

    /// Share of false calls among all calls, mean over 200 sets of 100 tests of which 20 are real.
    fn rate(call: impl Fn(&[f64]) -> Vec<bool>) -> (f64, f64) {
        let mut shares = vec![];
        let mut found = 0.0;
        for s in 0..200 {
            let mut rng = Streams::new(s).rng("p");
            let p: Vec<f64> = (0..100)
                .map(|i| {
                    let u: f64 = rng.random();
                    if i % 5 == 0 { u.powi(12) } else { u }
                })
                .collect();
            let called = call(&p);
            let all = called.iter().filter(|c| **c).count() as f64;
            let real = (0..100).filter(|i| i % 5 == 0 && called[*i]).count() as f64;
            shares.push((all - real) / all.max(1.0));
            found += real / 20.0 / 200.0;
        }
        let mean = shares.iter().sum::<f64>() / 200.0;
        println!("false {mean}, found {found}");
        (mean, found)
    }

    #[test]
    fn false_calls_stay_below_the_rate() {
        // The standard error of the mean share is below 0.01.
        let at = |c: ErrorControl| rate(move |p| c.adjust(p).iter().map(|q| *q <= 0.1).collect());
        let (bh, found) = at(ErrorControl::Bh);
        assert!(bh < 0.11 && bh > 0.05 && found > 0.4);
        let (by, fewer) = at(ErrorControl::By);
        assert!(by < bh && fewer < found && fewer > 0.1);
        let (online, some) = rate(|p| lord(p, 0.1).iter().map(|c| c.1).collect());
        assert!(online < 0.11 && some > 0.1 && some < found);
    }

    #[test]
    fn online_levels_spend_and_earn() {
        // Without calls w_0 = 0.05 is spent, 0.478 of it in the first 200,000 tests; the rest of the sequence is
        // 2 c Γ(4, √ln 200,000) = 0.499 by integration.
        let total: f64 = lord(&vec![1.0; 200_000], 0.1).iter().map(|l| l.0).sum();
        let t = 200_000f64.ln().sqrt();
        let rest = 2.0 * 0.077_208_38 * (-t).exp() * (t.powi(3) + 3.0 * t * t + 6.0 * t + 6.0);
        assert!((total - 0.05 * 0.477_87).abs() < 1e-5, "{total}");
        assert!(total / 0.05 + rest < 1.0 && total / 0.05 + rest > 0.97, "{total} {rest}");
        let after = lord(&[0.9, 1e-9, 0.9, f64::NAN, 0.9], 0.1);
        assert!(after[2].0 > after[0].0 && after[1].1 && after[3].0.is_nan());
    }
}
