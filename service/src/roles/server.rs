//! The server's part: declare rounds, take their results.

use std::{collections::BTreeMap, fs::File, path::Path, sync::Arc};

use cipherfold::{
    backend::Choice,
    federated::{
        Channel, HpkeChannel, Party, Tensor,
        round::{EncryptionKey, PartialSum, RoundResult, Server},
    },
    files::{Output, UpdateFile},
};
use rand_core::UnwrapErr;

use super::{Patience, announce, fold::sum_envelope};
use crate::{
    error::{Error, Result},
    faults,
    home::Home,
    key::{Key, RoundKey},
    objects::{self, Done, End, Outcome, Sha256, Signed, Taken, sign},
    progress::Progress,
    round::{Declaration, OpenRound, OpenSession, check_digest, declare, template},
    store::look_again,
};

/// A result that the server has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Clients in the sum, in ascending order.
    pub participants: Vec<u32>,
    /// Their total weight: their number, where clients have no weights.
    pub total_weight: u64,
    /// Values of the result.
    pub values: u64,
}

/// Declares a round that averages the tensors of a model.
///
/// # Errors
///
/// [`Error::WrongRole`]; [`Error::SessionMinimum`]; those of [`declare`] and of the store; a conflict if the round exists and was
/// declared in another way.
pub fn open_round(
    home: &Home,
    session: &OpenSession,
    declaration: &Declaration,
    model: &UpdateFile,
    backend: Choice,
) -> Result<OpenRound> {
    home.check_party(Party::Server)?;
    let (minimum, found) = (session.min_clients(), declaration.min_clients);
    if found < minimum {
        return Err(Error::SessionMinimum { minimum, found });
    }
    announce(home, session)?;
    let key: EncryptionKey = session.encryption_key(backend)?;
    let (_, open) = declare(declaration, session.digest(), &key, model)?;
    let key = Key::Round(session.id(), declaration.round, RoundKey::Open);
    session.store().put(&key, sign(home.identity(), &key, &open))?;
    faults::point("round-opened");
    session.round(Some(declaration.round))
}

/// Waits for the sums of a round, decrypts them, and writes the result to a safetensors file.
///
/// Called again, it writes the same file again: the same sums may be opened as often as needed, other ones are refused.
///
/// # Errors
///
/// [`Error::WrongRole`], [`Error::Waiting`], [`Error::Aborted`]; [`objects::Error`] for a sum that the aggregator has not signed; those of
/// the home, of the store, and of [`Server::open`].
pub fn pull(
    home: &Home,
    round: &OpenRound,
    out: &Path,
    (backend, patience): (Choice, Patience),
    progress: &dyn Progress,
) -> Result<Pulled> {
    home.check_party(Party::Server)?;
    let model = template(home, round)?;
    let output = Output::check(out, [&model])?;
    let end =
        patience.wait(round.store(), || format!("the end of round {}", round.number()), || round.end())?;
    let listed = match &end.body().outcome {
        Outcome::Closed(participants) => participants.iter().map(|p| p.client).collect::<Vec<_>>(),
        Outcome::Aborted(reason) => return Err(Error::Aborted { round: round.number(), reason: *reason }),
    };
    let done = patience.wait(
        round.store(),
        || format!("the sums of round {}", round.number()),
        || round.done(&end),
    )?;
    let sum = fetch(home, round, (&end, &done), backend, progress)?;
    if sum.participants() != listed {
        let key = round.key(RoundKey::Done);
        let reason = "the sums are over other clients than the end lists".to_owned();
        return Err(objects::Error::Contents { key, reason }.into());
    }
    let result = open(home, round, sum, backend, progress)?;
    faults::point("server-opened");
    write(&output, &model, round, &result)?;
    faults::point("server-written");
    take(home, round, &done, out)?;
    faults::point("server-taken");
    let total_weight = result.sums.first().map_or(0, |sum| sum.total_weight);
    Ok(Pulled { participants: result.participants, total_weight, values: round.spec().costs().values })
}

