//! What every plugin must do, whoever wrote it.

use super::{MockSurrogate, TempDir, TinyWorld, fail};
use crate::data::DataRoot;
use crate::domain::{Candidates, Class, Genes, Observed, PairClass, Posterior, Samples};
use crate::error::{Error, Result, hint};
use crate::panics;
use crate::plugin::*;
use crate::plugin::{FitContext, KernelContext, PriorContext, Setup, TestContext, select_batch};
use ndarray::Array2;
use numerics::streams::Streams;
use numerics::{Features, Gram, eigh};
use rand_distr::{Distribution, StandardNormal};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Checks everything in the catalogue, and all metrics, and panics with the list of what is wrong: every plugin that does
/// not conform, each with all that it fails. A panic in a plugin is one more failure and stops nothing. Prints one line a
/// plugin.
///
/// # Panics
/// If the catalogue is empty or any check fails.
pub fn conformance() {
    let all = catalogue();
    assert!(!all.is_empty(), "no plugin is linked in; add `use your_plugins as _;` to the test");
    let mut wrong = failures(&all);
    wrong.extend(super::metrics::flaws(&crate::metric::catalogue()));
    refuse(&wrong);
}

/// Checks the plugin of this name alone.
///
/// # Panics
/// If there is none, if there are several, or if any check fails.
pub fn conformance_of(name: &str) {
    let mut all = catalogue();
    let hint = hint(name, all.iter().map(|e| e.name));
    all.retain(|e| e.name == name);
    assert!(!all.is_empty(), "no plugin is called `{name}`{hint}");
    refuse(&failures(&all));
}

fn refuse(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} plugins or metrics do not conform:\n{}", wrong.len(), wrong.join("\n"));
}

/// Of every plugin that does not conform its kind and name and, a line each, what it fails.
fn failures(all: &[&Entry]) -> Vec<String> {
    let mut wrong = vec![];
    for entry in all {
        let mut failed = match TempDir::new() {
            Ok(folder) => check_entry(entry, folder.path()),
            Err(e) => vec![e.to_string()],
        };
        if all.iter().filter(|e| e.name == entry.name).count() > 1 {
            failed.push("registered twice; names are unique over all kinds".into());
        }
        let plugin = format!("{:12} {}", entry.kind.word(), entry.name);
        if failed.is_empty() {
            println!("ok    {plugin}");
        } else {
            let text = failed.iter().fold(plugin, |text, f| format!("{text}\n    {f}"));
            println!("WRONG {text}");
            wrong.push(text);
        }
    }
    wrong
}

/// Checks one plugin with the parameters of its example; `dir` takes its small files. Gives all that it fails.
pub fn check_entry(entry: &Entry, dir: &Path) -> Vec<String> {
    let mut checks = Checks::default();
    let mut config = Value::Null;
    checks.run("its example", || {
        config = (entry.example)(dir);
        check_form(entry, &config)?;
        match config.as_object_mut() {
            Some(m) => m.insert("use".into(), json!(entry.name)),
            None => return fail("its example is not a table of parameters"),
        };
        Ok(())
    });
    if !checks.failed.is_empty() {
        return checks.failed;
    }
    match entry.kind {
        Kind::Acquisition => {
            if let Some(p) = checks.read::<Box<dyn Acquisition>>(&config) {
                checks.run("single genes", || acquisition(&*p, &[false]));
                checks.run("pairs", || acquisition(&*p, &[true]));
            }
        }
        Kind::Kernel => {
            if let Some(p) = checks.read::<Box<dyn Kernel>>(&config) {
                checks.run("single genes", || kernel(&*p, &[false]));
                checks.run("pairs", || kernel(&*p, &[true]));
            }
        }
        Kind::Model => {
            if let Some(p) = checks.read::<Box<dyn Model>>(&config) {
                checks.run("one output", || model(&*p, &[(false, 1)]));
                checks.run("several outputs", || model(&*p, &[(false, 3)]));
                checks.run("pairs", || model(&*p, &[(true, 1)]));
            }
        }
        Kind::Oracle => {
            if let Some(p) = checks.read::<Box<dyn Oracle>>(&config) {
                checks.run("measuring", || oracle(&*p, dir));
            }
        }
        Kind::Prior => {
            if let Some(p) = checks.read::<Box<dyn Prior>>(&config) {
                checks.run("embedding", || prior(&*p, dir));
            }
        }
        Kind::InteractionTest => {
            if let Some(p) = checks.read::<Box<dyn InteractionTest>>(&config) {
                checks.run("testing", || interaction(&*p));
            }
        }
    }
    checks.failed
}

