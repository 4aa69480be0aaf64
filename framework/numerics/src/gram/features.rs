//! Feature rows: where they come from, and what is done with them once they are in memory.

use crate::linalg::dots::dots;
use crate::linalg::{matmul_t, sq_norms, symmetric_product};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;
use std::sync::Arc;

/// Where feature rows come from. Rows that are not held are formed when asked for, so nothing of the
/// pool's size is stored.
#[derive(Clone)]
pub enum Rows {
    /// In memory: n x d.
    Held(Arc<Array2<f64>>),
    /// In memory in single precision: n x d.
    Single(Arc<Array2<f32>>),
    /// Formed when asked for.
    Made(Arc<dyn MakeRows>),
}

/// Rows formed when asked for: from other rows ([`Rows::map`] and its siblings), or from whatever describes them.
pub trait MakeRows: Send + Sync {
    /// Number of rows.
    fn n(&self) -> usize;
    /// Features of a row.
    fn d(&self) -> usize;
    /// The rows of `ids`: ids x d.
    fn get(&self, ids: &[usize]) -> Array2<f64>;
    /// What a row is called in messages.
    fn label(&self, id: usize) -> String {
        format!("number {id}")
    }
}

struct Map<F> {
    of: Rows,
    d: usize,
    f: F,
}

impl<F: Fn(Array2<f64>) -> Array2<f64> + Send + Sync> MakeRows for Map<F> {
    fn n(&self) -> usize {
        self.of.n()
    }
    fn d(&self) -> usize {
        self.d
    }
    fn get(&self, ids: &[usize]) -> Array2<f64> {
        (self.f)(self.of.get(ids))
    }
}

/// Several sources of rows, combined row by row.
struct Several {
    parts: Vec<(f64, Rows)>,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    SideBySide,
    Added,
    Multiplied,
}

impl MakeRows for Several {
    fn n(&self) -> usize {
        self.parts.first().map_or(0, |p| p.1.n())
    }
    fn d(&self) -> usize {
        match self.how {
            How::SideBySide => self.parts.iter().map(|p| p.1.d()).sum(),
            How::Added | How::Multiplied => self.parts.first().map_or(0, |p| p.1.d()),
        }
    }
    fn get(&self, ids: &[usize]) -> Array2<f64> {
        let mut out = Array2::zeros((ids.len(), self.d()));
        let mut at = 0;
        for (t, (w, rows)) in self.parts.iter().enumerate() {
            let x = rows.get(ids);
            match self.how {
                How::SideBySide => {
                    out.slice_mut(ndarray::s![.., at..at + x.ncols()]).assign(&(&x * *w));
                    at += x.ncols();
                }
                How::Multiplied if t > 0 => out.zip_mut_with(&x, |o, v| *o *= w * v),
                How::Added | How::Multiplied => out.scaled_add(*w, &x),
            }
        }
        out
    }
}

impl Rows {
    /// Number of rows.
    pub fn n(&self) -> usize {
        match self {
            Rows::Held(x) => x.nrows(),
            Rows::Single(x) => x.nrows(),
            Rows::Made(m) => m.n(),
        }
    }

    /// Features of a row.
    pub fn d(&self) -> usize {
        match self {
            Rows::Held(x) => x.ncols(),
            Rows::Single(x) => x.ncols(),
            Rows::Made(m) => m.d(),
        }
    }

    /// The rows of `ids`: ids x d.
    pub fn get(&self, ids: &[usize]) -> Array2<f64> {
        match self {
            Rows::Held(x) => x.select(Axis(0), ids),
            Rows::Single(x) => x.select(Axis(0), ids).mapv(f64::from),
            Rows::Made(m) => m.get(ids),
        }
    }

    /// Rows of `d` features made from these by `f`, which gets some rows at a time and must treat each row
    /// alike, whichever others it comes with.
    pub fn map(self, d: usize, f: impl Fn(Array2<f64>) -> Array2<f64> + Send + Sync + 'static) -> Rows {
        Rows::Made(Arc::new(Map { of: self, d, f }))
    }

    /// Rows next to each other, each times a factor: the kernel is the sum of factor² times theirs.
    pub fn side_by_side(parts: Vec<(f64, Rows)>) -> Rows {
        Rows::Made(Arc::new(Several { parts, how: How::SideBySide }))
    }

