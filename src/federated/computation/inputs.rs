//! Binding of values to the inputs of a computation.

use core::fmt;
use std::sync::Arc;

use super::{
    erased::Erased,
    graph::{Graph, Node, Operation},
};
use crate::federated::{
    Clients, Error, IntoInput, PlacementKind, Result, Server,
    computation::{self, Value},
};

/// Values for the inputs of a computation.
///
/// ```
/// use cipherfold::federated::{Clients, Server, computation::{Inputs, Value}};
///
/// let counts = Value::<u64, Clients>::input("count");
/// let limit = Value::<u64, Server>::input("limit");
/// // The second client is absent.
/// let inputs = Inputs::new().clients(&counts, [Some(3), None, Some(5)]).server(&limit, 4);
/// ```
#[derive(Default)]
#[must_use = "inputs do nothing until a computation runs with them"]
pub struct Inputs<'a> {
    server: Vec<(Arc<Node>, Erased)>,
    clients: Vec<(Arc<Node>, Items<'a>)>,
}

/// One client's item: `None` if the client is absent, an error if it could not make one.
pub(super) type Item = Result<Option<Erased>, String>;

/// One input's items.
pub(super) type Items<'a> = Box<dyn Iterator<Item = Item> + Send + 'a>;

impl<'a> Inputs<'a> {
    /// No inputs bound yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds an input at the clients: one [item](IntoInput) for each client, in their order.
    /// Outputs at the clients of an earlier run are such items.
    ///
    /// Items are taken one at a time as clients begin to work, so a lazy iterator keeps only few of
    /// them in memory. The number of clients is the length of the iterator, if it knows its length.
    /// Otherwise another input or the executor must state the number.
    pub fn clients<T, I>(mut self, input: &Value<T, Clients>, items: I) -> Self
    where
        T: Send + Sync + 'static,
        I: IntoIterator<Item: IntoInput<T>, IntoIter: Send + 'a>,
    {
        let erased = items.into_iter().map(|item| {
            let item = item.into_input()?;
            Ok(item.map(|item| -> Erased { Arc::new(item) }))
        });
        self.clients.push((Arc::clone(input.node.undeclared()), Box::new(erased)));
        self
    }

    /// Binds an input at the server.
    pub fn server<T: Send + Sync + 'static>(mut self, input: &Value<T, Server>, value: T) -> Self {
        self.server.push((Arc::clone(&input.node), Arc::new(value)));
        self
    }

    /// Assigns the inputs to the nodes of a computation's graph. Each of its inputs must be bound
    /// exactly once, and no others.
    pub(super) fn bind(self, graph: &Graph) -> Result<Bound<'a>, computation::Error> {
        let mut server: Vec<Option<Erased>> = graph.nodes.iter().map(|_| None).collect();
        let mut clients: Vec<Option<Items<'a>>> = graph.nodes.iter().map(|_| None).collect();
        for (node, value) in self.server {
            put(&mut server, graph, &node, value)?;
        }
        for (node, items) in self.clients {
            put(&mut clients, graph, &node, items)?;
        }
        for (i, node) in graph.nodes.iter().enumerate() {
            if let Operation::Input { name } = node.operation
                && server[i].is_none()
                && clients[i].is_none()
            {
                return Err(computation::Error::MissingInput { name, placement: node.placement });
            }
        }
        Ok(Bound { server, clients })
    }
}

/// Stores the value bound to an input at its node's number.
fn put<T>(
    bound: &mut [Option<T>],
    graph: &Graph,
    node: &Arc<Node>,
    value: T,
) -> Result<(), computation::Error> {
    let Operation::Input { name } = node.operation else {
        return Err(computation::Error::NotAnInput { value: node.describe() });
    };
    let number = graph.find(node).ok_or(computation::Error::ForeignInput { name })?;
    if bound[number].replace(value).is_some() {
        return Err(computation::Error::RepeatedInput { name });
    }
    Ok(())
}

impl fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |placement: PlacementKind, nodes: Vec<&Arc<Node>>| -> Vec<String> {
            nodes.into_iter().map(|node| format!("{} at {placement}", node.describe())).collect()
        };
        f.debug_set()
            .entries(names(PlacementKind::Clients, self.clients.iter().map(|(node, _)| node).collect()))
            .entries(names(PlacementKind::Server, self.server.iter().map(|(node, _)| node).collect()))
            .finish()
    }
}

/// Inputs by the numbers of their nodes.
pub(super) struct Bound<'a> {
    pub(super) server: Vec<Option<Erased>>,
    pub(super) clients: Vec<Option<Items<'a>>>,
}

/// The number of clients: the stated one, or that of the iterators that know it. All must be equal.
pub(super) fn client_count(graph: &Graph, clients: &[Option<Items<'_>>], stated: Option<u32>) -> Result<u32> {
    let stated = stated.map(u64::from);
    let mut known: Option<(&'static str, u64)> = None;
    for (node, items) in graph.nodes.iter().zip(clients) {
        let Operation::Input { name } = node.operation else { continue };
        let Some(found) = items.as_ref().and_then(length) else { continue };
        if let Some(stated) = stated
            && stated != found
        {
            return Err(Error::ClientCount { stated, found });
        }
        let (first, clients) = *known.get_or_insert((name, found));
        if clients != found {
            let (name, other, other_clients) = (first, name, found);
            return Err(computation::Error::ConflictingInputs { name, clients, other, other_clients }.into());
        }
    }
    let count = stated.or(known.map(|(_, count)| count)).ok_or(Error::UnknownClientCount)?;
    match u32::try_from(count) {
        Ok(0) => Err(Error::NoClients),
        Ok(count) => Ok(count),
        Err(_) => Err(Error::ClientCount { stated: u32::MAX.into(), found: count }),
    }
}

/// The iterator's length, if it knows it.
fn length(items: &Items<'_>) -> Option<u64> {
    let (min, max) = items.size_hint();
    max.filter(|max| *max == min).map(|count| count as u64)
}
