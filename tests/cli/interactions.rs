//! Which pairs interact: from a file of samples, and from a simulator that knows.

use crate::common::*;

/// Wells of control, A, B, A+B and C: two features, six wells each, B+A far from additive.
fn wells(s: &Session) -> String {
    let mut text = "perturbation,plate,x,y\n".to_string();
    let at =
        [("NT", 0.0, 0.0), ("A", 2.0, 0.0), ("B", 0.0, 1.0), ("B+A", 9.0, 9.0), ("C", 1.0, 1.0), ("A+C", 3.0, 1.0)];
    for (label, x, y) in at {
        for k in 0..6 {
            let e = (f64::from(k) - 2.5) / 10.0;
            text.push_str(&format!("{label},{},{},{}\n", k % 3, x + e, y - e * e));
        }
    }
    s.write("wells.csv", &text);
    text
}

#[test]
fn a_file_of_samples_becomes_tables_and_figures() {
    let mut s = Session::new();
    wells(&s);
    let go = "interactions --samples wells.csv --control NT --ignore plate --test additivity";
    s.run(0, go);
    let table = s.read("results/wells/additivity.csv");
    let columns = "seed,pair,first,second,score,p,q,called,null,n_control,n_first,n_second,n_both,";
    assert!(table.starts_with(columns), "{table}");
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert!(rows.len() == 2 && rows[0].starts_with("0,A+B,A,B,") && rows[1].starts_with("0,A+C,A,C,"), "{table}");
    assert!(rows[0].contains(",true,additive,6,6,6,6,") && rows[1].contains(",false,additive,"), "{table}");
    for figure in ["map.svg", "map.png"] {
        assert!(s.path().join("results/wells").join(format!("additivity_{figure}")).exists());
    }
    // The same bytes on one thread, and with wells of a plate taken together a p value of few units.
    s.silently(0, &format!("{go} --threads 1 --out one"));
    assert_eq!(s.read("one/additivity.csv"), table);
    s.run(0, &format!("{go} --unit plate --out units"));
    assert_ne!(s.read("units/additivity.csv"), table);
    s.matches("interactions");
}

#[test]
fn bad_samples_and_studies_are_explained() {
    let mut s = Session::new();
    let text = wells(&s);
    for more in [
        "",
        " --control NT --labels pertubation",
        " --control NT --separator _",
        " --control NT --ignore plat",
        " --control NT --rate 2",
        " --control NT --test addditivity",
    ] {
        s.run(2, &format!("interactions --samples wells.csv --test additivity{more}"));
    }
    let debiased = "interactions --samples other.csv --control NT --ignore plate --test additivity:form=debiased";
    s.note("a class of one sample is left out of tests that need two");
    let few = text.lines().filter(|l| !l.starts_with("C,") || l.contains("0.75"));
    s.write("other.csv", &few.map(|l| format!("{l}\n")).collect::<String>());
    s.run(0, debiased);
    let table = s.read("results/other/additivity.csv");
    assert!(table.contains("a class has fewer than 2 samples (6, 6, 1, 6)"), "{table}");
    s.note("a pair without one of its singles is named");
    let none = text.lines().filter(|l| !l.starts_with("C,"));
    s.write("other.csv", &none.map(|l| format!("{l}\n")).collect::<String>());
    s.run(0, debiased);
    let table = s.read("results/other/additivity.csv");
    assert!(table.contains("no samples of C alone"), "{table}");
    s.note("an empty cell");
    s.write("other.csv", &text.replace("A,0,1.75,", "A,0,,"));
    s.run(2, debiased);
    for study in [
        "name = \"s\"\n[oracle]\nuse = \"latent_shift\"\nsample = 5\n[test.a]\nuse = \"additivty\"\n",
        "name = \"s\"\n[test.a]\nuse = \"additivity\"\n",
        "name = \"s\"\n[oracle]\nuse = \"latent_shift\"\n",
        "name = \"s\"\n[oracle]\nuse = \"latent_dag\"\n[test.a]\nuse = \"additivity\"\n",
    ] {
        s.note(&format!("study.toml is {study:?}"));
        s.write("study.toml", study);
        s.run(2, "interactions study.toml");
    }
    s.matches("interactions_mistakes");
}

#[test]
fn labels_are_read_as_genes_and_pairs() {
    let mut s = Session::new();
    let mut of = |code: i32, rows: &str| {
        let rows = format!("perturbation,x\nNT,1\nNT,1\n{rows}");
        s.note(&format!("wells.csv is {rows:?}"));
        s.write("wells.csv", &rows);
        s.run(code, "interactions --samples wells.csv --control NT --test additivity");
    };
    of(2, "A,2\nB,3\nA++B,4\n");
    of(2, "A,2\nB,3\nA_B,4\n");
    // Samples that are all alike deviate from nothing.
    of(0, "A,1\nA,1\nB,1\nB,1\nA+B,1\nA+B,1\n");
    let table = s.read("results/wells/additivity.csv");
    assert!(table.contains("0,A+B,A,B,0.0,1.0,1.0,false,"), "{table}");
    s.matches("interactions_labels");
}

#[test]
fn a_simulated_study_knows_its_truth() {
    let mut s = Session::new();
    let text = "name = \"mix\"\nseeds = { from = 0, count = 2 }\n[oracle]\nuse = \"latent_mixture\"\nsamples = 300\nlayers = 0\n\
                laws = { A = { component = 1, at = 5 }, B = { component = 2, at = 5 }, C = { component = 2, at = -5 }, \
                \"B+C\" = { component = 2, at = 20 } }\nweights = [0.3, 0.3, 0.4]\n[test.additivity]\nuse = \"additivity\"\n";
    s.write("mix.toml", text);
    s.run(0, "interactions mix.toml");
    let table = s.read("results/mix/additivity.csv");
    assert!(table.contains(",relation,") && table.contains(",interacting,") && table.contains(",disjoint,"), "{table}");
    assert!(s.path().join("results/mix/additivity_volcano.png").exists());
    s.matches("interactions_simulated");
}