/// Checks that do not stop one another.
#[derive(Default)]
struct Checks {
    failed: Vec<String>,
}

impl Checks {
    /// Runs a check; its error, or its panic with the place, joins the list under the name of the check.
    fn run(&mut self, name: &str, check: impl FnOnce() -> Result<()>) {
        match panics::catch(check) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => self.failed.push(format!("{name}: {e}")),
            Err(panic) => self.failed.push(format!("{name}: it {panic}")),
        }
    }

    /// The plugin of a table of parameters, if it reads and writes itself as it should.
    fn read<T: serde::de::DeserializeOwned + serde::Serialize>(&mut self, config: &Value) -> Option<T> {
        let mut plugin = None;
        self.run("its written form", || {
            plugin = Some(round_trip(config)?);
            Ok(())
        });
        plugin
    }
}

/// The tag is the catalogue's name, and reading what was written gives the same.
fn round_trip<T: serde::de::DeserializeOwned + serde::Serialize>(config: &Value) -> Result<T> {
    let text =
        |e: serde_json::Error| Error::Plugin(format!("{config}: {e}; its typetag name must be its catalogue name"));
    let read: T = serde_json::from_value(config.clone()).map_err(text)?;
    let written = serde_json::to_value(&read).map_err(text)?;
    let again: T = serde_json::from_value(written.clone()).map_err(text)?;
    if serde_json::to_value(&again).map_err(text)? != written || written["use"] != config["use"] {
        return fail(format!("its written form does not read back the same: {written}"));
    }
    Ok(read)
}

fn check_form(entry: &Entry, example: &Value) -> Result<()> {
    if entry.summary.is_empty() || !entry.source.starts_with("//!") {
        return fail("its file must begin with a //! header and its summary must not be empty");
    }
    let mut extra = example.clone();
    if let Some(m) = extra.as_object_mut() {
        m.insert("no_such_parameter".into(), json!(1));
    }
    if (entry.check)(extra).is_ok() {
        return fail("it accepts an unknown parameter; add #[serde(deny_unknown_fields)]");
    }
    match (entry.check)(example.clone()) {
        Ok(_) => Ok(()),
        Err((path, e)) => fail(format!("its example cannot be read: {path}: {e}")),
    }
}

fn mock(n: usize) -> MockSurrogate {
    let mut rng = Streams::new(3).rng("mock");
    let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
    MockSurrogate { mean: (0..n).map(|_| draw()).collect(), sd: (0..n).map(|_| 0.1 + draw().abs()).collect() }
}

/// Over single genes or pairs.
fn acquisition(a: &dyn Acquisition, worlds: &[bool]) -> Result<()> {
    for &pairs in worlds {
        let world = TinyWorld::new(if pairs { 9 } else { 40 }, 3, 1, pairs, 1)?;
        let n = world.inputs.pool().len();
        let measured: Vec<usize> = (0..n).step_by(5).collect();
        let observed = world.observe(&measured, 2)?;
        let held_out = vec![1, 2];
        let candidates = Candidates::new(n, [measured.clone(), held_out].concat());
        let left = candidates.len();
        let surrogate = mock(n);
        let pick = |s: &MockSurrogate, k: usize, seed: u64, c: &Candidates| {
            select_batch(a, &world.context(k, c, &observed, Some(s), None, seed))
        };
        let first = pick(&surrogate, 5, 7, &candidates)?;
        if first != pick(&surrogate, 5, 7, &candidates)? {
            return fail("the same seed gave two different batches");
        }
        let all = pick(&surrogate, left, 7, &candidates)?;
        let mut sorted = all.ids.clone();
        sorted.sort_unstable();
        if sorted != candidates.to_vec() {
            return fail("a batch of the size of the pool must return every candidate");
        }
        let one = Candidates::new(n, (1..n).collect());
        if pick(&surrogate, 1, 7, &one)?.ids != [0] {
            return fail("with one candidate left it must be chosen");
        }
        let flat = MockSurrogate { mean: vec![0.5; n], sd: vec![0.0; n] };
        pick(&flat, 5, 7, &candidates)?;
        let needs = a.needs();
        let of_model = needs.meets(Abilities::of([Ability::Model, Ability::Sd, Ability::Draws]));
        if of_model {
            let mut bad = surrogate.clone();
            bad.mean[candidates.nth(0)] = f64::NAN;
            if pick(&bad, 5, 7, &candidates).is_ok() {
                return fail("a predicted mean that is not a number was accepted");
            }
        }
        if pick(&surrogate, left + 1, 7, &candidates).is_ok() {
            return fail("a batch larger than the candidates was accepted");
        }
        if !of_model {
            select_batch(a, &world.context(5, &candidates, &observed, None, None, 7))?;
            let nothing = Observed::empty(1);
            select_batch(a, &world.context(5, &candidates, &nothing, None, None, 7))?;
        }
    }
    Ok(())
}

