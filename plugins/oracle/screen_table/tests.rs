use super::*;
use framework::data::DataRoot;
use std::path::Path;

fn file(text: &str) -> PathBuf {
    static N: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let n = N.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("screen_table-{}-{n}.csv", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn open(text: &str, mut settings: serde_json::Value) -> Result<Box<dyn Screen>> {
    let path = file(text);
    settings["path"] = path.to_str().unwrap().into();
    let oracle: ScreenTable = serde_json::from_value(settings).unwrap();
    let s = oracle.open(&Setup { data: &DataRoot::default(), streams: &Streams::new(1) });
    std::fs::remove_file(path).unwrap();
    s
}

fn error(text: &str, settings: serde_json::Value) -> String {
    open(text, settings).err().expect("an error").to_string()
}

#[test]
fn singles_keep_the_order_of_the_file() {
    let s = open("gene,value\nB,1\nA,-2\nC,0.5\n", serde_json::json!({})).unwrap();
    assert!(s.pool().is_singles());
    assert_eq!((0..3).map(|i| s.pool().label(i)).collect::<Vec<_>>(), ["B", "A", "C"]);
    let y = s.measure(&[2, 0], &Experiment::of_round(1), &Streams::new(3)).unwrap();
    assert_eq!(y.y.as_slice().unwrap(), [0.5, 1.0]);
    assert_eq!(s.truth(&[1]).unwrap()[(0, 0)], -2.0);
}

#[test]
fn pairs_know_their_single_effects_and_same_gene_rows() {
    let text = "gene1,gene2,gamma,a,b\nA,B,1,0.1,0.2\nB,A,3,0.2,0.1\nA,A,5,0.1,0.1\nC,B,7,,0.4\n";
    let settings = |repeats: &str, same: &str| {
        serde_json::json!({ "genes": ["gene1", "gene2"], "values": ["gamma"], "single": ["a", "b"],
                            "repeats": repeats, "same_gene": same })
    };
    let e = error(text, settings("error", "keep"));
    assert!(e.contains(".csv: A+B is measured twice (line 2 and line 3); set repeats = \"mean\""), "{e}");
    let s = open(text, settings("mean", "keep")).unwrap();
    assert_eq!(s.pool().len(), 3);
    assert_eq!(s.truth(&[0, 1, 2]).unwrap().as_slice().unwrap(), [2.0, 5.0, 7.0]);
    let single = s.single_effects().unwrap();
    // B is 0.2, 0.2 and 0.4: averaged; A never changes; C is unknown.
    assert!((single[(1, 0)] - 0.8 / 3.0).abs() < 1e-15);
    assert_eq!(single[(0, 0)], 0.1);
    assert!(single[(2, 0)].is_nan());
    assert_eq!(s.notes().len(), 3, "{:?}", s.notes());
    // What a row that is left out lacks, nobody misses.
    let lacking = text.replace("A,A,5", "A,A,");
    assert!(error(&lacking, settings("mean", "keep")).contains("line 4"));
    assert_eq!(open(&lacking, settings("mean", "drop")).unwrap().truth(&[0, 1]).unwrap()[(1, 0)], 7.0);
    let s = open(text, settings("mean", "drop")).unwrap();
    assert_eq!(s.pool().len(), 2);
    assert_eq!(s.notes()[0], "1 rows name a gene twice and were left out");
}

#[test]
fn replicate_rows_are_measured_one_at_a_time() {
    let text = "gene,value\nA,1\nB,2\nA,3\nB,6\nC,5\nC,5\n";
    let s = open(text, serde_json::json!({ "repeats": "replicates" })).unwrap();
    assert_eq!(s.truth(&[0, 1, 2]).unwrap().as_slice().unwrap(), [2.0, 4.0, 5.0]);
    assert_eq!(s.replicates(&[1]).unwrap().as_slice().unwrap(), [2.0, 6.0]);
    assert_eq!(s.notes(), ["3 rows repeat a perturbation and are its replicates"]);
    let y = s.measure(&[0, 0, 0], &Experiment::of_round(1), &Streams::new(3)).unwrap().y;
    assert!(y[(0, 0)] == y[(2, 0)] && y[(0, 0)] + y[(1, 0)] == 4.0, "{y}");
    let first = |seed| s.measure(&[1], &Experiment::of_round(1), &Streams::new(seed)).unwrap().y[(0, 0)];
    let seen: Vec<f64> = (0..30).map(first).collect();
    assert!(seen.contains(&2.0) && seen.contains(&6.0));
    // With unequal numbers of rows there is no table of replicates.
    let s = open("gene,value\nA,1\nA,3\nB,6\n", serde_json::json!({ "repeats": "replicates" })).unwrap();
    assert!(s.replicates(&[0]).is_none());
    let e = error(text, serde_json::json!({ "repeats": "replicates", "noise": { "from": "fixed", "sd": 1.0 } }));
    assert!(e.contains("takes the noise from rows"), "{e}");
}

#[test]
fn readouts_become_one_number_row_by_row() {
    let text = "gene,a,b\nA,3,4\nA,0,2\nB,-6,8\nB,-3,10\n";
    let values = serde_json::json!(["a", "b"]);
    let settings = |v: serde_json::Value| {
        let mut s = serde_json::json!({ "values": values, "reduce": "norm", "repeats": "replicates" });
        s.as_object_mut().unwrap().extend(v.as_object().unwrap().clone());
        s
    };
    let s = open(text, settings(serde_json::json!({}))).unwrap();
    assert_eq!(s.n_outputs(), 1);
    assert!((s.truth(&[0]).unwrap()[(0, 0)] - 3.5).abs() < 1e-12, "(5 + 2) / 2");
    // Within perturbations both columns differ by 3 and 2: variances (4.5 + 4.5) / 2 and (2 + 2) / 2.
    let s = open(text, settings(serde_json::json!({ "scale": "noise" }))).unwrap();
    let norm = |a: f64, b: f64| (a * a / 4.5 + b * b / 2.0).sqrt();
    let want = [(norm(3.0, 4.0) + norm(0.0, 2.0)) / 2.0, (norm(6.0, 8.0) + norm(3.0, 10.0)) / 2.0];
    let got = s.truth(&[0, 1]).unwrap();
    assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12), "{got} {want:?}");
    let s = open("gene,value\nA,-3\nB,2\n", serde_json::json!({ "reduce": "abs" })).unwrap();
    assert_eq!(s.truth(&[0, 1]).unwrap().as_slice().unwrap(), [3.0, 2.0]);
    assert_eq!(s.measure(&[0], &Experiment::of_round(1), &Streams::new(1)).unwrap().y[(0, 0)], 3.0);
    let e = error(text, settings(serde_json::json!({ "reduce": "abs" })));
    assert!(e.contains("takes one column and `values` names 2"), "{e}");
    let e = error(text, settings(serde_json::json!({ "scale": "noise", "repeats": "error" })));
    assert!(e.contains("is for reduce = \"norm\" with several rows"), "{e}");
    let e = error("gene,a,b\nA,3,4\nA,3,2\n", settings(serde_json::json!({ "scale": "noise" })));
    assert!(e.contains("agree in column a"), "{e}");
    let e = error("gene,value,s\nA,3,4\n", serde_json::json!({ "reduce": "abs", "single": ["s"] }));
    assert!(e.contains("`reduce` works on `values` and `truth` only"), "{e}");
}

