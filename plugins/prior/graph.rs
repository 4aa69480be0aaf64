//! Gene features from a network, by random walk with restart.
//!
//! p_i, the distribution after `steps` steps of a walk that starts at gene i and returns there with
//! probability `restart`, says which genes lie near i. The matrix log(p + 1/n), column centred, is reduced to
//! U √S of its rank-`dims` SVD and scaled to mean squared row norm 1 (the idea of Mashup; Cho et al. 2016).
//!
//! The links themselves are kept beside the features, for models that pass messages along them.
//!
//! Cost: O(steps x edges x n) for the walks, in blocks of 32 starting genes, and O(n² dims) for the SVD of
//! the n x n matrix, which is held in single precision (4 n² bytes: 400 MB for 10,000 genes). 10,000 genes and
//! 58,000 links take about 20 CPU seconds in the everyday build; the features are made once for all seeds.

use framework::numerics::{Sparse, matmul, truncated_svd};
use framework::prelude::*;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;

/// Features from a list of gene-gene links, taken without direction. Repeated links count once, by their
/// largest weight; links of a gene with itself are ignored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Table with one link a row, relative to the data folder.
    pub path: PathBuf,
    /// Column with one end of the link; default `"gene1"` (in files of STRING and BioGRID their own names are found).
    #[serde(default = "source")]
    pub source: String,
    /// Column with the other end; default `"gene2"` (in files of STRING and BioGRID their own names are found).
    #[serde(default = "target")]
    pub target: String,
    /// Table with the names of the ids in `source` and `target`: STRING's protein.info or protein.aliases file, or one with
    /// the columns `id` and `name`. Of several names of an id that of a gene of the pool counts. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<PathBuf>,
    /// Column with positive weights; absent: all links weigh the same.
    #[serde(default)]
    pub weight: Option<String>,
    /// Column that must not be 0 for a row to count (such as "StringDB" of a table of several networks).
    #[serde(default)]
    pub filter: Option<String>,
    /// Probability of returning to the start at each step, above 0 and below 1; default 0.5.
    #[serde(default = "restart")]
    pub restart: f64,
    /// Steps of the walk; default 15.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Features kept by the SVD; default 64.
    #[serde(default = "dims")]
    pub dims: usize,
}

fn source() -> String {
    "gene1".into()
}
fn target() -> String {
    "gene2".into()
}
fn restart() -> f64 {
    0.5
}
fn steps() -> usize {
    15
}
fn dims() -> usize {
    64
}

/// Above this the n x n matrix of walks would not fit common memories.
const MOST: usize = 30_000;

#[typetag::serde(name = "graph")]
impl Prior for Graph {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        if !(self.restart > 0.0 && self.restart < 1.0) || self.dims == 0 {
            return Err(Error::Config(format!(
                "prior `{}`: restart = {} and dims = {}; restart must be between 0 and 1, and dims at least 1",
                cx.name, self.restart, self.dims
            )));
        }
        let (nodes, edges) = self.edges(cx)?;
        let n = nodes.len();
        if n > MOST {
            return Err(Error::Data(format!(
                "prior `{}`: the network has {n} genes and at most {MOST} can be embedded; name a `filter` column, \
                 or embed it elsewhere and use embedding_table",
                cx.name
            )));
        }

        // Column j of the walk: from j to each neighbour, in proportion to the weights.
        let mut degree = vec![0.0; n];
        for &(a, b, w) in &edges {
            degree[a as usize] += w;
            degree[b as usize] += w;
        }
        let go = 1.0 - self.restart;
        let step = |from: u32, to: u32, w: f64| (to, from, go * w / degree[from as usize]);
        let walk = Sparse::new(n, n, edges.iter().flat_map(|&(a, b, w)| [step(a, b, w), step(b, a, w)]).collect());
        let mut near = self.proximity(&walk);

