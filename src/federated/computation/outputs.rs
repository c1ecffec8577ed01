//! Outputs of a computation.

use std::sync::Arc;

use super::{
    erased::{Erased, take},
    graph::Node,
    value::Value,
};
use crate::federated::{At, Clients, Placed, Server};

/// The outputs of a computation: a [`Value`] at the server or at the clients, or a tuple of up to
/// six outputs.
///
/// Sealed.
///
/// ```
/// use cipherfold::federated::{Clients, LocalExecutor, computation::{Computation, Inputs, Value, Outputs}};
/// use cipherfold::paillier::Bits2048;
///
/// /// Runs a computation without cryptography.
/// fn in_the_clear<O: Outputs>(outputs: O, inputs: Inputs<'_>) -> cipherfold::Result<O::Output> {
///     let executor = LocalExecutor::<Bits2048>::builder().in_the_clear().build()?;
///     Ok(executor.run(&Computation::new(outputs), inputs)?.value)
/// }
///
/// let counts = Value::<u32, Clients>::input("count");
/// let inputs = Inputs::new().clients(&counts, [1, 2, 4]);
/// assert_eq!(in_the_clear((counts.sum(), counts.secure_count()), inputs)?, (7_u64, 3));
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub trait Outputs: OutputNodes<Result = <Self as Outputs>::Output> {
    /// The type of the result.
    type Output;
}

impl<O: OutputNodes> Outputs for O {
    type Output = O::Result;
}

/// The nodes of outputs, and the result from the computed values.
pub trait OutputNodes {
    /// The type of the result.
    type Result;

    /// Adds the nodes of all values.
    fn nodes(&self, nodes: &mut Vec<Arc<Node>>);

    /// Makes the result from the computed values, in the order of the nodes.
    fn output(&self, found: &mut dyn Iterator<Item = Found>) -> Self::Result;
}

/// A computed output.
#[derive(Debug)]
pub enum Found {
    /// The value at the server.
    Server(Erased),
    /// One entry for every client that was asked, in order.
    Clients(Vec<Option<Erased>>),
}

impl<T: Clone + Send + Sync + 'static> OutputNodes for Value<T, Server> {
    type Result = T;

    fn nodes(&self, nodes: &mut Vec<Arc<Node>>) {
        nodes.push(Arc::clone(&self.node));
    }

    fn output(&self, found: &mut dyn Iterator<Item = Found>) -> T {
        match found.next() {
            Some(Found::Server(value)) => take(value),
            _ => unreachable!("each output has a value at its placement"),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> OutputNodes for Value<T, Clients> {
    type Result = Vec<Option<Placed<T, Clients>>>;

    fn nodes(&self, nodes: &mut Vec<Arc<Node>>) {
        nodes.push(Arc::clone(&self.node));
    }

    fn output(&self, found: &mut dyn Iterator<Item = Found>) -> Self::Result {
        match found.next() {
            Some(Found::Clients(values)) => {
                let place = |value| Placed::new(take(value), &At::new());
                values.into_iter().map(|value| value.map(place)).collect()
            }
            _ => unreachable!("each output has a value at its placement"),
        }
    }
}

macro_rules! tuples {
    ($($output:ident: $type:ident),+) => {
        impl<$($type: OutputNodes),+> OutputNodes for ($($type,)+) {
            type Result = ($($type::Result,)+);

            fn nodes(&self, nodes: &mut Vec<Arc<Node>>) {
                let ($($output,)+) = self;
                $($output.nodes(nodes);)+
            }

            fn output(&self, found: &mut dyn Iterator<Item = Found>) -> Self::Result {
                let ($($output,)+) = self;
                ($($output.output(found),)+)
            }
        }
    };
}

tuples!(a: A);
tuples!(a: A, b: B);
tuples!(a: A, b: B, c: C);
tuples!(a: A, b: B, c: C, d: D);
tuples!(a: A, b: B, c: C, d: D, e: E);
tuples!(a: A, b: B, c: C, d: D, e: E, f: F);
