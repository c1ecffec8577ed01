//! Which node is computed when.
//!
//! A round goes over all clients once: every client computes what the round needs, and everything that leaves the
//! clients leaves together. An operation that leaves the clients joins the first round whose server-side values are
//! known; everything at the clients is computed in the first round that needs it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::node::{Node, Operation};
use crate::federated::PlacementKind;

/// Nodes by number, with their places in the rounds.
pub(super) struct Graph {
    /// Every node after its inputs, in the order in which handles made them.
    pub(super) nodes: Vec<Arc<Node>>,
    /// The numbers of each node's inputs.
    pub(super) inputs: Vec<Vec<usize>>,
    pub(super) outputs: Vec<usize>,
    /// Number of rounds.
    pub(super) rounds: usize,
    /// The round in which a client's node is computed, or in which an operation takes values to the server; for other
    /// nodes at the server, the number of rounds that must be over.
    pub(super) when: Vec<usize>,
    /// The last round that reads a client's node. Later than the round that computes it: every client keeps it.
    pub(super) until: Vec<usize>,
}

impl Graph {
    pub(super) fn new(outputs: &[Arc<Node>]) -> Self {
        let mut nodes = reachable(outputs);
        nodes.sort_unstable_by_key(|node| node.id);
        let numbers: HashMap<u64, usize> = nodes.iter().enumerate().map(|(i, node)| (node.id, i)).collect();
        let number = |node: &Arc<Node>| numbers[&node.id];
        let inputs: Vec<Vec<usize>> =
            nodes.iter().map(|node| node.inputs.iter().map(number).collect()).collect();
        let outputs = outputs.iter().map(number).collect();

        // Forwards: the earliest that each can be.
        let mut when = vec![0; nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            let ready = inputs[i].iter().map(|&input| {
                // What leaves the clients in a round is known when the round is over.
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

        // Backwards: at the clients, in the first round that reads it.
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

    pub(super) fn at_clients(&self, node: usize) -> bool {
        self.nodes[node].placement == PlacementKind::Clients
    }

    /// What the clients compute in a round, in order.
    pub(super) fn client_nodes(&self, round: usize) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(move |&i| self.at_clients(i) && self.when[i] == round)
    }

    /// What takes values to the server in a round, in order.
    pub(super) fn exits(&self, round: usize) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(move |&i| self.nodes[i].is_exit() && self.when[i] == round)
    }

    /// What the server computes when so many rounds are over, in order.
    pub(super) fn server_nodes(&self, over: usize) -> impl Iterator<Item = usize> {
        (0..self.nodes.len())
            .filter(move |&i| !self.at_clients(i) && !self.nodes[i].is_exit() && self.when[i] == over)
    }

    /// Whether clients keep what they computed for a later round, or for the caller.
    pub(super) fn is_kept(&self, node: usize) -> bool {
        // A constant is the same at every time and place, but as an output it is there for those that took part.
        let is_read_later = self.until[node] > self.when[node] && !self.is_constant(node);
        self.at_clients(node) && (is_read_later || self.outputs.contains(&node))
    }

    pub(super) fn is_constant(&self, node: usize) -> bool {
        matches!(self.nodes[node].operation, Operation::Constant(_))
    }

    /// Whether messages go between clients and server outside secure operations.
    pub(super) fn speaks_in_the_clear(&self) -> bool {
        let speaks = |operation: &Operation| {
            matches!(operation, Operation::Broadcast(_) | Operation::Select(_) | Operation::Plain(_))
        };
        self.nodes.iter().any(|node| speaks(&node.operation))
    }

    /// By node, whether it is this one or one that this one depends on.
    pub(super) fn ancestors(&self, node: usize) -> Vec<bool> {
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

    /// The operation that declares the structure of a node's values: itself, or one that they come from by operations which keep the
    /// structure.
    pub(super) fn declaring(&self, node: usize) -> Option<usize> {
        let mut node = node;
        loop {
            match &self.nodes[node].operation {
                Operation::Declare(_) => return Some(node),
                Operation::Local(local) if local.keeps_structure => node = self.inputs[node][0],
                _ => return None,
            }
        }
    }

    /// The number of the node behind a handle, if it is part of this.
    pub(super) fn find(&self, node: &Arc<Node>) -> Option<usize> {
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
