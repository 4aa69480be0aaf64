//! The `[cost]` section: what a screen costs. Like `[published]` and `[[claim]]` it says how results are judged and not what
//! is run: changing it repeats nothing.

use super::path::{Location, Mistake};
use super::schema::check_typed;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a screen costs: the `[cost]` section.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cost {
    /// USD for each perturbation measured, the initial set included. The default, 30, is IterPert's: 0.5 USD a cell,
    /// 2 guides, 30 cells a guide.
    pub per_perturbation: f64,
    /// USD for each round after the initial set, on top. Default 0.
    pub per_round: f64,
    /// Months that a round after the initial set takes. Default 1.
    pub months_per_round: f64,
}

impl Default for Cost {
    fn default() -> Self {
        Self { per_perturbation: 30.0, per_round: 0.0, months_per_round: 1.0 }
    }
}

impl Cost {
    /// USD spent by the end of a round (which may be a fraction, between two rounds).
    pub fn money(&self, round: f64, n_measured: f64) -> f64 {
        self.per_perturbation * n_measured + self.per_round * round
    }

    /// Months from the initial set to the end of a round.
    pub fn months(&self, round: f64) -> f64 {
        self.months_per_round * round
    }
}

/// Checks the section.
pub(super) fn check(section: &Value, mistakes: &mut Vec<Mistake>) {
    let location = Location::of(["cost"]);
    check_typed::<Cost>(section, &location, mistakes);
    for (key, v) in section.as_object().into_iter().flatten() {
        if v.as_f64().is_some_and(|v| v.is_nan() || v < 0.0) {
            mistakes.push(Mistake::in_value(location.key(key), format!("a price or time must be 0 or more, not {v}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, expand};
    use super::*;

    #[test]
    fn prices_have_defaults_and_are_not_part_of_a_run() {
        assert_eq!(expand("", "").cost, Cost { per_perturbation: 30.0, per_round: 0.0, months_per_round: 1.0 });
        let dear = expand("", "[cost]\nper_round = 100.0\n");
        assert_eq!(dear.cost, Cost { per_round: 100.0, ..Cost::default() });
        assert_eq!(dear.arms[0].resolved, expand("", "").arms[0].resolved);
        assert_eq!((dear.cost.money(2.0, 10.0), dear.cost.months(2.0)), (500.0, 2.0));
    }

    #[test]
    fn prices_are_numbers_of_0_or_more() {
        assert_complaints(
            complaints("", "[cost]\nper_round = -5.0\nmonths_per_round = \"two\"\nper_rond = 1\n"),
            &[
                ("-5.0", "a price or time must be 0 or more, not -5.0"),
                ("\"two\"", "wrong type: got string \"two\", expected a number"),
                ("per_rond", "unknown key `per_rond`; did you mean `per_round`?"),
            ],
        );
    }
}
