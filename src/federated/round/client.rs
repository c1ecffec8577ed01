//! What a client does: encode, pack, encrypt. It knows its update, its weights and the public key.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::federated::{
    At, Clients, Placed, PlacementKind,
    channel::message::Contribution,
    report::Phase,
    report::ledger::Ledger,
    round::plan::{Chunk, Group, Place, Plan},
};
use crate::{
    Error, Result,
    paillier::{Encryptor, KeySize, Plaintext},
};

/// A client's values, checked against the plan.
pub(in crate::federated) struct Member<'a> {
    plan: &'a Plan,
    groups: Vec<Group<'a>>,
}

impl<'a> Member<'a> {
    /// Checks everything that can be wrong before anything is sent.
    pub(in crate::federated) fn new(plan: &'a Plan, groups: Vec<Group<'a>>) -> Result<Self> {
        plan.check(&groups)?;
        Ok(Self { plan, groups })
    }

    /// The values of a chunk, encoded and weighted, one for each slot, and how many of them were clipped.
    pub(in crate::federated) fn slots(
        &self,
        chunk: &Chunk,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Zeroizing<Vec<u64>>, u64)> {
        let mut clipped = 0;
        let mut values = Zeroizing::new(vec![0; chunk.values()]);
        for (range, place) in self.plan.places(chunk) {
            let values = &mut values[range];
            match place {
                Place::Weight { .. } => values[0] = 1,
                Place::Tensor { index, from } => {
                    let (group, tensor) = self.plan.place_of(index);
                    let columns = self.groups[group].columns()?;
                    clipped += columns[tensor]
                        .encode(from, values, rng)
                        .map_err(|source| Error::Tensor { tensor, source: Box::new(source) })?
                        as u64;
                }
            }
        }
        if let Some(weight) = chunk.weighted.and_then(|group| self.groups[group].weight) {
            // The layout has room for every value times the largest weight, in a word.
            values.iter_mut().for_each(|value| *value *= u64::from(weight.value));
        }
        Ok((values, clipped))
    }
}

/// Packs and encrypts the values of a chunk.
pub(in crate::federated) fn encrypt<S: KeySize>(
    slots: &[u64],
    chunk: &Chunk,
    encryptor: &Encryptor<S>,
    ledger: &Ledger,
    rng: &mut dyn CryptoRng,
    here: &At<Clients>,
) -> Result<Placed<Contribution<S>, Clients>> {
    let plaintexts = ledger.time(Phase::Packing, PlacementKind::Clients, || {
        let mut words = Zeroizing::new(vec![0; chunk.layout.words()]);
        let parts = slots.chunks(chunk.layout.slots());
        // Room for all from the start: growing would leave copies behind.
        let mut plaintexts = Vec::with_capacity(parts.len());
        for slots in parts {
            chunk.layout.pack(slots, &mut words);
            plaintexts.push(Plaintext::<S>::from_words(&words)?);
        }
        Ok::<_, Error>(plaintexts)
    })?;
    let ciphertexts = ledger
        .time(Phase::Encryption, PlacementKind::Clients, || encryptor.encrypt_batch(&plaintexts, rng))?;
    ledger.encrypted(ciphertexts.len());
    Ok(Placed::new(Contribution { ciphertexts }, here))
}
