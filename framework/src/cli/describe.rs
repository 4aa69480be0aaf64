//! What the program sees in a file: `data describe`.

use crate::data::DataRoot;
use crate::domain::SymbolUpdates;
use crate::error::{Error, Result, counted, listed};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use table::{Description, FeatureChoice, Features, Found, GeneNames, Summary, Table};

/// The table of symbols that a data root may have.
const SYMBOLS: &str = "identifiers/hgnc_symbols.csv.gz";
/// Columns that are shown one by one, without `--verbose`.
const SHOWN: usize = 12;

/// A description of a table or of a file of cells, with the lines of a scenario or campaign that read it.
pub(super) fn describe(file: &Path, root: &DataRoot, verbose: bool) -> Result<String> {
    if !matches!(cells::form(file), cells::Form::Other) {
        return of_cells(file);
    }
    let t = table::read(file)?;
    let d = table::describe(&t);
    let mut out = heading(file, &d);
    let genes: Vec<&Summary> = d.columns.iter().filter(|c| c.genes.is_some() && !c.index).collect();
    let roles: Vec<&str> = genes.iter().map(|c| c.name.as_str()).collect();
    let features = FeatureChoice::default().of(&t, &roles).ok();
    let most = if verbose { usize::MAX } else { SHOWN };
    for c in d.columns.iter().take(most) {
        let _ = writeln!(out, "  {}", line(c, features.as_ref()));
    }
    if let Some(more) = d.columns.len().checked_sub(most).filter(|m| *m > 0) {
        let _ = writeln!(out, "  and {more} more columns (--verbose shows all)");
    }
    for (name, why) in &d.unread {
        let _ = writeln!(out, "  {name}: not read, {why}");
    }
    for c in &genes {
        out += &names(&t, c, root)?;
    }
    if let Some(f) = &features {
        let _ = writeln!(out, "features by default: {}: {}", counted(f.names.len(), "column"), listed(&f.names, most));
        f.lines().iter().for_each(|l| out += &format!("{l}\n"));
    }
    out += &to_paste(file, &t, &d, &genes, features.as_ref());
    Ok(out)
}

fn heading(file: &Path, d: &Description) -> String {
    let mut out = format!("{}: {} x {}\n", file.display(), counted(d.rows, "row"), counted(d.columns.len(), "column"));
    if let Some(s) = &d.source {
        let mut what = vec![s.format.to_string()];
        what.extend(s.gzip.then(|| "packed with gzip".to_string()));
        what.extend(s.delimiter.map(|d| format!("cells between {}", d.name())));
        what.extend(s.encoding.map(|e| e.name().to_string()));
        what.push(counted(s.bytes as usize, "byte"));
        let _ = writeln!(out, "{}", what.join(", "));
    }
    d.notes.iter().for_each(|n| out += &format!("{n}\n"));
    out
}

/// A column in a line.
fn line(c: &Summary, features: Option<&Features>) -> String {
    let mut words = vec![format!("{} different", c.distinct)];
    words.extend(c.range.map(|(low, high)| format!("{} to {}", short(&low.to_string()), short(&high.to_string()))));
    words.extend((c.missing > 0).then(|| format!("{} missing", c.missing)));
    let kind = match (c.index, &c.genes) {
        (true, _) => "index of the rows",
        (_, Some(GeneNames::Symbols { .. })) => "gene symbols",
        (_, Some(GeneNames::Ensembl { .. })) => "Ensembl ids",
        (_, Some(GeneNames::Entrez)) => "Entrez ids",
        _ => c.kind.name(),
    };
    if features.is_some_and(|f| f.left_out.iter().any(|l| l.name == c.name)) && !c.index {
        words.push("no feature by its name".into());
    }
    for (found, what) in
        [(&c.controls, "of control"), (&c.dates, "dates made of genes"), (&c.missing_words, "words for no value")]
    {
        if found.cells > 0 {
            words.push(format!("{} cells {what} ({})", found.cells, found.examples.join(", ")));
        }
    }
    let examples = c.examples.iter().take(3).map(|e| short(e)).collect::<Vec<_>>().join(", ");
    format!("{:<24} {:<17} {}; as {examples}", c.name, kind, words.join(", "))
}

/// How far the names of a column are known.
fn names(t: &Table, c: &Summary, root: &DataRoot) -> Result<String> {
    let mut out = String::new();
    if c.repeated > 0 {
        let _ = writeln!(out, "{}: {} of {} rows repeat a name", c.name, c.repeated, t.height());
    }
    let path = root.path(Path::new(SYMBOLS));
    if !path.is_file() || matches!(c.genes, Some(GeneNames::Entrez)) {
        return Ok(out);
    }
    let symbols = table::read(&path)?;
    let approved: HashSet<&str> = symbols.text("symbol")?.into_iter().collect();
    let updates = SymbolUpdates::read(&path)?;
    let cells = t.text_or_missing(&c.name)?;
    let different: HashSet<&str> = cells.iter().flatten().map(String::as_str).collect();
    let current = different.iter().filter(|n| approved.contains(**n)).count();
    let old = different.iter().filter(|n| !approved.contains(**n) && updates.current(n).is_some()).count();
    let several = different.iter().filter(|n| !approved.contains(**n) && updates.successors(n).len() > 1).count();
    let capitals =
        different.iter().filter(|n| !approved.contains(**n) && approved.contains(&*n.to_uppercase())).count();
    let _ = write!(out, "{}: of {}, {current} are approved human symbols", c.name, counted(different.len(), "name"));
    for (n, what) in [(old, "former ones or aliases"), (several, "ambiguous"), (capitals, "so in capitals only")] {
        if n > 0 {
            let _ = write!(out, ", {n} {what}");
        }
    }
    let _ = writeln!(out, " ({SYMBOLS})");
    if old > 0 {
        let _ = writeln!(out, "  [pool] symbol_updates = \"{SYMBOLS}\" joins former names");
    }
    Ok(out)
}

