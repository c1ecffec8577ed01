//! Messages: the types that may travel between placements, their envelopes, and their payloads.

mod envelope;
mod opened;
pub(in crate::federated) mod payload;
pub(in crate::federated) mod route;

pub use envelope::{Envelope, EnvelopeMismatch};
pub use opened::OpenedPayload;
pub use payload::Payload;

use zeroize::Zeroizing;

use crate::federated::channel::error::Result;

pub(in crate::federated) mod sealed {
    pub trait MessageOfTheProtocol {}
}

/// A value that can be moved from one placement to another.
///
/// Sealed. Implemented by [`SessionOffer`](crate::federated::round::SessionOffer), and by
/// [`Payload`](crate::federated::channel::Payload) for other values. A secret key is not a message,
/// so code that sends it to the aggregator does not compile.
pub trait Message: sealed::MessageOfTheProtocol + Sized {
    /// Number of ciphertexts in it, for reports.
    fn ciphertexts(&self) -> usize;

    /// The message as bytes.
    ///
    /// # Errors
    ///
    /// [`Error::PayloadEncoding`](crate::federated::channel::Error::PayloadEncoding) for a
    /// [`Payload`](crate::federated::channel::Payload) whose value cannot be encoded.
    fn to_bytes(&self) -> Result<Vec<u8>>;

    /// A message from such bytes.
    ///
    /// # Errors
    ///
    /// Those of the parts' own encodings.
    fn from_bytes(bytes: &[u8]) -> Result<Self>;
}

/// A value of a computation in encoded form: a value for many receivers is encoded once.
#[derive(Clone, Debug)]
pub(in crate::federated) struct EncodedValue(pub(in crate::federated) Zeroizing<Vec<u8>>);

impl sealed::MessageOfTheProtocol for EncodedValue {}

impl Message for EncodedValue {
    fn ciphertexts(&self) -> usize {
        0
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }
}
