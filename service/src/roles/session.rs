//! The start of a session.

use cipherfold::{
    backend::BackendChoice,
    federated::{
        SessionId,
        channel::BoxPublicKey,
        round::{KeyOwner, SessionParameters},
    },
};
use rand_core::UnwrapErr;

use super::faults;
use crate::{
    error::{Error, Result},
    objects::{Key, Session, sign},
    parties::Home,
    progress::Progress,
    round::OpenSession,
    store::Store,
};

/// A key owner's settings for a session.
#[derive(Clone, Copy, Debug)]
pub struct NewSession {
    /// Bits of the key: 2048, 3072 or 4096.
    pub key_bits: u32,
    /// The minimum number of clients of every round.
    pub min_clients: u32,
    /// The backend.
    pub backend: BackendChoice,
}

/// Makes the keys of a session, stores the secret one in the home, and declares the session.
///
/// # Errors
///
/// [`WrongRole`](crate::parties::Error::WrongRole) for a party that is not the owner of the keys,
/// who is the key holder if the consortium has one, else the server; [`Error::Setting`] for a
/// minimum of zero; those of the home, of the store and of [`KeyOwner::generate`].
pub fn new_session(
    home: &Home,
    store: &Store,
    new: NewSession,
    progress: &dyn Progress,
) -> Result<SessionId> {
    let consortium = home.consortium()?;
    let holding = crate::round::key_holding(&consortium);
    home.check_party(holding.party())?;
    if new.min_clients == 0 {
        return Err(Error::Setting { setting: "--min-clients", reason: "must be 1 or more".to_owned() });
    }
    let rng = &mut UnwrapErr(getrandom::SysRng);
    progress.note(&format_args!("making a key of {} bits", new.key_bits));
    let parameters = SessionParameters {
        session: SessionId::random(rng),
        key_bits: new.key_bits,
        key_holding: holding,
        roster: consortium.roster_digest(),
        backend: new.backend,
    };
    let owner = KeyOwner::generate(parameters, rng)?;
    // The secret key is stored first, so that every declared session has its key.
    home.save_owner(&owner)?;
    faults::point("session-saved");
    let (session, key) = (parameters.session, Key::Session(parameters.session));
    let body = Session {
        consortium: consortium.digest(),
        offer: owner.offer().to_bytes(),
        min_clients: new.min_clients,
    };
    store.put(&key, sign(home.identity(), &key, &body))?;
    faults::point("session-declared");
    announce(home, &OpenSession::find(store, &consortium, Some(session))?)?;
    Ok(session)
}

/// Announces the key of the party's sealed messages in a session. Repeated calls announce the same
/// key.
///
/// # Errors
///
/// [`Error::OtherBoxKey`]; those of the home and of the store.
pub fn announce(home: &Home, session: &OpenSession) -> Result<BoxPublicKey> {
    session.consortium().member(home.party())?;
    let keys = home.session_keys(session.id(), &mut UnwrapErr(getrandom::SysRng))?;
    let key = Key::Announcement(session.id(), home.party());
    session.store().put(&key, keys.announce(home.identity()).to_bytes().to_vec()).map_err(
        |error| match error {
            crate::store::Error::Conflict { .. } => Error::OtherBoxKey { party: home.party() },
            error => error.into(),
        },
    )?;
    Ok(keys.public_key())
}
