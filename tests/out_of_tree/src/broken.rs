//! A rule that breaks the law in a chosen way, to see that the program tells and carries on.

use framework::prelude::*;

/// What a broken rule does.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Nothing: it is `random`.
    #[default]
    Not,
    /// Panics.
    Panic,
    /// Chooses the first twice.
    Repeat,
    /// Chooses what was measured already.
    Foreign,
    /// Returns one too few.
    Short,
}

/// Random, or broken.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// How.
    #[serde(default)]
    pub how: How,
}

#[typetag::serde(name = "broken")]
impl Acquisition for Broken {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let mut ids = cx.candidates.sample(cx.batch(), &mut cx.rng("broken"));
        match self.how {
            How::Not => {}
            How::Panic => panic!("on purpose"),
            How::Repeat => ids[1] = ids[0],
            How::Foreign => ids[1] = cx.observed.ids[0],
            How::Short => ids.truncate(cx.batch() - 1),
        }
        Ok(Batch { scores: vec![0.0; ids.len()], ids })
    }
}

framework::register!(Acquisition, Broken, "broken", "breaks the rules of a batch on purpose");
