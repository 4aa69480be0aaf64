//! Kernels, transforms and selection rules as a person uses them: the rules on a table or array of features, strategies
//! in a scenario, and every bad input with its printed text.

mod common;
use common::*;
use framework::testing::TempDir;
use std::path::Path;

fn dir() -> TempDir {
    TempDir::new().expect("a folder")
}

#[track_caller]
fn says(r: &Ran, code: i32, texts: &[&str]) {
    assert_eq!(r.code, code, "{}{}", r.out, r.err);
    for t in texts {
        assert!(r.err.contains(t) || r.out.contains(t), "no `{t}` in:\n{}{}", r.out, r.err);
    }
    assert!(!r.err.contains("panicked"), "a panic reached the user:\n{}", r.err);
}

/// 40 rows of 3 features, of which rows 3 and 8 are measured.
fn table(d: &Path) {
    let rows: String = (0..40)
        .map(|i| {
            let f = |k: usize| ((i * (7 + 4 * k) + k) % 23) as f64 / 7.0 - 1.0;
            format!("G{i:03},{},{},{}\n", f(0), f(1), f(2))
        })
        .collect();
    write(d, "f.csv", &format!("gene,a,b,c\n{rows}"));
    write(d, "m.csv", "gene\nG003\nG008\n");
}

fn suggest(d: &Path, more: &[&str]) -> Ran {
    run(d, &[&["suggest", "--features", "f.csv"], more].concat())
}

fn picks(r: &Ran) -> Vec<String> {
    says(r, 0, &[]);
    r.out.lines().skip(1).map(|l| l.split(',').nth(1).expect("a name").to_string()).collect()
}

#[test]
fn every_rule_works_on_a_table_of_features() {
    let d = dir();
    table(d.path());
    for rule in [
        "random",
        "max_diag",
        "max_det:sigma=0.1",
        "bait:sigma=0.1",
        "bait:form=fb,sigma=0.1",
        "frank_wolfe",
        "max_dist",
        "kmeans_pp",
        "lcmd",
        "lcmd:weight=count",
        "rmds",
        "sosd",
        "k_means",
        "typi_clust",
        "typi_clust:form=original",
        "typi_clust:form=iterpert",
        "dirichlet",
    ] {
        let args = ["--measured", "m.csv", "--rule", rule, "--batch", "6", "--seed", "3"];
        let r = suggest(d.path(), &args);
        let chosen = picks(&r);
        let mut sorted = chosen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 6, "{rule}: {chosen:?}");
        assert!(!sorted.iter().any(|g| g == "G003" || g == "G008"), "{rule} chose a measured row: {chosen:?}");
        assert_eq!(suggest(d.path(), &args).out, r.out, "{rule} is not repeatable");
    }
}

#[test]
fn transforms_stand_in_order_and_can_be_checked_by_hand() {
    let d = dir();
    table(d.path());
    let base = ["--measured", "m.csv", "--batch", "5"];
    let with = |more: &[&str]| picks(&suggest(d.path(), &[&base[..], more].concat()));
    // The posterior trick: conditioning on the measured rows first, or in the rule.
    let after = with(&["--rule", "max_det:mode=p,sigma=0.1", "--transform", "posterior:sigma=0.1,factor=1"]);
    assert_eq!(after, with(&["--rule", "max_det:mode=tp,sigma=0.1"]));
    // A scale changes no distance order; single precision and a constant neither, here.
    let plain = with(&["--rule", "lcmd"]);
    assert_eq!(plain, with(&["--rule", "lcmd", "--transform", "scale:factor=3"]));
    assert_eq!(plain, with(&["--rule", "lcmd", "--transform", "single"]));
    assert_eq!(plain, with(&["--rule", "lcmd", "--transform", "normalise:by=min_max"]));
    assert_ne!(plain, with(&["--rule", "lcmd", "--transform", "normalise:by=cosine"]));
}

