//! Where dense selection runs: one trait, a plain CPU implementation, and GPU kernels behind feature `gpu`.
//!
//! Rows are `n x d`, row-major `f32`. Nothing of size `n x n` is ever stored. Ties go to the lowest index on
//! every device, and a row is picked at most once. A GPU is compared with the CPU on a known pattern before it
//! is handed out ([`open`]); a device that fails or answers wrongly is replaced by the CPU, with the reason.
//!
//! ```
//! use device::{Choice, Tile};
//! let rows = ndarray::arr2(&[[0.0f32], [1.0], [4.0], [10.0]]);
//! let (device, reason) = device::open(Choice::Auto);
//! if let Some(reason) = reason {
//!     eprintln!("{reason}");
//! }
//! let centre = rows.slice(ndarray::s![..1, ..]);
//! let picks = device.max_dist(rows.view(), centre, 2)?;
//! assert_eq!(picks, [(3, 100.0), (2, 16.0)]);
//! let near = device.reduce(rows.view(), centre, Tile::SqDistance)?;
//! assert_eq!(near.min, [0.0, 1.0, 16.0, 100.0]);
//! # Ok::<(), device::Error>(())
//! ```

mod contract;
mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(any(feature = "gpu", test))]
mod probe;

pub use contract::{Ceilings, Device, Error, Forms, Picks, Reduced, Result, Tile};
pub use cpu::Cpu;

/// Which device [`open`] is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The CPU.
    Cpu,
    /// A GPU, a software rasteriser included when there is nothing better.
    Gpu,
    /// A GPU when there is a real one, otherwise the CPU.
    Auto,
}

/// Every device that is compiled in, starts, and passes the probe: the CPU first.
pub fn devices() -> Vec<Box<dyn Device>> {
    #[allow(unused_mut)]
    let mut found: Vec<Box<dyn Device>> = vec![Box::new(Cpu)];
    #[cfg(feature = "gpu")]
    found.extend(gpu::start::candidates(true).into_iter().filter_map(|start| probe::accept(start).ok()));
    found
}

/// The device asked for, or the CPU and the reason, to be printed, why it is not that device.
pub fn open(want: Choice) -> (Box<dyn Device>, Option<String>) {
    if want == Choice::Cpu {
        return (Box::new(Cpu), None);
    }
    #[cfg(feature = "gpu")]
    let reason = {
        let mut reasons = vec![];
        for start in gpu::start::candidates(want == Choice::Gpu) {
            match probe::accept(start) {
                Ok(device) => return (device, None),
                Err(reason) => reasons.push(reason),
            }
        }
        reasons.join("; ")
    };
    #[cfg(not(feature = "gpu"))]
    let reason = "this program was built without the feature `gpu`".to_owned();
    (Box::new(Cpu), Some(format!("no GPU is used: {reason}. The CPU computes instead")))
}

/// Calls on the device; when the device fails, on the CPU, with the reason, to be printed.
pub fn with_fallback<T>(device: &dyn Device, call: impl Fn(&dyn Device) -> Result<T>) -> Result<(T, Option<String>)> {
    match call(device) {
        Err(error @ Error::Failed { .. }) => Ok((call(&Cpu)?, Some(format!("{error}, and did")))),
        other => Ok((other?, None)),
    }
}
