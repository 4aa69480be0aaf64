//! A Perturb-seq screen, replayed: a measurement is the mean profile of a perturbation's cells against control.
//!
//! Each cell is x = log(1 + target_sum counts / total), or the log-normalised value of the file. With c_l the mean
//! over the control cells of lane l, the readout of perturbation p is the mean of x - c_l over its cells (of the
//! lanes that a round may use), its error s/√n with s² = ((n - 1) v_p + v) / n, where v_p is the variance over
//! these cells and v the one pooled over all perturbations: a perturbation of one cell has the error √v.
//! Following GEARS and IterPert, outputs are ranked by the absolute t score (Welch 1947) against control.
//!
//! Cost: two or three passes over the file, piece by piece; what stays in memory is 8 bytes for each entry that
//! is not zero among the genes kept. A measurement costs O(cells x outputs).

mod input;
mod profiles;
mod reading;
mod values;

use framework::domain::Control;
use framework::prelude::*;
use profiles::Profiles;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Replays a Perturb-seq screen from AnnData (`.h5ad`, or a `.zarr` store), a 10x matrix (folder or `.h5`) with a table
/// of its cells, or a pseudobulk table (one row a perturbation, or several, and one column a gene).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerturbSeq {
    /// An `.h5ad` file or `.zarr` store; a 10x `.h5` file, a folder (matrix.mtx, barcodes.tsv, features.tsv or
    /// genes.tsv, plain or .gz) or the first letters of its files (`folder/GSM1234567_`); or a pseudobulk table
    /// (.csv, .csv.gz, .tsv, .tsv.gz, .parquet). Relative to the data folder.
    pub path: PathBuf,
    /// The table of cells of a 10x matrix, with `barcode`, `label` and perhaps `lane` as columns. Default none.
    #[serde(default)]
    pub obs: Option<PathBuf>,
    /// The column of that table with the barcode; default `"barcode"`.
    #[serde(default = "barcode_column")]
    pub barcode: String,
    /// The layer of an AnnData file, or `"raw"`; absent: X.
    #[serde(default)]
    pub layer: Option<String>,
    /// Where gene names stand. AnnData: a column of var, absent: its index. 10x: `"name"` (default) or `"id"`.
    #[serde(default)]
    pub gene_column: Option<String>,
    /// The features of a 10x matrix that are taken for genes; default `["Gene Expression"]`. Others, such as guides and
    /// antibodies, are left out and counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feature_types: Vec<String>,
    /// The column that names the perturbation of a cell. Cells without a value are left out.
    pub label: String,
    /// The label of control cells.
    pub control: String,
    /// What stands between genes in a label of several, as in `"+"`; a part equal to `control` counts for nothing,
    /// so that `A+control` is `A`. Absent: a label is one gene.
    #[serde(default)]
    pub separator: Option<String>,
    /// Use only cells (rows of a table) with these values in these columns, as in `{ cell_type = "K562" }`. Default all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only: BTreeMap<String, String>,
    /// The column that names the lane (batch) of a cell. Absent: all cells are one lane.
    #[serde(default)]
    pub lane: Option<String>,
    /// Whether values are raw counts, which are scaled to `target_sum` in each cell and log(1 + x) transformed.
    /// Default false: they are log-normalised already.
    #[serde(default)]
    pub counts: bool,
    /// The sum to which the counts of a cell are scaled; default 10,000.
    #[serde(default = "target_sum")]
    pub target_sum: f64,
    /// Whether the values of a pseudobulk table are differences from control already; default false.
    #[serde(default)]
    pub differences: bool,
    /// Perturbations with fewer cells (rows of a table) are left out; default 10, for a table 1.
    #[serde(default)]
    pub min_cells: Option<usize>,
    /// Keep this many genes, those whose log-normalised values vary most over the cells used (sample variance);
    /// absent: all.
    #[serde(default)]
    pub genes: Option<usize>,
    /// Keep the genes of this table's column `gene` instead. Default none.
    #[serde(default)]
    pub gene_list: Option<PathBuf>,
    /// Keep the genes that are perturbed as well, where they are measured; default false.
    #[serde(default)]
    pub keep_targets: bool,
    /// Columns of numbers of a pseudobulk table that are not genes. Default none.
    #[serde(default)]
    pub not_genes: Vec<String>,
    /// What a cell is compared with: the control cells of its `"lane"` (default), or of `"all"` lanes.
    #[serde(default)]
    pub centre: Centre,
    /// What to do when a perturbation has no cell in the lanes that a round may use: `"error"` (default), or
    /// `"all_lanes"` to use its cells of all lanes.
    #[serde(default)]
    pub no_cells: NoCells,
    /// Measurement error: `{ from = "none" }` (default): the recorded mean, whatever the replicate;
    /// `{ from = "bootstrap" }`: the mean of as many cells drawn with replacement.
    #[serde(default)]
    pub noise: CellNoise,
}

