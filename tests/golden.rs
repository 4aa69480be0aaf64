//! Batches and kernels of the reference problems in `tests/golden`, through the plugins as scenarios name them.

mod common;

use common::root;
use framework::domain::{Block, Candidates, Compose, Genes, Inputs, Observed, Pool, Readouts, Target};
use framework::ndarray::{Array2, Axis, concatenate};
use framework::numerics::Gram;
use framework::plugin::{Acquisition, Kernel, KernelContext, Round, RunContext, find};
use framework::streams::Streams;
use plugins as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// The kernel as a stored matrix: rules then have no features to work with.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    of: Box<dyn Kernel>,
}

#[typetag::serde(name = "stored_for_golden")]
impl Kernel for Stored {
    fn gram(&self, cx: &KernelContext) -> framework::Result<Gram> {
        let gram = self.of.gram(cx)?;
        Ok(Gram::dense(gram.to_dense(&(0..gram.n()).collect::<Vec<_>>()))?)
    }
}

/// A problem: the pool, then the measured perturbations, as one pool of genes.
struct Problem {
    golden: Value,
    inputs: Arc<Inputs>,
    observed: Observed,
    candidates: Candidates,
}

fn rows(v: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(v.clone()).expect("rows of numbers");
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).expect("rows of one length")
}

impl Problem {
    fn read(name: &str) -> Self {
        let path = root().join(format!("tests/golden/select_{name}.json"));
        let text = std::fs::read_to_string(path).expect("a golden file");
        let golden: Value = serde_json::from_str(&text).expect("JSON");
        let (pool, train) = (rows(&golden["pool"]), rows(&golden["train"]));
        let x = concatenate(Axis(0), &[pool.view(), train.view()]).expect("rows of one length");
        let n = x.nrows();
        let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).expect("different names"));
        let block = Arc::new(Block::new("x", x, vec![true; n]).expect("finite features"));
        let inputs = Inputs::new(Arc::new(Pool::singles(genes)), vec![block], Compose::Sum).expect("one block");
        let measured: Vec<usize> = (pool.nrows()..n).collect();
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(&measured, Array2::zeros((measured.len(), 1))), 0).expect("readouts");
        Self { golden, inputs: Arc::new(inputs), observed, candidates: Candidates::new(n, measured) }
    }

    fn each(f: impl Fn(&Problem)) {
        ["a", "b", "c"].iter().for_each(|name| f(&Problem::read(name)));
    }
}

/// The plugin's settings by its scenario form; the name must be in the catalogue.
fn named(name: &str, mut settings: Value) -> Value {
    assert!(find(name).is_some(), "the plugin `{name}` is not in the catalogue");
    settings["use"] = json!(name);
    settings
}

/// The kernel of a case or of an entry of the section `kernels`.
fn kernel(case: &Value) -> Value {
    let base = case["base_kernel"].as_str().expect("a name");
    let base = match base {
        "linear" => named("linear", json!({})),
        "nngp" | "ntk" => {
            let o = &case["kernel_options"];
            let layers = &o[format!("n_{base}_layers")];
            named(base, json!({ "layers": layers, "weight_gain": o["weight_gain"], "bias": o["sigma_b"] }))
        }
        other => panic!("no plugin for the base kernel {other}"),
    };
    let mut steps = vec![base];
    for t in case["transforms"].as_array().expect("a list") {
        match (t[0].as_str(), &t[1]) {
            (Some("scale"), _) => steps.push(named("scale", json!({}))),
            // The null asks for the automatic factor, which `posterior` takes by itself.
            (Some("train"), arguments) => {
                assert!(arguments[1].is_null());
                steps.push(named("posterior", json!({ "sigma": arguments[0] })));
            }
            other => panic!("no plugin for the transform {other:?}"),
        }
    }
    named("chain", json!({ "steps": steps }))
}

/// The rule of a case.
fn rule(case: &Value) -> Value {
    let o = &case["options"];
    let known: &[&str] = match case["method"].as_str().expect("a name") {
        "maxdiag" => &[],
        "maxdet" => &["maxdet_sigma", "sel_with_train"],
        "bait" => &["bait_sigma", "overselection_factor", "sel_with_train"],
        "fw" | "fw-kernel" => &["sel_with_train", "allow_kernel_space_posterior"],
        _ => &["sel_with_train"],
    };
    for option in o.as_object().expect("a table").keys() {
        assert!(known.contains(&option.as_str()), "{}: option {option} has no counterpart", case["id"]);
    }
    let mode = if o["sel_with_train"] == true { "tp" } else { "p" };
    match case["method"].as_str().expect("a name") {
        "maxdiag" => named("max_diag", json!({})),
        "maxdet" => named("max_det", json!({ "mode": mode, "sigma": o["maxdet_sigma"] })),
        "maxdist" => named("max_dist", json!({ "mode": mode })),
        "lcmd" => named("lcmd", json!({ "mode": mode })),
        "fw" | "fw-kernel" => {
            assert_eq!(mode, "p");
            named("frank_wolfe", json!({}))
        }
        "bait" => {
            let factor = &o["overselection_factor"];
            let form = if *factor == json!(1.0) { "f" } else { "fb" };
            let settings = json!({ "mode": mode, "sigma": o["bait_sigma"], "form": form, "oversample": factor });
            named("bait", settings)
        }
        other => panic!("no plugin for the method {other}"),
    }
}

