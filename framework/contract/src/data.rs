//! The data root: where scenarios find public tables, each read once.

use crate::error::Result;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use table::Table;

/// A folder with data files and the tables already read from it.
#[derive(Debug, Default)]
pub struct DataRoot {
    root: PathBuf,
    tables: Mutex<HashMap<PathBuf, Arc<Table>>>,
}

impl DataRoot {
    /// Files are looked up below `root`; absolute paths are used as they are.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), tables: Mutex::default() }
    }

    /// `--data-dir`, else `SCREENWRIGHT_DATA`, else `./data`.
    pub fn locate(flag: Option<PathBuf>) -> Self {
        Self::new(
            flag.or_else(|| std::env::var_os("SCREENWRIGHT_DATA").filter(|v| !v.is_empty()).map(PathBuf::from))
                .unwrap_or_else(|| PathBuf::from("data")),
        )
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file named in a scenario lies.
    pub fn path(&self, file: &Path) -> PathBuf {
        self.root.join(file)
    }

    /// The table of a file, read at first use and shared afterwards.
    pub fn table(&self, file: &Path) -> Result<Arc<Table>> {
        let path = self.path(file);
        // Held while reading, so that two workers never read one file twice.
        let mut tables = self.tables.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(t) = tables.get(&path) {
            return Ok(t.clone());
        }
        let t = Arc::new(table::read(&path)?);
        tables.insert(path, t.clone());
        Ok(t)
    }
}
