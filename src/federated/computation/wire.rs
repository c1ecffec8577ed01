//! Values as messages: how they travel between placements.

use core::any::type_name;
use std::sync::Arc;

use rand_core::CryptoRng;
use serde::{Serialize, de::DeserializeOwned};

use super::node::{Erased, reveal};
use crate::{
    Error, Result,
    federated::{
        At, Party, Placed, Placement, SessionId,
        ledger::Ledger,
        message::Encoded,
        network::{Network, Way},
    },
};

/// How values of one type become messages and come back, the type hidden.
#[derive(Clone, Copy)]
pub(super) struct Wire {
    encode: fn(&Erased) -> Result<Encoded>,
    decode: fn(&Encoded) -> Result<Erased>,
}

impl Wire {
    pub(super) fn of<T: Serialize + DeserializeOwned + Send + Sync + 'static>() -> Self {
        Self {
            encode: |value| {
                postcard::to_stdvec(reveal::<T>(value)).map(Encoded).map_err(|error| refused::<T>(&error))
            },
            decode: |encoded| {
                let value: T = postcard::from_bytes(&encoded.0).map_err(|error| refused::<T>(&error))?;
                Ok(Arc::new(value))
            },
        }
    }

    /// The message that carries a value.
    pub(super) fn encode(&self, value: &Erased) -> Result<Encoded> {
        (self.encode)(value)
    }

    /// The value that a message carries.
    pub(super) fn decode(&self, message: &Encoded) -> Result<Erased> {
        (self.decode)(message)
    }
}

fn refused<T>(error: &postcard::Error) -> Error {
    Error::Payload { type_name: type_name::<T>(), reason: error.to_string() }
}

/// Takes messages between a client and the server, within one round of a computation.
pub(super) struct Courier<'a> {
    pub(super) network: &'a Network,
    pub(super) ledger: &'a Ledger,
    pub(super) session: SessionId,
    pub(super) round: u64,
}

impl Courier<'_> {
    /// Sends a message; what arrives is what the receiver decodes.
    pub(super) fn carry<P: Placement, Q: Placement>(
        &self,
        message: Encoded,
        (from, to): (Party, Party),
        rng: &mut dyn CryptoRng,
    ) -> Result<Encoded> {
        let message = Placed::<_, P>::new(message, &At::new());
        let way = Way { session: self.session, round: self.round, from, to };
        let received: Placed<Encoded, Q> = self.network.transfer(message, way, self.ledger, rng)?;
        Ok(received.into_inner(&At::new()))
    }
}
