//! Names with wildcards.

/// Whether a name fits a pattern, in which `*` stands for any text and `?` for any character.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, bytes) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last star is, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < bytes.len() {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(b'?'), _) => {
                p += 1;
                n = next(name, n);
            }
            (Some(&byte), _) if byte == bytes[n] => {
                p += 1;
                n += 1;
            }
            (_, Some((at, taken))) => {
                let taken = next(name, taken);
                star = Some((at, taken));
                (p, n) = (at + 1, taken);
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Where the character after the one at a byte starts.
fn next(name: &str, at: usize) -> usize {
    (at + 1..name.len()).find(|&after| name.is_char_boundary(after)).unwrap_or(name.len())
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
            ("*?ü", "aéü", true),
            ("???", "éü", false),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
