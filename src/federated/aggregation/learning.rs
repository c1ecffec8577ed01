//! The composition that TensorFlow Federated recommends for learning.

use super::{
    estimation::Fixed,
    floats::NormOrder,
    limits::{Clipping, Zeroing},
    means::{Mean, MeanSums},
    quantile::Quantile,
    sums::{Bounds, SecureClippingSum, SymmetricBounds},
};
use crate::{
    federated::Result,
    privacy::{AffineMap, QuantileEstimator, QuantileParameters},
};

/// A [secure aggregator](secure_aggregator) of model updates.
pub type SecureAggregator = Zeroing<
    Quantile,
    Clipping<
        Quantile,
        Mean<SecureClippingSum<SymmetricBounds<Quantile>>, SecureClippingSum<Bounds<Fixed, Fixed>>>,
    >,
>;

/// A robust and secure weighted mean of model updates, with the constants of
/// `tff.learning.secure_aggregator`:
///
/// 1. An update is zeroed if its maximum element exceeds twice the 98th percentile (of the clients'
///    maximum elements) plus one. The estimate starts at 10, with a learning rate of ln 10.
/// 2. An update is clipped if its norm exceeds the 80th percentile. The estimate starts at 1, with
///    a rate of 0.2.
/// 3. Weighted updates are securely summed between bounds of twice the 95th percentile of their
///    maximum elements. The estimate starts at 50, with a rate of 1. Weights are securely summed
///    between 0 and 2²⁰ − 1.
///
/// The server learns everything by secure sums, counts included. Each number of a weighted update
/// has 32 bits, as in TFF; [`secure_aggregator_with_bits`] makes smaller messages.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{WeightedProcess, secure_aggregator}};
/// use cipherfold::paillier::Bits2048;
/// use ndarray::array;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut process = WeightedProcess::new(secure_aggregator()).like(&array![0.0, 0.0])?.secure_only()?;
/// let updates = [array![0.5_f32, 0.0], array![0.0, 0.5], array![300.0, 0.0]];
/// let round = process.run(&executor, updates, [10.0, 30.0, 10.0])?;
/// assert!((round.value - array![0.1, 0.3]).iter().all(|error| error.abs() < 1e-4));
/// assert_eq!(round.measurements.zeroed_count, 1);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub fn secure_aggregator() -> SecureAggregator {
    compose(Ok).expect("the constants are valid")
}

/// The same with a stated number of bits for every number of a weighted update
/// ([`SecureClippingSum::with_bits`]). Weights keep their 32 bits, because each client has only
/// one.
///
/// # Errors
///
/// [`packing::Error::QuantizerBits`](crate::packing::Error::QuantizerBits) unless there are 2 to 48
/// bits.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{WeightedProcess, secure_aggregator_with_bits}};
/// use cipherfold::paillier::Bits2048;
/// use ndarray::array;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut process = WeightedProcess::new(secure_aggregator_with_bits(20)?).like(&array![0.0, 0.0])?;
/// let updates = [array![0.5_f32, 0.0], array![0.0, 0.5], array![300.0, 0.0]];
/// let round = process.run(&executor, updates, [10.0, 30.0, 10.0])?;
/// assert!((round.value - array![0.1, 0.3]).iter().all(|error| error.abs() < 1e-4));
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub fn secure_aggregator_with_bits(bits: u32) -> Result<SecureAggregator> {
    compose(|values| Ok(values.with_bits(bits)?))
}

type Values = SecureClippingSum<SymmetricBounds<Quantile>>;

/// The composition. The function may change TFF's sum of values.
fn compose(values_sum: impl FnOnce(Values) -> Result<Values>) -> Result<SecureAggregator> {
    let zeroing = QuantileEstimator::geometric(QuantileParameters {
        initial: 10.0,
        target: 0.98,
        learning_rate: 10.0_f64.ln(),
    })?
    .reporting(AffineMap { multiplier: 2.0, increment: 1.0 })?;
    let clipping =
        QuantileEstimator::geometric(QuantileParameters { initial: 1.0, target: 0.8, learning_rate: 0.2 })?;
    let values =
        QuantileEstimator::geometric(QuantileParameters { initial: 50.0, target: 0.95, learning_rate: 1.0 })?
            .reporting(AffineMap { multiplier: 2.0, increment: 0.0 })?;
    let weights = f64::from((1 << 20) - 1);
    let mean = Mean::new(MeanSums {
        values: values_sum(SecureClippingSum::adaptive(Quantile::new(values)))?,
        weights: SecureClippingSum::floats(0.0, weights)?,
    });
    Ok(Zeroing::new(Quantile::new(zeroing), NormOrder::LInf, Clipping::new(Quantile::new(clipping), mean)))
}
