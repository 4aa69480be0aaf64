//! GPU devices through cubecl: CUDA, and Vulkan (Metal, DirectX) through wgpu. Rows are uploaded once a call; the
//! loops run on the device and only the picks come back.

mod guard;
mod kernels;
pub mod start;

use crate::contract::{
    Ceilings, Device, Error, Forms, Picks, Reduced, Result, Tile, check, check_factors, check_noise, check_tile,
    checked,
};
use cubecl::prelude::*;
use cubecl::server::Handle;
use kernels::*;
use ndarray::{ArrayView2, Axis};
use std::sync::Mutex;
use std::time::Instant;

/// Rows that indices and exact sums on the device can count.
const MAX_ROWS: usize = 1 << 20;
/// Bytes that a 32-bit index over `f32` can reach.
const MAX_BYTES: usize = 1 << 34;
/// What answers hold before they are written; no answer looks like it.
const POISON: u32 = 0xdead_beef;

/// One GPU.
pub struct Gpu<R: Runtime> {
    client: ComputeClient<R>,
    name: String,
    /// A rasteriser on the processor, on which ceilings are measured with small arrays.
    software: bool,
    /// Cubes that a tile reduction is split into, to fill a large device.
    fill: usize,
    last: Mutex<Option<f64>>,
}

/// Rows on the device, feature by feature.
struct Columns {
    handle: Handle,
    /// Padded to a multiple of 128.
    n: usize,
    /// Padded to a multiple of 32.
    d: usize,
}

impl Columns {
    fn n4(&self) -> usize {
        self.n / 4
    }

    fn cubes(&self) -> usize {
        self.n / ROWS
    }

    fn len4(&self) -> usize {
        self.d * self.n / 4
    }
}

/// Scores and rows of each cube's best, twice: one half is read while the other is written.
struct Winners {
    score: Handle,
    row: Handle,
    cubes: usize,
    flip: u32,
}

/// What a greedy loop leaves on the device.
struct Answer {
    rows: Handle,
    scores: Handle,
    len: usize,
}

/// An argument of `launch!`: a buffer and its length, in elements of the kernel's type.
macro_rules! array {
    ($handle:expr, $len:expr) => {
        ArrayArg::from_raw_parts($handle.clone(), $len)
    };
}

/// Starts a kernel of 256 units a cube.
macro_rules! launch {
    ($self:ident, $kernel:ident, $grid:expr, $($arg:expr),+ $(,)?) => {{
        let (x, y, z): (usize, usize, usize) = $grid;
        let count = CubeCount::Static(x as u32, y as u32, z as u32);
        // SAFETY: lengths are those of the allocations, kernels keep to them, and none has a loop without end.
        unsafe {
            $kernel::launch_unchecked::<R>(&$self.client, count, CubeDim::new_1d(UNITS as u32), $($arg),+)
        }
    }};
}

impl<R: Runtime> Gpu<R> {
    fn new(client: ComputeClient<R>, name: String, software: bool) -> Self {
        Self { client, name, software, fill: 2048, last: Mutex::new(None) }
    }