        let mut mean = Array1::<f64>::zeros(n);
        near.outer_iter().for_each(|row| mean.zip_mut_with(&row, |m, v| *m += f64::from(*v)));
        mean /= n as f64;
        near.axis_chunks_iter_mut(Axis(0), TILE).into_par_iter().for_each(|mut tile| {
            tile.outer_iter_mut().for_each(|mut row| row.zip_mut_with(&mean, |v, m| *v = (f64::from(*v) - m) as f32));
        });

        let times = |x: ArrayView2<f64>| {
            let mut out = Array2::zeros((n, x.ncols()));
            out.axis_chunks_iter_mut(Axis(0), TILE)
                .into_par_iter()
                .zip(near.axis_chunks_iter(Axis(0), TILE))
                .for_each(|(mut out, rows)| out.assign(&matmul(rows.mapv(f64::from).view(), x)));
            out
        };
        let times_transposed = |y: ArrayView2<f64>| {
            let mut out = Array2::zeros((n, y.ncols()));
            let tiles = near.axis_chunks_iter(Axis(0), TILE).zip(y.axis_chunks_iter(Axis(0), TILE));
            tiles.for_each(|(rows, y)| out += &matmul(rows.mapv(f64::from).t(), y));
            out
        };
        // A fixed stream: the features belong to the table, not to the run.
        let mut rng = Streams::new(0).rng("graph");
        let (u, s) = truncated_svd((n, n), self.dims, 2, times, times_transposed, &mut rng)?;
        let mean_square = s.sum() / n as f64;
        let x = u * &s.mapv(|s| (s / mean_square).sqrt());
        let names: Vec<&str> = nodes.names().collect();
        Ok(cx.block_from_rows(&names, &x)?.with_graph(cx.network(&names, edges)))
    }

    fn data_files(&self) -> Vec<PathBuf> {
        std::iter::once(self.path.clone()).chain(self.names.clone()).collect()
    }
}

/// What STRING and BioGRID call the two ends of a link.
const ENDS: [[&str; 2]; 2] =
    [["protein1", "Official Symbol Interactor A"], ["protein2", "Official Symbol Interactor B"]];

/// Rows and columns handled at once.
const TILE: usize = 256;

/// Two genes and the weight of their link.
type Link = (u32, u32, f64);

