//! Files as other programs write them: what is read, what is left out and told, what is refused.

use crate::common::*;
use crate::scenarios::logs;

/// A campaign over six genes with readouts of three, `pool` and `measured` being further lines of these sections.
fn campaign(s: &Session, pool: &str, measured: &str) {
    s.write("library.csv", "gene\nTP53\nMYC\nCD28\nLAT\nRHOA\nVAV1\n");
    s.write(
        "embedding.csv",
        "gene,f1,f2\nTP53,0.1,1.2\nMYC,-0.5,0.2\nCD28,0.9,-0.3\nLAT,0.4,0.4\nRHOA,-1.1,0.8\nVAV1,0.2,-0.7\n",
    );
    s.write("readouts.csv", "gene,lfc\nTP53,-1.3\nMYC,-2.1\nCD28,0.1\n");
    s.write(
        "campaign.toml",
        &format!(
            "name = \"c\"\nbatch = 2\nseed = 1\n[target]\ndirection = \"min\"\n[pool]\npath = \"library.csv\"\n{pool}\n[measured]\n\
             values = \"lfc\"\n{measured}\n[prior.emb]\nuse = \"embedding_table\"\npath = \"embedding.csv\"\n[model]\nuse = \"gp\"\n\
             [acquisition]\nuse = \"greedy\"\n"
        ),
    );
}

/// The perturbations of a batch, in order.
fn chosen(r: &Ran) -> Vec<String> {
    r.out.lines().skip(1).filter_map(|l| l.split(',').nth(1)).map(str::to_string).collect()
}

#[test]
fn an_index_or_a_result_of_a_test_is_no_feature() {
    let s = Session::new();
    s.write("plain.csv", "gene,f1\nA,0\nB,0.1\nC,0.9\nD,0.2\n");
    s.write("indexed.csv", ",gene,f1\n0,A,0\n1,B,0.1\n2,C,0.9\n3,D,0.2\n");
    s.write("plates.csv", "Metadata_Plate,gene,f1\n7,A,0\n500,B,0.1\n7,C,0.9\n900,D,0.2\n");
    for file in ["plain.csv", "indexed.csv", "plates.csv"] {
        let r = s.silently(0, &format!("suggest --features {file} --rule max_dist --batch 2"));
        assert_eq!(chosen(&r), ["C", "A"], "{file}");
        assert!(r.err.contains(&format!("1 feature of {file}: f1")), "{}", r.err);
    }
    let named = "suggest --features plates.csv --columns Meta* --columns f1 --rule max_dist --batch 1";
    assert_eq!(chosen(&s.silently(0, named)), ["D"]);
    let mle = "Gene\tsgRNA\tA|beta\tA|p-value\nJak1\t4\t-1.9\t0.01\nPpan\t4\t-0.9\t0.2\nNO_CURRENT\t1000\t0\t0.9\n";
    s.write("mle.tsv", mle);
    let r = s.silently(0, "suggest --features mle.tsv --id Gene --rule max_dist --batch 2");
    assert_eq!(chosen(&r)[0], "Jak1");
    assert!(!r.out.contains("NO_CURRENT") && r.err.contains("taken as control, which is never chosen: NO_CURRENT"));
    let r = s.silently(2, "suggest --features plain.csv --exclude g1 --rule max_dist --batch 2");
    assert!(r.err.contains("did you mean \"f1\"?"), "{}", r.err);
}

#[test]
fn what_is_excluded_under_way_or_of_control_is_never_chosen() {
    let s = Session::new();
    campaign(&s, "exclude = [\"non-targeting\", \"RHO*\"]", "path = \"readouts.csv\"");
    s.write("library.csv", "gene\nTP53\nMYC\nCD28\nLAT\nRHOA\nVAV1\nnon-targeting\nLacZ\n");
    let mut both = chosen(&s.silently(0, "suggest campaign.toml"));
    both.sort();
    assert_eq!(both, ["LAT", "VAV1"]);
    let r = s.silently(0, "suggest campaign.toml --batch 4");
    assert!(r.err.contains("a batch of 4 was asked for, and 2 are left"), "{}", r.err);
    s.write("pending.csv", "gene\nVAV1\n");
    let text = s.read("campaign.toml") + "[pending]\npath = \"pending.csv\"\n";
    s.write("campaign.toml", &text);
    let r = s.silently(0, "suggest campaign.toml");
    assert_eq!(chosen(&r), ["LAT"]);
    says(&r, &["1 under way"]);
}

