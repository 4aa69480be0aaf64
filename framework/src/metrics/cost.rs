//! What is found for the money.

use crate::inventory;
use crate::metric::{Formula, Metric, Need};

inventory::submit! {
    Metric {
        name: "hits_per_kusd",
        definition: "hits measured so far for each 1,000 USD spent, by the scenario's [cost]; computed when results are reported",
        larger_is_better: true,
        needs: &[Need::Metric("hits"), Need::Prices],
        formula: Formula::WhenReported(|r| {
            let hits = r.values.get("hits")?;
            (r.usd > 0.0).then(|| 1000.0 * hits / r.usd)
        }),
        yardsticks: None,
    }
}
