//! Rosters: the organisations that take part, with their long-term keys.

use std::collections::BTreeMap;

use crate::federated::channel::{
    error::{Error, Result},
    read_party,
};
use crate::federated::{
    Digest, Party, SessionId,
    channel::{Announcement, BoxPublicKey, IdentityKey},
};

/// One organisation of a [`Roster`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    /// Its name, for people: 1 to 255 bytes, without control characters.
    pub name: String,
    /// Its role.
    pub party: Party,
    /// Its long-term public key.
    pub key: IdentityKey,
}

/// All organisations that take part, with their roles and long-term keys.
///
/// All other keys are trusted because a roster contains the identities that sign them. So every
/// party must have the same roster. Compare its [digest](Self::digest) with the other parties over
/// a channel that no relay controls, such as a telephone call or a contract. To store a roster in a
/// file, write its [bytes](Self::to_bytes).
///
/// ```
/// use cipherfold::federated::{Party, SessionId, channel::{Identity, Organisation, Roster, SessionKeys}};
///
/// let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let identity = Identity::generate(&mut rng);
/// let hospital = Organisation { name: "Hospital".into(), party: Party::Client(0), key: identity.key() };
/// let aggregator = Identity::generate(&mut rng).key();
/// let aggregator = Organisation { name: "Alliance".into(), party: Party::Aggregator, key: aggregator };
/// let roster = Roster::new([hospital, aggregator])?;
/// assert_eq!(Roster::from_bytes(&roster.to_bytes())?.digest(), roster.digest());
///
/// let session = SessionId::random(&mut rng);
/// let keys = SessionKeys::new(session, Party::Client(0), &mut rng);
/// let key = roster.verify(&keys.announce(&identity), session, Party::Client(0))?;
/// assert_eq!(key, keys.public_key());
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// In ascending order of their parties.
    organisations: Vec<Organisation>,
}

impl Roster {
    /// First byte of every encoding.
    pub const VERSION: u8 = 1;

    /// A roster of these organisations, in any order.
    ///
    /// # Errors
    ///
    /// [`Error::RosterName`] for a name that is empty, too long, or has control characters;
    /// [`Error::RosterDuplicate`] for two organisations with the same role, name or key.
    pub fn new(organisations: impl IntoIterator<Item = Organisation>) -> Result<Self> {
        let mut organisations: Vec<_> = organisations.into_iter().collect();
        organisations.sort_by_key(|organisation| organisation.party);
        let mut names = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let mut last = None;
        for Organisation { name, party, key } in &organisations {
            let duplicate = |what, first| Error::RosterDuplicate { what, first, second: *party };
            if name.is_empty() || name.len() > MAX_NAME_LEN || name.chars().any(char::is_control) {
                return Err(Error::RosterName { party: *party, limit: MAX_NAME_LEN });
            }
            if let Some(first) = last.replace(*party).filter(|last| last == party) {
                return Err(duplicate("role", first));
            }
            if let Some(first) = names.insert(name, *party) {
                return Err(duplicate("name", first));
            }
            if let Some(first) = keys.insert(key, *party) {
                return Err(duplicate("key", first));
            }
        }
        Ok(Self { organisations })
    }

    /// All organisations, in ascending order of their parties.
    pub fn organisations(&self) -> &[Organisation] {
        &self.organisations
    }

    /// The organisation with this role.
    pub fn get(&self, party: Party) -> Option<&Organisation> {
        let found = self.organisations.binary_search_by_key(&party, |organisation| organisation.party);
        found.ok().map(|i| &self.organisations[i])
    }

    /// The key that `party` announces for a session, if its identity signed it.
    ///
    /// # Errors
    ///
    /// [`Error::NotInRoster`]; those of [`Announcement::verify`].
    pub fn verify(
        &self,
        announcement: &Announcement,
        session: SessionId,
        party: Party,
    ) -> Result<BoxPublicKey> {
        let organisation = self.get(party).ok_or(Error::NotInRoster { party })?;
        announcement.verify(&organisation.key, session, party)
    }

    /// The digest of this roster: two rosters with the same digest are equal.
    pub fn digest(&self) -> Digest {
        Digest::of("cipherfold roster", &[&self.to_bytes()])
    }

    /// The canonical encoding: version, number of organisations (4 bytes, big-endian), and for
    /// each, in ascending order, party (as in an
    /// [`Envelope`](crate::federated::channel::Envelope)), key, length of the name (1 byte), name
    /// in UTF-8.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.organisations.len()).expect("there are fewer than 2^32 parties");
        let mut bytes = vec![Self::VERSION];
        bytes.extend(count.to_be_bytes());
        for Organisation { name, party, key } in &self.organisations {
            bytes.extend(party.to_bytes());
            bytes.extend(key.to_bytes());
            bytes.push(u8::try_from(name.len()).expect("`new` checked the length of names"));
            bytes.extend(name.as_bytes());
        }
        bytes
    }

    /// The roster with this encoding.
    ///
    /// # Errors
    ///
    /// [`Error::EncodingVersion`]; [`Error::RosterEncoding`] for bytes that
    /// [`to_bytes`](Self::to_bytes) does not write; [`Error::PartyEncoding`],
    /// [`Error::IdentityKey`]; those of [`new`](Self::new).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut rest = bytes;
        let [version] = take(&mut rest)?;
        if version != Self::VERSION {
            return Err(Error::EncodingVersion { expected: Self::VERSION, found: version });
        }
        let count = u32::from_be_bytes(take(&mut rest)?);
        let mut organisations = Vec::new();
        for _ in 0..count {
            let party = read_party(take(&mut rest)?)?;
            let key = IdentityKey::from_bytes(take(&mut rest)?)?;
            let [len] = take(&mut rest)?;
            let (name, tail) = rest.split_at_checked(len.into()).ok_or(Error::RosterEncoding)?;
            let name = core::str::from_utf8(name).map_err(|_| Error::RosterEncoding)?.to_owned();
            rest = tail;
            organisations.push(Organisation { name, party, key });
        }
        let in_order = organisations.is_sorted_by_key(|organisation| organisation.party);
        if !rest.is_empty() || !in_order {
            return Err(Error::RosterEncoding);
        }
        Self::new(organisations)
    }
}

