//! Rust sources as the house's tests read them: tokens without comments and text, the modules of a crate, and which
//! file uses which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// An identifier, `::`, or one other character of code, and its line.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The tokens of a text; comments and literals of text are left out.
pub fn tokens(text: &str) -> Vec<Token> {
    let c: Vec<char> = text.chars().collect();
    let (mut out, mut i, mut line): (Vec<Token>, usize, usize) = (vec![], 0, 1);
    let at = |i: usize| c.get(i).copied().unwrap_or('\0');
    while i < c.len() {
        let start = i;
        if at(i) == '/' && at(i + 1) == '/' {
            while i < c.len() && c[i] != '\n' {
                i += 1;
            }
        } else if at(i) == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < c.len() {
                match (at(i), at(i + 1)) {
                    ('/', '*') => depth += 1,
                    ('*', '/') => depth -= 1,
                    _ => {
                        i += 1;
                        continue;
                    }
                }
                i += 2;
                if depth == 0 {
                    break;
                }
            }
        } else if at(i) == '"' {
            i += 1;
            while i < c.len() && c[i] != '"' {
                i += if c[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if at(i) == '\'' {
            // A character, or a lifetime.
            if at(i + 1) == '\\' {
                i += 3;
                while i < c.len() && c[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else if at(i + 2) == '\'' {
                i += 3;
            } else {
                i += 1;
            }
        } else if at(i).is_alphanumeric() || at(i) == '_' {
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            let word: String = c[start..i].iter().collect();
            let mut hashes = 0;
            while at(i + hashes) == '#' {
                hashes += 1;
            }
            if matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"' {
                let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                i += hashes + 1;
                while i < c.len() && !c[i..].starts_with(&end) {
                    i += 1;
                }
                i += end.len();
            } else {
                out.push(Token { text: word, line });
            }
        } else if at(i) == ':' && at(i + 1) == ':' {
            out.push(Token { text: "::".into(), line });
            i += 2;
        } else {
            if !c[i].is_whitespace() {
                out.push(Token { text: c[i].to_string(), line });
            }
            i += 1;
        }
        line += c[start..i.min(c.len())].iter().filter(|c| **c == '\n').count();
    }
    out
}

/// Where the bracket at `open` closes.
fn closing(t: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in t.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    t.len()
}

/// What is left without the items that only tests have, and the names of test modules in files of their own.
pub fn without_tests(t: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    let (mut out, mut files, mut i) = (vec![], vec![], 0);
    let is = |i: usize, word: &str| t.get(i).is_some_and(|t| t.text == word);
    while i < t.len() {
        let cfg = is(i, "#") && is(i + 1, "[") && is(i + 2, "cfg") && is(i + 3, "(");
        if cfg && (is(i + 4, "test") || (is(i + 4, "all") && is(i + 6, "test"))) {
            i = closing(&t, i + 1) + 1;
            let start = i;
            while i < t.len() && !is(i, ";") && !is(i, "{") {
                i = if is(i, "(") || is(i, "[") { closing(&t, i) + 1 } else { i + 1 };
            }
            if is(i, "{") {
                i = closing(&t, i);
                // A `use` with braces ends in a semicolon.
                i += usize::from(is(i + 1, ";"));
            } else if let Some(at) = (start..i).find(|&i| is(i, "mod")) {
                files.push(t[at + 1].text.clone());
            }
            i += 1;
        } else {
            out.push(t[i].clone());
            i += 1;
        }
    }
    (out, files)
}

/// A path that a `use` brings in.
#[derive(Clone, Debug)]
struct Import {
    path: Vec<String>,
    /// Under which name; none for `*`.
    name: Option<String>,
    public: bool,
    line: usize,
}

/// A module: a file, or a block inside one.
#[derive(Debug, Default)]
struct Module {
    file: usize,
    items: BTreeSet<String>,
    imports: Vec<Import>,
    /// Paths in its code, beside imports, and plain names for what `*` brings in.
    paths: Vec<(Vec<String>, usize)>,
}

/// One source file.
#[derive(Debug)]
struct File {
    /// Below `src`.
    name: String,
    /// Whether it is `lib.rs` or `mod.rs`.
    door: bool,
}

/// The modules of a crate, without its tests.
pub struct Crate {
    files: Vec<File>,
    modules: BTreeMap<Vec<String>, Module>,
    /// Exported macros, which stand at the root, and their files.
    macros: BTreeMap<String, usize>,
}

/// What a path leads to.
enum Found {
    Module(Vec<String>),
    Item(usize),
    /// Of another crate.
    Elsewhere,
}

impl Crate {
    /// Reads the crate whose root is `src/lib.rs`.
    pub fn read(src: &Path) -> Self {
        let mut this = Self { files: vec![], modules: BTreeMap::new(), macros: BTreeMap::new() };
        this.file(src, &src.join("lib.rs"), vec![]);
        this
    }

    fn file(&mut self, src: &Path, path: &Path, module: Vec<String>) {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (code, tests) = without_tests(tokens(&text));
        let door = path.ends_with("lib.rs") || path.ends_with("mod.rs");
        let name = path.strip_prefix(src).expect("below src").display().to_string();
        let number = self.files.len();
        self.files.push(File { name, door });
        self.block(number, &module, &code);
        // Its child files, by where they lie.
        let folder = if door { path.parent().expect("a folder").to_path_buf() } else { path.with_extension("") };
        for e in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (p, stem) = (e.path(), e.path().file_stem().expect("a name").to_string_lossy().into_owned());
            let file = if p.is_dir() { p.join("mod.rs") } else { p.clone() };
            // A folder beside a file of its name is read with that file.
            if tests.contains(&stem)
                || matches!(stem.as_str(), "mod" | "lib")
                || !file.is_file()
                || file.extension().is_none_or(|x| x != "rs")
            {
                continue;
            }
            self.file(src, &file, [&module[..], &[stem]].concat());
        }
    }

    /// Items, imports and paths of a module's tokens.
    fn block(&mut self, file: usize, module: &[String], t: &[Token]) {
        let mut this = Module { file, ..Module::default() };
        let is = |i: usize, word: &str| t.get(i).is_some_and(|t| t.text == word);
        let (mut i, mut depth) = (0, 0usize);
        while i < t.len() {
            let word = t[i].text.as_str();
            match word {
                "{" => depth += 1,
                "}" => depth -= 1,
                "mod" if depth == 0 && is(i + 2, "{") => {
                    let end = closing(t, i + 2);
                    self.block(file, &[module, &[t[i + 1].text.clone()]].concat(), &t[i + 3..end]);
                    i = end + 1;
                    continue;
                }
                // Not the `use<>` of a type, nor a name in a macro.
                "use" if !is(i + 1, "<") && (i == 0 || !is(i - 1, "$")) => {
                    let end = (i..t.len()).find(|&j| is(j, ";")).unwrap_or(t.len());
                    let public = i > 0 && (is(i - 1, "pub") || is(i - 1, ")"));
                    imports(&t[i + 1..end], &[], public, &mut this.imports);
                    i = end + 1;
                    continue;
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" if depth == 0 => {
                    let name = if is(i + 1, "mut") { i + 2 } else { i + 1 };
                    if let Some(name) = t.get(name).filter(|n| n.is_name()) {
                        this.items.insert(name.text.clone());
                    }
                }
                "macro_rules" if depth == 0 => {
                    let name = t[i + 2].text.clone();
                    if (i.saturating_sub(4)..i).any(|j| is(j, "macro_export")) {
                        self.macros.insert(name.clone(), file);
                    }
                    this.items.insert(name);
                }
                _ => {}
            }
            if t[i].is_name() && !(i > 0 && (is(i - 1, "::") || is(i - 1, "."))) {
                let start = i;
                let mut path = vec![t[i].text.clone()];
                while is(i + 1, "::") && t.get(i + 2).is_some_and(Token::is_name) {
                    path.push(t[i + 2].text.clone());
                    i += 2;
                }
                this.paths.push((path, t[start].line));
            }
            i += 1;
        }
        self.modules.insert(module.to_vec(), this);
    }

    /// What a path written in a module leads to; none if it is a name of its own or one that is not told apart.
    fn find(&self, module: &[String], path: &[String], depth: usize) -> Option<Found> {
        let first = path.first()?.as_str();
        match first {
            "crate" => self.walk(&[], &path[1..], depth),
            "self" => self.walk(module, &path[1..], depth),
            "super" => {
                let above = &module[..module.len().saturating_sub(1)];
                match path.get(1).map(String::as_str) {
                    Some("super") => self.find(above, &path[1..], depth),
                    _ => self.walk(above, &path[1..], depth),
                }
            }
            _ => {
                let own = self.modules.get(module)?;
                let child = self.modules.contains_key(&[module, &path[..1]].concat());
                let imported = own.imports.iter().any(|i| i.name.as_deref() == Some(first));
                (child || imported).then(|| self.walk(module, path, depth))?
            }
        }
    }

    /// Follows a path down from a module, through what its files hand on.
    fn walk(&self, module: &[String], path: &[String], depth: usize) -> Option<Found> {
        let Some(first) = path.first() else { return Some(Found::Module(module.to_vec())) };
        if depth > 16 {
            return None;
        }
        let below = [module, &path[..1]].concat();
        if self.modules.contains_key(&below) {
            return self.walk(&below, &path[1..], depth);
        }
        let own = self.modules.get(module)?;
        if own.items.contains(first) {
            return Some(Found::Item(own.file));
        }
        if let Some(&file) = self.macros.get(first).filter(|_| module.is_empty()) {
            return Some(Found::Item(file));
        }
        if let Some(import) = own.imports.iter().find(|i| i.name.as_ref() == Some(first)) {
            if import.path == path[..1] {
                return Some(Found::Elsewhere);
            }
            let whole = [&import.path[..], &path[1..]].concat();
            return self.find(module, &whole, depth + 1).or(Some(Found::Elsewhere));
        }
        for import in own.imports.iter().filter(|i| i.name.is_none()) {
            if let Some(Found::Module(m)) = self.find(module, &import.path, depth + 1)
                && m != module
                && let Some(found) = self.walk(&m, path, depth + 1)
            {
                return Some(found);
            }
        }
        None
    }

    /// Which file uses which, with a line where it does. What a door only hands on is no use: whoever names it uses
    /// the file it comes from.
    pub fn uses(&self) -> BTreeMap<(usize, usize), usize> {
        let mut edges = BTreeMap::new();
        for (module, m) in &self.modules {
            let file = &self.files[m.file];
            let mut edge = |to: usize, line: usize| {
                if to != m.file {
                    edges.entry((m.file, to)).or_insert(line);
                }
            };
            let named = m.imports.iter().filter(|i| i.name.is_some() && !(file.door && i.public));
            let written = m.paths.iter().map(|(p, line)| (p, *line));
            for (path, line) in named.map(|i| (&i.path, i.line)).chain(written) {
                match self.find(module, path, 0) {
                    Some(Found::Item(to)) => edge(to, line),
                    // A module alone is a name for paths through it, which count by themselves.
                    Some(Found::Module(_) | Found::Elsewhere) => {}
                    // What a macro defines is no item that this sees: it is the module's own.
                    None if path.len() > 1 && matches!(path[0].as_str(), "crate" | "super" | "self") => {
                        let above = &path[..path.len() - 1];
                        match self.find(module, above, 0) {
                            Some(Found::Module(m)) => edge(self.modules[&m].file, line),
                            _ => panic!("{}:{line}: where does {} lead?", file.name, path.join("::")),
                        }
                    }
                    // A name that `*` may have brought.
                    None => {
                        for import in m.imports.iter().filter(|i| i.name.is_none() && !(file.door && i.public)) {
                            if let Some(Found::Module(from)) = self.find(module, &import.path, 0)
                                && let Some(Found::Item(to)) = self.walk(&from, path, 0)
                            {
                                edge(to, line);
                            }
                        }
                    }
                }
            }
        }
        edges
    }

    /// The circles among the files and folders of one folder, everywhere, each with the lines that close it. What lies
    /// in a folder counts as the folder. A folder's `mod.rs` (and `lib.rs`) is its door: it may use the files behind it
    /// and they what it holds for all of them, so that between them nothing counts; to the rest it is the folder.
    pub fn circles(&self) -> Vec<String> {
        // A file by its names below the root: a door has those of its folder.
        let names = |f: usize| -> Vec<String> {
            let file = Path::new(&self.files[f].name);
            let path =
                if self.files[f].door { file.parent().expect("a folder").into() } else { file.with_extension("") };
            path.iter().map(|n| n.to_string_lossy().into_owned()).collect()
        };
        // Of each folder: which of its files and folders uses which, with a place.
        let mut folders: BTreeMap<Vec<String>, BTreeMap<(String, String), String>> = BTreeMap::new();
        for ((a, b), line) in self.uses() {
            let (from, to) = (names(a), names(b));
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if common < from.len().min(to.len()) {
                let place = format!("{}:{line} uses {}", self.files[a].name, self.files[b].name);
                let edges = folders.entry(from[..common].to_vec()).or_default();
                edges.entry((from[common].clone(), to[common].clone())).or_insert(place);
            }
        }
        let mut all = vec![];
        for edges in folders.values() {
            let units: Vec<&String> =
                edges.keys().flat_map(|(a, b)| [a, b]).collect::<BTreeSet<_>>().into_iter().collect();
            let number = |u: &String| units.iter().position(|v| *v == u).expect("listed");
            let graph = edges.keys().map(|(a, b)| (number(a), number(b))).collect();
            for way in circles(units.len(), &graph) {
                let next = way.iter().cycle().skip(1);
                let steps = way.iter().zip(next).map(|(&a, &b)| edges[&(units[a].clone(), units[b].clone())].clone());
                all.push(steps.collect::<Vec<_>>().join(", "));
            }
        }
        all
    }
}

/// The paths of a tree such as `a::{b, c as d, e::*}`.
fn imports(t: &[Token], prefix: &[String], public: bool, out: &mut Vec<Import>) {
    let mut path = prefix.to_vec();
    let mut i = 0;
    while i < t.len() {
        match t[i].text.as_str() {
            "::" => {}
            "{" => {
                let end = closing(t, i);
                let (mut start, mut j) = (i + 1, i + 1);
                while j < end {
                    match t[j].text.as_str() {
                        "{" => j = closing(t, j),
                        "," => {
                            imports(&t[start..j], &path, public, out);
                            start = j + 1;
                        }
                        _ => {}
                    }
                    j += 1;
                }
                return imports(&t[start..end], &path, public, out);
            }
            "*" => return out.push(Import { path, name: None, public, line: t[i].line }),
            "as" => {
                let name = Some(t[i + 1].text.clone());
                return out.push(Import { path, name, public, line: t[i].line });
            }
            "self" if !prefix.is_empty() => {}
            word => path.push(word.into()),
        }
        i += 1;
    }
    if path.len() > prefix.len() || t.iter().any(|t| t.text == "self") {
        out.push(Import { name: path.last().cloned(), path, public, line: t[0].line });
    }
}

/// The circles of a graph: of each set of nodes that reach each other, one shortest way round.
fn circles(n: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let next = |v: usize| edges.range((v, 0)..(v + 1, 0)).map(|e| e.1);
    // The shortest way from a node back to itself.
    let round = |start: usize| -> Option<Vec<usize>> {
        let mut from = vec![usize::MAX; n];
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(v) = queue.pop_front() {
            for w in next(v) {
                if w == start {
                    let mut way = vec![v];
                    while *way.last()? != start {
                        way.push(from[*way.last()?]);
                    }
                    way.reverse();
                    return Some(way);
                }
                if from[w] == usize::MAX {
                    from[w] = v;
                    queue.push_back(w);
                }
            }
        }
        None
    };
    let mut all: Vec<Vec<usize>> = vec![];
    for way in (0..n).filter_map(round) {
        // Every way round is found from each of its nodes.
        let least = way.iter().enumerate().min_by_key(|(_, v)| **v).map_or(0, |(i, _)| i);
        let turned = [&way[least..], &way[..least]].concat();
        if !all.contains(&turned) {
            all.push(turned);
        }
    }
    all
}
