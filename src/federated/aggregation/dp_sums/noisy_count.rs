//! A count of clients that is released with noise.

use crate::{
    federated::{
        Clients, Result, Server,
        aggregation::{
            factory::{AggregationFactory, Step},
            privacy_cost::PrivacyCost,
            sums::counts,
        },
        computation::Value,
    },
    privacy::{self, CountNoise},
};

/// A secure count of clients to which the server adds Gaussian noise, so that the
/// count has a finite cost.
///
/// Use it for the numbers of clipped and of zeroed clients that
/// [`Clipping`](crate::federated::aggregation::Clipping) and
/// [`Zeroing`](crate::federated::aggregation::Zeroing) measure, because exact numbers have an
/// infinite cost. The noisy number is rounded, and a negative number becomes zero.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{CentralDpSum, Clipping, Fixed, NoisyCount, Process}};
/// use cipherfold::paillier::Bits2048;
/// use ndarray::array;
///
/// let sum = CentralDpSum::new(Fixed::new(1.0)?, 1.0)?;
/// let clipping = Clipping::new(Fixed::new(1.0)?, sum).counted_by(NoisyCount::new(5.0)?);
/// let mut process = Process::new(clipping).like(&array![0.0, 0.0])?.secure_only()?;
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let round = process.run(&executor, [array![0.5_f32, 0.5], array![3.0, 4.0]])?;
/// assert!(round.measurements.clipped_count < 30); // 1, and noise
/// assert!(process.epsilon(1e-5)? < 6.0);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoisyCount(CountNoise);

impl NoisyCount {
    /// A count with noise of this standard deviation, in clients.
    ///
    /// # Errors
    ///
    /// [`privacy::Error::Parameter`](crate::privacy::Error::Parameter) unless `stddev` is zero, or
    /// from 2⁻⁷ to 2²³.
    pub fn new(stddev: f64) -> Result<Self, privacy::Error> {
        Ok(Self(CountNoise::new(stddev)?))
    }
}

impl AggregationFactory<u32> for NoisyCount {
    type State = ();
    type Result = u64;
    type Measurements = ();

    fn initialize(&self) {}

    fn next(&self, state: &Value<(), Server>, values: &Value<u32, Clients>) -> Step<(), u64, ()> {
        let noise = self.0;
        let exact = counts().next(state, values).result;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0, below 2^53")]
        let result = exact.drawing("noise", move |count, rng| {
            let count = u32::try_from(*count).expect("clients are numbered by 32 bits");
            Ok(noise.count_vartime(count, rng)?.round().max(0.0) as u64)
        });
        let cost = PrivacyCost::count(noise.stddev()).expect("the deviation was checked");
        Step::new(state.clone(), result, Value::constant(())).with_cost(cost)
    }
}
