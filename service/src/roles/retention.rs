//! Removal of objects that a round no longer needs.

use cipherfold::federated::Party;

use super::faults;
use crate::{
    error::{Error, Result},
    objects::{Key, Removed, RoundKey, sign},
    parties::Home,
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

/// Removes contributions, sums and answers of a round whose result was saved, or that was aborted.
/// Signed objects stay, together with a note of the server, so that audits know why the others are
/// missing.
///
/// # Errors
///
/// [`WrongRole`](crate::parties::Error::WrongRole); [`Error::NotTaken`] for any other round; those
/// of the store.
pub fn remove(home: &Home, round: &OpenRound) -> Result<Removal> {
    home.check_party(Party::Server)?;
    let key = round.key(RoundKey::Removed);
    let last = round.last_digest()?.ok_or(Error::NotTaken { round: round.number() })?;
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
