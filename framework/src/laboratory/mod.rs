//! A laboratory's own screen, from its tables: what could be measured, what was, what is under way.
//!
//! Controls are no genes. Rows with one gene and otherwise control are that gene's effect alone, as in a replayed screen, so that a
//! strategy meets in the laboratory what it met in simulation.

mod rows;
#[cfg(test)]
mod tests;

use crate::data::DataRoot;
use crate::domain::{Gene, Genes, MissingRows, Names, Observed, Perturbation, Pool, Readouts};
use crate::error::{Error, Result, counted};
use crate::measured::{Form, Measurements};
use crate::plugin::{Experiment, Screen};
use crate::scenario::{Campaign, Library, Measured};
use ndarray::Array2;
use numerics::streams::Streams;
use rows::{Place, Rows};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use table::Table;

/// The tables of a campaign file, joined.
pub struct Laboratory {
    /// All perturbations of the library that have a gene, controls taken out.
    pub pool: Arc<Pool>,
    /// Readouts so far.
    pub observed: Observed,
    /// Perturbations under way, each once.
    pub pending: Vec<usize>,
    /// Perturbations with a gene that is excluded.
    pub excluded: Vec<usize>,
    /// Rows of the library that are no candidates although nothing was measured: of control, excluded, under way.
    pub withheld: usize,
    /// What was found, for the user; a warning says that it is one.
    pub notes: Vec<String>,
    /// Genes x readouts, NaN where not known; absent where no row has one.
    single_effects: Option<Array2<f64>>,
}

impl Laboratory {
    /// Reads the tables that a campaign names, below `root`.
    pub fn open(campaign: &Campaign, root: &DataRoot) -> Result<Self> {
        let library = &campaign.pool;
        let accept = &library.accept;
        let mut suspects = vec![];
        let mut read = |table: Arc<Table>, path: &Path, genes: &[String], separator: &Option<String>| -> Result<Rows> {
            let file = root.path(path).display().to_string();
            let place = Place { genes, separator: separator.as_deref() };
            let (rows, found) = Rows::read(table, file, place, accept)?;
            suspects.push(found);
            Ok(rows)
        };
        let all = read(root.table(&library.path)?, &library.path, &library.genes, &library.separator)?;
        let mut found = campaign.measured.as_ref().map(|m| form(m, library).read(&m.path, root)).transpose()?;
        let mut notes: Vec<String> = found.as_mut().map_or(vec![], |f| std::mem::take(&mut f.notes));
        let done = match campaign.measured.as_ref().zip(found) {
            Some((m, found)) => Some((read(found.table.clone(), &m.path, &found.genes, &m.separator)?, m, found)),
            None => None,
        };
        let pending = match &campaign.pending {
            Some(p) => Some(read(root.table(&p.path)?, &p.path, &p.genes, &p.separator)?),
            None => None,
        };

        let mut looks = vec![];
        for found in suspects {
            let new: Vec<String> = found.lines().into_iter().filter(|l| !notes.contains(l)).collect();
            notes.extend(new);
            let new: Vec<String> = found.controls.into_iter().filter(|n| !looks.contains(n)).collect();
            looks.extend(new);
        }
        let control = controls(library, looks, &mut notes);

        let all = all.with_control(&control);
        let pool = Arc::new(pool_of(&all, &mut notes)?);
        let mut lab = Self {
            observed: Observed::empty(1),
            pending: vec![],
            excluded: excluded(&pool, &library.exclude, &control, &mut notes)?,
            notes,
            withheld: 0,
            single_effects: None,
            pool,
        };
        if let Some((rows, m, found)) = done {
            lab.measured(&Readings::of(m, found, &rows)?, &rows.with_control(&control))?;
        }
        if let Some(rows) = pending {
            let rows = rows.with_control(&control);
            for row in (0..rows.len()).filter(|r| !rows.genes(*r).is_empty()) {
                let id = lab.id(&rows, row)?;
                if !lab.pending.contains(&id) && !lab.observed.ids.contains(&id) {
                    lab.pending.push(id);
                }
            }
            lab.notes.push(format!("{} under way", lab.pending.len()));
        }
        lab.withheld = all.len() - lab.pool.len() + lab.excluded.len() + lab.pending.len();
        Ok(lab)
    }

    /// The perturbation of a row.
    fn id(&self, rows: &Rows, row: usize) -> Result<usize> {
        let found = match rows.genes(row)[..] {
            // One column may hold labels as this program writes them.
            [label] => self.pool.parse(label),
            ref genes => self.pool.find_named(genes),
        };
        found.map_err(|e| rows.at(row, e))
    }