/// Over single genes or pairs.
fn kernel(k: &dyn Kernel, worlds: &[bool]) -> Result<()> {
    for &pairs in worlds {
        let world = TinyWorld::new(if pairs { 7 } else { 25 }, 4, 1, pairs, 11)?;
        let n = world.inputs.pool().len();
        let observed = world.observe(&(0..n).step_by(3).collect::<Vec<_>>(), 2)?;
        let surrogate = mock(n);
        let every: Vec<usize> = (0..n).collect();
        let input = Gram::of_features(world.inputs.features(&every));
        let gram = |observed: &Observed| {
            let streams = Streams::new(5).child("kernel");
            k.gram(&KernelContext {
                surrogate: Some(&surrogate),
                input: Some(&input),
                ..KernelContext::new(&world.inputs, observed, &streams)
            })
        };
        let g: Gram = gram(&observed)?;
        let ids: Vec<usize> = (0..n).collect();
        let full = g.to_dense(&ids);
        let scale = full.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(1e-300);
        if full.iter().any(|v| !v.is_finite()) {
            return fail("its matrix holds values that are not finite");
        }
        if gram(&observed)?.to_dense(&ids) != full {
            return fail("the same input gave two different matrices");
        }
        let diagonal = g.diagonal(&ids);
        let mut row = vec![0.0; n];
        let reversed: Vec<usize> = ids.iter().rev().copied().collect();
        let turned = g.restrict(&reversed);
        // Rows that are held in single precision are rounded when they are prepared.
        let slack = if matches!(turned.features(), Some(Features::F32(_))) { 1e-5 } else { 1e-9 };
        let near = |a: f64, b: f64| (a - b).abs() <= slack * scale;
        let mut turned_row = vec![0.0; n];
        for i in 0..n {
            g.row(i, &mut row);
            turned.row(n - 1 - i, &mut turned_row);
            for j in 0..n {
                if !near(full[(i, j)], full[(j, i)]) {
                    return fail(format!("its matrix is not symmetric at ({i}, {j})"));
                }
                if !near(row[j], full[(i, j)]) || !near(turned_row[n - 1 - j], full[(i, j)]) {
                    return fail(format!("rows, blocks and restrictions disagree at ({i}, {j})"));
                }
            }
            if !near(diagonal[i], full[(i, i)]) {
                return fail(format!("its diagonal disagrees with its blocks at {i}"));
            }
        }
        if k.keeps_psd() {
            let smallest = eigh(full.view())?.0[0];
            if smallest < -1e-8 * scale * n as f64 {
                return fail(format!("it claims to be positive semidefinite and has the eigenvalue {smallest:.3e}"));
            }
        }
    }
    Ok(())
}

