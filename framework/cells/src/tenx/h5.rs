//! Cell Ranger's `.h5`: since version 3 a group `matrix` with `features`, before it a group for each genome.

use super::features::{By, Features};
use crate::error::listed;
use crate::sparse::Sparse;
use crate::store::{Group, wrong};
use crate::{CellsError, Options, Result};

/// The group of the matrix, if it looks like one of Cell Ranger.
pub(super) fn holder(root: &dyn Group) -> Result<Option<Box<dyn Group>>> {
    let members = root.members()?;
    if members.has_group("matrix") {
        return root.group("matrix").map(Some);
    }
    let mut found = vec![];
    for name in &members.groups {
        let inside = root.group(name)?.members()?;
        if ["barcodes", "genes", "gene_names", "indptr"].iter().all(|n| inside.has_array(n)) {
            found.push(name.as_str());
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [one] => root.group(one).map(Some),
        many => Err(CellsError::of(
            root.path(),
            format!(
                "it holds matrices of several genomes: {}; write one of them in Python: \
                 scanpy.read_10x_h5(path, genome=\"{}\").write_h5ad(\"file.h5ad\")",
                listed(many),
                many[0]
            ),
        )),
    }
}

pub(super) fn open(root: &dyn Group, options: &Options) -> Result<(Vec<String>, Features, Sparse)> {
    let by = By::of(root.path(), options)?;
    let Some(m) = holder(root)? else {
        let members = root.members()?;
        let here = [members.groups, members.arrays].concat();
        let what = format!(
            "it is neither AnnData (obs and var) nor Cell Ranger's (matrix, or a genome with barcodes and genes); it \
             holds {}. Write it as .h5ad in Python: adata.write_h5ad(path)",
            listed(&here)
        );
        return Err(CellsError::of(root.path(), what));
    };
    let texts = |group: &dyn Group, name: &str| {
        let array = group.array(name)?;
        array.check_whole()?;
        array.strings()
    };
    let (names, kinds) = match m.members()?.has_group("features") {
        true => {
            let f = m.group("features")?;
            let names = texts(&*f, if by == By::Id { "id" } else { "name" })?;
            let kinds = if f.members()?.has_array("feature_type") { Some(texts(&*f, "feature_type")?) } else { None };
            (names, kinds)
        }
        false => (texts(&*m, if by == By::Id { "genes" } else { "gene_names" })?, None),
    };
    let barcodes = texts(&*m, "barcodes")?;
    if let Some(k) = kinds.as_ref().filter(|k| k.len() != names.len()) {
        let what =
            format!("has {} feature types for {} features: the file is damaged, copy it again", k.len(), names.len());
        return Err(wrong(m.path(), m.place(), what));
    }
    let shape = m.array("shape")?.all_integers()?;
    if shape != [names.len() as i64, barcodes.len() as i64] {
        let what = format!(
            "has the shape {shape:?}, and there are {} features and {} barcodes: the file is damaged, copy it again",
            names.len(),
            barcodes.len()
        );
        return Err(wrong(m.path(), m.place(), what));
    }
    let matrix = Sparse::open(&*m, barcodes.len(), names.len())?;
    let kinds = kinds.map(|k| k.into_iter().map(Some).collect()).unwrap_or_else(|| vec![None; names.len()]);
    let features = Features::take(root.path(), names.into_iter().zip(kinds), options)?;
    Ok((barcodes, features, matrix))
}
