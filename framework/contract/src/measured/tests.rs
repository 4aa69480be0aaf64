use super::*;
use crate::testing::TempDir;
use serde_json::{Value, json};
use table::Column;

/// What is made of `screen.txt` under some keys of a scenario; further files may be named.
fn read(files: &[(&str, &str)], keys: Value) -> Result<Measurements> {
    let dir = TempDir::new()?;
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("a file");
    }
    fn of<T: serde::de::DeserializeOwned>(keys: &Value, key: &str) -> Option<T> {
        keys.get(key).map(|v| serde_json::from_value(v.clone()).expect("a setting"))
    }
    let genes: Vec<String> = of(&keys, "genes").unwrap_or_else(|| vec!["gene".into()]);
    let separator: Option<String> = of(&keys, "separator");
    let (control, guides, counts, mageck) =
        (of(&keys, "control"), of(&keys, "guides"), of(&keys, "counts"), of(&keys, "mageck"));
    let form = Form {
        genes: &genes,
        separator: separator.as_deref(),
        control: control.as_ref(),
        accept: &[],
        only: &of(&keys, "only").unwrap_or_default(),
        guides: guides.as_ref(),
        counts: counts.as_ref(),
        mageck: mageck.as_ref(),
    };
    form.read(Path::new(files[0].0), &DataRoot::new(dir.path()))
}

fn error(files: &[(&str, &str)], keys: Value) -> String {
    read(files, keys).expect_err("an error").to_string()
}

fn near(got: &[f64], want: &[f64]) {
    let same = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-9);
    assert!(same, "{got:?} is not {want:?}");
}

/// T is twice as deep as C: ratios to it are 1/2, 1, 2, 2, 2, so that the sizes are √2 and 1/√2.
const READS: &str =
    "sgRNA\tGene\tT\tC\na1\tA\t50\t100\na2\tA\t100\t100\nb1\tB\t200\t100\nb2\tB\t400\t200\nn1\tNTC\t80\t40\n";

#[test]
fn reads_become_log_ratios_of_genes() {
    let of = |more: Value| {
        let mut counts = json!({ "treatment": "T", "control": "C", "pseudocount": 1e-12 });
        counts.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&[("screen.txt", READS)], json!({ "counts": counts })).unwrap()
    };
    let m = of(json!({}));
    assert_eq!((&m.genes[..], m.table.text("Gene").unwrap()), (&["Gene".to_string()][..], vec!["A", "B", "NTC"]));
    assert_eq!(
        (&m.values[..], m.sd.as_deref(), &m.control[..]),
        (&["log2_ratio".to_string()][..], Some("sd"), &["NTC".to_string()][..])
    );
    // By guide: -2, -1; 0, 0; 0. Pooled over genes the guides have s = √((0.5 + 0) / 2) = 1/2, B and NTC take it.
    near(&m.table.numbers("log2_ratio").unwrap(), &[-1.5, 0.0, 0.0]);
    near(&m.table.numbers("sd").unwrap(), &[0.5, 0.5 / 2f64.sqrt(), 0.5]);
    assert_eq!(m.table.integers("guides").unwrap(), [2, 2, 1]);
    let notes = m.notes.join("; ");
    for text in [
        "medians of ratios: T 1.414, C 0.707",
        "1 guide of control (NTC): log2 ratio 0.000",
        "2 with one guide, or guides that agree",
    ] {
        assert!(notes.contains(text), "no `{text}` in {notes}");
    }
    // 830 and 540 reads.
    let shift = (540f64 / 830.0).log2();
    near(
        &of(json!({ "normalise": "total" })).table.numbers("log2_ratio").unwrap(),
        &[-0.5 + shift, 1.0 + shift, 1.0 + shift],
    );
    near(&of(json!({ "normalise": "control" })).table.numbers("log2_ratio").unwrap(), &[-1.5, 0.0, 0.0]);
    let plain = of(json!({ "normalise": "none", "pseudocount": 50.0 }));
    near(
        &plain.table.numbers("log2_ratio").unwrap()[1..],
        &[((250f64 / 150.0).log2() + (450f64 / 250.0).log2()) / 2.0, (130f64 / 90.0).log2()],
    );
    let fewer = of(json!({ "min_count": 100 }));
    assert_eq!(fewer.table.text("Gene").unwrap(), ["A", "B"]);
    assert!(
        fewer.notes.join("; ").contains("1 of 5 guides left out: 0 without reads, 1 with fewer than 100 in control")
    );
}

