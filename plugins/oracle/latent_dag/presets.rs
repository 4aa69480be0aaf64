//! Presets: settings under one name, which give way to what a scenario sets itself.

use super::{LatentDag, Noise, Preset, Readout};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

impl Preset {
    /// Its settings.
    pub fn settings(self) -> LatentDag {
        let (genes, inert, effect_tail, effect_size) = match self {
            Preset::K562Essential => (2058, 0.2, 0.8, 0.19),
            Preset::Genome => (9748, 0.6, 1.0, 0.11),
        };
        LatentDag {
            preset: Some(self),
            genes,
            inert,
            programs: 40,
            depth: Some(4),
            edge_probability: 0.1,
            programs_per_gene: 4,
            effect_tail,
            common: 0.8,
            outputs: 1000,
            readout: Readout::Profile,
            noise: Noise::Counts,
            cells: 30,
            guides: 2,
            guide_efficacy: 0.85,
            efficacy_sd: 0.12,
            effect_size,
            cell_state_sd: 0.25,
            lanes: 48,
            lane_sd: 0.1,
            lane_scale: 0.1,
            lane_library: 0.15,
            control_cells: 200,
            ..LatentDag::default()
        }
    }
}

impl Serialize for LatentDag {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        Self::serialize(self, s)
    }
}

impl<'de> Deserialize<'de> for LatentDag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        Self::deserialize(WithPreset(d))
    }
}

/// Reads a table of settings and, after those that are given, the others from the preset that it names.
struct WithPreset<T>(T);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for WithPreset<D> {
    type Error = D::Error;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, WithPreset(visitor))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for WithPreset<V> {
    type Value = V::Value;
    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.expecting(f)
    }
    fn visit_map<A: MapAccess<'de>>(self, given: A) -> std::result::Result<V::Value, A::Error> {
        self.0.visit_map(Settings { given, seen: vec![], rest: None, preset: None, value: None })
    }
}

struct Settings<A> {
    given: A,
    seen: Vec<String>,
    preset: Option<Preset>,
    /// What the preset adds, once all that is given was read.
    rest: Option<serde_json::map::IntoIter>,
    value: Option<serde_json::Value>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Settings<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> std::result::Result<Option<K::Value>, A::Error> {
        if self.rest.is_none()
            && let Some(key) = self.given.next_key::<String>()?
        {
            self.seen.push(key.clone());
            return seed.deserialize(key.into_deserializer()).map(Some);
        }
        let (preset, seen) = (self.preset, &self.seen);
        let rest = self.rest.get_or_insert_with(|| {
            let mut all = match preset.map(|p| serde_json::to_value(p.settings())) {
                Some(Ok(serde_json::Value::Object(map))) => map,
                _ => serde_json::Map::new(),
            };
            all.retain(|k, _| !seen.contains(k));
            all.into_iter()
        });
        let Some((key, value)) = rest.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> std::result::Result<S::Value, A::Error> {
        if let Some(value) = self.value.take() {
            return seed.deserialize(value).map_err(A::Error::custom);
        }
        if self.seen.last().is_some_and(|k| k == "preset") {
            let value: serde_json::Value = self.given.next_value()?;
            self.preset = serde_json::from_value(value.clone()).unwrap_or_default();
            return seed.deserialize(value).map_err(A::Error::custom);
        }
        self.given.next_value_seed(seed)
    }
}
