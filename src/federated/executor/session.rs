//! A session's keys: made once, and received by all other parties.

use std::sync::PoisonError;

use rand_core::CryptoRng;

use super::erased::ErasedExecutor;
use crate::{
    federated::{
        Aggregator, At, Clients, Digest, KeyHolder, KeyHolding, Party, Placed, Placement, PlacementKind,
        Result, Server,
        channel::{self, route::Route},
        report::{Phase, ledger::Ledger},
        round::{EncryptionKey, KeyOwner, SessionOffer, SessionParameters},
    },
    paillier::Exponents,
};

impl ErasedExecutor {
    /// The session's keys. They are made once, even if several threads ask at the same time.
    ///
    /// # Errors
    ///
    /// Those of [`KeyOwner::generate`]. The next call tries again.
    pub(in crate::federated) fn keys(&self, ledger: &Ledger) -> Result<&KeyOwner> {
        let session = &self.session;
        if let Some(owner) = session.owner.get() {
            return Ok(owner);
        }
        let making = session.making.lock().unwrap_or_else(PoisonError::into_inner);
        if session.owner.get().is_none() {
            let holder = self.settings.key_holding.party().placement();
            let owner = ledger.time(Phase::KeyGeneration, holder, || self.make_keys())?;
            session.owner.get_or_init(|| owner);
        }
        drop(making);
        Ok(session.owner.get().expect("the keys were made above"))
    }

    fn make_keys(&self) -> Result<KeyOwner> {
        let mut rng = self.stream();
        let parameters = SessionParameters {
            session: self.session.id,
            key_bits: self.key_bits(),
            key_holding: self.settings.key_holding,
            roster: Digest::NONE,
            backend: self.settings.backend,
        };
        let supplied = self.session.supplied.as_deref();
        self.on_pool(|| {
            let owner = match supplied {
                Some(key) => KeyOwner::supplied(parameters, key, &mut rng),
                None => KeyOwner::generate(parameters, &mut rng),
            }?;
            let owner = match self.settings.exponents {
                Exponents::Half => owner,
                Exponents::Short => owner.with_short_exponents(),
            };
            // Simulated clients share this key, so the time for its table is not counted as theirs.
            owner.encryption_key().prepare()?;
            Ok(owner)
        })?
    }

    /// The public key of a party: it receives the offer in its first round, and accepts only the
    /// pinned one.
    pub(in crate::federated) fn received_key(
        &self,
        to: Party,
        round: u64,
        ledger: &Ledger,
        rng: &mut dyn CryptoRng,
    ) -> Result<EncryptionKey> {
        let received = || self.session.received.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = received().get(&to) {
            return Ok(known.clone());
        }
        let own = self.keys(ledger)?.encryption_key();
        let offer = match to.placement() {
            PlacementKind::Clients => self.send_offer::<Clients>(to, round, ledger, rng)?,
            PlacementKind::Aggregator => self.send_offer::<Aggregator>(to, round, ledger, rng)?,
            PlacementKind::Server => self.send_offer::<Server>(to, round, ledger, rng)?,
            PlacementKind::KeyHolder => self.send_offer::<KeyHolder>(to, round, ledger, rng)?,
        };
        // The same public data gives the same table, so the simulation keeps it once.
        let key = if offer == *own.offer() {
            own.clone()
        } else {
            EncryptionKey::new(&offer, own.digest(), self.settings.backend)?
        };
        received().insert(to, key.clone());
        Ok(key)
    }

    /// Sends the session's offer from the holder of the key to a party at Q.
    fn send_offer<Q: Placement>(
        &self,
        to: Party,
        round: u64,
        ledger: &Ledger,
        rng: &mut dyn CryptoRng,
    ) -> Result<SessionOffer> {
        let offer = self.keys(ledger)?.offer().clone();
        let from = self.settings.key_holding.party();
        let route = Route { session: self.session.id, round, from, to };
        let received: Placed<SessionOffer, Q> = match self.settings.key_holding {
            KeyHolding::Server => {
                self.network.transfer(Placed::<_, Server>::new(offer, &At::new()), route, ledger, rng)?
            }
            KeyHolding::KeyHolder => {
                self.network.transfer(Placed::<_, KeyHolder>::new(offer, &At::new()), route, ledger, rng)?
            }
        };
        Ok(received.into_inner(&At::new()))
    }

    /// Refuses a grid without the channels that a round with encrypted sums needs.
    pub(in crate::federated) fn check_channels(&self) -> Result<(), channel::Error> {
        use PlacementKind::{Aggregator, Clients, KeyHolder, Server};
        let mut routes = match self.settings.key_holding {
            KeyHolding::Server => vec![(Server, Clients)],
            KeyHolding::KeyHolder => {
                vec![(KeyHolder, Clients), (KeyHolder, Aggregator), (KeyHolder, Server)]
            }
        };
        routes.extend([(Clients, Aggregator), (Aggregator, Server)]);
        self.network.check(&routes)?;
        // A key holder could decrypt contributions, sums, and unmasked totals in transit.
        match self.settings.key_holding {
            KeyHolding::Server => Ok(()),
            KeyHolding::KeyHolder => self.network.check_confidential(&[
                (Clients, Aggregator),
                (Aggregator, Server),
                (Server, KeyHolder),
            ]),
        }
    }
}
