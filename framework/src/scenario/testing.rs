//! A small scenario for the tests of this folder, with plugins that are configured and never run.

use super::{Document, ScenarioForm, Sweep};
use crate::domain::{Batch, Block};
use crate::error::{Error, Result};
use crate::plugin::*;
use crate::plugin::{FitContext, KernelContext, PriorContext, RunContext, Setup};
use numerics::Gram;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;

/// Adds a plugin to the catalogue as `register!` does, which wants a file for each.
macro_rules! list {
    ($kind:ident, $type:ty, $name:literal) => {
        crate::inventory::submit! {
            Entry {
                kind: Kind::$kind,
                name: $name,
                summary: "for tests of scenarios",
                source: "",
                fields: fields::<$type>,
                check: check::<$type>,
                example: |_| json!({}),
            }
        }
    };
}

fn never_run<T>() -> Result<T> {
    Err(Error::Unsupported("a plugin for tests of scenarios is only configured".into()))
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnyRule {
    offset: usize,
    width: usize,
}

#[typetag::serde(name = "any_rule")]
impl Acquisition for AnyRule {
    fn select(&self, _: &RunContext) -> Result<Batch> {
        never_run()
    }
}

list!(Acquisition, AnyRule, "any_rule");

/// Needs standard deviations.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SdRule {
    offset: usize,
}

#[typetag::serde(name = "sd_rule")]
impl Acquisition for SdRule {
    fn select(&self, _: &RunContext) -> Result<Batch> {
        never_run()
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Sd])
    }
}

list!(Acquisition, SdRule, "sd_rule");

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MeanModel {
    level: f64,
}

#[typetag::serde(name = "mean_model")]
impl Model for MeanModel {
    fn fit(&self, _: &FitContext) -> Result<Box<dyn Surrogate>> {
        never_run()
    }
}

list!(Model, MeanModel, "mean_model");

/// Gives standard deviations.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SdModel {}

#[typetag::serde(name = "sd_model")]
impl Model for SdModel {
    fn fit(&self, _: &FitContext) -> Result<Box<dyn Surrogate>> {
        never_run()
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd])
    }
}

list!(Model, SdModel, "sd_model");

/// May hold other kernels.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyKernel {
    length: f64,
    #[serde(default)]
    steps: Vec<Box<dyn Kernel>>,
    #[serde(default)]
    of: Option<Box<dyn Kernel>>,
}

#[typetag::serde(name = "any_kernel")]
impl Kernel for AnyKernel {
    fn gram(&self, _: &KernelContext) -> Result<Gram> {
        never_run()
    }
}

list!(Kernel, AnyKernel, "any_kernel");

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnyPrior {
    dims: usize,
}

#[typetag::serde(name = "any_prior")]
impl Prior for AnyPrior {
    fn embed(&self, _: &PriorContext) -> Result<Block> {
        never_run()
    }
}

list!(Prior, AnyPrior, "any_prior");

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnyOracle {
    genes: usize,
}

#[typetag::serde(name = "any_oracle")]
impl Oracle for AnyOracle {
    fn open(&self, _: &Setup) -> Result<Box<dyn Screen>> {
        never_run()
    }
}

list!(Oracle, AnyOracle, "any_oracle");

const KEYS: &str = r#"
name = "small"
seeds = { count = 4 }
rounds = 5
batch = 3
metrics = ["hits", "mse"]
"#;

const SECTIONS: &str = r#"
[pool]
init = 2
[oracle]
use = "any_oracle"
genes = 40
[prior.b]
use = "any_prior"
[prior.a]
use = "any_prior"
dims = 2
[acquisition]
use = "any_rule"
"#;

/// A document from its text.
pub(super) fn document(text: &str) -> Document {
    Document::parse(Path::new("small.toml"), text.into()).expect("TOML")
}

/// The small scenario with further keys and sections, in a form.
pub(super) fn expand_as(form: &ScenarioForm, keys: &str, sections: &str) -> Result<Sweep> {
    Sweep::expand(document(&format!("{KEYS}{keys}\n{SECTIONS}{sections}")), form)
}

/// A form with a variant.
pub(super) fn variant(name: &str) -> ScenarioForm {
    ScenarioForm { variants: vec![name.into()], quick: false }
}

/// The small scenario with further keys and sections.
pub(super) fn expand(keys: &str, sections: &str) -> Sweep {
    expand_as(&ScenarioForm::default(), keys, sections).expect("a scenario without mistakes")
}

/// What is wrong with [`expand`]'s scenario: the text above each row of carets, and the message.
pub(super) fn complaints(keys: &str, sections: &str) -> Vec<(String, String)> {
    pointed_at(expand_as(&ScenarioForm::default(), keys, sections))
}

/// The text above each row of carets of a report, and the message.
pub(super) fn pointed_at<T>(refused: Result<T>) -> Vec<(String, String)> {
    let report = refused.err().expect("a mistake").to_string();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len() % 4, 1, "a heading and four lines for each mistake: {report}");
    lines[1..].chunks(4).map(|l| split_at_carets(l[2], l[3])).collect()
}

fn split_at_carets(source: &str, marks: &str) -> (String, String) {
    let from = marks.find('^').expect("a caret");
    let width = marks[from..].chars().take_while(|c| *c == '^').count();
    let above = source.chars().skip(from).take(width).collect();
    (above, marks[from + width..].trim_start().into())
}

/// Labels of the arms.
pub(super) fn labels(sweep: &Sweep) -> Vec<&str> {
    sweep.arms.iter().map(|a| a.label.as_str()).collect()
}

/// Compares [`complaints`] with pairs of texts.
#[track_caller]
pub(super) fn assert_complaints(found: Vec<(String, String)>, expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(found, expected);
}
