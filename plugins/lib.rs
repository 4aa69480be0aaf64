//! Everything that can be swapped. One file a plugin; a new file in one of these folders is found by
//! itself, and a deleted one is gone, with no edit elsewhere. A large plugin keeps its parts in a folder
//! of its own name, as modules that its file declares: `model/gears.rs` and `model/gears/network.rs`.

pub mod acquisition {
    //! Rules that choose the next batch.
    automod::dir!(pub "acquisition");
}
pub mod interaction {
    //! Tests of a pair for interaction.
    automod::dir!(pub "interaction");
}
pub mod kernel {
    //! Similarities of perturbations.
    automod::dir!(pub "kernel");
}
pub mod model {
    //! Surrogates.
    automod::dir!(pub "model");
}
pub mod oracle {
    //! Recorded screens and simulators.
    automod::dir!(pub "oracle");
}
pub mod prior {
    //! Knowledge about genes.
    automod::dir!(pub "prior");
}
