//! The errors of this layer.

/// The result type of this layer.
pub(crate) type Result<T, E = Error> = core::result::Result<T, E>;

/// Parameters that do not fit together, and values that do not fit them.
///
/// Fields hold public sizes and indices, never a value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layout needs values of at least one bit, at least one summand, and a weight of at least
    /// one.
    #[error(
        "a packing layout needs at least one bit, summand and weight; found {value_bits} bits, {max_summands} summands, \
         weights up to {max_weight}"
    )]
    LayoutEmpty {
        /// Bits of one encoded value.
        value_bits: u32,
        /// Maximum number of summands.
        max_summands: u32,
        /// Maximum weight of one summand.
        max_weight: u32,
    },
    /// One client's weighted value must fit one 64-bit word.
    #[error("a value of {value_bits} bits times a weight of up to {max_weight} does not fit 64 bits")]
    WeightedValueTooWide {
        /// Bits of one encoded value.
        value_bits: u32,
        /// Maximum weight of one summand.
        max_weight: u32,
    },
    /// The total weight of a layout is at most 2⁶³, so that every sum fits an `i128`.
    #[error(
        "{max_summands} summands with weights up to {max_weight} have a total weight of {total_weight}, more than 2^63"
    )]
    TotalWeightTooLarge {
        /// Maximum number of summands.
        max_summands: u32,
        /// Maximum weight of one summand.
        max_weight: u32,
        /// `max_summands * max_weight`.
        total_weight: u64,
    },
    /// Not even one slot fits a plaintext under this key.
    #[error(
        "a slot of {slot_bits} bits ({value_bits} bits a value, {max_summands} summands, weights up to {max_weight}) \
         is wider than a plaintext of {capacity_bits} bits"
    )]
    SlotWiderThanPlaintext {
        /// Bits that a plaintext can always hold.
        capacity_bits: u32,
        /// Bits that the sum in one slot needs.
        slot_bits: u32,
        /// Bits of one encoded value.
        value_bits: u32,
        /// Maximum number of summands.
        max_summands: u32,
        /// Maximum weight of one summand.
        max_weight: u32,
    },
    /// Integers are stated with 1 to 64 bits.
    #[error("an integer range has 1 to 64 bits, not {bits}")]
    IntegerBits {
        /// The bits asked for.
        bits: u32,
    },
    /// An integer range is empty, spans more than 64 bits, or reaches outside
    /// `i64::MIN..=u64::MAX`.
    #[error(
        "[{min}, {max}] is not an integer range: it is empty, spans more than 64 bits, or reaches below i64 or above u64"
    )]
    IntegerRange {
        /// Lower end, included.
        min: i128,
        /// Upper end, included.
        max: i128,
    },
    /// A value to be encoded lies outside the stated range. The value itself is secret and is not
    /// named.
    #[error("the value at index {index} lies outside [{min}, {max}]")]
    ValueOutOfRange {
        /// Index of the first such value.
        index: usize,
        /// Lower end of the range, included.
        min: i128,
        /// Upper end of the range, included.
        max: i128,
    },
    /// A quantizer has 2 to 48 bits.
    #[error("a quantizer has 2 to 48 bits, not {bits}")]
    QuantizerBits {
        /// The bits asked for.
        bits: u32,
    },
    /// The bounds of a quantizer must be in order, finite, and small enough for finite distances
    /// and sums.
    #[error(
        "[{lower:?}, {upper:?}] is no range of a quantizer: bounds must be in order, finite, and small enough for finite results"
    )]
    QuantizerRange {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
    },
    /// The step of a quantizer must be a normal `f64`, and so must its reciprocal.
    #[error(
        "{bits} bits over [{lower:?}, {upper:?}] give the step {step:?}; it or its reciprocal is not a normal f64"
    )]
    QuantizerStep {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
        /// Bits of one encoded value.
        bits: u32,
        /// Distance of neighbouring grid points.
        step: f64,
    },
    /// An end of the range is more than 2^48 steps from zero. There, `f64` no longer resolves the
    /// steps well.
    #[error(
        "{bits} bits over [{lower:?}, {upper:?}]: an end lies more than 2^48 steps from zero; use fewer bits"
    )]
    QuantizerTooFine {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
        /// Bits of one encoded value.
        bits: u32,
    },
    /// A bound of a quantised sum is more than 2^62 of its steps from zero. A 64-bit integer could
    /// saturate.
    #[error(
        "[{lower:?}, {upper:?}] in 2^32 - 1 steps: a bound lies more than 2^62 of them from zero; use a wider range"
    )]
    QuantizedSumTooFine {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
    },
    /// A quantised sum is out of range. Either it exceeds the maximum that its clients can reach,
    /// because a party deviated from the protocol; or it does not fit the type of sums, because the
    /// bounds are too large for this total weight.
    #[error("the quantised sum is out of range for a total weight of {weight}")]
    QuantizedSumOutOfRange {
        /// Total weight of the clients: their number, if they have no weights.
        weight: u64,
    },
    /// A modulus is zero, or its residues do not fit an `i64`.
    #[error("a modulus for sums is 1 to 2^63, not {modulus}")]
    Modulus {
        /// The modulus asked for.
        modulus: u64,
    },
    /// A value to be quantised is infinite or not a number.
    #[error("the value at index {index} is not a finite number")]
    NotFinite {
        /// Index of the first such value.
        index: usize,
    },
}