/// All sums of a round, checked against the digests that the aggregator signed.
fn fetch(
    home: &Home,
    round: &OpenRound,
    (end, done): (&Signed<End>, &Signed<Done>),
    backend: Choice,
    progress: &dyn Progress,
) -> Result<PartialSum> {
    let session = round.session();
    let aggregator_key = Key::Announcement(session.id(), Party::Aggregator);
    let missing = |key, what: &str| objects::Error::Contents { key, reason: format!("{what} is missing") };
    let aggregator =
        session.announced(Party::Aggregator)?.ok_or_else(|| missing(aggregator_key, "the announcement"))?;
    let keys = home.session_keys(session.id(), &mut UnwrapErr(getrandom::SysRng))?;
    let channel = HpkeChannel::for_party(keys).with_peer(Party::Aggregator, aggregator);
    let key = session.encryption_key(backend)?;
    let mut whole: Option<PartialSum> = None;
    for shard in 0..round.shards() {
        progress.work("fetching sums", shard.into(), round.shards().into());
        let name = round.key(RoundKey::Sum(shard));
        let listed = done.body().sums[shard as usize];
        let check = |sealed: &[u8]| check_digest(&name, Party::Aggregator, listed, sealed);
        let sealed = look_again(
            || round.store().get(&name, round.sum_limit(shard)),
            |found| match found {
                Ok(sealed) => sealed.as_deref().is_some_and(|sealed| check(sealed).is_ok()),
                Err(_) => true,
            },
        )?;
        let sealed = sealed.ok_or_else(|| missing(name, "the sum"))?;
        check(&sealed)?;
        let opened = channel.open_expected(&sum_envelope(round, shard, end.digest()), &sealed)?;
        let part = PartialSum::from_bytes(round.spec(), &key, &opened)?;
        match &mut whole {
            Some(whole) => whole.merge(part)?,
            None => whole = Some(part),
        }
    }
    progress.work("fetching sums", round.shards().into(), round.shards().into());
    Ok(whole.expect("a round has a shard"))
}

/// Decrypts the sums. What was opened is on the disk before anybody sees it.
fn open(
    home: &Home,
    round: &OpenRound,
    sum: PartialSum,
    backend: Choice,
    progress: &dyn Progress,
) -> Result<RoundResult> {
    // Two processes that open rounds of one session at the same time would each forget what the other one has opened.
    let _lock = home.lock_session(round.session().id())?;
    let owner = home.owner(round.session().id(), backend)?;
    // From one role to the other within this process.
    let relay = Arc::new(HpkeChannel::new());
    let mut server = Server::new(round.spec(), &owner, relay.clone())?;
    let mut sum = sum.for_server()?;
    let messages = sum.messages();
    for number in 0..messages {
        progress.work("decrypting", number, messages);
        let message = sum.message(number, &*relay as &dyn Channel, &mut UnwrapErr(getrandom::SysRng))?;
        server.open(&message)?;
    }
    progress.work("decrypting", messages, messages);
    home.save_owner(&owner)?;
    Ok(server.finish()?)
}

fn write(output: &Output, model: &UpdateFile, round: &OpenRound, result: &RoundResult) -> Result<()> {
    let metadata = BTreeMap::from([
        ("cipherfold.session".to_owned(), round.session().id().to_string()),
        ("cipherfold.round".to_owned(), round.number().to_string()),
        ("cipherfold.participants".to_owned(), result.participants.len().to_string()),
    ]);
    let mut writer = output.create(model.tensors(), &metadata)?;
    let tensors = result.sums.iter().flat_map(|sum| sum.tensors.iter());
    for tensor in tensors {
        writer.next_tensor()?;
        match tensor {
            Tensor::F32(values) => {
                writer.write_floats(values.as_slice().expect("one dimension is contiguous"))?;
            }
            Tensor::F64(values) => {
                writer.write_floats(values.as_slice().expect("one dimension is contiguous"))?;
            }
            other => {
                let key = round.key(RoundKey::Open);
                let reason = format!("declares a tensor of type {}", other.tensor_type());
                return Err(objects::Error::Contents { key, reason }.into());
            }
        }
    }
    Ok(writer.finish()?)
}

/// Writes the receipt. The digest is under a secret, since results can be few numbers that one could guess.
fn take(home: &Home, round: &OpenRound, done: &Signed<Done>, out: &Path) -> Result<()> {
    let written = File::open(out).and_then(Sha256::of_reader).map_err(Error::file(out))?;
    let secret = home.identity().expose_bytes();
    let parts: [&[u8]; 3] = [&*secret, &done.digest().to_bytes(), &written.to_bytes()];
    let result = Sha256::for_purpose("cipherfold service result", &parts);
    let key = round.key(RoundKey::Taken);
    let taken = Taken { done: done.digest(), result };
    round.store().put(&key, sign(home.identity(), &key, &taken))?;
    Ok(())
}
