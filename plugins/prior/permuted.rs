//! A prior whose rows were dealt to the wrong genes: the control for what a prior's knowledge is worth.
//!
//! The rows of the genes that the prior covers are permuted uniformly among these genes, so that every column keeps its
//! values and nothing about a gene is left. GeneDisco's released loader of Achilles did so by accident until 2023, which
//! brought hit ratios down to chance (Mehrjou et al. 2022, released code). Cost: that of the prior.

use framework::prelude::*;
use rand::seq::SliceRandom;
use std::path::PathBuf;

/// Another prior with its rows permuted among the genes that it covers; a network of genes is left out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permuted {
    /// The prior whose rows are permuted.
    pub of: Box<dyn Prior>,
}

#[typetag::serde(name = "permuted")]
impl Prior for Permuted {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        let block = self.of.embed(cx)?;
        let covered: Vec<usize> = (0..block.present.len()).filter(|&g| block.present[g]).collect();
        let mut dealt = covered.clone();
        dealt.shuffle(&mut cx.setup.streams.rng("permuted"));
        let mut x = block.x.clone();
        for (&to, &from) in covered.iter().zip(&dealt) {
            x.row_mut(to).assign(&block.x.row(from));
        }
        let mut out = Block::new(cx.name, x, block.present.clone())?;
        out.note = format!("{}; rows permuted among genes", block.note);
        out.names = block.names;
        Ok(out)
    }

    fn data_files(&self) -> Vec<PathBuf> {
        self.of.data_files()
    }

    fn seeded(&self) -> bool {
        true
    }
}

framework::register!(
    Prior,
    Permuted,
    "permuted",
    "a prior dealt to the wrong genes, as a control",
    example = |dir| {
        let path = dir.join("permuted.csv");
        let rows: String = (0..200).map(|i| format!("G{i:03},{},{}\n", (i * 7) % 11, (i * 3) % 13)).collect();
        // A file that cannot be written shows as an error of the prior, which names the path.
        let _ = std::fs::write(&path, format!("gene,d1,d2\n{rows}"));
        framework::serde_json::json!({ "of": { "use": "embedding_table", "path": path } })
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;

    #[test]
    fn rows_move_together_and_stay_among_the_covered() {
        let dir = framework::testing::TempDir::new().unwrap();
        let path = dir.path().join("t.csv");
        let rows: String = (0..30).map(|i| format!("g{i},{i},{}\n", 100 + i)).collect();
        std::fs::write(&path, format!("gene,a,b\n{rows}")).unwrap();
        let of = serde_json::json!({ "use": "embedding_table", "path": path });
        let prior: Permuted = serde_json::from_value(serde_json::json!({ "of": of })).unwrap();
        let genes = Genes::new((0..40).map(|i| format!("g{i}"))).unwrap();
        let embed = |seed| {
            let (data, streams) = (DataRoot::default(), Streams::new(seed));
            let setup = Setup { data: &data, streams: &streams };
            let cx = PriorContext { name: "p", genes: &genes, updates: None, screen: None, setup: &setup };
            prior.embed(&cx).unwrap()
        };
        let (b, again, other) = (embed(1), embed(1), embed(2));
        assert_eq!(b.x, again.x);
        assert_ne!(b.x, other.x);
        assert!((0..40).all(|g| b.present[g] == (g < 30)));
        let mut seen: Vec<usize> = (0..30).map(|g| b.x[(g, 0)] as usize).collect();
        assert!((0..30).all(|g| b.x[(g, 1)] == b.x[(g, 0)] + 100.0), "rows stay whole");
        assert!((0..30).filter(|&g| seen[g] == g).count() < 8, "most genes have another's row");
        seen.sort_unstable();
        assert_eq!(seen, (0..30).collect::<Vec<_>>());
    }
}
