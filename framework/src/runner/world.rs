//! The world of a run: screen, pool and priors, shared between runs where they do not differ.

use super::part::Part;
use crate::compatibility::{Facts, Lab};
use crate::data::DataRoot;
use crate::domain::{Block, Gene, Inputs, NameReport, Perturbation, Pool, Readouts, SymbolUpdates};
use crate::error::{Error, Result};
use crate::plugin::{Experiment, PriorContext, Relation, Screen, Setup};
use crate::scenario::{CoveredBy, Known, Scenario};
use crate::store::RunSeeds;
use ndarray::Array2;
use numerics::streams::Streams;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use table::Table;

/// An opened screen with its pool and priors, before it is split.
pub struct Base {
    screen: Box<dyn Screen>,
    pool: Arc<Pool>,
    blocks: Vec<(String, Arc<Block>)>,
    single_effects: Option<Array2<f64>>,
    inputs: Mutex<HashMap<Vec<String>, Arc<Inputs>>>,
    truth: OnceLock<Option<Arc<Array2<f64>>>>,
    /// The ids of the [known] table, or the planted ones.
    known: OnceLock<Option<Arc<Vec<usize>>>>,
    /// What was dropped, lost or filled, for the log.
    pub notes: Vec<String>,
    /// The names that symbol updates left lost or ambiguous, and how many; absent without updates.
    pub unplaced: Option<Unplaced>,
}

/// Names that are lost or ambiguous.
#[derive(Clone, Debug)]
pub struct Unplaced {
    /// As [`NameReport::unplaced`] gives them.
    pub table: Arc<Table>,
    /// How many, by prior.
    pub summary: String,
}

/// Above this many perturbations hits are not ranked and the full truth is not tabulated.
const TABULATED: usize = 5_000_000;

/// Features of a prior that notes name.
const FEATURES: usize = 5;

impl Base {
    /// Opens the oracle and embeds every prior that the scenario names.
    pub fn open(scenario: &Scenario, data: &DataRoot, world_seed: u64) -> Result<Self> {
        Self::opened(scenario, data, world_seed, FEATURES)
    }

    /// The same; notes name this many features of a prior.
    fn opened(scenario: &Scenario, data: &DataRoot, world_seed: u64, features: usize) -> Result<Self> {
        let streams = Streams::new(world_seed).child("world");
        let setup = Setup { data, streams: &streams.child("oracle") };
        let screen = scenario.oracle.open(&setup)?;
        let full = screen.pool().clone();
        if full.is_empty() {
            return Err(Error::Data("the oracle's pool is empty; check its table or its size settings".into()));
        }
        let mut notes = screen.notes();
        let updates = match &scenario.pool.symbol_updates {
            Some(file) => Some(SymbolUpdates::read(&data.path(file))?),
            None => None,
        };
        let mut blocks = Vec::new();
        for (name, prior) in &scenario.prior {
            let cx = PriorContext {
                name,
                genes: full.genes(),
                updates: updates.as_ref(),
                screen: Some(&*screen),
                setup: &Setup { data, streams: &streams.child("prior").child(name) },
            };
            let block = prior.embed(&cx)?;
            notes.push(format!("prior {name}: {} features; {}", block.x.ncols(), block.note));
            if !block.features.is_empty() {
                notes.push(format!("prior {name} uses {}", crate::error::listed(&block.features, features)));
            }
            notes.extend(block.warning.iter().map(|w| format!("warning: {w}")));
            blocks.push((name.clone(), block));
        }
        let unplaced = updates.as_ref().and_then(|_| Unplaced::of(&blocks));
        let n_genes = full.genes().len();
        let mut keep: Vec<bool> = match scenario.pool.covered_by {
            CoveredBy::None => vec![true; n_genes],
            CoveredBy::All => (0..n_genes).map(|g| blocks.iter().all(|b| b.1.present[g])).collect(),
            CoveredBy::Any => (0..n_genes).map(|g| blocks.iter().any(|b| b.1.present[g])).collect(),
        };
        if let Some(n) = scenario.pool.genes {
            let covered: Vec<usize> = (0..n_genes).filter(|&g| keep[g]).collect();
            if n > covered.len() {
                return Err(Error::Config(format!(
                    "genes = {n} under [pool], and the screen has {} genes to draw from; lower it or leave it out",
                    covered.len()
                )));
            }
            keep = vec![false; n_genes];
            let drawn = rand::seq::index::sample(&mut streams.child("pool").rng("genes"), covered.len(), n);
            drawn.iter().for_each(|k| keep[covered[k]] = true);
        }
        let screen: Box<dyn Screen> = if keep.iter().all(|k| *k) {
            screen
        } else {
            let kept: Vec<usize> = (0..n_genes).filter(|&g| keep[g]).collect();
            let part = Part::new(screen, &keep)?;
            let pool = part.pool();
            if pool.is_empty() && scenario.pool.genes.is_some() {
                return Err(Error::Data(
                    "no perturbation is left of the genes drawn; raise `genes` under [pool]".into(),
                ));
            }
            if pool.is_empty() {
                return Err(Error::Data(format!(
                    "no gene of the pool is covered by {} the priors ({}); set covered_by = \"none\" or \"any\" under [pool]",
                    if scenario.pool.covered_by == CoveredBy::All { "all of" } else { "any of" },
                    blocks.iter().map(|b| b.0.as_str()).collect::<Vec<_>>().join(", ")
                )));
            }
            notes.push(format!(
                "pool: {} of {n_genes} genes and {} of {} perturbations kept ({})",
                kept.len(),
                pool.len(),
                full.len(),
                if scenario.pool.genes.is_some() { "genes drawn for this seed" } else { "covered by the priors" }
            ));
            blocks.iter_mut().for_each(|(_, b)| b.restrict(&kept));
            Box::new(part)
        };
        let (pool, single_effects) = (screen.pool().clone(), screen.single_effects());
        for (_, b) in &mut blocks {
            b.fill(scenario.pool.missing);
        }
        let known = OnceLock::new();
        if let Some(k) = &scenario.known {
            let ids = known_pairs(k, &pool, data)?;
            notes.push(format!("known: {} of {} perturbations are known to interact", ids.len(), pool.len()));
            let _ = known.set(Some(Arc::new(ids)));
        }
        Ok(Self {
            screen,
            pool,
            blocks: blocks.into_iter().map(|(n, b)| (n, Arc::new(b))).collect(),
            single_effects,
            inputs: Mutex::default(),
            truth: OnceLock::new(),
            known,
            notes,
            unplaced,
        })
    }

