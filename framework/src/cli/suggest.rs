use super::Folders;
use crate::data::DataRoot;
use crate::domain::{
    Block, Candidates, Compose, Genes, Inputs, Observed, Perturbation, Pool, Readouts, SymbolUpdates, Target,
};
use crate::error::{Error, Result};
use crate::plugin::{Acquisition, FitContext, Kind, PriorContext, Round, RunContext, Setup};
use crate::runner::select_batch;
use crate::scenario::{Campaign, Document, Mistake, UserTable, check_campaign, check_needs};
use crate::streams::Streams;
use clap::Args;
use ndarray::Array2;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use table::{Column, Table};

#[derive(Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true).args(["campaign", "features"]),
    after_help = "Examples:\n  screenwright suggest campaign.toml --out next.csv\n  screenwright suggest --features embedding.csv --measured done.csv --rule max_dist --batch 96\n\nThe second form needs no model: a table with a gene column and feature columns, the rows already\nmeasured, and a selection rule. Output: rank, perturbation, score and, with a model, mean and sd."
)]
pub(crate) struct Suggest {
    /// Campaign file: pool, readouts so far, priors, model, kernel, acquisition, batch, seed
    campaign: Option<PathBuf>,
    /// Without a campaign file: feature table (CSV, CSV.gz, TSV or Parquet)
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Table of genes measured so far; its other columns are ignored
    #[arg(long, value_name = "FILE", requires = "features")]
    measured: Option<PathBuf>,
    /// Column of gene names in both tables
    #[arg(long, value_name = "COLUMN", default_value = "gene")]
    id: String,
    /// Acquisition to use
    #[arg(
        long,
        value_name = "NAME",
        requires = "features",
        default_value_if("features", clap::builder::ArgPredicate::IsPresent, "max_dist")
    )]
    rule: Option<String>,
    /// A parameter of the acquisition, as KEY=VALUE; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", requires = "features")]
    params: Vec<String>,
    /// Perturbations to choose; overrides the campaign file
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Seed; overrides the campaign file
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    folders: Folders,
}

/// All that a selection needs, from either form.
struct Problem {
    campaign_seed: u64,
    batch: usize,
    target: Target,
    inputs: Arc<Inputs>,
    observed: Observed,
    model: Option<Box<dyn crate::plugin::Model>>,
    kernel: Option<Box<dyn crate::plugin::Kernel>>,
    acquisition: Box<dyn Acquisition>,
    notes: Vec<String>,
}

impl Suggest {
    pub(crate) fn execute(self) -> Result<u8> {
        let problem = match (&self.campaign, &self.features) {
            (Some(file), _) => self.read_campaign(file)?,
            (None, Some(features)) => self.read_features(features)?,
            (None, None) => return Err(Error::Config("give a campaign file or --features".into())),
        };
        problem.notes.iter().for_each(|n| eprintln!("{n}"));
        let table = choose(problem)?;
        match &self.out {
            Some(path) => {
                table::write_csv(&table, path)?;
                eprintln!("wrote {} ({} perturbations)", path.display(), table.height());
            }
            None => super::print(&table::to_csv(&table)),
        }
        Ok(super::OK)
    }

    fn read_campaign(&self, file: &Path) -> Result<Problem> {
        let doc = Document::read(file)?;
        let campaign: Campaign = check_campaign(&doc)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let own = DataRoot::new(folder);
        let pool = Arc::new(read_pool(&own, &campaign.pool)?);
        let observed = match &campaign.measured {
            Some(t) => read_measured(&own, t, &pool)?,
            None => Observed::empty(1),
        };
        let streams = Streams::new(self.seed.unwrap_or(campaign.seed));
        let updates = match &campaign.symbol_updates {
            Some(f) => Some(SymbolUpdates::read(&folder.join(f))?),
            None => None,
        };
        // Prior tables are looked up beside the campaign file first, then below the data root.
        let root = self.folders.data();
        let mut notes = Vec::new();
        let mut blocks = Vec::new();
        for (name, prior) in &campaign.prior {
            let beside = prior.data_files().iter().all(|f| own.path(f).exists());
            let data = if beside { &own } else { &root };
            let setup = Setup { data, streams: &streams.child("prior").child(name) };
            let cx = PriorContext { name, genes: pool.genes(), updates: updates.as_ref(), screen: None, setup: &setup };
            let mut block = prior.embed(&cx)?;
            notes.push(format!("prior {name}: {} features; {}", block.x.ncols(), block.note));
            block.fill(campaign.missing);
            blocks.push(Arc::new(block));
        }
        let misfits: Vec<Mistake> = check_needs(
            campaign.model.as_deref(),
            campaign.kernel.as_deref(),
            &*campaign.acquisition,
            !blocks.is_empty(),
            !observed.is_empty(),
        )
        .into_iter()
        .map(|(path, text)| Mistake::at(&[path], text))
        .collect();
        if !misfits.is_empty() {
            return Err(doc.report(&misfits));
        }
        Ok(Problem {
            campaign_seed: self.seed.unwrap_or(campaign.seed),
            batch: self.batch.unwrap_or(campaign.batch),
            target: campaign.target,
            inputs: Arc::new(Inputs::new(pool, blocks, campaign.compose)?),
            observed,
            model: campaign.model,
            kernel: campaign.kernel,
            acquisition: campaign.acquisition,
            notes,
        })
    }

