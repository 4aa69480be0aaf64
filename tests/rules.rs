//! Kernels, transforms and selection rules as a person uses them: the rules on a table or array of features, strategies
//! in a scenario, and every bad input with its printed text.

mod common;
use common::*;

/// Feature `k` of row `i`.
fn feature(i: usize, k: usize) -> f64 {
    ((i * (7 + 4 * k) + k) % 23) as f64 / 7.0 - 1.0
}

/// 40 rows of 3 features, of which rows 3 and 8 are measured.
fn table() -> Session {
    let s = Session::new();
    let row = |i| format!("G{i:03},{},{},{}\n", feature(i, 0), feature(i, 1), feature(i, 2));
    s.write("f.csv", &format!("gene,a,b,c\n{}", (0..40).map(row).collect::<String>()));
    s.write("m.csv", "gene\nG003\nG008\n");
    s
}

/// What `suggest` gives for the table.
#[track_caller]
fn suggest(s: &Session, more: &str) -> Ran {
    s.silently(0, &format!("suggest --features f.csv {more}"))
}

fn picks(r: &Ran) -> Vec<String> {
    r.out.lines().skip(1).map(|l| l.split(',').nth(1).expect("a name").to_string()).collect()
}

#[test]
fn every_rule_works_on_a_table_of_features() {
    let s = table();
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
        let args = format!("--measured m.csv --rule {rule} --batch 6 --seed 3");
        let r = suggest(&s, &args);
        let chosen = picks(&r);
        let mut sorted = chosen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 6, "{rule}: {chosen:?}");
        assert!(!sorted.iter().any(|g| g == "G003" || g == "G008"), "{rule} chose a measured row: {chosen:?}");
        assert_eq!(suggest(&s, &args).out, r.out, "{rule} is not repeatable");
    }
}

#[test]
fn transforms_stand_in_order_and_can_be_checked_by_hand() {
    let s = table();
    let with = |more: &str| picks(&suggest(&s, &format!("--measured m.csv --batch 5 {more}")));
    // The posterior trick: conditioning on the measured rows first, or in the rule.
    let after = with("--rule max_det:mode=p,sigma=0.1 --transform posterior:sigma=0.1,factor=1");
    assert_eq!(after, with("--rule max_det:mode=tp,sigma=0.1"));
    // A scale changes no distance order; single precision and a constant neither, here.
    let plain = with("--rule lcmd");
    for same in ["scale:factor=3", "single", "normalise:by=min_max"] {
        assert_eq!(plain, with(&format!("--rule lcmd --transform {same}")), "{same}");
    }
    assert_ne!(plain, with("--rule lcmd --transform normalise:by=cosine"));
}

