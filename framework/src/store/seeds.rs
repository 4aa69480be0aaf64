//! The seeds behind a run's id.

use crate::scenario::{Scenario, Varies};

/// The seeds of one run, by what they decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunSeeds {
    /// Test split, noise and simulated world.
    pub world: u64,
    /// Initial set.
    pub init: u64,
    /// Training and selection.
    pub training: u64,
}

impl RunSeeds {
    /// From the seed of a run and the first seed of the sweep.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let first = scenario.seeds.from;
        match scenario.repeat.varies {
            Varies::Training => Self { world: first, init: first, training: seed },
            Varies::Init => Self { world: first, init: seed, training: seed },
            Varies::Split => Self { world: seed, init: seed, training: seed },
        }
    }
}
