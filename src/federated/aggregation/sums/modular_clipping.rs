//! Sums that wrap into a range.

use crate::{
    federated::{
        Clients, Result, Server,
        aggregation::{
            factory::{AggregationFactory, Step},
            privacy_cost::PrivacyCost,
        },
        computation::Value,
        tensor::Tensors,
    },
    packing::{Integer, Modular},
    privacy::ModularRange,
};

/// Wraps the clients' values into a range, sums them, and wraps the sum (TFF:
/// `ModularClippingSumFactory`).
///
/// The range includes its lower end and excludes its upper end. The inner aggregation sums values
/// as `i64`, and results are `i64`. These integers are wide enough for any number of clients. So
/// this aggregation also accepts ranges that TFF refuses because sums within them could overflow 32
/// bits.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{ModularClippingSum, Process, SecureClippingSum}};
/// use cipherfold::paillier::Bits2048;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut sum = Process::new(ModularClippingSum::new(-2, 2, SecureClippingSum::integers(-2, 1)?)?);
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

impl<T, A> AggregationFactory<T> for ModularClippingSum<A>
where
    T: Tensors<Scalar: Integer> + 'static,
    A: AggregationFactory<T::With<i64>, Result: Tensors<Scalar: Into<i128>>>,
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
        let Step { state, result, measurements, cost } =
            self.inner.next(state, &wrapped.named("modular clipping"));
        // Otherwise a value of zero is wrapped to another value.
        let keeps_zero = range.lower() <= 0 && 0 < range.upper();
        let cost = if keeps_zero { cost } else { PrivacyCost::unknown().into() };
        let result = result.map(move |sums| {
            // A sum of wrapped numbers is far below the limits of 128 bits.
            sums.map_tensors(|_, tensor| tensor.mapv(|sum| wrap_wide(range, sum.into())))
        });
        Step::new(state, result.named("modular clipping"), measurements).with_cost(cost)
    }
}

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
