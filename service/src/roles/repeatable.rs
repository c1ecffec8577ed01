//! Sealed messages that have the same bytes each time they are made, in every process of a party.
//!
//! Objects are written once. A process that was killed after a write must write the same bytes
//! again.

use chacha20::ChaCha20Rng;
use cipherfold::federated::{
    Party, SessionId,
    channel::{BoxPublicKey, BoxSecretKey, HpkeChannel, SessionKeys},
};
use rand_core::{SeedableRng, UnwrapErr};
use zeroize::Zeroizing;

use crate::{
    digest::Sha256,
    error::{Error, Result},
    parties::Home,
    round::OpenSession,
};

/// A party's key for sealed messages in a session.
pub(super) struct Repeatable {
    session: SessionId,
    party: Party,
    secret: Zeroizing<[u8; BoxSecretKey::LEN]>,
}

impl Repeatable {
    /// The key of the home's party.
    ///
    /// # Errors
    ///
    /// [`Error::OtherBoxKey`] for a home without the key that the party has announced; those of the
    /// home and of the store.
    pub(super) fn new(home: &Home, session: &OpenSession) -> Result<Self> {
        let keys = home.session_keys(session.id(), &mut UnwrapErr(getrandom::SysRng))?;
        let announced = session.announced(home.party())?;
        if announced.is_some_and(|announced| announced != keys.public_key()) {
            return Err(Error::OtherBoxKey { party: home.party() });
        }
        Ok(Self { session: session.id(), party: home.party(), secret: keys.secret_key().expose_bytes() })
    }

    /// A channel with another party. A channel draws a key with its first message: a new channel
    /// for each object makes the object independent of earlier messages.
    pub(super) fn channel(&self, peer: Party, key: BoxPublicKey) -> HpkeChannel {
        self.open_channel().with_peer(peer, key)
    }

    /// The party's own end of a channel, to which peers can be added.
    pub(super) fn open_channel(&self) -> HpkeChannel {
        let own = BoxSecretKey::from_bytes(*self.secret);
        HpkeChannel::for_party(SessionKeys::from_secret_key(self.session, self.party, own))
    }

    /// A generator for one purpose, which depends on the party's secret and on these parts. The
    /// parts must determine the sealed content: two different messages must not have the same
    /// generator.
    pub(super) fn generator(&self, purpose: &str, parts: &[&[u8]]) -> ChaCha20Rng {
        let parts: Vec<&[u8]> = [&self.secret[..]].into_iter().chain(parts.iter().copied()).collect();
        generator(purpose, &parts)
    }
}

/// A generator for one purpose, from a secret among the parts.
pub(super) fn generator(purpose: &str, parts: &[&[u8]]) -> ChaCha20Rng {
    let seed = Zeroizing::new(Sha256::for_purpose(purpose, parts).to_bytes());
    ChaCha20Rng::from_seed(*seed)
}
