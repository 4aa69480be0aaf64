//! The catalogue: everything that is linked in and registered.

use crate::error::Result;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::path::Path;

/// What every plugin is.
pub trait Plugin: fmt::Debug + Send + Sync {}
impl<T: fmt::Debug + Send + Sync> Plugin for T {}

/// The six kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Chooses the next batch.
    Acquisition,
    /// Tests a pair for interaction.
    InteractionTest,
    /// Similarity of perturbations.
    Kernel,
    /// Fits a surrogate.
    Model,
    /// Answers measurements.
    Oracle,
    /// Knowledge about genes.
    Prior,
}

impl Kind {
    /// All kinds in the order in which they are listed.
    pub const ALL: [Kind; 6] =
        [Kind::Acquisition, Kind::InteractionTest, Kind::Kernel, Kind::Model, Kind::Oracle, Kind::Prior];

    /// The word used in scenario files and listings.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Acquisition => "acquisition",
            Kind::InteractionTest => "interaction",
            Kind::Kernel => "kernel",
            Kind::Model => "model",
            Kind::Oracle => "oracle",
            Kind::Prior => "prior",
        }
    }
}

/// One plugin of the catalogue, submitted by [`register!`](crate::register).
#[derive(Clone, Copy)]
pub struct Entry {
    /// Which trait it implements.
    pub kind: Kind,
    /// Its tag in scenario files, unique over all kinds.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// The text of its file, for `plugins show`.
    pub source: &'static str,
    /// Names of its parameters.
    pub fields: fn() -> &'static [&'static str],
    /// Reads it from a table without its tag and writes it back with every default filled in; the
    /// error carries the path of the offending parameter.
    pub check: fn(Value) -> Result<Value, (String, String)>,
    /// Parameters for the conformance suite; may write small files into the given folder.
    pub example: fn(&Path) -> Value,
}

inventory::collect!(Entry);

/// Everything linked in, sorted by kind and name (link order means nothing).
pub fn catalogue() -> Vec<&'static Entry> {
    let mut all: Vec<&Entry> = inventory::iter::<Entry>.into_iter().collect();
    all.sort_by_key(|e| (e.kind, e.name));
    all
}

/// The entry of a name, whatever its kind.
pub fn find(name: &str) -> Option<&'static Entry> {
    inventory::iter::<Entry>.into_iter().find(|e| e.name == name)
}

/// Adds a plugin to the catalogue: `register!(Acquisition, Thompson, "thompson", "what it does")`. The
/// file must be called `NAME.rs`. Where the defaults cannot run on their own (a path is needed), a last
/// argument `example = |dir: &Path| json!({...})` gives the conformance suite something to run.
#[macro_export]
macro_rules! register {
    ($kind:ident, $type:ty, $name:literal, $summary:literal) => {
        $crate::register!($kind, $type, $name, $summary, example = |_| $crate::serde_json::json!({}));
    };
    ($kind:ident, $type:ty, $name:literal, $summary:literal, example = $example:expr) => {
        const _: fn() = || {
            fn implements<T: $crate::plugin::$kind>() {}
            implements::<$type>();
        };
        $crate::inventory::submit! {
            $crate::plugin::Entry {
                kind: $crate::plugin::Kind::$kind,
                name: $name,
                summary: $summary,
                source: include_str!(concat!($name, ".rs")),
                fields: $crate::plugin::fields::<$type>,
                check: $crate::plugin::check::<$type>,
                example: $example,
            }
        }
    };
}

/// The field names that serde knows of a struct.
pub fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    let _ = T::deserialize(FieldNames(&mut found));
    found
}

/// See [`Entry::check`].
pub fn check<T: DeserializeOwned + serde::Serialize>(value: Value) -> Result<Value, (String, String)> {
    let read: T = serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        (if path == "." { String::new() } else { path }, e.into_inner().to_string())
    })?;
    serde_json::to_value(read).map_err(|e| (String::new(), e.to_string()))
}

/// A deserializer that only takes down the field names of the struct that asks.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> serde::Deserializer<'de> for FieldNames<'_> {
    type Error = serde::de::value::Error;
    fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("field names only"))
    }
    fn deserialize_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(serde::de::Error::custom("field names only"))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
