//! A session's keys: who holds the secret one, and how the public one reaches the others.

use core::fmt;
use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use rand_core::CryptoRng;

use crate::federated::{
    Aggregator, At, Clients, KeyHolder, LocalExecutor, Party, Placed, Placement, PlacementKind, Server,
    SessionId, channel::message::PublicKeyMessage, channel::network::Way, report::Phase,
    report::ledger::Ledger,
};
use crate::{
    Result,
    paillier::{Encryptor, KeySize, PublicKey, SecretKey},
};

/// Who holds a session's secret key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyHolding {
    /// The server, which decrypts the sum itself. Server and aggregator must not collude.
    #[default]
    Server,
    /// A party of its own, which decrypts sums behind masks that the server adds and takes off. Key holder and aggregator must
    /// not collude; server and aggregator together still see nothing but sums.
    KeyHolder,
}

impl KeyHolding {
    /// The party that holds the key.
    pub const fn party(self) -> Party {
        match self {
            Self::Server => Party::Server,
            Self::KeyHolder => Party::KeyHolder,
        }
    }
}

/// One session: a key pair, and who has which part of it.
pub(in crate::federated) struct Session<S: KeySize> {
    pub(in crate::federated) id: SessionId,
    supplied: Mutex<Option<SecretKey<S>>>,
    keys: OnceLock<Keys<S>>,
    /// The public key as each client received it, with the prepared table; `None` if it is the one that all should have.
    clients: Mutex<HashMap<u32, Option<Box<Encryptor<S>>>>>,
    /// The public key as the aggregator received it.
    aggregator: Mutex<Option<Placed<PublicKey<S>, Aggregator>>>,
    /// The public key as the server received it, if it comes from the key holder.
    server: Mutex<Option<Placed<Encryptor<S>, Server>>>,
}

/// What the holder of the secret key made for a session.
pub(in crate::federated) struct Keys<S: KeySize> {
    pub(in crate::federated) secret: Secret<S>,
    /// Public; its table is the one that the simulated parties share.
    pub(in crate::federated) encryptor: Encryptor<S>,
}

/// The secret key, where it lives.
pub(in crate::federated) enum Secret<S: KeySize> {
    Server(Placed<SecretKey<S>, Server>),
    KeyHolder(Placed<SecretKey<S>, KeyHolder>),
}

impl<S: KeySize> Session<S> {
    pub(in crate::federated) fn new(rng: &mut dyn CryptoRng, supplied: Option<SecretKey<S>>) -> Self {
        Self {
            id: SessionId::random(rng),
            supplied: Mutex::new(supplied),
            keys: OnceLock::new(),
            clients: Mutex::default(),
            aggregator: Mutex::default(),
            server: Mutex::default(),
        }
    }
}

impl<S: KeySize> LocalExecutor<S> {
    /// The session's keys, made once however many ask at first.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenGenerator`](crate::Error::BrokenGenerator); those of
    /// [`select`](crate::backend::select). The next call tries again.
    pub(in crate::federated) fn keys(&self, ledger: &Ledger) -> Result<&Keys<S>> {
        if let Some(keys) = self.session.keys.get() {
            return Ok(keys);
        }
        // Held until the keys are there, so that others wait for them.
        let mut supplied = self.session.supplied.lock().unwrap_or_else(PoisonError::into_inner);
        if self.session.keys.get().is_none() {
            let holder = self.settings.key_holding.party().placement();
            let keys = ledger.time(Phase::KeyGeneration, holder, || self.make_keys(supplied.as_ref()))?;
            supplied.take();
            self.session.keys.get_or_init(|| keys);
        }
        drop(supplied);
        Ok(self.session.keys.get().expect("made above"))
    }

    fn make_keys(&self, supplied: Option<&SecretKey<S>>) -> Result<Keys<S>> {
        let mut rng = self.stream();
        let secret = match supplied {
            Some(key) => key.with_backend(self.settings.backend)?,
            None => SecretKey::generate(&mut rng)?.with_backend(self.settings.backend)?,
        };
        let encryptor = self.on_pool(|| Encryptor::new(secret.public_key(), &mut rng))??;
        let secret = match self.settings.key_holding {
            KeyHolding::Server => Secret::Server(Placed::new(secret, &At::new())),
            KeyHolding::KeyHolder => Secret::KeyHolder(Placed::new(secret, &At::new())),
        };
        Ok(Keys { secret, encryptor })
    }

