//! Long-term keys of organisations: Ed25519 (RFC 8032).

use core::fmt::{self, Debug};

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::federated::channel::error::{Error, Result};
use crate::federated::party::write_hex;

/// The long-term signing key of one organisation.
///
/// It signs and never decrypts. A thief of this key can impersonate the organisation from then on,
/// but cannot open earlier messages. It is wiped when dropped, and not shown by `Debug`.
pub struct Identity(SigningKey);

impl Identity {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A fresh identity.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        rng.fill_bytes(&mut *bytes);
        Self(SigningKey::from_bytes(&bytes))
    }

    /// The identity with these bytes, which RFC 8032 calls the private key.
    ///
    /// The caller must wipe its own copy.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The bytes of the key, for storing it. **They are secret**; this copy is wiped when dropped.
    pub fn expose_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn key(&self) -> IdentityKey {
        IdentityKey(self.0.verifying_key().to_bytes())
    }

    /// A signature on a message of a kind.
    pub(super) fn sign(&self, kind: &str, message: &[u8]) -> [u8; 64] {
        self.0.sign(&of_kind(kind, message)).to_bytes()
    }
}

impl Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// The public half of an [`Identity`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey([u8; Self::LEN]);

impl IdentityKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The key with these bytes, if an honest organisation can have published it.
    ///
    /// ```
    /// use cipherfold::federated::channel::{Identity, IdentityKey};
    ///
    /// let key = Identity::from_bytes(&[7; 32]).key();
    /// assert_eq!(IdentityKey::from_bytes(key.to_bytes())?, key);
    /// // A point of order four: it verifies signatures that its owner did not make.
    /// assert!(IdentityKey::from_bytes([0; 32]).is_err());
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::IdentityKey`] unless the bytes are the canonical encoding of a point in the group
    /// of prime order.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self> {
        let point = CompressedEdwardsY(bytes).decompress();
        let good = point.is_some_and(|point| {
            point.is_torsion_free() && !point.is_identity() && point.compress().to_bytes() == bytes
        });
        if good { Ok(Self(bytes)) } else { Err(Error::IdentityKey) }
    }

    /// The bytes of the key.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }

    /// Whether the owner has signed this message of this kind.
    pub(super) fn has_signed(self, kind: &str, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        let key = VerifyingKey::from_bytes(&self.0);
        key.is_ok_and(|key| key.verify_strict(&of_kind(kind, message), &signature).is_ok())
    }
}

impl Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

/// The message with its kind, so that a signature of one kind is not valid for another.
fn of_kind(kind: &str, message: &[u8]) -> Vec<u8> {
    [&(kind.len() as u64).to_be_bytes(), kind.as_bytes(), message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::channel::tests::{array, rng};

    static_assertions::assert_not_impl_any!(Identity: Clone, Copy);

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn keys_are_those_of_rfc_8032() {
        let seed = array("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = array("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let identity = Identity::from_bytes(&seed);
        assert_eq!(identity.key(), IdentityKey::from_bytes(key).unwrap());
        assert_eq!(*identity.expose_bytes(), seed);
    }

    #[test]
    fn invalid_keys_are_refused() {
        // Points of order 1, 2, 4 and 8; y = p + 1; an encoding of no point.
        for hex in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0200000000000000000000000000000000000000000000000000000000000000",
        ] {
            assert_eq!(IdentityKey::from_bytes(array(hex)), Err(Error::IdentityKey), "{hex}");
        }
        for _ in 0..10 {
            let key = Identity::generate(&mut rng(1)).key();
            assert_eq!(IdentityKey::from_bytes(key.to_bytes()), Ok(key));
        }
    }

    #[test]
    fn signatures_hold_for_key_kind_and_message() {
        let (one, other) = (Identity::generate(&mut rng(1)), Identity::generate(&mut rng(2)));
        let signature = one.sign("kind", b"message");
        assert!(one.key().has_signed("kind", b"message", &signature));
        assert!(!other.key().has_signed("kind", b"message", &signature));
        assert!(!one.key().has_signed("kinds", b"message", &signature));
        assert!(!one.key().has_signed("kin", b"dmessage", &signature));
        assert!(!one.key().has_signed("kind", b"messages", &signature));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Identity::from_bytes(&[7; 32])), "Identity { .. }");
    }
}
