//! Everything that can be swapped. One file a plugin; a new file in one of these folders is found by
//! itself, and a deleted one is gone, with no edit elsewhere.

pub mod acquisition {
    //! Rules that choose the next batch.
    automod::dir!(pub "plugins/acquisition");
}
pub mod interaction {
    //! Tests of a pair for interaction.
    automod::dir!(pub "plugins/interaction");
}
pub mod kernel {
    //! Similarities of perturbations.
    automod::dir!(pub "plugins/kernel");
}
pub mod model {
    //! Surrogates.
    automod::dir!(pub "plugins/model");
}
pub mod oracle {
    //! Recorded screens and simulators.
    automod::dir!(pub "plugins/oracle");
}
pub mod prior {
    //! Knowledge about genes.
    automod::dir!(pub "plugins/prior");
}
