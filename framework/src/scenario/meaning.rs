//! Rules of a scenario that types cannot express.

use super::file::Scenario;
use super::path::{Location, Mistake};
use super::sweep::check_needs;
use crate::error::hint;
use crate::metrics::{self, FRACTION_DISCOVERED, HITS_PER_KUSD, MARGINAL_GAIN};
use serde_json::{Map, Value};

/// Checks a scenario whose every key was checked. Gives apart what only another model would mend.
pub(super) fn check(table: &Map<String, Value>, mistakes: &mut Vec<Mistake>) -> Vec<Mistake> {
    let scenario: Scenario = match serde_json::from_value(Value::Object(table.clone())) {
        Ok(s) => s,
        Err(e) => {
            mistakes.push(Mistake::at(&[], e.to_string()));
            return vec![];
        }
    };
    check_metrics(&scenario.metrics, mistakes);
    check_sizes(&scenario, mistakes);
    check_target(&scenario, mistakes);
    check_priors(&scenario, mistakes);
    let mut misfits = vec![];
    for m in check_needs(
        scenario.model.as_deref(),
        scenario.kernel.as_deref(),
        &*scenario.acquisition,
        !scenario.active_priors().is_empty(),
        scenario.pool.init > 0,
    ) {
        let to = if m.of_model { &mut misfits } else { &mut *mistakes };
        to.push(Mistake::at(&[m.section], m.text));
    }
    misfits
}

fn check_metrics(listed: &[String], mistakes: &mut Vec<Mistake>) {
    for (i, name) in listed.iter().enumerate() {
        if metrics::find(name).is_none() {
            let near = hint(name, metrics::names());
            let known = || metrics::names().collect::<Vec<_>>().join(", ");
            let list = if near.is_empty() { format!("; known: {}", known()) } else { near };
            let text = format!("unknown metric `{name}`{list}");
            mistakes.push(Mistake::in_value(Location::of(["metrics"]).item(i), text));
        }
    }
    let lists = |name: &str| listed.iter().any(|n| n == name);
    for (derived, source) in [(HITS_PER_KUSD, "hits"), (MARGINAL_GAIN, FRACTION_DISCOVERED)] {
        if lists(derived) && !lists(source) {
            mistakes.push(Mistake::at(&["metrics"], format!("`{derived}` is made of `{source}`; list that too")));
        }
    }
}

/// What is wrong with naming a metric that the scenario does not list, if it does not.
pub(super) fn unlisted_metric(name: &str, listed: &[&str]) -> Option<String> {
    if listed.contains(&name) {
        return None;
    }
    let near = hint(name, listed.iter().copied());
    let list = if near.is_empty() { format!("; it lists: {}", listed.join(", ")) } else { near };
    Some(format!("`{name}` is not among this scenario's metrics{list}"))
}

fn check_sizes(scenario: &Scenario, mistakes: &mut Vec<Mistake>) {
    if scenario.batch == 0 {
        mistakes.push(Mistake::at(&["batch"], "the batch is empty; choose at least 1"));
    }
    if scenario.seeds.count == 0 {
        mistakes.push(Mistake::at(&["seeds"], "no seeds; set count to at least 1"));
    }
    let share = scenario.pool.test;
    if !(0.0..1.0).contains(&share) {
        let text = format!("the test share must be at least 0 and below 1, not {share}");
        mistakes.push(Mistake::at(&["pool", "test"], text));
    }
}

fn check_target(scenario: &Scenario, mistakes: &mut Vec<Mistake>) {
    let target = &scenario.target;
    if !(target.hit_fraction > 0.0 && target.hit_fraction <= 1.0) {
        let text = format!("the share of hits must be above 0 and at most 1, not {}", target.hit_fraction);
        mistakes.push(Mistake::at(&["target", "hit_fraction"], text));
    }
    let mut wrong_count = |text: &str| mistakes.push(Mistake::at(&["target", "hit_count"], text));
    if target.hit_count == Some(0) {
        wrong_count("no hit to find; choose at least 1");
    }
    if target.hit_count.is_some() && target.hit_threshold.is_some() {
        wrong_count("hits are either a number or all above a threshold; give one of the two");
    }
}

fn check_priors(scenario: &Scenario, mistakes: &mut Vec<Mistake>) {
    for name in scenario.priors.iter().flatten().filter(|p| !scenario.prior.contains_key(*p)) {
        let near = hint(name, scenario.prior.keys().map(String::as_str));
        mistakes.push(Mistake::at(&["priors"], format!("unknown prior `{name}`{near}")));
    }
}