/// Over single genes or pairs, with so many outputs.
fn model(m: &dyn Model, worlds: &[(bool, usize)]) -> Result<()> {
    for &(pairs, outputs) in worlds {
        let needs = m.needs();
        if (needs.contains(Ability::Pairs) && !pairs) || (needs.contains(Ability::Scalar) && outputs > 1) {
            continue;
        }
        let world = TinyWorld::new(if pairs { 16 } else { 90 }, 3, outputs, pairs, 21)?;
        let n = world.inputs.pool().len();
        let train: Vec<usize> = (0..n).filter(|i| i % 3 != 0).collect();
        let test: Vec<usize> = (0..n).step_by(3).collect();
        let observed = world.observe(&train, 4)?;
        let streams = Streams::new(9).child("model");
        let fit = |observed: &Observed| m.fit(&FitContext { inputs: &world.inputs, observed, streams: &streams });
        let s = fit(&observed)?;
        let p = s.predict(&test)?;
        p.check(test.len(), outputs)?;
        let again = fit(&observed)?.predict(&test)?;
        if again.mean != p.mean || again.sd != p.sd {
            return fail("the same data and streams gave two different fits");
        }
        agree(m.provides(), &p, &*s)?;
        let error = |f: &dyn Fn(usize, usize) -> f64| -> f64 {
            let cells = test.iter().enumerate().flat_map(|(i, &id)| (0..outputs).map(move |o| (i, id, o)));
            cells.map(|(i, id, o)| (f(i, o) - world.truth[(id, o)]).powi(2)).sum()
        };
        let mean = observed.mean();
        if needs.meets(Abilities::of([Ability::Features, Ability::SingleEffects])) {
            let (own, plain) = (error(&|i, o| p.mean[(i, o)]), error(&|_, o| mean[o]));
            if own >= 0.9 * plain {
                return fail(format!("on a linear toy its error {own:.3} is no better than the mean's {plain:.3}"));
            }
        }
        if let Some(draws) = s.draws() {
            let d = draws.draw(&test, 4, &mut streams.rng("draw"))?;
            if d.dim() != (4, test.len(), outputs) || d.iter().any(|v| !v.is_finite()) {
                return fail("its draws have the wrong shape or are not finite");
            }
            if let Some(drawn) = draws.drawn(4, &mut streams.rng("draw"))? {
                let (mut all, mut part) = (vec![], vec![]);
                drawn.at(&test, &mut all)?;
                drawn.at(&test[1..2], &mut part)?;
                let width = test.len() * outputs;
                let same = |s: usize, o: usize| part.get(s * outputs + o) == all.get(s * width + outputs + o);
                let places = (0..4).flat_map(|s| (0..outputs).map(move |o| (s, o)));
                if all.len() != 4 * width || part.len() != 4 * outputs || !places.into_iter().all(|(s, o)| same(s, o)) {
                    return fail("its draws differ with what else is asked for");
                }
            }
        }
        let few = world.observe(&train[..1], 4)?;
        fit(&few)?.predict(&test)?.check(test.len(), outputs)?;
        let mut constant = observed.clone();
        constant.y.fill(1.5);
        fit(&constant)?.predict(&test)?.check(test.len(), outputs)?;
        let mut twice = world.observe(&train[..4], 4)?;
        twice
            .push(&crate::domain::Readouts::plain(&train[..4], observed.y.slice(ndarray::s![..4, ..]).to_owned()), 1)?;
        fit(&twice)?.predict(&test)?.check(test.len(), outputs)?;
    }
    Ok(())
}

/// What a model says before the fit must be what its surrogate gives.
fn agree(says: Abilities, p: &Posterior, s: &dyn Surrogate) -> Result<()> {
    let gives = Abilities::NONE
        .with_if(Ability::Sd, p.sd.is_some())
        .with_if(Ability::Draws, s.draws().is_some())
        .with_if(Ability::Covariance, s.covariance().is_some())
        .with_if(Ability::VarianceGradient, s.variance_gradient().is_some())
        .with_if(Ability::Embedding, s.representation().is_some())
        .with_if(Ability::Layers, s.layers().is_some());
    if says == gives {
        return Ok(());
    }
    fail(format!("what it says it provides ({says:?}) and what its surrogate gives ({gives:?}) differ"))
}

fn oracle(o: &dyn Oracle, dir: &Path) -> Result<()> {
    let data = DataRoot::new(dir);
    let streams = Streams::new(31);
    let screen = o.open(&Setup { data: &data, streams: &streams })?;
    let pool = screen.pool().clone();
    if pool.is_empty() {
        return fail("its pool is empty");
    }
    let noise = Streams::new(32).child("noise");
    let ids: Vec<usize> = (0..pool.len().min(12)).collect();
    let turned: Vec<usize> = ids.iter().rev().copied().collect();
    let first = Experiment::of_round(1);
    let (a, b) = (screen.measure(&ids, &first, &noise)?, screen.measure(&turned, &first, &noise)?);
    a.check()?;
    if a.y.ncols() != screen.n_outputs() {
        return fail(format!("it announces {} outputs and answers {}", screen.n_outputs(), a.y.ncols()));
    }
    for (i, id) in a.ids.iter().enumerate() {
        let same = b.ids.iter().zip(&b.replicate).position(|(j, r)| j == id && *r == a.replicate[i]);
        match same {
            Some(j) if a.y.row(i) == b.y.row(j) => {}
            _ => return fail(format!("the answer for `{}` depends on the order of the batch", pool.label(*id))),
        }
    }
    let again = o.open(&Setup { data: &data, streams: &streams })?.measure(&ids, &first, &noise)?;
    if again.y != a.y {
        return fail("opened twice with the same streams it gives different answers");
    }
    if let Some(t) = screen.truth(&ids)
        && (t.dim() != (ids.len(), screen.n_outputs()) || t.iter().any(|v| !v.is_finite()))
    {
        return fail("its truth has the wrong shape or is not finite");
    }
    Ok(())
}

