//! The sum in the clear.

use super::{Aggregation, Step};
use crate::federated::{Clients, Numeric, Portable, Server, Value, tensor::Tensors};

/// The sum in the clear: **the server sees every client's value** (TFF's `SumFactory`).
///
/// Use it for tests and for public values.
/// [`Computation::leaks`](crate::federated::Computation::leaks) lists it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum;

impl<T: Tensors<Scalar: Numeric> + Portable> Aggregation<T> for Sum {
    type State = ();
    type Result = T::With<<T::Scalar as Numeric>::Sum>;
    type Measurements = ();

    fn initialize(&self) {}

    fn next(&self, state: &Value<(), Server>, values: &Value<T, Clients>) -> Step<(), Self::Result, ()> {
        Step::new(state.clone(), values.sum(), Value::constant(()))
    }
}
