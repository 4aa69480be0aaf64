//! Gene features from set membership (ontology terms, pathways, complexes, modules).
//!
//! The genes x sets matrix takes weights log(genes / size of the set) (`idf`) or 1 (`binary`), its rows are
//! brought to unit length, and U S of its rank-`dims` SVD gives the features, scaled to mean squared row
//! norm 1: sharing rare sets makes two genes alike. Cost O(memberships x dims).

use framework::numerics::{Sparse, truncated_svd};
use framework::prelude::*;
use rayon::prelude::*;
use std::path::PathBuf;

/// Features from a table that lists which gene is in which set, one membership a row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneSets {
    /// Table with one row for each gene and set, relative to the data folder.
    pub path: PathBuf,
    /// Column with the gene names; default `"gene"`.
    #[serde(default = "gene_column")]
    pub gene: String,
    /// Column with the set names; default `"term"`, in a GMT file `"set"`.
    #[serde(default = "set_column")]
    pub set: String,
    /// Sets with fewer genes in the table are left out; default 3.
    #[serde(default = "min_size")]
    pub min_size: usize,
    /// Sets with more genes in the table are left out; default 1500.
    #[serde(default = "max_size")]
    pub max_size: usize,
    /// `"idf"` (default): rare sets count more; `"binary"`: all count the same.
    #[serde(default)]
    pub weighting: Weighting,
    /// Features kept by the SVD (fewer where the table has a lower rank); 0: the sets themselves, one
    /// feature each, unscaled. Default 64.
    #[serde(default = "dims")]
    pub dims: usize,
    /// Neighbours of each gene in the network kept beside the features: those with the largest Jaccard index of their
    /// sets, all sets counted alike (GEARS takes 20 of the Gene Ontology). A link is kept if either gene lists the
    /// other. Default 0: no network.
    #[serde(default)]
    pub neighbours: usize,
}

/// What a membership counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// The logarithm of genes over set size.
    #[default]
    Idf,
    /// One.
    Binary,
}

fn gene_column() -> String {
    "gene".into()
}
fn set_column() -> String {
    "term".into()
}
fn min_size() -> usize {
    3
}
fn max_size() -> usize {
    1500
}
fn dims() -> usize {
    64
}

#[typetag::serde(name = "gene_sets")]
impl Prior for GeneSets {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        let table = cx.setup.data.table(&self.path)?;
        let of_gmt =
            self.set == set_column() && table.column(&self.set).is_none() && table.column("description").is_some();
        let set = if of_gmt { "set" } else { &self.set };
        let (mut genes, mut sets) = (Genes::default(), Genes::default());
        let mut members: Vec<(u32, u32)> = table
            .text(&self.gene)?
            .into_iter()
            .zip(table.text(set)?)
            .map(|(g, s)| (genes.intern(g).0, sets.intern(s).0))
            .collect();
        members.sort_unstable();
        members.dedup();
        let mut size = vec![0usize; sets.len()];
        members.iter().for_each(|m| size[m.1 as usize] += 1);
        let mut column = vec![None; sets.len()];
        let mut n_sets = 0u32;
        for (s, size) in size.iter().enumerate() {
            if (self.min_size..=self.max_size).contains(size) {
                column[s] = Some(n_sets);
                n_sets += 1;
            }
        }