    fn read_features(&self, features: &Path) -> Result<Problem> {
        let t = table::read(features)?;
        let names = t.text(&self.id)?;
        let genes = Arc::new(Genes::new(&names).map_err(|e| Error::Data(format!("{}: {e}", features.display())))?);
        let columns: Vec<&str> = t.numeric_columns().into_iter().filter(|c| *c != self.id).collect();
        if columns.is_empty() {
            return Err(Error::Data(format!("{}: no numeric feature column beside `{}`", features.display(), self.id)));
        }
        let mut x = Array2::zeros((names.len(), columns.len()));
        for (j, c) in columns.iter().enumerate() {
            x.column_mut(j).assign(&ndarray::Array1::from(t.numbers(c)?));
        }
        let block = Block::new("features", x, vec![true; names.len()])?;
        let pool = Arc::new(Pool::singles(genes));
        let mut observed = Observed::empty(1);
        if let Some(m) = &self.measured {
            let measured = table::read(m)?;
            let ids = ids_of(&pool, &[measured.text(&self.id)?], m)?;
            observed.push(&Readouts::plain(&ids, Array2::zeros((ids.len(), 1))), 0)?;
        }
        let acquisition = self.acquisition()?;
        let notes =
            vec![format!("{} perturbations x {} features, {} measured", pool.len(), columns.len(), observed.len())];
        Ok(Problem {
            campaign_seed: self.seed.unwrap_or(0),
            batch: self.batch.ok_or_else(|| Error::Config("say how many to choose with --batch".into()))?,
            target: Target::default(),
            inputs: Arc::new(Inputs::new(pool, vec![Arc::new(block)], Compose::Sum)?),
            observed,
            model: None,
            kernel: None,
            acquisition,
            notes,
        })
    }

    /// The acquisition of `--rule` with its `--param`s.
    fn acquisition(&self) -> Result<Box<dyn Acquisition>> {
        let rule = self.rule.as_deref().unwrap_or_default();
        let mut map = Map::new();
        for p in &self.params {
            let (k, v) =
                p.split_once('=').ok_or_else(|| Error::Config(format!("--param {p}: write it as KEY=VALUE")))?;
            // A value that is not JSON is a word.
            map.insert(k.trim().into(), serde_json::from_str(v).unwrap_or_else(|_| json!(v)));
        }
        let entry = crate::plugin::find(rule).filter(|e| e.kind == Kind::Acquisition).ok_or_else(|| {
            let names = crate::plugin::catalogue().into_iter().filter(|e| e.kind == Kind::Acquisition).map(|e| e.name);
            let names: Vec<&str> = names.collect();
            Error::Config(format!(
                "--rule {rule}: unknown acquisition{}; known: {}",
                crate::error::hint(rule, names.iter().copied()),
                names.join(", ")
            ))
        })?;
        (entry.check)(Value::Object(map.clone())).map_err(|(path, e)| {
            Error::Config(format!("--param {path}: {e}; `screenwright plugins show {rule}` lists its parameters"))
        })?;
        map.insert("use".into(), json!(rule));
        let made: Box<dyn Acquisition> =
            serde_json::from_value(Value::Object(map)).map_err(|e| Error::Config(e.to_string()))?;
        if let Some((_, text)) = check_needs(None, None, &*made, true, false).into_iter().next() {
            return Err(Error::Config(format!("--rule {rule}: {text}, which needs a campaign file")));
        }
        Ok(made)
    }
}