#[test]
fn arrays_of_numpy_are_read_and_bad_ones_explained() {
    let mut s = table();
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
        std::fs::write(s.path().join(name), out).expect("a test file");
    };
    let cells: Vec<f64> = (0..40).flat_map(|i| (0..3).map(move |k| feature(i, k))).collect();
    npy("f.npy", "<f8", "(40, 3)", cells.iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("f32.npy", "<f4", "(40, 3)", cells.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect());
    npy("m.npy", "<i8", "(2,)", [3i64, 8].iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("far.npy", "<i8", "(2,)", [3i64, 40].iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("flat.npy", "<f8", "(40,)", cells[..40].iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("cut.npy", "<f8", "(40, 3)", cells[..50].iter().flat_map(|v| v.to_le_bytes()).collect());
    npy("nan.npy", "<f8", "(2, 1)", [1.0, f64::NAN].iter().flat_map(|v| v.to_le_bytes()).collect());
    const SUGGEST: &str = "suggest --batch 5 --rule lcmd --features";
    let of = |args: &str| picks(&s.silently(0, &format!("{SUGGEST} {args}")));
    let table = of("f.csv --measured m.csv");
    assert_eq!(table, of("f.npy --names f.csv --measured m.npy"));
    let rows: Vec<String> = table.iter().map(|g| g[1..].parse::<usize>().expect("a number").to_string()).collect();
    assert_eq!(rows, of("f32.npy --measured m.npy"));
    for bad in ["f.npy --names m.csv", "f.npy --measured far.npy", "flat.npy", "cut.npy", "nan.npy"] {
        s.run(2, &format!("{SUGGEST} {bad}"));
    }
    s.matches("suggest_arrays");
}

#[test]
fn pairs_of_rows_are_composed_not_listed() {
    let mut s = table();
    s.write("mp.csv", "gene\nG003+G008\nG001+G000\n");
    let of = |more: String| picks(&suggest(&s, &format!("--pairs --measured mp.csv --batch 7 {more}")));
    for rule in ["max_dist", "lcmd", "max_det:sigma=0.1"] {
        let sum = of(format!("--rule {rule}"));
        assert!(sum.len() == 7 && sum.iter().all(|p| p.contains('+')), "{sum:?}");
        assert!(!sum.contains(&"G003+G008".to_string()) && !sum.contains(&"G000+G001".to_string()));
        assert_ne!(sum, of(format!("--rule {rule} --compose product")));
    }
    s.run(2, "suggest --features f.csv --pairs --batch 3 --compose difference");
    s.matches("suggest_pairs");
}

#[test]
fn a_gpu_that_is_not_there_is_told_and_replaced() {
    let s = table();
    for rule in ["max_dist", "lcmd", "max_det:sigma=0.3"] {
        let base = format!("--measured m.csv --rule {rule} --batch 5");
        let (cpu, gpu) = (suggest(&s, &base), suggest(&s, &format!("{base} --gpu")));
        assert_eq!(picks(&cpu), picks(&gpu), "{rule}");
        if cfg!(not(feature = "gpu")) {
            says(&gpu, &["no GPU is used", "built without the feature `gpu`", "The CPU computes instead"]);
        }
    }
}

#[test]
fn bad_kernels_and_transforms_are_explained() {
    let mut s = table();
    s.write("zero.csv", "gene,a,b\nA,0,0\nB,1,0\nC,0,2\n");
    s.write("same.csv", "gene,a,b\nA,1,2\nB,1,2\nC,1,2\nD,1,2\n");
    for bad in [
        "zero.csv --batch 1 --kernel cosine",
        "zero.csv --batch 1 --transform normalise:by=cosine",
        "zero.csv --batch 4",
        "f.csv --batch 3 --transform posterior:sigma=0.1",
        "f.csv --batch 3 --transform poserior",
        "f.csv --batch 3 --transform rp:q=3",
        "f.csv --batch 3 --transform rbf",
        "f.csv --batch 3 --kernel gradient",
        "f.csv --batch 3 --kernel scale",
    ] {
        s.run(2, &format!("suggest --features {bad}"));
    }
    // All distances are zero: filled at random, the same way under the same seed.
    for rule in ["max_dist", "lcmd", "kmeans_pp"] {
        let r = s.run(0, &format!("suggest --features same.csv --batch 3 --rule {rule}"));
        assert_eq!(picks(&r).len(), 3, "{rule}");
        assert!(r.err.contains("at random"), "{rule} does not say that it filled the batch: {}", r.err);
    }
    s.matches("suggest_kernels");
}

#[test]
fn kernels_that_a_model_cannot_feed_are_refused_before_the_first_round() {
    let mut s = Session::new();
    for kernel in [
        "use = \"gradient\"",
        "use = \"embedding\"",
        "use = \"posterior\"",
        "use = \"chain\"\nsteps = [{ use = \"linear\" }, { use = \"posterior\", sigmma = 0.1 }]",
        "use = \"chain\"\nsteps = []",
    ] {
        s.mistake("plan bad.toml", TINY, "[acquisition]", &format!("[kernel]\n{kernel}\n[acquisition]"));
    }
    s.matches("mistakes_of_kernels");
}

#[test]
fn strategies_set_several_sections_and_their_mistakes_have_a_place() {
    let mut s = Session::new();
    let text = TINY.split("[grid]").next().expect("the part before the grid").to_string()
        + "[strategy.near]\nacquisition = { use = \"lcmd\" }\nkernel = { use = \"rbf\" }\n\
           [strategy.far]\nacquisition = { use = \"max_dist\", mode = \"p\" }\n[compare]\nreference = { strategy = \"far\" }\n";
    s.write("s.toml", &text);
    says(&s.run(0, "plan s.toml"), &["2 arms"]);
    let two = text.replace("kernel =", "kernl =");
    s.note("and \"kernel\" becomes \"kernl\"");
    s.mistake("plan bad.toml", &two, "mode = \"p\"", "moode = \"p\"");
    s.mistake("plan bad.toml", &(text + "[grid]\nstrategy = [\"near\"]\n"), "[\"near\"]", "[\"neer\"]");
    s.matches("mistakes_of_strategies");
}
