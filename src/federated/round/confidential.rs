//! The channels that others than their two ends must not read.

use super::{KeyHolding, RoundSpec};
use crate::federated::{Channel, Error, PlacementKind, Result};

/// Refuses an open channel in a round with a key holder: what clients and aggregators send is encrypted under its key, and what
/// server and key holder exchange is a sum but for a mask.
///
/// # Errors
///
/// [`Error::OpenChannel`].
pub(super) fn check_confidential(
    spec: &RoundSpec,
    (from, to): (PlacementKind, PlacementKind),
    channel: &dyn Channel,
) -> Result<()> {
    match spec.parameters().key_holding {
        KeyHolding::KeyHolder if !channel.is_confidential() => Err(Error::OpenChannel { from, to }),
        _ => Ok(()),
    }
}
