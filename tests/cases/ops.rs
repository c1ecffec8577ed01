//! The replay of each operation.

pub(crate) mod aggregations;
pub(crate) mod boxes;
pub(crate) mod channels;
pub(crate) mod clipping;
pub(crate) mod executors;
pub(crate) mod intrinsics;
pub(crate) mod paillier;
pub(crate) mod quantized;
pub(crate) mod secure;
