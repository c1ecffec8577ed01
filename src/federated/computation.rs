//! Computations: graphs of operations on placed values, checked before they run.
//!
//! A [`Computation`] names the requested [`Value`]s; everything that these depend on is part of it.
//! It can be printed. Its [leaks](Computation::leaks) are operations that show the server clients'
//! data in another form than a sum over many clients. [`LocalExecutor::run`] evaluates it.
//!
//! # Rounds
//!
//! Operations that take values from the clients to the server, secure or not, run in rounds over
//! the clients. One round runs all of them whose inputs at the server are known. In a round, every
//! client computes its messages once, sends them, and drops its values. So memory holds only the
//! clients that work at the same time. Values that a later round needs are kept for every client
//! until then, because a closure runs only once for each client.
//!
//! A client without an input (it dropped out) takes no part in a round that needs this input. It
//! can take part in another round of the same run that needs none of its missing inputs.
//!
//! [`LocalExecutor::run`]: super::LocalExecutor::run

mod aggregate;
mod client;
mod context;
mod declare;
mod display;
mod erased;
mod evaluate;
mod graph;
mod inputs;
mod leak;
mod node;
mod secure;
mod value;
mod wire;

pub(super) use self::evaluate::ServerView;
pub use self::{
    context::Context,
    inputs::Inputs,
    leak::{Leak, LeakKind},
    value::{Numeric, Transferable, Value, ValuePlacement},
};

use core::fmt;
use std::sync::Arc;

use self::{
    erased::{Erased, take},
    graph::Graph,
    node::Node,
};
use super::{At, Clients, Placed, Placement, Server};
use crate::federated::{Error, Result};

/// The requested values, with all that they depend on.
///
/// Outputs are a [`Value`], or a tuple of up to six outputs. A value at the server comes back as it
/// is.
///
/// # Outputs at the clients
///
/// A value at the clients comes back as one entry for every client that was asked, in their order.
/// An entry is `None`, or `Some` with a [`Placed`] value, which only
/// [`LocalExecutor::run_at`](super::LocalExecutor::run_at) can read. An entry is `Some` if the
/// client took part in the round that computes the value. This holds for every kind of value,
/// constants too.
///
/// In a computation with several rounds, the first round that reads a value computes it; `Display`
/// shows this round. A client that is absent in a later round keeps its entry, because its part of
/// the earlier round counts.
///
/// Such outputs can be [inputs](Inputs::clients) of the next run: client `i` gets entry `i`. So
/// each client keeps its own state, even where other clients drop out:
///
/// ```
/// use cipherfold::federated::{Clients, Computation, Inputs, LocalExecutor, Value};
/// use cipherfold::paillier::Bits2048;
///
/// // Each client counts the rounds in which it took part.
/// let present = Value::<(), Clients>::input("present");
/// let before = Value::<u32, Clients>::input("rounds before");
/// let rounds = before.zip(&present).map(|(before, ())| before + 1);
/// let computation = Computation::new(rounds);
///
/// let executor = LocalExecutor::<Bits2048>::builder().min_clients(2).build()?;
/// let inputs = Inputs::new().clients(&present, [(); 3]).clients(&before, [0; 3]);
/// let first = executor.run(&computation, inputs)?.value;
/// // The second client drops out. It has no new state, and its caller keeps the old one for it.
/// let inputs = Inputs::new().clients(&present, [Some(()), None, Some(())]).clients(&before, first.clone());
/// let second = executor.run(&computation, inputs)?.value;
/// assert!(second[1].is_none());
/// let state = second.into_iter().zip(first).map(|(new, old)| new.or(old));
///
/// let inputs = Inputs::new().clients(&present, [(); 3]).clients(&before, state);
/// let third = executor.run(&computation, inputs)?.value;
/// let counts: Vec<u32> = executor.run_at(|here| third.iter().flatten().map(|count| *count.get(here)).collect());
/// assert_eq!(counts, [3, 2, 3]);
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// # Printing
///
/// `Display` lists the operations by round:
///
/// ```
/// use cipherfold::federated::{Clients, Computation, Server, Value};
///
/// let counts = Value::<u64, Clients>::input("count");
/// let limit = Value::<u64, Server>::input("limit");
/// let small = counts.zip(&limit.broadcast()).map(|(count, limit)| count <= limit).named("small");
/// let computation = Computation::new(small.collect());
/// assert_eq!(
///     computation.to_string(),
///     "\
/// server   v1 = input `limit`: u64
/// round 1
/// clients  v0 = input `count`: u64
/// clients  v2 = broadcast(v1): u64
/// clients  v3 = zip(v0, v2): (u64, u64)
/// clients  v4 = map `small`(v3): bool
/// server   v5 = collect(v4): Vec<bool>
/// outputs  v5
/// "
/// );
/// assert_eq!(computation.leaks()[0].to_string(), "collect shows the server: input `count` → zip → map `small` → collect");
/// ```
#[must_use = "a computation does nothing until it runs"]
pub struct Computation<O: Outputs> {
    outputs: O,
    graph: Graph,
}