    /// Runs `work`; a panic below, wherever it happens, becomes an error.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        guard::quietly(work).unwrap_or_else(|cause| Err(self.failed(cause)))
    }

    fn failed(&self, cause: impl Into<String>) -> Error {
        Error::Failed { device: self.name.clone(), cause: cause.into() }
    }

    /// Room for so many values; an error when the device has no array that large.
    fn allocate(&self, elements: usize) -> Result<Handle> {
        let bytes = elements * 4;
        let largest = (self.client.properties().memory.max_page_size as usize).min(MAX_BYTES);
        if bytes > largest {
            return Err(self.failed(format!("it holds arrays of up to {largest} bytes, and {bytes} are needed")));
        }
        Ok(self.client.empty(bytes.max(4)))
    }

    fn filled(&self, elements: usize, value: f32) -> Result<Handle> {
        let handle = self.allocate(elements)?;
        let cubes = elements.div_ceil(UNITS).clamp(1, 4096);
        launch!(self, fill, (cubes, 1, 1), array!(handle, elements), value, elements as u32);
        Ok(handle)
    }

    /// Uploads blocks of rows, one below the other.
    fn upload(&self, blocks: &[ArrayView2<f32>]) -> Result<Columns> {
        let n_rows: usize = blocks.iter().map(|b| b.nrows()).sum();
        let features = blocks[0].ncols();
        if n_rows > MAX_ROWS {
            return Err(self.failed(format!("it takes up to {MAX_ROWS} rows, and there are {n_rows}")));
        }
        let n = n_rows.next_multiple_of(ROWS);
        let d = features.next_multiple_of(32);
        let handle = self.filled(n * d, 0.0)?;
        let mut first = 0;
        for block in blocks.iter().filter(|b| b.nrows() > 0) {
            let rows = block.nrows();
            let block = block.as_standard_layout();
            let values = block.as_slice().unwrap_or(&[]);
            let flat = self.client.create_from_slice(f32::as_bytes(values));
            let grid = (rows.div_ceil(32), d / 32, 1);
            launch!(
                self,
                transpose,
                grid,
                array!(flat, values.len()),
                array!(handle, n * d),
                rows as u32,
                features as u32,
                n as u32,
                first as u32,
            );
            first += rows;
        }
        Ok(Columns { handle, n, d })
    }

    fn wait(&self) -> Result<()> {
        cubecl::future::block_on(self.client.sync()).map_err(|error| self.failed(guard::brief(&format!("{error:?}"))))
    }

    fn read<T: CubeElement + Copy>(&self, handle: &Handle, len: usize) -> Result<Vec<T>> {
        let bytes =
            self.client.read_one(handle.clone()).map_err(|error| self.failed(guard::brief(&format!("{error:?}"))))?;
        let values = T::from_bytes(&bytes);
        match values.get(..len) {
            Some(values) => Ok(values.to_vec()),
            None => Err(self.failed(format!("{} values came back instead of {len}", values.len()))),
        }
    }

    /// Times `work` between the end of the uploads and the arrival of its answer.
    fn timed<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.wait()?;
        let start = Instant::now();
        let answer = work()?;
        if let Ok(mut last) = self.last.lock() {
            *last = Some(start.elapsed().as_secs_f64());
        }
        Ok(answer)
    }

    fn poisoned(&self, elements: usize) -> Handle {
        self.client.create_from_slice(u32::as_bytes(&vec![POISON; elements.max(1)]))
    }

    fn answer(&self, len: usize) -> Answer {
        Answer { rows: self.poisoned(len), scores: self.poisoned(len), len }
    }

    /// The picks up to the first that could not be made.
    fn picks(&self, answer: &Answer, n: usize) -> Result<Picks> {
        if answer.len == 0 {
            return Ok(vec![]);
        }
        let rows: Vec<u32> = self.read(&answer.rows, answer.len)?;
        let scores: Vec<f32> = self.read(&answer.scores, answer.len)?;
        let made = rows.iter().position(|&row| row == NONE).unwrap_or(rows.len());
        let mut taken = vec![false; n];
        for &row in &rows[..made] {
            match taken.get_mut(row as usize) {
                Some(taken) if !*taken => *taken = true,
                _ => return Err(self.failed(format!("it named row {row} of {n}, which is not there or taken"))),
            }
        }
        checked(rows[..made].iter().map(|&row| row as usize).zip(scores).collect())
    }

    fn winners(&self, cubes: usize) -> Result<Winners> {
        Ok(Winners { score: self.allocate(2 * cubes)?, row: self.allocate(2 * cubes)?, cubes, flip: 0 })
    }

    /// Each cube's best of the first `n` scores.
    fn find_winners(&self, win: &mut Winners, scores: &Handle, len: usize, n: usize) {
        launch!(
            self,
            winners,
            (win.cubes, 1, 1),
            array!(scores, len),
            array!(win.score, 2 * win.cubes),
            array!(win.row, 2 * win.cubes),
            n as u32,
            win.flip,
        );
        win.flip = 1 - win.flip;
    }

    fn squared_norms(&self, x: &Columns, add: f32, out: &Handle, len: usize) {
        let grid = (x.cubes(), 1, 1);
        launch!(self, norms, grid, array!(x.handle, x.len4()), array!(out, len), x.n4() as u32, add, x.d);
    }

    /// (min, max, sum) and (argmin, argmax) of every row of a over the first `n_b` rows of b, each `n_pad` long.
    fn tile_reduction(
        &self,
        a: &Columns,
        b: &Columns,
        n_b: usize,
        kind: u32,
        inverse: f32,
    ) -> Result<(Handle, Handle)> {
        // The split depends on the shape only, so that sums do not differ between devices of one kind.
        let tiles_of_b = b.n / ROWS;
        let wanted = self.fill.div_ceil(a.cubes()).clamp(1, tiles_of_b);
        let tiles_per_range = tiles_of_b.div_ceil(wanted);
        let ranges = tiles_of_b.div_ceil(tiles_per_range);
        let (values_len, places_len) = (3 * ranges * a.n, 2 * ranges * a.n);
        let values = self.allocate(values_len)?;
        let places = if ranges == 1 { self.poisoned(places_len) } else { self.allocate(places_len)? };
        launch!(
            self,
            tiles,
            (a.cubes(), ranges, 1),
            array!(a.handle, a.len4()),
            array!(b.handle, b.len4()),
            array!(values, values_len),
            array!(places, places_len),
            a.n4() as u32,
            b.n4() as u32,
            n_b as u32,
            tiles_per_range as u32,
            inverse,
            a.d,
            kind,
        );
        if ranges == 1 {
            return Ok((values, places));
        }
        let (out, out_places) = (self.allocate(3 * a.n)?, self.poisoned(2 * a.n));
        launch!(
            self,
            join_ranges,
            (a.n.div_ceil(UNITS), 1, 1),
            array!(values, values_len),
            array!(places, places_len),
            array!(out, 3 * a.n),
            array!(out_places, 2 * a.n),
            ranges as u32,
            a.n as u32,
        );
        Ok((out, out_places))
    }

    fn max_dist_steps(
        &self,
        x: &Columns,
        centres: Option<&Columns>,
        n: usize,
        m: usize,
        batch: usize,
    ) -> Result<Answer> {
        let answer = self.answer(batch);
        let mut win = self.winners(x.cubes())?;
        let (near, near_len) = match centres {
            Some(centres) => (self.tile_reduction(x, centres, m, SQ_DISTANCE, 0.0)?.0, 3 * x.n),
            None => {
                let norms = self.allocate(x.n)?;
                self.squared_norms(x, 0.0, &norms, x.n);
                (norms, x.n)
            }
        };
        self.find_winners(&mut win, &near, near_len, n);
        for step in 0..batch {
            self.max_dist_pick(x, &near, near_len, &mut win, &answer, n, step, centres.is_none() && step == 0);
        }
        Ok(answer)
    }

    #[allow(clippy::too_many_arguments)]
    fn max_dist_pick(
        &self,
        x: &Columns,
        near: &Handle,
        near_len: usize,
        win: &mut Winners,
        answer: &Answer,
        n: usize,
        step: usize,
        fresh: bool,
    ) {
        launch!(
            self,
            max_dist_step,
            (x.cubes(), 1, 1),
            array!(x.handle, x.len4()),
            array!(near, near_len),
            array!(win.score, 2 * win.cubes),
            array!(win.row, 2 * win.cubes),
            array!(answer.rows, answer.len),
            array!(answer.scores, answer.len),
            n as u32,
            x.n4() as u32,
            step as u32,
            win.flip,
            x.d,
            fresh,
        );
        win.flip = 1 - win.flip;
    }

    fn lcmd_steps(&self, x: &Columns, centres: Option<&Columns>, n: usize, m: usize, batch: usize) -> Result<Answer> {
        let answer = self.answer(batch);
        if batch == 0 {
            return Ok(answer);
        }
        let mut win = self.winners(x.cubes())?;
        let (near, near_len, owner, owner_len);
        match centres {
            Some(centres) => {
                (near, owner) = self.tile_reduction(x, centres, m, SQ_DISTANCE, 0.0)?;
                (near_len, owner_len) = (3 * x.n, 2 * x.n);
            }
            None => {
                // The row of largest norm is taken as in max_dist, and then owns all.
                (near_len, owner_len) = (x.n, x.n);
                near = self.allocate(x.n)?;
                owner = self.filled(x.n, 0.0)?;
                self.squared_norms(x, 0.0, &near, near_len);
                self.find_winners(&mut win, &near, near_len, n);
                self.max_dist_pick(x, &near, near_len, &mut win, &answer, n, 0, true);
            }
        }
        let made = usize::from(centres.is_none());
        let clusters = m + batch;
        let sums = self.client.create_from_slice(u32::as_bytes(&vec![0u32; 3 * clusters]));
        let scale = self.allocate(1)?;
        self.find_winners(&mut win, &near, near_len, n);
        launch!(
            self,
            lcmd_start,
            (x.cubes(), 1, 1),
            array!(near, near_len),
            array!(owner, owner_len),
            array!(sums, 3 * clusters),
            array!(scale, 1),
            array!(win.score, 2 * win.cubes),
            array!(win.row, 2 * win.cubes),
            n as u32,
            win.flip,
            clusters as u32,
        );
        for step in made..batch {
            let used = m + step;
            launch!(
                self,
                lcmd_farthest,
                (x.cubes(), 1, 1),
                array!(near, near_len),
                array!(owner, owner_len),
                array!(sums, 3 * clusters),
                array!(win.score, 2 * win.cubes),
                array!(win.row, 2 * win.cubes),
                n as u32,
                win.flip,
                clusters as u32,
                used as u32,
            );
            win.flip = 1 - win.flip;
            launch!(
                self,
                lcmd_step,
                (x.cubes(), 1, 1),
                array!(x.handle, x.len4()),
                array!(near, near_len),
                array!(owner, owner_len),
                array!(sums, 3 * clusters),
                array!(scale, 1),
                array!(win.score, 2 * win.cubes),
                array!(win.row, 2 * win.cubes),
                array!(answer.rows, answer.len),
                array!(answer.scores, answer.len),
                n as u32,
                x.n4() as u32,
                step as u32,
                win.flip,
                clusters as u32,
                used as u32,
                x.d,
            );
        }
        Ok(answer)
    }

    fn max_det_steps(&self, x: &Columns, n: usize, m: usize, sigma2: f32, batch: usize) -> Result<Answer> {
        let answer = self.answer(batch);
        let mut win = self.winners(x.cubes())?;
        let columns = (m + batch).next_multiple_of(32);
        let factor = self.filled(columns * x.n, 0.0)?;
        let variance = self.allocate(2 * x.n)?;
        self.squared_norms(x, sigma2, &variance, 2 * x.n);
        // Winners and variances turn over together: both start in half 0.
        win.flip = 1;
        self.find_winners(&mut win, &variance, 2 * x.n, n);
        for step in 0..m + batch {
            let forced = if step < m { (n + step) as u32 } else { NONE };
            launch!(
                self,
                max_det_step,
                (x.cubes(), 1, 1),
                array!(x.handle, x.len4()),
                array!(factor, columns * x.n4()),
                array!(variance, 2 * x.n),
                array!(win.score, 2 * win.cubes),
                array!(win.row, 2 * win.cubes),
                array!(answer.rows, answer.len),
                array!(answer.scores, answer.len),
                n as u32,
                x.n4() as u32,
                step as u32,
                m as u32,
                forced,
                win.flip,
                x.d,
            );
            win.flip = 1 - win.flip;
        }
        Ok(answer)
    }

    fn bait_steps(&self, x: &Columns, n: usize, forced_rows: usize, sigma2: f32, batch: usize) -> Result<Answer> {
        let mut answer = self.answer(batch + 1);
        let d = x.d;
        let square = d * d;
        // S starts as the scatter of all rows, in parts that keep many cubes busy.
        let ranges = (x.n / 1024).clamp(1, 16);
        let range4 = x.n4().div_ceil(ranges).next_multiple_of(8);
        let parts = self.allocate(ranges * square)?;
        launch!(
            self,
            scatter,
            (d / 32, d / 32, ranges),
            array!(x.handle, x.len4()),
            array!(parts, ranges * square),
            x.n4() as u32,
            range4 as u32,
            d,
        );
        // Padded as rows are, so that it can serve as the b of a tile reduction.
        let s = self.allocate(square)?;
        let p = self.allocate(square)?;
        let grid = (square.div_ceil(UNITS), 1, 1);
        launch!(
            self,
            add_ranges,
            grid,
            array!(parts, ranges * square),
            array!(s, square),
            ranges as u32,
            square as u32,
        );
        launch!(self, identity, grid, array!(p, square), d as u32);
        let variance = self.allocate(x.n)?;
        self.squared_norms(x, 0.0, &variance, x.n);
        let weight = self.allocate(x.n)?;
        launch!(
            self,
            quadratic,
            (x.cubes(), 1, 1),
            array!(x.handle, x.len4()),
            array!(s, square),
            array!(weight, x.n),
            x.n4() as u32,
            d,
        );
        let (u, v) = (self.filled(d, 0.0)?, self.filled(d, 0.0)?);
        let of_pivot = self.filled(2, 0.0)?;
        let mut win = self.winners(x.cubes())?;
        let pick_len = answer.len;
        // With u = v = 0 this only finds the first winners.
        let rows = |win: &mut Winners| {
            launch!(
                self,
                bait_rows,
                (x.cubes(), 1, 1),
                array!(x.handle, x.len4()),
                array!(u, d),
                array!(v, d),
                array!(of_pivot, 2),
                array!(variance, x.n),
                array!(weight, x.n),
                array!(answer.rows, pick_len),
                array!(win.score, 2 * win.cubes),
                array!(win.row, 2 * win.cubes),
                n as u32,
                x.n4() as u32,
                win.flip,
                batch as u32,
                sigma2,
                d,
            );
            win.flip = 1 - win.flip;
        };
        rows(&mut win);
        for step in 0..forced_rows + batch {
            let forced = if step < forced_rows { (n + step) as u32 } else { NONE };
            launch!(
                self,
                bait_direction,
                (d / 32, 1, 1),
                array!(x.handle, x.len4()),
                array!(p, square),
                array!(s, square),
                array!(u, d),
                array!(v, d),
                array!(win.score, 2 * win.cubes),
                array!(win.row, 2 * win.cubes),
                array!(answer.rows, pick_len),
                array!(answer.scores, pick_len),
                x.n4() as u32,
                step as u32,
                forced_rows as u32,
                forced,
                win.flip,
                win.cubes as u32,
                batch as u32,
                d,
            );
            launch!(
                self,
                bait_update,
                (d, 1, 1),
                array!(x.handle, x.len4()),
                array!(p, square),
                array!(s, square),
                array!(u, d),
                array!(v, d),
                array!(answer.rows, pick_len),
                array!(of_pivot, 2),
                x.n4() as u32,
                batch as u32,
                sigma2,
                d,
            );
            rows(&mut win);
        }
        // The last entry only handed the pivot from kernel to kernel.
        answer.len = batch;
        Ok(answer)
    }

    /// Best seconds of `work`, of a few tries after one to warm up.
    fn best_of(&self, mut work: impl FnMut()) -> Result<f64> {
        work();
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            self.wait()?;
            let start = Instant::now();
            work();
            self.wait()?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(best)
    }

    fn measure(&self) -> Result<Ceilings> {
        let cubes = if self.software { 16 } else { 4096 };
        let stride4 = cubes * UNITS;
        let len4 = stride4 * if self.software { 16 } else { 64 };
        let x = self.filled(4 * len4, 1.0)?;
        let y = self.allocate(4 * len4)?;
        let bytes = (len4 * 16) as f64;
        let grid = (cubes, 1, 1);
        let read = self.best_of(|| {
            launch!(self, read_all, grid, array!(x, len4), array!(y, len4), len4 as u32);
        })?;
        let copy = self.best_of(|| {
            launch!(self, copy_all, grid, array!(x, len4), array!(y, len4), len4 as u32);
        })?;
        let seeds = self.client.create_from_slice(f32::as_bytes(&[1.0e-6, 0.5, 0.25]));
        let rounds = if self.software { 64 } else { 4096u32 };
        let steps = (cubes * UNITS * 64) as f64 * f64::from(rounds);
        let out_len = 4 * len4;
        let add = self.best_of(|| {
            launch!(self, arithmetic, grid, array!(seeds, 3), array!(y, out_len), rounds, false);
        })?;
        let square = self.best_of(|| {
            launch!(self, arithmetic, grid, array!(seeds, 3), array!(y, out_len), rounds, true);
        })?;
        Ok(Ceilings {
            read: bytes / read,
            copy: 2.0 * bytes / copy,
            multiply_add: 2.0 * steps / add,
            difference_square: 3.0 * steps / square,
        })
    }
}

