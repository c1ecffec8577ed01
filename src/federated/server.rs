//! What the server does: make the keys, decrypt sums, decode them. It sees no single update.

use zeroize::Zeroizing;

use super::{
    At, Placed, Server,
    column::{Column, Decode, Decoded},
    message::EncryptedSum,
    plan::{Chunk, Place, Plan},
    report::{Clock, Phase},
};
use crate::{
    Error, Result,
    paillier::{KeySize, SecretKey},
};

/// The result of a run in progress.
pub(super) struct Decoder<'a> {
    plan: &'a Plan,
    tensors: Vec<Box<dyn Decode>>,
    clients: u64,
    /// Total weight of all clients: their number, unless they have weights.
    weight: Option<u64>,
}

impl<'a> Decoder<'a> {
    /// For updates like the one with these columns, of so many clients.
    pub(super) fn new(plan: &'a Plan, columns: &[Box<dyn Column + '_>], clients: u32) -> Self {
        let tensors = columns.iter().map(|column| column.decoder()).collect();
        let clients = u64::from(clients);
        let weight = plan.max_weight.is_none().then_some(clients);
        Self { plan, tensors, clients, weight }
    }

    /// Decrypts and decodes the sum of a chunk. Chunks come in order.
    pub(super) fn decode<S: KeySize>(
        &mut self,
        chunk: &Chunk,
        sum: Placed<EncryptedSum<S>, Server>,
        key: &Placed<SecretKey<S>, Server>,
        clock: &Clock,
        here: &At<Server>,
    ) -> Result<()> {
        let EncryptedSum { contributions, ciphertexts } = sum.into_inner(here);
        if contributions != self.clients {
            return Err(Error::Contributions { expected: self.clients, found: contributions });
        }
        if ciphertexts.len() != chunk.plaintexts {
            return Err(Error::BatchLength { expected: chunk.plaintexts, found: ciphertexts.len() });
        }
        let plaintexts = clock.time(Phase::Decryption, || key.get(here).decrypt_batch(&ciphertexts))?;
        clock.time(Phase::Unpacking, || {
            let mut sums = Zeroizing::new(vec![0; chunk.values()]);
            let mut words = Zeroizing::new(vec![0; chunk.layout.words()]);
            for (plaintext, sums) in plaintexts.iter().zip(sums.chunks_mut(chunk.layout.slots())) {
                plaintext.write_words(&mut words);
                chunk.layout.unpack(&words, sums);
            }
            for (range, place) in self.plan.places(chunk) {
                match place {
                    Place::Weight => {
                        let limit = chunk.layout.total_weight();
                        let weight = u64::try_from(sums[range.start]).ok().filter(|weight| *weight <= limit);
                        self.weight = Some(weight.ok_or(Error::TotalWeightOutOfRange { limit })?);
                        if self.weight == Some(0) {
                            return Err(Error::ZeroTotalWeight);
                        }
                    }
                    Place::Tensor { index, from } => {
                        let weight = self.weight.expect("the weight comes first");
                        self.tensors[index]
                            .push(&sums[range], weight)
                            .map_err(|at| Error::SumOutOfRange { tensor: index, index: from + at })?;
                    }
                }
            }
            Ok(())
        })
    }

    pub(super) fn finish(self) -> impl Iterator<Item = Decoded> {
        self.tensors.into_iter().map(Decode::finish)
    }
}
