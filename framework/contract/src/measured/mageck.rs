//! One effect of a table of MAGeCK, with its sign and its standard error.
//!
//! | table | effect | value | standard error |
//! | --- | --- | --- | --- |
//! | `gene_summary` of `test` | `lfc` | `neg\|lfc`, which `pos\|lfc` equals | not in the table |
//! | `sgrna_summary` of `test` | `lfc` | mean or median of `LFC` over the guides of a gene | over guides, as for counts |
//! | `gene_summary` of `mle` | `beta` | `SAMPLE\|beta` | beta / z, z being that of Wald's test |
//! | `gene_summary` of `mle` | `z` | `SAMPLE\|z` | 1 |

use super::counts::{ByGene, SD, Summary};
use super::{Measurements, genes};
use crate::error::{Error, Result, counted, listed};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use table::{Column, Table};

/// Which effect of a table of MAGeCK is read: its name, as in `"lfc"`, or `{ effect = "beta", sample = "HL60" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mageck {
    /// The effect.
    pub effect: Effect,
    /// The sample, where a table of `mle` has several.
    pub sample: Option<String>,
    /// How the guides of a `sgrna_summary` become one number.
    pub summary: Summary,
}

/// An effect in a table of MAGeCK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The log2 fold change of `mageck test`.
    Lfc,
    /// The coefficient of `mageck mle`.
    Beta,
    /// The statistic of Wald's test of `mageck mle`.
    Z,
}

/// As it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    effect: Effect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sample: Option<String>,
    #[serde(default, skip_serializing_if = "is_mean")]
    summary: Summary,
}

fn is_mean(summary: &Summary) -> bool {
    *summary == Summary::Mean
}

impl Serialize for Mageck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self { effect, sample: None, summary: Summary::Mean } => effect.serialize(serializer),
            Self { effect, sample, summary } => {
                Written { effect: *effect, sample: sample.clone(), summary: *summary }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Mageck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherForm;
        impl<'de> Visitor<'de> for EitherForm {
            type Value = Mageck;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"lfc\", \"beta\" or \"z\", or a table such as { effect = \"beta\", sample = \"HL60\" }")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Mageck, E> {
                let effect = Effect::deserialize(de::value::StrDeserializer::new(name))?;
                Ok(Mageck { effect, sample: None, summary: Summary::Mean })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mageck, A::Error> {
                let Written { effect, sample, summary } =
                    Written::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Mageck { effect, sample, summary })
            }
        }
        deserializer.deserialize_any(EitherForm)
    }
}

impl Mageck {
    pub(super) fn apply(&self, m: &mut Measurements, separator: Option<&str>, file: &str) -> Result<()> {
        let table = m.table.clone();
        let wrong = |what: String| Err(Error::Config(format!("{file}: {what}")));
        let samples = samples(&table);
        if self.effect == Effect::Lfc {
            if self.sample.is_some() {
                return wrong("`sample` of `mageck` is for tables of mle; leave it out".into());
            }
            // R writes points for the bars in names.
            let both = ["neg|lfc", "neg.lfc"].into_iter().zip(["pos|lfc", "pos.lfc"]);
            if let Some((neg, pos)) = both.into_iter().find(|(neg, _)| table.column(neg).is_some()) {
                return self.of_genes(m, &table, neg, pos, file);
            }
            if table.column("LFC").is_some() {
                let names = genes::names(&table, &m.genes, separator).map_err(|e| e.at(file.to_string()))?;
                let effects = [table.numbers("LFC")?];
                ByGene::new(names.into_iter(), &effects, self.summary).put(m, separator, &[])?;
                return Ok(());
            }
            return wrong(match samples.len() {
                0 => "it has neither neg|lfc nor LFC, as tables of mageck test have; name its effect as `values` instead of `mageck`"
                    .into(),
                _ => "it is of mageck mle, which has no log fold change; set mageck = \"beta\" (or \"z\")".into(),
            });
        }
        if samples.is_empty() {
            let lfc = if table.column("neg|lfc").is_some() { "; set mageck = \"lfc\"" } else { "" };
            return wrong(format!("it has no column SAMPLE|beta, as gene summaries of mageck mle have{lfc}"));
        }
        let sample = match (&self.sample, &samples[..]) {
            (Some(s), _) if samples.contains(s) => s,
            (Some(s), _) => {
                let near = crate::error::hint(s, samples.iter().map(String::as_str));
                return wrong(format!("it has no sample `{s}`{near}; it has {}", listed(&samples, 10)));
            }
            (None, [only]) => only,
            (None, _) => {
                return wrong(format!(
                    "it has the samples {}; name one, as in mageck = {{ effect = \"beta\", sample = {:?} }}",
                    listed(&samples, 10),
                    samples[0]
                ));
            }
        };
        self.of_sample(m, &table, sample)
    }

