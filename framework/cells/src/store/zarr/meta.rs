//! What the JSON files of a store say about a node.

use serde_json::Value;
use std::path::Path;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Item {
    Signed(u64),
    Unsigned(u64),
    Real(u64),
    Truth,
    /// Texts of any length, as numcodecs' `vlen-utf8` packs them.
    Texts,
    /// Texts of so many letters, four bytes each.
    Letters(u64),
    /// Texts of so many bytes.
    Bytes(u64),
}

impl Item {
    /// Bytes; of texts of any length the least.
    pub(super) fn size(self) -> u64 {
        match self {
            Item::Signed(n) | Item::Unsigned(n) | Item::Real(n) | Item::Bytes(n) => n,
            Item::Letters(n) => n.saturating_mul(4),
            Item::Truth => 1,
            Item::Texts => 4,
        }
    }
}

/// One step of unpacking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Codec {
    Blosc,
    Zstd,
    Gzip,
    Zlib,
    Lz4,
    /// Four bytes at the end, which are taken off.
    Checksum,
}

impl Codec {
    pub(super) fn named(name: &str, version: u8) -> Option<Self> {
        Some(match (name, version) {
            ("blosc" | "numcodecs.blosc", _) => Codec::Blosc,
            ("zstd" | "numcodecs.zstd", _) => Codec::Zstd,
            ("gzip" | "numcodecs.gzip", _) => Codec::Gzip,
            ("zlib" | "numcodecs.zlib", _) => Codec::Zlib,
            ("lz4" | "numcodecs.lz4", _) => Codec::Lz4,
            ("crc32c", 3) => Codec::Checksum,
            _ => return None,
        })
    }
}

/// How an array is laid out.
pub(super) struct Layout {
    pub(super) shape: Vec<u64>,
    pub(super) chunk: Vec<u64>,
    pub(super) item: Item,
    pub(super) big_endian: bool,
    /// The bytes of an element that is not stored.
    pub(super) fill: Vec<u8>,
    /// In the order in which they are applied.
    pub(super) codecs: Vec<Codec>,
    /// Whether the files of chunks begin with `c`, as version 3 has it.
    prefixed: bool,
    separator: String,
}

impl Layout {
    /// The file of a chunk, below the folder of the array.
    pub(super) fn key(&self, at: &[u64]) -> String {
        let parts: Vec<String> = at.iter().map(u64::to_string).collect();
        let key = parts.join(&self.separator);
        if self.prefixed { format!("c{}{key}", self.separator) } else { key }
    }
}

const REMEDY: &str = "write it as .h5ad in Python: anndata.read_zarr(store).write_h5ad(\"file.h5ad\")";

fn json(file: &Path) -> Result<Option<Value>, String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Metadata are small; a file that is not would only fill memory.
    match std::fs::metadata(file) {
        Err(_) => return Ok(None),
        Ok(m) if m.len() > 64 << 20 => return Err(format!("has {name} of {} bytes, which is damaged", m.len())),
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(file).map_err(|e| format!("has {name} that cannot be read: {e}"))?;
    // JSON as Python writes it has names for numbers that are none.
    let text = text.replace(": NaN", ": null").replace(": Infinity", ": null").replace(": -Infinity", ": null");
    let value = serde_json::from_str(&text).map_err(|e| format!("has {name} that is damaged ({e}); copy it again"))?;
    Ok(Some(value))
}

/// Whether a folder is an array (or else a group); `None` if it is neither.
pub(super) fn is_array(folder: &Path) -> Option<bool> {
    if folder.join(".zarray").is_file() {
        return Some(true);
    }
    if folder.join(".zgroup").is_file() {
        return Some(false);
    }
    let value = json(&folder.join("zarr.json")).ok()??;
    Some(value.get("node_type").and_then(Value::as_str) == Some("array"))
}

/// The attributes of a node; none are no error.
pub(super) fn attributes(folder: &Path) -> Result<Value, String> {
    if let Some(v3) = json(&folder.join("zarr.json"))? {
        return Ok(v3.get("attributes").cloned().unwrap_or_default());
    }
    Ok(json(&folder.join(".zattrs"))?.unwrap_or_default())
}

pub(super) fn layout(folder: &Path) -> Result<Layout, String> {
    if let Some(v3) = json(&folder.join("zarr.json"))? {
        return third(&v3);
    }
    match json(&folder.join(".zarray"))? {
        Some(v2) => second(&v2),
        None => Err("has no .zarray and no zarr.json: the store is cut short; copy it again".into()),
    }
}

fn sizes(value: Option<&Value>, what: &str) -> Result<Vec<u64>, String> {
    let all: Option<Vec<u64>> = value.and_then(Value::as_array).and_then(|a| a.iter().map(Value::as_u64).collect());
    all.ok_or_else(|| format!("has no sound `{what}` in its metadata: the store is damaged, copy it again"))
}

fn checked(layout: Layout) -> Result<Layout, String> {
    if layout.shape.len() != layout.chunk.len() || layout.chunk.contains(&0) {
        return Err(format!(
            "has the shape {:?} and chunks of {:?}: the store is damaged, copy it again",
            layout.shape, layout.chunk
        ));
    }
    Ok(layout)
}

