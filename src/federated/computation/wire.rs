//! Values as messages between placements.

use std::sync::Arc;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Portable,
    erased::{Erased, reveal},
};
use crate::federated::{
    At, Party, Placed, Placement, Result, SessionId,
    channel::message::EncodedValue,
    channel::payload,
    channel::{network::Network, route::Route},
    report::ledger::Ledger,
};

/// How values of one type become messages and come back, with the type erased.
#[derive(Clone, Copy)]
pub(super) struct Wire {
    encode: fn(&Erased) -> Result<EncodedValue>,
    decode: fn(&EncodedValue) -> Result<Erased>,
}

impl Wire {
    pub(super) fn of<T: Portable>() -> Self {
        Self {
            encode: |value| {
                payload::encode(reveal::<T>(value)).map(|bytes| EncodedValue(Zeroizing::new(bytes)))
            },
            decode: |message| Ok(Arc::new(payload::decode::<T>(&message.0)?)),
        }
    }

    /// Encodes a value as a message.
    pub(super) fn encode(&self, value: &Erased) -> Result<EncodedValue> {
        (self.encode)(value)
    }

    /// Decodes a value from a message.
    pub(super) fn decode(&self, message: &EncodedValue) -> Result<Erased> {
        (self.decode)(message)
    }
}

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
