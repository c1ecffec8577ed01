//! The encoding of control objects, and their signatures.

use cipherfold::federated::{
    Party,
    channel::{Identity, IdentityKey},
};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::{Error, Result},
    key::Key,
    kind::Kind,
};
use crate::digest::Sha256;

/// The contents of one kind of control object.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind.
    const KIND: Kind;
}

/// A control object whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<B> {
    body: B,
    digest: Sha256,
}

impl<B> Signed<B> {
    /// The contents.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The digest of the object's bytes, which its successors contain.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }
}

/// The bytes of a control object with this name. The same identity, name and body give the same
/// bytes.
pub fn sign<B: Body>(identity: &Identity, key: &Key, body: &B) -> Vec<u8> {
    let body = postcard::to_stdvec(body).expect("numbers, bytes and texts can be encoded");
    let signing = SigningKey::from_bytes(&identity.expose_bytes());
    let signature = signing.sign(&message(B::KIND as u8, key, &body));
    [MAGIC, &[VERSION, B::KIND as u8], &body, &signature.to_bytes()].concat()
}

impl<B: Body> Signed<B> {
    /// Reads the control object with this name, if `party` has signed it.
    ///
    /// # Errors
    ///
    /// [`Error::Form`], [`Error::Version`], [`Error::Kind`], [`Error::Signature`], [`Error::Body`].
    pub fn verify(bytes: &[u8], key: &Key, party: Party, signer: &IdentityKey) -> Result<Self> {
        let form = || Error::Form { key: *key, found: bytes.len() };
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(form)?;
        let (&[version, kind], rest) = rest.split_first_chunk().ok_or_else(form)?;
        if version != VERSION {
            return Err(Error::Version { key: *key, expected: VERSION, found: version });
        }
        if kind != B::KIND as u8 {
            return Err(Error::Kind { key: *key, expected: B::KIND, found: kind });
        }
        let (body, signature) = rest.split_last_chunk().ok_or_else(form)?;
        let verifying = VerifyingKey::from_bytes(&signer.to_bytes());
        let signature = Signature::from_bytes(signature);
        let good =
            verifying.is_ok_and(|signer| signer.verify_strict(&message(kind, key, body), &signature).is_ok());
        if !good {
            return Err(Error::Signature { key: *key, signer: party });
        }
        // Only the canonical encoding of a body is accepted.
        let read: B = postcard::from_bytes(body).map_err(|_| Error::Body { key: *key })?;
        if postcard::to_stdvec(&read).ok().as_deref() != Some(body) {
            return Err(Error::Body { key: *key });
        }
        Ok(Self { body: read, digest: Sha256::of(bytes) })
    }
}

/// The signed bytes. Like those of the library, they begin with a text. The texts differ, so that a
/// signature of one kind is not valid for the other.
fn message(kind: u8, key: &Key, body: &[u8]) -> Vec<u8> {
    let key = key.to_string();
    let len = |text: &str| (text.len() as u64).to_be_bytes();
    [&len(DOMAIN), DOMAIN.as_bytes(), &[VERSION, kind], &len(&key), key.as_bytes(), body].concat()
}

const MAGIC: &[u8] = b"cipherfold";
const VERSION: u8 = 1;
const DOMAIN: &str = "cipherfold service control object";

#[cfg(test)]
mod tests {
    use cipherfold::federated::SessionId;

    use super::*;
    use crate::objects::{RoundKey, Saved};

    const KEY: Key = Key::Round(SessionId::from_bytes([1; 16]), 0, RoundKey::Saved);

    fn saved() -> (Identity, Saved, Vec<u8>) {
        let identity = Identity::from_bytes(&[7; 32]);
        let body = Saved { done: Sha256::of(b"done"), result: Sha256::of(b"result") };
        let bytes = sign(&identity, &KEY, &body);
        (identity, body, bytes)
    }

    fn verify(bytes: &[u8], key: &Key, signer: &IdentityKey) -> Result<Signed<Saved>> {
        Signed::verify(bytes, key, Party::Server, signer)
    }

    #[test]
    fn objects_are_read_as_they_are_signed() {
        let (identity, body, bytes) = saved();
        let read = verify(&bytes, &KEY, &identity.key()).unwrap();
        assert_eq!((read.body(), read.digest()), (&body, Sha256::of(&bytes)));
        assert_eq!(sign(&identity, &KEY, &body), bytes);
    }

    #[test]
    fn every_changed_bit_is_refused() {
        let (identity, _, bytes) = saved();
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&changed, &KEY, &identity.key()).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(verify(&bytes[..length], &KEY, &identity.key()).is_err(), "{length} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(verify(&longer, &KEY, &identity.key()).is_err());
    }

    #[test]
    fn an_object_is_valid_under_its_own_name_and_from_its_author_only() {
        let (identity, body, bytes) = saved();
        let refused = |key| Err(Error::Signature { key, signer: Party::Server });
        let moved = Key::Round(KEY.session(), 1, RoundKey::Saved);
        assert_eq!(verify(&bytes, &moved, &identity.key()), refused(moved));
        let other = Identity::from_bytes(&[8; 32]);
        assert_eq!(verify(&bytes, &KEY, &other.key()), refused(KEY));
        // The library's messages with the same identity are not control objects.
        let bare = SigningKey::from_bytes(&identity.expose_bytes());
        let encoded = postcard::to_stdvec(&body).unwrap();
        let signature = bare.sign(&encoded).to_bytes();
        let forged = [MAGIC, &[VERSION, Kind::Saved as u8], &encoded, &signature].concat();
        assert_eq!(verify(&forged, &KEY, &identity.key()), refused(KEY));
    }

    #[test]
    fn kinds_and_versions_are_checked() {
        let (identity, _, mut bytes) = saved();
        bytes[MAGIC.len() + 1] = Kind::Done as u8;
        let kind = Error::Kind { key: KEY, expected: Kind::Saved, found: 5 };
        assert_eq!(verify(&bytes, &KEY, &identity.key()), Err(kind));
        bytes[MAGIC.len()] = 2;
        let version = Error::Version { key: KEY, expected: 1, found: 2 };
        assert_eq!(verify(&bytes, &KEY, &identity.key()), Err(version));
    }
}
