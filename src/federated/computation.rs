//! Computations: graphs of operations on placed values, checked before they run.
//!
//! A [`Computation`] names the requested [`Value`]s; everything that these depend on is part of it.
//! It can be printed. Its [leaks](Computation::leaks) are operations that show the server more of
//! the clients' data than a sum over many clients. [`LocalExecutor::run`] evaluates it.
//!
//! | item | purpose |
//! | :-- | :-- |
//! | [`Value`] | a value at the clients or at the server, and the operations on it |
//! | [`Computation`] | the requested values ([`Outputs`]), with all that they depend on |
//! | [`Inputs`] | the values of a run |
//! | [`Leak`], [`LeakKind`] | the findings of the check |
//! | [`Context`] | the identity and the randomness of the party that runs a closure |
//! | [`Numeric`] | elements that can be summed in the clear |
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

mod context;
mod definition;
mod erased;
mod error;
mod evaluation;
mod graph;
mod inputs;
mod leak;
mod operation;
mod outputs;
mod value;

pub use self::{
    context::Context,
    definition::Computation,
    error::Error,
    inputs::Inputs,
    leak::{Leak, LeakKind},
    outputs::Outputs,
    value::{Numeric, Value},
};
pub(super) use self::{evaluation::ServerView, operation::Transferable};
