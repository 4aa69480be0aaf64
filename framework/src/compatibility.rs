//! Who can work with whom: the one place where the parts of a scenario are held against what they ask of each other.
//!
//! Planning knows the parts; opening the screen adds [`Facts`]. Every verb that starts something asks here.

use crate::plugin::{self, Abilities, Ability, Acquisition, Kernel, Kind, Model};
use serde_json::json;

/// The parts that have to fit together.
pub struct Parts<'a> {
    /// What learns.
    pub model: Option<&'a dyn Model>,
    /// Similarity for selection rules.
    pub kernel: Option<&'a dyn Kernel>,
    /// What chooses.
    pub acquisition: &'a dyn Acquisition,
    /// Whether a prior is active.
    pub features: bool,
    /// Whether something is measured before the first choice.
    pub measured: bool,
}

/// What is known of a screen once it is open.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Whether perturbations are of several genes.
    pub pairs: bool,
    /// Numbers in a readout.
    pub n_outputs: usize,
    /// Whether effects of single genes are known.
    pub single_effects: bool,
    /// Who measures.
    pub lab: Lab,
}

/// Who answers measurements, which decides what can be changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lab {
    /// The scenario's oracle.
    Oracle,
    /// The user, by tables.
    User,
}

/// Something that does not fit together.
#[derive(Debug, PartialEq)]
pub struct Misfit {
    /// The section to change.
    pub section: &'static str,
    /// What is wrong.
    pub text: String,
    /// Whether the model cannot give what is asked of it.
    pub of_model: bool,
}

/// What can only be had from a fitted model.
const OF_MODEL: Abilities = Abilities::of([
    Ability::Model,
    Ability::Sd,
    Ability::Draws,
    Ability::Covariance,
    Ability::VarianceGradient,
    Ability::Embedding,
    Ability::Layers,
]);

/// Everything that does not fit, what should be changed first at the front. The screen counts where its facts are known.
pub fn misfits(parts: &Parts, facts: Option<&Facts>) -> Vec<Misfit> {
    let mut all = Misfits(vec![]);
    all.of_acquisition(parts);
    if let Some(model) = parts.model {
        all.of_inner_kernels(model.needs());
    }
    if let Some(kernel) = parts.kernel {
        all.of_kernel(kernel.needs(), parts);
    }
    if let Some(facts) = facts {
        if let Some(model) = parts.model {
            all.of_screen("model", model.needs(), facts);
        }
        if let Some(kernel) = parts.kernel {
            all.of_screen("kernel", kernel.needs(), facts);
        }
        all.of_screen("acquisition", parts.acquisition.needs(), facts);
    }
    all.0
}

struct Misfits(Vec<Misfit>);

impl Misfits {
    fn bad(&mut self, section: &'static str, text: impl Into<String>) {
        self.0.push(Misfit { section, text: text.into(), of_model: false });
    }

    fn lacking(&mut self, section: &'static str, ability: Ability, words: &str) {
        self.0.push(Misfit { section, text: providers(section, words, ability), of_model: true });
    }

    fn of_acquisition(&mut self, parts: &Parts) {
        let needs = parts.acquisition.needs();
        match parts.model {
            None if needs.meets(OF_MODEL) => {
                self.bad("acquisition", "this acquisition needs a model; add a [model] section");
            }
            Some(model) => {
                let given = model.provides();
                for (ability, words) in [
                    (Ability::Sd, "predicted standard deviations"),
                    (Ability::Draws, "posterior draws"),
                    (Ability::Covariance, "posterior covariances"),
                    (Ability::VarianceGradient, "the gradient of its variance with respect to the features"),
                ] {
                    if needs.contains(ability) && !given.contains(ability) {
                        self.lacking("acquisition", ability, words);
                    }
                }
                if model.needs().contains(Ability::Features) && !parts.features {
                    self.bad(
                        "model",
                        "this model learns from features and no prior is active; add a [prior.NAME] section",
                    );
                }
            }
            None => {}
        }
        if parts.model.is_some() && needs.meets(OF_MODEL) && !parts.measured {
            self.bad(
                "acquisition",
                "this acquisition needs a fitted model from the first round on, and nothing is measured before; set init \
                 under [pool]",
            );
        }
        if needs.contains(Ability::Similarity) && parts.kernel.is_none() && !parts.features {
            self.bad(
                "acquisition",
                "this acquisition compares perturbations but nothing describes them; add a [kernel] or a [prior.NAME] \
                 section",
            );
        }
        if needs.contains(Ability::Features) && !parts.features {
            self.bad(
                "acquisition",
                "this acquisition learns from features and no prior is active; add a [prior.NAME] section",
            );
        }
    }

