//! Greedy: the candidates of best predicted mean.
//!
//! score(x) = μ(x), |μ(x)| or -μ(x) by the target's direction; no exploration. One prediction of the pool.

use framework::prelude::*;

/// Takes the candidates whose predicted mean is most wanted (a profile is judged by its norm).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Greedy {}

#[typetag::serde(name = "greedy")]
impl Acquisition for Greedy {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        cx.top_by(|ids, p| Ok((0..ids.len()).map(|i| p.merit(i, &cx.target)).collect()))
    }

    fn needs(&self) -> Needs {
        Needs { model: true, ..Needs::default() }
    }
}

framework::register!(Acquisition, Greedy, "greedy", "best predicted mean");
