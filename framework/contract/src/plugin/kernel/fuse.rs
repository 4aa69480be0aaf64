//! What makes a kernel plugin of a rule that joins kernels: the settings that all fusions share, and the methods that
//! only hand these on.

use super::{KernelContext, Source, Sources};
use crate::error::Result;
use numerics::Gram;

/// The text in which `plugins show` finds the documentation of the shared settings.
pub const SHARED_SETTINGS: &str = include_str!("fuse.rs");

/// A rule that joins the kernels of priors and model. [`fusion!`](crate::fusion) writes the kernel plugin around it.
pub trait Fusion {
    /// Joins the kernels that were found, each normalised.
    fn fuse(&self, cx: &KernelContext, sources: &Sources, found: Vec<Source>) -> Result<Gram>;

    /// Whether the result is positive semidefinite whatever the input, where `all` says so of every kernel joined.
    fn stays_psd(&self, all: bool) -> bool {
        all
    }
}

/// Writes a fusion: the struct with the settings that all fusions share, followed by its own (each of them optional in
/// a scenario), and its `impl Kernel` under the given tag, which calls the struct's [`Fusion`](crate::plugin::Fusion).
/// The crate that uses it needs `serde` and `typetag`.
///
/// ```
/// use contract::plugin::Fusion;
/// use contract::prelude::*;
///
/// contract::fusion! {
///     "fuse_first",
///     /// The first kernel, times a number.
///     pub struct FuseFirst {
///         /// Whether it counts twice; default false.
///         pub twice: bool,
///     }
/// }
///
/// impl Fusion for FuseFirst {
///     fn fuse(&self, cx: &KernelContext, sources: &Sources, found: Vec<Source>) -> Result<Gram> {
///         let weights = (0..found.len()).map(|m| if m > 0 { 0.0 } else { 1.0 + f64::from(u8::from(self.twice)) });
///         let weights = weights.collect();
///         sources.weighted(cx, found, Some(weights))
///     }
/// }
///
/// let read: FuseFirst = serde_json::from_str(r#"{ "twice": true, "repair": "clip" }"#)?;
/// assert!(read.twice && read.repair == Repair::Clip && Kernel::keeps_psd(&read));
/// assert!(serde_json::from_str::<FuseFirst>(r#"{ "thrice": true }"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! fusion {
    (
        $tag:literal,
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[$docs:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Default, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// How kernels are made comparable before they are fused, by their matrix over measured perturbations and
            /// candidates: `"max"` (default), `"min_max"`, `"diag"`, `"cosine"`, `"trace"`, `"frobenius"`, `"center"`,
            /// `"center_diag"` or `"none"`.
            #[serde(default)]
            pub normalise: $crate::numerics::Normalise,
            /// The kernel of each active prior's own features, as a table with `use`; default: inner products.
            #[serde(default)]
            pub each: Option<Box<dyn $crate::plugin::Kernel>>,
            /// Kernels fused beside the priors, a list of tables; default: the model's predictions,
            /// [{ use = "prediction" }]. An empty list fuses the priors alone.
            #[serde(default)]
            pub with: Option<Vec<Box<dyn $crate::plugin::Kernel>>>,
            /// What is done when the result is not positive semidefinite: `"none"` (default; distance rules take negative
            /// squared distances for 0), `"clip"` (negative eigenvalues become 0; at most 3,000 measured perturbations and
            /// candidates) or `"refuse"`.
            #[serde(default)]
            pub repair: $crate::plugin::Repair,
            $($(#[$docs])* #[serde(default)] pub $field: $type,)*
        }

        impl $name {
            fn sources(&self) -> $crate::plugin::Sources<'_> {
                $crate::plugin::Sources {
                    normalise: self.normalise,
                    each: self.each.as_deref(),
                    with: self.with.as_deref(),
                    repair: self.repair,
                }
            }
        }

        #[typetag::serde(name = $tag)]
        impl $crate::plugin::Kernel for $name {
            fn gram(&self, cx: &$crate::plugin::KernelContext) -> $crate::Result<$crate::numerics::Gram> {
                let sources = self.sources();
                let found = sources.grams(cx)?;
                $crate::plugin::Fusion::fuse(self, cx, &sources, found)
            }

            fn keeps_psd(&self) -> bool {
                $crate::plugin::Fusion::stays_psd(self, self.sources().keep_psd())
            }

            fn needs(&self) -> $crate::plugin::Abilities {
                self.sources().needs()
            }
        }
    };
}