impl Graph {
    /// The genes in order of appearance, and the links between them, each once.
    fn edges(&self, cx: &PriorContext) -> Result<(Genes, Vec<Link>)> {
        let table = cx.setup.data.table(&self.path)?;
        let file = cx.setup.data.path(&self.path);
        let column = |name: &'_ str, default: &str, published: [&'static str; 2]| {
            let found = published.into_iter().find(|p| name == default && table.column(p).is_some());
            found.filter(|_| table.column(name).is_none()).unwrap_or(name).to_string()
        };
        let (source, target) = (column(&self.source, "gene1", ENDS[0]), column(&self.target, "gene2", ENDS[1]));
        let names = self.translation(cx)?;
        let named = |id: &str| names.get(id).cloned().unwrap_or_else(|| id.to_string());
        let from: Vec<String> = table.text(&source)?.into_iter().map(named).collect();
        let to: Vec<String> = table.text(&target)?.into_iter().map(named).collect();
        let weights = self.weight.as_ref().map(|c| table.numbers(c)).transpose()?;
        let counts = self.filter.as_ref().map(|c| table.numbers(c)).transpose()?;
        let mut nodes = Genes::default();
        let mut found: HashMap<(u32, u32), f64> = HashMap::new();
        for row in 0..table.height() {
            if from[row] == to[row] || counts.as_ref().is_some_and(|c| c[row] == 0.0) {
                continue;
            }
            let w = weights.as_ref().map_or(1.0, |w| w[row]);
            if w <= 0.0 {
                return Err(Error::Data(format!(
                    "prior `{}`: {}, {}: the weight is {w}; weights must be positive (remove links of weight 0)",
                    cx.name,
                    file.display(),
                    table.place(row)
                )));
            }
            let (a, b) = (nodes.intern(&from[row]).0, nodes.intern(&to[row]).0);
            let kept = found.entry((a.min(b), a.max(b))).or_insert(w);
            *kept = kept.max(w);
        }
        if found.is_empty() {
            let filter = self.filter.as_ref().map_or(String::new(), |f| format!(" where column {f} is not 0"));
            return Err(Error::Data(format!("prior `{}`: {} has no links{filter}", cx.name, file.display())));
        }
        let mut edges: Vec<(u32, u32, f64)> = found.into_iter().map(|((a, b), w)| (a, b, w)).collect();
        edges.sort_unstable_by_key(|e| (e.0, e.1));
        Ok((nodes, edges))
    }

    /// The name of each id.
    fn translation(&self, cx: &PriorContext) -> Result<HashMap<String, String>> {
        let Some(path) = &self.names else { return Ok(HashMap::new()) };
        let table = cx.setup.data.table(path)?;
        let find = |names: &[&str]| {
            table.names().into_iter().find(|c| names.contains(&c.trim_start_matches(['#', ' ']))).ok_or_else(|| {
                Error::Data(format!(
                    "prior `{}`: {} has no column {}; it has {}",
                    cx.name,
                    cx.setup.data.path(path).display(),
                    names.join(" or "),
                    table.names().join(", ")
                ))
            })
        };
        let ids = table.text(find(&["string_protein_id", "protein_id", "id"])?)?;
        let names = table.text(find(&["preferred_name", "alias", "name"])?)?;
        let mut of: HashMap<String, String> = HashMap::new();
        for (id, name) in ids.into_iter().zip(names) {
            match of.get_mut(id) {
                None => drop(of.insert(id.to_string(), name.to_string())),
                // The first that is a gene of the pool counts, or else the first.
                Some(known) if cx.genes.find(known).is_none() && cx.genes.find(name).is_some() => {
                    *known = name.to_string()
                }
                Some(_) => {}
            }
        }
        Ok(of)
    }

    /// log(p + 1/n): one row for each starting gene.
    fn proximity(&self, walk: &Sparse) -> Array2<f32> {
        const STARTS: usize = 32;
        let n = walk.dim().0;
        let mut near = Array2::<f32>::zeros((n, n));
        near.axis_chunks_iter_mut(Axis(0), STARTS).into_par_iter().enumerate().for_each(|(t, mut rows)| {
            let width = rows.nrows();
            let mut p = Array2::<f64>::zeros((n, width));
            (0..width).for_each(|c| p[(t * STARTS + c, c)] = 1.0);
            for _ in 0..self.steps {
                p = walk.times(p.view());
                (0..width).for_each(|c| p[(t * STARTS + c, c)] += self.restart);
            }
            for (c, mut row) in rows.outer_iter_mut().enumerate() {
                row.zip_mut_with(&p.column(c), |v, p| *v = (p + 1.0 / n as f64).ln() as f32);
            }
        });
        near
    }
}