    /// Sends the public key from its holder to a party at Q.
    fn send_public_key<Q: Placement>(
        &self,
        to: Party,
        round: u64,
        ledger: &Ledger,
        rng: &mut dyn CryptoRng,
    ) -> Result<Placed<PublicKeyMessage<S>, Q>> {
        let encryptor = &self.keys(ledger)?.encryptor;
        let message =
            PublicKeyMessage { key: encryptor.public_key().clone(), base: encryptor.base().clone() };
        let from = self.settings.key_holding.party();
        let way = Way { session: self.session.id, round, from, to };
        match self.settings.key_holding {
            KeyHolding::Server => {
                self.network.transfer(Placed::<_, Server>::new(message, &At::new()), way, ledger, rng)
            }
            KeyHolding::KeyHolder => {
                self.network.transfer(Placed::<_, KeyHolder>::new(message, &At::new()), way, ledger, rng)
            }
        }
    }

    /// What a party makes of the public key that it received.
    fn encryptor(&self, message: PublicKeyMessage<S>, ledger: &Ledger) -> Result<Encryptor<S>> {
        let PublicKeyMessage { key, base } = message;
        // The same public data gives the same table, which the simulation holds once.
        let shared = &self.keys(ledger)?.encryptor;
        if key == *shared.public_key() && base == *shared.base() {
            Ok(shared.clone())
        } else {
            Ok(Encryptor::with_base(&key.with_backend(self.settings.backend)?, base)?)
        }
    }

    /// A client's encryptor, for which it receives the public key in its first round.
    pub(in crate::federated) fn client_encryptor(
        &self,
        client: u32,
        round: u64,
        ledger: &Ledger,
        rng: &mut dyn CryptoRng,
        here: &At<Clients>,
    ) -> Result<Encryptor<S>> {
        let known = self.session.clients.lock().unwrap_or_else(PoisonError::into_inner).get(&client).cloned();
        if let Some(own) = known {
            return match own {
                Some(own) => Ok(*own),
                None => Ok(self.keys(ledger)?.encryptor.clone()),
            };
        }
        let received = self.send_public_key::<Clients>(Party::Client(client), round, ledger, rng)?;
        let encryptor = self.encryptor(received.into_inner(here), ledger)?;
        let shared = &self.keys(ledger)?.encryptor;
        let is_shared = encryptor.public_key() == shared.public_key() && encryptor.base() == shared.base();
        let own = (!is_shared).then(|| Box::new(encryptor.clone()));
        self.session.clients.lock().unwrap_or_else(PoisonError::into_inner).insert(client, own);
        Ok(encryptor)
    }

    /// The aggregator's copy of the public key, which it receives in the session's first round.
    pub(in crate::federated) fn aggregator_key(
        &self,
        round: u64,
        ledger: &Ledger,
        here: &At<Aggregator>,
    ) -> Result<PublicKey<S>> {
        self.keys(ledger)?;
        let mut aggregator = self.session.aggregator.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*aggregator {
            return Ok(key.get(here).clone());
        }
        let mut rng = self.stream();
        let received = self.send_public_key::<Aggregator>(Party::Aggregator, round, ledger, &mut rng)?;
        let key = received.into_inner(here).key.with_backend(self.settings.backend)?;
        *aggregator = Some(Placed::new(key.clone(), here));
        Ok(key)
    }

    /// The server's encryptor for its masks, for which it receives the public key from the key holder once a session.
    pub(in crate::federated) fn server_encryptor(
        &self,
        round: u64,
        ledger: &Ledger,
        here: &At<Server>,
    ) -> Result<Encryptor<S>> {
        let mut server = self.session.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(encryptor) = &*server {
            return Ok(encryptor.get(here).clone());
        }
        let received = self.send_public_key::<Server>(Party::Server, round, ledger, &mut self.stream())?;
        let encryptor = self.encryptor(received.into_inner(here), ledger)?;
        *server = Some(Placed::new(encryptor.clone(), here));
        Ok(encryptor)
    }

    /// The ways that messages of a round with encrypted sums take.
    pub(in crate::federated) fn ways(&self) -> Vec<(PlacementKind, PlacementKind)> {
        use PlacementKind::{Aggregator, Clients, KeyHolder, Server};
        let mut ways = match self.settings.key_holding {
            KeyHolding::Server => vec![(Server, Clients)],
            KeyHolding::KeyHolder => {
                vec![(KeyHolder, Clients), (KeyHolder, Aggregator), (KeyHolder, Server)]
            }
        };
        ways.extend([(Clients, Aggregator), (Aggregator, Server)]);
        ways
    }
}

impl<S: KeySize> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}
