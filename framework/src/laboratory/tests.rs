use super::*;
use crate::scenario::{Document, check_campaign};
use crate::testing::TempDir;

/// A laboratory from tables, `pool` being the lines under [pool] and `rest` further sections.
fn open(tables: &[(&str, &str)], pool: &str, rest: &str) -> Result<Laboratory> {
    let dir = TempDir::new()?;
    for (name, text) in tables {
        std::fs::write(dir.path().join(name), text).expect("a table");
    }
    let text = format!(
        "name = \"c\"\nbatch = 1\n[acquisition]\nuse = \"any_rule\"\n[pool]\npath = \"library.csv\"\n{pool}\n{rest}"
    );
    let doc = Document::parse(Path::new("campaign.toml"), text)?;
    Laboratory::open(&check_campaign(&doc)?, &DataRoot::new(dir.path()))
}

fn candidates(lab: &Laboratory) -> Vec<String> {
    let taken = [&lab.observed.ids[..], &lab.pending, &lab.excluded].concat();
    (0..lab.pool.len()).filter(|i| !taken.contains(i)).map(|i| lab.pool.label(i)).collect()
}

const PAIRS: &str = "gene1,gene2\nA,B\nNegControl,A\nB,NT\nNT,NegControl\nA,C\nB,C\n";
const MEASURED: &str = "[measured]\npath = \"done.csv\"\ngenes = [\"gene1\", \"gene2\"]\nvalues = \"lfc\"\n";
const DONE: &str = "gene1,gene2,lfc\nNT,A,-1\nA,NegControl,-3\nNT,NT,0\nC,B,2\n";

#[test]
fn controls_are_no_genes_and_their_pairs_are_single_effects() {
    let tables = [("library.csv", PAIRS), ("done.csv", DONE)];
    for control in ["", "control = [\"NT\", \"NegControl\"]"] {
        let lab = open(&tables, &format!("genes = [\"gene1\", \"gene2\"]\n{control}"), MEASURED).unwrap();
        assert_eq!(candidates(&lab), ["A+B", "A+C"]);
        assert_eq!(lab.observed.ids.len(), 1);
        let effects = lab.single_effects().unwrap();
        assert_eq!(effects[(0, 0)], -2.0, "the mean of two rows");
        assert!(effects[(1, 0)].is_nan());
        assert!(lab.notes.iter().any(|n| n.contains("1 row of control only left out")), "{:?}", lab.notes);
    }
    let lab =
        open(&tables, "genes = [\"gene1\", \"gene2\"]\ncontrol = \"NT\"", MEASURED.replace("done", "library").as_str());
    assert!(lab.is_err(), "no column lfc");
    let lab = open(&tables[..1], "genes = [\"gene1\", \"gene2\"]\ncontrol = \"NT\"", "").unwrap();
    assert_eq!(candidates(&lab), ["A+B", "A+NegControl", "A+C", "B+C"]);
    assert!(lab.notes.iter().any(|n| n.starts_with("warning: taken as genes although")), "{:?}", lab.notes);
}

#[test]
fn what_is_excluded_or_under_way_is_no_candidate() {
    let tables = [("library.csv", "gene\nTP53\nRPL3\nRPL4\nMYC\nLAT\nnon-targeting\n"), ("pending.csv", "gene\nLAT\n")];
    let lab = open(&tables, "exclude = [\"RPL*\", \"XYZ\"]", "[pending]\npath = \"pending.csv\"\n").unwrap();
    assert_eq!(candidates(&lab), ["TP53", "MYC"]);
    assert_eq!(lab.pending.len(), 1);
    assert!(lab.notes.iter().any(|n| n.contains("names `XYZ`, which no gene of the library is")), "{:?}", lab.notes);
    let lab = open(&tables[..1], "accept = [\"non-targeting\"]", "").unwrap();
    assert_eq!(candidates(&lab).len(), 6);
}

