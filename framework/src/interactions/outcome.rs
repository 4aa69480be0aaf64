//! The rows of a test and what they add up to.

use super::file::Calls;
use crate::domain::Samples;
use crate::plugin::{Null, Relation, TestOutcome};
use numerics::stats::calls::{ErrorControl, lord};
use numerics::stats::{auroc, average_precision, mean, sd};
use std::collections::BTreeMap;
use table::{Column, Table};

/// One pair under one test and seed.
#[derive(Clone, Debug)]
pub struct Row {
    /// Of the samples and the test.
    pub seed: u64,
    /// Both genes, joined by `+`.
    pub pair: String,
    /// Names of the genes; empty where the label did not name two.
    pub genes: Option<[String; 2]>,
    /// How the pair is known to act.
    pub relation: Option<Relation>,
    /// Whether the pair is in the study's table of known pairs.
    pub known: Option<bool>,
    /// What the test found.
    pub outcome: Option<TestOutcome>,
    /// p after adjustment over all pairs of the seed; the level of the test under online control.
    pub q: f64,
    /// Whether the pair is called.
    pub called: bool,
    /// Why it was not tested.
    pub why_not: Option<String>,
}

impl Row {
    pub(super) fn tested(
        seed: u64,
        s: &Samples,
        p: usize,
        relation: Option<Relation>,
        known: Option<bool>,
        o: TestOutcome,
    ) -> Self {
        let genes = [s.pairs[p].first, s.pairs[p].second].map(|g| s.genes[g].clone());
        let untested = Self::untested(seed, s.label(p), String::new());
        Row { genes: Some(genes), relation, known, outcome: Some(o), why_not: None, ..untested }
    }

    pub(super) fn untested(seed: u64, pair: String, why: String) -> Self {
        let (genes, relation, known, outcome) = (None, None, None, None);
        Row { seed, pair, genes, relation, known, outcome, q: f64::NAN, called: false, why_not: Some(why) }
    }

    /// Its score; NaN where it was not tested.
    pub fn score(&self) -> f64 {
        self.outcome.as_ref().map_or(f64::NAN, |o| o.score)
    }

    /// Its p value; NaN where the test gives none.
    pub fn p(&self) -> f64 {
        self.outcome.as_ref().and_then(|o| o.p_value).unwrap_or(f64::NAN)
    }

    /// A diagnostic by name.
    pub fn diagnostic(&self, name: &str) -> f64 {
        let found = self.outcome.iter().flat_map(|o| &o.diagnostics).find(|d| d.0 == name);
        found.map_or(f64::NAN, |d| d.1)
    }
}

/// All pairs under one test.
#[derive(Clone, Debug)]
pub struct TestTable {
    /// What the study calls the test.
    pub name: String,
    /// Its null hypothesis.
    pub null: Null,
    /// Seed by seed; in each the tested pairs in their order, then the others.
    pub rows: Vec<Row>,
}

impl TestTable {
    /// Fills in `q` and `called`, for each seed by itself.
    pub(super) fn call(&mut self, calls: &Calls) {
        let p: Vec<f64> = self.rows.iter().map(Row::p).collect();
        match calls.control {
            ErrorControl::Online => {
                for (row, (level, called)) in self.rows.iter_mut().zip(lord(&p, calls.rate)) {
                    (row.q, row.called) = (level, called);
                }
            }
            control => {
                for (row, q) in self.rows.iter_mut().zip(control.adjust(&p)) {
                    (row.q, row.called) = (q, q <= calls.rate);
                }
            }
        }
    }

    /// Names of the diagnostics, in the test's order.
    pub fn diagnostics(&self) -> Vec<String> {
        let first = self.rows.iter().find_map(|r| r.outcome.as_ref());
        first.map(|o| o.diagnostics.iter().map(|d| d.0.clone()).collect()).unwrap_or_default()
    }