#[test]
fn marks_tell_the_genes_of_two_columns_apart() {
    let text = "t,q,value\nA,B,1\nB,A,2\nA,A,3\n";
    let settings = |mark: &[&str]| serde_json::json!({ "genes": ["t", "q"], "mark": mark, "same_gene": "drop" });
    let s = open(text, settings(&["", "@query"])).unwrap();
    let labels: Vec<String> = (0..s.pool().len()).map(|i| s.pool().label(i)).collect();
    assert_eq!(labels, ["A+B@query", "B+A@query", "A+A@query"]);
    let e = error(text, settings(&["@query"]));
    assert!(e.contains("`mark` has 1 endings and `genes` names 2 columns"), "{e}");
    // Settings that are not used leave no trace in a run's identity.
    let plain: ScreenTable = serde_json::from_value(serde_json::json!({ "path": "x" })).unwrap();
    let written = serde_json::to_value(&plain).unwrap();
    assert!(["reduce", "scale", "mark"].iter().all(|k| written.get(k).is_none()));
}

#[test]
fn noise_depends_on_the_perturbation_only() {
    let text = "gene,value,sd,r1,r2\nA,1,0.5,0,2\nB,2,0.1,1,3\nC,3,2,2,4\n";
    for noise in [
        serde_json::json!({ "from": "sd", "column": "sd" }),
        serde_json::json!({ "from": "fixed", "sd": 0.3 }),
        serde_json::json!({ "from": "replicates", "columns": ["r1", "r2"] }),
    ] {
        let s = open(text, serde_json::json!({ "noise": noise })).unwrap();
        let st = Streams::new(5);
        let all = s.measure(&[0, 1, 2], &Experiment::of_round(1), &st).unwrap().y;
        let turned = s.measure(&[2, 0], &Experiment::of_round(4), &st).unwrap().y;
        assert_eq!(turned[(0, 0)], all[(2, 0)]);
        assert_eq!(turned[(1, 0)], all[(0, 0)]);
        let many: Vec<usize> = vec![1; 40];
        let again = s.measure(&many, &Experiment::of_round(1), &st).unwrap();
        assert_eq!(again.replicate[39], 39);
        assert!(again.y.iter().any(|v| *v != again.y[(0, 0)]), "replicates differ");
        assert_eq!(s.truth(&[0]).unwrap()[(0, 0)], 1.0);
    }
}

