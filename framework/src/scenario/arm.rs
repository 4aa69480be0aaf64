//! Arms: the cells of a grid that are different scenarios.

use super::cell::{Cell, labels};
use super::file::Scenario;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// Bumped whenever a change to the code moves stored numbers, so that old runs are not taken for new.
pub const NUMBERS: u32 = 2;

/// One cell of the grid.
#[derive(Debug)]
pub struct Arm {
    /// The axis values that differ between arms, joined by " / ".
    pub label: String,
    /// Axis and value, in the order of the grid.
    pub axes: Vec<(String, String)>,
    /// What to run.
    pub scenario: Arc<Scenario>,
    /// The scenario with every default filled in, without seeds and name: what identifies the arm.
    pub resolved: Value,
    /// The arm it is compared with, if the file names one.
    pub reference: Option<usize>,
}

/// An arm for each cell, and its cell; of cells that resolve to the same scenario only the first.
pub(super) fn distinct(cells: Vec<Cell>) -> Result<(Vec<Arm>, Vec<Cell>), serde_json::Error> {
    let mut known = HashSet::new();
    let (mut arms, mut kept): (Vec<Arm>, Vec<Cell>) = (vec![], vec![]);
    for cell in cells {
        let scenario: Scenario = serde_json::from_value(Value::Object(cell.table.clone()))?;
        let resolved = resolve(&scenario)?;
        if known.insert(resolved.to_string()) {
            let axes = cell.choices.iter().map(|c| (c.axis.clone(), c.label.clone())).collect();
            arms.push(Arm { label: String::new(), axes, scenario: Arc::new(scenario), resolved, reference: None });
            kept.push(cell);
        }
    }
    match labels(&kept) {
        Some(labels) => arms.iter_mut().zip(labels).for_each(|(arm, label)| arm.label = label),
        None => {
            for arm in &mut arms {
                arm.label = arm.resolved["acquisition"]["use"].as_str().unwrap_or("arm").to_string();
            }
        }
    }
    Ok((arms, kept))
}

/// The scenario as plain data with every default filled in, without name and seeds, priors sorted.
fn resolve(scenario: &Scenario) -> Result<Value, serde_json::Error> {
    let mut v = serde_json::to_value(scenario)?;
    if let Some(m) = v.as_object_mut() {
        m.remove("name");
        m.remove("seeds");
        m.insert("priors".into(), json!(scenario.active_priors()));
        m.insert("numbers".into(), json!(NUMBERS));
    }
    Ok(v)
}

#[cfg(test)]
mod tests {
    use super::super::Seeds;
    use super::super::testing::expand;
    use super::*;

    #[test]
    fn an_arm_is_what_it_resolves_to() {
        let sweep = expand("", "");
        let expected = json!({
            "rounds": 5, "batch": 3, "metrics": ["hits", "mse"], "numbers": NUMBERS,
            "target": sweep.arms[0].resolved["target"],
            "pool": { "covered_by": "none", "missing": "mean", "compose": "sum", "test": 0.2, "init": 2, "exhausted": "error", "symbol_updates": null },
            "repeat": { "varies": "split+init+training" },
            "oracle": { "use": "any_oracle", "genes": 40 },
            "model": null, "kernel": null, "device": "cpu",
            "acquisition": { "use": "any_rule", "offset": 0, "width": 0 },
            "prior": { "a": { "use": "any_prior", "dims": 2 }, "b": { "use": "any_prior", "dims": 0 } },
            "priors": ["a", "b"],
        });
        assert_eq!(sweep.arms[0].resolved, expected);
        assert_eq!((sweep.name.as_str(), sweep.seeds), ("small", Seeds { from: 0, count: 4 }));
    }
}
