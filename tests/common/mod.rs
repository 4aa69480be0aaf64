//! Driving the binary and reading what it leaves.
#![allow(dead_code)]

use framework::testing::TempDir;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The binary, in a folder of its own, without any data root.
pub fn screenwright(dir: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_screenwright"));
    c.current_dir(dir).env_remove("SCREENWRIGHT_DATA");
    c
}

pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn run(dir: &Path, args: &[&str]) -> Ran {
    finish(screenwright(dir).args(args).output().expect("the binary runs"))
}

pub fn finish(o: Output) -> Ran {
    Ran {
        code: o.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&o.stdout).into_owned(),
        err: String::from_utf8_lossy(&o.stderr).into_owned(),
    }
}

/// Every text is in what was printed.
#[track_caller]
pub fn says(r: &Ran, texts: &[&str]) {
    for t in texts {
        assert!(r.err.contains(t) || r.out.contains(t), "no `{t}` in:\n{}{}", r.out, r.err);
    }
}

pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).expect("a folder for test files");
    }
    std::fs::write(&path, text).expect("a test file");
    path
}

/// A folder of its own, and what was typed and printed there.
pub struct Session {
    dir: TempDir,
    log: String,
}

impl Session {
    pub fn new() -> Self {
        Self { dir: TempDir::new().expect("a folder"), log: String::new() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        write(self.path(), name, text);
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn table(&self, name: &str) -> framework::table::Table {
        framework::table::read(&self.path().join(name)).expect("a table")
    }

    /// The words of a command line, which must end with this code. No panic may reach the user, other than a plugin's
    /// that is told as such.
    #[track_caller]
    pub fn silently(&self, code: i32, line: &str) -> Ran {
        let r = run(self.path(), &line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(r.code, code, "{line}\n{}{}", r.out, r.err);
        assert!(!r.err.contains("panicked at") || r.err.contains("a plugin panicked"), "a panic: {line}\n{}", r.err);
        r
    }

    /// The same, and what it printed joins the transcript.
    #[track_caller]
    pub fn run(&mut self, code: i32, line: &str) -> Ran {
        let r = self.silently(code, line);
        let exit = if code == 0 { String::new() } else { format!("   (exit {code})") };
        self.log += &format!("$ screenwright {line}{exit}\n{}", r.out);
        if !r.err.is_empty() {
            self.log += &format!("[stderr]\n{}", r.err);
        }
        self.log += "\n";
        r
    }

    /// A line of the transcript that says what happens.
    pub fn note(&mut self, text: &str) {
        self.log += &format!("# {text}\n");
    }

    /// A command on `bad.toml`, which is `text` with one part replaced; it is refused.
    #[track_caller]
    pub fn mistake(&mut self, line: &str, text: &str, from: &str, to: &str) {
        assert!(text.contains(from), "{from}");
        self.write("bad.toml", &text.replacen(from, to, 1));
        self.note(&format!("{from:?} becomes {to:?}"));
        self.run(2, line);
    }

    /// Compares the transcript with the one in `tests/snapshots`. What has changed on purpose is accepted by running
    /// the test with `INSTA_UPDATE=always`; read the difference before it is committed.
    #[track_caller]
    pub fn matches(self, name: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        let text = steady(&self.log, self.path());
        settings.bind(|| insta::assert_snapshot!(name, text));
    }
}

/// A transcript without what differs from one time, machine or plugin to the next: folders, run ids, durations, lists
/// of plugins, and digits of numbers beyond the sixth decimal.
fn steady(text: &str, dir: &Path) -> String {
    let text = text.replace(&dir.display().to_string(), "DIR").replace(&root().display().to_string(), "ROOT");
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_id = |w: &&str| w.len() == 8 && w.chars().all(|c| c.is_ascii_hexdigit());
        let mut line = line.trim_end().to_string();
        if let ["ok" | "FAILED", id, .., time, unit] = words[..]
            && is_id(&id)
        {
            line = line.replacen(id, "IDENTITY", 1).replace(&format!("   {time} {unit}"), "   TIME");
        } else if let Some((before, after)) = line.split_once("   in ")
            && before.contains(" runs: ")
        {
            let rest = after.split_once("   ").map_or("", |s| s.1);
            line = format!("{before}   in TIME   {rest}");
        }
        // A list of plugins grows with each file.
        if let Some((before, names)) = line.split_once("; known: ")
            && names.contains(", ")
        {
            line = format!("{before}; known: NAMES");
        }
        out += &rounded(&timeless(&line));
        out.push('\n');
    }
    out
}

/// A line without durations: `122 ms`, and `1.2 s` at the end or before "in all".
fn timeless(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for i in 1..words.len() {
        let ends = i + 1 == words.len() || words[i + 1..].starts_with(&["in", "all"]);
        if words[i - 1].parse::<f64>().is_ok() && (words[i] == "ms" || words[i] == "s" && ends) {
            (words[i - 1], words[i]) = ("TIME", "");
        }
    }
    words.join(" ").trim_end().to_string()
}

/// A line whose numbers of more than six decimals are rounded to six: processors differ in the last digits.
fn rounded(line: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let (number, after) = from.split_at(from.find(|c| !is_number(c)).unwrap_or(from.len()));
        out += before;
        match (number.split_once('.'), number.parse::<f64>()) {
            (Some((_, decimals)), Ok(x)) if decimals.len() > 6 => out += &format!("{x:.6}"),
            _ => out += number,
        }
        rest = after;
    }
    out + rest
}

/// A scenario on the embedded simulator that takes a moment.
pub const TINY: &str = r#"name = "tiny"
seeds = { from = 0, count = 3 }
rounds = 3
batch = 6
metrics = ["hit_ratio", "rmse"]

[pool]
init = 8
test = 0.2

[oracle]
use = "latent_dag"
genes = 120

[prior.knowledge]
use = "simulated"

[model]
use = "ridge"

[acquisition]
use = "random"

[grid]
"acquisition" = [{ use = "random" }, { use = "greedy" }, { use = "max_dist" }]

[compare]
reference = { "acquisition" = "random" }
"#;

/// Bytes of every rounds.parquet and picks.parquet below a results folder, by run.
pub fn result_bytes(results: &Path, scenario: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for e in std::fs::read_dir(results.join(scenario)).expect("results").flatten() {
        for file in ["rounds.parquet", "picks.parquet"] {
            let p = e.path().join(file);
            if let Ok(bytes) = std::fs::read(&p) {
                all.push((format!("{}/{file}", e.file_name().to_string_lossy()), bytes));
            }
        }
    }
    all.sort();
    all
}

/// A screen of 40 genes in a CSV, and the scenario that replays it with one prior table.
pub fn table_scenario(d: &Path) -> String {
    let rows: String = (0..40).map(|i| format!("G{i:03},{}\n", (i * 37 % 19) as f64 / 10.0)).collect();
    write(d, "screen.csv", &format!("gene,value\n{rows}"));
    let rows: String = (0..40).map(|i| format!("G{i:03},{},{}\n", i % 5, i % 7)).collect();
    write(d, "prior.csv", &format!("gene,a,b\n{rows}"));
    "name = \"s\"\nseeds = { from = 0, count = 1 }\nrounds = 2\nbatch = 4\nmetrics = [\"hit_ratio\"]\n[pool]\ninit = 4\n\
     [oracle]\nuse = \"screen_table\"\npath = \"screen.csv\"\n[prior.p]\nuse = \"embedding_table\"\npath = \"prior.csv\"\n\
     [model]\nuse = \"ridge\"\n[acquisition]\nuse = \"max_dist\"\n"
        .to_string()
}

/// The public data, or the reason why a test is skipped.
pub fn data_root() -> Option<PathBuf> {
    match std::env::var_os("SCREENWRIGHT_DATA").map(PathBuf::from) {
        Some(p) if p.is_dir() => Some(std::fs::canonicalize(p).expect("an absolute path")),
        _ => {
            eprintln!("SKIPPED: SCREENWRIGHT_DATA is not set to a folder with the public data (see docs/data.md)");
            None
        }
    }
}
