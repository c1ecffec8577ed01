//! The static check for data that leave the clients in another form than a sum over many.

use core::fmt;

use super::{
    graph::Graph,
    node::{Node, Operation, Uses},
};
use crate::federated::PlacementKind;

/// An operation that shows the server clients' data in another form than a sum over many clients.
///
/// Operations are named with their labels ([`Value::named`](crate::federated::Value::named)), if
/// any.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// The kind of the leak.
    pub kind: LeakKind,
    /// The operation: ``collect `losses` ``.
    pub operation: String,
    /// One path from clients' data to the operation, which comes last.
    pub path: Vec<String>,
    /// All clients' data on which the operation depends: inputs, and the results of closures.
    pub sources: Vec<String>,
}

/// How an operation shows clients' data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeakKind {
    /// Values leave the clients in the clear: `collect`, `sum`, or the keys of a `select`.
    InTheClear,
    /// A secure operation whose structure is not [declared](crate::federated::Value::declare). The
    /// server then learns the structure from a client. It may show private data, such as words of a
    /// text as names, or a secret number as a length.
    ///
    /// A `Structure` whose members are themselves lists of any length is also such a leak, declared
    /// or not. Examples are `Structure<Structure<T>>`, or `Structure<Vec<T>>` of arrays. The
    /// declaration does not tell where the members begin, so a client decides it.
    UndeclaredStructure,
    /// A secure operation over the result of a closure that sees the client's number:
    /// [`eval`](crate::federated::Value::eval) or [`map_with`](crate::federated::Value::map_with).
    /// Such a closure can return zeros for all clients but one.
    ClientNumber,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shows = match self.kind {
            LeakKind::InTheClear => "shows the server",
            LeakKind::UndeclaredStructure => "takes its structure from a client",
            LeakKind::ClientNumber => "depends on the clients' numbers",
        };
        write!(f, "{} {shows}: {}", self.operation, self.path.join(" → "))
    }
}

/// All leaks, in the order in which their operations were made.
pub(super) fn leaks(graph: &Graph) -> Vec<Leak> {
    let data = Dependence::new(graph, is_source);
    let numbers = Dependence::new(graph, sees_number);
    let mut leaks = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        match &node.operation {
            Operation::Plain(_) | Operation::Select(_) if data.reaches(i) => {
                leaks.push(data.leak(LeakKind::InTheClear, i));
            }
            Operation::Secure(secure) => {
                let values = graph.inputs[i][0];
                let is_declared = secure.fixed_structure().is_some() || graph.declaring(values).is_some();
                if !(is_declared && secure.nests_in_one_way()) && data.depends[values] {
                    leaks.push(data.leak(LeakKind::UndeclaredStructure, i));
                }
                if numbers.reaches(i) {
                    leaks.push(numbers.leak(LeakKind::ClientNumber, i));
                }
            }
            _ => {}
        }
    }
    leaks
}

/// Whether a client contributes its own data here.
fn is_source(node: &Node) -> bool {
    match &node.operation {
        Operation::Input { .. } => true,
        Operation::Local(local) => local.uses != Uses::Values,
        _ => false,
    }
}

/// Whether a closure sees the client's number here.
fn sees_number(node: &Node) -> bool {
    matches!(&node.operation, Operation::Local(local) if local.uses == Uses::Party)
}

/// The values at the clients that depend on sources there. Values from the server do not.
struct Dependence<'g> {
    graph: &'g Graph,
    is_source: fn(&Node) -> bool,
    /// By node.
    depends: Vec<bool>,
}

impl<'g> Dependence<'g> {
    fn new(graph: &'g Graph, is_source: fn(&Node) -> bool) -> Self {
        let mut found = Self { graph, is_source, depends: vec![false; graph.nodes.len()] };
        for (i, node) in graph.nodes.iter().enumerate() {
            found.depends[i] =
                node.placement == PlacementKind::Clients && (found.reaches(i) || is_source(node));
        }
        found
    }

    /// Whether an input of the node depends on a source.
    fn reaches(&self, node: usize) -> bool {
        self.graph.inputs[node].iter().any(|&input| self.depends[input])
    }

    fn leak(&self, kind: LeakKind, operation: usize) -> Leak {
        let Self { graph, depends, .. } = self;
        let describe = |node: usize| graph.nodes[node].describe();
        let first = |node: usize| graph.inputs[node].iter().copied().find(|&input| depends[input]);
        let mut path = vec![describe(operation)];
        let mut at = operation;
        while let Some(input) = first(at) {
            path.push(describe(input));
            at = input;
        }
        path.reverse();

        let mut reached = vec![false; graph.nodes.len()];
        reached[operation] = true;
        for node in (0..=operation).rev() {
            if reached[node] {
                graph.inputs[node]
                    .iter()
                    .filter(|&&input| depends[input])
                    .for_each(|&input| reached[input] = true);
            }
        }
        let sources = (0..operation).filter(|&node| reached[node] && (self.is_source)(&graph.nodes[node]));
        Leak { kind, operation: describe(operation), path, sources: sources.map(describe).collect() }
    }
}