/// What a cell is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// The control cells of its lane.
    #[default]
    Lane,
    /// All control cells.
    All,
}

/// A perturbation without cells in the lanes of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoCells {
    /// Refused.
    #[default]
    Error,
    /// Measured in all lanes.
    AllLanes,
}

/// Where measurement errors come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum CellNoise {
    /// None: a measurement is the recorded mean.
    None {},
    /// Cells drawn with replacement.
    Bootstrap {},
}

impl Default for CellNoise {
    fn default() -> Self {
        CellNoise::None {}
    }
}

fn barcode_column() -> String {
    "barcode".into()
}

fn target_sum() -> f64 {
    1e4
}

#[typetag::serde(name = "perturb_seq")]
impl Oracle for PerturbSeq {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        Ok(Box::new(self.read(setup)?))
    }

    fn data_files(&self) -> Vec<PathBuf> {
        [Some(&self.path), self.obs.as_ref(), self.gene_list.as_ref()].into_iter().flatten().cloned().collect()
    }

    fn seeded(&self) -> bool {
        false
    }
}

impl PerturbSeq {
    fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::Config(format!("perturb_seq ({}): {what}", self.path.display()))
    }

    fn check(&self, is_table: bool) -> Result<()> {
        if !(self.target_sum > 0.0 && self.target_sum.is_finite()) {
            return Err(self.wrong(format!("target_sum is {}; it must be a positive number", self.target_sum)));
        }
        if self.separator.as_deref() == Some("") {
            return Err(self.wrong("separator is empty; leave it out where a label is one gene"));
        }
        if self.min_cells == Some(0) {
            return Err(self.wrong("min_cells = 0 means nothing: a perturbation has at least one cell; set it to 1"));
        }
        if self.genes == Some(0) {
            return Err(self.wrong("genes = 0 keeps nothing; leave it out to keep all"));
        }
        if self.genes.is_some() && self.gene_list.is_some() {
            return Err(self.wrong("`genes` and `gene_list` both say which genes to keep; leave one out"));
        }
        if self.differences && self.counts {
            return Err(self.wrong("values are counts or differences, not both; leave one out"));
        }
        if let Some(s) = self.separator.as_deref().filter(|s| self.control.contains(*s)) {
            return Err(self.wrong(format!(
                "control = \"{}\" contains the separator `{s}`, so that labels cannot be taken apart; rename the control \
                 label, or leave out `separator` where every label is one gene",
                self.control
            )));
        }
        let misplaced = [
            (is_table, "differences", self.differences),
            (is_table, "not_genes", !self.not_genes.is_empty()),
            (!is_table, "layer", self.layer.is_some()),
            (!is_table, "obs", self.obs.is_some()),
            (!is_table, "gene_column", self.gene_column.is_some()),
        ];
        if let Some((_, name, _)) = misplaced.iter().find(|(fits, _, set)| *set && !fits) {
            let kind = if is_table { "a pseudobulk table" } else { "single cells" };
            return Err(self.wrong(format!("`{name}` means nothing for {kind}; leave it out")));
        }
        Ok(())
    }
}