#[test]
fn words_for_no_value_are_refused_as_genes() {
    for word in ["NaN", "#N/A", "-", "null"] {
        let library = format!("gene\nTP53\n{word}\n");
        let e = open(&[("library.csv", &library)], "", "").err().unwrap().to_string();
        assert!(e.contains(&format!("library.csv: `{word}` stands in a column of genes")), "{e}");
        assert_eq!(open(&[("library.csv", &library)], &format!("accept = [\"{word}\"]"), "").unwrap().pool.len(), 2);
    }
    let lab = open(&[("library.csv", "gene\nTP53\nNA\n")], "", "").unwrap();
    assert!(lab.notes[0].starts_with("warning: `NA` is taken as a gene"), "{:?}", lab.notes);
}

#[test]
fn pairs_stand_in_one_column_or_two() {
    let two = "gene1,gene2\nAHR_+_17,MYC\nMYC,LAT\n";
    let done = "gene1,gene2,lfc\nMYC,AHR_+_17,1\n";
    let genes = "genes = [\"gene1\", \"gene2\"]";
    let lab = open(&[("library.csv", two), ("done.csv", done)], genes, MEASURED).unwrap();
    assert_eq!(candidates(&lab), ["MYC+LAT"]);
    let one = "pair\nA|B\nB|C\n";
    let measured = "[measured]\npath = \"done.csv\"\ngenes = [\"pair\"]\nvalues = [\"lfc\"]\n";
    let pool = "genes = [\"pair\"]\nseparator = \"|\"";
    let lab = open(&[("library.csv", one), ("done.csv", "pair,lfc\nB+A,1\n")], pool, measured).unwrap();
    assert_eq!(candidates(&lab), ["B+C"]);
    let e = open(&[("library.csv", one), ("done.csv", "pair,lfc\nB+X,1\n")], pool, measured).err().unwrap().to_string();
    assert!(e.contains("done.csv, line 2: unknown gene `X`"), "{e}");
}

#[test]
fn missing_readouts_are_refused_or_left_out_and_errors_are_kept() {
    let tables = [("library.csv", "gene\nA\nB\nC\n"), ("done.csv", "gene,y,se\nA,1.5,0.1\nB,-,0.2\n")];
    let spec = "[measured]\npath = \"done.csv\"\nvalues = \"y\"\nsd = \"se\"\n";
    let e = open(&tables, "", spec).err().unwrap().to_string();
    assert!(e.contains("line 3"), "{e}");
    let lab = open(&tables, "", &format!("{spec}missing = \"drop\"\n")).unwrap();
    assert_eq!((lab.observed.ids.len(), lab.observed.sd.as_ref().map(|s| s[(0, 0)])), (1, Some(0.1)));
    assert!(lab.notes.iter().any(|n| n.contains("1 row without a readout")), "{:?}", lab.notes);
    let e = open(&[tables[0], ("done.csv", "gene,y,se\nA,1,-1\n")], "", spec).err().unwrap().to_string();
    assert!(e.contains("the standard error is -1"), "{e}");
}

#[test]
fn reads_are_measurements_of_genes_with_errors() {
    let reads =
        "sgRNA\tGene\tT1\tT2\tC\na1\tA\t8\t2\t1\na2\tA\t2\t2\t1\nb1\tB\t1\t4\t1\nb2\tB\t1\t1\t1\nn\tNTC_1\t1\t1\t1\n";
    let tables = [("library.csv", "gene\nA\nB\nC\n"), ("reads.txt", reads)];
    let spec = |more: &str| {
        format!(
            "[measured]\npath = \"reads.txt\"\n{more}\n[measured.counts]\ntreatment = [\"T1\", \"T2\"]\ncontrol = \"C\"\n\
             normalise = \"none\"\npseudocount = 1e-12\n"
        )
    };
    let close =
        |got: Vec<f64>, want: &[f64]| assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-9), "{got:?}");
    // By guide, mean of the two: A 2 and 1, B 1 and 0.
    let lab = open(&tables, "", &spec("")).unwrap();
    assert_eq!((&lab.observed.ids[..], candidates(&lab)), (&[0, 1][..], vec!["C".to_string()]));
    close(lab.observed.y.iter().copied().collect(), &[1.5, 0.5]);
    close(lab.observed.sd.as_ref().unwrap().iter().copied().collect(), &[0.5, 0.5]);
    let notes = lab.notes.join("; ");
    for text in ["1 guide of control (NTC_1)", "taken as control", "1 row of control only left out"] {
        assert!(notes.contains(text), "no `{text}` in {notes}");
    }
    let lab = open(&tables, "", &spec("replicates = [\"T1\", \"T2\"]")).unwrap();
    assert_eq!(lab.observed.ids, [0, 0, 1, 1]);
    close(lab.observed.y.iter().copied().collect(), &[2.0, 1.0, 0.0, 1.0]);
    assert!(lab.observed.sd.is_none());
}

