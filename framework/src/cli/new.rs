use crate::error::{Error, Result};
use crate::plugin;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum What {
    Acquisition,
    Interaction,
    Kernel,
    Model,
    Oracle,
    Prior,
}

#[derive(Args)]
#[command(
    after_help = "Example: screenwright new acquisition far_and_uncertain\nThe file is found by the next build; no other file changes. Try it with: screenwright plugins show NAME"
)]
pub(crate) struct New {
    /// Kind of plugin
    kind: What,
    /// Its name: lower-case letters, digits and `_`
    name: String,
    /// Folder that holds the plugin kinds' folders
    #[arg(long, value_name = "DIR", default_value = "plugins")]
    dir: PathBuf,
}

impl New {
    pub(crate) fn execute(self) -> Result<u8> {
        let name = &self.name;
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !name.ends_with('_')
            && !name.contains("__");
        if !good {
            return Err(Error::Config(format!(
                "`{name}` cannot be a plugin name; use lower-case letters, digits and single `_`, starting with a letter, such as `far_first`"
            )));
        }
        if let Some(e) = plugin::find(name) {
            return Err(Error::Config(format!("the {} `{name}` exists already; choose another name", e.kind.word())));
        }
        let (folder, text) = match self.kind {
            What::Acquisition => ("acquisition", ACQUISITION),
            What::Interaction => ("interaction", INTERACTION),
            What::Kernel => ("kernel", KERNEL),
            What::Model => ("model", MODEL),
            What::Oracle => ("oracle", ORACLE),
            What::Prior => ("prior", PRIOR),
        };
        let dir = self.dir.join(folder);
        if !dir.is_dir() {
            return Err(Error::Config(format!(
                "{}: no such folder; run this in the top folder of the project or name its plugins folder with --dir",
                dir.display()
            )));
        }
        let path = dir.join(format!("{name}.rs"));
        if path.exists() {
            return Err(Error::Config(format!(
                "{}: exists already; choose another name or delete it first",
                path.display()
            )));
        }
        let text = text.replace("NAME", name).replace("Type", &camel(name));
        std::fs::write(&path, text).map_err(Error::io(&path, "writing the plugin file"))?;
        super::print(&format!(
            "wrote {}\nnext: edit it, then `cargo test --test conformance` and use it as use = \"{name}\"",
            path.display()
        ));
        Ok(super::OK)
    }
}

fn camel(name: &str) -> String {
    name.split('_')
        .map(|w| w.chars().take(1).flat_map(char::to_uppercase).chain(w.chars().skip(1)).collect::<String>())
        .collect()
}

const ACQUISITION: &str = include_str!("new_acquisition.txt");
const INTERACTION: &str = include_str!("new_interaction.txt");
const KERNEL: &str = include_str!("new_kernel.txt");
const MODEL: &str = include_str!("new_model.txt");
const ORACLE: &str = include_str!("new_oracle.txt");
const PRIOR: &str = include_str!("new_prior.txt");