        let mut names: Vec<&str> = Vec::new();
        let mut entries: Vec<(u32, u32, f64)> = Vec::new();
        for rows in members.chunk_by(|a, b| a.0 == b.0) {
            let weight = |s: usize| match self.weighting {
                Weighting::Idf => (genes.len() as f64 / size[s] as f64).ln(),
                Weighting::Binary => 1.0,
            };
            let row: Vec<(u32, f64)> =
                rows.iter().filter_map(|&(_, s)| column[s as usize].map(|c| (c, weight(s as usize)))).collect();
            let norm = row.iter().map(|e| e.1 * e.1).sum::<f64>().sqrt();
            // A gene in no set that counts is not covered.
            if norm > 0.0 {
                let r = names.len() as u32;
                entries.extend(row.into_iter().map(|(c, w)| (r, c, w / norm)));
                names.push(genes.name(Gene(rows[0].0)));
            }
        }
        if names.is_empty() {
            return Err(Error::Data(format!(
                "prior `{}`: {} has {} sets and none has {} to {} genes; change min_size or max_size",
                cx.name,
                cx.setup.data.path(&self.path).display(),
                sets.len(),
                self.min_size,
                self.max_size
            )));
        }
        let a = Sparse::new(names.len(), n_sets as usize, entries);
        let finish = |x: Array2<f64>| {
            let block = cx.block_from_rows(&names, &x)?;
            Ok(if self.neighbours == 0 { block } else { block.with_graph(self.network(cx, &names, &a)) })
        };
        if self.dims == 0 {
            let mut x = Array2::zeros(a.dim());
            a.entries().for_each(|(r, c, v)| x[(r, c)] = v);
            return finish(x);
        }
        let back = a.transpose();
        // A fixed stream: the features belong to the table, not to the run.
        let mut rng = Streams::new(0).rng("gene_sets");
        let (u, s) = truncated_svd(a.dim(), self.dims, 8, |x| a.times(x), |y| back.times(y), &mut rng)?;
        let mut x = u * &s;
        let mean_square = s.dot(&s) / names.len() as f64;
        x /= mean_square.sqrt();
        finish(x)
    }

    fn data_files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}

impl GeneSets {
    /// Jaccard index of memberships (genes x sets), the largest of each gene. O(Σ set size²).
    fn network(&self, cx: &PriorContext, names: &[&str], memberships: &Sparse) -> Sparse {
        let genes = cx.genes.join(names, cx.updates).gene;
        let members = memberships.transpose();
        let size = |g: usize| memberships.row(g).count();
        let lists: Vec<Vec<(u32, f64)>> = (0..names.len())
            .into_par_iter()
            .map_init(
                || vec![0u32; names.len()],
                |shared, g| {
                    if genes[g].is_none() {
                        return vec![];
                    }
                    let mut met = vec![];
                    for (set, _) in memberships.row(g) {
                        for (other, _) in members.row(set).filter(|(o, _)| *o != g && genes[*o].is_some()) {
                            if shared[other] == 0 {
                                met.push(other);
                            }
                            shared[other] += 1;
                        }
                    }
                    let mut list: Vec<(u32, f64)> = met
                        .into_iter()
                        .map(|o| {
                            let common = std::mem::take(&mut shared[o]) as usize;
                            (o as u32, common as f64 / (size(g) + size(o) - common) as f64)
                        })
                        .collect();
                    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                    list.truncate(self.neighbours);
                    list
                },
            )
            .collect();
        let mut links: Vec<(u32, u32, f64)> = lists
            .into_iter()
            .enumerate()
            .flat_map(|(g, list)| list.into_iter().map(move |(o, w)| (o.min(g as u32), o.max(g as u32), w)))
            .collect();
        links.sort_by_key(|l| (l.0, l.1));
        links.dedup_by_key(|l| (l.0, l.1));
        cx.network(names, links)
    }
}

