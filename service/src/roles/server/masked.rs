//! Results that a key holder decrypts, masked by the server.
//!
//! ```text
//! server                                                     key holder
//!   sum/0, sum/1, …   masked:   masked/0, masked/1, …  ────▶
//!                     signed:   asked                  ────▶  checks, decrypts
//!                                         answer/0, answer/1, …
//!   removes the masks, shard by shard  ◀──────────  answered (signed)
//! ```
//!
//! Masks are drawn from a secret in the home and from the digest of `done`. So a process that was
//! killed makes the same requests again, and other sums have other masks.

use std::sync::Arc;

use bytes::Bytes;
use chacha20::ChaCha20Rng;
use cipherfold::federated::{
    Party,
    channel::{BoxPublicKey, HpkeChannel},
    round::{RoundTotals, Server, StreamedServer},
};
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use super::{
    result::ResultFile,
    sums::{SumReader, missing},
};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    objects::{Answered, Asked, Done, PartDigest, RoundKey, Signed, sign},
    parties::Home,
    progress::Progress,
    roles::{
        Timeout, faults,
        prefetch::prefetch_shards,
        repeatable::{Repeatable, generator},
    },
    round::{OpenRound, append, read_listed},
};

/// Has the sums decrypted by the key holder, and writes the values to a file that has no name yet.
pub(super) fn pull(
    home: &Home,
    sums: &SumReader<'_>,
    done: &Signed<Done>,
    file: &mut ResultFile<'_>,
    timeout: Timeout,
    progress: &dyn Progress,
) -> Result<RoundTotals> {
    let round = sums.round();
    let key_holder = timeout.wait(
        round.store(),
        || "the key holder's key".to_owned(),
        || round.session().announced(Party::KeyHolder),
    )?;
    let request = Request { sums, masks: Masks::new(home, round, done)?, key_holder };
    let own = Repeatable::new(home, round.session())?;
    let asked = match round.asked(done)? {
        Some(asked) => asked,
        None => request.send(home, &own, done, progress)?,
    };
    if asked.body().masks != request.masks.digest() {
        return Err(Error::OtherMasks { round: round.number() });
    }
    progress.note(&"the key holder is asked to decrypt the masked sums");
    let answered = timeout.wait(
        round.store(),
        || format!("the key holder's answer for round {}", round.number()),
        || round.answered(&asked),
    )?;
    request.unmask(&own, &answered, file, progress)
}

/// The masks of a round.
struct Masks {
    secret: Zeroizing<[u8; 32]>,
    done: Sha256,
}

impl Masks {
    fn new(home: &Home, round: &OpenRound, done: &Signed<Done>) -> Result<Self> {
        let rng = &mut UnwrapErr(getrandom::SysRng);
        let secret = home.masks(round.session().id(), round.number(), rng)?;
        Ok(Self { secret, done: done.digest() })
    }

    /// The generator for a message: first its mask, then the randomness that encrypts and seals it.
    fn of_message(&self, number: u64) -> ChaCha20Rng {
        let parts: [&[u8]; 3] = [&*self.secret, &self.done.to_bytes(), &number.to_be_bytes()];
        generator("cipherfold service mask", &parts)
    }

    /// A digest of the masks. Without the secret, it reveals nothing about them.
    fn digest(&self) -> Sha256 {
        let parts: [&[u8]; 2] = [&*self.secret, &self.done.to_bytes()];
        Sha256::for_purpose("cipherfold service digest of masks", &parts)
    }
}

/// The server's request to the key holder in a round.
struct Request<'r> {
    sums: &'r SumReader<'r>,
    masks: Masks,
    key_holder: BoxPublicKey,
}

impl Request<'_> {
    /// Masks all sums for the key holder, and signs their list.
    fn send(
        &self,
        home: &Home,
        own: &Repeatable,
        done: &Signed<Done>,
        progress: &dyn Progress,
    ) -> Result<Signed<Asked>> {
        let round = self.sums.round();
        let mut masked = Vec::new();
        prefetch_shards(
            0..round.shards(),
            |shard| self.sums.fetch(shard),
            |shard, sealed| {
                progress.work("masking", shard.into(), round.shards().into());
                let request = self.mask(own, shard, &sealed)?;
                masked.push(PartDigest::of(&request));
                round.store().put(&round.key(RoundKey::Masked(shard)), request)?;
                faults::point("server-masked");
                Ok(())
            },
        )?;
        progress.work("masking", round.shards().into(), round.shards().into());
        let key = round.key(RoundKey::Asked);
        let asked = Asked { done: done.digest(), masks: self.masks.digest(), masked };
        round.store().put(&key, sign(home.identity(), &key, &asked))?;
        faults::point("server-asked");
        Ok(round.asked(done)?.ok_or_else(|| missing(key, "the request"))?)
    }

    /// The masked sum of a shard.
    fn mask(&self, own: &Repeatable, shard: u32, sealed: &[u8]) -> Result<Vec<u8>> {
        let spec = self.sums.round().spec();
        let (relay, key_holder) = (relay(), Arc::new(own.channel(Party::KeyHolder, self.key_holder)));
        let mut server = Server::with_key_holder(spec, self.sums.key(), relay.clone(), key_holder)?;
        let mut sum = self.sums.open(shard, sealed)?;
        let mut request = Vec::new();
        for number in sum.numbers() {
            let message = sum.message(number, &*relay, &mut UnwrapErr(getrandom::SysRng))?;
            append(&mut request, &server.mask(&message, &mut self.masks.of_message(number))?);
        }
        Ok(request)
    }

    /// Removes the masks from the answers.
    fn unmask(
        &self,
        own: &Repeatable,
        answered: &Signed<Answered>,
        file: &mut ResultFile<'_>,
        progress: &dyn Progress,
    ) -> Result<RoundTotals> {
        let round = self.sums.round();
        let (relay, key_holder) = (relay(), Arc::new(own.channel(Party::KeyHolder, self.key_holder)));
        let mut server =
            StreamedServer::with_key_holder(round.spec(), self.sums.key(), relay.clone(), key_holder)?;
        prefetch_shards(
            0..round.shards(),
            |shard| Ok((self.sums.fetch(shard)?, fetch_answer(round, answered, shard)?)),
            |shard, (sealed, answer)| {
                progress.work("unmasking", shard.into(), round.shards().into());
                let mut sum = self.sums.open(shard, &sealed)?;
                for number in sum.numbers() {
                    let message = sum.message(number, &*relay, &mut UnwrapErr(getrandom::SysRng))?;
                    server.mask_again(&message, &mut self.masks.of_message(number))?;
                }
                for answer in round.messages_in(RoundKey::Answer(shard), shard, &answer)? {
                    file.write(&server.unmask(answer)?)?;
                }
                faults::point("server-shard");
                Ok(())
            },
        )?;
        progress.work("unmasking", round.shards().into(), round.shards().into());
        Ok(server.finish()?)
    }
}

/// A channel from one role to the other within this process.
fn relay() -> Arc<HpkeChannel> {
    Arc::new(HpkeChannel::new())
}

/// The answer of a shard, if it has the digest that the key holder signed.
fn fetch_answer(round: &OpenRound, answered: &Signed<Answered>, shard: u32) -> Result<Bytes> {
    let listed = (Party::KeyHolder, answered.body().answers[shard as usize]);
    read_listed(round, RoundKey::Answer(shard), round.answer_limit(shard), listed)
}