    /// The pool after genes were dropped.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Number of outputs of a readout.
    pub fn n_outputs(&self) -> usize {
        self.screen.n_outputs()
    }

    /// What models, kernels and acquisitions may ask of it.
    pub fn facts(&self) -> Facts {
        Facts {
            pairs: !self.pool.is_singles(),
            n_outputs: self.n_outputs(),
            single_effects: self.single_effects.is_some(),
            lab: Lab::Oracle,
        }
    }

    /// Measures pool ids.
    pub fn measure(&self, ids: &[usize], round: usize, streams: &Streams) -> Result<Readouts> {
        let r = self.screen.measure(ids, &Experiment::of_round(round), streams)?;
        r.check()?;
        Ok(r)
    }

    /// Noise-free readouts of pool ids, where known.
    pub fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        self.screen.truth(ids)
    }

    /// Replicates behind the truth of pool ids, where known.
    pub fn replicates(&self, ids: &[usize]) -> Option<Array2<f64>> {
        self.screen.replicates(ids)
    }

    /// How clearly each output of pool ids differs from control, where the screen knows it; see
    /// [`Screen::clarity`](crate::plugin::Screen::clarity).
    pub fn clarity(&self, ids: &[usize]) -> Option<Array2<f64>> {
        self.screen.clarity(ids)
    }

    /// The p values behind the readouts of pool ids, where readouts are scores of a test.
    pub fn p_values(&self, ids: &[usize]) -> Option<Vec<f64>> {
        self.screen.p_values(ids)
    }

    /// How pool ids are known to act, in a simulator.
    pub fn relations(&self, ids: &[usize]) -> Option<Vec<Relation>> {
        self.screen.relations(ids)
    }

    /// Noise-free readouts of the whole pool, tabulated once; nothing for huge pools.
    pub(super) fn all_truth(&self) -> Option<&Arc<Array2<f64>>> {
        self.truth
            .get_or_init(|| {
                if self.pool.len() > TABULATED {
                    return None;
                }
                let all: Vec<usize> = (0..self.pool.len()).collect();
                self.truth(&all).map(Arc::new)
            })
            .as_ref()
    }

    /// Whether each of some ids is known to interact: from the scenario's table, or planted by the simulator.
    pub fn known(&self, ids: &[usize]) -> Option<Vec<bool>> {
        let known = self.known.get_or_init(|| {
            if self.pool.len() > TABULATED {
                return None;
            }
            let all: Vec<usize> = (0..self.pool.len()).collect();
            let relations = self.screen.relations(&all)?;
            Some(Arc::new(all.into_iter().filter(|&i| relations[i] == Relation::Interacting).collect()))
        });
        let known = known.as_ref()?;
        Some(ids.iter().map(|id| known.binary_search(id).is_ok()).collect())
    }

    /// Features of the named priors, shared by all runs that use the same ones.
    pub fn inputs(&self, scenario: &Scenario) -> Result<Arc<Inputs>> {
        let names: Vec<String> = scenario.active_priors().into_iter().map(String::from).collect();
        let mut cache = self.inputs.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(found) = cache.get(&names) {
            return Ok(found.clone());
        }
        let blocks = self.blocks.iter().filter(|b| names.contains(&b.0)).map(|b| b.1.clone()).collect();
        let made = Inputs::new(self.pool.clone(), blocks, scenario.pool.compose)?
            .with_single_effects(self.single_effects.clone())
            .with_control(self.screen.control());
        let made = Arc::new(made);
        cache.insert(names, made.clone());
        Ok(made)
    }
}

