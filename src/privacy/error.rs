//! The errors of this layer.

/// The result type of this layer.
pub(crate) type Result<T, E = Error> = core::result::Result<T, E>;

/// Invalid parameters of a mechanism, and invalid vectors.
///
/// Fields hold public parameters and indices, never a value of a vector.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter of a mechanism is not an allowed number.
    #[error("{name} is {value:?}: it must be {allowed}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// The number found.
        value: f64,
        /// The allowed numbers, in words.
        allowed: &'static str,
    },
    /// A vector does not have the stated dimension.
    #[error("a vector has {found} numbers, expected {expected}")]
    VectorLength {
        /// Numbers expected.
        expected: usize,
        /// Numbers found.
        found: usize,
    },
    /// A value of a vector is infinite or not a number.
    #[error("the value at index {index} is not a finite number")]
    NotFinite {
        /// Index of the first such value.
        index: usize,
    },
    /// A vector is longer than stated. Its length is secret and is not named.
    #[error("a vector has an L2 norm above its stated bound of {bound:?}")]
    NormAboveBound {
        /// The stated bound.
        bound: f64,
    },
    /// A modular range is empty, or wider than `i64::MAX`.
    #[error("[{lower}, {upper}) is not a modular range: it must not be empty or wider than i64::MAX")]
    ModularRange {
        /// Lower end, included.
        lower: i64,
        /// Upper end, not included.
        upper: i64,
    },
    /// A signed modular range has 1 to 62 bits, because its width must fit an `i64`.
    #[error("a modular range has 1 to 62 bits, not {bits}")]
    ModularBits {
        /// The requested bits.
        bits: u32,
    },
    /// A modulus cannot hold the sum over all clients, not even the sum of their rounding errors
    /// alone.
    #[error("{bits} bits are too few for {clients} clients and a wrapping probability of {modclip_prob:?}")]
    ModulusTooSmall {
        /// Bits of the modulus.
        bits: u32,
        /// Expected number of clients.
        clients: u32,
        /// Target probability that a value of the sum wraps.
        modclip_prob: f64,
    },
    /// More clients took part than the maximum for which noise and modulus were computed.
    #[error("{found} clients took part, expected at most {expected}")]
    MoreClientsThanExpected {
        /// The stated maximum.
        expected: u32,
        /// Clients that took part.
        found: u32,
    },
    /// A generator of random numbers is broken: it gave no usable number in more attempts than a
    /// working generator needs.
    #[error(
        "the random number generator is broken: it gave no {drawn} in {attempts} attempts (a working one fails with a \
         probability below 2^-128)"
    )]
    BrokenGenerator {
        /// The value to draw.
        drawn: &'static str,
        /// Attempts made.
        attempts: u32,
    },
}
