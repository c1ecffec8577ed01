//! The key holder of a round: decrypts masked numbers.

use std::sync::Arc;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    KeyOwner, RoundSpec,
    confidential::check_confidential,
    keys::{Batch, Plaintexts},
    offer::KeyHolding,
    opened::content_id,
};
use crate::federated::{
    Party, PlacementKind,
    channel::{self, Channel},
    round::error::{Error, Result},
};

/// The holder of a session's secret key, in sessions where the server does not have it. It decrypts
/// sums that the server has masked, and learns only how many numbers there are.
///
/// It decrypts each part of each round once, and refuses another sum in its place
/// ([`Error::AlreadyOpened`]). The same message gives the same numbers again.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    owner: KeyOwner,
    server: Arc<dyn Channel>,
}

impl KeyHolder {
    /// The holder of these keys. The server's messages come through the channel.
    pub fn new(owner: &KeyOwner, server: Arc<dyn Channel>) -> Self {
        Self { owner: owner.clone(), server }
    }

    /// Decrypts a masked part of the sum of a round, and seals the answer for the server.
    ///
    /// # Errors
    ///
    /// [`Error::OtherOffer`]; [`Error::KeyHolding`] if the server has the key in this round;
    /// [`channel::Error::OpenChannel`] if the channel is not confidential;
    /// [`channel::Error::WrongEnvelope`], [`Error::MessageNumber`], [`Error::AlreadyOpened`],
    /// [`paillier::Error::Decrypt`](crate::paillier::Error::Decrypt); those of the channel and of
    /// [`PublicKey::batch_from_bytes`](crate::paillier::PublicKey::batch_from_bytes).
    pub fn decrypt_masked(&self, spec: &RoundSpec, wire: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        let (number, masked) = self.receive(spec, wire)?;
        let totals = self.decrypt(&masked)?;
        Ok(self.answer(spec, number, &*totals, rng)?)
    }

    /// Receives a message of the server, and records that its part of the round is opened.
    pub(in crate::federated) fn receive(&self, spec: &RoundSpec, wire: &[u8]) -> Result<(usize, Batch)> {
        if spec.parameters().key_holding != KeyHolding::KeyHolder {
            return Err(Error::KeyHolding { holder: Party::Server });
        }
        check_confidential(spec, (PlacementKind::Server, PlacementKind::KeyHolder), &*self.server)?;
        spec.check_key(self.owner.encryption_key())?;
        let (envelope, masked) = self.server.open(Party::Server, Party::KeyHolder, wire)?;
        spec.check_envelope(&envelope)?;
        let chunk = spec.chunk(envelope.sequence)?;
        let contents = content_id(&masked);
        let masked = self.owner.encryption_key().ops().read(&masked, chunk.plaintexts)?;
        self.owner.opens(spec.round(), spec.digest(), envelope.sequence, contents)?;
        Ok((chunk.index, masked))
    }

    pub(in crate::federated) fn decrypt(&self, masked: &Batch) -> Result<Box<dyn Plaintexts>> {
        self.owner.secret().decrypt(masked)
    }

    pub(in crate::federated) fn answer(
        &self,
        spec: &RoundSpec,
        number: usize,
        totals: &dyn Plaintexts,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, channel::Error> {
        let totals = Zeroizing::new(totals.to_bytes());
        self.server.seal(&spec.envelope(number, Party::KeyHolder, Party::Server), &totals, rng)
    }
}
