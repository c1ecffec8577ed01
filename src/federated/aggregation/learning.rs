//! The composition that TensorFlow Federated recommends for learning.

use super::{Between, Clipping, Fixed, Mean, Norm, Quantile, SecureSum, Symmetric, Zeroing};
use crate::{Result, privacy::QuantileEstimator};

/// A [secure aggregator](secure_aggregator) of model updates.
pub type SecureAggregator = Zeroing<
    Quantile,
    Clipping<Quantile, Mean<SecureSum<Symmetric<Quantile>>, SecureSum<Between<Fixed, Fixed>>>>,
>;

/// A robust and secure weighted mean of model updates, with the constants of `tff.learning.secure_aggregator`:
///
/// 1. updates with an element of more than twice the 98th percentile (of the clients' largest elements) and one more are
///    zeroed; the estimate starts at 10, with a learning rate of ln 10;
/// 2. updates longer than the 80th percentile are clipped; it starts at 1, with a rate of 0.2;
/// 3. weighted updates are securely summed between bounds of twice the 95th percentile of their largest elements, which
///    starts at 50, with a rate of 1; weights are securely summed between 0 and 2²⁰ − 1.
///
/// Whatever the server learns, it learns by secure sums, counts included.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{WeightedProcess, secure_aggregator}};
/// use cipherfold::paillier::Bits2048;
/// use ndarray::array;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut process = WeightedProcess::new(secure_aggregator()).secure_only()?;
/// let updates = [array![0.5_f32, 0.0], array![0.0, 0.5], array![300.0, 0.0]];
/// let round = process.run(&executor, updates, [10.0, 30.0, 10.0])?;
/// assert!((round.result - array![0.1, 0.3]).iter().all(|error| error.abs() < 1e-4));
/// assert_eq!(round.measurements.zeroed_count, 1);
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub fn secure_aggregator() -> SecureAggregator {
    compose().expect("constants that are what they must be")
}

fn compose() -> Result<SecureAggregator> {
    let zeroing = QuantileEstimator::geometric(10.0, 0.98, 10.0_f64.ln())?.reporting(2.0, 1.0)?;
    let clipping = QuantileEstimator::geometric(1.0, 0.8, 0.2)?;
    let values = QuantileEstimator::geometric(50.0, 0.95, 1.0)?.reporting(2.0, 0.0)?;
    let weights = f64::from((1 << 20) - 1);
    let mean = Mean::new(SecureSum::adaptive(Quantile::new(values)), SecureSum::floats(0.0, weights)?);
    Ok(Zeroing::new(Quantile::new(zeroing), Norm::LInf, Clipping::new(Quantile::new(clipping), mean)))
}