    /// The log fold change of genes: both tests give the same, unless guides were chosen by rank.
    fn of_genes(&self, m: &mut Measurements, table: &Table, neg: &str, pos: &str, file: &str) -> Result<()> {
        let (low, high) = (table.numbers_or_missing(neg)?, table.numbers_or_missing(pos).unwrap_or_default());
        // Tables that keep one of them only are read too.
        let differ: Vec<usize> =
            (0..low.len()).filter(|&r| high.get(r).is_some_and(|h| (h - low[r]).abs() > 0.0)).collect();
        if let Some(&row) = differ.first() {
            return Err(Error::Data(format!(
                "{file}: {neg} and {pos} differ in {} ({}: {} and {}), as after mageck test --gene-lfc-method alphamedian; leave \
                 out `mageck`, and name the one you want as `values`",
                counted(differ.len(), "row"),
                table.place(row),
                low[row],
                high[row]
            )));
        }
        m.values = vec![neg.into()];
        Ok(())
    }

    /// The effect in a sample. Genes that were not fitted, for their number of guides, have 0 for it and its z: they are left out.
    fn of_sample(&self, m: &mut Measurements, table: &Table, sample: &str) -> Result<()> {
        let bar = if table.column(&format!("{sample}|beta")).is_some() { '|' } else { '.' };
        let name = |what: &str| format!("{sample}{bar}{what}");
        let beta = table.numbers_or_missing(&name("beta"))?;
        if self.effect == Effect::Beta && table.column(&name("z")).is_none() {
            m.values = vec![name("beta")];
            m.notes.push(format!("there is no {}, so that no error is known", name("z")));
            return Ok(());
        }
        let z = table.numbers_or_missing(&name("z"))?;
        let fitted: Vec<usize> = (0..beta.len()).filter(|&r| beta[r] != 0.0 || z[r] != 0.0).collect();
        if fitted.len() < beta.len() {
            m.notes.push(format!("{} without a fit left out", counted(beta.len() - fitted.len(), "row")));
        }
        let mut kept = table.take(&fitted);
        let error = |&r: &usize| match self.effect {
            Effect::Z => 1.0,
            // Rounding may leave a z of 0.
            _ if z[r] == 0.0 => f64::NAN,
            _ => (beta[r] / z[r]).abs(),
        };
        kept.push(SD, Column::Number(fitted.iter().map(error).collect()))?;
        m.table = Arc::new(kept);
        m.values = vec![name(if self.effect == Effect::Z { "z" } else { "beta" })];
        m.sd = Some(SD.into());
        Ok(())
    }
}

/// The samples of a gene summary of mle.
fn samples(table: &Table) -> Vec<String> {
    let names = table.names();
    let of = |ending: &str| names.iter().filter_map(|n| n.strip_suffix(ending)).map(String::from).collect::<Vec<_>>();
    match of("|beta") {
        none if none.is_empty() => of(".beta"),
        some => some,
    }
}
