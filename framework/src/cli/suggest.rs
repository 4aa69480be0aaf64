use super::Folders;
use super::named::{checked, parse_plugin, set_parameter};
use crate::compatibility::{Facts, Lab, Misfit, Parts, misfits};
use crate::data::DataRoot;
use crate::domain::{
    Block, Candidates, Compose, Genes, Inputs, Observed, Perturbation, Pool, Readouts, SymbolUpdates, Target,
};
use crate::error::{Error, Result};
use crate::plugin::{Acquisition, FitContext, Kernel, Kind, PriorContext, Round, RunContext, Setup, select_batch};
use crate::scenario::{Campaign, Document, Mistake, Place, UserTable, check_campaign};
use clap::Args;
use ndarray::Array2;
use numerics::streams::Streams;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use table::{Column, Table};

#[derive(Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true).args(["campaign", "features"]),
    after_help = "Examples:\n  screenwright suggest campaign.toml --out next.csv\n  screenwright suggest --features embedding.csv --measured done.csv --rule lcmd --batch 96\n  screenwright suggest --features embedding.npy --names genes.csv --measured done.csv --rule max_det:sigma=0.1 --kernel rbf --transform posterior:sigma=0.1 --batch 96\n\nThe second form needs no model: a table with a gene column and feature columns (or a NumPy array, one\nrow a perturbation), the rows already measured, and a selection rule. Rules, kernels and transforms are\nlisted by `screenwright plugins`; their parameters follow a colon. Output: rank, perturbation, score\nand, with a model, mean and sd."
)]
pub(crate) struct Suggest {
    /// Campaign file: pool, readouts so far, priors, model, kernel, acquisition, batch, seed
    campaign: Option<PathBuf>,
    /// Without a campaign file: features as CSV, CSV.gz, TSV, Parquet or NPY (n x d)
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Names of the rows of an NPY array, a table with the --id column [default: row numbers from 0]
    #[arg(long, value_name = "FILE", requires = "features")]
    names: Option<PathBuf>,
    /// Table of genes measured so far, its other columns ignored, or NPY of row numbers from 0
    #[arg(long, value_name = "FILE", requires = "features")]
    measured: Option<PathBuf>,
    /// Column of gene names in both tables
    #[arg(long, value_name = "COLUMN", default_value = "gene")]
    id: String,
    /// Acquisition to use, such as lcmd or max_det:sigma=0.1
    #[arg(
        long,
        value_name = "NAME[:KEY=VALUE,...]",
        requires = "features",
        default_value_if("features", clap::builder::ArgPredicate::IsPresent, "max_dist")
    )]
    rule: Option<String>,
    /// A parameter of the acquisition, as KEY=VALUE; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", requires = "features")]
    params: Vec<String>,
    /// Choose among all pairs of the rows; measured pairs are written GENE+GENE
    #[arg(long, requires = "features")]
    pairs: bool,
    /// How the rows of two genes become the row of their pair: sum, product or mean
    #[arg(long, value_name = "HOW", requires = "pairs")]
    compose: Option<String>,
    /// Select on a GPU, in single precision (max_dist, lcmd, max_det, bait)
    #[arg(long, requires = "features")]
    gpu: bool,
    /// Kernel of the features [default: inner products]
    #[arg(long, value_name = "NAME[:KEY=VALUE,...]", requires = "features")]
    kernel: Option<String>,
    /// Transform of the kernel; may be repeated, applied in order
    #[arg(long = "transform", value_name = "NAME[:KEY=VALUE,...]", requires = "features")]
    transforms: Vec<String>,
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
    device: Place,
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
        let parts = Parts {
            model: campaign.model.as_deref(),
            kernel: campaign.kernel.as_deref(),
            acquisition: &*campaign.acquisition,
            features: !blocks.is_empty(),
            measured: !observed.is_empty(),
        };
        let found = misfits(&parts, Some(&facts(&pool, &observed)));
        let found: Vec<Mistake> = found.into_iter().map(|m| Mistake::at(&[m.section], m.text)).collect();
        if !found.is_empty() {
            return Err(doc.report(&found));
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
            device: campaign.device,
            notes,
        })
    }

    fn read_features(&self, features: &Path) -> Result<Problem> {
        let at = |e: Error| e.at(features.display().to_string());
        let (names, x) = if is_npy(features) { self.npy_features(features)? } else { self.table_features(features)? };
        let genes = Arc::new(Genes::new(&names).map_err(at)?);
        let block = Block::new("features", x, vec![true; names.len()]).map_err(at)?;
        let width = block.x.ncols();
        let pool = Arc::new(if self.pairs { Pool::all_pairs(genes) } else { Pool::singles(genes) });
        let compose = match &self.compose {
            None => Compose::default(),
            Some(word) => serde_json::from_value(json!(word)).map_err(|e| Error::Config(format!("--compose: {e}")))?,
        };
        let mut observed = Observed::empty(1);
        if let Some(m) = &self.measured {
            let ids = if is_npy(m) {
                if self.pairs {
                    return Err(Error::Config(format!(
                        "{}: measured pairs are a table with the column `{}` of names such as A+B, not row numbers",
                        m.display(),
                        self.id
                    )));
                }
                let rows: ndarray::Array1<i64> = read_npy(m)?;
                let known = |r: &i64| usize::try_from(*r).ok().filter(|r| *r < pool.len());
                rows.iter()
                    .map(|r| {
                        known(r).ok_or_else(|| {
                            let n = pool.len();
                            Error::Data(format!(
                                "{}: row {r} is not one of the {n} feature rows (0 to {})",
                                m.display(),
                                n - 1
                            ))
                        })
                    })
                    .collect::<Result<Vec<_>>>()?
            } else {
                ids_of(&pool, &[table::read(m)?.text(&self.id)?], m)?
            };
            observed.push(&Readouts::plain(&ids, Array2::zeros((ids.len(), 1))), 0)?;
        }
        let (acquisition, kernel) = (self.acquisition()?, self.kernel()?);
        let parts = Parts {
            model: None,
            kernel: kernel.as_deref(),
            acquisition: &*acquisition,
            features: true,
            measured: !observed.is_empty(),
        };
        if let Some(Misfit { text, .. }) = misfits(&parts, Some(&facts(&pool, &observed))).into_iter().next() {
            let rule = self.rule.as_deref().unwrap_or_default();
            return Err(Error::Config(format!("--rule {rule}: {text} (a campaign file has one; --features has none)")));
        }
        let notes = vec![format!(
            "{} {} x {width} features, {} measured",
            pool.len(),
            if self.pairs { "pairs" } else { "perturbations" },
            observed.len()
        )];
        Ok(Problem {
            campaign_seed: self.seed.unwrap_or(0),
            batch: self.batch.ok_or_else(|| Error::Config("say how many to choose with --batch".into()))?,
            target: Target::default(),
            inputs: Arc::new(Inputs::new(pool, vec![Arc::new(block)], compose)?),
            observed,
            model: None,
            kernel,
            acquisition,
            device: if self.gpu { Place::Gpu } else { Place::Cpu },
            notes,
        })
    }

    /// Names and features of a table: its gene column and every numeric column beside it.
    fn table_features(&self, file: &Path) -> Result<(Vec<String>, Array2<f64>)> {
        let t = table::read(file)?;
        let names: Vec<String> = t.text(&self.id)?.into_iter().map(String::from).collect();
        let columns: Vec<&str> = t.numeric_columns().into_iter().filter(|c| *c != self.id).collect();
        if columns.is_empty() {
            return Err(Error::Data(format!("{}: no numeric feature column beside `{}`", file.display(), self.id)));
        }
        let mut x = Array2::zeros((names.len(), columns.len()));
        for (j, c) in columns.iter().enumerate() {
            x.column_mut(j).assign(&ndarray::Array1::from(t.numbers(c)?));
        }
        Ok((names, x))
    }

    /// Features of a NumPy array and the names that go with its rows.
    fn npy_features(&self, file: &Path) -> Result<(Vec<String>, Array2<f64>)> {
        let x: Array2<f64> = match read_npy::<_, Array2<f64>>(file) {
            Ok(x) => x,
            // Half the arrays that people save are in single precision.
            Err(double) => read_npy::<_, Array2<f32>>(file).map_err(|_| double)?.mapv(f64::from),
        };
        let Some(table_of_names) = &self.names else { return Ok(((0..x.nrows()).map(|i| i.to_string()).collect(), x)) };
        let t = table::read(table_of_names)?;
        let names: Vec<String> = t.text(&self.id)?.into_iter().map(String::from).collect();
        if names.len() != x.nrows() {
            return Err(Error::Data(format!(
                "{} names {} rows and {} has {}; they must be the same rows in the same order",
                table_of_names.display(),
                names.len(),
                file.display(),
                x.nrows()
            )));
        }
        Ok((names, x))
    }

    /// The acquisition of `--rule` with its `--param`s.
    fn acquisition(&self) -> Result<Box<dyn Acquisition>> {
        let mut form = parse_plugin("--rule", self.rule.as_deref().unwrap_or_default(), Kind::Acquisition)?;
        for p in &self.params {
            set_parameter(&mut form, "--param", p)?;
        }
        checked("--rule", form)
    }

    /// The kernel of `--kernel` under the `--transform`s, the first of them innermost.
    fn kernel(&self) -> Result<Option<Box<dyn Kernel>>> {
        if self.kernel.is_none() && self.transforms.is_empty() {
            return Ok(None);
        }
        let mut form = parse_plugin("--kernel", self.kernel.as_deref().unwrap_or("linear"), Kind::Kernel)?;
        for t in &self.transforms {
            let mut outer = parse_plugin("--transform", t, Kind::Kernel)?;
            if !(outer.entry.fields)().contains(&"of") {
                return Err(Error::Config(format!(
                    "--transform {t}: `{}` is a kernel of its own and transforms none; give it to --kernel",
                    outer.entry.name
                )));
            }
            let inner: Box<dyn Kernel> = checked("--kernel", form)?;
            outer.map.insert("of".into(), serde_json::to_value(inner).map_err(|e| Error::Config(e.to_string()))?);
            form = outer;
        }
        checked(if self.transforms.is_empty() { "--kernel" } else { "--transform" }, form).map(Some)
    }
}

