//! How large an array may become before its maker refuses, and how its size is said.

use std::fmt;

/// The most numbers of one array.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    numbers: usize,
    /// GB of a number.
    each: f64,
}

impl Limit {
    /// 8 GB of numbers in double precision: what leaves room for the rest on the machines this is made for.
    pub const USUAL: Self = Self::doubles(1 << 30);

    /// In double precision.
    pub const fn doubles(numbers: usize) -> Self {
        Self { numbers, each: 8e-9 }
    }

    /// In single precision.
    pub const fn singles(numbers: usize) -> Self {
        Self { numbers, each: 4e-9 }
    }

    /// How many numbers.
    pub const fn numbers(self) -> usize {
        self.numbers
    }

    /// An array of this shape, or its size where that is beyond the limit.
    pub fn check(self, shape: &[usize]) -> Result<(), Size> {
        let numbers = shape.iter().fold(1usize, |n, d| n.saturating_mul(*d));
        if numbers <= self.numbers {
            return Ok(());
        }
        Err(Size { gigabytes: shape.iter().map(|d| *d as f64).product::<f64>() * self.each })
    }
}

/// The size of an array, said in whole GB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    gigabytes: f64,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} GB", self.gigabytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_fits_and_sizes_beyond_any_memory_are_said() {
        assert_eq!(Limit::USUAL.check(&[1 << 20, 1 << 10]), Ok(()));
        let text = |l: Limit, shape: &[usize]| l.check(shape).unwrap_err().to_string();
        assert_eq!(text(Limit::USUAL, &[1 << 20, (1 << 10) + 1]), "9 GB");
        assert_eq!(text(Limit::singles(10), &[5_000_000_000, 3]), "60 GB");
        assert!(text(Limit::doubles(10), &[usize::MAX, usize::MAX]).starts_with("272225893536750"));
        assert_eq!(Limit::doubles(0).check(&[0, 7]), Ok(()));
    }
}