#[test]
fn replicates_are_kept_and_paired() {
    let text = "sgRNA\tgene\tT1\tT2\tC1\tC2\na1\tA\t8\t64\t4\t16\na2\tA\t8\t16\t2\t16\na3\tA\t2\t16\t2\t16\nz\tA\t0\t0\t0\t0\n";
    let of = |more: Value| {
        let mut counts =
            json!({ "treatment": ["T1", "T2"], "control": ["C1", "C2"], "normalise": "none", "pseudocount": 1e-12 });
        counts.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&[("screen.txt", text)], json!({ "counts": counts })).unwrap()
    };
    // Against the mean of control: 10, 9, 9.
    let m = of(json!({}));
    let mean = |a: f64, b: f64, c: f64| (a.log2() + b.log2() + c.log2()) / 3.0;
    let (one, two) = (mean(0.8, 8.0 / 9.0, 2.0 / 9.0), mean(6.4, 16.0 / 9.0, 16.0 / 9.0));
    near(&[m.table.numbers("T1").unwrap()[0], m.table.numbers("T2").unwrap()[0]], &[one, two]);
    near(&m.table.numbers("log2_ratio").unwrap(), &[(one + two) / 2.0]);
    assert_eq!(m.replicates, ["T1", "T2"]);
    assert!(m.notes.join("; ").contains("1 of 4 guides left out: 1 without reads"));
    // Paired: 1, 2, 0 and 2, 0, 0; guides' means 1.5, 1, 0.
    let m = of(json!({ "paired": true }));
    near(&[m.table.numbers("T1").unwrap()[0], m.table.numbers("T2").unwrap()[0]], &[1.0, 2.0 / 3.0]);
    let sd = ((0.444444444444 + 0.027777777778 + 0.694444444444) / 2f64).sqrt();
    assert!((m.table.numbers("sd").unwrap()[0] - sd / 3f64.sqrt()).abs() < 1e-6);
    let m = of(json!({ "paired": true, "summary": "median" }));
    near(&[m.table.numbers("T1").unwrap()[0], m.table.numbers("T2").unwrap()[0]], &[1.0, 0.0]);
    near(&m.table.numbers("log2_ratio").unwrap(), &[0.5]);
}

#[test]
fn medians_of_ratios_agree_with_a_count_by_hand() {
    // 24 guides in 3 samples, some without reads, from a congruence.
    let reads: Vec<[u32; 3]> = (0..24u32)
        .map(|i| [(i * 7919 + 13) % 211, (i * 104_729 + 5) % 97, (i * 31 + 17) % 401])
        .map(|r| if r[0] % 9 == 0 { [0, r[1], r[2]] } else { r })
        .collect();
    let text: String =
        reads.iter().enumerate().map(|(i, r)| format!("g{i}\tG{}\t{}\t{}\t{}\n", i / 3, r[0], r[1], r[2])).collect();
    let text = format!("sgRNA\tGene\tA\tB\tC\n{text}");
    let keys = json!({ "counts": { "treatment": ["A", "B"], "control": ["C"] } });
    let m = read(&[("screen.txt", &text)], keys).unwrap();
    let full: Vec<[f64; 3]> = reads.iter().filter(|r| r.iter().all(|k| *k > 0)).map(|r| r.map(f64::from)).collect();
    let size = |j: usize| {
        let mut ratios: Vec<f64> = full.iter().map(|r| r[j] / (r[0] * r[1] * r[2]).powf(1.0 / 3.0)).collect();
        ratios.sort_by(f64::total_cmp);
        let n = ratios.len();
        // The geometric mean of the two in the middle, as logarithms have it.
        if n % 2 == 1 { ratios[n / 2] } else { (ratios[n / 2 - 1] * ratios[n / 2]).sqrt() }
    };
    let (a, b, c) = (size(0), size(1), size(2));
    let want: Vec<f64> = reads
        .chunks(3)
        .map(|guides| {
            let of = |k: u32, s: f64, r: u32| ((f64::from(k) / s + 1.0) / (f64::from(r) / c + 1.0)).log2();
            guides.iter().map(|r| (of(r[0], a, r[2]) + of(r[1], b, r[2])) / 2.0).sum::<f64>() / 3.0
        })
        .collect();
    near(&m.table.numbers("log2_ratio").unwrap(), &want);
}

