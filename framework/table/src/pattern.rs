//! Names with wildcards.

/// Whether a name fits a pattern, in which `*` stands for any text and `?` for any character.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star is, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match (pattern.get(p), star) {
            (Some('*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(&c), _) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            (_, Some((at, taken))) => {
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Whether a pattern has a wildcard.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_names() {
        for (pattern, name, wanted) in [
            ("*", "", true),
            ("Metadata_*", "Metadata_Plate", true),
            ("Metadata_*", "Cells_Metadata_Plate", false),
            ("*|fdr", "neg|fdr", true),
            ("*|fdr", "neg|fdr2", false),
            ("f?", "f1", true),
            ("f?", "f12", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("é?", "éü", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