#[test]
fn rows_with_control_are_single_effects_and_measurements_average_rows() {
    let text = "a,b,value,other\nNT,NT,9,0\nA,NT,1,0\nNT,A,3,0\nB,NT,5,0\nA,B,10,1\nB,A,12,2\nA,B,20,3\nA,C,7,4\n";
    let settings = |more: serde_json::Value| {
        let mut s =
            serde_json::json!({ "genes": ["a", "b"], "control": "NT", "repeats": "replicates", "truth": ["other"] });
        s.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        s
    };
    let s = open(text, settings(serde_json::json!({ "rows": 2 }))).unwrap();
    assert_eq!((s.pool().len(), s.pool().label(0), s.pool().label(1)), (2, "A+B".into(), "A+C".into()));
    let single = s.single_effects().unwrap();
    assert_eq!((single[(0, 0)], single[(1, 0)]), (2.0, 5.0));
    assert!(single[(2, 0)].is_nan());
    let notes = s.notes().join("; ");
    assert!(
        notes.contains("1 rows of control only") && notes.contains("1 of 3 genes have no single effect"),
        "{notes}"
    );
    assert_eq!(s.truth(&[0, 1]).unwrap().column(0).to_vec(), [2.0, 4.0]);
    // Two of three rows at a time, without replacement; a pair with one row gives that row.
    let y = s.measure(&[0, 0, 0, 1], &Experiment::of_round(1), &Streams::new(5)).unwrap().y.column(0).to_vec();
    let means = [11.0, 15.0, 16.0];
    assert!(y[..3].iter().all(|v| means.contains(v)) && y[3] == 7.0, "{y:?}");
    // Three times two of three rows take each row twice.
    assert_eq!(y[..3].iter().sum::<f64>(), 42.0);
    let e = |more| open(text, settings(more)).map(|_| ()).unwrap_err().to_string();
    assert!(e(serde_json::json!({ "rows": 0 })).contains("`rows` is 0"));
    assert!(e(serde_json::json!({ "repeats": "mean", "rows": 2 })).contains("is for repeats"));
    assert!(e(serde_json::json!({ "single": ["other", "other"] })).contains("leave out one"));
    let none = "a,b,value,other\nNT,NT,9,0\n";
    assert!(open(none, settings(serde_json::json!({}))).map(|_| ()).unwrap_err().to_string().contains("of control"));
}

