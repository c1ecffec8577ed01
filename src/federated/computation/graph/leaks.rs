//! The static check for data that leave the clients and are not a sum over many clients.

use super::{
    node::{Node, Operation, Uses},
    rounds::Graph,
};
use crate::federated::{
    PlacementKind,
    computation::leak::{Leak, LeakKind},
};

/// All leaks, in the order in which their operations were made.
pub(in crate::federated::computation) fn leaks(graph: &Graph) -> Vec<Leak> {
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