impl<O: Outputs> Computation<O> {
    /// A computation with these outputs.
    pub fn new(outputs: O) -> Self {
        let mut nodes = Vec::new();
        outputs.nodes(&mut nodes);
        Self { outputs, graph: Graph::new(&nodes) }
    }

    /// The number of rounds over the clients: 0 if all values are at the server.
    pub fn rounds(&self) -> usize {
        self.graph.rounds
    }

    /// Whether a value is part of this computation.
    pub(super) fn has<T, P: Placement>(&self, value: &Value<T, P>) -> bool {
        self.graph.find(&value.node).is_some()
    }

    /// Every operation that shows the server clients' data in another form than a sum over many
    /// clients.
    ///
    /// There are three [kinds](LeakKind): values that leave the clients in the clear, secure
    /// operations whose structure is not [declared](Value::declare), and secure operations over the
    /// result of a closure that sees the client's number.
    ///
    /// Clients' data are the inputs at the clients, the results of [`eval`](Value::eval),
    /// [`draw`](Value::draw), [`map_with`](Value::map_with) and [`map_drawing`](Value::map_drawing)
    /// at the clients, and everything computed from these. A constant or a broadcast value is the
    /// same for all clients and known to the server, so its return reveals nothing. This check is
    /// more precise than TFF's `computation_contains_unsecure_aggregation`, which only tells
    /// whether any operation is in the clear.
    ///
    /// **The check cannot see into closures.** A closure can write its argument to a file or a
    /// shared variable, or recognise a client by its data. The check also does not know how many
    /// clients will take part: an executor that is
    /// [`secure_only`](super::LocalExecutorBuilder::secure_only) has at least two.
    pub fn leaks(&self) -> Vec<Leak> {
        leak::leaks(&self.graph)
    }

    /// This computation, if it has no leaks.
    ///
    /// # Errors
    ///
    /// [`Error::Leaks`] with all of them.
    pub fn secure_only(self) -> Result<Self> {
        let leaks = self.leaks();
        if leaks.is_empty() { Ok(self) } else { Err(Error::Leaks { leaks }) }
    }
}

impl<O: Outputs> fmt::Display for Computation<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display::write(&self.graph, f)
    }
}

impl<O: Outputs> fmt::Debug for Computation<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computation")
            .field("operations", &self.graph.nodes.len())
            .field("rounds", &self.graph.rounds)
            .finish_non_exhaustive()
    }
}

mod sealed {
    pub trait Sealed {}
}

/// The outputs of a computation: a [`Value`] at the server or at the clients, or a tuple of up to
/// six outputs.
///
/// Sealed.
pub trait Outputs: sealed::Sealed {
    /// The type of the result.
    type Output;

    #[doc(hidden)]
    fn nodes(&self, nodes: &mut Vec<Arc<Node>>);

    #[doc(hidden)]
    fn output(&self, found: &mut dyn Iterator<Item = Found>) -> Self::Output;
}

/// A computed output.
#[doc(hidden)]
#[derive(Debug)]
pub enum Found {
    Server(Erased),
    /// One entry for every client that was asked, in order.
    Clients(Vec<Option<Erased>>),
}

impl<T: Clone + Send + Sync + 'static> sealed::Sealed for Value<T, Server> {}

impl<T: Clone + Send + Sync + 'static> Outputs for Value<T, Server> {
    type Output = T;

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

impl<T: Clone + Send + Sync + 'static> sealed::Sealed for Value<T, Clients> {}

impl<T: Clone + Send + Sync + 'static> Outputs for Value<T, Clients> {
    type Output = Vec<Option<Placed<T, Clients>>>;

    fn nodes(&self, nodes: &mut Vec<Arc<Node>>) {
        nodes.push(Arc::clone(&self.node));
    }

    fn output(&self, found: &mut dyn Iterator<Item = Found>) -> Self::Output {
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
        impl<$($type: Outputs),+> sealed::Sealed for ($($type,)+) {}

        impl<$($type: Outputs),+> Outputs for ($($type,)+) {
            type Output = ($($type::Output,)+);

            fn nodes(&self, nodes: &mut Vec<Arc<Node>>) {
                let ($($output,)+) = self;
                $($output.nodes(nodes);)+
            }

            fn output(&self, found: &mut dyn Iterator<Item = Found>) -> Self::Output {
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
