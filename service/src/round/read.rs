//! Reads and checks of signed objects.

use cipherfold::federated::{Party, channel::IdentityKey};

use crate::{
    digest::Sha256,
    error::Result,
    objects::{Body, Error, Key, PartDigest, Signed},
    parties::Consortium,
    store::Store,
};

/// Maximum bytes of a control object.
pub(super) const CONTROL_LIMIT: u64 = 64 << 20;

/// Reads and verifies a control object.
pub(super) fn read<B: Body>(
    store: &Store,
    consortium: &Consortium,
    key: &Key,
    party: Party,
) -> Result<Option<Signed<B>>> {
    let signer: IdentityKey = match consortium.member(party) {
        Ok(member) => member.signing,
        Err(_) => return Err(Error::UnknownParty { key: *key, party }.into()),
    };
    let Some(bytes) = store.get(key, CONTROL_LIMIT)? else { return Ok(None) };
    Ok(Some(Signed::verify(&bytes, key, party, &signer)?))
}

/// Refuses an object that was made for another predecessor.
pub(super) fn check_predecessor(
    key: &Key,
    what: &'static str,
    expected: Sha256,
    found: Sha256,
) -> Result<(), Error> {
    if expected == found { Ok(()) } else { Err(Error::Predecessor { key: *key, what, expected, found }) }
}

/// Refuses bytes that differ from those that a party has signed.
pub(crate) fn check_digest(
    key: &Key,
    signer: Party,
    expected: PartDigest,
    bytes: &[u8],
) -> Result<(), Error> {
    let found = PartDigest::of(bytes);
    if found == expected {
        return Ok(());
    }
    Err(Error::Digest { key: *key, signer, expected: expected.digest, found: found.digest })
}