#[test]
fn an_uninformed_choice_is_told() {
    let s = Session::new();
    campaign(&s, "", "path = \"readouts.csv\"");
    s.write("library.csv", "gene\nTP53\nMyc\nCd28\nLat\nRhoa\nVav1\n");
    s.write("readouts.csv", "gene,lfc\nTP53,-1\nMyc,-2\n");
    let r = s.silently(0, "suggest campaign.toml");
    for text in [
        "warning: prior `emb` knows 1 of 6 genes of the pool",
        "in capitals only (`Myc` and `MYC`)",
        "warning: all 2 chosen have the same score",
    ] {
        assert!(r.err.contains(text), "no `{text}` in {}", r.err);
    }
    // With a table of symbols as HGNC gives it there is nothing to warn of.
    campaign(&s, "symbol_updates = \"symbols.csv\"", "path = \"readouts.csv\"");
    s.write("library.csv", "gene\nTP53\nMyc\nCd28\nLat\nRhoa\nVav1\n");
    s.write("readouts.csv", "gene,lfc\nTP53,-1\nMyc,-2\n");
    s.write(
        "symbols.csv",
        "hgnc_id,symbol,previous,alias\n1,MYC,Myc,\n2,CD28,,Cd28|T44\n3,LAT,Lat,\n4,RHOA,Rhoa,\n5,VAV1,Vav1,\n",
    );
    let r = s.silently(0, "suggest campaign.toml");
    assert!(r.err.contains("6 of 6 genes covered (5 through symbol updates)"), "{}", r.err);
}

#[test]
fn published_forms_of_a_table_are_read() {
    let s = Session::new();
    campaign(&s, "", "path = \"readouts.csv\"");
    let clean = s.silently(0, "suggest campaign.toml").out;
    for (file, keys, text) in [
        ("r.txt", "", "gene\tlfc\nTP53\t-1.3\nMYC\t-2.1\nCD28\t0.1\n"),
        ("R.TSV", "", "gene\tlfc\t\nTP53\t-1.3\nMYC\t-2.1\nCD28\t0.1\n"),
        ("c.csv", "", "# by pipeline 3\n# line: Jurkat\ngene,lfc\nTP53,-1.3\nMYC,-2.1\nCD28,0.1\n"),
        ("e.csv", "", "gene;lfc\nTP53;-1,3\nMYC;-2,1\nCD28;0,1\n"),
        ("m.gene_summary.txt", "genes = [\"id\"]", "id\tnum\tlfc\nTP53\t4\t-1.3\nMYC\t4\t-2.1\nCD28\t4\t0.1\n"),
        ("d.csv", "missing = \"drop\"", "gene,lfc\nTP53,-1.3\nLAT,-\nMYC,-2.1\nRHOA,#N/A\nCD28,0.1\n"),
    ] {
        campaign(&s, "", &format!("path = \"{file}\"\n{keys}"));
        s.write(file, text);
        assert_eq!(s.silently(0, "suggest campaign.toml").out, clean, "{file}");
    }
    s.write("readouts.csv", "gene,lfc\nTP53,\"1,204\"\nMYC,\"10,500\"\nCD28,950\n");
    campaign(&s, "", "path = \"thousands.csv\"");
    s.write("thousands.csv", "gene,lfc\nTP53,\"1,204\"\nMYC,\"10,500\"\nCD28,950\n");
    let r = s.silently(2, "suggest campaign.toml");
    assert!(r.err.contains("\"1,204\" may mean 1204 or 1.204"), "{}", r.err);
}

#[test]
fn gene_sets_and_links_are_read_as_they_are_published() {
    let s = Session::new();
    campaign(&s, "", "path = \"readouts.csv\"");
    let text = s.read("campaign.toml");
    let prior = "use = \"embedding_table\"\npath = \"embedding.csv\"";
    s.write("sets.gmt", "SET_A\thttp://x\tTP53\tMYC\tLAT\nSET_B\thttp://x\tCD28\tLAT\tRHOA\tVAV1\n");
    s.write("campaign.toml", &text.replace(prior, "use = \"gene_sets\"\npath = \"sets.gmt\"\nmin_size = 2"));
    assert!(s.silently(0, "suggest campaign.toml").err.contains("6 of 6 genes covered"));
    let links = "protein1 protein2 combined_score\n9606.P1 9606.P2 402\n9606.P1 9606.P3 403\n9606.P2 9606.P3 404\n";
    s.write("links.txt", links);
    s.write("library.csv", "gene\nP1\nP2\nP3\n");
    s.write("readouts.csv", "gene,lfc\nP1,-1\n");
    let graph = "use = \"graph\"\npath = \"links.txt\"\nweight = \"combined_score\"";
    s.write("campaign.toml", &text.replace(prior, graph));
    assert!(s.silently(0, "suggest campaign.toml").err.contains("3 of 3 genes covered"));
    s.write("library.csv", "gene\nTP53\nMYC\nMDM2\n");
    s.write("readouts.csv", "gene,lfc\nTP53,-1\n");
    s.write("info.txt", "#string_protein_id\tpreferred_name\n9606.P1\tTP53\n9606.P2\tMYC\n9606.P3\tMDM2\n");
    s.write("campaign.toml", &text.replace(prior, &format!("{graph}\nnames = \"info.txt\"")));
    assert!(s.silently(0, "suggest campaign.toml").err.contains("3 of 3 genes covered"));
}