#[test]
fn replicates_are_rows_or_columns() {
    let library = ("library.csv", "gene1,gene2\nA,B\nB,C\nA,C\n");
    let pool = "genes = [\"gene1\", \"gene2\"]\ncontrol = \"NT\"";
    let rows = "gene1,gene2,y\nA,B,1\nC,B,2\nB,A,3\nA,NT,5\nNT,A,7\n";
    let spec = "[measured]\npath = \"done.csv\"\ngenes = [\"gene1\", \"gene2\"]\n";
    let lab = open(&[library, ("done.csv", rows)], pool, &format!("{spec}values = \"y\"\n")).unwrap();
    assert_eq!((&lab.observed.ids[..], lab.observed.y.column(0).to_vec()), (&[0, 1, 0][..], vec![1.0, 2.0, 3.0]));
    assert_eq!(lab.single_effects().unwrap()[(0, 0)], 6.0);
    assert!(lab.notes.iter().any(|n| n.contains("3 measurements of 2 perturbations")), "{:?}", lab.notes);
    let columns = "gene1,gene2,r1,r2\nA,B,1,3\nC,B,2,-\nA,NT,5,7\n";
    let of = |text: &str, more: &str| {
        open(&[library, ("done.csv", text)], pool, &format!("{spec}replicates = [\"r1\", \"r2\"]\n{more}"))
    };
    let lab = of(columns, "").unwrap();
    assert_eq!((&lab.observed.ids[..], lab.observed.y.column(0).to_vec()), (&[0, 0, 1][..], vec![1.0, 3.0, 2.0]));
    assert_eq!(lab.single_effects().unwrap()[(0, 0)], 6.0);
    assert!(lab.notes.iter().any(|n| n.contains("1 row without some of the replicates")), "{:?}", lab.notes);
    let none = format!("{columns}A,C,-,-\n");
    assert!(of(&none, "").err().unwrap().to_string().contains("line 5: every replicate is missing"));
    assert_eq!(of(&none, "missing = \"drop\"\n").unwrap().observed.ids.len(), 3);
    let e = of(columns, "values = \"r1\"\n").err().unwrap().to_string();
    assert!(e.contains("`values` and `replicates` under [measured] both name readouts"), "{e}");
    let e = of(columns, "sd = \"r1\"\n").err().unwrap().to_string();
    assert!(e.contains("`sd` names 1 columns and `replicates` 2"), "{e}");
}

#[test]
fn guides_and_effects_of_mageck_are_read_as_in_a_scenario() {
    let library = ("library.csv", "gene\nA\nB\nC\n");
    let guides =
        [library, ("done.csv", "sgRNA,lfc\ng1,1\ng3,2\ng2,3\n"), ("guides.csv", "guide,gene\ng1,A\ng2,A\ng3,B\n")];
    let spec =
        "[measured]\npath = \"done.csv\"\ngenes = [\"sgRNA\"]\nvalues = \"lfc\"\nguides = { path = \"guides.csv\" }\n";
    assert_eq!(open(&guides, "", spec).unwrap().observed.ids, [0, 1, 0]);
    let mle = "Gene\tsgRNA\tX|beta\tX|z\nA\t4\t-1.5\t-3\nNTC\t900\t0\t0\n";
    let spec = |key: &str| format!("[measured]\npath = \"done.txt\"\nmageck = {key}\n");
    let lab = open(&[library, ("done.txt", mle)], "", &spec("\"beta\"")).unwrap();
    assert_eq!((lab.observed.y[(0, 0)], lab.observed.sd.as_ref().unwrap()[(0, 0)]), (-1.5, 0.5));
    let both = spec("\"beta\"\nvalues = \"X|beta\"");
    let e = open(&[library, ("done.txt", mle)], "", &both).err().unwrap().to_string();
    assert!(e.contains("`mageck` and `values` both say what is read"), "{e}");
}
