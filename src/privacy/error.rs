//! The errors of this layer.

/// What every fallible function of this layer returns.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Parameters that a mechanism cannot have, and vectors that it cannot take.
///
/// Fields hold public parameters and places, never a value of a vector.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter of a mechanism is not one of the numbers that it may be.
    #[error("{name} is {value:?}: it must be {allowed}")]
    Parameter {
        /// Which parameter.
        name: &'static str,
        /// The number given.
        value: f64,
        /// The numbers that it may be, in words.
        allowed: &'static str,
    },
    /// A vector does not have the stated dimension.
    #[error("a vector of {found} numbers where {expected} are expected")]
    VectorLength {
        /// Numbers expected.
        expected: usize,
        /// Numbers found.
        found: usize,
    },
    /// A value of a vector is infinite or not a number.
    #[error("the value at index {index} is not a finite number")]
    NotFinite {
        /// Where the first such value is.
        index: usize,
    },
    /// A vector is longer than was stated. Its length is secret and is not named.
    #[error("a vector has an L2 norm above its stated bound of {bound:?}")]
    NormAboveBound {
        /// The stated bound.
        bound: f64,
    },
    /// A modular range is empty, or wider than `i64::MAX`.
    #[error("no modular range [{lower}, {upper}): it must not be empty or wider than i64::MAX")]
    ModularRange {
        /// Lower end, included.
        lower: i64,
        /// Upper end, not included.
        upper: i64,
    },
    /// A signed modular range is stated with 1 to 62 bits, as its width must fit an `i64`.
    #[error("a modular range of {bits} bits: 1 to 62 are possible")]
    ModularBits {
        /// The bits asked for.
        bits: u32,
    },
    /// A modulus cannot hold the sum of all clients, not even if they added nothing but their rounding errors.
    #[error("{bits} bits are too few for {clients} clients and a wrapping probability of {modclip_prob:?}")]
    ModulusTooSmall {
        /// Bits of the modulus.
        bits: u32,
        /// Expected number of clients.
        clients: u32,
        /// Target probability that a value of the sum wraps.
        modclip_prob: f64,
    },
    /// More clients took part than noise and modulus were sized for.
    #[error("{found} clients took part where at most {expected} are expected")]
    MoreClientsThanExpected {
        /// The maximum that was stated.
        expected: u32,
        /// Clients that took part.
        found: u32,
    },
    /// A generator of random numbers is broken: it gave nothing usable in more attempts than a working one ever needs.
    #[error(
        "the random number generator is broken: it gave no {drawn} in {attempts} attempts (a working one fails with a \
         probability below 2^-128)"
    )]
    BrokenGenerator {
        /// The value that was to be drawn.
        drawn: &'static str,
        /// Attempts made.
        attempts: u32,
    },
}
