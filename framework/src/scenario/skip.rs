//! Cells that are left out of the grid: `[[skip]]` rules and `incompatible`.

use super::cell::Cell;
use super::conditions::Conditions;
use super::file::INCOMPATIBLE;
use super::path::{Location, Mistake};
use serde_json::Value;

/// One `[[skip]]` section: cells of which all of `when` holds, and not all of `not`.
pub(super) struct SkipRule {
    when: Conditions,
    not: Conditions,
}

impl SkipRule {
    /// Whether a cell is left out.
    pub(super) fn applies(&self, cell: &Cell) -> bool {
        self.when.hold(cell) && (self.not.is_empty() || !self.not.hold(cell))
    }
}

/// Reads and checks the `[[skip]]` sections.
pub(super) fn read(sections: Option<&Value>, named_axes: &[String], mistakes: &mut Vec<Mistake>) -> Vec<SkipRule> {
    let list = match sections {
        None => return vec![],
        Some(Value::Array(list)) => list,
        Some(_) => {
            mistakes.push(Mistake::at(&["skip"], "write each skip rule as its own [[skip]] section"));
            return vec![];
        }
    };
    let mut rules = Vec::new();
    for (i, section) in list.iter().enumerate() {
        let when = Conditions::read(section);
        let place = Location::of(["skip"]).item(i);
        when.check(&place, named_axes, mistakes);
        let not = section.get("not").map(Conditions::read).unwrap_or_default();
        not.check(&place.key("not"), named_axes, mistakes);
        rules.push(SkipRule { when, not });
    }
    rules
}

/// Whether cells are left out whose model cannot give what acquisition or kernel ask of it, instead of being mistakes.
pub(super) fn skips_incompatible(setting: Option<&Value>, mistakes: &mut Vec<Mistake>) -> bool {
    match setting.map(Value::as_str) {
        None | Some(Some("error")) => false,
        Some(Some("skip")) => true,
        Some(_) => {
            mistakes.push(Mistake::at(&[INCOMPATIBLE], "expected \"error\" (the default) or \"skip\""));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, expand, labels};

    const GRID: &str = "[grid]\nacquisition = [{ use = \"any_rule\" }, { use = \"any_rule\", offset = 1 }]\nprior = [\"all\", \"each_alone\"]\nrounds = [1, 2]\n";

    fn left(rules: &str) -> Vec<String> {
        labels(&expand("", &format!("{GRID}{rules}"))).into_iter().map(String::from).collect()
    }

    #[test]
    fn cells_of_which_all_holds_are_left_out() {
        assert_eq!(left("").len(), 12);
        let rest = left("[[skip]]\nprior = \"each_alone\"\nrounds = 2\n");
        assert_eq!(rest.len(), 8);
        assert!(rest.iter().all(|l| !l.ends_with("a / 2") && !l.ends_with("b / 2")), "{rest:?}");
        assert_eq!(left("[[skip]]\nrounds = 2\n[[skip]]\nprior = [\"a\", \"b\"]\n").len(), 2, "each rule for itself");
    }

    #[test]
    fn not_keeps_what_it_names() {
        let rest =
            left("[[skip]]\nacquisition = { use = \"any_rule\", offset = 1 }\nnot = { prior = \"all\", rounds = 1 }\n");
        assert_eq!(rest.len(), 7);
        assert_eq!(rest.last().map(String::as_str), Some("any_rule(offset=1) / all / 1"));
        assert_eq!(left("[[skip]]\nnot = { rounds = [2] }\n").len(), 6, "without conditions all but what `not` names");
    }

    #[test]
    fn a_plugin_may_be_named_without_its_table() {
        let grid =
            "[grid]\nmodel = [{ use = \"mean_model\" }, { use = \"mean_model\", level = 2 }, { use = \"sd_model\" }]\n";
        let rest = |rule: &str| expand("", &format!("{grid}[[skip]]\n{rule}\n")).arms.len();
        assert_eq!(rest("model = \"mean_model\""), 1);
        assert_eq!(rest("model = { use = \"mean_model\" }"), 2);
        assert_eq!(rest("\"model.level\" = 2"), 2);
        assert_eq!(rest("\"model.use\" = [\"mean_model\", \"sd_rule\"]"), 1);
    }

    #[test]
    fn axes_with_sections_may_be_named() {
        let grid =
            "[strategy.x]\nbatch = 4\n[strategy.y]\nbatch = 5\n[axis.size.s]\nrounds = 1\n[axis.size.l]\nrounds = 2\n";
        let sweep = expand("", &format!("{grid}[[skip]]\nstrategy = \"x\"\nsize = [\"l\"]\n"));
        assert_eq!(labels(&sweep), ["x / s", "y / s", "y / l"]);
    }

    #[test]
    fn rules_are_sections_with_known_keys_and_leave_an_arm() {
        let all = complaints("", "[[skip]]\nbatch = 3\n");
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1, "the skip rules leave no arm; remove one of them");
        assert_complaints(
            complaints("skip = { batch = 3 }", ""),
            &[("{ batch = 3 }", "write each skip rule as its own [[skip]] section")],
        );
        assert_complaints(
            complaints("", "[[skip]]\nbatch = 9\n[[skip]]\nbatsh = 3\n"),
            &[("batsh", "unknown key `batsh`; did you mean `batch`?")],
        );
        assert_complaints(
            complaints("", "[[skip]]\nbatch = 9\nnot = { roundz = 3 }\n"),
            &[("roundz", "unknown key `roundz`; did you mean `rounds`?")],
        );
    }

    const MODELS: &str = "[grid]\nmodel = [{ use = \"mean_model\" }, { use = \"sd_model\" }, { use = \"mean_model\", level = 1 }]\nacquisition = [{ use = \"any_rule\" }, { use = \"sd_rule\" }]\n";
    const WHY: &str = "this acquisition needs predicted standard deviations; models that give them: sd_model";

    #[test]
    fn incompatible_cells_are_mistakes_unless_skipped() {
        assert_complaints(complaints("", MODELS), &[("{ use = \"sd_rule\" }", WHY)]);
        let sweep = expand("incompatible = \"skip\"", MODELS);
        assert_eq!(labels(&sweep).len(), 4);
        let why = format!("model mean_model with acquisition sd_rule and kernel none: {WHY}");
        assert_eq!(sweep.incompatible, [(why, 2)]);
        assert_complaints(
            complaints("incompatible = \"drop\"", ""),
            &[("\"drop\"", "expected \"error\" (the default) or \"skip\"")],
        );
    }

    #[test]
    fn skipping_what_is_incompatible_hides_no_other_mistake() {
        let found = complaints("incompatible = \"skip\"", &format!("{MODELS}[target]\nhit_count = 0\n"));
        assert_complaints(found, &[("{ use = \"sd_rule\" }", WHY), ("0", "no hit to find; choose at least 1")]);
        let none = complaints(
            "incompatible = \"skip\"\nmodel = { use = \"mean_model\" }",
            "[grid]\n\"acquisition.use\" = [\"sd_rule\"]\n",
        );
        let why = format!("no arm is left: model mean_model with acquisition sd_rule and kernel none: {WHY}");
        assert_complaints(none, &[("\"skip\"", &why)]);
    }
}
