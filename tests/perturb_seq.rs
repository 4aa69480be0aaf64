//! Perturb-seq files in every form, against values computed by `fixtures/make_h5ad.py`, and every named bad input.

mod common;

use common::*;
use framework::cells;
use framework::data::DataRoot;
use framework::ndarray::Array2;
use framework::plugin::{Experiment, Oracle, Screen, Setup};
use framework::streams::Streams;
use framework::testing::TempDir;
use plugins as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    root().join("tests/fixtures/perturb_seq")
}

/// A packed fixture, unpacked into a folder.
fn unpack(dir: &Path, name: &str) -> PathBuf {
    use std::io::Read;
    let mut bytes = Vec::new();
    cells::unpacked(&fixtures().join(format!("{name}.gz"))).expect("a fixture").read_to_end(&mut bytes).expect("gzip");
    let to = dir.join(name);
    std::fs::write(&to, bytes).expect("a file");
    to
}

fn expected() -> Value {
    let text = std::fs::read_to_string(fixtures().join("expected.json")).expect("expected.json");
    serde_json::from_str(&text).expect("json")
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// Opens with the settings of the fixtures, `more` on top.
fn open(path: &Path, more: Value) -> framework::Result<Box<dyn Screen>> {
    let mut settings = json!({
        "use": "perturb_seq", "path": path, "label": "perturbation", "control": "control", "separator": "+",
        "lane": "lane", "min_cells": 1,
    });
    for (k, v) in more.as_object().expect("settings") {
        match v.is_null() {
            true => settings.as_object_mut().expect("settings").remove(k),
            false => settings.as_object_mut().expect("settings").insert(k.clone(), v.clone()),
        };
    }
    let oracle: Box<dyn Oracle> = serde_json::from_value(settings).expect("settings are known");
    oracle.open(&Setup { data: &DataRoot::new(fixtures()), streams: &Streams::new(1) })
}

#[track_caller]
fn error(path: &Path, more: Value, texts: &[&str]) {
    let e = open(path, more).err().expect("an error").to_string();
    for t in texts.iter().chain(&[path.file_name().and_then(|n| n.to_str()).unwrap_or("")]) {
        assert!(e.contains(t), "no `{t}` in: {e}");
    }
    assert!(!e.contains('\n'), "one message: {e}");
}

#[track_caller]
fn near(got: f64, want: f64, within: f64, what: &str) {
    assert!((got - want).abs() <= within * want.abs().max(1.0), "{what}: {got} for {want}");
}

/// Everything a screen says agrees with one part of the expected values.
#[track_caller]
fn agrees(s: &dyn Screen, part: &str, lanes: Option<&[u32]>) {
    let want = &expected()[part];
    let control = s.control().expect("profiles have a control");
    assert_eq!(json!(control.outputs), expected()["genes"]);
    for (got, want) in control.mean.iter().zip(numbers(&want["control"])) {
        near(*got, want, 1e-6, "control");
    }
    assert_eq!(control.cells.as_ref().expect("cells").x.nrows() as u64, want["n_control"].as_u64().expect("a number"));
    let perturbations = want["perturbations"].as_object().expect("a map");
    if lanes.is_none() {
        assert_eq!(s.pool().len(), perturbations.len());
    }
    for (label, want) in perturbations {
        let id = s.pool().parse(label).expect("in the pool");
        let experiment = Experiment { round: 1, lanes: lanes.map(|l| l.into()) };
        let r = s.measure(&[id], &experiment, &Streams::new(2)).expect("a readout");
        let (mean, sd) = (numbers(&want["mean"]), numbers(&want["sd"]));
        let cells = r.cells.as_ref().expect("cells")[0].clone();
        assert_eq!(cells.x.nrows() as u64, want["n"].as_u64().expect("a number"), "{label}");
        let of_cells = cells.in_f64().mean_axis(framework::ndarray::Axis(0)).expect("cells");
        let score = s.clarity(&[id]).expect("clarity");
        for o in 0..mean.len() {
            near(r.y[(0, o)], mean[o], 1e-6, &format!("{label} mean {o}"));
            near(of_cells[o], mean[o], 1e-6, &format!("{label} cells {o}"));
            near(r.sd.as_ref().expect("errors")[(0, o)], sd[o], 1e-6, &format!("{label} sd {o}"));
            if lanes.is_none() {
                near(s.truth(&[id]).expect("truth")[(0, o)], mean[o], 1e-6, &format!("{label} truth {o}"));
                match want.get("clarity").map(|c| &c[o]) {
                    Some(Value::Null) => assert_eq!(score[(0, o)], f64::NEG_INFINITY, "{label} {o}"),
                    Some(c) => {
                        near(score[(0, o)], c.as_f64().expect("a number"), 1e-5, &format!("{label} clarity {o}"))
                    }
                    None => assert!(!score[(0, o)].is_nan()),
                }
            }
        }
    }
}

fn tenx() -> Value {
    json!({ "obs": "tenx_obs.csv", "counts": true })
}

#[test]
fn a_10x_folder_gives_the_expected_profiles() {
    let s = open(&fixtures().join("tenx"), tenx()).expect("opens");
    agrees(&*s, "lane", None);
    assert_eq!(s.n_lanes(), 2);
    let labels: Vec<String> = (0..s.pool().len()).map(|i| s.pool().label(i)).collect();
    assert_eq!(labels, ["G0", "G0+G1", "G1", "G2", "G5", "X9"]);
    assert!(s.notes().iter().any(|n| n == "2 of 45 cells have no label and were left out"), "{:?}", s.notes());
    let mut all = tenx();
    all["centre"] = json!("all");
    agrees(&*open(&fixtures().join("tenx"), all).expect("opens"), "all", None);
    agrees(&*s, "only_l1", Some(&[0]));
}

#[test]
fn lanes_restrict_cells() {
    let s = open(&fixtures().join("tenx"), tenx()).expect("opens");
    let g5 = s.pool().parse("G5").expect("in the pool");
    let second = Experiment { round: 1, lanes: Some([1u32].as_slice().into()) };
    let e = s.measure(&[g5], &second, &Streams::new(1)).expect_err("no cells").to_string();
    assert!(
        e.contains("perturbation G5 has no cell in the 1 lanes of this round (L2); set no_cells = \"all_lanes\""),
        "{e}"
    );
    let mut settings = tenx();
    settings["no_cells"] = json!("all_lanes");
    let s = open(&fixtures().join("tenx"), settings).expect("opens");
    let y = s.measure(&[g5], &second, &Streams::new(1)).expect("falls back").y;
    assert_eq!(y.row(0), s.truth(&[g5]).expect("truth").row(0));
    let unknown = Experiment { round: 1, lanes: Some([2u32].as_slice().into()) };
    let e = s.measure(&[g5], &unknown, &Streams::new(1)).expect_err("no lane").to_string();
    assert!(e.contains("lane 2 is asked for and the screen has 2 lanes"), "{e}");
    let mut settings = tenx();
    settings["lane"] = Value::Null;
    let s = open(&fixtures().join("tenx"), settings).expect("opens");
    assert_eq!(s.n_lanes(), 0);
    agrees_with_all(&*s);
}

/// Without lanes the control of all cells is subtracted.
fn agrees_with_all(s: &dyn Screen) {
    let id = s.pool().parse("G1").expect("in the pool");
    let want = numbers(&expected()["all"]["perturbations"]["G1"]["mean"]);
    s.truth(&[id]).expect("truth").iter().zip(want).for_each(|(g, w)| near(*g, w, 1e-6, "G1"));
}

#[test]
fn small_perturbations_and_genes_are_left_out_with_a_note() {
    let with = |more: Value| {
        let mut settings = tenx();
        settings.as_object_mut().expect("settings").extend(more.as_object().expect("settings").clone());
        open(&fixtures().join("tenx"), settings)
    };
    let s = with(json!({ "min_cells": 6 })).expect("opens");
    let note = "3 of 6 perturbations have fewer than 6 cells and were left out: G0, G5, X9";
    assert!(s.notes().iter().any(|n| n == note), "{:?}", s.notes());
    assert_eq!(s.pool().len(), 3);
    // Ten is also what stands where nothing is set.
    for ten in [json!(10), json!(null)] {
        let e = with(json!({ "min_cells": ten })).err().expect("nothing left").to_string();
        assert!(e.contains("no perturbation is left of 6; lower min_cells = 10"), "{e}");
    }

    let variance = numbers(&expected()["variance"]);
    let mut order: Vec<usize> = (0..8).collect();
    order.sort_by(|a, b| variance[*b].total_cmp(&variance[*a]));
    let mut top = order[..3].to_vec();
    top.sort_unstable();
    let names = |s: &dyn Screen| s.control().expect("control").outputs.clone().expect("names");
    let s = with(json!({ "genes": 3 })).expect("opens");
    assert_eq!(names(&*s), top.iter().map(|g| format!("G{g}")).collect::<Vec<_>>());
    let want = numbers(&expected()["lane"]["perturbations"]["G1"]["mean"]);
    let id = s.pool().parse("G1").expect("in the pool");
    for (k, g) in top.iter().enumerate() {
        near(s.truth(&[id]).expect("truth")[(0, k)], want[*g], 1e-6, "kept genes keep their values");
    }
    let s = with(json!({ "genes": 1, "keep_targets": true })).expect("opens");
    for g in ["G0", "G1", "G2", "G5"] {
        assert!(names(&*s).iter().any(|n| n == g), "{g}");
    }
    let dir = TempDir::new().expect("a folder");
    let list = write(dir.path(), "list.csv", "gene\nG6\nG1\nNOPE\n");
    let s = with(json!({ "gene_list": list })).expect("opens");
    assert_eq!(names(&*s), ["G1", "G6"]);
    assert!(s.notes().iter().any(|n| n.starts_with("1 of 3 genes of")), "{:?}", s.notes());
    let e = with(json!({ "genes": 9 })).err().expect("too many").to_string();
    assert!(e.contains("genes = 9, and 8 are measured"), "{e}");
}

#[test]
fn pairs_know_their_singles() {
    let s = open(&fixtures().join("tenx"), tenx()).expect("opens");
    let single = s.single_effects().expect("a pool with pairs");
    let gene = |n: &str| s.pool().genes().find(n).expect("a gene").index();
    let id = s.pool().parse("G1").expect("in the pool");
    assert_eq!(single.row(gene("G1")), s.truth(&[id]).expect("truth").row(0));
    // No separator: the pair's label is the name of one gene, and the cells of "G2+control" another perturbation.
    let mut settings = tenx();
    settings["separator"] = Value::Null;
    let s = open(&fixtures().join("tenx"), settings).expect("opens");
    assert!(s.pool().is_singles() && s.single_effects().is_none());
    assert_eq!(s.pool().len(), 7);
}

#[test]
fn a_bootstrap_draws_cells_and_depends_on_the_perturbation_only() {
    let mut settings = tenx();
    settings["noise"] = json!({ "from": "bootstrap" });
    let s = open(&fixtures().join("tenx"), settings).expect("opens");
    let first = Experiment::of_round(1);
    let all = s.measure(&[0, 1, 2], &first, &Streams::new(3)).expect("readouts");
    let turned = s.measure(&[2, 0], &Experiment::of_round(5), &Streams::new(3)).expect("readouts");
    assert_eq!(all.y.row(2), turned.y.row(0));
    let many = s.measure(&[2; 4000], &first, &Streams::new(3)).expect("readouts");
    let n = 4000.0;
    let (truth, mean): (Array2<f64>, _) =
        (s.truth(&[2]).expect("truth"), many.y.mean_axis(framework::ndarray::Axis(0)));
    for (o, m) in mean.expect("rows").iter().enumerate() {
        let sd = many.y.column(o).std(1.0);
        near(*m, truth[(0, o)], 4.0 * sd / f64::sqrt(n) + 1e-9, "bootstrap mean");
        // The spread of a mean of seven cells drawn with replacement.
        let plain = open(&fixtures().join("tenx"), tenx()).expect("opens");
        let cells = plain.measure(&[2], &first, &Streams::new(3)).expect("readouts").cells.expect("cells")[0].in_f64();
        let want = cells.column(o).std(0.0) / (cells.nrows() as f64).sqrt();
        assert!((sd - want).abs() < 0.06 * want + 1e-9, "{o}: {sd} {want}");
    }
}

#[test]
fn a_pseudobulk_table_is_read_as_rows() {
    let path = fixtures().join("pseudobulk.csv");
    let s = open(&path, json!({})).expect("opens");
    assert_eq!(s.pool().len(), 6);
    // One row a lane: the mean of the differences of both lanes.
    let table = framework::table::read(&path).expect("a table");
    let (label, lane) = (table.text("perturbation").expect("text"), table.text("lane").expect("text"));
    let g3 = table.numbers("G3").expect("numbers");
    let at = |l: &str, k: &str| g3[(0..label.len()).position(|i| label[i] == l && lane[i] == k).map_or(0, |i| i)];
    let want = 0.5 * (at("G1", "L1") - at("control", "L1") + at("G1", "L2") - at("control", "L2"));
    let id = s.pool().parse("G1").expect("in the pool");
    near(s.truth(&[id]).expect("truth")[(0, 3)], want, 1e-6, "G1");
    let r = s.measure(&[id], &Experiment::of_round(1), &Streams::new(1)).expect("a readout");
    assert!(r.cells.is_none() && r.sd.is_some(), "rows are no cells");

    let dir = TempDir::new().expect("a folder");
    let text = "perturbation,n_cells,d1,d2\nA_B,9,1.5,-2\nA,8,1,0\ncontrol,7,0,0\nB,9,-0.5,3\n";
    let path = write(dir.path(), "differences.csv", text);
    let settings = json!({ "differences": true, "lane": null, "separator": "_", "not_genes": ["n_cells"] });
    let s = open(&path, settings.clone()).expect("opens");
    assert_eq!((0..3).map(|i| s.pool().label(i)).collect::<Vec<_>>(), ["A", "A+B", "B"]);
    assert_eq!(s.truth(&[1]).expect("truth").as_slice().expect("a row"), [1.5, -2.0]);
    assert_eq!(s.clarity(&[1]).expect("clarity").as_slice().expect("a row"), [1.5, 2.0]);
    let r = s.measure(&[0, 2], &Experiment::of_round(1), &Streams::new(1)).expect("readouts");
    assert!(r.sd.is_none() && r.cells.is_none());
    // Without a control row, differences need none; other values do.
    let path = write(dir.path(), "bare.csv", "perturbation,d1\nA,1\nB,2\nB,4\n");
    let s = open(&path, json!({ "differences": true, "lane": null })).expect("opens");
    assert_eq!(s.truth(&[1]).expect("truth")[(0, 0)], 3.0);
    error(
        &path,
        json!({ "lane": null, "control": "cntrol" }),
        &["no cell is labelled `cntrol` in `perturbation`", "(A, B)"],
    );
    error(&path, json!({ "lane": null, "differences": true, "counts": true }), &["counts or differences, not both"]);
    let path = write(dir.path(), "empty_part.csv", "perturbation,d1\nA+,1\ncontrol,2\n");
    error(&path, json!({ "lane": null }), &["label `A+` has an empty part"]);
}

#[test]
fn values_that_are_not_what_the_settings_say_are_pointed_out() {
    let warned = |more: Value, text: &str| {
        let mut settings = tenx();
        settings.as_object_mut().expect("settings").extend(more.as_object().expect("settings").clone());
        let s = open(&fixtures().join("tenx"), settings).expect("opens");
        assert!(s.notes().iter().any(|n| n.starts_with("WARNING") && n.contains(text)), "{text}: {:?}", s.notes());
    };
    warned(json!({ "counts": false }), "they look like raw counts; set counts = true");
    let dir = TempDir::new().expect("a folder");
    let table = |text: &str, counts: bool, what: &str| {
        let path = write(dir.path(), "t.csv", text);
        let s = open(&path, json!({ "lane": null, "counts": counts })).expect("opens");
        assert!(s.notes().iter().any(|n| n.starts_with("WARNING") && n.contains(what)), "{:?}", s.notes());
    };
    let log = "perturbation,g1,g2\nA,0.5,1.25\ncontrol,1,2.5\n";
    table(log, true, "they look log-normalised: set counts = false");
    table("perturbation,g1,g2\nA,50.5,1.25\ncontrol,1,2.5\n", false, "not log transformed");
    table("perturbation,g1,g2\nA,-0.5,1.25\ncontrol,1,2.5\n", false, "values look scaled");
}

#[test]
fn a_10x_folder_that_is_wrong_says_so() {
    let dir = TempDir::new().expect("a folder");
    let folder = dir.path().join("tenx");
    std::fs::create_dir(&folder).expect("a folder");
    error(&folder, tenx(), &["there is no matrix.mtx (or .gz)"]);
    let head = "%%MatrixMarket matrix coordinate integer general\n";
    let obs = write(dir.path(), "obs.csv", "barcode,perturbation\nc1,A\nc2,control\nc3,\n");
    let settings = json!({ "obs": obs, "counts": true, "lane": null });
    write(&folder, "barcodes.tsv", "c1\nc2\nc3\n");
    write(&folder, "genes.tsv", "E1\tg1\nE2\tg2\n");
    let matrix = |text: &str| write(&folder, "matrix.mtx", text);
    matrix(&format!("{head}%\n2 3 4\n1 1 5\n2 1 3\n1 2 4\n2 3 1\n"));
    let s = open(&folder, settings.clone()).expect("opens");
    assert_eq!(s.pool().len(), 1);
    // log1p(10000 * 5/8) - log1p(10000).
    near(s.truth(&[0]).expect("truth")[(0, 0)], 6251f64.ln() - 10001f64.ln(), 1e-6, "g1");
    for (text, what) in [
        (format!("{head}2 3 4\n1 1 5\n2 1 3\n"), "announces 4 entries and holds 2"),
        (format!("{head}3 2 1\n1 1 5\n"), "3 rows and 2 columns, and there are 2 features and 3 barcodes"),
        (format!("{head}2 3 1\n1 x 5\n"), "line 3 is `1 x 5`"),
        (format!("{head}2 3 1\n1 9 5\n"), "outside the 2 x 3"),
        ("1,2,3\n".to_string(), "line 1 is `1,2,3`; a 10x matrix begins with"),
    ] {
        matrix(&text);
        let e = open(&folder, settings.clone()).err().expect("an error").to_string();
        assert!(e.contains(what) && e.contains("matrix.mtx"), "{e}");
    }
    matrix(&format!("{head}2 3 3\n1 1 5\n2 1 -3\n1 2 4\n"));
    error(&folder, settings.clone(), &["cell 1, gene g2 is -3, and counts are not negative"]);
    matrix(&format!("{head}2 3 3\n1 1 5\n1 1 3\n1 2 4\n"));
    error(&folder, settings.clone(), &["cell 1 lists gene g1 twice"]);
    matrix(&format!("{head}2 3 2\n1 1 5\n1 2 4\n"));
    write(&folder, "genes.tsv", "E1\tg1\nE2\tg1\n");
    error(&folder, settings.clone(), &["gene names occur twice: g1", "var_names_make_unique"]);
    let mut by_id = settings.clone();
    by_id["gene_column"] = json!("id");
    assert_eq!(open(&folder, by_id).expect("ids differ").n_outputs(), 2);
    let e = open(&folder, json!({ "obs": null })).err().expect("no obs").to_string();
    assert!(e.contains("name a table with the columns `barcode` and `perturbation` in `obs`"), "{e}");
    matrix(&format!("{head}2 3 1\n1 1 5\n"));
    write(&folder, "genes.tsv", "E1\tg1\nE2\tg2\n");
    error(&folder, settings.clone(), &["no control cell has any counts"]);
    for (setting, value, text) in [
        ("layer", json!("x"), "`layer` means nothing for a 10x matrix"),
        ("differences", json!(true), "not both"),
        ("not_genes", json!(["n"]), "`not_genes` means nothing for single cells"),
        ("separator", json!("nt"), "control = \"control\" contains the separator `nt`"),
        ("separator", json!(""), "separator is empty"),
        ("target_sum", json!(0.0), "target_sum is 0"),
        ("min_cells", json!(0), "set it to 1"),
        ("genes", json!(0), "genes = 0 keeps nothing"),
        ("gene_column", json!("symbol"), "gene_column = \"symbol\"; a 10x matrix has \"name\" and \"id\""),
    ] {
        let mut wrong = settings.clone();
        wrong[setting] = value;
        let e = open(&folder, wrong).err().expect(setting).to_string();
        assert!(e.contains(text), "{e}");
    }
    let other = write(dir.path(), "other.csv", "barcode,perturbation\nc1-1,A\n");
    let e = open(&folder, json!({ "obs": other, "lane": null })).err();
    assert!(e.is_some_and(|e| e.to_string().contains("none of the 3 barcodes of the matrix (as c1) is among its 1")));
}

#[test]
fn a_scenario_runs_on_a_10x_folder() {
    let dir = TempDir::new().expect("a folder");
    let text = format!(
        "name = \"s\"\nseeds = {{ from = 0, count = 1 }}\nrounds = 1\nbatch = 1\nmetrics = [\"rmse\"]\n[pool]\ninit = 3\n\
         test = 0.2\n[oracle]\nuse = \"perturb_seq\"\npath = {:?}\nobs = \"tenx_obs.csv\"\nlabel = \"perturbation\"\n\
         control = \"control\"\nseparator = \"+\"\nlane = \"lane\"\ncounts = true\nmin_cells = 1\n[model]\n\
         use = \"bilinear_pca\"\ncomponents = 2\n[acquisition]\nuse = \"random\"\n",
        "tenx"
    );
    let file = write(dir.path(), "s.toml", &text);
    let (file, data) = (file.to_str().expect("utf-8").to_string(), fixtures().to_str().expect("utf-8").to_string());
    let r = run(dir.path(), &["run", &file, "--data-dir", &data]);
    assert_eq!(r.code, 0, "{}{}", r.out, r.err);
    let r = run(dir.path(), &["data", "check", &file, "--data-dir", &data]);
    assert_eq!(r.code, 0, "{}{}", r.out, r.err);
    assert!(r.out.contains("tenx") && r.out.contains("tenx_obs.csv"), "{}", r.out);
}

#[test]
fn a_scenario_runs_on_a_prefix_of_files() {
    let dir = TempDir::new().expect("a folder");
    for name in ["barcodes.tsv", "features.tsv", "matrix.mtx.gz"] {
        let bytes = std::fs::read(fixtures().join("tenx").join(name)).expect("a fixture");
        for sample in ["GSM1_a_", "GSM2_b_"] {
            std::fs::write(dir.path().join(format!("{sample}{name}")), &bytes).expect("a file");
        }
    }
    std::fs::copy(fixtures().join("tenx_obs.csv"), dir.path().join("obs.csv")).expect("a file");
    let scenario = |path: &str| {
        let text = format!(
            "name = \"s\"\nseeds = {{ from = 0, count = 1 }}\nrounds = 1\nbatch = 1\nmetrics = [\"rmse\"]\n[pool]\n\
             init = 3\ntest = 0.2\n[oracle]\nuse = \"perturb_seq\"\npath = {path:?}\nobs = \"obs.csv\"\n\
             label = \"perturbation\"\ncontrol = \"control\"\nseparator = \"+\"\ncounts = true\nmin_cells = 1\n\
             only = {{ lane = \"L1\" }}\n[model]\nuse = \"bilinear_pca\"\ncomponents = 2\n[acquisition]\n\
             use = \"random\"\n"
        );
        write(dir.path(), "s.toml", &text)
    };
    for command in ["run", "data check"] {
        let file = scenario("GSM1_a_");
        let arguments: Vec<&str> =
            command.split(' ').chain([file.to_str().expect("utf-8"), "--data-dir", "."]).collect();
        let r = run(dir.path(), &arguments);
        assert_eq!(r.code, 0, "{}{}", r.out, r.err);
    }
    let e = open(dir.path(), json!({ "obs": dir.path().join("obs.csv"), "counts": true })).err().expect("two matrices");
    assert!(e.to_string().contains("there are 2 matrices here; name one of them as `path`"), "{e}");
}

#[test]
fn cell_rangers_hdf5_is_replayed() {
    let dir = TempDir::new().expect("a folder");
    let packed = root().join("framework/cells/tests/fixtures/tenx_v3.h5.gz");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut cells::unpacked(&packed).expect("a fixture"), &mut bytes).expect("gzip");
    let path = dir.path().join("tenx_v3.h5");
    std::fs::write(&path, bytes).expect("a file");
    let rows: String = (0..23).map(|k| format!("cell{k}-1,{}\n", ["A", "control", "B"][k % 3])).collect();
    let obs = write(dir.path(), "obs.csv", &format!("barcode,perturbation\n{rows}"));
    let s = open(&path, json!({ "obs": obs, "counts": true, "lane": null })).expect("opens");
    assert_eq!((s.pool().len(), s.n_outputs()), (2, 4));
    let note = "features that are no genes were left out: 1 of Antibody Capture, 1 of CRISPR Guide Capture";
    assert!(s.notes().iter().any(|n| n == note), "{:?}", s.notes());
    let kinds = json!(["Gene Expression", "Antibody Capture"]);
    let s = open(&path, json!({ "obs": obs, "counts": true, "lane": null, "feature_types": kinds })).expect("opens");
    assert_eq!(s.n_outputs(), 5);
    error(&path, json!({ "counts": true }), &["does not say how cells were perturbed", "in `obs`"]);
}