    /// Weighted sum of rows of one width.
    pub fn added(parts: Vec<(f64, Rows)>) -> Rows {
        Rows::Made(Arc::new(Several { parts, how: How::Added }))
    }

    /// Elementwise product of rows of one width, times a factor for each part after the first.
    pub fn multiplied(parts: Vec<Rows>, factor: f64) -> Rows {
        let parts = (0..).zip(parts).map(|(t, r)| (if t == 0 { 1.0 } else { factor }, r)).collect();
        Rows::Made(Arc::new(Several { parts, how: How::Multiplied }))
    }
}

/// Explicit feature rows in memory, n x d, in double or single precision.
#[derive(Clone, Debug)]
pub enum Features {
    /// Double precision.
    F64(Arc<Array2<f64>>),
    /// Single precision: half the memory traffic.
    F32(Arc<Array2<f32>>),
}

/// Rows of a tile, as in the products of double precision.
const TILE: usize = 256;

impl Features {
    /// Number of rows.
    pub fn n(&self) -> usize {
        match self {
            Features::F64(x) => x.nrows(),
            Features::F32(x) => x.nrows(),
        }
    }

    /// Features of a row.
    pub fn d(&self) -> usize {
        match self {
            Features::F64(x) => x.ncols(),
            Features::F32(x) => x.ncols(),
        }
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> Array1<f64> {
        match self {
            Features::F64(x) => x.row(i).to_owned(),
            Features::F32(x) => x.row(i).mapv(f64::from),
        }
    }

    /// The rows of `ids`.
    pub fn select(&self, ids: &[usize]) -> Array2<f64> {
        match self {
            Features::F64(x) => x.select(Axis(0), ids),
            Features::F32(x) => x.select(Axis(0), ids).mapv(f64::from),
        }
    }

    /// The rows of `ids`, in the precision that these are in.
    pub fn subset(&self, ids: &[usize]) -> Features {
        match self {
            Features::F64(x) => Features::F64(Arc::new(x.select(Axis(0), ids))),
            Features::F32(x) => Features::F32(Arc::new(x.select(Axis(0), ids))),
        }
    }

    /// Rounding of products of these rows, relative to their squared norms.
    pub fn epsilon(&self) -> f64 {
        match self {
            Features::F64(_) => f64::EPSILON,
            Features::F32(_) => f64::from(f32::EPSILON),
        }
    }

    /// `φᵀ C φ` of each row for a symmetric `c` (d x d). O(nd²).
    pub fn quadratic(&self, c: ArrayView2<f64>) -> Vec<f64> {
        let mut out = vec![0.0; self.n()];
        let tiles = out.par_chunks_mut(TILE).enumerate();
        match self {
            Features::F64(x) => tiles.for_each(|(t, o)| {
                let x = x.slice(ndarray::s![t * TILE..t * TILE + o.len(), ..]);
                let xc = crate::linalg::matmul(x, c);
                o.iter_mut().zip(x.outer_iter().zip(xc.outer_iter())).for_each(|(o, (x, y))| *o = x.dot(&y));
            }),
            Features::F32(x) => {
                let c = c.mapv(|v| v as f32);
                tiles.for_each(|(t, o)| {
                    let x = x.slice(ndarray::s![t * TILE..t * TILE + o.len(), ..]);
                    let mut xc = Array2::<f32>::zeros(x.dim());
                    crate::linalg::product_into(&mut xc.view_mut(), x, c.view(), false, 1.0);
                    o.iter_mut().zip(x.outer_iter().zip(xc.outer_iter())).for_each(|(o, (x, y))| *o = x.dot(&y).into());
                });
            }
        }
        out
    }

    /// All rows in double precision; no copy where they are.
    pub fn to_f64(&self) -> Arc<Array2<f64>> {
        match self {
            Features::F64(x) => x.clone(),
            Features::F32(x) => Arc::new(x.mapv(f64::from)),
        }
    }

    /// Squared norm of each row.
    pub fn sq_norms(&self) -> Vec<f64> {
        match self {
            Features::F64(x) => sq_norms(x.view()),
            Features::F32(x) => x.outer_iter().map(|r| f64::from(r.dot(&r))).collect(),
        }
    }

    /// Sum of the rows, in double precision. Tiles in parallel, added in their order.
    pub fn sum(&self) -> Array1<f64> {
        fn tiles<T: Copy + Into<f64> + Sync>(x: ArrayView2<T>) -> Array1<f64> {
            let sums: Vec<Array1<f64>> = x
                .axis_chunks_iter(Axis(0), 4 * TILE)
                .into_par_iter()
                .map(|tile| {
                    let mut sum = Array1::zeros(tile.ncols());
                    tile.outer_iter().for_each(|row| sum.zip_mut_with(&row, |s, v| *s += (*v).into()));
                    sum
                })
                .collect();
            sums.iter().fold(Array1::zeros(x.ncols()), |a, b| a + b)
        }
        match self {
            Features::F64(x) => tiles(x.view()),
            Features::F32(x) => tiles(x.view()),
        }
    }

    /// `Φ v` into `out` (n), reading every row once. O(nd).
    pub fn times(&self, v: &[f64], out: &mut [f64]) {
        // One product a row is one number: the same layout.
        self.products([v], out.as_chunks_mut::<1>().0);
    }

    /// `Φ v` and `Φ w` side by side into `out` (n), reading every row once. O(nd).
    pub fn times_two(&self, v: &[f64], w: &[f64], out: &mut [[f64; 2]]) {
        self.products([v, w], out);
    }

    fn products<const K: usize>(&self, v: [&[f64]; K], out: &mut [[f64; K]]) {
        fn tiles<T: crate::linalg::dots::Number + Send + Sync, const K: usize>(
            x: &Array2<T>,
            v: [&[T]; K],
            out: &mut [[f64; K]],
        ) {
            let (x, d) = (x.as_standard_layout(), x.ncols());
            let Some(rows) = x.as_slice() else { return };
            if rows.len() < 1 << 16 || d == 0 {
                return dots(rows, d, v, out);
            }
            out.par_chunks_mut(TILE).zip(rows.par_chunks(TILE * d)).for_each(|(out, rows)| dots(rows, d, v, out));
        }
        match self {
            Features::F64(x) => tiles(x, v, out),
            Features::F32(x) => {
                let single = v.map(|v| v.iter().map(|v| *v as f32).collect::<Vec<f32>>());
                tiles(x, std::array::from_fn(|k| single[k].as_slice()), out);
            }
        }
    }

    /// `Φ Bᵀ` for rows `b` (m x d): n x m, one product.
    pub fn times_rows(&self, b: ArrayView2<f64>) -> Array2<f64> {
        match self {
            Features::F64(x) => matmul_t(x.view(), b),
            Features::F32(x) => matmul_t_single(x.view(), b.mapv(|v| v as f32).view()),
        }
    }

    /// `ΦᵀΦ` (d x d). Rows in single precision are multiplied in it, some rows at a time, and added up in double.
    pub fn covariance(&self) -> Array2<f64> {
        let Features::F32(x) = self else { return symmetric_product(self.to_f64().view()) };
        const ROWS: usize = 1024;
        const TOGETHER: usize = 8;
        let d = x.ncols();
        let mut sum = Array2::zeros((d, d));
        for some in x.axis_chunks_iter(Axis(0), ROWS * TOGETHER) {
            let parts: Vec<Array2<f32>> = some
                .axis_chunks_iter(Axis(0), ROWS)
                .into_par_iter()
                .map(|x| {
                    let mut part = Array2::<f32>::zeros((d, d));
                    crate::linalg::product_into(&mut part.view_mut(), x.t(), x, false, 1.0);
                    part
                })
                .collect();
            parts.iter().for_each(|p| sum.zip_mut_with(p, |s, p| *s += f64::from(*p)));
        }
        sum
    }
}

/// `a bᵀ` in single precision, given back in double. Tiles of rows in parallel.
pub(super) fn matmul_t_single(a: ArrayView2<f32>, b: ArrayView2<f32>) -> Array2<f64> {
    assert_eq!(a.ncols(), b.ncols(), "inner dimensions of a product");
    let mut out = Array2::zeros((a.nrows(), b.nrows()));
    out.axis_chunks_iter_mut(Axis(0), TILE).into_par_iter().zip(a.axis_chunks_iter(Axis(0), TILE)).for_each(
        |(mut o, a)| {
            let mut part = Array2::<f32>::zeros(o.dim());
            crate::linalg::product_into(&mut part.view_mut(), a, b.t(), false, 1.0);
            o.zip_mut_with(&part, |o, p| *o = f64::from(*p));
        },
    );
    out
}
