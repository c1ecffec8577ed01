//! The neighbour relation of an account.

use serde::{Deserialize, Serialize};

/// The neighbour relation: the pairs of data sets that an ε compares.
///
/// Participation is public in this library: the server and the aggregator always learn which
/// clients take part in a round. So both relations compare two rounds with the same participants.
/// The rounds differ in one client's value.
///
/// | | change of the sum of vectors clipped to a norm c | change of a count of yes-or-no answers |
/// | :-- | :-- | :-- |
/// | [`ZeroedOut`](Self::ZeroedOut) | c | 1 |
/// | [`Replaced`](Self::Replaced) | 2c | 1 |
///
/// There is no relation that adds or removes a client, which would protect participation itself,
/// because messages and reports show which clients take part.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{CentralDpSum, Fixed, Neighbours, Process}};
/// use cipherfold::paillier::Bits2048;
/// use ndarray::array;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut epsilons = Vec::new();
/// for neighbours in [Neighbours::ZeroedOut, Neighbours::Replaced] {
///     let sum = CentralDpSum::new(Fixed::new(1.0)?, 4.0)?;
///     let mut process = Process::new(sum).like(&array![0.0, 0.0])?.neighbours(neighbours)?;
///     let _ = process.run(&executor, [array![0.5_f32, 0.5], array![3.0, 4.0]])?;
///     epsilons.push(process.epsilon(1e-5)?);
/// }
/// assert!(epsilons[1] > 2.0 * epsilons[0]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Neighbours {
    /// One participant's value (and weight) is replaced by zero. Its answer to a yes-or-no question
    /// may change.
    #[default]
    ZeroedOut,
    /// One participant's value (and weight) is replaced by any other.
    Replaced,
}