impl Unplaced {
    fn of(blocks: &[(String, Block)]) -> Option<Self> {
        let reports: Vec<(&str, &NameReport)> = blocks.iter().map(|(name, b)| (name.as_str(), &b.names)).collect();
        let table = Arc::new(NameReport::unplaced(&reports)?);
        let count = |(name, r): &(&str, &NameReport)| {
            let (lost, ambiguous) = (r.missing.len(), r.ambiguous.len());
            (lost + ambiguous > 0).then(|| format!("{name} {lost} lost, {ambiguous} ambiguous"))
        };
        let counts: Vec<String> = reports.iter().filter_map(count).collect();
        Some(Self { table, summary: counts.join("; ") })
    }
}

/// The ids of the pairs of a table, ascending.
pub(crate) fn known_pairs(known: &Known, pool: &Pool, data: &DataRoot) -> Result<Vec<usize>> {
    let [first, second] = &known.genes[..] else {
        return Err(Error::Config(format!("[known] names {} gene columns; a pair has two", known.genes.len())));
    };
    let table = data.table(&known.path)?;
    let flags: Vec<Vec<f64>> = known.sources.iter().map(|c| table.numbers(c)).collect::<Result<_, _>>()?;
    // A symbol may stand for several genes of the screen, as target and as query.
    let mut genes: HashMap<&str, Vec<Gene>> = HashMap::new();
    for (g, name) in pool.genes().names().enumerate() {
        let symbol = name.split_once('@').map_or(name, |(symbol, _)| symbol);
        genes.entry(symbol).or_default().push(Gene(g as u32));
    }
    let mut ids = Vec::new();
    for (row, (a, b)) in table.text(first)?.into_iter().zip(table.text(second)?).enumerate() {
        if !flags.is_empty() && flags.iter().all(|f| f[row] == 0.0) {
            continue;
        }
        let (Some(a), Some(b)) = (genes.get(a), genes.get(b)) else { continue };
        let pairs = a.iter().flat_map(|&a| b.iter().map(move |&b| Perturbation::new([a, b])));
        ids.extend(pairs.filter_map(|p| pool.find(&p)));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// A base that is opened by the first run which asks for it.
type Slot = Arc<OnceLock<Result<Arc<Base>, Arc<Error>>>>;

/// Opened bases, the most recently used kept.
pub struct Worlds {
    data: Arc<DataRoot>,
    most: usize,
    /// Features of a prior that notes name.
    features: usize,
    open: Mutex<Vec<(String, Slot)>>,
}

impl Worlds {
    /// Keeps at most `most` bases open.
    pub fn new(data: Arc<DataRoot>, most: usize) -> Self {
        Self { data, most: most.max(1), features: FEATURES, open: Mutex::default() }
    }

    /// Notes name every feature of a prior.
    pub fn verbose(self) -> Self {
        Self { features: usize::MAX, ..self }
    }

    /// The base of a run, opened by the first run that needs it.
    pub fn get(&self, scenario: &Scenario, seeds: RunSeeds) -> Result<Arc<Base>> {
        let drawn = scenario.pool.genes.is_some();
        let seeded = drawn || scenario.oracle.seeded() || scenario.prior.values().any(|p| p.seeded());
        let seed = if seeded { seeds.world } else { 0 };
        let key = serde_json::to_string(&(&scenario.oracle, &scenario.prior, &scenario.pool, &scenario.known, seed))
            .map_err(|e| Error::Config(e.to_string()))?;
        let slot = {
            let mut open = self.open.lock().unwrap_or_else(|e| e.into_inner());
            let slot = match open.iter().position(|(k, _)| *k == key) {
                Some(i) => open.remove(i).1,
                None => Arc::default(),
            };
            open.push((key, slot.clone()));
            if open.len() > self.most {
                open.remove(0);
            }
            slot
        };
        let base = slot
            .get_or_init(|| Base::opened(scenario, &self.data, seed, self.features).map(Arc::new).map_err(Arc::new));
        Ok(base.clone()?)
    }
}