/// Lines for a scenario or a campaign.
fn to_paste(file: &Path, t: &Table, d: &Description, genes: &[&Summary], features: Option<&Features>) -> String {
    let quote = |names: &[&str]| names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
    let path = format!("{:?}", file.display().to_string());
    let has = |names: &[&str]| names.iter().all(|n| t.column(n).is_some());
    let mut out = "\nin a scenario or campaign file\n".to_string();
    let columns: Vec<&str> = genes.iter().map(|c| c.name.as_str()).collect();
    let ends = [
        ["gene1", "gene2"],
        ["protein1", "protein2"],
        ["Official Symbol Interactor A", "Official Symbol Interactor B"],
    ];
    if has(&["set", "gene"]) && d.source.as_ref().is_some_and(|s| s.format == "GMT") {
        return out + &format!("  [prior.sets]\n  use = \"gene_sets\"\n  path = {path}\n");
    }
    if let Some([a, b]) = ends.iter().find(|e| has(&e[..])) {
        let _ =
            writeln!(out, "  [prior.links]\n  use = \"graph\"\n  path = {path}\n  source = {a:?}\n  target = {b:?}");
    }
    let Some(first) = columns.first() else {
        return out
            + "  no column looks like genes; name the column that has them as `genes` (screens) or `gene` (features), or that of \
               labels as `labels` under [samples]\n";
    };
    let control = genes.iter().flat_map(|c| pattern(&c.controls)).collect::<std::collections::BTreeSet<_>>();
    let control: Vec<&str> = control.iter().map(String::as_str).collect();
    let control = if control.is_empty() { String::new() } else { format!("  control = [{}]\n", quote(&control)) };
    match features.map(|f| f.names.iter().map(String::as_str).collect::<Vec<_>>()) {
        Some(values) if values.len() <= 8 => {
            let _ = writeln!(
                out,
                "  [oracle]                        # a screen; the same keys under [measured] of a campaign\n  use = \"screen_table\"\n  \
                 path = {path}\n  genes = [{}]\n  values = [{}]            # of {}\n{control}",
                quote(&columns),
                quote(&values[..1]),
                values.join(", ")
            );
        }
        _ => {}
    }
    if features.is_some() {
        let _ = writeln!(
            out,
            "  [prior.table]                   # features of genes\n  use = \"embedding_table\"\n  path = {path}\n  gene = {first:?}\n"
        );
    }
    // A row a perturbation: everything that could be measured.
    if columns.len() > 1 || genes[0].repeated == 0 {
        let _ = writeln!(
            out,
            "  [pool]                          # of a campaign: everything that could be measured\n  path = {path}\n  genes = [{}]\n{control}",
            quote(&columns)
        );
    }
    out
}

/// The names of controls, or a pattern where there are more than are shown.
fn pattern(found: &Found) -> Vec<String> {
    if found.cells <= found.examples.len() {
        return found.examples.clone();
    }
    let first = found.examples.first().map_or("", String::as_str);
    let same = |n: usize| found.examples.iter().all(|e| e.as_bytes().get(..n) == first.as_bytes().get(..n));
    let n = (0..=first.len()).rev().find(|&n| first.is_char_boundary(n) && same(n)).unwrap_or(0);
    let start = first[..n].trim_end_matches(|c: char| c.is_ascii_digit());
    if start.len() > 1 { vec![format!("{start}*")] } else { found.examples.clone() }
}

/// A number in few digits; other text as it is.
fn short(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(v) if text.len() > 9 => format!("{v:.4}"),
        _ => text.to_string(),
    }
}

fn of_cells(file: &Path) -> Result<String> {
    let c = cells::open(file, &cells::Options::default())?;
    let mut out =
        format!("{}: {} x {}\n", file.display(), counted(c.n_cells(), "cell"), counted(c.genes().len(), "gene"));
    c.notes().iter().for_each(|n| out += &format!("{n}\n"));
    let _ = writeln!(out, "genes such as {}", listed(c.genes(), 5));
    let mut label = None;
    if c.has_columns() {
        for name in [
            "perturbation",
            "gene",
            "guide_identity",
            "condition",
            "sgRNA",
            "target_gene",
            "cell_type",
            "batch",
            "gem_group",
        ] {
            let Ok(values) = c.column(name) else { continue };
            let all: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
            let mut different = all.clone();
            different.sort_unstable();
            different.dedup();
            let control = different.iter().find(|v| table::words::is_control_word(v)).map(|v| v.to_string());
            let _ = writeln!(
                out,
                "  {name:<24} {} different, {} missing; as {}",
                different.len(),
                values.len() - all.len(),
                listed(&different, 3)
            );
            if label.is_none() && control.is_some() {
                label = Some((name, control.unwrap_or_default()));
            }
        }
    }
    let (name, control) = label.unwrap_or(("perturbation", "control".into()));
    let path = file.display().to_string();
    let _ = writeln!(
        out,
        "\nin a scenario\n  [oracle]\n  use = \"perturb_seq\"\n  path = {path:?}\n  label = {name:?}\n  control = {control:?}\n\non the command line\n  \
         screenwright interactions --samples {path} --labels {name} --control {control} --test additivity"
    );
    Ok(out)
}

/// An error where a file is no file.
pub(super) fn check(file: &Path) -> Result<()> {
    if file.exists() || !cells::behind(file).is_empty() {
        return Ok(());
    }
    Err(Error::Data(format!("{}: there is no such file; check the path", file.display())))
}
