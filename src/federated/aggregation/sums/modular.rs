//! Secure sums modulo a number.

use crate::{
    federated::{
        Clients, Result, Server,
        aggregation::factory::{AggregationFactory, Step},
        computation::Value,
        tensor::{Codec, Tensors},
    },
    packing::{self, Integer, Modular},
};

/// The sum modulo a number (TFF: `SecureModularSumFactory`). Results are `i64`.
///
/// The server sees the sum of the clients' residues before it reduces this sum; see [`Modular`].
///
/// ```
/// use cipherfold::{federated::{LocalExecutor, aggregation::{Process, SecureModularSum}}, paillier::Bits2048};
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut sum = Process::new(SecureModularSum::symmetric(8)?);
/// assert_eq!(sum.run(&executor, [1_i32, 2, 3, 4])?.value, -5); // modulo 15
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecureModularSum(Modular);

impl SecureModularSum {
    /// Results from 0 to `modulus` − 1.
    ///
    /// # Errors
    ///
    /// [`packing::Error::Modulus`](crate::packing::Error::Modulus) unless the modulus is 1 to 2⁶³.
    pub fn new(modulus: u64) -> Result<Self, packing::Error> {
        Ok(Self(Modular::new(modulus)?))
    }

    /// Results from −(`modulus` − 1) to `modulus` − 1. The internal modulus is 2·`modulus` − 1.
    ///
    /// # Errors
    ///
    /// [`packing::Error::Modulus`](crate::packing::Error::Modulus) unless the modulus is 1 to 2⁶³.
    pub fn symmetric(modulus: u64) -> Result<Self, packing::Error> {
        Ok(Self(Modular::symmetric(modulus)?))
    }
}

impl<T> AggregationFactory<T> for SecureModularSum
where
    T: Tensors<Scalar: Integer> + 'static,
    Modular: Codec<T::Scalar, Output = i64>,
{
    type State = ();
    type Result = T::With<i64>;
    type Measurements = ();

    fn initialize(&self) {}

    fn next(&self, state: &Value<(), Server>, values: &Value<T, Clients>) -> Step<(), Self::Result, ()> {
        let result = values.secure_modular_sum(self.0);
        Step::new(state.clone(), result, Value::constant(()))
    }
}