framework::register!(
    Prior,
    GeneSets,
    "gene_sets",
    "features from set membership (terms, pathways, modules)",
    example = |dir| {
        let path = dir.join("gene_sets.csv");
        let rows: String = (0..200).map(|i| format!("G{i:03},a{}\nG{i:03},b{}\n", i % 7, i % 11)).collect();
        // A file that cannot be written shows as an error of the prior, which names the path.
        let _ = std::fs::write(&path, format!("gene,term\n{rows}"));
        framework::serde_json::json!({ "path": path, "dims": 5 })
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;

    fn embed(settings: serde_json::Value, genes: &[&str], root: DataRoot) -> Result<Block> {
        framework::testing::embed(&serde_json::from_value::<GeneSets>(settings).unwrap(), genes, root)
    }

    #[test]
    fn inner_products_are_cosines_of_membership() {
        let path = std::env::temp_dir().join(format!("gene_sets-{}.csv", std::process::id()));
        // s1 = {A, B}, s2 = {B, C}, s3 = {A, B, C, D}; E only in the small s4; one row stands twice.
        let text = "gene,set\nA,s1\nB,s1\nB,s1\nB,s2\nC,s2\nA,s3\nB,s3\nC,s3\nD,s3\nE,s4\n";
        std::fs::write(&path, text).unwrap();
        let settings = |extra: serde_json::Value| {
            let mut s = serde_json::json!({ "path": path, "set": "set", "min_size": 2 });
            s.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            s
        };
        let names = ["A", "B", "C", "D", "E"];
        let weights = |w: &str, dims: usize| settings(serde_json::json!({ "weighting": w, "dims": dims }));
        let plain = embed(weights("binary", 0), &names, DataRoot::default()).unwrap();
        assert_eq!(plain.present, [true, true, true, true, false]);
        let r = 0.5f64.sqrt();
        assert!((&plain.x.row(0) - &ndarray::array![r, 0.0, r]).iter().all(|d| d.abs() < 1e-15));
        for weighting in ["binary", "idf"] {
            let plain = embed(weights(weighting, 0), &names, DataRoot::default()).unwrap();
            let svd = embed(weights(weighting, 3), &names, DataRoot::default()).unwrap();
            let (a, b) = (plain.x.dot(&plain.x.t()), svd.x.dot(&svd.x.t()));
            assert!((&a - &b).iter().all(|d| d.abs() < 1e-12), "full rank: the same inner products");
        }
        let idf = embed(weights("idf", 0), &names, DataRoot::default()).unwrap();
        // 5 genes: weights ln 2.5 for s1, s2 and ln 1.25 for s3.
        assert!((idf.x[(0, 0)] / idf.x[(0, 2)] - 2.5f64.ln() / 1.25f64.ln()).abs() < 1e-12);
        // A {s1, s3}, B {s1, s2, s3}, C {s2, s3}, D {s3}: AB and BC 2/3, AC 1/3, AD and CD 1/2, BD 1/3.
        let network = embed(settings(serde_json::json!({ "neighbours": 1 })), &names, DataRoot::default()).unwrap();
        let links: Vec<(usize, usize, f64)> = network.graph.unwrap().entries().filter(|e| e.0 < e.1).collect();
        assert_eq!(links, [(0, 1, 2.0 / 3.0), (0, 3, 0.5), (1, 2, 2.0 / 3.0)]);
        let none = embed(settings(serde_json::json!({ "min_size": 9 })), &names, DataRoot::default());
        assert!(none.unwrap_err().to_string().contains("has 4 sets and none has 9 to 1500 genes"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_published_recipe_is_reproduced() {
        let Some(root) = std::env::var_os("SCREENWRIGHT_DATA") else {
            println!("skipped: SCREENWRIGHT_DATA is not set");
            return;
        };
        let data = DataRoot::new(&root);
        let t = data.table(std::path::Path::new("descriptors/go_bp2021_svd64.parquet")).unwrap();
        let names: Vec<&str> = t.text("gene").unwrap().into_iter().step_by(29).collect();
        let columns = t.numeric_columns();
        let mut want = Array2::zeros((t.height(), columns.len()));
        for (c, name) in columns.iter().enumerate() {
            want.column_mut(c).assign(&Array1::from(t.numbers(name).unwrap()));
        }
        let rows: Vec<usize> = (0..t.height()).step_by(29).collect();
        let want = want.select(Axis(0), &rows);
        let start = std::time::Instant::now();
        let b =
            embed(serde_json::json!({ "path": "gene_sets/go_bp_2021.csv.gz" }), &names, DataRoot::new(&root)).unwrap();
        println!("gene sets embedded in {:?}", start.elapsed());
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
