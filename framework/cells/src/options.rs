//! What to read of a file.

/// What to read of a file.
#[derive(Clone, Debug)]
pub struct Options {
    /// AnnData: a layer, or `raw`; absent: X.
    pub layer: Option<String>,
    /// AnnData: the column of var with the names of genes, absent: its index. 10x: `name` (default) or `id`.
    pub gene_column: Option<String>,
    /// 10x: the types of features that are genes. Others (guides, antibodies) are left out and counted.
    pub feature_types: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { layer: None, gene_column: None, feature_types: vec!["Gene Expression".into()] }
    }
}