    fn measured(&mut self, readings: &Readings, rows: &Rows) -> Result<()> {
        let drop = readings.missing == MissingRows::Drop;
        let may_lack = drop || readings.replicates;
        let values = rows.table.all_numbers(&readings.values, may_lack)?;
        let errors = readings.sd.as_ref().map(|sd| rows.table.all_numbers(sd, may_lack)).transpose()?;
        let lacks = |row: usize, columns: &[usize]| {
            columns.iter().any(|&c| values[c][row].is_nan() || errors.as_ref().is_some_and(|e| e[c][row].is_nan()))
        };
        // The columns of each measurement of a row.
        let all: Vec<usize> = (0..values.len()).collect();
        let measurements: Vec<&[usize]> = if readings.replicates { all.chunks(1).collect() } else { vec![&all[..]] };
        let width = measurements[0].len();
        self.observed = Observed::empty(width);
        let (mut ids, mut kept) = (vec![], vec![]);
        let (mut of_control, mut missing, mut incomplete) = (0, 0, 0);
        let n = self.pool.genes().len();
        let (mut sum, mut count) = (Array2::<f64>::zeros((n, width)), vec![0.0; n]);
        #[allow(clippy::needless_range_loop)] // a row is more than its values
        for row in 0..rows.len() {
            let genes = rows.genes(row);
            let known: Vec<&[usize]> = measurements.iter().copied().filter(|c| !lacks(row, c)).collect();
            if known.is_empty() && !drop {
                let what = "every replicate is missing; fill one in, or set missing = \"drop\" to leave out such rows";
                return Err(rows.at(row, Error::Data(what.into())));
            }
            if known.is_empty() {
                missing += 1;
            } else if let Some(gene) = self.alone(&genes) {
                for columns in known {
                    count[gene.index()] += 1.0;
                    columns.iter().enumerate().for_each(|(o, &c)| sum[(gene.index(), o)] += values[c][row]);
                }
            } else if genes.is_empty() {
                of_control += 1;
            } else {
                incomplete += usize::from(known.len() < measurements.len());
                let id = self.id(rows, row)?;
                ids.extend(known.iter().map(|_| id));
                kept.extend(known.into_iter().map(|columns| (row, columns)));
            }
        }
        let gather = |from: &[Vec<f64>]| {
            Array2::from_shape_fn((kept.len(), width), |(i, o)| {
                let (row, columns) = kept[i];
                from[columns[o]][row]
            })
        };
        let mut readouts = Readouts::plain(&ids, gather(&values));
        if let Some(errors) = &errors {
            let sd = gather(errors);
            if let Some(((i, _), v)) = sd.indexed_iter().find(|(_, v)| **v < 0.0) {
                return Err(
                    rows.at(kept[i].0, Error::Data(format!("the standard error is {v}; it must not be negative")))
                );
            }
            readouts.sd = Some(sd);
        }
        self.observed.push(&readouts, 0)?;
        let alone = count.iter().filter(|c| **c > 0.0).count();
        if alone > 0 {
            sum.outer_iter_mut().zip(count).for_each(|(mut s, n)| s /= n);
            self.single_effects = Some(sum);
            self.notes.push(format!("effects of {alone} of {n} genes alone"));
        }
        let different = ids.iter().collect::<HashSet<_>>().len();
        if ids.len() > different {
            let what = format!("{} of {}", counted(ids.len(), "measurement"), counted(different, "perturbation"));
            self.notes.push(format!("{}: {what}: those of the same one are its replicates", rows.file));
        }
        for (n, what) in [
            (missing, "without a readout left out"),
            (incomplete, "without some of the replicates"),
            (of_control, "of control only left out"),
        ] {
            if n > 0 {
                self.notes.push(format!("{}: {} {what}", rows.file, counted(n, "row")));
            }
        }
        Ok(())
    }

    /// The gene of a row that measures its effect alone, in a library of pairs or larger sets.
    fn alone(&self, genes: &[&str]) -> Option<Gene> {
        let [one] = genes else { return None };
        let gene = self.pool.genes().find(one)?;
        (self.pool.max_order() > 1 && self.pool.find(&Perturbation::new([gene])).is_none()).then_some(gene)
    }
}

impl Screen for Laboratory {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        self.observed.n_outputs()
    }

    fn measure(&self, _: &[usize], _: &Experiment, _: &Streams) -> Result<Readouts> {
        Err(Error::Unsupported("a laboratory's screen is measured by the laboratory".into()))
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        self.single_effects.clone()
    }
}

/// How the table of what was measured is read.
fn form<'a>(m: &'a Measured, library: &'a Library) -> Form<'a> {
    Form {
        genes: &m.genes,
        separator: m.separator.as_deref(),
        control: library.control.as_ref(),
        accept: &library.accept,
        only: &m.only,
        guides: m.guides.as_ref(),
        counts: m.counts.as_ref(),
        mageck: m.mageck.as_ref(),
    }
}