#[test]
fn two_guides_of_a_construct_are_a_pair_whatever_their_order() {
    let text = "c\tgene1\tgene2\tT\tC\n1\tB\tA\t80\t10\n2\tA\tB\t20\t10\n3\tA\tNT\t20\t10\n4\tNT2\tA\t40\t10\n5\tNT\tNT2\t10\t10\n6\tA\tA\t5\t10\n";
    let counts = json!({ "treatment": "T", "control": "C", "normalise": "control", "pseudocount": 1e-12 });
    let m = read(&[("screen.txt", text)], json!({ "genes": ["gene1", "gene2"], "control": ["NT*"], "counts": counts }))
        .unwrap();
    let rows: Vec<(&str, &str)> =
        m.table.text("gene1").unwrap().into_iter().zip(m.table.text("gene2").unwrap()).collect();
    assert_eq!(rows, [("A", "B"), ("A", "NT"), ("NT", "NT"), ("A", "A")]);
    near(&m.table.numbers("log2_ratio").unwrap(), &[2.0, 1.5, 0.0, -1.0]);
    let joined = "pair\tT\tC\nB_A\t80\t10\nA_B\t20\t10\nNT_A\t20\t10\nNT_NT\t10\t10\n";
    let m = read(&[("screen.txt", joined)], json!({ "genes": ["pair"], "separator": "_", "counts": counts })).unwrap();
    assert_eq!(m.table.text("pair").unwrap(), ["A_B", "A_NT", "NT_NT"]);
}

#[test]
fn mistakes_in_counts_are_named() {
    let e = |text: &str, counts: Value| error(&[("screen.txt", text)], json!({ "counts": counts }));
    let both = json!({ "treatment": "T", "control": "C" });
    assert!(e(READS, json!({ "treatment": "T0", "control": "C" })).contains("has no column \"T0\""));
    assert!(e(READS, json!({ "treatment": ["T", "C"], "control": "C" })).contains("names the sample C twice"));
    assert!(e(READS, json!({ "treatment": [], "control": "C" })).contains("`treatment` of `counts` names no sample"));
    let paired = json!({ "treatment": "T", "control": ["C", "D"], "paired": true });
    assert!(e(READS, paired).contains("pairs 1 treated sample with 2 of control"));
    let zero = json!({ "treatment": "T", "control": "C", "pseudocount": 0.0 });
    assert!(e(READS, zero).contains("`pseudocount` is 0"));
    assert!(e(&READS.replace("\t50", "\t-5"), both.clone()).contains("line 2, column T: -5 reads"));
    assert!(e("g\tgene\tT\tC\na\tA\t0\t5\nb\tB\t3\t0\n", both.clone()).contains("no guide has reads in every sample"));
    assert!(e("g\tgene\tT\tC\na\tA\t0\t5\n", both.clone()).contains("sample T has no reads"));
    let control = json!({ "treatment": "T", "control": "C", "normalise": "control" });
    assert!(e(&READS.replace("NTC", "X"), control).contains("no row is of control; name the guides"));
    assert!(
        e(READS, json!({ "treatment": "T", "control": "C", "min_count": 1e6 }))
            .contains("no guide is left: 0 have no reads and 5")
    );
    let two = json!({ "counts": both, "mageck": "lfc" });
    assert!(error(&[("screen.txt", READS)], two).contains("leave out one"));
}