impl Screen for Profiles {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        self.centre.ncols()
    }

    fn measure(&self, ids: &[usize], experiment: &Experiment, streams: &Streams) -> Result<Readouts> {
        let lanes = experiment.lanes.as_deref();
        if let Some(l) = lanes.and_then(|l| l.iter().find(|l| **l as usize >= self.n_lanes)) {
            return Err(Error::Config(format!(
                "perturb_seq: lane {l} is asked for and the screen has {} lanes; name their column in `lane`",
                self.n_lanes
            )));
        }
        let mut out = Readouts::plain(ids, Array2::zeros((ids.len(), self.n_outputs())));
        let key = streams.child("perturb_seq");
        let measured: Vec<_> = ids
            .par_iter()
            .zip(&out.replicate)
            .map(|(&id, &replicate)| {
                let mut rows = self.rows(id, lanes)?;
                if self.bootstrap {
                    let mut rng = key.index(id).index(replicate as usize).rng("cells");
                    rows = (0..rows.len()).map(|_| rows[rng.random_range(0..rows.len())]).collect();
                }
                let (mean, squares) = self.moments(&rows);
                let n = rows.len() as f64;
                let error = self.pooled.as_ref().map(|v| (squares + v).mapv(|s| s.sqrt() / n));
                let cells = self.single_cells.then(|| Arc::new(self.centred_cells(&rows)));
                Ok((mean, error, cells))
            })
            .collect::<Result<_>>()?;
        let mut sd = Array2::zeros(out.y.dim());
        let mut cells = Vec::with_capacity(ids.len());
        for (r, (mean, error, c)) in measured.into_iter().enumerate() {
            out.y.row_mut(r).assign(&mean);
            if let Some(error) = error {
                sd.row_mut(r).assign(&error);
            }
            cells.extend(c);
        }
        out.sd = self.pooled.is_some().then_some(sd);
        out.cells = self.single_cells.then_some(cells);
        Ok(out)
    }

    fn n_lanes(&self) -> usize {
        self.n_lanes
    }

    fn control(&self) -> Option<Arc<Control>> {
        Some(self.control.clone())
    }

    /// Welch's t against all control cells; for one cell the pooled variance stands in, and without any variance
    /// (a table of one row each) the absolute difference. An output counts if it is seen under the perturbation or
    /// nowhere.
    fn clarity(&self, ids: &[usize]) -> Option<Array2<f64>> {
        let mut out = Array2::zeros((ids.len(), self.n_outputs()));
        out.axis_iter_mut(Axis(0)).into_par_iter().zip(ids).for_each(|(mut row, &id)| {
            let rows = &self.members[id];
            let (mean, squares) = self.moments(rows);
            let mut seen = vec![self.differences; self.n_outputs()];
            rows.iter().flat_map(|r| self.entries(*r)).for_each(|(o, v)| seen[o] |= v != 0.0);
            let (n, nc) = (rows.len() as f64, self.controls.len() as f64);
            for o in 0..row.len() {
                if !seen[o] && self.control_seen[o] {
                    row[o] = f64::NEG_INFINITY;
                    continue;
                }
                let Some(pooled) = &self.pooled else {
                    row[o] = mean[o].abs();
                    continue;
                };
                let own = if rows.len() > 1 { squares[o] / (n - 1.0) } else { pooled[o] };
                let (centre, spread) = match self.differences {
                    true => (0.0, 0.0),
                    false => (self.control_moments.0[o], self.control_moments.1[o] / nc),
                };
                let difference = (mean[o] - centre).abs();
                let error = (own / n + spread).sqrt();
                // Without any variance a difference is as clear as can be.
                row[o] = match error > 0.0 {
                    true => difference / error,
                    false if difference > 0.0 => f64::MAX,
                    false => 0.0,
                };
            }
        });
        Some(out)
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(self.truth.select(Axis(0), ids))
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        if self.pool.is_singles() {
            return None;
        }
        let n = self.pool.genes().len();
        let mut out = Array2::from_elem((n, self.n_outputs()), f64::NAN);
        for g in 0..n {
            if let Some(id) = self.pool.find(&Perturbation::new([Gene(g as u32)])) {
                out.row_mut(g).assign(&self.truth.row(id));
            }
        }
        Some(out)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

framework::register!(
    Oracle,
    PerturbSeq,
    "perturb_seq",
    "replays a Perturb-seq screen from cells or pseudobulk",
    example = |dir| {
        let path = dir.join("perturb_seq.csv");
        let value = |i: usize, j: usize| ((i * 37 + j * 11) % 23) as f64 / 7.0;
        let row = |name: &str, i: usize| format!("{name},{},{},{}\n", value(i, 0), value(i, 1), value(i, 2));
        let rows: String = (0..40).map(|i| row(&format!("g{}", i % 20), i)).collect();
        // A file that cannot be written shows as an error of the oracle, which names the path.
        let _ = std::fs::write(&path, format!("perturbation,g0,g1,g2\n{}{rows}", row("control", 99)));
        framework::serde_json::json!({ "path": path, "label": "perturbation", "control": "control" })
    }
);
