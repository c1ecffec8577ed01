//! The graph behind typed handles: its nodes, their rounds, its text form, and its check for leaks.

mod display;
mod leaks;
mod node;
mod rounds;

pub(super) use self::{
    display::write,
    leaks::leaks,
    node::{Local, LocalFunction, Node, Operation, Select, Uses},
    rounds::Graph,
};