#[test]
fn guides_are_named_by_their_genes() {
    let map = ("library.csv", "sgRNA,symbol\ng1,A\ng2,A\ng3,B\ng4,\ng1,A\n");
    let screen = ("screen.csv", "id,lfc\ng3,1\ng1,2\ng9,3\ng4,4\ng2,5\n");
    let keys = |genes: &[&str], gene: Value| json!({ "genes": genes, "guides": { "path": "library.csv", "guide": "sgRNA", "gene": gene } });
    let m = read(&[screen, map], keys(&["id"], json!("symbol"))).unwrap();
    assert_eq!(
        (&m.genes[..], m.table.text("gene of id").unwrap()),
        (&["gene of id".to_string()][..], vec!["B", "A", "A"])
    );
    assert_eq!((m.table.numbers("lfc").unwrap(), m.table.place(2)), (vec![1.0, 2.0, 5.0], "line 6".into()));
    let notes = m.notes.join("; ");
    assert!(notes.contains("2 rows left out: 2 guides that are not in") && notes.contains("g4, g9"), "{notes}");
    // Two guides a row, and constructs of two genes.
    let pairs = ("pairs.csv", "x,y,lfc\ng1,g3,1\ng3,g3,2\n");
    let m = read(&[pairs, map], keys(&["x", "y"], json!("symbol"))).unwrap();
    assert_eq!(
        (m.table.text("gene of x").unwrap(), m.table.text("gene of y").unwrap()),
        (vec!["A", "B"], vec!["B", "B"])
    );
    let constructs = ("library.csv", "sgRNA,a,b\nc1,A,B\nc2,B,C\n");
    let of = ("pairs.csv", "id,T,C\nc2,4,1\nc1,2,1\nc1,8,1\n");
    let mut both = keys(&["id"], json!(["a", "b"]));
    both["counts"] = json!({ "treatment": "T", "control": "C", "normalise": "none", "pseudocount": 1e-12 });
    let m = read(&[of, constructs], both).unwrap();
    assert_eq!(
        (m.table.text(&m.genes[0]).unwrap(), m.table.text(&m.genes[1]).unwrap()),
        (vec!["B", "A"], vec!["C", "B"])
    );
    near(&m.table.numbers("log2_ratio").unwrap(), &[2.0, 2.0]);
    let twice = ("library.csv", "sgRNA,symbol\ng1,A\ng1,B\n");
    assert!(
        error(&[screen, twice], keys(&["id"], json!("symbol")))
            .contains("guide `g1` is against A (line 2) and B (line 3)")
    );
    let other = ("library.csv", "sgRNA,symbol\nG-1,A\n");
    assert!(error(&[screen, other], keys(&["id"], json!("symbol"))).contains("(`g3` here, `G-1` there)"));
}

#[test]
fn rows_are_chosen_by_their_cells() {
    let text = "screen,gene,x\n1,A,1\n2,B,2\n1,C,3\n";
    let m = read(&[("screen.csv", text)], json!({ "only": { "screen": "1" } })).unwrap();
    assert_eq!((m.table.text("gene").unwrap(), m.table.place(1)), (vec!["A", "C"], "line 4".into()));
    assert_eq!(m.notes, ["2 of 3 rows with screen = 1"]);
    assert!(
        error(&[("screen.csv", text)], json!({ "only": { "screen": "3" } }))
            .contains("no row has `3` in column screen")
    );
}

/// As mageck test writes it.
const RRA: &str = "id\tnum\tneg|score\tneg|p-value\tneg|fdr\tneg|rank\tneg|goodsgrna\tneg|lfc\tpos|score\tpos|p-value\tpos|fdr\tpos|rank\tpos|goodsgrna\tpos|lfc\n\
    A\t4\t0.001\t0.01\t0.1\t1\t4\t-1.25\t0.9\t0.9\t1\t3\t0\t-1.25\nB\t4\t0.5\t0.5\t0.5\t2\t1\t0.75\t0.1\t0.1\t0.2\t1\t3\t0.75\n";
/// As mageck mle writes it, with a control that has too many guides to be fitted.
const MLE: &str = "Gene\tsgRNA\tX|beta\tX|z\tX|p-value\tX|fdr\tX|wald-p-value\tX|wald-fdr\tY|beta\tY|z\tY|p-value\tY|fdr\tY|wald-p-value\tY|wald-fdr\n\
    A\t4\t-1.5\t-3\t0.01\t0.1\t0.003\t0.01\t0.5\t2\t0.1\t0.2\t0.05\t0.1\nNTC\t1000\t0\t0\t1\t1\t1\t1\t0\t0\t1\t1\t1\t1\nB\t4\t1\t0.5\t0.6\t0.9\t0.6\t0.9\t-2\t-8\t0\t0\t0\t0\n";

