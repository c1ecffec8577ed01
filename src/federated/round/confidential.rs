//! The check that channels of a round are confidential.

use super::{KeyHolding, RoundSpec};
use crate::federated::{Error, PlacementKind, Result, channel::Channel};

/// Refuses an open channel in a round with a key holder. The messages of clients and aggregators
/// are encrypted under the key holder's key. Server and key holder exchange masked sums.
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