#[test]
fn a_packed_anndata_file_is_to_be_unpacked() {
    error(Path::new("screen.h5ad.gz"), json!({}), &["unpack it: gunzip"]);
}

mod h5ad {
    use super::*;

    #[test]
    fn every_form_gives_the_expected_profiles() {
        let dir = TempDir::new().expect("a folder");
        for (name, more) in [
            ("dense.h5ad", json!({})),
            ("csr.h5ad", json!({})),
            ("csr.h5ad", json!({ "layer": "counts", "counts": true })),
            ("csc_gzip.h5ad", json!({ "counts": true })),
            ("dense_lzf.h5ad", json!({})),
            ("latest.h5ad", json!({})),
            ("zstd.h5ad", json!({})),
            ("old_categories.h5ad", json!({})),
        ] {
            println!("{name} {more}");
            let s = open(&unpack(dir.path(), name), more).expect("opens");
            agrees(&*s, "lane", None);
        }
    }

    /// The same cells, read as samples of a test of interaction: by the verb's reader and through the oracle.
    #[test]
    fn cells_are_samples_of_interaction_tests() {
        use framework::interactions::PairStudy;
        let dir = TempDir::new().expect("a folder");
        let path = unpack(dir.path(), "csr.h5ad");
        let study = |source: Value| {
            let mut all =
                json!({ "name": "cells", "test": { "additivity": { "use": "additivity", "resamples": 99 } } });
            source.as_object().expect("a source").iter().for_each(|(k, v)| all[k] = v.clone());
            let study: PairStudy = serde_json::from_value(all).expect("a study");
            let loaded = study.load(0, &DataRoot::new("")).expect("samples");
            let (name, test) = study.test.iter().next().expect("a test");
            (study.run(name, &**test, &loaded, 0, &|_, _| {}).expect("a table"), loaded)
        };
        let (read, loaded) = study(json!({ "samples": { "path": path } }));
        let (replayed, through) = study(json!({ "oracle": {
            "use": "perturb_seq", "path": path, "label": "perturbation", "control": "control", "separator": "+", "min_cells": 1
        } }));
        assert!(!read.rows.is_empty() && loaded.samples.control.len() == 11);
        for row in read.rows.iter().filter(|r| r.outcome.is_some()) {
            let same = replayed.rows.iter().find(|r| r.pair == row.pair).expect("the pair");
            let (a, b) = (row.outcome.as_ref().expect("a score"), same.outcome.as_ref().expect("a score"));
            assert_eq!(a.n, b.n, "{}", row.pair);
            // All cells of one lane: subtracting the mean of control changes no contrast.
            assert!((a.score - b.score).abs() < 1e-4 * (1.0 + a.score), "{}: {} and {}", row.pair, a.score, b.score);
        }
        assert_eq!(loaded.samples.pairs.len(), through.samples.pairs.len());
    }

