//! The check that channels of a round are confidential.

use super::{KeyHolding, RoundSpec};
use crate::federated::{
    PlacementKind,
    channel::{self, Channel},
};

/// Refuses an open channel in a round with a key holder. The messages of clients and aggregators
/// are encrypted under the key holder's key. Server and key holder exchange masked sums.
///
/// # Errors
///
/// [`channel::Error::OpenChannel`].
pub(super) fn check_confidential(
    spec: &RoundSpec,
    (from, to): (PlacementKind, PlacementKind),
    channel: &dyn Channel,
) -> Result<(), channel::Error> {
    match spec.parameters().key_holding {
        KeyHolding::KeyHolder if !channel.is_confidential() => Err(channel::Error::OpenChannel { from, to }),
        _ => Ok(()),
    }
}