#[test]
fn the_spread_of_gaussian_noise_is_the_one_asked_for() {
    let s = open("gene,value\nA,1\n", serde_json::json!({ "noise": { "from": "fixed", "sd": 0.3 } })).unwrap();
    let y = s.measure(&[0; 20_000], &Experiment::of_round(1), &Streams::new(5)).unwrap().y;
    let y = y.as_slice().unwrap();
    assert!((framework::numerics::stats::mean(y) - 1.0).abs() < 4.0 * 0.3 / 20_000f64.sqrt());
    assert!((framework::numerics::stats::sd(y) - 0.3).abs() < 0.01);
}

#[test]
fn mistakes_name_the_place_and_the_remedy() {
    let e = error("gene,value\n", serde_json::json!({}));
    assert!(e.ends_with("the table has no rows; a screen needs at least one perturbation"), "{e}");
    let e = error("gene,value\nA,1\nB,x\n", serde_json::json!({}));
    assert!(e.contains("line 3"), "{e}");
    let e = error("gene,value,sd\nA,1,-1\n", serde_json::json!({ "noise": { "from": "sd", "column": "sd" } }));
    assert!(e.contains("line 2, column sd: the standard deviation is -1"), "{e}");
    let bad = serde_json::json!({ "path": "x", "noise": { "from": "none", "sd": 1.0 } });
    assert!(serde_json::from_value::<ScreenTable>(bad).is_err(), "noise refuses unknown settings");
}

#[test]
fn reads_become_a_screen_with_replicates_and_single_effects() {
    let text =
        "g,gene1,gene2,T1,T2,C\n1,B,A,8,2,1\n2,A,B,2,2,1\n3,A,NT,4,4,1\n4,NT,B,1,1,1\n5,NT,NT,1,1,1\n6,A,C,2,8,1\n";
    let counts = |more: serde_json::Value| {
        let mut c =
            serde_json::json!({ "treatment": ["T1", "T2"], "control": "C", "normalise": "none", "pseudocount": 1e-12 });
        c.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::json!({ "genes": ["gene1", "gene2"], "counts": c })
    };
    let s = open(text, counts(serde_json::json!({}))).unwrap();
    let labels: Vec<String> = (0..s.pool().len()).map(|i| s.pool().label(i)).collect();
    assert_eq!(labels, ["A+B", "A+C"]);
    let close =
        |got: Vec<f64>, want: &[f64]| assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-9), "{got:?}");
    close(s.truth(&[0, 1]).unwrap().iter().copied().collect(), &[1.5, 2.0]);
    close(s.replicates(&[0, 1]).unwrap().iter().copied().collect(), &[2.0, 1.0, 1.0, 3.0]);
    let single = s.single_effects().unwrap();
    close(vec![single[(0, 0)], single[(1, 0)]], &[2.0, 0.0]);
    assert!(single[(2, 0)].is_nan());
    let notes = s.notes().join("; ");
    assert!(notes.contains("1 guide of control (NT)") && notes.contains("1 rows of control only"), "{notes}");
    // Its columns can be named: one replicate at a time, or its own error.
    for noise in [
        serde_json::json!({ "from": "replicates", "columns": ["T1", "T2"] }),
        serde_json::json!({ "from": "sd", "column": "sd" }),
    ] {
        let mut settings = counts(serde_json::json!({}));
        settings["noise"] = noise;
        assert_eq!(open(text, settings).unwrap().pool().len(), 2);
    }
    let mut marked = counts(serde_json::json!({}));
    marked["mark"] = serde_json::json!(["", "@q"]);
    assert!(error(text, marked).contains("`mark` tells columns of genes apart"));
    // Settings that are not used leave no trace in a run's identity.
    let plain: ScreenTable = serde_json::from_value(serde_json::json!({ "path": "x" })).unwrap();
    let written = serde_json::to_value(&plain).unwrap();
    assert!(["only", "guides", "counts", "mageck"].iter().all(|k| written.get(k).is_none()));
    assert_eq!(written.as_object().unwrap().len(), 9, "{written}");
}