/// A screen whose genes have known factors, for priors that read the simulator.
struct Factors(Arc<crate::domain::Pool>);

impl Screen for Factors {
    fn pool(&self) -> &Arc<crate::domain::Pool> {
        &self.0
    }
    fn n_outputs(&self) -> usize {
        1
    }
    fn measure(&self, ids: &[usize], _: &Experiment, _: &Streams) -> Result<crate::domain::Readouts> {
        Ok(crate::domain::Readouts::plain(ids, Array2::zeros((ids.len(), 1))))
    }
    fn single_effects(&self) -> Option<Array2<f64>> {
        Some(Array2::from_shape_fn((self.0.genes().len(), 1), |(i, _)| i as f64))
    }
    fn gene_factors(&self) -> Option<Array2<f64>> {
        Some(Array2::from_shape_fn((self.0.genes().len(), 3), |(i, j)| ((i * 7 + j * 5) % 11) as f64 - 5.0))
    }
}

fn prior(p: &dyn Prior, dir: &Path) -> Result<()> {
    let data = DataRoot::new(dir);
    // The example's files use these names for their genes.
    let genes = Arc::new(Genes::new((0..12).map(|i| format!("G{i:03}")))?);
    let screen = Factors(Arc::new(crate::domain::Pool::singles(genes.clone())));
    let streams = Streams::new(41);
    let setup = Setup { data: &data, streams: &streams };
    let cx = PriorContext { name: "example", genes: &genes, updates: None, screen: Some(&screen), setup: &setup };
    let (a, b) = (p.embed(&cx)?, p.embed(&cx)?);
    if a.x.nrows() != genes.len() || a.present.len() != genes.len() || a.n_present() == 0 || a.x.ncols() == 0 {
        return fail("it must give one row a gene of the pool and cover at least one");
    }
    let covered = |x: &crate::domain::Block| -> Vec<f64> {
        let rows = x.x.outer_iter().zip(&x.present).filter(|(_, p)| **p);
        rows.flat_map(|(r, _)| r.to_vec()).collect()
    };
    if covered(&a).iter().any(|v| !v.is_finite()) {
        return fail("a covered gene has a value that is not finite");
    }
    if covered(&a) != covered(&b) || a.present != b.present {
        return fail("embedded twice it gives different rows");
    }
    Ok(())
}

