//! Scenarios that several verbs are tried on.

use crate::common::*;
use std::path::Path;

/// The tiny scenario with prices, claims, a variant and published curves.
pub fn judged(d: &Path) -> String {
    let rows: String = (0..2)
        .flat_map(|run| {
            (0..4).map(move |t| {
                format!("Random,{run},{t},{}\nMaxDist,{run},{t},{}\n", 2.0 - 0.2 * t as f64, 2.0 - 0.3 * t as f64)
            })
        })
        .collect();
    write(d, "paper.csv", &format!("paper_method,run,round,loss\n{rows}"));
    format!(
        "{TINY}\n[cost]\nper_perturbation = 10.0\nper_round = 5.0\nmonths_per_round = 2.0\n\
         [variant.short]\nrounds = 1\n\"grid.acquisition\" = [{{ use = \"random\" }}, {{ use = \"max_dist\" }}]\n\
         [variant.gp]\n\"model.use\" = \"gp\"\n\
         [published]\nfile = \"paper.csv\"\nmetrics = {{ rmse = \"loss\" }}\n\
         [[claim]]\ntext = \"greedy finds more than random\"\nbetter = {{ \"acquisition\" = \"greedy\" }}\n\
         than = {{ \"acquisition\" = \"random\" }}\n\
         [[claim]]\ntext = \"greedy is the fastest\"\nkind = \"speedup\"\nat_least = 1.5\n\
         better = {{ \"acquisition\" = \"greedy\" }}\nthan = {{}}\nall_of = true\n"
    )
}

/// Two donors of 60 genes, two tables of features, two sizes of screen, two models and a rule that one of them cannot
/// serve.
pub fn benchmark(d: &Path) -> String {
    let donor = |i: usize, k: usize| (i * 37 % 23) as f64 / 10.0 - 1.1 + ((i * (5 + 2 * k) + k) % 7) as f64 / 10.0;
    let rows: String = (0..60).map(|i| format!("G{i:03},{},{}\n", donor(i, 0), donor(i, 1))).collect();
    write(d, "donors.csv", &format!("gene,d1,d2\n{rows}"));
    for (name, m) in [("a", 23), ("b", 11)] {
        let rows: String = (0..60).map(|i| format!("G{i:03},{},{}\n", i * 37 % m, i % 7)).collect();
        write(d, &format!("{name}.csv"), &format!("gene,x,y\n{rows}"));
    }
    "name = \"bench\"\nseeds = { from = 0, count = 3 }\nrounds = 3\nbatch = 4\nincompatible = \"skip\"\n\
     metrics = [\"hit_ratio\", \"mse\", \"pearson\", \"hits\", \"hits_per_kusd\", \"enrichment\", \"hit_ratio_all\"]\n\
     [target]\nhit_fraction = 0.25\n[pool]\ninit = 6\nexhausted = \"stop\"\ncovered_by = \"all\"\n\
     [oracle]\nuse = \"screen_table\"\npath = \"donors.csv\"\nreplicates = [\"d1\", \"d2\"]\n\
     [acquisition]\nuse = \"random\"\n\
     [strategy.random]\nacquisition = { use = \"random\" }\n\
     [strategy.greedy]\nacquisition = { use = \"greedy\" }\n\
     [strategy.ucb]\nacquisition = { use = \"ucb\" }\n\
     [axis.features.a]\n\"prior.a\" = { use = \"embedding_table\", path = \"a.csv\" }\n\
     [axis.features.both]\n\"prior.a\" = { use = \"embedding_table\", path = \"a.csv\" }\n\
     \"prior.b\" = { use = \"embedding_table\", path = \"b.csv\" }\n\
     [axis.size.small]\nbatch = 4\n[axis.size.large]\nbatch = 30\nrounds = 2\n\
     [axis.learner.ridge]\nmodel = { use = \"ridge\" }\n[axis.learner.mean]\nmodel = { use = \"mlp\", widths = [4], epochs = 2 }\n\
     [compare]\nreference = { strategy = \"random\" }\nby = [\"strategy\", \"learner\"]\n"
        .to_string()
}

/// The logs of a scenario's runs.
pub fn logs(s: &Session, scenario: &str) -> Vec<String> {
    let runs = std::fs::read_dir(s.path().join("results").join(scenario)).expect("results").flatten();
    runs.filter_map(|e| std::fs::read_to_string(e.path().join("log.txt")).ok()).collect()
}
