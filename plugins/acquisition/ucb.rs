//! Upper confidence bound: mean plus a multiple of the standard deviation.
//!
//! score(x) = μ + β σ for targets that are large, |μ| + β σ for large absolute values, -μ + β σ for small
//! ones (Srinivas et al. 2010; Xu, Jain et al. 2024, section 4). One prediction of the pool.

use framework::prelude::*;

/// Takes the candidates of best optimistic value.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ucb {
    /// Weight of the predicted standard deviation, in sds; default 1.
    #[serde(default = "beta")]
    pub beta: f64,
}

fn beta() -> f64 {
    1.0
}

impl Default for Ucb {
    fn default() -> Self {
        Self { beta: beta() }
    }
}

#[typetag::serde(name = "ucb")]
impl Acquisition for Ucb {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        cx.top_by_mean_sd(|mean, sd| cx.target.merit(&[mean]) + self.beta * sd)
    }

    fn needs(&self) -> Needs {
        Needs { model: true, sd: true, ..Needs::default() }
    }
}

framework::register!(Acquisition, Ucb, "ucb", "mean plus beta standard deviations");
