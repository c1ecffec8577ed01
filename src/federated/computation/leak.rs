//! The static check: what leaves the clients other than by a sum over many.

use core::fmt;

use super::{
    graph::Graph,
    node::{Node, Operation, Uses},
};
use crate::federated::PlacementKind;

/// An operation that shows the server something of the clients' data besides a sum over many clients.
///
/// Operations are named with what they were called ([`Value::named`](crate::federated::Value::named)), if they were.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// What is wrong with the operation.
    pub kind: LeakKind,
    /// The operation: ``collect `losses` ``.
    pub operation: String,
    /// One way from clients' data to the operation, which comes last.
    pub path: Vec<String>,
    /// All the clients' data that the operation depends on: inputs, and what closures find or draw.
    pub sources: Vec<String>,
}

/// How an operation shows something of the clients' data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeakKind {
    /// Values leave the clients in the clear: `collect`, `sum`, or the keys of a `select`.
    InTheClear,
    /// A secure operation whose structure is not [declared](crate::federated::Value::declare). The server learns it from a
    /// client: names that are words of a text, or a length that is a secret number.
    ///
    /// So is a `Structure` whose members are lists of any length themselves, such as a `Structure<Structure<T>>` or a
    /// `Structure<Vec<T>>` of arrays, declared or not: the declaration does not tell where the members begin, so that a client decides.
    UndeclaredStructure,
    /// A secure operation over what a closure made that sees the client's number, [`eval`](crate::federated::Value::eval) or
    /// [`map_with`](crate::federated::Value::map_with). Such a closure can return zeros for all clients but one.
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

/// All leaks, in the order in which operations were made.
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

/// Whether a client contributes something of its own here.
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

/// Which values at the clients depend on sources there. What comes from the server does not.
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
