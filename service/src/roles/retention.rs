//! Removal of objects that a round no longer needs.

use cipherfold::federated::Party;

use crate::{
    error::{Error, Result},
    faults,
    home::Home,
    key::{Key, RoundKey},
    objects::{Outcome, Removed, Sha256, sign},
    round::OpenRound,
};

/// The removed objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Number of objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Removes contributions, sums and answers of a round whose result was taken, or that was aborted.
/// What the parties have signed stays, with a note that the server signs, so that audits know why
/// the rest is gone.
///
/// # Errors
///
/// [`Error::WrongRole`]; [`Error::NotTaken`] for any other round; those of the store.
pub fn remove(home: &Home, round: &OpenRound) -> Result<Removal> {
    home.check_party(Party::Server)?;
    let key = round.key(RoundKey::Removed);
    let last = last_word(round)?.ok_or(Error::NotTaken { round: round.number() })?;
    // The note is written first, so that the reason is known before any part of the round is
    // missing.
    round.store().put(&key, sign(home.identity(), &key, &Removed { last }))?;
    faults::point("round-noted");
    let mut removal = Removal::default();
    for folder in ["in", "sum", "masked", "answer"] {
        let folder = format!("{}/{}/{folder}", round.session().id(), round.number());
        for entry in round.store().list(&folder)? {
            let Ok(name) = entry.name.parse::<Key>() else { continue };
            if let Key::Round(_, _, key) = name
                && key.is_sealed()
            {
                round.store().remove(&name)?;
                faults::point("round-object-removed");
                removal.objects += 1;
                removal.bytes += entry.bytes;
            }
        }
    }
    Ok(removal)
}

/// The digest of the last object of a round: the server's receipt, or the end of a round without a
/// sum.
pub(crate) fn last_word(round: &OpenRound) -> Result<Option<Sha256>> {
    let Some(end) = round.end()? else { return Ok(None) };
    if let Outcome::Aborted(_) = end.body().outcome {
        return Ok(Some(end.digest()));
    }
    let Some(done) = round.done(&end)? else { return Ok(None) };
    Ok(round.taken(&done)?.map(|taken| taken.digest()))
}
