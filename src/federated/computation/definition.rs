//! A computation: the requested values, with all that they depend on.

use core::fmt;

use super::{
    graph::{self, Graph},
    leak::Leak,
    outputs::Outputs,
    value::Value,
};
#[cfg(doc)]
use super::{inputs::Inputs, leak::LeakKind};
#[cfg(doc)]
use crate::federated::Placed;
use crate::federated::{
    Placement,
    computation::error::{Error, Result},
};

/// The requested values, with all that they depend on.
///
/// Outputs are a [`Value`], or a tuple of up to six outputs. A value at the server is returned
/// unchanged.
///
/// # Outputs at the clients
///
/// A value at the clients is returned as one entry for every client that was asked, in their order.
/// An entry is `None`, or `Some` with a [`Placed`] value, which only
/// [`LocalExecutor::run_at`](crate::federated::LocalExecutor::run_at) can read. An entry is `Some`
/// if the client took part in the round that computes the value. This holds for every kind of
/// value, constants too.
///
/// In a computation with several rounds, the first round that reads a value computes it; `Display`
/// shows this round. A client that is absent in a later round keeps its entry, because its part of
/// the earlier round counts.
///
/// Such outputs can be [inputs](Inputs::clients) of the next run: client `i` gets entry `i`. So
/// each client keeps its own state, even where other clients drop out:
///
/// ```
/// use cipherfold::federated::{Clients, LocalExecutor, computation::{Computation, Inputs, Value}};
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
/// use cipherfold::federated::{Clients, Server, computation::{Computation, Value}};
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
    pub(super) outputs: O,
    pub(super) graph: Graph,
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
    pub(in crate::federated) fn has<T, P: Placement>(&self, value: &Value<T, P>) -> bool {
        self.graph.find(&value.node).is_some()
    }

    /// Every operation that shows the server more of the clients' data than a sum over many
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
    /// more precise than TFF's `computation_contains_unsecure_aggregation`, which only states
    /// whether any operation is in the clear.
    ///
    /// **The check cannot see into closures.** A closure can write its argument to a file or a
    /// shared variable, or recognise a client by its data. The check also does not know how many
    /// clients will take part: an executor that is
    /// [`secure_only`](crate::federated::LocalExecutorBuilder::secure_only) has at least two.
    pub fn leaks(&self) -> Vec<Leak> {
        graph::leaks(&self.graph)
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
        graph::write(&self.graph, f)
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