/// The columns of what was measured.
struct Readings {
    /// Readouts, one column for each output, or replicates of one.
    values: Vec<String>,
    /// Whether each cell is a measurement of its own.
    replicates: bool,
    /// Their standard errors, as many.
    sd: Option<Vec<String>>,
    missing: MissingRows,
}

impl Readings {
    /// As the campaign says, else as `counts` or `mageck` gives them.
    fn of(m: &Measured, found: Measurements, rows: &Rows) -> Result<Self> {
        let wrong = |what: String| Err(Error::Config(format!("{}: {what}", rows.file)));
        let (values, replicates) = (&m.values.0, &m.replicates.0);
        if !values.is_empty() && !replicates.is_empty() {
            return wrong("`values` and `replicates` under [measured] both name readouts; leave out one".into());
        }
        if m.mageck.is_some() && !(values.is_empty() && replicates.is_empty()) {
            return wrong("`mageck` and `values` both say what is read; leave out one".into());
        }
        let own = !values.is_empty() || !replicates.is_empty();
        let columns = match (own, replicates.is_empty()) {
            (false, _) => found.values,
            (true, true) => values.clone(),
            (true, false) => replicates.clone(),
        };
        if columns.is_empty() {
            return wrong("say which columns hold readouts, for example values = \"value\" under [measured]".into());
        }
        let sd = match (&m.sd, own) {
            (Some(sd), _) => Some(sd.0.clone()),
            (None, false) => found.sd.map(|sd| vec![sd]),
            (None, true) => None,
        };
        if let Some(sd) = sd.as_ref().filter(|sd| sd.len() != columns.len()) {
            let key = if replicates.is_empty() { "values" } else { "replicates" };
            return wrong(format!("`sd` names {} columns and `{key}` {}; give one for each", sd.len(), columns.len()));
        }
        Ok(Self { values: columns, replicates: !replicates.is_empty(), sd, missing: m.missing })
    }
}

/// The names that stand for no gene: those declared, else those that look like it.
fn controls(library: &Library, looks: Vec<String>, notes: &mut Vec<String>) -> Names {
    let Some(declared) = &library.control else {
        if !looks.is_empty() {
            notes.push(format!(
                "taken as control, which is no gene and never chosen: {} (name yours as `control` under [pool], or those that are \
                 genes as `accept`)",
                looks.join(", ")
            ));
        }
        return Names(looks);
    };
    let others: Vec<String> = looks.into_iter().filter(|n| !declared.contains(n)).collect();
    if !others.is_empty() {
        notes.push(format!(
            "warning: taken as genes although they look like controls: {}; add them to `control` under [pool], or to `accept`",
            others.join(", ")
        ));
    }
    declared.clone()
}

fn pool_of(rows: &Rows, notes: &mut Vec<String>) -> Result<Pool> {
    let order = rows.order();
    let mut genes = Genes::default();
    let mut list = Vec::with_capacity(rows.len());
    let (mut none, mut alone) = (0, 0);
    for row in 0..rows.len() {
        let names = rows.genes(row);
        let p = Perturbation::new(names.iter().map(|n| genes.intern(n)));
        match names.len() {
            0 => none += 1,
            // A gene with a control measures its effect alone.
            1 if order > 1 => alone += 1,
            _ => list.push(p),
        }
    }
    for (n, what) in [(none, "of control only:"), (alone, "of a gene with control, for its effect alone:")] {
        if n > 0 {
            notes.push(format!("{}: {} {what} not among the candidates", rows.file, counted(n, "row")));
        }
    }
    let singles = order <= 1 && genes.len() == list.len();
    let genes = Arc::new(genes);
    if singles {
        return Ok(Pool::singles(genes));
    }
    Pool::list(genes, list).map_err(|e| e.at(rows.file.clone()))
}

/// The perturbations with a gene that one of the patterns names.
fn excluded(pool: &Pool, patterns: &[String], control: &Names, notes: &mut Vec<String>) -> Result<Vec<usize>> {
    let mut out = vec![false; pool.genes().len()];
    for pattern in patterns {
        let mut found = control.contains(pattern) || control.0.iter().any(|c| table::fits(pattern, c));
        for (name, out) in pool.genes().names().zip(&mut out) {
            let fits = name == pattern || table::fits(pattern, name);
            found |= fits;
            *out |= fits;
        }
        if !found {
            let near = crate::error::hint(pattern, pool.genes().names());
            notes.push(format!("warning: `exclude` names `{pattern}`, which no gene of the library is{near}"));
        }
    }
    let ids: Vec<usize> =
        (0..pool.len()).filter(|id| pool.with_genes(*id, |g| g.iter().any(|g| out[g.index()]))).collect();
    if !ids.is_empty() {
        notes.push(format!("{} excluded", counted(ids.len(), "perturbation")));
    }
    Ok(ids)
}
