//! What the parts of a scenario can do and what they ask of each other.

use std::fmt;
use std::ops::BitOr;

/// Something that a part of a scenario gives and another one asks for. Needs are checked before anything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Ability {
    /// Predicted means: a model, fitted before the first round.
    Model,
    /// A standard deviation beside the predicted mean.
    Sd,
    /// Joint draws of the fitted function ([`JointDraws`](super::JointDraws)).
    Draws,
    /// Posterior covariances ([`PosteriorCovariance`](super::PosteriorCovariance)).
    Covariance,
    /// The gradient of the predictive variance with respect to the features
    /// ([`VarianceGradient`](super::VarianceGradient)).
    VarianceGradient,
    /// The model's own representation of a perturbation ([`Representation`](super::Representation)).
    Embedding,
    /// The gradient of the model with respect to its parameters, layer by layer
    /// ([`LayerGradients`](super::LayerGradients)).
    Layers,
    /// Feature rows: at least one active prior.
    Features,
    /// Similarities: a kernel, or at least one active prior for the default inner products.
    Similarity,
    /// Something measured before the first round.
    Measured,
    /// A kernel to act on, asked for by a transform without one of its own.
    InputKernel,
    /// Measured effects of single genes.
    SingleEffects,
    /// A pool of pairs of genes.
    Pairs,
    /// Readouts of one number.
    Scalar,
}

impl Ability {
    /// All of them, in the order of their declaration.
    pub const ALL: [Ability; 14] = [
        Ability::Model,
        Ability::Sd,
        Ability::Draws,
        Ability::Covariance,
        Ability::VarianceGradient,
        Ability::Embedding,
        Ability::Layers,
        Ability::Features,
        Ability::Similarity,
        Ability::Measured,
        Ability::InputKernel,
        Ability::SingleEffects,
        Ability::Pairs,
        Ability::Scalar,
    ];

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A set of abilities.
///
/// ```
/// use contract::plugin::{Abilities, Ability};
///
/// let needs = Abilities::of([Ability::Model, Ability::Sd]).with_if(Ability::Draws, false);
/// assert!(needs.contains(Ability::Sd) && !needs.contains(Ability::Draws));
/// assert_eq!(needs | Abilities::of([Ability::Sd]), needs);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Abilities(u32);

impl Abilities {
    /// No ability.
    pub const NONE: Abilities = Abilities(0);

    /// The abilities of a list.
    pub const fn of<const N: usize>(list: [Ability; N]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < N {
            bits |= list[i].bit();
            i += 1;
        }
        Self(bits)
    }

    /// These and one more.
    pub const fn with(self, ability: Ability) -> Self {
        Self(self.0 | ability.bit())
    }

    /// These, and one more where `condition` holds.
    pub const fn with_if(self, ability: Ability, condition: bool) -> Self {
        if condition { self.with(ability) } else { self }
    }

    /// These without one.
    pub const fn without(self, ability: Ability) -> Self {
        Self(self.0 & !ability.bit())
    }

    /// Whether an ability is among these.
    pub const fn contains(self, ability: Ability) -> bool {
        self.0 & ability.bit() != 0
    }

    /// Whether any of `others` is among these.
    pub const fn meets(self, others: Abilities) -> bool {
        self.0 & others.0 != 0
    }

    /// Those that are in both sets.
    pub const fn common(self, others: Abilities) -> Self {
        Self(self.0 & others.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The abilities in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = Ability> {
        Ability::ALL.into_iter().filter(move |a| self.contains(*a))
    }
}

impl BitOr for Abilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Abilities> for Abilities {
    /// Their union.
    fn from_iter<I: IntoIterator<Item = Abilities>>(sets: I) -> Self {
        sets.into_iter().fold(Self::NONE, BitOr::bitor)
    }
}

impl fmt::Debug for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ability_is_listed_once_in_order_and_has_a_bit_of_its_own() {
        assert!(Ability::ALL.iter().enumerate().all(|(i, a)| *a as usize == i));
        let all: Abilities = Ability::ALL.into_iter().map(|a| Abilities::of([a])).collect();
        assert_eq!(all.0.count_ones() as usize, Ability::ALL.len());
        // The last one declared: a variant that `ALL` lacks would come after it.
        assert_eq!(all.iter().last(), Some(Ability::Scalar));
        assert_eq!(all.iter().collect::<Vec<_>>(), Ability::ALL);
    }

    #[test]
    fn sets_add_remove_and_iterate_in_the_order_of_declaration() {
        let a = Abilities::of([Ability::Scalar, Ability::Sd]).with(Ability::Model);
        assert_eq!(a.iter().collect::<Vec<_>>(), [Ability::Model, Ability::Sd, Ability::Scalar]);
        assert_eq!(a.without(Ability::Sd).without(Ability::Draws), Abilities::of([Ability::Model, Ability::Scalar]));
        assert_eq!(a.with_if(Ability::Draws, false), a);
        assert!(a.with_if(Ability::Draws, true).contains(Ability::Draws));
        let b = Abilities::of([Ability::Draws]);
        assert!((a | b).contains(Ability::Draws) && (a | b).contains(Ability::Scalar));
        assert!(!a.meets(b) && (a | b).meets(b) && a.common(b).is_empty());
        assert!(Abilities::default().is_empty() && Abilities::NONE.iter().next().is_none());
        assert_eq!(format!("{a:?}"), "{Model, Sd, Scalar}");
    }
}
