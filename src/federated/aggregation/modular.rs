//! Sums modulo a number, and sums that wrap into a range.

use super::{Aggregation, Price, Step};
use crate::{
    federated::{
        Clients, Result, Server, Value,
        tensor::{Codec, Scalar, Tensors},
    },
    packing::{Integer, Modular},
    privacy::ModularRange,
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
    pub fn new(modulus: u64) -> Result<Self> {
        Ok(Self(Modular::new(modulus)?))
    }

    /// Results from −(`modulus` − 1) to `modulus` − 1. The internal modulus is 2·`modulus` − 1.
    ///
    /// # Errors
    ///
    /// [`packing::Error::Modulus`](crate::packing::Error::Modulus) unless the modulus is 1 to 2⁶³.
    pub fn symmetric(modulus: u64) -> Result<Self> {
        Ok(Self(Modular::symmetric(modulus)?))
    }
}

impl<T> Aggregation<T> for SecureModularSum
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

/// Wraps the clients' values into a range, sums them, and wraps the sum (TFF:
/// `ModularClippingSumFactory`).
///
/// The range includes its lower end and excludes its upper end. The inner aggregation sums values
/// as `i64`, and results are `i64`. These integers are wide enough for any number of clients. So
/// this aggregation also accepts ranges that TFF refuses because sums within them could overflow 32
/// bits.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{ModularClippingSum, Process, SecureSum}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut sum = Process::new(ModularClippingSum::new(-2, 2, SecureSum::integers(-2, 1)?)?);
/// assert_eq!(sum.run(&executor, [-3_i32, 3, 5])?.value, 1); // 1 − 1 + 1
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModularClippingSum<A> {
    range: ModularRange,
    /// Reduces values, in a time that does not depend on them.
    residues: Modular,
    inner: A,
}

impl<A> ModularClippingSum<A> {
    /// Wraps into `lower..upper`.
    ///
    /// # Errors
    ///
    /// [`privacy::Error::ModularRange`](crate::privacy::Error::ModularRange) if the range is empty,
    /// or wider than `i64::MAX`.
    pub fn new(lower: i64, upper: i64, inner: A) -> Result<Self> {
        let range = ModularRange::new(lower, upper)?;
        let residues = Modular::new(range.modulus().unsigned_abs())?;
        Ok(Self { range, residues, inner })
    }
}

impl<T, A> Aggregation<T> for ModularClippingSum<A>
where
    T: Tensors<Scalar: Integer> + 'static,
    A: Aggregation<T::With<i64>, Result: Tensors<Scalar: IntegerSum>>,
{
    type State = A::State;
    type Result = <A::Result as Tensors>::With<i64>;
    type Measurements = A::Measurements;

    fn initialize(&self) -> A::State {
        self.inner.initialize()
    }

    fn next(
        &self,
        state: &Value<A::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<A::State, Self::Result, A::Measurements> {
        let Self { range, residues, .. } = *self;
        let wrapped = values
            .map(move |values| values.map_tensors(|_, tensor| tensor.mapv(|x| wrap(range, residues, x))))
            .keeping_structure();
        let Step { state, result, measurements, price } =
            self.inner.next(state, &wrapped.named("modular clipping"));
        // Otherwise a value of zero is wrapped to another value.
        let keeps_zero = range.lower() <= 0 && 0 < range.upper();
        let price = if keeps_zero { price } else { Price::unknown().into() };
        let result = result.map(move |sums| {
            // A sum of wrapped numbers is far below the limits of 128 bits.
            sums.map_tensors(|_, tensor| tensor.mapv(|sum| wrap_wide(range, sum.to_i128())))
        });
        Step::new(state, result.named("modular clipping"), measurements).priced(price)
    }
}

/// Elements of the sums of integers: `i64`, `u64` and `i128`. Sealed.
pub trait IntegerSum: Scalar {
    #[doc(hidden)]
    fn to_i128(self) -> i128;
}

macro_rules! integer_sums {
    ($($integer:ty),*) => {$(
        impl IntegerSum for $integer {
            fn to_i128(self) -> i128 {
                self.into()
            }
        }
    )*};
}

integer_sums!(i64, u64, i128);

/// The number in the range that differs from a client's number by a multiple of the modulus.
fn wrap<T: Integer>(range: ModularRange, residues: Modular, value: T) -> i64 {
    let mut residue = [0];
    residues.encode(&[value], &mut residue);
    // Both residues are below the modulus, which is at most i64::MAX.
    let residue = residue[0].cast_signed();
    let mut distance = residue - range.lower().rem_euclid(range.modulus());
    distance += range.modulus() & (distance >> 63);
    range.lower() + distance
}

/// The same for a sum, which is public to the server.
fn wrap_wide(range: ModularRange, sum: i128) -> i64 {
    let (lower, modulus) = (i128::from(range.lower()), i128::from(range.modulus()));
    i64::try_from(lower + (sum - lower).rem_euclid(modulus)).expect("the result is within the range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways_of_wrapping_agree_with_the_range(x: i64, y: u64, lower: i64, width in 1..=i64::MAX) {
            let lower = lower.min(i64::MAX - width);
            let range = ModularRange::new(lower, lower + width).unwrap();
            let residues = Modular::new(width.unsigned_abs()).unwrap();
            prop_assert_eq!(wrap(range, residues, x), range.clip(x));
            prop_assert_eq!(wrap_wide(range, x.into()), range.clip(x));
            prop_assert_eq!(wrap(range, residues, y), wrap_wide(range, y.into()));
        }
    }
}
