//! Messages between a client and the server within a round.

use rand_core::CryptoRng;

use crate::federated::{
    At, Party, Placed, Placement, Result, SessionId,
    channel::message::EncodedValue,
    channel::{network::Network, route::Route},
    report::ledger::Ledger,
};

/// Sends messages between a client and the server, within one round of a computation.
pub(super) struct Transport<'a> {
    pub(super) network: &'a Network,
    pub(super) ledger: &'a Ledger,
    pub(super) session: SessionId,
    pub(super) round: u64,
}

impl Transport<'_> {
    /// Sends a message. Returns the message that the receiver decodes.
    pub(super) fn send<P: Placement, Q: Placement>(
        &self,
        message: EncodedValue,
        (from, to): (Party, Party),
        rng: &mut dyn CryptoRng,
    ) -> Result<EncodedValue> {
        let message = Placed::<_, P>::new(message, &At::new());
        let route = Route { session: self.session, round: self.round, from, to };
        let received: Placed<EncodedValue, Q> = self.network.transfer(message, route, self.ledger, rng)?;
        Ok(received.into_inner(&At::new()))
    }
}