    /// The table as it is written: one row for each seed and pair, highest score first within a seed.
    pub fn table(&self) -> Table {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        let key = |r: &Row| if r.score().is_nan() { f64::NEG_INFINITY } else { r.score() };
        rows.sort_by(|a, b| a.seed.cmp(&b.seed).then(key(b).total_cmp(&key(a))));
        let number = |f: &dyn Fn(&Row) -> f64| Column::Number(rows.iter().map(|r| f(r)).collect());
        let text = |f: &dyn Fn(&Row) -> Option<String>| Column::Text(rows.iter().map(|r| f(r)).collect());
        let mut t = Table::new()
            .with("seed", Column::Integer(rows.iter().map(|r| r.seed as i64).collect()))
            .with("pair", text(&|r| Some(r.pair.clone())))
            .with("first", text(&|r| r.genes.as_ref().map(|g| g[0].clone())))
            .with("second", text(&|r| r.genes.as_ref().map(|g| g[1].clone())))
            .with("score", number(&Row::score))
            .with("p", number(&Row::p))
            .with("q", number(&|r| r.q))
            .with("called", Column::Flag(rows.iter().map(|r| r.called).collect()))
            .with("null", text(&|_| Some(self.null.word().into())));
        if rows.iter().any(|r| r.relation.is_some()) {
            t = t.with("relation", text(&|r| r.relation.map(|r| r.word().into())));
        }
        if rows.iter().any(|r| r.known.is_some()) {
            t = t.with("known", Column::Flag(rows.iter().map(|r| r.known == Some(true)).collect()));
        }
        for (k, name) in ["n_control", "n_first", "n_second", "n_both"].into_iter().enumerate() {
            let n = |r: &&Row| r.outcome.as_ref().map_or(0, |o| o.n[k] as i64);
            t = t.with(name, Column::Integer(rows.iter().map(n).collect()));
        }
        for name in self.diagnostics() {
            t = t.with(&name, number(&|r| r.diagnostic(&name)));
        }
        t.with("not_tested", text(&|r| r.why_not.clone()))
    }

    /// Mean score of each pair over seeds, its standard deviation and the number of seeds, in the order in which pairs
    /// come first.
    pub fn by_pair(&self) -> Vec<(String, [String; 2], f64, f64, usize)> {
        let mut place: BTreeMap<&str, usize> = BTreeMap::new();
        let mut found: Vec<(&Row, Vec<f64>)> = vec![];
        for r in self.rows.iter().filter(|r| r.outcome.is_some()) {
            let at = *place.entry(&r.pair).or_insert(found.len());
            if at == found.len() {
                found.push((r, vec![]));
            }
            found[at].1.push(r.score());
        }
        let one = |(r, s): (&Row, Vec<f64>)| Some((r.pair.clone(), r.genes.clone()?, mean(&s), sd(&s), s.len()));
        found.into_iter().filter_map(one).collect()
    }

    /// Seeds in which all interacting pairs score above all others, and seeds in which both kinds were tested.
    pub fn ranked_first(&self) -> (usize, usize) {
        let (mut first, mut of) = (0, 0);
        for rows in self.rows.chunk_by(|a, b| a.seed == b.seed) {
            let extreme = |planted: bool, pick: fn(f64, f64) -> f64| {
                let known = rows.iter().filter(|r| r.relation.is_some() && r.outcome.is_some());
                let of_kind = known.filter(|r| (r.relation == Some(Relation::Interacting)) == planted);
                of_kind.map(Row::score).reduce(pick)
            };
            if let (Some(lowest), Some(highest)) = (extreme(true, f64::min), extreme(false, f64::max)) {
                of += 1;
                first += usize::from(lowest > highest);
            }
        }
        (first, of)
    }

    /// Calls, of them false, pairs that interact, and of them called, where the truth is known. Pairs that act
    /// independently in another sense than the test's null are left out: they may rightly be called.
    pub fn against_truth(&self) -> Option<[usize; 4]> {
        let holds = match self.null {
            Null::Additive => Relation::Disjoint,
            Null::Separable => Relation::Separable,
        };
        let decided = |r: &&Row| r.relation.is_some_and(|r| r == holds || r == Relation::Interacting);
        let known: Vec<&Row> = self.rows.iter().filter(decided).filter(|r| !r.p().is_nan()).collect();
        let real = |r: &&&Row| r.relation == Some(Relation::Interacting);
        let called = known.iter().filter(|r| r.called).count();
        let true_calls = known.iter().filter(real).filter(|r| r.called).count();
        let planted = known.iter().filter(real).count();
        (!known.is_empty()).then_some([called, called - true_calls, planted, true_calls])
    }

    /// How well scores separate known pairs from others: area under the receiver operating curve, average precision, and the
    /// share of known pairs, which is the average precision of a random order.
    pub fn against_known(&self) -> Option<[f64; 3]> {
        let rows: Vec<&Row> = self.rows.iter().filter(|r| r.known.is_some() && r.outcome.is_some()).collect();
        let scores: Vec<f64> = rows.iter().map(|r| r.score()).collect();
        let flags: Vec<bool> = rows.iter().map(|r| r.known == Some(true)).collect();
        let share = flags.iter().filter(|f| **f).count() as f64 / flags.len().max(1) as f64;
        Some([auroc(&scores, &flags)?, average_precision(&scores, &flags)?, share])
    }
}