/// What is known of a laboratory's screen.
fn facts(pool: &Pool, observed: &Observed) -> Facts {
    Facts { pairs: !pool.is_singles(), n_outputs: observed.n_outputs(), single_effects: false, lab: Lab::User }
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

/// Reads a NumPy array; a wrong type or shape, or a file cut short, is one message.
fn read_npy<P: AsRef<Path>, T: ndarray_npy::ReadNpyExt>(path: P) -> Result<T> {
    let path = path.as_ref();
    ndarray_npy::read_npy(path).map_err(|e| {
        Error::Data(format!(
            "{}: {e}; features are saved as numpy.save(file, array) of shape (rows, features) in float64 or float32, \
             measured rows as an int64 vector",
            path.display()
        ))
    })
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
    surrogate.iter().flat_map(|s| s.notes()).for_each(|text| eprintln!("{text}"));
    let round = Round { index: 1, of: 1, batch: p.batch };
    let cx = RunContext::new(round, &p.inputs, &candidates, &p.observed, streams.child("acquisition"))
        .with_target(p.target)
        .with_surrogate(surrogate.as_deref())
        .with_kernel(p.kernel.as_deref());
    let shown = std::cell::Cell::new(std::time::Instant::now());
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let tick = |done: usize, of: usize| {
        // Short work says nothing; long work is heard of every second on a terminal, every 10 in a log.
        if shown.get().elapsed().as_secs() >= if terminal { 1 } else { 10 } {
            shown.set(std::time::Instant::now());
            eprintln!("selecting: {done} of {of}");
        }
    };
    let cx = cx.with_progress(&tick).with_device(p.device.open());
    let batch = select_batch(&*p.acquisition, &cx)?;
    if let Some(text) = crate::plugin::fill_note(&cx.into_recorded(), batch.ids.len()) {
        eprintln!("{text}");
    }
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
    Pool::list(genes, list).map_err(|e| e.at(root.path(&spec.path).display().to_string()))
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
