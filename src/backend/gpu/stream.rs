//! Batches as streams of pieces: upload, kernels, download.

mod batch;
mod budget;
mod commands;
mod in_flight;
mod runtime;
mod timing;
#[cfg(test)]
mod trace;
mod upload_rate;

#[cfg(any(test, feature = "diagnostics"))]
pub(crate) use self::in_flight::MAX_IN_FLIGHT;
#[cfg(feature = "diagnostics")]
pub(crate) use self::upload_rate::upload_rate;
#[cfg(test)]
pub(crate) use self::{
    batch::MAX_UPLOADS,
    trace::{Event, Stage},
};
pub(crate) use self::{
    batch::{ALIGNED_ITEMS, BatchShape, FULL_DEVICE_ITEMS, PIECE_BYTES, reserve, run_batch, send_pieces},
    commands::{Binding, Commands},
    in_flight::{Collect, Discard, InFlight, Readback},
    runtime::Runtime,
    upload_rate::faster_upload_memory,
};