#[test]
fn a_table_of_several_screens_and_one_of_mageck_is_replayed() {
    let text = "screen,id,neg|lfc,pos|lfc\nx,A,-1,-1\ny,A,2,2\nx,B,3,3\n";
    let mut settings = serde_json::json!({ "mageck": "lfc", "only": { "screen": "x" } });
    let s = open(text, settings.clone()).unwrap();
    assert_eq!(s.truth(&[0, 1]).unwrap().as_slice().unwrap(), [-1.0, 3.0]);
    settings["values"] = serde_json::json!(["neg|lfc"]);
    assert!(error(text, settings).contains("`mageck` and `values` both say what is read"));
}

#[test]
fn twenty_thousand_rows_open() {
    let text: String = (0..20_000).map(|i| format!("GENE{i},{}\n", i as f64 * 0.5)).collect();
    let path = file(&format!("gene,value\n{text}"));
    let table = framework::table::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let oracle: ScreenTable = serde_json::from_value(serde_json::json!({ "path": "t.csv" })).unwrap();
    assert_eq!(oracle.read(&table, Path::new("t.csv")).unwrap().pool.len(), 20_000);
}

#[test]
fn public_pair_screen_has_the_published_counts() {
    let Some(root) = std::env::var_os("SCREENWRIGHT_DATA") else {
        println!("skipped: SCREENWRIGHT_DATA is not set");
        return;
    };
    let settings = serde_json::json!({
        "path": "norman2019_pairs/gene_pairs.csv.gz", "genes": ["gene1", "gene2"], "values": ["gamma"],
        "single": ["gamma1", "gamma2"], "same_gene": "drop", "noise": { "from": "replicates", "columns": ["gamma_rep1", "gamma_rep2"] },
    });
    let oracle: ScreenTable = serde_json::from_value(settings).unwrap();
    let data = DataRoot::new(root);
    let s = oracle.open(&Setup { data: &data, streams: &Streams::new(1) }).unwrap();
    assert_eq!((s.pool().len(), s.pool().genes().len()), (6216, 112));
    let all: Vec<usize> = (0..6216).collect();
    let mean = s.truth(&all).unwrap().mean().unwrap();
    assert!((mean + 0.332).abs() < 1e-3, "{mean}");
    assert!(s.single_effects().unwrap().iter().all(|v| v.is_finite()), "{:?}", s.notes());
    // Targets by queries, though 14 genes stand on both sides; two replicates of 11 features.
    let path = "morphology_pairs_hct116/pair_interactions.parquet";
    let table = data.table(Path::new(path)).unwrap();
    let values: Vec<&str> = table.numeric_columns().into_iter().filter(|c| *c != "replicate").collect();
    assert_eq!(values.len(), 11);
    let settings = serde_json::json!({
        "path": path, "genes": ["target_gene", "query_gene"], "mark": ["", "@query"], "values": values,
        "reduce": "norm", "scale": "noise", "repeats": "replicates",
    });
    let oracle: ScreenTable = serde_json::from_value(settings).unwrap();
    let s = oracle.open(&Setup { data: &data, streams: &Streams::new(1) }).unwrap();
    assert_eq!((s.pool().len(), s.pool().genes().len()), (282 * 20, 302));
    let r = s.replicates(&(0..5640).collect::<Vec<_>>()).unwrap();
    let agreement = framework::numerics::stats::pearson(&r.column(0).to_vec(), &r.column(1).to_vec());
    assert!((agreement - 0.57).abs() < 0.02, "{agreement}");
}
