//! A channel's state of one session: key pairs, and the agreements made with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::agreement::{Agreement, Ends, Sealed};
use crate::federated::channel::boxes::once_map::OnceMap;
use crate::federated::channel::error::{Error, Result};
use crate::federated::{
    Party,
    channel::{BoxPublicKey, BoxSecretKey, Envelope, OpenedPayload},
};
use rand_core::CryptoRng;

/// Its secrets are wiped when it is dropped.
#[derive(Default)]
pub(super) struct SessionState {
    keys: OnceMap<Party, PartyKeys>,
    /// By sender and receiver, then by round: the keys that this side has encapsulated.
    sending: Mutex<ByRound<Arc<OnceLock<Agreement>>>>,
    /// The same for keys that this side has decapsulated, and used to open a message.
    receiving: Mutex<ByRound<Arc<Agreement>>>,
    /// Pairs with at least one agreement, in ascending order.
    pairs: Mutex<BTreeSet<(Party, Party)>>,
}

type ByRound<T> = BTreeMap<(Party, Party), BTreeMap<u64, T>>;

/// Number of rounds whose agreements are kept for a sender and a receiver. An older agreement is
/// computed again when needed, at the cost of some scalar multiplications.
const ROUNDS_KEPT: usize = 8;

/// A party's keys in a session.
pub(super) struct PartyKeys {
    pub(super) public: BoxPublicKey,
    /// Absent if it is elsewhere.
    pub(super) secret: Option<BoxSecretKey>,
}

impl PartyKeys {
    pub(super) fn new(secret: BoxSecretKey) -> Self {
        Self { public: secret.public_key(), secret: Some(secret) }
    }

    pub(super) const fn elsewhere(public: BoxPublicKey) -> Self {
        Self { public, secret: None }
    }
}

impl SessionState {
    pub(super) fn public_key(&self, party: Party) -> Option<BoxPublicKey> {
        Some(self.keys.get(&party)?.get()?.public)
    }

    /// The keys of `party`. If there are none, `make` makes them.
    pub(super) fn keys(&self, party: Party, make: impl FnOnce() -> PartyKeys) -> Arc<OnceLock<PartyKeys>> {
        let slot = self.keys.slot(party);
        slot.get_or_init(make);
        slot
    }

    pub(super) fn replace(&mut self, party: Party, keys: PartyKeys) {
        self.keys.insert(party, keys);
        for agreements in [&mut self.sending].map(|sending| sending.get_mut()) {
            agreements.unwrap_or_else(PoisonError::into_inner).retain(|ends, _| !is_end(*ends, party));
        }
        let receiving = self.receiving.get_mut().unwrap_or_else(PoisonError::into_inner);
        receiving.retain(|ends, _| !is_end(*ends, party));
    }

    pub(super) fn parties(&self) -> Vec<Party> {
        self.keys.keys()
    }

    /// Number of pairs with at least one agreement.
    pub(super) fn pairs(&self) -> usize {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn record_pair(&self, from: Party, to: Party) {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner).insert((from.min(to), from.max(to)));
    }

    /// Seals a message. The keys of both ends exist; the receiver's may be the public key alone.
    pub(super) fn seal(
        &self,
        envelope: &Envelope,
        payload: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>> {
        let route = envelope.route();
        let Envelope { from, to, .. } = *envelope;
        let no_keys = Error::NoKeyExchange { from, to };
        let (own, peer) = (self.keys.get(&from), self.keys.get(&to));
        let (Some(own), Some(peer)) =
            (own.as_ref().and_then(|s| s.get()), peer.as_ref().and_then(|s| s.get()))
        else {
            return Err(no_keys);
        };
        let secret = own.secret.as_ref().ok_or(Error::MissingSecretKey { party: from })?;
        let slot = {
            let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
            let rounds = sending.entry((from, to)).or_default();
            let slot = Arc::clone(rounds.entry(envelope.round).or_default());
            keep_latest(rounds);
            slot
        };
        // Only threads that seal for this receiver and round wait here.
        let agreement = slot.get_or_init(|| {
            self.record_pair(from, to);
            let ends = Ends { own: secret, own_public: &own.public, peer: &peer.public };
            Agreement::encapsulate(&route, &ends, rng)
        });
        Ok(agreement.seal(envelope, payload, rng))
    }

    /// Opens a message whose header is `envelope`.
    pub(super) fn open(&self, envelope: &Envelope, message: &Sealed<'_>) -> Result<OpenedPayload> {
        let route = envelope.route();
        let Envelope { from, to, round, .. } = *envelope;
        let (peer, own) = (self.keys.get(&from), self.keys.get(&to));
        let (Some(peer), Some(own)) =
            (peer.as_ref().and_then(|s| s.get()), own.as_ref().and_then(|s| s.get()))
        else {
            return Err(Error::NoKeyExchange { from, to });
        };
        let secret = own.secret.as_ref().ok_or(Error::MissingSecretKey { party: to })?;
        let does_not_open = Error::BoxOpen { from, to };
        let known = {
            let receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
            receiving.get(&(from, to)).and_then(|rounds| rounds.get(&round)).cloned()
        };
        if let Some(known) = known.filter(|known| known.encapsulated() == message.encapsulated) {
            return known.open(message).ok_or(does_not_open);
        }
        let ends = Ends { own: secret, own_public: &own.public, peer: &peer.public };
        let agreement = Agreement::decapsulate(&route, &ends, message.encapsulated);
        let agreement = agreement.ok_or_else(|| does_not_open.clone())?;
        let opened = agreement.open(message).ok_or(does_not_open)?;
        // Recorded only after opening: a forged message must not replace a true agreement.
        self.record_pair(from, to);
        let mut receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        let rounds = receiving.entry((from, to)).or_default();
        rounds.insert(round, Arc::new(agreement));
        keep_latest(rounds);
        Ok(opened)
    }

    /// Numbers of kept agreements: of senders and of receivers.
    #[cfg(test)]
    pub(super) fn agreements(&self) -> (usize, usize) {
        let sending = self.sending.lock().unwrap().values().map(BTreeMap::len).sum();
        (sending, self.receiving.lock().unwrap().values().map(BTreeMap::len).sum())
    }
}

fn is_end((a, b): (Party, Party), party: Party) -> bool {
    a == party || b == party
}

fn keep_latest<T>(rounds: &mut BTreeMap<u64, T>) {
    if rounds.len() > ROUNDS_KEPT {
        rounds.pop_first();
    }
}