    /// Kernels inside a model are evaluated while it is fitted, when something is measured and no model is there.
    fn of_inner_kernels(&mut self, needs: Abilities) {
        if needs.contains(Ability::InputKernel) {
            self.bad("model", NO_INPUT);
        }
        if needs.meets(OF_MODEL) {
            self.bad(
                "model",
                "the kernel of this model reads a fitted model, and there is none while this one is fitted; give a fusion \
                 with = [] to fuse the priors alone, or choose a kernel that reads no model",
            );
        }
    }

    fn of_kernel(&mut self, needs: Abilities, parts: &Parts) {
        if needs.contains(Ability::InputKernel) {
            self.bad("kernel", NO_INPUT);
        }
        if needs.contains(Ability::Features) && !parts.features {
            self.bad("kernel", "this kernel compares feature rows and no prior is active; add a [prior.NAME] section");
        }
        match parts.model.map(|m| m.provides()) {
            None if needs.meets(OF_MODEL) => {
                self.bad("kernel", "this kernel reads the fitted model; add a [model] section");
            }
            Some(given) => {
                let lacks = |a: Ability| needs.contains(a) && !given.contains(a);
                if lacks(Ability::Layers) {
                    self.lacking("kernel", Ability::Layers, "the layers of a network");
                } else if lacks(Ability::Embedding) {
                    self.lacking("kernel", Ability::Embedding, "the model's own representation");
                }
            }
            None => {}
        }
        if needs.meets(OF_MODEL.with(Ability::Measured)) && !parts.measured {
            self.bad(
                "kernel",
                "this kernel needs measurements from the first round on, and nothing is measured before; set init under \
                 [pool]",
            );
        }
    }

    fn of_screen(&mut self, section: &'static str, needs: Abilities, facts: &Facts) {
        let mut bad = |text: String| self.0.push(Misfit { section, text, of_model: section == "model" });
        let oracle = facts.lab == Lab::Oracle;
        if needs.contains(Ability::SingleEffects) && !facts.single_effects {
            bad(match facts.lab {
                Lab::Oracle => format!(
                    "this {section} predicts from single-gene effects and the oracle knows none; set `single` on the \
                     oracle or choose another {section}"
                ),
                Lab::User => format!(
                    "this {section} predicts from single-gene effects and a campaign has none; choose another {section}"
                ),
            });
        }
        if needs.contains(Ability::Pairs) && !facts.pairs {
            bad(format!(
                "this {section} predicts pairs of genes and the pool holds single genes; choose another {}{section}",
                if oracle { "oracle or " } else { "" }
            ));
        }
        if needs.contains(Ability::Scalar) && facts.n_outputs != 1 {
            let remedy = match facts.lab {
                Lab::Oracle => "reduce them in the oracle (screen_table: reduce = \"norm\")",
                Lab::User => "name one column in `values` under [measured]",
            };
            bad(format!(
                "this {section} predicts one number and readouts have {}; {remedy} or choose another {section}",
                facts.n_outputs
            ));
        }
    }
}

const NO_INPUT: &str =
    "this transform has no kernel to act on; put it after one in the `steps` of a chain, or give it one as `of`";