fn choose(p: Problem) -> Result<Table> {
    let pool = p.inputs.pool().clone();
    if pool.is_empty() {
        return Err(Error::Data("the pool is empty; its table has no rows".into()));
    }
    let candidates = Candidates::new(pool.len(), p.observed.ids.clone());
    let streams = Streams::new(p.campaign_seed).child("suggest");
    let surrogate = match &p.model {
        Some(m) if !p.observed.is_empty() => {
            Some(m.fit(&FitContext { inputs: &p.inputs, observed: &p.observed, streams: &streams.child("model") })?)
        }
        _ => None,
    };
    let round = Round { index: 1, of: 1, batch: p.batch };
    let cx = RunContext::new(
        round,
        p.target,
        &p.inputs,
        &candidates,
        &p.observed,
        surrogate.as_deref(),
        p.kernel.as_deref(),
        streams.child("acquisition"),
    );
    let batch = select_batch(&*p.acquisition, &cx)?;
    let mut t = Table::new();
    t.push("rank", Column::Integer((1..=batch.ids.len() as i64).collect()))?;
    t.push("perturbation", Column::Text(batch.ids.iter().map(|&i| Some(pool.label(i))).collect()))?;
    t.push("score", Column::Number(batch.scores.clone()))?;
    if let Some(s) = &surrogate {
        let posterior = s.predict(&batch.ids)?;
        posterior.check(batch.ids.len(), p.observed.n_outputs())?;
        let (mean, sd): (Vec<f64>, Vec<Option<f64>>) = (0..batch.ids.len()).map(|i| posterior.scalar(i)).unzip();
        t.push("mean", Column::Number(mean))?;
        if sd.iter().all(Option::is_some) {
            t.push("sd", Column::Number(sd.into_iter().flatten().collect()))?;
        }
    }
    Ok(t)
}

/// The perturbations of a user's table.
fn read_pool(root: &DataRoot, spec: &UserTable) -> Result<Pool> {
    let t = root.table(&spec.path)?;
    let columns = spec.genes.iter().map(|c| Ok(t.text(c)?)).collect::<Result<Vec<_>>>()?;
    let mut genes = Genes::default();
    let mut list = Vec::with_capacity(t.height());
    for row in 0..t.height() {
        list.push(Perturbation::new(columns.iter().map(|c| genes.intern(c[row]))));
    }
    let singles = columns.len() == 1 && genes.len() == list.len();
    let genes = Arc::new(genes);
    if singles {
        return Ok(Pool::singles(genes));
    }
    Pool::list(genes, list).map_err(|e| Error::Data(format!("{}: {e}", root.path(&spec.path).display())))
}

/// Pool ids of the perturbations in some gene columns.
fn ids_of(pool: &Pool, columns: &[Vec<&str>], file: &Path) -> Result<Vec<usize>> {
    let n = columns.first().map_or(0, Vec::len);
    (0..n)
        .map(|row| {
            let names: Vec<&str> = columns.iter().map(|c| c[row]).collect();
            pool.parse(&names.join("+")).map_err(|e| Error::Data(format!("{}, row {}: {e}", file.display(), row + 1)))
        })
        .collect()
}

fn read_measured(root: &DataRoot, spec: &UserTable, pool: &Pool) -> Result<Observed> {
    let t = root.table(&spec.path)?;
    let file = root.path(&spec.path);
    if spec.values.is_empty() {
        return Err(Error::Config(format!(
            "{}: say which columns hold readouts, for example values = [\"value\"] under [measured]",
            file.display()
        )));
    }
    let columns = spec.genes.iter().map(|c| Ok(t.text(c)?)).collect::<Result<Vec<_>>>()?;
    let ids = ids_of(pool, &columns, &file)?;
    let mut y = Array2::zeros((ids.len(), spec.values.len()));
    for (j, c) in spec.values.iter().enumerate() {
        y.column_mut(j).assign(&ndarray::Array1::from(t.numbers(c)?));
    }
    let mut observed = Observed::empty(spec.values.len());
    observed.push(&Readouts::plain(&ids, y), 0)?;
    Ok(observed)
}