    #[test]
    fn the_size_of_pieces_changes_nothing() {
        let dir = TempDir::new().expect("a folder");
        for name in ["dense.h5ad", "csr.h5ad", "csc_gzip.h5ad", "latest.h5ad"] {
            let path = unpack(dir.path(), name);
            let entries = |piece: usize| {
                let mut all = Vec::new();
                let m = cells::open(&path, &cells::Options::default()).expect("opens").with_piece(piece);
                let visit = |cell, gene, v| -> framework::Result<()> {
                    all.push((cell, gene, v));
                    Ok(())
                };
                m.entries(visit).expect("entries");
                all
            };
            let whole = entries(1 << 20);
            assert!(whole.len() > 100, "{name}");
            for piece in [1, 7, 64] {
                assert_eq!(entries(piece), whole, "{name} {piece}");
            }
        }
    }

    #[test]
    fn columns_of_every_kind_are_read() {
        let dir = TempDir::new().expect("a folder");
        let path = unpack(dir.path(), "columns.h5ad");
        for label in ["text", "nullable"] {
            let s = open(&path, json!({ "label": label, "lane": null })).expect("opens");
            assert_eq!(s.pool().len(), 6, "{label}");
            agrees_with_all(&*s);
        }
        let s = open(&path, json!({ "label": "text", "lane": "flag" })).expect("opens");
        assert_eq!(s.n_lanes(), 2);
        let m = cells::open(&path, &cells::Options::default()).expect("opens");
        assert_eq!(m.column("number").expect("numbers")[3].as_deref(), Some("3"));
        assert_eq!(m.column("flag").expect("flags")[..2], [Some("True".to_string()), Some("False".into())]);
        let symbol = cells::Options { gene_column: Some("symbol".into()), ..Default::default() };
        assert_eq!(cells::open(&path, &symbol).expect("opens").genes()[2], "S2");
    }

