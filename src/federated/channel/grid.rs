//! The assignment of channels to pairs of placements.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::federated::channel::error::{Error, Result};
use crate::federated::{
    PlacementKind,
    channel::{Channel, HpkeChannel, PlaintextChannel},
};

/// A channel for each unordered pair of placements.
///
/// [`ChannelGrid::default`] assigns [`HpkeChannel`] to three pairs, and plaintext to the others:
///
/// - Clients and aggregator: the server holds the Paillier secret key and may relay every message.
///   A client's ciphertext in the clear would show its update to the server.
/// - Aggregator and server: with a separate key holder, an encrypted sum in the clear would show
///   the sum to the key holder.
/// - Server and key holder: these channels carry the encryption of the masked sum, and the masked
///   sum.
///
/// With a key holder, a grid in which one of the three is not
/// [confidential](Channel::is_confidential) is refused before anything runs
/// ([`Error::OpenChannel`]). Without a key holder, such a grid is allowed.
///
/// A placement has no channel to itself: in this protocol no client sends to a client.
///
/// ```
/// use std::sync::Arc;
///
/// use cipherfold::federated::{PlacementKind::*, channel::{BoxChannel, ChannelGrid}};
///
/// let grid = ChannelGrid::default();
/// assert_eq!(grid.get(Clients, Aggregator)?.name(), "hpke");
/// assert_eq!(grid.get(Server, Clients)?.name(), "plaintext");
///
/// // Clients that seal with libsodium.
/// let grid = grid.with(Clients, Aggregator, Arc::new(BoxChannel::new()))?;
/// assert_eq!(grid.get(Aggregator, Clients)?.name(), "box");
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChannelGrid {
    /// The keys are ordered pairs of different placements, as [`pair`] makes them.
    channels: BTreeMap<Pair, Arc<dyn Channel>>,
}

type Pair = (PlacementKind, PlacementKind);

impl ChannelGrid {
    /// A grid without channels.
    pub const fn empty() -> Self {
        Self { channels: BTreeMap::new() }
    }

    /// This grid, with `channel` between `a` and `b`. It replaces the previous channel of the pair.
    ///
    /// Clones of a grid share their channels, and so their keys and state.
    ///
    /// # Errors
    ///
    /// [`Error::SamePlacement`] if `a` is `b`.
    pub fn with(mut self, a: PlacementKind, b: PlacementKind, channel: Arc<dyn Channel>) -> Result<Self> {
        self.channels.insert(pair(a, b)?, channel);
        Ok(self)
    }

    /// This grid, without a channel between `a` and `b`.
    ///
    /// # Errors
    ///
    /// [`Error::SamePlacement`] if `a` is `b`.
    pub fn without(mut self, a: PlacementKind, b: PlacementKind) -> Result<Self> {
        self.channels.remove(&pair(a, b)?);
        Ok(self)
    }

    /// The channel between `from` and `to`, in either order.
    ///
    /// # Errors
    ///
    /// [`Error::SamePlacement`] if `from` is `to`, [`Error::MissingChannel`] if the grid has no
    /// channel there.
    pub fn get(&self, from: PlacementKind, to: PlacementKind) -> Result<&Arc<dyn Channel>> {
        self.channels.get(&pair(from, to)?).ok_or(Error::MissingChannel { from, to })
    }

    /// All channels with the placements that they join, for reports.
    ///
    /// A channel that joins two pairs appears twice.
    pub fn iter(&self) -> impl Iterator<Item = (PlacementKind, PlacementKind, &Arc<dyn Channel>)> {
        self.channels.iter().map(|(&(a, b), channel)| (a, b, channel))
    }
}

impl Default for ChannelGrid {
    /// Clients–aggregator, aggregator–server and server–key holder in boxes, all other pairs in the
    /// clear.
    fn default() -> Self {
        use PlacementKind::{Aggregator, Clients, KeyHolder, Server};

        let channels: [(Pair, Arc<dyn Channel>); 6] = [
            ((Clients, Aggregator), Arc::new(HpkeChannel::new())),
            ((Clients, Server), Arc::new(PlaintextChannel::new())),
            ((Clients, KeyHolder), Arc::new(PlaintextChannel::new())),
            ((Server, Aggregator), Arc::new(HpkeChannel::new())),
            ((Server, KeyHolder), Arc::new(HpkeChannel::new())),
            ((Aggregator, KeyHolder), Arc::new(PlaintextChannel::new())),
        ];
        Self { channels: channels.into() }
    }
}

/// The pair in the order in which a grid stores it.
fn pair(a: PlacementKind, b: PlacementKind) -> Result<Pair> {
    if a == b {
        return Err(Error::SamePlacement { placement: a });
    }
    Ok((a.min(b), a.max(b)))
}

#[cfg(test)]
mod tests {
    use super::PlacementKind::{Aggregator, Clients, KeyHolder, Server};
    use super::*;

    #[test]
    fn default_boxes_contributions_and_sums() {
        let grid = ChannelGrid::default();
        for (a, b, name) in [
            (Clients, Aggregator, "hpke"),
            (Server, KeyHolder, "hpke"),
            (Clients, Server, "plaintext"),
            (Clients, KeyHolder, "plaintext"),
            (Aggregator, Server, "hpke"),
            (Aggregator, KeyHolder, "plaintext"),
        ] {
            assert_eq!(grid.get(a, b).unwrap().name(), name);
            assert!(Arc::ptr_eq(grid.get(a, b).unwrap(), grid.get(b, a).unwrap()));
        }
        assert_eq!(grid.iter().count(), 6);
    }

    #[test]
    fn a_missing_channel_is_named_in_the_order_asked() {
        let grid = ChannelGrid::default().without(Server, Clients).unwrap();
        let error = grid.get(Server, Clients).unwrap_err();
        assert_eq!(error, Error::MissingChannel { from: Server, to: Clients });
        assert_eq!(error.to_string(), "no channel between server and clients");
        assert!(grid.get(Clients, Aggregator).is_ok());
        assert!(ChannelGrid::empty().get(Clients, Aggregator).is_err());
    }

    #[test]
    fn with_replaces_a_channel_in_either_order() {
        let plain: Arc<dyn Channel> = Arc::new(PlaintextChannel::new());
        let grid = ChannelGrid::default().with(Aggregator, Clients, Arc::clone(&plain)).unwrap();
        assert!(Arc::ptr_eq(grid.get(Clients, Aggregator).unwrap(), &plain));
        assert_eq!(grid.iter().count(), 6);
    }

    #[test]
    fn a_placement_has_no_channel_to_itself() {
        for placement in PlacementKind::ALL {
            let error = Error::SamePlacement { placement };
            let grid = ChannelGrid::default();
            assert_eq!(grid.get(placement, placement).unwrap_err(), error);
            assert_eq!(grid.clone().without(placement, placement).unwrap_err(), error);
            let channel = Arc::new(PlaintextChannel::new());
            assert_eq!(grid.with(placement, placement, channel).unwrap_err(), error);
        }
    }
}
