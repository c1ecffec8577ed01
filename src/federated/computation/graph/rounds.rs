//! The graph of a computation, and the schedule of its nodes.
//!
//! In a round, every client computes its values for the round, and all values that leave the
//! clients leave together. An operation that takes values from the clients joins the first round in
//! which its inputs at the server are known. Each value at the clients is computed in the first
//! round that needs it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::node::{Node, Operation};
use crate::federated::PlacementKind;

/// Nodes by number, with their places in the rounds.
pub(in crate::federated::computation) struct Graph {
    /// Every node after its inputs, in the order in which handles made them.
    pub(in crate::federated::computation) nodes: Vec<Arc<Node>>,
    /// The numbers of each node's inputs.
    pub(in crate::federated::computation) inputs: Vec<Vec<usize>>,
    pub(in crate::federated::computation) outputs: Vec<usize>,
    /// Number of rounds.
    pub(in crate::federated::computation) rounds: usize,
    /// The round in which a node at the clients is computed, or in which an operation takes values
    /// to the server. For other nodes at the server: the number of rounds that must be finished
    /// before.
    pub(in crate::federated::computation) when: Vec<usize>,
    /// The last round that reads a node at the clients. If it is later than the round that computes
    /// the node, every client keeps the value.
    pub(in crate::federated::computation) until: Vec<usize>,
}

impl Graph {
    pub(in crate::federated::computation) fn new(outputs: &[Arc<Node>]) -> Self {
        let mut nodes = reachable(outputs);
        nodes.sort_unstable_by_key(|node| node.id);
        let numbers: HashMap<u64, usize> = nodes.iter().enumerate().map(|(i, node)| (node.id, i)).collect();
        let number = |node: &Arc<Node>| numbers[&node.id];
        let inputs: Vec<Vec<usize>> =
            nodes.iter().map(|node| node.inputs.iter().map(number).collect()).collect();
        let outputs = outputs.iter().map(number).collect();

        // Forwards: the earliest round of each node.
        let mut when = vec![0; nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            let ready = inputs[i].iter().map(|&input| {
                // Values that leave the clients in a round are known after the round.
                when[input] + usize::from(nodes[input].is_exit())
            });
            when[i] = ready.max().unwrap_or(0);
            debug_assert!(node.inputs.iter().all(|input| input.id < node.id), "inputs come first");
        }
        let end = |i: usize| match nodes[i].placement {
            PlacementKind::Clients => when[i] + 1,
            _ => when[i] + usize::from(nodes[i].is_exit()),
        };
        let rounds = (0..nodes.len()).map(end).max().unwrap_or(0);

        // Backwards: a node at the clients moves to the first round that reads it.
        let mut readers: Vec<Option<(usize, usize)>> = vec![None; nodes.len()];
        let mut until = when.clone();
        for i in (0..nodes.len()).rev() {
            if nodes[i].placement == PlacementKind::Clients
                && let Some((first, last)) = readers[i]
            {
                (when[i], until[i]) = (first, last);
            }
            for &input in &inputs[i] {
                let (first, last) = readers[input].get_or_insert((when[i], when[i]));
                (*first, *last) = ((*first).min(when[i]), (*last).max(when[i]));
            }
        }
        Self { nodes, inputs, outputs, rounds, when, until }
    }

    pub(in crate::federated::computation) fn at_clients(&self, node: usize) -> bool {
        self.nodes[node].placement == PlacementKind::Clients
    }

    /// The nodes that clients compute in a round, in order.
    pub(in crate::federated::computation) fn client_nodes(
        &self,
        round: usize,
    ) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(move |&i| self.at_clients(i) && self.when[i] == round)
    }

    /// The operations that take values to the server in a round, in order.
    pub(in crate::federated::computation) fn exits(&self, round: usize) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(move |&i| self.nodes[i].is_exit() && self.when[i] == round)
    }

    /// The nodes that the server computes after this number of rounds, in order.
    pub(in crate::federated::computation) fn server_nodes(&self, over: usize) -> impl Iterator<Item = usize> {
        (0..self.nodes.len())
            .filter(move |&i| !self.at_clients(i) && !self.nodes[i].is_exit() && self.when[i] == over)
    }

    /// Whether clients keep this value for a later round, or for the caller.
    pub(in crate::federated::computation) fn is_kept(&self, node: usize) -> bool {
        // A constant need not be kept. As an output, it is kept for each client that took part.
        let is_read_later = self.until[node] > self.when[node] && !self.is_constant(node);
        self.at_clients(node) && (is_read_later || self.outputs.contains(&node))
    }

    pub(in crate::federated::computation) fn is_constant(&self, node: usize) -> bool {
        matches!(self.nodes[node].operation, Operation::Constant(_))
    }

    /// Whether messages travel between clients and server outside secure operations.
    pub(in crate::federated::computation) fn speaks_in_the_clear(&self) -> bool {
        let speaks = |operation: &Operation| {
            matches!(operation, Operation::Broadcast(_) | Operation::Select(_) | Operation::Plain(_))
        };
        self.nodes.iter().any(|node| speaks(&node.operation))
    }

    /// By node, whether it is this node or one of its direct or indirect inputs.
    pub(in crate::federated::computation) fn ancestors(&self, node: usize) -> Vec<bool> {
        let mut found = vec![false; self.nodes.len()];
        found[node] = true;
        // Inputs have smaller numbers.
        for i in (0..=node).rev() {
            if found[i] {
                self.inputs[i].iter().for_each(|&input| found[input] = true);
            }
        }
        found
    }

    /// The operation that declares the structure of a node's values: the node itself, or an earlier
    /// one if all operations in between keep the structure.
    pub(in crate::federated::computation) fn declaring(&self, node: usize) -> Option<usize> {
        let mut node = node;
        loop {
            match &self.nodes[node].operation {
                Operation::Declare(_) => return Some(node),
                Operation::Local(local) if local.keeps_structure => node = self.inputs[node][0],
                _ => return None,
            }
        }
    }

    /// The number of the node behind a handle, if it is part of this graph.
    pub(in crate::federated::computation) fn find(&self, node: &Arc<Node>) -> Option<usize> {
        self.nodes.binary_search_by_key(&node.id, |node| node.id).ok()
    }
}

fn reachable(outputs: &[Arc<Node>]) -> Vec<Arc<Node>> {
    let mut found: HashMap<u64, Arc<Node>> = HashMap::new();
    let mut open: Vec<Arc<Node>> = outputs.to_vec();
    while let Some(node) = open.pop() {
        if let Entry::Vacant(place) = found.entry(node.id) {
            open.extend(node.inputs.iter().cloned());
            place.insert(node);
        }
    }
    found.into_values().collect()
}
