//! The nodes of a computation's graph, without types, behind the typed handles.
//!
//! A [`Value`](super::Value) knows the type and the placement of its value. Its node knows how to
//! compute the value from type-erased inputs. Only handles make nodes, so an operation always finds
//! the type that its handle has put there.

use core::{fmt, mem};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    federated::{
        Error, PlacementKind, Result,
        computation::{
            self,
            context::Scope,
            erased::Erased,
            operation::{Declaration, PlainOperation, SecureOperation, Wire},
        },
    },
    printable::printable,
};

/// One operation, with the nodes that it reads.
pub struct Node {
    /// Increases from node to node, so a node's inputs have smaller ids.
    pub(in crate::federated::computation) id: u64,
    pub(in crate::federated::computation) placement: PlacementKind,
    /// The type of the values, for display.
    pub(in crate::federated::computation) type_name: &'static str,
    pub(in crate::federated::computation) inputs: Vec<Arc<Node>>,
    pub(in crate::federated::computation) operation: Operation,
    label: Mutex<Option<Arc<str>>>,
}

/// The operation of a node.
pub(in crate::federated::computation) enum Operation {
    /// Bound when the computation runs.
    Input { name: &'static str },
    /// The same value everywhere.
    Constant(Erased),
    /// Runs at the placement of its inputs.
    Local(Local),
    /// The first input unchanged, at the clients, with a structure that is known in advance. The
    /// second input, if there is one, is the server's value with this structure.
    Declare(Declaration),
    /// From the server to every client.
    Broadcast(Wire),
    /// The client's keys go to the server, and its answer comes back. Inputs are the server's value
    /// and the keys.
    Select(Select),
    /// From every client to the server, in the clear.
    Plain(Box<dyn PlainOperation>),
    /// From every client to the server, encrypted.
    Secure(Box<dyn SecureOperation>),
}

/// A function of values at one placement.
pub(in crate::federated::computation) struct Local {
    /// The name for display.
    pub(in crate::federated::computation) name: &'static str,
    pub(in crate::federated::computation) uses: Uses,
    /// Whether the result, or its first member if it is a tuple, has the structure of the first
    /// input.
    pub(in crate::federated::computation) keeps_structure: bool,
    pub(in crate::federated::computation) function: LocalFunction,
}

/// The resources of a function besides the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::federated::computation) enum Uses {
    /// Nothing.
    Values,
    /// The party's randomness.
    Randomness,
    /// Randomness, and the party's identity: a client's number, and anything that a closure looks
    /// up by it.
    Party,
}

pub(in crate::federated::computation) type LocalFunction =
    Box<dyn Fn(Vec<Erased>, &mut Scope<'_>) -> Result<Erased> + Send + Sync>;

/// The server's answer to a client's keys.
pub(in crate::federated::computation) struct Select {
    pub(in crate::federated::computation) keys: Wire,
    pub(in crate::federated::computation) answer: Wire,
    /// A function of the server's value and the keys.
    pub(in crate::federated::computation) function: SelectFunction,
}

pub(in crate::federated::computation) type SelectFunction =
    Box<dyn Fn(&Erased, &Erased) -> Erased + Send + Sync>;

impl Node {
    pub(in crate::federated::computation) fn new(
        placement: PlacementKind,
        type_name: &'static str,
        inputs: Vec<Arc<Node>>,
        operation: Operation,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { id, placement, type_name, inputs, operation, label: Mutex::default() })
    }

    pub(in crate::federated::computation) fn set_label(&self, label: &str) {
        *self.label.lock().unwrap_or_else(PoisonError::into_inner) = Some(label.into());
    }

    pub(in crate::federated::computation) fn label(&self) -> Option<Arc<str>> {
        self.label.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The operation's name: `input`, `map`, `secure_sum`.
    pub(in crate::federated::computation) fn name(&self) -> &'static str {
        match &self.operation {
            Operation::Input { .. } => "input",
            Operation::Constant(_) => "constant",
            Operation::Local(local) => local.name,
            Operation::Declare(declaration) => declaration.name(),
            Operation::Broadcast(_) => "broadcast",
            Operation::Select(_) => "select",
            Operation::Plain(plain) => plain.name(),
            Operation::Secure(secure) => secure.name(),
        }
    }

    /// The operation's name with its label: "map `features`".
    pub(in crate::federated::computation) fn describe(&self) -> String {
        let name = self.name();
        match (&self.operation, self.label()) {
            (_, Some(label)) => format!("{name} `{}`", printable(&label)),
            (Operation::Input { name: input }, None) => format!("{name} `{}`", printable(input)),
            (_, None) => name.into(),
        }
    }

    /// The value without its declarations: an input is bound to it.
    pub(in crate::federated::computation) fn undeclared(self: &Arc<Self>) -> &Arc<Self> {
        let mut node = self;
        while let Operation::Declare(_) = node.operation {
            node = &node.inputs[0];
        }
        node
    }

    /// Whether values leave the clients here, encrypted or not.
    pub(in crate::federated::computation) fn is_exit(&self) -> bool {
        matches!(self.operation, Operation::Plain(_) | Operation::Secure(_))
    }

    /// The error of this operation, with the text of the caller's error.
    pub(in crate::federated::computation) fn failed(
        operation: &'static str,
        reason: &dyn fmt::Display,
    ) -> Error {
        computation::Error::Closure { operation, reason: reason.to_string() }.into()
    }
}

impl Drop for Node {
    /// Drops a long chain node by node. Recursive drops would need a stack as deep as the chain.
    fn drop(&mut self) {
        let mut rest = mem::take(&mut self.inputs);
        while let Some(node) = rest.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                rest.append(&mut node.inputs);
            }
        }
    }
}
