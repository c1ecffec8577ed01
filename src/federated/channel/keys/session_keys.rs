//! Keys for one session, announced under a long-term identity.

use core::fmt::{self, Debug};

use rand_core::CryptoRng;

use crate::federated::channel::{
    error::{Error, Result},
    read_party,
};
use crate::federated::{
    Party, SessionId,
    channel::{BoxPublicKey, BoxSecretKey, EnvelopeMismatch, Identity, IdentityKey},
};

/// A party's box key pair for one session.
///
/// The secret key is wiped when dropped and not shown by `Debug`. Make a new key pair for each
/// session: once its secret key is gone, no other key opens the session's messages.
///
/// ```
/// use cipherfold::federated::{Party, SessionId, channel::{Announcement, Identity, SessionKeys}};
///
/// let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let identity = Identity::generate(&mut rng);
/// let session = SessionId::random(&mut rng);
/// let keys = SessionKeys::new(session, Party::Client(3), &mut rng);
/// let bytes = keys.announce(&identity).to_bytes();
///
/// // At another party, which knows the identity's public key from the roster:
/// let key = Announcement::from_bytes(&bytes)?.verify(&identity.key(), session, Party::Client(3))?;
/// assert_eq!(key, keys.public_key());
/// # Ok::<(), cipherfold::Error>(())
/// ```
pub struct SessionKeys {
    session: SessionId,
    party: Party,
    secret: BoxSecretKey,
}

impl SessionKeys {
    /// Fresh keys.
    pub fn new(session: SessionId, party: Party, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_secret_key(session, party, BoxSecretKey::generate(rng))
    }

    /// The keys with this secret key, for a party that continues a session after a restart.
    pub const fn from_secret_key(session: SessionId, party: Party, secret: BoxSecretKey) -> Self {
        Self { session, party, secret }
    }

    /// The session that the keys are for.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The party that the keys belong to.
    pub const fn party(&self) -> Party {
        self.party
    }

    /// The secret key. **A copy of it opens the session's messages for as long as the copy
    /// exists.**
    pub const fn secret_key(&self) -> &BoxSecretKey {
        &self.secret
    }

    /// The public key.
    pub fn public_key(&self) -> BoxPublicKey {
        self.secret.public_key()
    }

    /// The public key, signed for this session and party.
    pub fn announce(&self, identity: &Identity) -> Announcement {
        let mut announcement = Announcement {
            session: self.session,
            party: self.party,
            key: self.public_key(),
            signature: [0; SIGNATURE_LEN],
        };
        announcement.signature = identity.sign(KIND, &announcement.signed());
        announcement
    }

    pub(in crate::federated::channel) fn into_parts(self) -> (SessionId, Party, BoxSecretKey) {
        (self.session, self.party, self.secret)
    }
}

impl Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKeys")
            .field("session", &self.session)
            .field("party", &self.party)
            .finish_non_exhaustive()
    }
}

/// A session key, signed by its owner's identity. Public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    session: SessionId,
    party: Party,
    key: BoxPublicKey,
    signature: [u8; SIGNATURE_LEN],
}

impl Announcement {
    /// Length of the encoding in bytes.
    pub const ENCODED_LEN: usize = SIGNED_LEN + SIGNATURE_LEN;

    /// First byte of every encoding.
    pub const VERSION: u8 = 1;

    /// The session that the announcement names. It is not verified yet.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The party that the announcement names. It is not verified yet.
    pub const fn party(&self) -> Party {
        self.party
    }

    /// The announced key, if the owner of `identity` has signed it for `session` and `party`.
    ///
    /// # Errors
    ///
    /// [`Error::AnnouncementSignature`] if the signature is not that of `identity`;
    /// [`Error::WrongEnvelope`] if it is for another session or another party.
    pub fn verify(&self, identity: &IdentityKey, session: SessionId, party: Party) -> Result<BoxPublicKey> {
        if !identity.has_signed(KIND, &self.signed(), &self.signature) {
            return Err(Error::AnnouncementSignature { party });
        }
        let mismatch = if self.session != session {
            EnvelopeMismatch::Session { expected: session, found: self.session }
        } else if self.party != party {
            EnvelopeMismatch::Sender { expected: party, found: self.party }
        } else {
            return Ok(self.key);
        };
        Err(Error::WrongEnvelope { mismatch })
    }

    /// The canonical encoding: version, session, party (as in an
    /// [`Envelope`](crate::federated::channel::Envelope)), box public key, signature.
    pub fn to_bytes(&self) -> [u8; Self::ENCODED_LEN] {
        let mut bytes = [0; Self::ENCODED_LEN];
        let (signed, signature) = bytes.split_at_mut(SIGNED_LEN);
        signed.copy_from_slice(&self.signed());
        signature.copy_from_slice(&self.signature);
        bytes
    }