#[test]
fn screens_with_several_controls_and_missing_values_are_replayed() {
    let s = Session::new();
    let scenario = |oracle: &str| {
        format!(
            "name = \"s\"\nseeds = {{ from = 0, count = 1 }}\nrounds = 1\nbatch = 1\nmetrics = [\"hit_ratio\"]\n[pool]\ninit = 1\n\
             test = 0.0\n[oracle]\nuse = \"screen_table\"\n{oracle}\n[acquisition]\nuse = \"random\"\n"
        )
    };
    s.write(
        "t.csv",
        "gene1,gene2,lfc\nTP53,MYC,-2\nTP53,NegControl,-1\nTP53,NT,-1\nMYC,NegControl,-1\nLAT,MYC,-3\nNT,NT,0\n",
    );
    let controls =
        "path = \"t.csv\"\ngenes = [\"gene1\", \"gene2\"]\nvalues = [\"lfc\"]\ncontrol = [\"NegControl\", \"N?\"]";
    s.write("s.toml", &scenario(controls));
    s.silently(0, "run s.toml --data-dir .");
    let log = logs(&s, "s").concat();
    for text in ["1 rows of control only were left out", "3 rows of a gene with control are effects of single genes"] {
        assert!(log.contains(text), "no `{text}` in {log}");
    }
    s.write(
        "orcs.txt",
        "#SCREEN_ID\tOFFICIAL_SYMBOL\tSCORE.1\n634\tTP53\t-2.3\n634\tMYC\t-\n634\tLAT\t0.4\n634\tAXL\t1\n",
    );
    let orcs = "path = \"orcs.txt\"\ngenes = [\"OFFICIAL_SYMBOL\"]\nvalues = [\"SCORE.1\"]";
    s.write("s.toml", &scenario(orcs).replace("\"s\"", "\"o\""));
    assert!(s.silently(2, "run s.toml --data-dir .").err.contains("set missing = \"drop\" to leave out such rows"));
    s.write("s.toml", &scenario(&format!("{orcs}\nmissing = \"drop\"")).replace("\"s\"", "\"o\""));
    s.silently(0, "run s.toml --data-dir .");
    assert!(logs(&s, "o").concat().contains("1 rows lack a value and were left out"));
}

#[test]
fn samples_without_a_label_are_left_out() {
    let s = Session::new();
    let rows =
        "control,0\ncontrol,0.1\ncontrol,-0.1\nA,1\nA,1.1\nA,0.9\n,5\nB,2\nB,2.1\nB,1.9\nA+B,3\nA+B,3.1\nA+B,2.9\n";
    s.write("s.csv", &format!("perturbation,f1\n{rows}"));
    let r = s.silently(0, "interactions --samples s.csv --test additivity --out out");
    assert!(r.out.contains("1 pairs") && r.err.contains("1 sample has no label"), "{}{}", r.out, r.err);
}

#[test]
fn a_file_is_described() {
    let mut s = Session::new();
    s.write("a.gene_summary.txt", "id\tnum\tneg|lfc\tneg|fdr\nTP53\t4\t-1.25\t0.01\nMYC\t4\t-2\t0.02\nLAT\t4\t0.5\t0.9\nNTC_1\t4\t0\t1\nNTC_2\t4\t0\t1\n");
    s.run(0, "data describe a.gene_summary.txt --data-dir .");
    s.run(2, "data describe nowhere.csv --data-dir .");
    s.write("book.xlsx", "PK");
    s.run(2, "data describe book.xlsx --data-dir .");
    s.matches("described");
}