#[test]
fn arrays_of_numpy_are_read_and_bad_ones_explained() {
    let d = dir();
    table(d.path());
    // A NumPy array by hand: magic, version, header padded to 64 bytes, values.
    let npy = |name: &str, kind: &str, shape: &str, bytes: Vec<u8>| {
        let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
        while (10 + header.len() + 1) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(bytes);
        std::fs::write(d.path().join(name), out).expect("a test file");
    };
    let value = |i: usize, k: usize| ((i * (7 + 4 * k) + k) % 23) as f64 / 7.0 - 1.0;
    let cells: Vec<f64> = (0..40).flat_map(|i| (0..3).map(move |k| value(i, k))).collect();
    npy("f.npy", "<f8", "(40, 3)", cells.iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("f32.npy", "<f4", "(40, 3)", cells.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect());
    npy("m.npy", "<i8", "(2,)", [3i64, 8].iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("far.npy", "<i8", "(2,)", [3i64, 40].iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("flat.npy", "<f8", "(40,)", cells[..40].iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("cut.npy", "<f8", "(40, 3)", cells[..50].iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("nan.npy", "<f8", "(2, 1)", [1.0, f64::NAN].iter().flat_map(|v| v.to_le_bytes()).collect());
    let of = |args: &[&str]| run(d.path(), &[&["suggest", "--batch", "5", "--rule", "lcmd"], args].concat());
    let table = picks(&of(&["--features", "f.csv", "--measured", "m.csv"]));
    assert_eq!(table, picks(&of(&["--features", "f.npy", "--names", "f.csv", "--measured", "m.npy"])));
    let rows: Vec<String> = table.iter().map(|g| g[1..].parse::<usize>().expect("a number").to_string()).collect();
    assert_eq!(rows, picks(&of(&["--features", "f32.npy", "--measured", "m.npy"])));
    says(
        &of(&["--features", "f.npy", "--names", "m.csv"]),
        2,
        &["names 2 rows", "has 40", "same rows in the same order"],
    );
    says(
        &of(&["--features", "f.npy", "--measured", "far.npy"]),
        2,
        &["row 40 is not one of the 40 feature rows (0 to 39)"],
    );
    says(&of(&["--features", "flat.npy"]), 2, &["flat.npy", "shape (rows, features)"]);
    says(&of(&["--features", "cut.npy"]), 2, &["cut.npy", "before reading all data"]);
    says(&of(&["--features", "nan.npy"]), 2, &["nan.npy", "feature 0 of gene number 1 is NaN"]);
}

#[test]
fn pairs_of_rows_are_composed_not_listed() {
    let d = dir();
    table(d.path());
    write(d.path(), "mp.csv", "gene\nG003+G008\nG001+G000\n");
    let of = |more: &[&str]| {
        picks(&suggest(d.path(), &[&["--pairs", "--measured", "mp.csv", "--batch", "7"], more].concat()))
    };
    for rule in ["max_dist", "lcmd", "max_det:sigma=0.1"] {
        let sum = of(&["--rule", rule]);
        assert!(sum.len() == 7 && sum.iter().all(|p| p.contains('+')), "{sum:?}");
        assert!(!sum.contains(&"G003+G008".to_string()) && !sum.contains(&"G000+G001".to_string()));
        assert_ne!(sum, of(&["--rule", rule, "--compose", "product"]));
    }
    let r = suggest(d.path(), &["--pairs", "--batch", "3", "--compose", "difference"]);
    says(&r, 2, &["--compose", "difference", "sum"]);
}

#[test]
fn a_gpu_that_is_not_there_is_told_and_replaced() {
    let d = dir();
    table(d.path());
    for rule in ["max_dist", "lcmd", "max_det:sigma=0.3"] {
        let base = ["--measured", "m.csv", "--rule", rule, "--batch", "5"];
        let (cpu, gpu) = (suggest(d.path(), &base), suggest(d.path(), &[&base[..], &["--gpu"]].concat()));
        assert_eq!(picks(&cpu), picks(&gpu), "{rule}");
        if cfg!(not(feature = "gpu")) {
            says(&gpu, 0, &["no GPU is used", "built without the feature `gpu`", "The CPU computes instead"]);
        }
    }
}

#[test]
fn bad_kernels_and_transforms_are_explained() {
    let d = dir();
    table(d.path());
    write(d.path(), "zero.csv", "gene,a,b\nA,0,0\nB,1,0\nC,0,2\n");
    write(d.path(), "same.csv", "gene,a,b\nA,1,2\nB,1,2\nC,1,2\nD,1,2\n");
    let on = |file: &str, more: &[&str]| run(d.path(), &[&["suggest", "--features", file], more].concat());
    says(&on("zero.csv", &["--batch", "1", "--kernel", "cosine"]), 2, &["row 0 has zero norm", "cosine"]);
    says(&on("zero.csv", &["--batch", "1", "--transform", "normalise:by=cosine"]), 2, &["zero", "cosine"]);
    says(&on("zero.csv", &["--batch", "4"]), 2, &["a batch of 4 is larger than the 3 candidates left"]);
    // All distances are zero: filled at random, the same way under the same seed.
    for rule in ["max_dist", "lcmd", "kmeans_pp"] {
        let r = on("same.csv", &["--batch", "3", "--rule", rule]);
        assert_eq!(picks(&r).len(), 3, "{rule}");
        assert!(r.err.contains("at random"), "{rule} does not say that it filled the batch: {}", r.err);
    }
    let r = on("f.csv", &["--batch", "3", "--transform", "posterior:sigma=0.1"]);
    says(&r, 2, &["measured"]);
    says(
        &on("f.csv", &["--batch", "3", "--transform", "poserior"]),
        2,
        &["unknown kernel", "did you mean `posterior`?"],
    );
    says(&on("f.csv", &["--batch", "3", "--transform", "rp:q=3"]), 2, &["rp", "unknown field `q`"]);
    says(&on("f.csv", &["--batch", "3", "--transform", "rbf"]), 2, &["`rbf` is a kernel of its own"]);
    says(&on("f.csv", &["--batch", "3", "--kernel", "gradient"]), 2, &["reads the fitted model"]);
    says(&on("f.csv", &["--batch", "3", "--kernel", "scale"]), 2, &["no kernel to act on"]);
}

#[test]
fn kernels_that_a_model_cannot_feed_are_refused_before_the_first_round() {
    let d = dir();
    let try_with = |kernel: &str, more: &str| {
        let text = TINY.replace("[acquisition]", &format!("[kernel]\n{kernel}\n[acquisition]")) + more;
        let file = write(d.path(), "s.toml", &text);
        run(d.path(), &["plan", file.to_str().expect("utf-8")])
    };
    says(&try_with("use = \"gradient\"", ""), 2, &["needs the layers of a network; models that give them:", "mlp"]);
    says(
        &try_with("use = \"embedding\"", ""),
        2,
        &["needs the model's own representation; models that give them:", "mlp"],
    );
    says(&try_with("use = \"posterior\"", ""), 2, &["no kernel to act on", "chain"]);
    let chain = "use = \"chain\"\nsteps = [{ use = \"linear\" }, { use = \"posterior\", sigmma = 0.1 }]";
    says(&try_with(chain, ""), 2, &["sigmma"]);
    says(&try_with("use = \"chain\"\nsteps = []", ""), 2, &["steps"]);
}

#[test]
fn strategies_set_several_sections_and_their_mistakes_have_a_place() {
    let d = dir();
    let text = TINY.split("[grid]").next().expect("the part before the grid").to_string()
        + "[strategy.near]\nacquisition = { use = \"lcmd\" }\nkernel = { use = \"rbf\" }\n\
           [strategy.far]\nacquisition = { use = \"max_dist\", mode = \"p\" }\n[compare]\nreference = { strategy = \"far\" }\n";
    let file = write(d.path(), "s.toml", &text);
    let plan = |f: &Path| run(d.path(), &["plan", f.to_str().expect("utf-8")]);
    says(&plan(&file), 0, &["2 arms", "near", "far"]);
    let bad = write(d.path(), "b.toml", &text.replace("mode = \"p\"", "moode = \"p\"").replace("kernel =", "kernl ="));
    says(
        &plan(&bad),
        2,
        &["2 mistakes", "unknown key `moode`; did you mean `mode`?", "unknown key `kernl`; did you mean `kernel`?"],
    );
    let bad = write(d.path(), "c.toml", &(text + "[grid]\nstrategy = [\"neer\"]\n"));
    says(&plan(&bad), 2, &["unknown strategy `neer`; did you mean `near`?"]);
}
