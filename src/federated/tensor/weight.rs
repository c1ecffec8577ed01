//! Weights of clients in a mean.

use crate::federated::tensor::error::{Error, Result};

/// The maximum weight of a client in a secure mean, and the mean for clients whose weights are all
/// zero.
///
/// A plain `u32` is a maximum weight, too; a total weight of zero is then an error.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, tensor::{self, MaxWeight}};
/// use cipherfold::{packing::Quantizer, paillier::Bits2048};
/// use ndarray::array;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let clients = [(0, array![1.0f64]), (0, array![-1.0])];
/// let quantizer = Quantizer::symmetric(1.0, 16)?;
/// let mean = executor.secure_weighted_mean(clients.clone(), 1000, quantizer);
/// assert_eq!(mean.unwrap_err().root(), tensor::Error::ZeroTotalWeight.into());
/// let mean = executor.secure_weighted_mean(clients, MaxWeight::new(1000).no_nan_division(), quantizer)?;
/// assert_eq!(mean.value, array![0.0]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxWeight {
    max: u32,
    no_nan_division: bool,
}

impl MaxWeight {
    /// Weights from 0 to `max`. A total weight of zero ends a run with [`Error::ZeroTotalWeight`].
    pub const fn new(max: u32) -> Self {
        Self { max, no_nan_division: false }
    }

    /// Defines the mean as zero if all weights are zero (TFF: `no_nan_division`).
    #[must_use]
    pub const fn no_nan_division(self) -> Self {
        Self { no_nan_division: true, ..self }
    }

    /// The maximum weight.
    pub const fn get(self) -> u32 {
        self.max
    }

    /// Whether a total weight of zero gives a mean of zero.
    pub(in crate::federated) const fn allows_zero_total(self) -> bool {
        self.no_nan_division
    }
}

impl From<u32> for MaxWeight {
    fn from(max: u32) -> Self {
        Self::new(max)
    }
}

/// The effective weight for a client's floating-point weight.
///
/// A weight below 2⁻¹⁰⁰ counts as zero: a product with it may underflow. The rounding error of an
/// underflow, divided by an equally small total, would be a large error of a mean.
pub(in crate::federated) fn float_weight(weight: f64) -> Result<f64> {
    if weight.is_finite() && weight >= 0.0 {
        Ok(if weight < SMALLEST { 0.0 } else { weight })
    } else {
        Err(Error::Weight)
    }
}

/// A sum of products of values and weights, divided by the total weight.
///
/// # Errors
///
/// [`Error::ZeroTotalWeight`] for a total of zero or less, unless the mean is defined as zero for
/// it; [`Error::NotFiniteSum`].
pub(in crate::federated) fn quotient(sum: f64, total: f64, no_nan_division: bool) -> Result<f64> {
    if !divides(total, no_nan_division)? {
        return Ok(0.0);
    }
    let mean = sum / total;
    if mean.is_finite() { Ok(mean) } else { Err(Error::NotFiniteSum) }
}

/// Whether a mean divides by this total weight. If not, the mean is zero.
///
/// # Errors
///
/// Those of [`quotient`] about the total.
pub(in crate::federated) fn divides(total: f64, no_nan_division: bool) -> Result<bool> {
    if !total.is_finite() {
        return Err(Error::NotFiniteSum);
    }
    match (total > 0.0, no_nan_division) {
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) => Err(Error::ZeroTotalWeight),
    }
}

const SMALLEST: f64 = 7.888_609_052_210_118e-31; // 2^-100

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the tests check exact equality")]
mod tests {
    use super::*;

    #[test]
    fn weights_are_finite_and_not_negative_and_tiny_ones_count_as_zero() {
        assert_eq!(SMALLEST, (-100.0_f64).exp2());
        for (weight, expected) in [(0.0, 0.0), (5e-324, 0.0), (SMALLEST, SMALLEST), (1e308, 1e308)] {
            assert_eq!(float_weight(weight), Ok(expected));
        }
        for weight in [-5e-324, f64::INFINITY, f64::NAN] {
            assert_eq!(float_weight(weight), Err(Error::Weight));
        }
    }

    #[test]
    fn quotients_are_finite_or_an_error() {
        assert_eq!(quotient(3.0, 2.0, false), Ok(1.5));
        for total in [0.0, -0.0, -1.0] {
            assert_eq!(quotient(3.0, total, false), Err(Error::ZeroTotalWeight));
            assert_eq!(quotient(3.0, total, true), Ok(0.0));
        }
        for (sum, total) in
            [(f64::INFINITY, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY), (1.0, f64::NAN), (1e308, 1e-30)]
        {
            for no_nan_division in [false, true] {
                assert_eq!(quotient(sum, total, no_nan_division), Err(Error::NotFiniteSum));
            }
        }
    }
}
