//! Plugins in the whole loop: what a plugin's own tests cannot see, since plugins know no scenario and no runner.

use framework::data::DataRoot;
use framework::runner::{Base, Start, execute};
use framework::scenario::{Document, Scenario, ScenarioForm, Sweep};
use framework::store::RunSeeds;
use plugins as _;

#[test]
fn mistakes_inside_the_rule_are_shown_at_their_place() {
    let read = |of: &str| {
        let text = format!("[acquisition]\nuse = \"epsilon_mix\"\nof = {of}\n");
        let doc = Document::parse(std::path::Path::new("s.toml"), text).unwrap();
        Sweep::expand(doc, &ScenarioForm::default()).err().unwrap().to_string()
    };
    let e = read("{ use = \"ucb\", betta = 2 }");
    assert!(e.contains("s.toml:3") && e.contains("unknown key `betta`") && e.contains("`beta`"), "{e}");
    let e = read("{ use = \"uucb\" }");
    assert!(e.contains("`uucb`; did you mean `ucb`?"), "{e}");
    let e = read("{ use = \"rbf\" }");
    assert!(e.contains("s.toml:3") && e.contains("rbf"), "{e}");
}

#[test]
fn a_search_among_genes_drawn_for_the_seed_is_judged_by_what_is_known() {
    let dir = framework::testing::TempDir::new().unwrap();
    let table = dir.path().join("known.csv");
    let rows: String = (0..20).flat_map(|i| (0..i).map(move |j| format!("g{i},g{j},{}\n", (i + j) % 2))).collect();
    std::fs::write(&table, format!("a,b,even\n{rows}")).unwrap();
    let run = |known: Option<serde_json::Value>, seed: u64| {
        let mut form = serde_json::json!({
            "name": "t", "seeds": { "count": 1 }, "rounds": 5, "batch": 4, "target": { "direction": "max" },
            "metrics": ["hit_ratio", "regret", "known_found", "known_auprc", "known_auroc"],
            "pool": { "genes": 12, "test": 0.0, "init": 4 }, "acquisition": { "use": "ids", "samples": 50 },
            "oracle": { "use": "reward_matrix", "genes": 20, "interactions": 0.2, "world_seed": 3 },
            "model": { "use": "low_rank_matrix", "rank": 2 },
        });
        known.into_iter().for_each(|k| form["known"] = k);
        let scenario: Scenario = serde_json::from_value(form).unwrap();
        let seeds = RunSeeds { world: seed, init: seed, training: seed };
        let base = Base::open(&scenario, &DataRoot::default(), seeds.world).unwrap();
        let names: Vec<String> = base.pool().genes().names().map(String::from).collect();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let start = Start { scenario: &scenario, seeds, base: &base, done: vec![], stop: &stop };
        let (rounds, _) = execute(start, &mut |_| Ok(())).unwrap().unwrap();
        (names, base.notes.clone(), rounds, base.known(&(0..base.pool().len()).collect::<Vec<_>>()).unwrap())
    };
    let (names, notes, rounds, planted) = run(None, 1);
    assert_eq!((names.len(), planted.len()), (12, 66));
    assert!(
        notes.iter().any(|n| n.contains("12 of 20 genes and 66 of 190 perturbations kept (genes drawn")),
        "{notes:?}"
    );
    assert_ne!(names, run(None, 2).0);
    assert!(rounds.iter().all(|r| r.metrics.len() == 5), "{:?}", rounds[0].metrics);
    assert!(rounds.windows(2).all(|w| w[1].metrics["regret"] >= w[0].metrics["regret"] - 1e-9));
    assert_eq!(rounds[0].metrics["regret"], 0.0, "the initial set is nobody's choice");
    let measured: Vec<usize> = rounds.iter().flat_map(|r| r.ids.clone()).collect();
    let share = |known: &[bool]| {
        measured.iter().filter(|i| known[**i]).count() as f64 / known.iter().filter(|k| **k).count() as f64
    };
    assert!((rounds[5].metrics["known_found"] - share(&planted)).abs() < 1e-12);
    assert!(rounds[0].recorded.contains_key("low_rank_matrix.elbo") && rounds[1].recorded.contains_key("ids_j_over_k"));
    // A table of one's own: all pairs, or those of its source.
    let table = table.to_str().unwrap().to_string();
    let all = run(Some(serde_json::json!({ "path": table, "genes": ["a", "b"] })), 1).3;
    assert!(all.iter().all(|k| *k));
    let (names, notes, _, odd) =
        run(Some(serde_json::json!({ "path": table, "genes": ["a", "b"], "sources": ["even"] })), 1);
    let number = |n: &str| n[1..].parse::<usize>().unwrap();
    let want = names.iter().enumerate().flat_map(|(i, a)| names[i + 1..].iter().map(move |b| (a, b)));
    let want: Vec<bool> = want.map(|(a, b)| (number(a) + number(b)) % 2 == 1).collect();
    assert_eq!(odd, want);
    assert!(notes.iter().any(|n| n.ends_with("of 66 perturbations are known to interact")), "{notes:?}");
}
