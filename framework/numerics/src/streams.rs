//! Named random streams.
//!
//! A stream is addressed by a path of names and numbers (seed, round, component, perturbation),
//! never by the order of calls, so that adding a component cannot shift another's draws and the
//! same run gives the same numbers on any number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The generator behind every stream.
pub type StreamRng = ChaCha8Rng;

/// A node in the tree of streams.
#[derive(Clone, Debug)]
pub struct Streams {
    key: [u8; 32],
}

impl Streams {
    /// The root of all streams under a scenario seed.
    pub fn new(seed: u64) -> Self {
        let mut h = blake3::Hasher::new_derive_key("screenwright random streams 1");
        h.update(&seed.to_le_bytes());
        Self { key: *h.finalize().as_bytes() }
    }

    /// The node below this one with the given name.
    pub fn child(&self, name: &str) -> Self {
        let mut h = blake3::Hasher::new_keyed(&self.key);
        h.update(b"n").update(name.as_bytes());
        Self { key: *h.finalize().as_bytes() }
    }

    /// The node below this one with the given number (a round, a perturbation, a tree).
    pub fn index(&self, i: usize) -> Self {
        let mut h = blake3::Hasher::new_keyed(&self.key);
        h.update(b"i").update(&(i as u64).to_le_bytes());
        Self { key: *h.finalize().as_bytes() }
    }

    /// The generator for one purpose at this node.
    pub fn rng(&self, purpose: &str) -> StreamRng {
        ChaCha8Rng::from_seed(self.child(purpose).key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn streams_depend_on_path_and_not_on_order() {
        let draw = |s: &Streams, p: &str| s.rng(p).random::<u64>();
        let a = Streams::new(7);
        let first = draw(&a.child("model").index(3), "init");
        let _ = draw(&a.child("oracle"), "x");
        assert_eq!(first, draw(&Streams::new(7).child("model").index(3), "init"));
        assert_ne!(first, draw(&a.child("model").index(4), "init"));
        assert_ne!(first, draw(&a.child("model").index(3), "fit"));
        assert_ne!(first, draw(&Streams::new(8).child("model").index(3), "init"));
        assert_ne!(draw(&a.child("1"), "x"), draw(&a.index(1), "x"));
    }
}
