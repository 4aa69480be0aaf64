//! Whether values look like names of genes.

/// The kind of gene names a column seems to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GeneNames {
    /// Symbols such as `TP53` and `Trp53`; the share of different values that look like one.
    Symbols { share: f64 },
    /// Ids such as `ENSG00000141510`; the share of different values that are one.
    Ensembl { share: f64 },
    /// Whole numbers, in a column that is named after them.
    Entrez,
}

/// Below it a column holds other names, some of which happen to look like genes.
const LEAST_SHARE: f64 = 0.6;

/// Below it nothing can be told.
const LEAST_NAMES: usize = 3;

/// What the different values of a column of text are.
pub(crate) fn of_texts(values: &[&str]) -> Option<GeneNames> {
    if values.len() < LEAST_NAMES {
        return None;
    }
    let share = |is: fn(&str) -> bool| values.iter().filter(|value| is(value)).count() as f64 / values.len() as f64;
    let (ensembl, symbols) = (share(is_ensembl_id), share(is_symbol));
    if ensembl >= LEAST_SHARE {
        Some(GeneNames::Ensembl { share: ensembl })
    } else {
        (symbols >= LEAST_SHARE).then_some(GeneNames::Symbols { share: symbols })
    }
}

/// What a column of whole numbers is.
pub(crate) fn of_integers(name: &str, values: &[i64]) -> Option<GeneNames> {
    const LARGEST: i64 = 200_000_000;
    let name = name.to_lowercase();
    let named = ["entrez", "ncbi_gene", "geneid", "gene_id", "gene id"].iter().any(|word| name.contains(word));
    (named && values.iter().all(|value| (1..LARGEST).contains(value))).then_some(GeneNames::Entrez)
}

/// `ENSG00000141510`, `ENSMUSG00000059552.15`.
fn is_ensembl_id(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("ENS") else { return false };
    let rest = rest.split('.').next().unwrap_or_default();
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let letters = &rest[..rest.len() - digits.len()];
    letters.ends_with(['G', 'P', 'T']) && digits.len() == 11 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `TP53`, `HLA-A`, `C1orf112`, `Btbd35f5`, `2310009E13Rik`.
fn is_symbol(name: &str) -> bool {
    let bytes = name.as_bytes();
    if !(2..=15).contains(&bytes.len()) || is_ensembl_id(name) {
        return false;
    }
    if let Some(clone) = name.strip_suffix("Rik") {
        return clone.len() >= 7 && clone.bytes().all(|byte| byte.is_ascii_alphanumeric());
    }
    let allowed = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let small = bytes[1..].iter().any(u8::is_ascii_lowercase);
    let digit = bytes.iter().any(u8::is_ascii_digit);
    let large = bytes[1..].iter().any(u8::is_ascii_uppercase);
    // Words such as Jurkat and CellLine have no digit; open reading frames have a name of their own.
    bytes[0].is_ascii_uppercase() && allowed && (!small || name.contains("orf") || (digit && !large))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_ids() {
        for name in ["TP53", "MYC", "HLA-A", "C1orf112", "Trp53", "Btbd35f5", "2310009E13Rik", "AC004556.3"] {
            assert!(is_symbol(name), "{name}");
        }
        for name in ["Jurkat", "A", "TP53+MYC", "non-targeting", "1-Mar", "0.5", "ENSG00000141510", "T cell"] {
            assert!(!is_symbol(name), "{name}");
        }
        assert!(is_ensembl_id("ENSG00000141510") && is_ensembl_id("ENSMUSG00000059552.15") && !is_ensembl_id("ENSG1"));
        assert_eq!(
            of_texts(&["ENSG00000141510", "ENSG00000136997", "x"]).map(|g| matches!(g, GeneNames::Ensembl { .. })),
            Some(true)
        );
        assert_eq!(of_texts(&["Jurkat", "K562", "HeLa cells"]), None);
        assert_eq!(of_integers("entrez_id", &[7157, 4609]), Some(GeneNames::Entrez));
        assert_eq!(of_integers("count", &[7157, 4609]), None);
    }
}