    #[test]
    fn bad_files_say_what_is_wrong_and_what_to_do() {
        let dir = TempDir::new().expect("a folder");
        let of = |name: &str| unpack(dir.path(), name);
        let dense = of("dense.h5ad");
        error(
            &dense,
            json!({ "label": "perturbaton" }),
            &["no column `perturbaton` in obs; columns: perturbation, lane, n_umi; did you mean `perturbation`?"],
        );
        error(&dense, json!({ "lane": "batch" }), &["no column `batch` in obs"]);
        error(&dense, json!({ "layer": "counts" }), &["no layer `counts`; layers: none"]);
        error(&of("csr.h5ad"), json!({ "layer": "raw" }), &["no layer `raw`; layers: counts"]);
        error(&dense, json!({ "control": "ctrl" }), &["no cell is labelled `ctrl`", "set `control`"]);
        error(
            &of("future.h5ad"),
            json!({}),
            &["X has version 9.0.0 of the encoding `csr_matrix`, and 0.1.0 can be read"],
        );
        error(&of("duplicate.h5ad"), json!({}), &["gene names occur twice: G1", "var_names_make_unique"]);
        error(&dense, json!({ "gene_column": "twice" }), &["gene names occur twice: A, B"]);
        error(&of("negative.h5ad"), json!({ "counts": true }), &["cell 5, gene G2 is -3, and counts are not negative"]);
        error(&of("nan.h5ad"), json!({}), &["cell 4, gene G1 is NaN; values must be finite"]);
        error(
            &of("no_control_lane.h5ad"),
            json!({}),
            &["1 of 3 lanes have perturbed cells and no control cells: L3", "centre = \"all\""],
        );
        assert!(open(&of("no_control_lane.h5ad"), json!({ "centre": "all" })).is_ok());
        error(&of("truncated.h5ad"), json!({}), &["cut short"]);
        error(
            &write(dir.path(), "text.h5ad", "not hdf5 at all, but long enough to be looked at"),
            json!({}),
            &["not an HDF5 file"],
        );
        error(&dir.path().join("absent.h5ad"), json!({}), &["check the path"]);
    }

    #[test]
    fn every_truncation_is_an_error_and_no_panic() {
        let dir = TempDir::new().expect("a folder");
        for name in ["csr.h5ad", "latest.h5ad", "csc_gzip.h5ad"] {
            let whole = std::fs::read(unpack(dir.path(), name)).expect("bytes");
            for part in 0..40 {
                let path = dir.path().join("cut.h5ad");
                std::fs::write(&path, &whole[..whole.len() * part / 40]).expect("a file");
                let counts = name.starts_with("csc");
                if let Err(e) = open(&path, json!({ "counts": counts })) {
                    let e = e.to_string();
                    assert!(e.contains("cut.h5ad") && !e.contains('\n'), "{e}");
                }
            }
        }
    }
}
