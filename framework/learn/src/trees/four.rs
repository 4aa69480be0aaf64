//! Four numbers side by side, with the same bits on every processor.

/// Two numbers of a row, read at once.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(16))]
pub(super) struct Record(pub f64, pub f64);

/// Four numbers; operations act on each.
pub(super) trait Four: Copy {
    fn splat(v: f64) -> Self;
    fn array(self) -> [f64; 4];
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    fn max(self, b: Self) -> Self;
    /// First and second numbers of four records.
    ///
    /// # Safety
    /// Every place is one of `records`.
    unsafe fn gather(records: &[Record], at: [usize; 4]) -> (Self, Self);
}

impl Four for [f64; 4] {
    fn splat(v: f64) -> Self {
        [v; 4]
    }
    fn array(self) -> [f64; 4] {
        self
    }
    fn add(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] + b[i])
    }
    fn sub(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] - b[i])
    }
    fn mul(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] * b[i])
    }
    fn div(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] / b[i])
    }
    fn max(self, b: Self) -> Self {
        std::array::from_fn(|i| if self[i] > b[i] { self[i] } else { b[i] })
    }
    unsafe fn gather(records: &[Record], at: [usize; 4]) -> (Self, Self) {
        (at.map(|i| records[i].0), at.map(|i| records[i].1))
    }
}