/// Where the batch of a case first differs, if it does.
fn difference(p: &Problem, case: &Value, stored: bool) -> Option<String> {
    let mut kernel = kernel(case);
    if stored {
        kernel = json!({ "use": "stored_for_golden", "of": kernel });
    }
    let (kernel, rule): (Box<dyn Kernel>, Box<dyn Acquisition>) = (
        serde_json::from_value(kernel).expect("a kernel's settings"),
        serde_json::from_value(rule(case)).expect("a rule's settings"),
    );
    let batch = case["batch"].as_u64().expect("a number") as usize;
    let round = Round { index: 1, of: 1, batch };
    let (target, streams) = (Target::default(), Streams::new(1).child("golden"));
    let cx = RunContext::new(round, &p.inputs, &p.candidates, &p.observed, streams)
        .with_target(target)
        .with_kernel(Some(&*kernel));
    let mut want: Vec<usize> = serde_json::from_value(case["selected"].clone()).expect("row numbers");
    if case["method"] == "maxdiag" {
        // The reference gives the largest last.
        want.reverse();
    }
    let got = match rule.select(&cx) {
        Ok(batch) => batch.ids,
        Err(e) => return Some(e.to_string()),
    };
    let filled = cx.into_recorded().iter().any(|(name, value)| name == "filled" && *value > 0.0);
    (got != want || filled).then(|| {
        let at = got.iter().zip(&want).take_while(|(a, b)| a == b).count();
        format!("differs from pick {} on: {got:?}, the reference has {want:?}; filled {filled}", at + 1)
    })
}

#[test]
fn every_batch_is_that_of_the_reference() {
    Problem::each(|p| {
        let mut wrong = vec![];
        let mut compared = 0;
        for case in p.golden["cases"].as_array().expect("a list") {
            let method = case["method"].as_str().expect("a name");
            // Where the rule has two forms, features and any kernel, both must give the batch; `fw-kernel` is
            // by definition the latter.
            let forms: &[bool] = match method {
                "fw" => &[false],
                "fw-kernel" => &[true],
                _ if case["base_kernel"] == "linear" => &[false, true],
                _ => &[false],
            };
            for &stored in forms {
                compared += 1;
                if let Some(text) = difference(p, case, stored) {
                    wrong.push(format!("{}, stored matrix {stored}: {text}", case["id"]));
                }
            }
        }
        let problem = &p.golden["problem"];
        println!("problem {problem}: {} of {compared} batches agree", compared - wrong.len());
        assert!(wrong.is_empty(), "problem {problem}:\n{}", wrong.join("\n"));
    });
}

#[test]
fn every_kernel_is_that_of_the_reference() {
    Problem::each(|p| {
        let pool: Vec<usize> = p.candidates.to_vec();
        let train = p.observed.distinct();
        for entry in p.golden["kernels"].as_array().expect("a list") {
            let kernel: Box<dyn Kernel> = serde_json::from_value(kernel(entry)).expect("a kernel's settings");
            let streams = Streams::new(1).child("golden");
            let cx = KernelContext {
                candidates: Some(&p.candidates),
                ..KernelContext::new(&p.inputs, &p.observed, &streams)
            };
            let gram = kernel.gram(&cx).expect("a kernel");
            let what = format!("{} {} {}", p.golden["problem"], entry["base_kernel"], entry["transforms"]);
            let diagonal: Vec<f64> = serde_json::from_value(entry["pool_diag"].clone()).expect("numbers");
            let scale = diagonal.iter().fold(0.0, |a: f64, b| a.max(*b));
            let near = |got: f64, want: f64, relative: f64| (got - want).abs() <= relative * scale;
            // Through an arccosine the reference loses half its digits where a row meets itself, and with them the
            // posterior that inverts such a matrix.
            let deep = entry["base_kernel"] != "linear";
            let usual = if deep && entry["transforms"] != json!([]) { 1e-7 } else { 1e-9 };
            let same = gram.diagonal(&pool).iter().zip(&diagonal).all(|(a, b)| near(*a, *b, usual));
            assert!(same && pool.len() == diagonal.len(), "{what}: the diagonal differs");
            for (name, to) in [("pool0_5_by_pool0_5", &pool), ("pool0_5_by_train0_5", &train)] {
                let want = rows(&entry[name]);
                let got = gram.block(&pool[..want.nrows()], &to[..want.ncols()]);
                for ((i, j), want) in want.indexed_iter() {
                    let got = got[(i, j)];
                    let relative = if deep && pool[i] == to[j] { 1e-7 } else { usual };
                    assert!(near(got, *want, relative), "{what}: {name} ({i}, {j}) is {got}, the reference has {want}");
                }
            }
        }
    });
}
