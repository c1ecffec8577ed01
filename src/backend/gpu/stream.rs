//! Batches as streams of pieces: up to the device, through kernels, and down again.

mod batch;
mod commands;
mod in_flight;
mod runtime;
mod timing;

#[cfg(feature = "diagnostics")]
pub(crate) use self::in_flight::MAX_IN_FLIGHT;
pub(crate) use self::{
    batch::{ALIGNED_ITEMS, BatchShape, PIECE_BYTES, run_batch, send_pieces},
    commands::{Binding, Commands},
    in_flight::{Collect, InFlight, Readback},
    runtime::Runtime,
};
