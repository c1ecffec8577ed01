//! Values as messages between placements.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::federated::{
    Result,
    channel::payload,
    channel::{self, message::EncodedValue},
    computation::erased::{Erased, reveal},
};

/// A type that can travel between placements: serde can write and read it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between placements",
    note = "a value travels as bytes, so its type must be `Serialize`, `DeserializeOwned`, `Send` and `Sync`"
)]
pub trait Transferable: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Transferable for T {}

/// How values of one type become messages and come back, with the type erased.
#[derive(Clone, Copy)]
pub(in crate::federated::computation) struct Wire {
    encode: fn(&Erased) -> Result<EncodedValue, channel::Error>,
    decode: fn(&EncodedValue) -> Result<Erased, channel::Error>,
}

impl Wire {
    pub(in crate::federated::computation) fn of<T: Transferable>() -> Self {
        Self {
            encode: |value| {
                payload::encode(reveal::<T>(value)).map(|bytes| EncodedValue(Zeroizing::new(bytes)))
            },
            decode: |message| Ok(Arc::new(payload::decode::<T>(&message.0)?)),
        }
    }

    /// Encodes a value as a message.
    pub(in crate::federated::computation) fn encode(
        &self,
        value: &Erased,
    ) -> Result<EncodedValue, channel::Error> {
        (self.encode)(value)
    }

    /// Decodes a value from a message.
    pub(in crate::federated::computation) fn decode(
        &self,
        message: &EncodedValue,
    ) -> Result<Erased, channel::Error> {
        (self.decode)(message)
    }
}