fn interaction(t: &dyn InteractionTest) -> Result<()> {
    const PAIRS: usize = 60;
    // The second gene does nothing, so that the pair is like its first gene: whatever the null, it holds. In the
    // planted pairs the first gene's effect is joined by another.
    let class = |n: usize, number: usize, shift: [f64; 3]| {
        let mut rng = Streams::new(51).index(number).rng("cells");
        Class::held(Array2::from_shape_fn((n, 3), |(_, j)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            (z + shift[j]) as f32
        }))
    };
    let (mut singles, mut pairs) = (vec![], vec![]);
    for p in 0..2 * PAIRS {
        let extra = if p < PAIRS { 0.0 } else { 1.5 };
        singles.push(class(40, 3 * p + 1, [1.0, 0.0, 0.0]));
        singles.push(class(40, 3 * p + 2, [0.0; 3]));
        let both = class(40, 3 * p + 3, [1.0 + extra, extra, 0.0]);
        pairs.push(PairClass { first: 2 * p, second: 2 * p + 1, both });
    }
    let genes = (0..singles.len()).map(|g| format!("g{g}")).collect();
    let samples = Samples { genes, control: class(400, 0, [0.0; 3]), singles, pairs, image: None };
    samples.check()?;
    let streams = Streams::new(52);
    let outcomes = t.test(&TestContext::new(&samples, &streams))?;
    if t.test(&TestContext::new(&samples, &streams))? != outcomes {
        return fail("the same samples gave two different outcomes");
    }
    if outcomes.len() != 2 * PAIRS {
        return fail(format!("it gives {} outcomes for {} pairs", outcomes.len(), 2 * PAIRS));
    }
    let names = |o: &TestOutcome| o.diagnostics.iter().map(|d| d.0.clone()).collect::<Vec<_>>();
    let odd = |o: &TestOutcome| !o.score.is_finite() || o.n != [400, 40, 40, 40] || names(o) != names(&outcomes[0]);
    if outcomes.iter().any(odd) {
        return fail("an outcome lacks a finite score or the sample sizes, or names other diagnostics than the first");
    }
    if outcomes.iter().any(|o| o.p_value.is_some_and(|p| !(p > 0.0 && p <= 1.0))) {
        return fail("a p value is not above 0 and at most 1");
    }
    let (null, planted) = outcomes.split_at(PAIRS);
    // At level 0.05 more than 9 of 60 rejections have probability below 0.002.
    let rejected = null.iter().filter(|o| o.p_value.is_some_and(|p| p <= 0.05)).count();
    if rejected > 9 {
        return fail(format!("under the null it rejects {rejected} of {PAIRS} times at level 0.05"));
    }
    let sum = |o: &[TestOutcome]| o.iter().map(|o| o.score).sum::<f64>();
    if sum(planted) <= sum(null) {
        return fail("planted interactions score no higher than none");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin;
    use serde::{Deserialize, Serialize};

    /// A kernel that only fails.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Unruly {}

    #[typetag::serde(name = "unruly")]
    impl Kernel for Unruly {
        fn gram(&self, cx: &KernelContext) -> Result<Gram> {
            if cx.inputs.pool().is_singles() {
                let both: ((), Result<Gram>) = rayon::join(|| panic!("on a worker"), || fail("never seen"));
                return both.1;
            }
            fail("no pairs")
        }
    }

    fn entry(name: &'static str, example: fn(&Path) -> Value) -> Entry {
        let (fields, check) = (plugin::fields::<Unruly>, plugin::check::<Unruly>);
        let source = "//! A kernel of the tests.";
        Entry { kind: Kind::Kernel, name, summary: "keeps no law", source, fields, check, example }
    }

    #[test]
    fn a_panic_hides_no_other_failure() {
        let unruly = entry("unruly", |_| json!({}));
        let unread = entry("unread", |_| panic!("without an example"));
        let unnamed = entry("unnamed", |_| json!({}));
        let wrong = failures(&[&unread, &unruly, &unnamed]);
        let lines: Vec<Vec<&str>> = wrong.iter().map(|w| w.lines().map(str::trim).collect()).collect();
        let (here, [unread, unruly, unnamed]) = (file!(), &lines[..]) else { panic!("{wrong:?}") };
        assert_eq!(unread[0], "kernel       unread");
        assert!(unread[1].starts_with(&format!("its example: it panicked at {here}:")), "{unread:?}");
        assert!(unread[1].ends_with(": without an example") && unread.len() == 2, "{unread:?}");
        assert_eq!(unruly[0], "kernel       unruly");
        assert!(unruly[1].starts_with(&format!("single genes: it panicked at {here}:")), "{unruly:?}");
        assert!(unruly[1].ends_with(": on a worker"), "{unruly:?}");
        assert!(unruly[2].starts_with("pairs: ") && unruly[2].ends_with("no pairs") && unruly.len() == 3, "{unruly:?}");
        // Known to typetag by another name than to the catalogue.
        assert!(unnamed[1].contains("its written form: ") && unnamed[1].contains("unknown variant"), "{unnamed:?}");
    }

    #[test]
    fn a_name_stands_once() {
        let twice = entry("unruly", |_| json!({}));
        let wrong = failures(&[&twice, &twice]);
        assert_eq!(wrong.len(), 2);
        assert!(wrong.iter().all(|w| w.ends_with("registered twice; names are unique over all kinds")), "{wrong:?}");
    }

    #[test]
    #[should_panic(expected = "no plugin is called `unregistered`")]
    fn one_that_is_not_there_is_named() {
        conformance_of("unregistered");
    }
}