fn second(v: &Value) -> Result<Layout, String> {
    let name = v.get("dtype").and_then(Value::as_str).unwrap_or("a structured type");
    let filters: Vec<&str> =
        v.get("filters").and_then(Value::as_array).into_iter().flatten().map(|f| id(f, "id")).collect();
    let unread = || format!("has the type `{name}` (filters: {}), which is not read; {REMEDY}", filters.join(", "));
    let width = |from: usize| name.get(from..).and_then(|n| n.parse::<u64>().ok()).ok_or_else(unread);
    let item = match (name.get(1..2), filters.as_slice()) {
        (Some("O"), ["vlen-utf8"]) => Item::Texts,
        (_, [_, ..]) => return Err(unread()),
        (Some("i"), _) => Item::Signed(width(2)?),
        (Some("u"), _) => Item::Unsigned(width(2)?),
        (Some("f"), _) => Item::Real(width(2)?),
        (Some("b"), _) => Item::Truth,
        (Some("U"), _) => Item::Letters(width(2)?),
        (Some("S"), _) => Item::Bytes(width(2)?),
        _ => return Err(unread()),
    };
    check(item).ok_or_else(unread)?;
    let shape = sizes(v.get("shape"), "shape")?;
    if v.get("order").and_then(Value::as_str) == Some("F") && shape.len() > 1 {
        return Err(format!("is stored by columns (order F), which is not read; {REMEDY}"));
    }
    let codecs = match v.get("compressor") {
        None | Some(Value::Null) => vec![],
        Some(c) => vec![Codec::named(id(c, "id"), 2).ok_or_else(|| packed(id(c, "id")))?],
    };
    let separator = v.get("dimension_separator").and_then(Value::as_str).unwrap_or(".").to_string();
    let big_endian = name.starts_with('>');
    checked(Layout {
        chunk: sizes(v.get("chunks"), "chunks")?,
        fill: fill(item, v.get("fill_value"), big_endian),
        shape,
        item,
        big_endian,
        codecs,
        prefixed: false,
        separator,
    })
}

fn third(v: &Value) -> Result<Layout, String> {
    let data_type = v.get("data_type");
    let name = data_type.and_then(Value::as_str).or_else(|| data_type?.get("name")?.as_str()).unwrap_or("unknown");
    let length =
        |unit: u64| data_type.and_then(|d| d.get("configuration")?.get("length_bytes")?.as_u64()).map(|n| n / unit);
    let unread = || format!("has the type `{name}`, which is not read; {REMEDY}");
    let item = match name {
        "bool" => Item::Truth,
        "int8" | "int16" | "int32" | "int64" => Item::Signed(bits(name, "int")),
        "uint8" | "uint16" | "uint32" | "uint64" => Item::Unsigned(bits(name, "uint")),
        "float32" | "float64" => Item::Real(bits(name, "float")),
        "string" => Item::Texts,
        "fixed_length_utf32" => Item::Letters(length(4).ok_or_else(unread)?),
        "null_terminated_bytes" => Item::Bytes(length(1).ok_or_else(unread)?),
        _ => return Err(unread()),
    };
    let mut big_endian = false;
    let mut codecs = vec![];
    for codec in v.get("codecs").and_then(Value::as_array).into_iter().flatten() {
        match id(codec, "name") {
            "bytes" => big_endian = codec.pointer("/configuration/endian").and_then(Value::as_str) == Some("big"),
            "vlen-utf8" if item == Item::Texts => {}
            other => codecs.push(Codec::named(other, 3).ok_or_else(|| packed(other))?),
        }
    }
    codecs.reverse();
    let separator = v.pointer("/chunk_key_encoding/configuration/separator").and_then(Value::as_str);
    let prefixed = v.pointer("/chunk_key_encoding/name").and_then(Value::as_str) != Some("v2");
    let usual = if prefixed { "/" } else { "." };
    checked(Layout {
        shape: sizes(v.get("shape"), "shape")?,
        chunk: sizes(v.pointer("/chunk_grid/configuration/chunk_shape"), "chunk_grid")?,
        fill: fill(item, v.get("fill_value"), big_endian),
        item,
        big_endian,
        codecs,
        prefixed,
        separator: separator.unwrap_or(usual).to_string(),
    })
}

/// Bytes of a type named by its bits.
fn bits(name: &str, kind: &str) -> u64 {
    name.trim_start_matches(kind).parse::<u64>().unwrap_or(64) / 8
}

fn check(item: Item) -> Option<()> {
    match item {
        Item::Signed(n) | Item::Unsigned(n) => [1, 2, 4, 8].contains(&n).then_some(()),
        Item::Real(n) => [4, 8].contains(&n).then_some(()),
        Item::Letters(n) | Item::Bytes(n) => (n > 0).then_some(()),
        Item::Truth | Item::Texts => Some(()),
    }
}

fn id<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).or(Some(value)).and_then(Value::as_str).unwrap_or("unknown")
}

fn packed(name: &str) -> String {
    format!("is packed by `{name}`, which is not read (blosc, zstd, gzip, zlib and lz4 are); {REMEDY}")
}

/// The bytes of an element that is not stored; zeros unless a number says otherwise.
fn fill(item: Item, value: Option<&Value>, big_endian: bool) -> Vec<u8> {
    let number = value.and_then(Value::as_f64).unwrap_or(0.0);
    let whole = value.and_then(Value::as_i64).unwrap_or(number as i64).to_le_bytes();
    let mut bytes = match item {
        Item::Signed(n) | Item::Unsigned(n) => whole[..n as usize].to_vec(),
        Item::Real(4) => (number as f32).to_le_bytes().to_vec(),
        Item::Real(_) => number.to_le_bytes().to_vec(),
        Item::Truth => vec![u8::from(value == Some(&Value::Bool(true)))],
        Item::Texts | Item::Letters(_) | Item::Bytes(_) => vec![0; item.size().min(1 << 16) as usize],
    };
    if big_endian {
        bytes.reverse();
    }
    bytes
}
