//! A kernel and the transforms that act on it, one after another.
//!
//! Each step gets the kernel that the steps before it made, as k_base → tfm_1 → tfm_2 in Holzmüller et al.
//! (2023, section 3). Cost: that of the steps; transforms that can stay with feature rows do.

use framework::prelude::*;
use serde::de::Error as _;

/// Kernel and transforms in the order of action. The first step is a kernel, the others are transforms without
/// a kernel of their own: `steps = [{ use = "linear" }, { use = "scale" }, { use = "posterior", sigma = 0.1 }]`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The steps, at least one; no default.
    #[serde(deserialize_with = "checked")]
    pub steps: Vec<Box<dyn Kernel>>,
}

fn checked<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<Box<dyn Kernel>>, D::Error> {
    let steps = Vec::deserialize(d)?;
    check(&steps).map_err(D::Error::custom)?;
    Ok(steps)
}

/// Refuses no steps, and steps that would throw away what stands before them.
fn check(steps: &[Box<dyn Kernel>]) -> Result<()> {
    if steps.is_empty() {
        return Err(Error::Config(
            "a chain without steps; give it a kernel, then transforms: \
             steps = [{ use = \"linear\" }, { use = \"scale\" }]"
                .into(),
        ));
    }
    match steps.iter().skip(1).position(|s| !s.needs().contains(Ability::InputKernel)) {
        None => Ok(()),
        Some(i) => Err(Error::Config(format!(
            "step {} of the chain (`{}`) does not act on the steps before it: only the first step is a kernel of its \
             own, and later steps are transforms without `of`",
            i + 2,
            steps[i + 1].typetag_name()
        ))),
    }
}

#[typetag::serde(name = "chain")]
impl Kernel for Chain {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        check(&self.steps)?;
        let mut made: Option<Gram> = None;
        for (i, step) in self.steps.iter().enumerate() {
            let (name, streams) = (step.typetag_name(), cx.streams.index(i));
            let input = made.as_ref().or(cx.input);
            if input.is_none() && step.needs().contains(Ability::InputKernel) {
                return Err(Error::Config(format!(
                    "step 1 of the chain (`{name}`) is a transform and nothing stands before it; begin the chain with a \
                     kernel, such as {{ use = \"linear\" }}"
                )));
            }
            let gram = step.gram(&KernelContext { input, streams: &streams, ..*cx });
            made = Some(gram.map_err(|e| e.at(format!("step {} of the chain (`{}`)", i + 1, name)))?);
        }
        made.ok_or_else(|| Error::Config("a chain without steps".into()))
    }

    fn keeps_psd(&self) -> bool {
        self.steps.iter().all(|s| s.keeps_psd())
    }

    fn needs(&self) -> Abilities {
        let all = self.steps.iter().map(|s| s.needs()).collect::<Abilities>();
        let of_first = self.steps.first().is_none_or(|s| s.needs().contains(Ability::InputKernel));
        all.without(Ability::InputKernel).with_if(Ability::InputKernel, of_first)
    }
}

