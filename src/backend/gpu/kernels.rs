//! Kernels: how residues lie in lanes, the text of the shaders, their parameters, and compiled
//! pipelines.

mod choice;
mod exchange;
mod kernel;
mod layout;
mod parameters;
mod pipelines;
mod template;

pub use self::{exchange::Exchange, layout::LaneLayout};
pub(crate) use self::{
    kernel::{Kernel, RESIDENT_CONTRIBUTIONS, compose},
    parameters::*,
    pipelines::{MAX_DISPATCH_TIME, Pipeline, Pipelines, max_consecutive_products},
};
