//! How the sum of a chunk is opened: by the server itself, or behind masks by the key holder.

use zeroize::Zeroizing;

use crate::federated::{
    At, KeyHolder, Party, Placed, PlacementKind, Server,
    channel::message::{EncryptedSum, MaskedSum, MaskedTotals},
    report::Phase,
    round::Round,
    round::plan::Chunk,
    round::session::Secret,
};
use crate::{
    Error, Result,
    paillier::{self, KeySize, Masks, Plaintext},
};

impl<S: KeySize> Round<'_, S> {
    /// The sums in the slots of a chunk, at the server.
    pub(in crate::federated) fn open(
        &self,
        chunk: &Chunk,
        sum: Placed<EncryptedSum<S>, Server>,
        here: &At<Server>,
    ) -> Result<Zeroizing<Vec<u128>>> {
        let found = sum.get(here).ciphertexts.len();
        if found != chunk.plaintexts {
            return Err(paillier::Error::BatchLength { expected: chunk.plaintexts, found }.into());
        }
        let plaintexts = match &self.executor.keys(self.ledger)?.secret {
            Secret::Server(key) => {
                let ciphertexts = sum.into_inner(here).ciphertexts;
                self.ledger.decrypted(ciphertexts.len());
                self.ledger.time(Phase::Decryption, PlacementKind::Server, || {
                    self.executor.on_pool(|| Ok::<_, Error>(key.get(here).decrypt_batch(&ciphertexts)?))?
                })?
            }
            Secret::KeyHolder(key) => {
                self.open_behind_masks(sum, here, |MaskedSum { ciphertexts }, at_key_holder| {
                    self.ledger.decrypted(ciphertexts.len());
                    self.ledger.time(Phase::Decryption, PlacementKind::KeyHolder, || {
                        Ok(self.executor.on_pool(|| key.get(at_key_holder).decrypt_batch(&ciphertexts))??)
                    })
                })?
            }
        };
        let unpack = || {
            let mut sums = Zeroizing::new(vec![0; chunk.values()]);
            let mut words = Zeroizing::new(vec![0; chunk.layout.words()]);
            for (plaintext, sums) in plaintexts.iter().zip(sums.chunks_mut(chunk.layout.slots())) {
                plaintext.write_words(&mut words);
                chunk.layout.unpack(&words, sums);
            }
            sums
        };
        Ok(self.ledger.time(Phase::Unpacking, PlacementKind::Server, unpack))
    }

    /// The server masks the sum, the key holder decrypts what it cannot read, the server takes the masks off.
    fn open_behind_masks(
        &self,
        sum: Placed<EncryptedSum<S>, Server>,
        here: &At<Server>,
        decrypt: impl FnOnce(MaskedSum<S>, &At<KeyHolder>) -> Result<Vec<Plaintext<S>>>,
    ) -> Result<Vec<Plaintext<S>>> {
        let executor = self.executor;
        let encryptor = executor.server_encryptor(self.number, self.ledger, here)?;
        let mut rng = executor.stream();
        let sum = sum.into_inner(here).ciphertexts;
        let (masks, ciphertexts) = self.ledger.time(Phase::Masking, PlacementKind::Server, || {
            executor.on_pool(|| {
                let masks = Masks::new(encryptor.public_key(), sum.len(), &mut rng)?;
                let hidden = masks.hide(&encryptor, &sum, &mut rng)?;
                Ok::<_, Error>((masks, hidden))
            })?
        })?;
        let masked = Placed::new(MaskedSum { ciphertexts }, here);
        let masked: Placed<_, KeyHolder> =
            self.transfer(masked, Party::Server, Party::KeyHolder, &mut rng)?;

        let at_key_holder = At::<KeyHolder>::new();
        let plaintexts = decrypt(masked.into_inner(&at_key_holder), &at_key_holder)?;
        let totals = Placed::new(MaskedTotals { plaintexts }, &at_key_holder);
        let totals: Placed<MaskedTotals<S>, Server> =
            self.transfer(totals, Party::KeyHolder, Party::Server, &mut executor.stream())?;

        let totals = totals.into_inner(here).plaintexts;
        Ok(self.ledger.time(Phase::Masking, PlacementKind::Server, || masks.remove(totals))?)
    }
}