    /// The announcement with this encoding. It is not verified yet.
    ///
    /// # Errors
    ///
    /// [`Error::EncodedLength`], [`Error::EncodingVersion`]; [`Error::PartyEncoding`];
    /// [`Error::BoxPublicKey`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (expected, found) = (Self::ENCODED_LEN, bytes.len());
        let bytes: &[u8; Self::ENCODED_LEN] =
            bytes.try_into().map_err(|_| Error::EncodedLength { what: "announcement", expected, found })?;
        let (&[version], rest) = bytes.split_first_chunk().expect("the encoded length was checked");
        if version != Self::VERSION {
            return Err(Error::EncodingVersion { expected: Self::VERSION, found: version });
        }
        let (session, rest) = rest.split_first_chunk().expect("the encoded length was checked");
        let (party, rest) = rest.split_first_chunk().expect("the encoded length was checked");
        let (key, rest) = rest.split_first_chunk().expect("the encoded length was checked");
        Ok(Self {
            session: SessionId::from_bytes(*session),
            party: read_party(*party)?,
            key: BoxPublicKey::from_bytes(*key)?,
            signature: rest.try_into().expect("the encoded length was checked"),
        })
    }

    /// The signed bytes: the encoding up to the signature.
    fn signed(&self) -> [u8; SIGNED_LEN] {
        let mut bytes = [0; SIGNED_LEN];
        bytes[0] = Self::VERSION;
        let (session, rest) = bytes[1..].split_at_mut(SessionId::LEN);
        session.copy_from_slice(&self.session.to_bytes());
        let (party, key) = rest.split_at_mut(Party::ENCODED_LEN);
        party.copy_from_slice(&self.party.to_bytes());
        key.copy_from_slice(&self.key.to_bytes());
        bytes
    }
}

const KIND: &str = "cipherfold announcement of a session key";
const SIGNED_LEN: usize = 1 + SessionId::LEN + Party::ENCODED_LEN + BoxPublicKey::LEN;
const SIGNATURE_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::channel::tests::rng;

    static_assertions::assert_not_impl_any!(SessionKeys: Clone, Copy);

    const PARTY: Party = Party::Client(0x0102_0304);

    fn session() -> SessionId {
        SessionId::from_bytes([7; 16])
    }

    fn announced() -> (Identity, SessionKeys, Announcement) {
        let identity = Identity::generate(&mut rng(1));
        let keys = SessionKeys::new(session(), PARTY, &mut rng(2));
        let announcement = keys.announce(&identity);
        (identity, keys, announcement)
    }

    #[test]
    fn only_the_owners_key_is_verified() {
        let (identity, keys, announcement) = announced();
        assert_eq!(announcement.verify(&identity.key(), session(), PARTY), Ok(keys.public_key()));
        let other_identity = Identity::generate(&mut rng(3)).key();
        let refused = Err(Error::AnnouncementSignature { party: PARTY });
        assert_eq!(announcement.verify(&other_identity, session(), PARTY), refused);

        let other = SessionId::from_bytes([8; 16]);
        let mismatch = EnvelopeMismatch::Session { expected: other, found: session() };
        let refused = Err(Error::WrongEnvelope { mismatch });
        assert_eq!(announcement.verify(&identity.key(), other, PARTY), refused);
        let mismatch = EnvelopeMismatch::Sender { expected: Party::Server, found: PARTY };
        let refused = Err(Error::WrongEnvelope { mismatch });
        assert_eq!(announcement.verify(&identity.key(), session(), Party::Server), refused);
    }

    #[test]
    fn every_altered_bit_is_refused() {
        let (identity, _, announcement) = announced();
        let bytes = announcement.to_bytes();
        for bit in 0..8 * bytes.len() {
            let mut altered = bytes;
            altered[bit / 8] ^= 1 << (bit % 8);
            let verified = Announcement::from_bytes(&altered)
                .and_then(|announcement| announcement.verify(&identity.key(), session(), PARTY));
            assert!(verified.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_signature_is_valid_only_for_announcements() {
        let (identity, _, mut announcement) = announced();
        announcement.signature = identity.sign("another kind", &announcement.signed());
        assert!(announcement.verify(&identity.key(), session(), PARTY).is_err());
    }

    #[test]
    fn encoding_is_as_documented() {
        let (_, keys, announcement) = announced();
        let bytes = announcement.to_bytes();
        let head = [&[1][..], &[7; 16], &[0, 1, 2, 3, 4], &keys.public_key().to_bytes()].concat();
        assert_eq!(bytes[..54], head);
        assert_eq!(Announcement::from_bytes(&bytes), Ok(announcement));
        for found in [0, 117] {
            let refused = Err(Error::EncodedLength { what: "announcement", expected: 118, found });
            assert_eq!(Announcement::from_bytes(&bytes[..found]), refused);
        }
        let mut other = bytes;
        other[0] = 2;
        let refused = Err(Error::EncodingVersion { expected: 1, found: 2 });
        assert_eq!(Announcement::from_bytes(&other), refused);
    }

    #[test]
    fn debug_shows_no_secret() {
        let (_, keys, _) = announced();
        let expected =
            format!("SessionKeys {{ session: SessionId({}), party: Client(16909060), .. }}", session());
        assert_eq!(format!("{keys:?}"), expected);
    }
}
