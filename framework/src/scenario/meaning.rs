//! Rules of a scenario that types cannot express.

use super::file::Scenario;
use super::path::{Location, Mistake};
use crate::compatibility::misfits;
use crate::error::hint;
use crate::{metric, metrics};
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
    let mut of_model = vec![];
    for m in misfits(&scenario.parts(), None) {
        let to = if m.of_model { &mut of_model } else { &mut *mistakes };
        to.push(Mistake::at(&[m.section], m.text));
    }
    of_model
}

fn check_metrics(listed: &[String], mistakes: &mut Vec<Mistake>) {
    for (i, name) in listed.iter().enumerate() {
        if metric::find(name).is_none() {
            let known: Vec<&str> = metric::catalogue().into_iter().map(|m| m.name).collect();
            let near = hint(name, known.iter().copied());
            let list = if near.is_empty() { format!("; known: {}", known.join(", ")) } else { near };
            let text = format!("unknown metric `{name}`{list}");
            mistakes.push(Mistake::in_value(Location::of(["metrics"]).item(i), text));
        }
    }
    for (metric, part) in metrics::lacking_parts(listed) {
        mistakes.push(Mistake::at(&["metrics"], format!("`{metric}` is made of `{part}`; list that too")));
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

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, document, expand, pointed_at};
    use crate::scenario::{ScenarioForm, Sweep};

    #[test]
    fn several_rules_are_broken_at_once() {
        assert_complaints(
            complaints(
                "priors = [\"a\", \"c\"]",
                "[target]\nhit_fraction = 1.5\nhit_count = 0\nhit_threshold = 1.0\n[grid]\nbatch = [0]\n\"pool.test\" = [1.0]\n",
            ),
            &[
                ("[\"a\", \"c\"]", "unknown prior `c`; did you mean `a`?"),
                ("1.5", "the share of hits must be above 0 and at most 1, not 1.5"),
                ("0", "no hit to find; choose at least 1"),
                ("0", "hits are either a number or all above a threshold; give one of the two"),
                ("0", "the batch is empty; choose at least 1"),
                ("1.0", "the test share must be at least 0 and below 1, not 1"),
            ],
        );
    }

    /// A whole file with these metrics and seeds.
    fn with(metrics: &str, count: usize) -> Vec<(String, String)> {
        let text = format!(
            "name = \"m\"\nseeds = {{ count = {count} }}\nrounds = 1\nbatch = 1\nmetrics = [{metrics}]\noracle = {{ use = \
             \"any_oracle\" }}\nacquisition = {{ use = \"any_rule\" }}\n"
        );
        pointed_at(Sweep::expand(document(&text), &ScenarioForm::default()))
    }

    #[test]
    fn metrics_exist_and_have_what_they_are_made_of() {
        assert_complaints(with("\"rmze\"", 1), &[("\"rmze\"", "unknown metric `rmze`; did you mean `rmse`?")]);
        let (above, message) = with("\"mse\", \"what_is_this_then\"", 1).remove(0);
        assert_eq!(above, "\"what_is_this_then\"");
        assert!(message.starts_with("unknown metric `what_is_this_then`; known: ") && message.contains("hit_ratio, "));
        let list = "\"hits_per_kusd\", \"marginal_gain\"";
        assert_complaints(
            with(list, 1),
            &[
                (&format!("[{list}]"), "`hits_per_kusd` is made of `hits`; list that too"),
                (&format!("[{list}]"), "`marginal_gain` is made of `fraction_discovered`; list that too"),
            ],
        );
    }

    #[test]
    fn there_are_seeds_and_rules_have_what_they_need() {
        assert_complaints(with("\"mse\"", 0), &[("{ count = 0 }", "no seeds; set count to at least 1")]);
        assert_complaints(
            complaints("", "[grid]\n\"acquisition.use\" = [\"any_rule\", \"sd_rule\"]\n"),
            &[("acquisition", "this acquisition needs a model; add a [model] section")],
        );
    }

    #[test]
    fn a_pool_that_runs_out_stops_or_is_refused() {
        let resolved = |sections: &str| expand("", sections).arms[0].resolved["pool"]["exhausted"].clone();
        assert_eq!(resolved(""), "error");
        assert_eq!(resolved("[grid]\n\"pool.exhausted\" = [\"stop\"]\n"), "stop");
        assert_complaints(
            complaints("", "[grid]\n\"pool.exhausted\" = [\"stopp\"]\n"),
            &[("\"stopp\"", "unknown word `stopp`; did you mean `stop`?; known: error, stop")],
        );
    }
}
