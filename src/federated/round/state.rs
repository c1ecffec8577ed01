//! Encoding of a role's state: a version, the round's specification, and the state of the role.

use serde::{Serialize, de::DeserializeOwned};

use super::RoundSpec;
use crate::federated::{
    Digest,
    channel::{self, payload},
    round::error::{Error, Result},
};

/// Encodes a state of this round.
///
/// # Errors
///
/// Only those of the encoding.
pub(super) fn encode<T: Serialize>(spec: &RoundSpec, state: &T) -> Result<Vec<u8>> {
    Ok([&[VERSION], &payload::encode(&(spec.digest().to_bytes(), state))?[..]].concat())
}

/// Decodes a state, if it belongs to this round.
///
/// # Errors
///
/// [`channel::Error::EncodingVersion`], [`channel::Error::PayloadDecoding`], [`Error::OtherRound`].
pub(super) fn decode<T: Serialize + DeserializeOwned>(spec: &RoundSpec, bytes: &[u8]) -> Result<T> {
    let (version, rest) = bytes.split_first().unwrap_or((&0, &[]));
    if *version != VERSION {
        return Err(channel::Error::EncodingVersion { expected: VERSION, found: *version }.into());
    }
    let (found, state): ([u8; Digest::LEN], T) = payload::decode(rest)?;
    if found != spec.digest().to_bytes() {
        return Err(Error::OtherRound { expected: spec.digest(), found: Digest::from_bytes(found) });
    }
    Ok(state)
}

/// First byte of every encoding.
const VERSION: u8 = 1;
