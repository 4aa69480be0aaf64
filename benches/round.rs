//! Where the time of a round goes: the framework's own share on a pool of 20,000 genes, and whole rounds of the
//! ifng scenario (needs SCREENWRIGHT_DATA). One thread. The last round is told by the difference of two runs.
//!
//! cargo bench --profile dev -p screenwright-benches --bench round

use framework::Result;
use framework::data::DataRoot;
use framework::error::Error;
use framework::runner::{Base, Start, execute};
use framework::scenario::Scenario;
use framework::store::{RunSeeds, Seconds};
use plugins as _;
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;

fn run(scenario: &Value, rounds: usize) -> Result<Seconds> {
    let mut scenario = scenario.clone();
    scenario["rounds"] = json!(rounds);
    let scenario: Scenario = serde_json::from_value(scenario).map_err(|e| Error::Config(e.to_string()))?;
    let seeds = RunSeeds::new(&scenario, 0);
    let base = Base::open(&scenario, &DataRoot::locate(None), seeds.world)?;
    let stop = AtomicBool::new(false);
    let start = Start { scenario: &scenario, seeds, base: &base, done: vec![], stop: &stop };
    match execute(start, &mut |_| Ok(()))? {
        Some((_, seconds)) => Ok(seconds),
        None => Err(Error::Data("stopped".into())),
    }
}

/// Median of five.
fn median(mut f: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut times = (0..5).map(|_| f()).collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(1e3 * times[2])
}

fn main() -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| Error::Numerical(e.to_string()))?;
    pool.install(|| {
        let overhead = json!({
            "name": "overhead", "seeds": { "count": 1 }, "batch": 128, "metrics": ["hit_ratio", "rmse", "pearson"],
            "pool": { "init": 128 }, "oracle": { "use": "latent_dag", "genes": 20000 },
            "model": { "use": "mean" }, "acquisition": { "use": "random" },
        });
        let own = median(|| Ok(run(&overhead, 20)?.other / 21.0))?;
        println!("framework  20,000 genes: {own:.2} ms a round beside model, selection and oracle");
        if std::env::var_os("SCREENWRIGHT_DATA").is_none() {
            println!("ifng       skipped: SCREENWRIGHT_DATA is not set");
            return Ok(());
        }
        let prior =
            |name: &str| json!({ "use": "embedding_table", "path": format!("descriptors/{name}_svd64.parquet") });
        for model in ["ridge", "gp"] {
            let ifng = json!({
                "name": "ifng", "seeds": { "count": 1 }, "batch": 128, "metrics": ["hit_ratio", "rmse"],
                "pool": { "init": 128, "covered_by": "all" },
                "oracle": { "use": "screen_table", "path": "genedisco_assays/schmidt2021_ifng.csv.gz" },
                "prior": { "string": prior("string_rwr"), "go": prior("go_bp2021"), "reactome": prior("reactome"),
                           "coessential": prior("coessential") },
                "model": { "use": model }, "acquisition": { "use": "max_dist" },
            });
            let mean = median(|| Ok(run(&ifng, 5)?.total() / 6.0))?;
            let last = median(|| Ok(run(&ifng, 5)?.total() - run(&ifng, 4)?.total()))?;
            println!("ifng       {model:5} max_dist: {mean:.0} ms a round, the last (768 measured) {last:.0} ms");
        }
        Ok(())
    })
}