/// A tile function as kernels know it.
fn kind_of(tile: Tile) -> (u32, f32) {
    match tile {
        Tile::Product => (PRODUCT, 0.0),
        Tile::SqDistance => (SQ_DISTANCE, 0.0),
        Tile::Rbf { length } => (RBF, 1.0 / (length * length)),
        Tile::Matern52 { length } => (MATERN52, 1.0 / (length * length)),
    }
}

impl<R: Runtime> Device for Gpu<R> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn reduce(&self, a: ArrayView2<f32>, b: ArrayView2<f32>, tile: Tile) -> Result<Reduced> {
        check(a, b, "b", 0)?;
        check_tile(tile)?;
        let (n, n_b) = (a.nrows(), b.nrows());
        if n_b == 0 {
            return Err(Error::Input("b has no rows to reduce over".into()));
        }
        let (kind, inverse) = kind_of(tile);
        self.guarded(|| {
            let (a, b) = (self.upload(&[a])?, self.upload(&[b])?);
            self.timed(|| {
                let (values, places) = self.tile_reduction(&a, &b, n_b, kind, inverse)?;
                let values: Vec<f32> = self.read(&values, 3 * a.n)?;
                let places: Vec<u32> = self.read(&places, 2 * a.n)?;
                let part = |i: usize| values[i * a.n..][..n].to_vec();
                let place = |i: usize| {
                    let part = &places[i * a.n..][..n];
                    match part.iter().find(|&&at| at as usize >= n_b) {
                        Some(at) => Err(self.failed(format!("it named row {at} of {n_b}"))),
                        None => Ok(part.iter().map(|&at| at as usize).collect()),
                    }
                };
                Ok(Reduced { min: part(0), argmin: place(0)?, max: part(1), argmax: place(1)?, sum: part(2) })
            })
        })
    }

    fn quadratic_forms(
        &self,
        x: ArrayView2<f32>,
        y: ArrayView2<f32>,
        tile: Tile,
        left: ArrayView2<f32>,
        right: ArrayView2<f32>,
    ) -> Result<Forms> {
        check_factors(x, y, tile, left, right)?;
        let (kind, inverse) = kind_of(tile);
        let (m, draws) = (y.nrows(), left.ncols());
        // Values of the block that are held at once.
        const HELD: usize = 1 << 26;
        let part = (HELD / m.next_multiple_of(ROWS) / ROWS).max(1) * ROWS;
        self.guarded(|| {
            let y = self.upload(&[y])?;
            // One row a sample: samples become the features of these uploads.
            let right = if draws > 0 { Some(self.upload(&[right.t()])?) } else { None };
            let mut all = Forms { forms: vec![0.0; draws], row_sums: vec![] };
            for (x, left) in x.axis_chunks_iter(Axis(0), part).zip(left.axis_chunks_iter(Axis(0), part)) {
                let n = x.nrows();
                let x = self.upload(&[x])?;
                let left = if draws > 0 { Some(self.upload(&[left.t()])?) } else { None };
                self.timed(|| {
                    let tiles = y.cubes();
                    let (block, sums) = (self.allocate(y.n * x.n)?, self.allocate(tiles * x.n)?);
                    launch!(
                        self,
                        block_values,
                        (x.cubes(), tiles, 1),
                        array!(x.handle, x.len4()),
                        array!(y.handle, y.len4()),
                        array!(block, y.n * x.n4()),
                        array!(sums, tiles * x.n),
                        x.n4() as u32,
                        y.n4() as u32,
                        m as u32,
                        inverse,
                        x.d,
                        kind,
                    );
                    if let (Some(left), Some(right)) = (&left, &right) {
                        let out = self.allocate(x.cubes() * right.n)?;
                        launch!(
                            self,
                            block_forms,
                            (x.cubes(), right.cubes(), 1),
                            array!(block, y.n * x.n4()),
                            array!(right.handle, right.len4()),
                            array!(left.handle, left.len4()),
                            array!(out, x.cubes() * right.n),
                            x.n4() as u32,
                            right.n4() as u32,
                            (right.d / 8) as u32,
                            left.d as u32,
                        );
                        let values: Vec<f32> = self.read(&out, x.cubes() * right.n)?;
                        for cube in values.chunks(right.n) {
                            all.forms.iter_mut().zip(cube).for_each(|(f, v)| *f += f64::from(*v));
                        }
                    }
                    let sums: Vec<f32> = self.read(&sums, tiles * x.n)?;
                    let of_row = |a: usize| (0..tiles).map(|t| f64::from(sums[t * x.n + a])).sum::<f64>();
                    all.row_sums.extend((0..n).map(of_row));
                    Ok(())
                })?;
            }
            match all.forms.iter().chain(&all.row_sums).all(|v| v.is_finite()) {
                true => Ok(all),
                false => Err(self.failed("it gave sums that are not finite")),
            }
        })
    }

    fn max_dist(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, batch: usize) -> Result<Picks> {
        check(rows, centres, "the centres", batch)?;
        let (n, m) = (rows.nrows(), centres.nrows());
        self.guarded(|| {
            let x = self.upload(&[rows])?;
            let centres = if m > 0 { Some(self.upload(&[centres])?) } else { None };
            self.timed(|| self.picks(&self.max_dist_steps(&x, centres.as_ref(), n, m, batch)?, n))
        })
    }

    fn lcmd(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, batch: usize) -> Result<Picks> {
        check(rows, centres, "the centres", batch)?;
        let (n, m) = (rows.nrows(), centres.nrows());
        self.guarded(|| {
            let x = self.upload(&[rows])?;
            let centres = if m > 0 { Some(self.upload(&[centres])?) } else { None };
            self.timed(|| self.picks(&self.lcmd_steps(&x, centres.as_ref(), n, m, batch)?, n))
        })
    }

    fn max_det(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, sigma2: f32, batch: usize) -> Result<Picks> {
        check(rows, centres, "the centres", batch)?;
        check_noise(sigma2)?;
        let (n, m) = (rows.nrows(), centres.nrows());
        self.guarded(|| {
            let x = self.upload(&[rows, centres])?;
            self.timed(|| self.picks(&self.max_det_steps(&x, n, m, sigma2, batch)?, n))
        })
    }

    fn bait(
        &self,
        rows: ArrayView2<f32>,
        train: ArrayView2<f32>,
        sigma2: f32,
        batch: usize,
        condition_on_train: bool,
    ) -> Result<Picks> {
        check(rows, train, "the training rows", batch)?;
        check_noise(sigma2)?;
        let n = rows.nrows();
        let forced = if condition_on_train { train.nrows() } else { 0 };
        self.guarded(|| {
            let x = self.upload(&[rows, train])?;
            self.timed(|| self.picks(&self.bait_steps(&x, n, forced, sigma2, batch)?, n))
        })
    }

    fn ceilings(&self) -> Result<Option<Ceilings>> {
        self.guarded(|| self.measure().map(Some))
    }

    fn last_seconds(&self) -> Option<f64> {
        self.last.lock().ok().and_then(|last| *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use ndarray::Array2;

    /// What only happens at sizes that a software rasteriser is too slow for: several tiles in one range.
    #[test]
    fn a_range_of_several_tiles() {
        use cubecl::wgpu::{WgpuDevice, WgpuRuntime};
        let start = guard::quietly(|| WgpuRuntime::client(&WgpuDevice::Cpu));
        let Ok(client) = start else {
            println!("skipped: no software rasteriser");
            return;
        };
        let mut gpu = Gpu::new(client, "software".into(), true);
        let too_much = gpu.allocate(usize::MAX / 8).err().map(|error| error.to_string());
        assert!(too_much.is_some_and(|text| text.contains("it holds arrays of up to")));
        let value = |(i, j): (usize, usize)| ((i * 31 + j * 17) % 101) as f32 / 101.0 - (i % 3) as f32;
        let (a, b) =
            (Array2::from_shape_fn((140, 20), value), Array2::from_shape_fn((400, 20), |(i, j)| value((i, 3 * j))));
        for tile in [Tile::Product, Tile::SqDistance, Tile::Matern52 { length: 3.0 }] {
            let expected = Cpu.reduce(a.view(), b.view(), tile).unwrap();
            for fill in [1, 4, 8] {
                gpu.fill = fill;
                let got = gpu.reduce(a.view(), b.view(), tile).unwrap();
                let near = |x: &[f32], y: &[f32]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 2e-5 * (1.0 + y.abs()));
                assert!(near(&got.min, &expected.min) && near(&got.max, &expected.max), "{tile:?} {fill}");
                assert!(near(&got.sum, &expected.sum), "{tile:?} {fill}");
                let value_at = |i: usize, j: usize| {
                    let (x, y) = (a.slice(ndarray::s![i..=i, ..]), b.slice(ndarray::s![j..=j, ..]));
                    Cpu.reduce(x, y, tile).unwrap().min[0]
                };
                let lows: Vec<f32> = got.argmin.iter().enumerate().map(|(i, &j)| value_at(i, j)).collect();
                let highs: Vec<f32> = got.argmax.iter().enumerate().map(|(i, &j)| value_at(i, j)).collect();
                assert!(near(&lows, &expected.min) && near(&highs, &expected.max), "{tile:?} {fill}");
            }
        }
    }
}
