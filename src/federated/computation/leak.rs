//! The static check: what leaves the clients in the clear.

use core::fmt;

use super::{
    graph::Graph,
    node::{Node, Operation},
};
use crate::federated::PlacementKind;

/// An operation through which something that depends on clients' data leaves the clients in the clear.
///
/// Operations are named with what they were called ([`Value::named`](crate::federated::Value::named)), if they were.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// The operation: ``collect `losses` ``.
    pub operation: String,
    /// One way from clients' data to the operation, which comes last.
    pub path: Vec<String>,
    /// All the clients' data that the operation depends on: inputs, and what closures find or draw.
    pub sources: Vec<String>,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} shows the server: {}", self.operation, self.path.join(" → "))
    }
}

/// All leaks, in the order in which operations were made.
pub(super) fn leaks(graph: &Graph) -> Vec<Leak> {
    // Whether a node at the clients depends on what clients hold. What comes from the server does not.
    let mut depends = vec![false; graph.nodes.len()];
    let mut leaks = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        let from_inputs = graph.inputs[i].iter().any(|&input| depends[input]);
        if node.placement == PlacementKind::Clients {
            depends[i] = from_inputs || is_source(node);
        }
        if from_inputs && shows(node) {
            leaks.push(leak(graph, &depends, i));
        }
    }
    leaks
}

/// Whether a client contributes something of its own here.
fn is_source(node: &Node) -> bool {
    match &node.operation {
        Operation::Input { .. } => true,
        Operation::Local(local) => local.draws,
        _ => false,
    }
}

/// Whether the operation sends what clients have to the server in the clear.
fn shows(node: &Node) -> bool {
    matches!(node.operation, Operation::Plain(_) | Operation::Select(_))
}

fn leak(graph: &Graph, depends: &[bool], operation: usize) -> Leak {
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
    let sources = (0..operation).filter(|&node| reached[node] && is_source(&graph.nodes[node]));
    Leak { operation: describe(operation), path, sources: sources.map(describe).collect() }
}
