//! The entries as a fit walks through them, and where it stands.

use super::factor::Factor;
use super::settings::{Entries, Factorisation};

/// For each row the other side's rows that it has entries with.
#[derive(Clone, Debug)]
pub(super) struct Links {
    start: Vec<usize>,
    pub(super) other: Vec<u32>,
    pub(super) y: Vec<f64>,
}

impl Links {
    /// From (own, other, value), whose order is kept within a row.
    pub(super) fn new(n: usize, entries: &[(u32, u32, f64)]) -> Self {
        let mut start = vec![0; n + 1];
        entries.iter().for_each(|e| start[e.0 as usize + 1] += 1);
        for i in 0..n {
            start[i + 1] += start[i];
        }
        let mut next = start.clone();
        let (mut other, mut y) = (vec![0; entries.len()], vec![0.0; entries.len()]);
        for &(own, o, v) in entries {
            let at = next[own as usize];
            (other[at], y[at]) = (o, v);
            next[own as usize] += 1;
        }
        Self { start, other, y }
    }

    #[inline]
    pub(super) fn of(&self, i: usize) -> (&[u32], &[f64]) {
        let range = self.start[i]..self.start[i + 1];
        (&self.other[range.clone()], &self.y[range])
    }
}

/// The known entries, renumbered to the rows and columns that have any.
pub(super) struct Problem {
    pub(super) form: Factorisation,
    pub(super) rows: Vec<usize>,
    pub(super) columns: Vec<usize>,
    /// Each entry as often as the likelihood counts it.
    pub(super) list: Vec<(u32, u32, f64)>,
    pub(super) by_row: Links,
    /// For [`Factorisation::Diag`] one row with all entries: those that s has a part in.
    pub(super) by_column: Links,
}

impl Problem {
    pub(super) fn new(form: Factorisation, entries: &Entries) -> Self {
        let flip = |e: &(u32, u32, f64)| (e.1, e.0, e.2);
        let mut list = entries.list.clone();
        if form == Factorisation::Mirror {
            list.extend(entries.list.iter().map(flip));
        }
        let distinct = |of: &mut dyn Iterator<Item = u32>| {
            let mut all: Vec<usize> = of.map(|i| i as usize).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let (rows, columns) = match form {
            Factorisation::Rectangular => {
                (distinct(&mut list.iter().map(|e| e.0)), distinct(&mut list.iter().map(|e| e.1)))
            }
            _ => {
                let both = distinct(&mut list.iter().flat_map(|e| [e.0, e.1]));
                (both.clone(), both)
            }
        };
        let place = |all: &[usize], i: u32| all.binary_search(&(i as usize)).unwrap_or(0) as u32;
        for e in &mut list {
            *e = (place(&rows, e.0), place(&columns, e.1), e.2);
        }
        let turned: Vec<_> = list.iter().map(flip).collect();
        let (by_row, by_column) = if form.one_sided() {
            let parts: Vec<_> = list.iter().enumerate().map(|(t, e)| (0, t as u32, e.2)).collect();
            (Links::new(rows.len(), &[&list[..], &turned].concat()), Links::new(1, &parts))
        } else {
            (Links::new(rows.len(), &list), Links::new(columns.len(), &turned))
        };
        Self { form, rows, columns, list, by_row, by_column }
    }

    /// The factors that are fitted, from those of all rows and columns.
    pub(super) fn compact(&self, u: &Factor, v: &Factor) -> (Factor, Factor) {
        (u.rows(&self.rows), if self.form.one_sided() { v.clone() } else { v.rows(&self.columns) })
    }
}

/// The two sides and what each is multiplied with.
pub(super) struct State {
    pub(super) u: Factor,
    /// V, or s as one row.
    pub(super) v: Factor,
    /// [`Factorisation::Diag`]: s u_j for each row, u_i u_j for each entry.
    pub(super) scaled: Factor,
    pub(super) pairs: Factor,
    pub(super) ln_noise: f64,
}

impl State {
    pub(super) fn new(p: &Problem, u: Factor, v: Factor, ln_noise: f64) -> Self {
        let m = u.m;
        let (scaled, pairs) = if p.form.one_sided() { (u.n, p.list.len()) } else { (0, 0) };
        let mut s = Self { scaled: Factor::prior(scaled, m), pairs: Factor::prior(pairs, m), u, v, ln_noise };
        s.scale_all();
        s
    }

    pub(super) fn scale_all(&mut self) {
        for i in 0..self.scaled.n {
            self.scaled.product_row(i, &self.u, i, &self.v, 0);
        }
    }

    pub(super) fn pair_all(&mut self, p: &Problem) {
        if p.form == Factorisation::Diag {
            // What s is multiplied with; nobody asks for it where s is given.
            for (t, e) in p.list.iter().enumerate() {
                self.pairs.product_row(t, &self.u, e.0 as usize, &self.u, e.1 as usize);
            }
        }
    }

    /// What the rows of U are multiplied with.
    pub(super) fn beside_u(&self, p: &Problem) -> &Factor {
        if p.form.one_sided() { &self.scaled } else { &self.v }
    }

    /// What the rows of V are multiplied with.
    pub(super) fn beside_v(&self, p: &Problem) -> &Factor {
        if p.form.one_sided() { &self.pairs } else { &self.u }
    }
}
