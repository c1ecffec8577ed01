//! What a client does: encode, pack, encrypt. It knows its update, its weight and the public key.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    At, Clients, Placed,
    column::Column,
    message::Contribution,
    plan::{Chunk, Place, Plan},
    report::{Clock, Phase},
};
use crate::{
    Error, Result,
    paillier::{Encryptor, KeySize, Plaintext},
};

/// A client's update, checked against the plan.
pub(super) struct Member<'a> {
    columns: Vec<Box<dyn Column + 'a>>,
    weight: u64,
}

impl<'a> Member<'a> {
    /// Checks everything that can be wrong with values before anything is sent.
    pub(super) fn new(plan: &Plan, columns: Vec<Box<dyn Column + 'a>>, weight: u32) -> Result<Self> {
        for (tensor, column) in columns.iter().enumerate() {
            column.check().map_err(|source| Error::Tensor { tensor, source: Box::new(source) })?;
        }
        let max = plan.max_weight.unwrap_or(1);
        if weight > max {
            return Err(Error::WeightTooLarge { max });
        }
        Ok(Self { columns, weight: weight.into() })
    }

    /// The encrypted part of the update that a chunk carries, and how many of its values were clipped.
    pub(super) fn contribution<S: KeySize>(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        encryptor: &Encryptor<S>,
        clock: &Clock,
        rng: &mut dyn CryptoRng,
        here: &At<Clients>,
    ) -> Result<(Placed<Contribution<S>, Clients>, usize)> {
        let (plaintexts, clipped) = clock.time(Phase::Packing, || self.pack::<S>(plan, chunk, rng))?;
        let ciphertexts = clock.time(Phase::Encryption, || encryptor.encrypt_batch(&plaintexts, rng))?;
        Ok((Placed::new(Contribution { ciphertexts }, here), clipped))
    }

    fn pack<S: KeySize>(
        &self,
        plan: &Plan,
        chunk: &Chunk,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Vec<Plaintext<S>>, usize)> {
        let mut values = Zeroizing::new(vec![0; chunk.values()]);
        let mut clipped = 0;
        for (range, place) in plan.places(chunk) {
            let values = &mut values[range];
            match place {
                Place::Weight => values[0] = 1,
                Place::Tensor { index, from } => {
                    clipped += self.columns[index]
                        .encode(from, values, rng)
                        .map_err(|source| Error::Tensor { tensor: index, source: Box::new(source) })?;
                }
            }
        }
        if plan.max_weight.is_some() {
            // The layout has room for every value times the largest weight, in a word.
            values.iter_mut().for_each(|value| *value *= self.weight);
        }
        let mut words = Zeroizing::new(vec![0; chunk.layout.words()]);
        let plaintexts = values
            .chunks(chunk.layout.slots())
            .map(|slots| {
                chunk.layout.pack(slots, &mut words);
                Plaintext::from_words(&words)
            })
            .collect::<Result<_>>()?;
        Ok((plaintexts, clipped))
    }
}
