//! The sum in the clear.

use crate::federated::{
    Clients, Server,
    aggregation::factory::{AggregationFactory, Step},
    computation::{Numeric, Transferable, Value},
    tensor::Tensors,
};

/// The sum in the clear: **the server sees every client's value** (TFF's `SumFactory`).
///
/// Use it for tests and for public values.
/// [`Computation::leaks`](crate::federated::computation::Computation::leaks) lists it.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{Process, Sum}};
/// use cipherfold::paillier::Bits2048;
///
/// let mut process = Process::new(Sum);
/// assert_eq!(process.leaks()[0].to_string(), "sum shows the server: input `values` → sum");
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// assert_eq!(process.run(&executor, [1_u8, 2, 3])?.value, 6);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum;

impl<T: Tensors<Scalar: Numeric> + Transferable> AggregationFactory<T> for Sum {
    type State = ();
    type Result = T::With<<T::Scalar as Numeric>::Sum>;
    type Measurements = ();

    fn initialize(&self) {}

    fn next(&self, state: &Value<(), Server>, values: &Value<T, Clients>) -> Step<(), Self::Result, ()> {
        Step::new(state.clone(), values.sum(), Value::constant(()))
    }
}
