//! The server: declares rounds and takes their results.

mod masked;
mod result;
mod sums;

use std::{fs::File, path::Path, sync::Arc};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Party,
        channel::HpkeChannel,
        round::{EncryptionKey, RoundTotals, StreamedServer},
    },
    files::{Output, UpdateFile},
};
use rand_core::UnwrapErr;

use self::{result::ResultFile, sums::SumReader};
use super::{Timeout, announce, faults, prefetch::prefetch_shards};
use crate::{
    digest::Sha256,
    error::{Error, Result},
    file_error::FileError,
    objects::{Done, Key, Outcome, RoundKey, Saved, Signed, sign},
    parties::Home,
    progress::Progress,
    round::{Declaration, OpenRound, OpenSession, declare, template},
};

/// A result that the server has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Clients in the sum, in ascending order.
    pub participants: Vec<u32>,
    /// Their total weight, or their number if clients have no weights.
    pub total_weight: u64,
    /// Values of the result.
    pub values: u64,
}

/// Declares a round that averages the tensors of a model.
///
/// # Errors
///
/// [`WrongRole`](crate::parties::Error::WrongRole); [`Error::SessionMinimum`]; those of [`declare`]
/// and of the store; a conflict if the round exists and was declared in another way.
pub fn open_round(
    home: &Home,
    session: &OpenSession,
    declaration: &Declaration,
    model: &UpdateFile,
    backend: BackendChoice,
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

/// Waits for the sums of a round, has them decrypted, and writes the result to a safetensors file:
/// by the server itself, or by the key holder, masked by the server. A few shards are in memory at
/// a time.
///
/// A repeated call writes the same file again. The same sums may be opened any number of times, and
/// other sums are refused.
///
/// # Errors
///
/// [`WrongRole`](crate::parties::Error::WrongRole), [`Error::Waiting`], [`Error::Aborted`],
/// [`OtherSum`](crate::parties::Error::OtherSum), [`Error::OtherMasks`];
/// [`objects::Error`](crate::objects::Error) for a sum that the aggregator has not signed, or an
/// answer that the key holder has not signed; those of the home, of the store, and of
/// [`StreamedServer`].
pub fn pull(
    home: &Home,
    round: &OpenRound,
    out: &Path,
    (backend, timeout): (BackendChoice, Timeout),
    progress: &dyn Progress,
) -> Result<Pulled> {
    home.check_party(Party::Server)?;
    let model = template(home, round)?;
    let output = Output::check(out, [&model])?;
    let end =
        timeout.wait(round.store(), || format!("the end of round {}", round.number()), || round.end())?;
    let listed = match &end.body().outcome {
        Outcome::Closed(participants) => participants.iter().map(|p| p.client).collect::<Vec<_>>(),
        Outcome::Aborted(reason) => return Err(Error::Aborted { round: round.number(), reason: *reason }),
    };
    let done = timeout.wait(
        round.store(),
        || format!("the sums of round {}", round.number()),
        || round.done(&end),
    )?;
    // The digest of `done` fixes all sums.
    home.record_opened(round.session().id(), round.number(), done.digest())?;
    let key = round.session().encryption_key(backend)?;
    let sums = SumReader::new(home, round, (&end, &done), &listed, &key)?;
    let mut file = ResultFile::create(&output, &model, round, listed.len())?;
    let totals = if round.has_key_holder() {
        masked::pull(home, &sums, &done, &mut file, timeout, progress)?
    } else {
        open(home, &sums, &mut file, backend, progress)?
    };
    faults::point("server-opened");
    file.finish()?;
    faults::point("server-written");
    save(home, round, &done, out)?;
    faults::point("server-saved");
    let total_weight = totals.total_weights.first().copied().unwrap_or(0);
    Ok(Pulled { participants: totals.participants, total_weight, values: round.spec().costs().values })
}

/// Decrypts the sums with the server's own key, and writes the values to a file that has no name
/// yet.
fn open(
    home: &Home,
    sums: &SumReader<'_>,
    file: &mut ResultFile<'_>,
    backend: BackendChoice,
    progress: &dyn Progress,
) -> Result<RoundTotals> {
    let round = sums.round();
    // The lock prevents two processes from overwriting each other's record of opened rounds.
    let _lock = home.lock_session(round.session().id())?;
    let owner = home.owner(round.session().id(), backend)?;
    // From one role to the other within this process.
    let relay = Arc::new(HpkeChannel::new());
    let mut server = StreamedServer::new(round.spec(), &owner, relay.clone())?;
    prefetch_shards(
        0..round.shards(),
        |shard| sums.fetch(shard),
        |shard, sealed| {
            progress.work("decrypting", shard.into(), round.shards().into());
            let mut sum = sums.open(shard, &sealed)?;
            for number in sum.numbers() {
                let message = sum.message(number, &*relay, &mut UnwrapErr(getrandom::SysRng))?;
                file.write(&server.open(&message)?)?;
            }
            faults::point("server-shard");
            Ok(())
        },
    )?;
    progress.work("decrypting", round.shards().into(), round.shards().into());
    home.save_owner(&owner)?;
    Ok(server.finish()?)
}

/// Writes the receipt. The digest is keyed with a secret, because a result of few numbers could be
/// guessed.
fn save(home: &Home, round: &OpenRound, done: &Signed<Done>, out: &Path) -> Result<()> {
    let written = File::open(out).and_then(Sha256::of_reader).map_err(FileError::at(out))?;
    let secret = home.identity().expose_bytes();
    let parts: [&[u8]; 3] = [&*secret, &done.digest().to_bytes(), &written.to_bytes()];
    let result = Sha256::for_purpose("cipherfold service result", &parts);
    let key = round.key(RoundKey::Saved);
    let saved = Saved { done: done.digest(), result };
    round.store().put(&key, sign(home.identity(), &key, &saved))?;
    Ok(())
}