/// That something is needed, and the models that are linked in and give it.
fn providers(who: &str, what: &str, ability: Ability) -> String {
    let able: Vec<&str> = plugin::catalogue()
        .into_iter()
        .filter(|e| e.kind == Kind::Model)
        .filter(|e| {
            let dir = std::env::temp_dir();
            let mut v = (e.example)(&dir);
            v.as_object_mut().map(|m| m.insert("use".into(), json!(e.name)));
            serde_json::from_value::<Box<dyn Model>>(v).is_ok_and(|m| m.provides().contains(ability))
        })
        .map(|e| e.name)
        .collect();
    if able.is_empty() {
        return format!("this {who} needs {what}, and no model that is linked in gives them");
    }
    format!("this {who} needs {what}; models that give them: {}", able.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Batch;
    use crate::error::{Error, Result};
    use crate::numerics::Gram;
    use crate::plugin::Surrogate;
    use crate::plugin::{FitContext, KernelContext, RunContext};
    use serde::{Deserialize, Serialize};

    /// A part that only says what it needs and gives.
    #[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
    struct Stub {
        #[serde(skip)]
        needs: Abilities,
        #[serde(skip)]
        gives: Abilities,
    }

    fn idle<T>() -> Result<T> {
        Err(Error::Plugin("a stub does nothing".into()))
    }

    #[typetag::serde(name = "stub_model")]
    impl Model for Stub {
        fn fit(&self, _: &FitContext) -> Result<Box<dyn Surrogate>> {
            idle()
        }
        fn provides(&self) -> Abilities {
            self.gives
        }
        fn needs(&self) -> Abilities {
            self.needs
        }
    }

    #[typetag::serde(name = "stub_kernel")]
    impl Kernel for Stub {
        fn gram(&self, _: &KernelContext) -> Result<Gram> {
            idle()
        }
        fn needs(&self) -> Abilities {
            self.needs
        }
    }

    #[typetag::serde(name = "stub_acquisition")]
    impl Acquisition for Stub {
        fn select(&self, _: &RunContext) -> Result<Batch> {
            idle()
        }
        fn needs(&self) -> Abilities {
            self.needs
        }
    }

    fn needing<const N: usize>(needs: [Ability; N]) -> Option<Stub> {
        Some(Stub { needs: Abilities::of(needs), ..Stub::default() })
    }

    fn giving<const N: usize>(gives: [Ability; N]) -> Option<Stub> {
        Some(Stub { gives: Abilities::of(gives), ..Stub::default() })
    }

    /// Sections and texts for a model, a kernel and an acquisition, with priors and measurements or without.
    fn found(
        [model, kernel, acquisition]: [Option<Stub>; 3],
        features: bool,
        measured: bool,
        facts: Option<Facts>,
    ) -> Vec<(&'static str, String)> {
        let parts = Parts {
            model: model.as_ref().map(|m| m as _),
            kernel: kernel.as_ref().map(|k| k as _),
            acquisition: &acquisition.unwrap_or_default(),
            features,
            measured,
        };
        misfits(&parts, facts.as_ref()).into_iter().map(|m| (m.section, m.text)).collect()
    }

    #[test]
    fn parts_are_held_against_each_other() {
        use Ability::*;
        let any = Some(Stub::default());
        // Model, kernel, acquisition; priors, measured; section and a piece of the text, or none.
        type Row = ([Option<Stub>; 3], bool, bool, Option<(&'static str, &'static str)>);
        let table: Vec<Row> = vec![
            ([None, None, None], false, false, None),
            ([None, None, needing([Model])], true, true, Some(("acquisition", "needs a model; add a [model]"))),
            ([None, None, needing([Draws])], true, true, Some(("acquisition", "needs a model; add a [model]"))),
            ([any, None, needing([Model])], false, true, None),
            ([any, None, needing([Model])], false, false, Some(("acquisition", "set init under [pool]"))),
            ([giving([Sd]), None, needing([Sd])], false, true, None),
            (
                [giving([Draws]), None, needing([Sd])],
                false,
                true,
                Some(("acquisition", "needs predicted standard dev")),
            ),
            ([giving([Sd]), None, needing([Draws])], false, true, Some(("acquisition", "needs posterior draws"))),
            ([any, None, needing([Covariance])], false, true, Some(("acquisition", "needs posterior covariances"))),
            ([any, None, needing([VarianceGradient])], false, true, Some(("acquisition", "gradient of its variance"))),
            ([needing([Features]), None, None], true, false, None),
            ([needing([Features]), None, None], false, false, Some(("model", "learns from features"))),
            ([None, None, needing([Similarity])], true, false, None),
            ([None, any, needing([Similarity])], false, false, None),
            ([None, None, needing([Similarity])], false, false, Some(("acquisition", "nothing describes them"))),
            ([None, None, needing([Features])], false, false, Some(("acquisition", "no prior is active"))),
            ([None, needing([InputKernel]), None], true, true, Some(("kernel", "no kernel to act on"))),
            ([None, needing([Features]), None], false, true, Some(("kernel", "compares feature rows"))),
            ([None, needing([Model]), None], true, true, Some(("kernel", "reads the fitted model; add a [model]"))),
            ([any, needing([Model]), None], true, true, None),
            ([any, needing([Model]), None], true, false, Some(("kernel", "set init under [pool]"))),
            ([None, needing([Measured]), None], true, false, Some(("kernel", "set init under [pool]"))),
            ([giving([Embedding]), needing([Layers]), None], true, true, Some(("kernel", "the layers of a network"))),
            ([giving([Layers]), needing([Embedding]), None], true, true, Some(("kernel", "own representation"))),
            ([giving([Layers]), needing([Model, Layers]), None], true, true, None),
            // Kernels inside a model: a fitted model is not there, measurements are.
            ([needing([Model, Features]), None, None], true, true, Some(("model", "with = [] to fuse the priors"))),
            ([needing([Layers]), None, None], true, true, Some(("model", "choose a kernel that reads no model"))),
            ([needing([InputKernel]), None, None], true, true, Some(("model", "no kernel to act on"))),
            ([needing([Measured]), None, None], true, false, None),
            // Of the screen nothing is known yet.
            ([needing([Pairs, Scalar, SingleEffects]), None, None], false, false, None),
        ];
        for (i, (parts, features, measured, want)) in table.into_iter().enumerate() {
            let got = found(parts, features, measured, None);
            let fits = match (&got[..], want) {
                ([], None) => true,
                ([(section, text)], Some((of, piece))) => *section == of && text.contains(piece),
                _ => false,
            };
            assert!(fits, "row {i}: {got:?} for {want:?}");
        }
    }

    #[test]
    fn a_screen_is_held_against_all_parts() {
        use Ability::*;
        let good = Facts { pairs: true, n_outputs: 1, single_effects: true, lab: Lab::Oracle };
        let all = [needing([Pairs, Scalar, SingleEffects]), None, None];
        assert_eq!(found(all, false, false, Some(good)), []);
        let text = |facts: Facts, parts| {
            let mut found = found(parts, false, false, Some(facts));
            assert_eq!(found.len(), 1, "{found:?}");
            found.remove(0)
        };
        let singles = Facts { pairs: false, ..good };
        let profiles = Facts { n_outputs: 7, ..good };
        let unknown = Facts { single_effects: false, ..good };
        assert_eq!(
            text(singles, all).1,
            "this model predicts pairs of genes and the pool holds single genes; choose another oracle or model"
        );
        assert_eq!(
            text(profiles, all).1,
            "this model predicts one number and readouts have 7; reduce them in the oracle (screen_table: reduce = \
             \"norm\") or choose another model"
        );
        assert_eq!(
            text(unknown, all).1,
            "this model predicts from single-gene effects and the oracle knows none; set `single` on the oracle or choose \
             another model"
        );
        for facts in [singles, profiles, unknown] {
            let (section, text) = text(Facts { lab: Lab::User, ..facts }, all);
            assert!(section == "model" && !text.contains("oracle"), "{text}");
            assert!(text.contains("another model"), "{text}");
        }
        let (section, text) = text(unknown, [None, None, needing([SingleEffects])]);
        assert_eq!(section, "acquisition");
        assert!(text.ends_with("or choose another acquisition"), "{text}");
    }

    #[test]
    fn what_another_model_would_mend_is_told_apart() {
        let of = |needs, gives| {
            let (model, rule) = (Stub { gives, ..Stub::default() }, Stub { needs, ..Stub::default() });
            let parts =
                Parts { model: Some(&model), kernel: None, acquisition: &rule, features: false, measured: true };
            misfits(&parts, None).into_iter().map(|m| m.of_model).collect::<Vec<_>>()
        };
        let sd = Abilities::of([Ability::Sd]);
        assert_eq!(of(sd, Abilities::NONE), [true]);
        assert_eq!(of(sd.with(Ability::Similarity), Abilities::NONE), [true, false]);
        assert!(of(sd, sd).is_empty());
    }
}