framework::register!(
    Prior,
    Graph,
    "graph",
    "features from a network, by random walk with restart",
    example = |dir| {
        let path = dir.join("graph.csv");
        let rows: String =
            (0..200).map(|i| format!("G{i:03},G{:03}\nG{i:03},G{:03}\n", (i + 1) % 200, (i * 7 + 3) % 200)).collect();
        // A file that cannot be written shows as an error of the prior, which names the path.
        let _ = std::fs::write(&path, format!("gene1,gene2\n{rows}"));
        framework::serde_json::json!({ "path": path, "dims": 8 })
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;

    fn embed(settings: serde_json::Value, genes: &[&str], root: DataRoot) -> Result<Block> {
        framework::testing::embed(&serde_json::from_value::<Graph>(settings).unwrap(), genes, root)
    }

    #[test]
    fn features_rebuild_the_walks_of_a_small_network() {
        let path = std::env::temp_dir().join(format!("graph-{}.csv", std::process::id()));
        // A path A-B-C-D with a double link A-B given twice; E-F apart; F-F and the row of weight 9 do not count.
        let text = "gene1,gene2,w,use\nA,B,1,1\nB,A,2,1\nB,C,1,1\nC,D,1,1\nE,F,1,1\nF,F,1,1\nA,D,9,0\n";
        std::fs::write(&path, text).unwrap();
        let names = ["A", "B", "C", "D", "E", "F"];
        let settings = serde_json::json!({ "path": path, "weight": "w", "filter": "use", "dims": 6 });
        let b = embed(settings, &names, DataRoot::default()).unwrap();
        std::fs::remove_file(&path).unwrap();
        let links: Vec<_> = b.graph.as_ref().unwrap().row(1).collect();
        assert_eq!(links, [(0, 2.0), (2, 1.0)], "B's neighbours A and C");

        // The definition, in full.
        let mut a = Array2::<f64>::zeros((6, 6));
        for (i, j, w) in [(0, 1, 2.0), (1, 2, 1.0), (2, 3, 1.0), (4, 5, 1.0)] {
            (a[(i, j)], a[(j, i)]) = (w, w);
        }
        let degree = a.sum_axis(Axis(0));
        let p = &a / &degree;
        let mut x = Array2::<f64>::eye(6);
        for _ in 0..15 {
            x = p.dot(&x) * 0.5 + Array2::<f64>::eye(6) * 0.5;
        }
        let mut m = x.t().mapv(|v| (v + 1.0 / 6.0).ln());
        m -= &m.mean_axis(Axis(0)).unwrap();
        // U S Uᵀ is the root of M Mᵀ; with mean squared row norm 1 its trace is 6.
        let (values, vectors) = framework::numerics::eigh(m.dot(&m.t()).view()).unwrap();
        let root = (&vectors * &values.mapv(|v| v.max(0.0).sqrt())).dot(&vectors.t());
        let scale = 6.0 / root.diag().sum();
        let got = b.x.dot(&b.x.t());
        // Single precision of the stored matrix.
        assert!((&got - &(root * scale)).iter().all(|d| d.abs() < 1e-5), "{got}");
    }

    #[test]
    fn the_published_recipe_is_reproduced() {
        let Some(root) = std::env::var_os("SCREENWRIGHT_DATA") else {
            println!("skipped: SCREENWRIGHT_DATA is not set");
            return;
        };
        let data = DataRoot::new(&root);
        let t = data.table(std::path::Path::new("descriptors/string_rwr_svd64.parquet")).unwrap();
        let names: Vec<&str> = t.text("gene").unwrap().into_iter().step_by(19).collect();
        let columns = t.numeric_columns();
        let mut want = Array2::zeros((t.height(), columns.len()));
        for (c, name) in columns.iter().enumerate() {
            want.column_mut(c).assign(&Array1::from(t.numbers(name).unwrap()));
        }
        let rows: Vec<usize> = (0..t.height()).step_by(19).collect();
        let want = want.select(Axis(0), &rows);
        let start = std::time::Instant::now();
        let settings = serde_json::json!({ "path": "interactions/known_pairs.parquet", "filter": "StringDB" });
        let b = embed(settings, &names, DataRoot::new(&root)).unwrap();
        println!("network of {} genes embedded in {:?}", t.height(), start.elapsed());
        // The last columns of the published features come from a less accurate SVD; the first ones agree.
        let lead = |x: &Array2<f64>| {
            let x = x.slice(ndarray::s![.., ..16]);
            x.dot(&x.t()).into_raw_vec_and_offset().0
        };
        let r = framework::numerics::stats::pearson(&lead(&b.x), &lead(&want));
        println!("correlation of inner products with the published features: {r}");
        assert!(r > 0.9999, "{r}");
    }
}