/// Splits the first `N` bytes off `rest`.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = rest.split_first_chunk().ok_or(Error::RosterEncoding)?;
    *rest = tail;
    Ok(*head)
}

const MAX_NAME_LEN: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::channel::Identity;

    fn organisation(name: &str, party: Party, seed: u8) -> Organisation {
        Organisation { name: name.to_owned(), party, key: Identity::from_bytes(&[seed; 32]).key() }
    }

    fn three() -> [Organisation; 3] {
        [
            organisation("server", Party::Server, 1),
            organisation("Ärzte", Party::Client(7), 2),
            organisation("b", Party::Client(1), 3),
        ]
    }

    #[test]
    fn order_does_not_matter() {
        let [a, b, c] = three();
        let roster = Roster::new([a.clone(), b.clone(), c.clone()]).unwrap();
        let other = Roster::new([c.clone(), a, b]).unwrap();
        assert_eq!((roster.to_bytes(), roster.digest()), (other.to_bytes(), other.digest()));
        assert_eq!(roster.get(Party::Client(1)), Some(&c));
        assert_eq!(roster.get(Party::Client(2)), None);
    }

    #[test]
    fn every_field_is_in_the_digest() {
        let digest = Roster::new(three()).unwrap().digest();
        for change in [
            |o: &mut Organisation| o.name.push('!'),
            |o: &mut Organisation| o.party = Party::KeyHolder,
            |o: &mut Organisation| o.key = Identity::from_bytes(&[9; 32]).key(),
        ] {
            let mut other = three();
            change(&mut other[1]);
            assert_ne!(Roster::new(other).unwrap().digest(), digest);
        }
        let [a, b, _] = three();
        assert_ne!(Roster::new([a, b]).unwrap().digest(), digest);
    }

    #[test]
    fn duplicates_and_bad_names_are_refused() {
        let with = |other| Roster::new(three().into_iter().chain([other]));
        let duplicate = |what, first, second| Err(Error::RosterDuplicate { what, first, second });
        let (server, holder) = (Party::Server, Party::KeyHolder);
        assert_eq!(with(organisation("x", server, 9)), duplicate("role", server, server));
        assert_eq!(with(organisation("server", holder, 9)), duplicate("name", server, holder));
        assert_eq!(with(organisation("x", holder, 1)), duplicate("key", server, holder));
        assert_eq!(with(organisation("x", Party::Client(0), 3)).unwrap_err().to_string(), {
            "client 0 and client 1 of a roster have the same key"
        });
        for name in ["", "a\u{1b}[2J", "line\nbreak", &"x".repeat(256)] {
            let refused = Err(Error::RosterName { party: holder, limit: 255 });
            assert_eq!(with(organisation(name, holder, 9)), refused, "{name}");
        }
        assert!(with(organisation(&"x".repeat(255), holder, 9)).is_ok());
    }

    #[test]
    fn only_canonical_encodings_are_read() {
        let roster = Roster::new(three()).unwrap();
        let bytes = roster.to_bytes();
        assert_eq!(Roster::from_bytes(&bytes), Ok(roster));
        for length in 0..bytes.len() {
            assert!(Roster::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(Roster::from_bytes(&[&bytes[..], &[0]].concat()), Err(Error::RosterEncoding));
        let mut other = bytes.clone();
        other[0] = 2;
        let version = Error::EncodingVersion { expected: 1, found: 2 };
        assert_eq!(Roster::from_bytes(&other), Err(version));
        // Organisations out of order.
        let [first, second] = [organisation("b", Party::Client(1), 3), organisation("s", Party::Server, 1)]
            .map(|o| Roster::new([o]).unwrap().to_bytes()[5..].to_vec());
        let swapped = [&[1, 0, 0, 0, 2], &second[..], &first].concat();
        assert_eq!(Roster::from_bytes(&swapped), Err(Error::RosterEncoding));
        assert!(Roster::from_bytes(&[&[1, 0, 0, 0, 2], &first[..], &second].concat()).is_ok());
        assert!(
            Roster::from_bytes(&[1, 0xff, 0xff, 0xff, 0xff]).is_err(),
            "a count above the number of organisations"
        );
    }

    #[test]
    fn announcements_are_verified_by_role() {
        let session = SessionId::from_bytes([1; 16]);
        let keys = crate::federated::channel::SessionKeys::new(
            session,
            Party::Server,
            &mut crate::federated::channel::tests::rng(1),
        );
        let announcement = keys.announce(&Identity::from_bytes(&[1; 32]));
        let roster = Roster::new(three()).unwrap();
        assert_eq!(roster.verify(&announcement, session, Party::Server), Ok(keys.public_key()));
        let absent = Err(Error::NotInRoster { party: Party::Aggregator });
        assert_eq!(roster.verify(&announcement, session, Party::Aggregator), absent);
        let party = Party::Client(1);
        let refused = Err(Error::AnnouncementSignature { party });
        assert_eq!(roster.verify(&announcement, session, party), refused);
    }
}
