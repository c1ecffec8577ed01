//! The consortium: organisations, their roles and their public keys, in one file that all parties
//! pin.

use std::{
    collections::{HashMap, hash_map::Entry as Slot},
    sync::Arc,
};

use cipherfold::federated::{
    Digest, Party,
    channel::{IdentityKey, Organisation, Roster},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::names::{from_label, label};
use crate::digest::Sha256;

/// The organisations of a consortium, as `consortium.toml` lists them.
///
/// This file is the root of all trust. Each party pins its [digest](Self::digest), and compares it
/// with the others over a channel that no store controls, such as a telephone call or a contract.
/// Comments, spaces and the order of organisations do not matter. Clones are one consortium, and
/// cheap.
///
/// ```
/// use cipherfold_service::Consortium;
///
/// let text = r#"
/// version = 1
/// name = "Northern hospitals"
///
/// [[organisation]]
/// name = "Data office"
/// role = "server" # or aggregator, key-holder, client-0, client-1, …
/// signing = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
/// tls = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
/// "#;
/// let consortium = Consortium::parse(text)?;
/// assert_eq!(consortium.members().len(), 1);
/// # Ok::<(), cipherfold_service::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consortium(Arc<Inner>);

/// Facts that follow from the members are kept: servers look them up for every request.
#[derive(Debug, PartialEq, Eq)]
struct Inner {
    name: String,
    roster: Roster,
    /// In ascending order of their parties.
    members: Vec<Member>,
    /// The party of each TLS key.
    parties: HashMap<[u8; IdentityKey::LEN], Party>,
    roster_digest: Digest,
    digest: Sha256,
}

/// One organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, for people.
    pub name: String,
    /// Its role.
    pub party: Party,
    /// The key of its signatures.
    pub signing: IdentityKey,
    /// The key of its TLS certificate.
    pub tls: IdentityKey,
}

