//! Limits on the norm of a client's values: values beyond it are clipped or zeroed.

mod clipping;
mod limit;
mod zeroing;

pub use self::{clipping::Clipping, zeroing::Zeroing};
