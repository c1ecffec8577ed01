//! A session, as declared by its key owner.

use std::sync::Arc;

use cipherfold::{
    backend::BackendChoice,
    federated::{
        KeyHolding, Party, SessionId,
        channel::{Announcement, BoxPublicKey},
        round::{EncryptionKey, SessionOffer},
    },
};

use super::read::{check_predecessor, read};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    objects::{self, Body, Key, Session, Signed, parse_session},
    parties::{Consortium, decimal},
    store::Store,
};

/// A verified session: the key owner's identity has signed its keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OpenSession(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    consortium: Consortium,
    declared: Signed<Session>,
    offer: SessionOffer,
}

impl OpenSession {
    /// The session with this name; without a name the only one of the store.
    ///
    /// # Errors
    ///
    /// [`Error::NoSession`], [`Error::SeveralSessions`]; those of the store; [`objects::Error`] for
    /// a session that the key owner of this consortium has not signed.
    pub fn find(store: &Store, consortium: &Consortium, session: Option<SessionId>) -> Result<Self> {
        let session = session.map_or_else(|| only_session(store), Ok)?;
        let none = || Error::NoSession { store: store.address().to_owned() };
        let key = Key::Session(session);
        let holding = key_holding(consortium);
        let declared = read::<Session>(store, consortium, &key, holding.party())?.ok_or_else(none)?;
        check_predecessor(&key, "consortium", consortium.digest(), declared.body().consortium)?;
        let contents = |reason: String| objects::Error::Contents { key, reason };
        let offer =
            SessionOffer::from_bytes(&declared.body().offer).map_err(|error| contents(error.to_string()))?;
        if offer.session() != session {
            return Err(contents(format!("offers session {}", offer.session())).into());
        }
        if offer.key_holding() != holding || offer.roster() != consortium.roster_digest() {
            return Err(contents("offers keys for another consortium".to_owned()).into());
        }
        let (store, consortium) = (store.clone(), consortium.clone());
        Ok(Self(Arc::new(Inner { store, consortium, declared, offer })))
    }

    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.0.offer.session()
    }

    /// The announced keys.
    pub fn offer(&self) -> &SessionOffer {
        &self.0.offer
    }

    /// The minimum number of clients of every round.
    pub fn min_clients(&self) -> u32 {
        self.0.declared.body().min_clients
    }

    /// The digest of the session's object.
    pub fn digest(&self) -> Sha256 {
        self.0.declared.digest()
    }

    /// The consortium.
    pub fn consortium(&self) -> &Consortium {
        &self.0.consortium
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The session's public key, ready for use.
    ///
    /// # Errors
    ///
    /// Those of [`EncryptionKey::new`].
    pub fn encryption_key(&self, backend: BackendChoice) -> Result<EncryptionKey> {
        // The key owner's signature replaces the pin, because its identity is in the pinned
        // consortium.
        Ok(EncryptionKey::new(&self.0.offer, self.0.offer.digest(), backend)?)
    }

    /// The key that a party has announced for sealed messages, if any.
    ///
    /// # Errors
    ///
    /// Those of the store; [`objects::Error::Contents`] for an object that is not the party's
    /// announcement.
    pub fn announced(&self, party: Party) -> Result<Option<BoxPublicKey>> {
        let key = Key::Announcement(self.id(), party);
        let limit = Announcement::ENCODED_LEN as u64;
        let Some(bytes) = self.store().get(&key, limit)? else { return Ok(None) };
        let verified = Announcement::from_bytes(&bytes)
            .and_then(|announcement| self.consortium().roster().verify(&announcement, self.id(), party));
        let contents = |reason: String| objects::Error::Contents { key, reason };
        Ok(Some(verified.map_err(|error| contents(error.to_string()))?))
    }

    /// Numbers of the session's rounds, in ascending order.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn rounds(&self) -> Result<Vec<u64>> {
        let folders = self.store().folders(&self.id().to_string())?;
        let mut rounds: Vec<u64> = folders.iter().filter_map(|name| decimal(name)).collect();
        rounds.sort_unstable();
        Ok(rounds)
    }

    pub(crate) fn read<B: Body>(&self, key: &Key, party: Party) -> Result<Option<Signed<B>>> {
        read(self.store(), self.consortium(), key, party)
    }
}

/// The party with the keys of a consortium's sessions: the key holder if there is one, otherwise
/// the server.
pub(crate) fn key_holding(consortium: &Consortium) -> KeyHolding {
    match consortium.member(Party::KeyHolder) {
        Ok(_) => KeyHolding::KeyHolder,
        Err(_) => KeyHolding::Server,
    }
}

/// The only session of a store, valid or not.
///
/// # Errors
///
/// [`Error::NoSession`], [`Error::SeveralSessions`]; those of the store.
pub fn only_session(store: &Store) -> Result<SessionId> {
    let folders = store.folders("")?;
    let sessions: Vec<_> = folders.iter().filter_map(|name| parse_session(name)).collect();
    match sessions[..] {
        [session] => Ok(session),
        [] => Err(Error::NoSession { store: store.address().to_owned() }),
        _ => Err(Error::SeveralSessions { store: store.address().to_owned(), sessions }),
    }
}
