//! Nodes with many rows: four features searched side by side along their lists.

#[cfg(target_arch = "x86_64")]
use super::avx::Avx;
use super::four::{Four, Record};
use super::node::{Grower, Split, Stretch};
use super::sorted::Id;

/// Positions searched between two looks at what was found.
const BLOCK: usize = 16;

/// The best split over `features`; the first wins where gains are equal.
pub(super) fn search<I: Id>(g: &Grower<I>, node: Stretch, features: &[usize], best: &mut Split) {
    if g.outputs > 1 {
        return features.iter().enumerate().for_each(|(k, &f)| several_outputs(g, node, (k, f), best));
    }
    // By hand: the two sets differ in the type of the four numbers, which gathers in intrinsics.
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<I: Id>(g: &Grower<I>, node: Stretch, features: &[usize], best: &mut Split) {
            one_output::<Avx, I>(g, node, features, best);
        }
        if numerics::wide::has_avx2() {
            // SAFETY: the feature that the function is compiled for was just found.
            return unsafe { avx2(g, node, features, best) };
        }
    }
    one_output::<[f64; 4], I>(g, node, features, best);
}

#[inline(always)]
fn one_output<F: Four, I: Id>(g: &Grower<I>, node: Stretch, features: &[usize], best: &mut Split) {
    let last = node.hi - node.lo - 1;
    for (base, group) in features.chunks(4).enumerate().map(|(c, g)| (4 * c, g)) {
        // The last feature stands in for those that an incomplete group lacks.
        let f = |k: usize| group[k.min(group.len() - 1)];
        let features = [f(0), f(1), f(2), f(3)];
        let list = |k: usize| &g.lists[features[k] * g.n + node.lo..features[k] * g.n + node.hi];
        let lists = [list(0), list(1), list(2), list(3)];
        let (mut s, mut w) = (F::splat(0.0), F::splat(0.0));
        for from in (0..last).step_by(BLOCK) {
            let to = (from + BLOCK).min(last);
            let start = (s, w);
            // Within the group an equal gain of an earlier feature wins.
            let slack = if best.place >= base { -2.0 } else { 0.5 };
            let level = best.gain + slack * best.tie;
            let part = |k: usize| &lists[k][from..to];
            let parts = [part(0), part(1), part(2), part(3)];
            let found = block(&g.record, parts, node.weight, level, &mut s, &mut w).array();
            if found.iter().any(|&e| e > 0.0) {
                let (s, w) = (start.0.array(), start.1.array());
                for k in (0..4).filter(|&k| found[k] > 0.0) {
                    along(
                        g,
                        node,
                        (base + k.min(group.len() - 1), features[k]),
                        lists[k],
                        from..to,
                        [s[k], w[k]],
                        best,
                    );
                }
            }
        }
    }
}

/// Sums along four stretches; above 0 where some position gains more than `level`, equal values not yet excluded.
#[inline(always)]
fn block<F: Four, I: Id>(record: &[Record], lists: [&[I]; 4], weight: f64, level: f64, s: &mut F, w: &mut F) -> F {
    let (total, level) = (F::splat(weight), F::splat(level / weight));
    let mut excess = F::splat(f64::NEG_INFINITY);
    let [a, b, c, d] = lists;
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        // SAFETY: lists hold drawn rows, and each has a record.
        let (ds, dw) = unsafe { F::gather(record, [a.at(), b.at(), c.at(), d.at()]) };
        *s = s.add(ds);
        *w = w.add(dw);
        // gain > level, multiplied by w (weight - w) / weight: no division.
        excess = excess.max(s.mul(*s).sub(w.mul(total.sub(*w)).mul(level)));
    }
    excess
}

/// Offers the positions `of` of a feature's list, from the sums before them.
fn along<I: Id>(
    g: &Grower<I>,
    node: Stretch,
    (place, feature): (usize, usize),
    list: &[I],
    of: std::ops::Range<usize>,
    [mut s, mut w]: [f64; 2],
    best: &mut Split,
) {
    let least = g.how.min_leaf as f64;
    let rank = |r: I| g.sorted.rank(g.drawn[r.at()] as usize, feature);
    for p in of {
        let Record(ds, dw) = g.record[list[p].at()];
        s += ds;
        w += dw;
        let rest = node.weight - w;
        let gain = s * s * node.weight / (w * rest);
        if gain >= best.gain - best.tie && w >= least && rest >= least && rank(list[p]) != rank(list[p + 1]) {
            best.offer(gain, place, p);
        }
    }
}

fn several_outputs<I: Id>(g: &Grower<I>, node: Stretch, (place, feature): (usize, usize), best: &mut Split) {
    let o = g.outputs;
    let least = g.how.min_leaf as f64;
    let list = &g.lists[feature * g.n + node.lo..feature * g.n + node.hi];
    let rank = |r: I| g.sorted.rank(g.drawn[r.at()] as usize, feature);
    let mut w = 0.0;
    let mut s = vec![0.0; o];
    for (p, pair) in list.windows(2).enumerate() {
        let r = pair[0].at();
        w += g.record[r].1;
        s.iter_mut().zip(&g.deviation[r * o..][..o]).for_each(|(s, d)| *s += d);
        let rest = node.weight - w;
        if w < least || rest < least || rank(pair[0]) == rank(pair[1]) {
            continue;
        }
        best.offer(s.iter().map(|s| s * s).sum::<f64>() * node.weight / (w * rest), place, p);
    }
}

/// Moves the rows of the left side to the front of a list, and those of the right side to its end, order kept. What
/// need not be kept may come out anyhow.
pub(super) fn partition<I: Id>(
    list: &mut [I],
    middle: usize,
    keep: (bool, bool),
    goes_left: &[bool],
    buffer: &mut [I],
) {
    // Every write happens and only one counter moves: no branch to mispredict.
    match keep {
        (true, true) => {
            let (mut l, mut r) = (0usize, 0usize);
            for p in 0..list.len() {
                let row = list[p];
                let left = usize::from(goes_left[row.at()]);
                list[l] = row;
                buffer[r] = row;
                l = l.wrapping_add(left);
                r = r.wrapping_add(left ^ 1);
            }
            list[middle..].copy_from_slice(&buffer[..r]);
        }
        (true, false) => {
            let mut l = 0usize;
            for p in 0..list.len() {
                let row = list[p];
                list[l] = row;
                l = l.wrapping_add(usize::from(goes_left[row.at()]));
            }
        }
        (false, _) => {
            let mut last = list.len() - 1;
            for p in (0..list.len()).rev() {
                let row = list[p];
                list[last] = row;
                last = last.wrapping_sub(usize::from(!goes_left[row.at()]));
            }
        }
    }
}