#[test]
fn one_key_says_which_effect_of_mageck_is_read() {
    let of = |text: &str, mageck: Value| read(&[("screen.txt", text)], json!({ "mageck": mageck })).unwrap();
    let m = of(RRA, json!("lfc"));
    assert_eq!((&m.genes[0][..], m.table.text("id").unwrap(), m.sd), ("id", vec!["A", "B"], None));
    near(&m.table.numbers(&m.values[0]).unwrap(), &[-1.25, 0.75]);
    let m = of(MLE, json!({ "effect": "beta", "sample": "Y" }));
    assert_eq!((&m.genes[0][..], m.table.text("Gene").unwrap()), ("Gene", vec!["A", "B"]));
    near(&m.table.numbers(&m.values[0]).unwrap(), &[0.5, -2.0]);
    near(&m.table.numbers("sd").unwrap(), &[0.25, 0.25]);
    assert!(m.notes.join("").contains("1 row without a fit left out"));
    let m = of(MLE, json!({ "effect": "z", "sample": "X" }));
    near(&m.table.numbers(&m.values[0]).unwrap(), &[-3.0, 0.5]);
    near(&m.table.numbers("sd").unwrap(), &[1.0, 1.0]);
    let guides = "sgrna\tGene\tcontrol_count\ttreatment_count\tcontrol_mean\ttreat_mean\tLFC\n\
        a1\tA\t1/2\t3/4\t1\t2\t-2\na2\tA\t1/2\t3/4\t1\t2\t-1\na3\tA\t1/2\t3/4\t1\t2\t0\nb1\tB\t1/2\t3/4\t1\t2\t4\n";
    let m = of(guides, json!("lfc"));
    assert_eq!(m.table.text("Gene").unwrap(), ["A", "B"]);
    near(&m.table.numbers(&m.values[0]).unwrap(), &[-1.0, 4.0]);
    near(&m.table.numbers("sd").unwrap(), &[1.0 / 3f64.sqrt(), 1.0]);
}

#[test]
fn mistakes_with_mageck_are_named() {
    let e = |text: &str, mageck: Value| error(&[("screen.txt", text)], json!({ "mageck": mageck }));
    assert!(e(MLE, json!("beta")).contains("it has the samples X, Y; name one"));
    assert!(e(MLE, json!({ "effect": "beta", "sample": "Z" })).contains("it has no sample `Z`"));
    assert!(e(MLE, json!("lfc")).contains("set mageck = \"beta\""));
    assert!(e(RRA, json!("beta")).contains("set mageck = \"lfc\""));
    assert!(e(READS, json!("lfc")).contains("neither neg|lfc nor LFC"));
    let differ = RRA.replace("3\t0.75", "3\t0.5");
    assert!(e(&differ, json!("lfc")).contains("neg|lfc and pos|lfc differ in 1 row (line 3: 0.75 and 0.5)"));
    for (written, read) in [
        (json!("lfc"), json!("lfc")),
        (json!({ "effect": "beta" }), json!("beta")),
        (json!({ "effect": "beta", "sample": "X" }), json!({ "effect": "beta", "sample": "X" })),
    ] {
        let mageck: Mageck = serde_json::from_value(written).unwrap();
        assert_eq!(serde_json::to_value(mageck).unwrap(), read, "one setting has one form");
    }
    let wrong = serde_json::from_value::<Mageck>(json!("score")).unwrap_err().to_string();
    assert!(wrong.contains("expected one of `lfc`, `beta`, `z`"), "{wrong}");
}

#[test]
fn a_table_without_keys_stays_what_it_is() {
    let m = read(&[("screen.csv", "gene,value\nA,1\n")], json!({})).unwrap();
    assert!(m.notes.is_empty() && m.values.is_empty() && m.replicates.is_empty() && m.sd.is_none());
    assert_eq!(m.table.column("value"), Some(&Column::Integer(vec![1])));
}