framework::register!(
    Kernel,
    Chain,
    "chain",
    "a kernel and transforms of it, step by step",
    example = |_| serde_json::json!({"steps": [{"use": "linear"}, {"use": "scale"}]})
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn chain(steps: Value) -> Result<Box<dyn Kernel>, String> {
        serde_json::from_value(json!({"use": "chain", "steps": steps})).map_err(|e| e.to_string())
    }

    #[test]
    fn steps_act_in_order() {
        let world = TinyWorld::new(9, 3, 1, false, 2).unwrap();
        let observed = world.observe(&[1, 4], 1).unwrap();
        let ids: Vec<usize> = (0..9).collect();
        let x = world.inputs.features(&ids);
        let c = (x.row(1).dot(&x.row(1)) + x.row(4).dot(&x.row(4))) / 2.0;
        let k = chain(json!([{"use": "linear"}, {"use": "scale"}, {"use": "scale", "factor": 3.0}])).unwrap();
        let got = world.gram(&*k, &observed).unwrap();
        assert!((&got.to_dense(&ids) - &(x.dot(&x.t()) * (3.0 / c))).iter().all(|d| d.abs() < 1e-12));
        assert!(got.rows().is_some(), "features stay features");
        // Two projections of one chain draw different directions, and so do those one inside the other.
        for k in [
            chain(json!([{"use": "linear"}, {"use": "rp", "p": 3}, {"use": "rp", "p": 3}])).unwrap(),
            chain(json!([{"use": "rp", "p": 3, "of": {"use": "rp", "p": 3, "of": {"use": "linear"}}}])).unwrap(),
        ] {
            let twice = world.gram(&*k, &observed).unwrap().rows().unwrap().get(&[0, 1, 2]);
            let g = framework::numerics::matmul(inverse(&x.select(Axis(0), &[0, 1, 2])).view(), twice.view());
            assert!((&g - &g.t()).iter().any(|d| d.abs() > 1e-3), "G G would be a power of one matrix");
        }
    }

    /// Of a small matrix, through its normal equations.
    fn inverse(a: &Array2<f64>) -> Array2<f64> {
        Cholesky::new(a.t().dot(a).view()).unwrap().solve(a.t())
    }

    #[test]
    fn needs_are_those_of_all_steps_and_mistakes_name_theirs() {
        let k = chain(json!([{"use": "gradient"}, {"use": "posterior"}])).unwrap();
        let n = k.needs();
        assert_eq!(n, Abilities::of([Ability::Model, Ability::Layers, Ability::Measured]));
        assert!(
            chain(json!([{"use": "scale"}])).unwrap().needs().contains(Ability::InputKernel),
            "it can be a step of another chain"
        );
        let e = chain(json!([])).unwrap_err();
        assert!(e.contains("without steps"), "{e}");
        let e = chain(json!([{"use": "linear"}, {"use": "scale"}, {"use": "linear"}])).unwrap_err();
        assert!(e.contains("step 3 of the chain (`linear`) does not act on"), "{e}");
        let world = TinyWorld::new(5, 3, 1, false, 2).unwrap();
        let run = |k: Box<dyn Kernel>| world.gram(&*k, &Observed::empty(1)).unwrap_err().to_string();
        let e = run(chain(json!([{"use": "scale"}])).unwrap());
        assert!(e.contains("step 1 of the chain (`scale`)") && e.contains("begin the chain with a kernel"), "{e}");
        let e = run(chain(json!([{"use": "linear"}, {"use": "posterior"}])).unwrap());
        assert!(e.contains("step 2 of the chain (`posterior`)") && e.contains("nothing is measured"), "{e}");
        let e = run(chain(json!([{"use": "rbf"}, {"use": "rp"}])).unwrap());
        assert!(e.contains("step 2 of the chain (`rp`)"), "{e}");
    }

    /// `kernels` of the golden files: base kernels and transforms of the reference implementation.
    #[test]
    fn published_kernels() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
        let mut compared = 0;
        for file in ["select_a", "select_b", "select_c"] {
            let text = std::fs::read_to_string(folder.join(file).with_extension("json")).unwrap();
            let golden: Value = serde_json::from_str(&text).unwrap();
            let rows = |v: &Value| -> Vec<Vec<f64>> { serde_json::from_value(v.clone()).unwrap() };
            let (pool, train) = (rows(&golden["pool"]), rows(&golden["train"]));
            let (n, d) = (pool.len(), pool[0].len());
            let all: Vec<f64> = pool.iter().chain(&train).flatten().copied().collect();
            let x = Array2::from_shape_vec((n + train.len(), d), all).unwrap();
            let genes = Arc::new(Genes::new((0..x.nrows()).map(|i| format!("g{i}"))).unwrap());
            let block = Block::new("p", x.clone(), vec![true; x.nrows()]).unwrap();
            let pool = Arc::new(Pool::singles(genes));
            let inputs = Arc::new(Inputs::new(pool, vec![Arc::new(block)], Compose::Sum).unwrap());
            let measured: Vec<usize> = (n..x.nrows()).collect();
            let mut observed = Observed::empty(1);
            observed.push(&Readouts::plain(&measured, Array2::zeros((measured.len(), 1))), 0).unwrap();
            let streams = Streams::new(1);
            for case in golden["kernels"].as_array().unwrap() {
                let name = case["base_kernel"].as_str().unwrap();
                let options = &case["kernel_options"];
                let mut base = json!({"use": name});
                if name != "linear" {
                    base["layers"] = options[format!("n_{name}_layers")].clone();
                    base["weight_gain"] = options["weight_gain"].clone();
                    base["bias"] = options["sigma_b"].clone();
                }
                let mut steps = vec![base];
                for t in case["transforms"].as_array().unwrap() {
                    steps.push(match t[0].as_str().unwrap() {
                        "scale" => json!({"use": "scale"}),
                        "train" => json!({"use": "posterior", "sigma": t[1][0]}),
                        other => panic!("{other}"),
                    });
                }
                let k = chain(json!(steps)).unwrap();
                let gram = k.gram(&KernelContext::new(&inputs, &observed, &streams)).unwrap();
                let ids: Vec<usize> = (0..n).collect();
                let diagonal: Vec<f64> = serde_json::from_value(case["pool_diag"].clone()).unwrap();
                // The reference takes the tangent kernel of a row with itself through arccos, which loses half the
                // digits, also in the matrix of the training rows that a posterior solves with.
                let through_arccos = name == "ntk" && steps.len() > 1;
                let largest = diagonal.iter().copied().fold(0.0, f64::max);
                let mut check = |got: f64, want: f64, own: bool, at: String| {
                    let slack = match (through_arccos, own && name == "ntk") {
                        (true, _) => 1e-7 * largest,
                        (false, true) => 1e-7 * want.abs(),
                        (false, false) => 1e-9 * want.abs(),
                    };
                    assert!((got - want).abs() <= slack, "{file} {steps:?} {at}: {got} for {want}");
                    compared += 1;
                };
                for (i, (got, want)) in gram.diagonal(&ids).iter().zip(&diagonal).enumerate() {
                    check(*got, *want, false, format!("diagonal {i}"));
                }
                for (what, b) in [("pool0_5_by_pool0_5", 0), ("pool0_5_by_train0_5", n)] {
                    let to: Vec<usize> = (b..b + 5).collect();
                    let got = gram.block(&ids[..5], &to);
                    for (i, row) in rows(&case[what]).iter().enumerate() {
                        for (j, want) in row.iter().enumerate() {
                            check(got[(i, j)], *want, to[j] == i, format!("{what} {i} {j}"));
                        }
                    }
                }
            }
        }
        assert_eq!(compared, 7 * (60 + 120 + 200) + 21 * 50);
    }
}