/// The reason why a file is not a valid consortium.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsortiumError {
    /// The text cannot be read.
    #[error("consortium.toml: {reason}")]
    Text {
        /// The fault, with its place.
        reason: String,
    },
    /// Another version of the file.
    #[error("consortium.toml has version {found}, this program reads version {expected}")]
    Version {
        /// The version that this program supports.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// A role that does not exist.
    #[error("organisation `{}`: there is no role `{}`", organisation.escape_debug(), role.escape_debug())]
    Role {
        /// The organisation's name.
        organisation: String,
        /// The role.
        role: String,
    },
    /// A key that no honest organisation publishes.
    #[error("organisation `{}`: `{field}` is not a public key", organisation.escape_debug())]
    Key {
        /// The organisation's name.
        organisation: String,
        /// The field of the file.
        field: &'static str,
    },
    /// One key is used for two purposes, or by two organisations.
    #[error("{} and {} have the same key", label(*first), label(*second))]
    SameKey {
        /// The first use.
        first: Party,
        /// The second use.
        second: Party,
    },
    /// Names, roles or keys that the library refuses.
    #[error("consortium.toml: {0}")]
    Roster(cipherfold::federated::channel::Error),
    /// The file is not the pinned one.
    #[error("the consortium has digest {found}, pinned is {pinned}")]
    PinMismatch {
        /// The pinned digest.
        pinned: Sha256,
        /// The digest of the file.
        found: Sha256,
    },
    /// No organisation has this role.
    #[error("the consortium has no {}", label(*party))]
    NoMember {
        /// The role.
        party: Party,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    name: String,
    #[serde(default, rename = "organisation")]
    organisations: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    role: String,
    signing: String,
    tls: String,
}

impl Consortium {
    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// [`ConsortiumError`].
    pub fn parse(text: &str) -> Result<Self, ConsortiumError> {
        let file: File =
            toml::from_str(text).map_err(|error| ConsortiumError::Text { reason: error.to_string() })?;
        if file.version != VERSION {
            return Err(ConsortiumError::Version { expected: VERSION, found: file.version });
        }
        // Each key costs a multiplication on its curve: in parallel, and with the first fault of
        // the file.
        let members: Vec<_> = file.organisations.into_par_iter().map(Entry::read).collect();
        Self::new(file.name, members.into_iter().collect::<Result<_, _>>()?)
    }

    /// A consortium of these organisations, in any order.
    ///
    /// # Errors
    ///
    /// [`ConsortiumError`].
    pub fn new(name: String, mut members: Vec<Member>) -> Result<Self, ConsortiumError> {
        members.sort_by_key(|member| member.party);
        let organisation = |member: &Member| Organisation {
            name: member.name.clone(),
            party: member.party,
            key: member.signing,
        };
        let roster = Roster::new(members.iter().map(organisation)).map_err(ConsortiumError::Roster)?;
        refuse_shared_keys(&members)?;
        let parties = members.iter().map(|member| (member.tls.to_bytes(), member.party)).collect();
        let (roster_digest, digest) = (roster.digest(), digest(&name, &roster, &members));
        Ok(Self(Arc::new(Inner { name, roster, members, parties, roster_digest, digest })))
    }

    /// The consortium's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// All organisations, in ascending order of their roles.
    pub fn members(&self) -> &[Member] {
        &self.0.members
    }

    /// The organisation with this role.
    ///
    /// # Errors
    ///
    /// [`ConsortiumError::NoMember`].
    pub fn member(&self, party: Party) -> Result<&Member, ConsortiumError> {
        let found = self.0.members.binary_search_by_key(&party, |member| member.party);
        found.map(|place| &self.0.members[place]).map_err(|_| ConsortiumError::NoMember { party })
    }

    /// The party whose TLS certificate has these bytes as its key.
    pub fn party_with_tls_key(&self, key: &[u8]) -> Option<Party> {
        self.0.parties.get(key).copied()
    }

    /// Names, roles and signing keys, in the library's form.
    pub fn roster(&self) -> &Roster {
        &self.0.roster
    }

    /// The digest of the roster, as key owners name it in their offers.
    pub fn roster_digest(&self) -> Digest {
        self.0.roster_digest
    }

    /// The number of clients.
    pub fn clients(&self) -> u32 {
        let clients = self.0.members.iter().filter(|member| matches!(member.party, Party::Client(_)));
        u32::try_from(clients.count()).expect("clients have numbers of 32 bits")
    }

    /// The digest of the whole consortium, which the organisations compare.
    pub fn digest(&self) -> Sha256 {
        self.0.digest
    }

    /// Refuses a consortium that is not the pinned one.
    ///
    /// # Errors
    ///
    /// [`ConsortiumError::PinMismatch`].
    pub fn check_pin(&self, pinned: Sha256) -> Result<(), ConsortiumError> {
        let found = self.digest();
        if found == pinned { Ok(()) } else { Err(ConsortiumError::PinMismatch { pinned, found }) }
    }

    /// The text of a file with this consortium.
    pub fn to_toml(&self) -> String {
        let organisations = self.0.members.iter().map(Entry::of).collect();
        let file = File { version: VERSION, name: self.0.name.clone(), organisations };
        toml::to_string(&file).expect("texts and numbers are TOML")
    }
}

impl Member {
    /// The lines of `consortium.toml` for this organisation.
    pub fn to_toml(&self) -> String {
        let entry = toml::to_string(&Entry::of(self)).expect("texts are TOML");
        format!("[[organisation]]\n{entry}")
    }
}

impl Entry {
    fn of(member: &Member) -> Self {
        Self {
            name: member.name.clone(),
            role: label(member.party),
            signing: hex(member.signing),
            tls: hex(member.tls),
        }
    }

    fn read(self) -> Result<Member, ConsortiumError> {
        let Self { name, role, signing, tls } = self;
        let party = from_label(&role)
            .ok_or_else(|| ConsortiumError::Role { organisation: name.clone(), role: role.clone() })?;
        let key = |text: &str, field| {
            read_key(text).ok_or_else(|| ConsortiumError::Key { organisation: name.clone(), field })
        };
        Ok(Member { party, signing: key(&signing, "signing")?, tls: key(&tls, "tls")?, name })
    }
}

/// Refuses a key with two purposes, or of two organisations.
fn refuse_shared_keys(members: &[Member]) -> Result<(), ConsortiumError> {
    let mut owners = HashMap::with_capacity(2 * members.len());
    for member in members {
        for key in [member.signing, member.tls] {
            match owners.entry(key) {
                Slot::Vacant(slot) => drop(slot.insert(member.party)),
                Slot::Occupied(first) => {
                    return Err(ConsortiumError::SameKey { first: *first.get(), second: member.party });
                }
            }
        }
    }
    Ok(())
}

fn digest(name: &str, roster: &Roster, members: &[Member]) -> Sha256 {
    let tls: Vec<u8> = members.iter().flat_map(|member| member.tls.to_bytes()).collect();
    let parts: [&[u8]; 4] = [&VERSION.to_be_bytes(), name.as_bytes(), &roster.to_bytes(), &tls];
    Sha256::for_purpose("cipherfold consortium", &parts)
}

fn read_key(text: &str) -> Option<IdentityKey> {
    let mut bytes = [0; IdentityKey::LEN];
    let found = base16ct::lower::decode(text, &mut bytes).ok()?.len();
    (found == IdentityKey::LEN).then(|| IdentityKey::from_bytes(bytes).ok()).flatten()
}

fn hex(key: IdentityKey) -> String {
    base16ct::lower::encode_string(&key.to_bytes())
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use cipherfold::federated::channel::Identity;

    use super::*;

    fn member(party: Party, seed: u8) -> Member {
        let key = |seed| Identity::from_bytes(&[seed; 32]).key();
        Member { name: format!("organisation {seed}"), party, signing: key(seed), tls: key(seed + 100) }
    }

    fn three() -> Vec<Member> {
        vec![member(Party::Server, 1), member(Party::Client(1), 2), member(Party::Client(0), 3)]
    }

    #[test]
    fn a_file_is_read_as_it_is_written_in_any_order() {
        let consortium = Consortium::new("c".into(), three()).unwrap();
        let read = Consortium::parse(&consortium.to_toml()).unwrap();
        assert_eq!(read, consortium);
        let blocks: Vec<_> = three().iter().rev().map(Member::to_toml).collect();
        let by_hand = format!("# by hand\nversion = 1\nname = \"c\"\n\n{}", blocks.join("\n"));
        let read = Consortium::parse(&by_hand).unwrap();
        assert_eq!((read.digest(), read.clients()), (consortium.digest(), 2));
    }

    #[test]
    fn every_fact_is_in_the_digest() {
        let digest = Consortium::new("c".into(), three()).unwrap().digest();
        assert_ne!(Consortium::new("d".into(), three()).unwrap().digest(), digest);
        for change in [
            |m: &mut Member| m.name.push('!'),
            |m: &mut Member| m.party = Party::KeyHolder,
            |m: &mut Member| m.signing = Identity::from_bytes(&[9; 32]).key(),
            |m: &mut Member| m.tls = Identity::from_bytes(&[9; 32]).key(),
        ] {
            let mut other = three();
            change(&mut other[1]);
            let other = Consortium::new("c".into(), other).unwrap();
            assert_ne!(other.digest(), digest);
            assert!(matches!(other.check_pin(digest), Err(ConsortiumError::PinMismatch { .. })));
        }
    }

    #[test]
    fn faults_are_named() {
        let text = Consortium::new("c".into(), three()).unwrap().to_toml();
        let refused = |from: &str, to: &str| Consortium::parse(&text.replacen(from, to, 1)).unwrap_err();
        let version = ConsortiumError::Version { expected: 1, found: 7 };
        assert_eq!(refused("version = 1", "version = 7"), version);
        let role = ConsortiumError::Role { organisation: "organisation 1".into(), role: "boss".into() };
        assert_eq!(refused("\"server\"", "\"boss\""), role);
        let key = |field| ConsortiumError::Key { organisation: "organisation 3".into(), field };
        assert_eq!(refused("signing = \"", "signing = \"0"), key("signing"));
        assert_eq!(refused("tls = \"", "tls = \"zz"), key("tls"));
        assert!(refused("tls = ", "tsl = ").to_string().contains("tsl"));
        let roster = refused("organisation 1", "organisation 2");
        assert_eq!(roster.to_string(), "consortium.toml: client 1 and server of a roster have the same name");
        let mut shared = three();
        shared[0].tls = shared[1].signing;
        let same = ConsortiumError::SameKey { first: Party::Client(1), second: Party::Server };
        assert_eq!(Consortium::new("c".into(), shared).unwrap_err(), same);
        let mut both = three();
        both[0].tls = both[0].signing;
        let same = ConsortiumError::SameKey { first: Party::Server, second: Party::Server };
        assert_eq!(Consortium::new("c".into(), both).unwrap_err(), same);
    }

    #[test]
    fn the_first_fault_of_a_file_is_named() {
        let mut text = Consortium::new("c".into(), three()).unwrap().to_toml();
        text = text.replace("\"client-1\"", "\"client-x\"").replace("\"server\"", "\"boss\"");
        for _ in 0..20 {
            let first =
                ConsortiumError::Role { organisation: "organisation 2".into(), role: "client-x".into() };
            assert_eq!(Consortium::parse(&text).unwrap_err(), first);
        }
    }

    #[test]
    fn members_are_found_by_party_and_by_tls_key() {
        let consortium = Consortium::new("c".into(), three()).unwrap();
        for member in three() {
            assert_eq!(consortium.member(member.party), Ok(&member));
            assert_eq!(consortium.party_with_tls_key(&member.tls.to_bytes()), Some(member.party));
            assert_eq!(consortium.party_with_tls_key(&member.signing.to_bytes()), None);
        }
        let none = ConsortiumError::NoMember { party: Party::Aggregator };
        assert_eq!(consortium.member(Party::Aggregator), Err(none));
        assert_eq!(consortium.party_with_tls_key(b"short"), None);
    }
}
