//! Which units a step leaves out.

use numerics::streams::StreamRng;
use rand::RngExt;

/// Draws how many units are kept before the next that is left out, by its distribution function in steps of 2⁻³².
pub(super) struct Gaps {
    below: Vec<u32>,
    guide: Vec<u8>,
}

impl Gaps {
    const MOST: usize = 255;

    /// `None` where nothing is left out.
    pub(super) fn new(dropout: f64) -> Option<Self> {
        let least = |k: usize| (1.0 - (1.0 - dropout).powi(k as i32 + 1)) * 4_294_967_296.0;
        let below: Vec<u32> = (0..Self::MOST).map(|k| least(k).round().min(4_294_967_295.0) as u32).collect();
        let first = |b: u32| below.partition_point(|v| *v <= b << 24).min(Self::MOST) as u8;
        let guide = (0..256).map(first).collect();
        (dropout > 0.0).then_some(Self { guide, below })
    }

    fn next(&self, rng: &mut StreamRng) -> usize {
        let mut kept = 0;
        loop {
            let u: u32 = rng.random();
            let mut k = usize::from(self.guide[(u >> 24) as usize]);
            while k < Self::MOST && u >= self.below[k] {
                k += 1;
            }
            kept += k;
            if k < Self::MOST {
                return kept;
            }
        }
    }

    /// Places left out among `n`.
    pub(super) fn places(&self, n: usize, rng: &mut StreamRng, to: &mut Vec<u32>) {
        to.clear();
        let mut at = self.next(rng);
        while at < n {
            to.push(at as u32);
            at += 1 + self.next(rng);
        }
    }
}
