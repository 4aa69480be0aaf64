//! Where numbers come from: program, source revision, machine, data.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;

/// SHA-256 of each data file, by its path relative to the data root.
pub type DataHashes = BTreeMap<String, String>;

/// What made a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Version of the program.
    pub version: String,
    /// Git revision of the folder that holds the scenario, if it is under git.
    pub git_revision: Option<String>,
    /// Whether that folder had uncommitted changes.
    pub git_dirty: Option<bool>,
    /// Host name.
    pub host: String,
    /// Operating system and processor architecture.
    pub platform: String,
    /// What computed: `cpu`, or a GPU's name.
    pub device: String,
}

impl Provenance {
    /// Gathers it once for a sweep.
    pub fn gather(scenario: &Path) -> Self {
        let folder = scenario.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let git = |args: &[&str]| {
            let out = Command::new("git").arg("-C").arg(folder).args(args).output().ok()?;
            out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
        };
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            git_revision: git(&["rev-parse", "HEAD"]),
            git_dirty: git(&["status", "--porcelain"]).map(|s| !s.is_empty()),
            host: std::fs::read_to_string("/proc/sys/kernel/hostname")
                .map(|s| s.trim().to_string())
                .or_else(|_| std::env::var("HOSTNAME"))
                .unwrap_or_default(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            device: "cpu".into(),
        }
    }
}

/// SHA-256 of a file, streamed; of a folder or a prefix of files, that of the names and hashes of its files, sorted.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut files = cells::behind(path);
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(Error::io(path, "listing"))?;
        // Folders as well, as in a zarr store; not behind links, which may lead in circles.
        let inside = |e: &std::fs::DirEntry| e.path().is_file() || e.file_type().is_ok_and(|t| t.is_dir());
        files = entries.flatten().filter(inside).map(|e| e.path()).collect();
    }
    if path.is_dir() || !files.is_empty() {
        files.sort();
        let mut hash = Sha256::new();
        for f in files {
            let name = f.file_name().unwrap_or_default().to_string_lossy();
            hash.update(format!("{}  {name}\n", sha256(&f)?));
        }
        return Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect());
    }
    let mut file = std::fs::File::open(path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound { missing(path) } else { Error::io(path, "reading")(e) }
    })?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer).map_err(Error::io(path, "reading"))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

fn missing(path: &Path) -> Error {
    Error::Data(format!(
        "{}: no such data file; point --data-dir or SCREENWRIGHT_DATA at the folder that holds it (docs/data.md lists every file and its origin)",
        path.display()
    ))
}
