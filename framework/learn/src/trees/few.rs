//! Nodes with few rows: rows are sorted by eight features at a time, by a network of comparisons in registers.

#[cfg(target_arch = "x86_64")]
use super::avx::Avx;
use super::four::{Four, Record};
use super::node::{Grower, Split, Stretch};
use super::sorted::{Id, LANES};

/// Most rows that count as few.
pub(super) const MOST: usize = 16;

type Keys<I> = [[<I as Id>::Key; LANES]; MOST];

/// The best split over `features`; the first wins where gains are equal.
pub(super) fn search<I: Id>(g: &Grower<I>, node: Stretch, features: &[usize], best: &mut Split) {
    // By hand: the two sets differ in the type of the four numbers, which gathers in intrinsics.
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<I: Id>(g: &Grower<I>, node: Stretch, features: &[usize], best: &mut Split) {
            search_by::<Avx, I>(g, node, features, best);
        }
        if numerics::wide::has_avx2() {
            // SAFETY: the feature that the function is compiled for was just found.
            return unsafe { avx2(g, node, features, best) };
        }
    }
    search_by::<[f64; 4], I>(g, node, features, best);
}

#[inline(always)]
fn search_by<F: Four, I: Id>(g: &Grower<I>, node: Stretch, features: &[usize], best: &mut Split) {
    let rows = &g.rows[node.lo..node.hi];
    let n = rows.len();
    let mut record = [Record::default(); MOST];
    let mut ranks = [&g.sorted.rank[..0]; MOST];
    for (i, r) in rows.iter().enumerate() {
        record[i] = g.record[r.at()];
        ranks[i] = &g.sorted.rank[g.drawn[r.at()] as usize * g.sorted.stride..][..g.sorted.stride];
    }
    let most = attainable(record, n, node.weight);
    let mut keys = [[I::LAST; LANES]; MOST];
    for from in (0..features.len()).step_by(LANES) {
        // The last feature stands in for those that an incomplete group lacks.
        let place: [usize; LANES] = std::array::from_fn(|l| (from + l).min(features.len() - 1));
        let of: [usize; LANES] = std::array::from_fn(|l| features[place[l]]);
        for i in 0..n {
            let rank: [I; LANES] = std::array::from_fn(|l| ranks[i][of[l]]);
            for l in 0..LANES {
                keys[i][l] = rank[l].key(i);
            }
        }
        // Earlier groups left sorted keys where later rows now lack.
        keys[n..].fill([I::LAST; LANES]);
        sort::<I>(&mut keys, n);
        for half in [0, 4] {
            four_features::<F, I>(g, node, &record, &keys, half, place, n, best);
        }
        if best.reaches(most) {
            return;
        }
    }
}

/// The largest gain of any division of the rows: one in the order of their outcomes.
#[inline(always)]
fn attainable(mut record: [Record; MOST], n: usize, weight: f64) -> f64 {
    let of = &mut record[..n];
    for i in 1..n {
        let mut k = i;
        // s/w ascends; weights are positive.
        while k > 0 && of[k].0 * of[k - 1].1 < of[k - 1].0 * of[k].1 {
            of.swap(k, k - 1);
            k -= 1;
        }
    }
    let (mut s, mut w, mut most) = (0.0, 0.0, 0.0f64);
    for r in &of[..n - 1] {
        s += r.0;
        w += r.1;
        most = most.max(s * s * weight / (w * (weight - w)));
    }
    most
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn four_features<F: Four, I: Id>(
    g: &Grower<I>,
    node: Stretch,
    record: &[Record; MOST],
    keys: &Keys<I>,
    half: usize,
    place: [usize; LANES],
    n: usize,
    best: &mut Split,
) {
    let least = g.how.min_leaf as f64;
    let total = F::splat(node.weight);
    let (mut s, mut w) = (F::splat(0.0), F::splat(0.0));
    let mut gains = [[0.0; 4]; MOST];
    let mut top = F::splat(f64::NEG_INFINITY);
    for p in 0..n - 1 {
        let row = |k: usize| I::place(keys[p][half + k]) % MOST;
        let at = [row(0), row(1), row(2), row(3)];
        // SAFETY: places are below MOST.
        let (ds, dw) = unsafe { F::gather(record, at) };
        s = s.add(ds);
        w = w.add(dw);
        let gain = s.mul(s).mul(total).div(w.mul(total.sub(w)));
        gains[p] = gain.array();
        top = top.max(gain);
    }
    let top = top.array();
    for k in 0..4 {
        // Within these eight features an equal gain of an earlier one wins.
        let slack = if best.place >= place[0] { -2.0 } else { 0.5 };
        if top[k] < best.gain + slack * best.tie {
            continue;
        }
        let mut w = 0.0;
        for p in 0..n - 1 {
            let (key, next) = (keys[p][half + k], keys[p + 1][half + k]);
            w += record[I::place(key) % MOST].1;
            if !I::same_rank(key, next) && w >= least && node.weight - w >= least {
                best.offer(gains[p][k], place[half + k], p);
            }
        }
    }
}

/// Sorts each lane's first `n` keys; those after them are the last of all.
#[inline(always)]
fn sort<I: Id>(keys: &mut Keys<I>, n: usize) {
    macro_rules! network {
        ($($a:literal $b:literal),*) => {$({
            for l in 0..LANES {
                let (a, b) = (keys[$a][l], keys[$b][l]);
                keys[$a][l] = a.min(b);
                keys[$b][l] = a.max(b);
            }
        })*};
    }
    if n <= 4 {
        network!(0 1, 2 3, 0 2, 1 3, 1 2);
    } else if n <= 8 {
        network!(0 2, 1 3, 4 6, 5 7, 0 4, 1 5, 2 6, 3 7, 0 1, 2 3, 4 5, 6 7, 2 4, 3 5, 1 4, 3 6, 1 2, 3 4, 5 6);
    } else {
        network!(0 13, 1 12, 2 15, 3 14, 4 8, 5 6, 7 11, 9 10, 0 5, 1 7, 2 9, 3 4, 6 13, 8 14, 10 15, 11 12,
            0 1, 2 3, 4 5, 6 8, 7 9, 10 11, 12 13, 14 15, 0 2, 1 3, 4 10, 5 11, 6 7, 8 9, 12 14, 13 15,
            1 2, 3 12, 4 6, 5 7, 8 10, 9 11, 13 14, 1 4, 2 6, 5 8, 7 10, 9 13, 11 14, 2 4, 3 6, 9 12, 11 13,
            3 5, 6 8, 7 9, 10 12, 3 4, 5 6, 7 8, 9 10, 11 12, 6 7, 8 9);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network sorts everything if it sorts all zeros and ones.
    #[test]
    fn networks_sort() {
        for n in 1..=MOST {
            for bits in 0..1u32 << n {
                let mut keys = [[u32::MAX; LANES]; MOST];
                (0..n).for_each(|i| keys[i] = [(bits >> i) & 1; LANES]);
                sort::<u16>(&mut keys, n);
                let ones = bits.count_ones() as usize;
                assert!((0..n).all(|i| keys[i] == [u32::from(i >= n - ones); LANES]), "n {n}, {bits:b}");
            }
        }
    }
}
