//! Key pairs of boxes: X25519 (RFC 7748).

use core::fmt::{self, Debug};

use curve25519_dalek::{MontgomeryPoint, traits::IsIdentity};
use rand_core::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::federated::channel::error::{Error, Result};
use crate::federated::party::write_hex;

/// The secret half of a party's box key pair: any 32 bytes.
///
/// Both kinds of boxes use it: [`HpkeChannel`](crate::federated::channel::HpkeChannel) and
/// [`BoxChannel`](crate::federated::channel::BoxChannel). Wiped when dropped, compared in constant
/// time, not shown by `Debug`.
pub struct BoxSecretKey(
    /// On the heap: a move of the key, such as out of a map, leaves no copy of the bytes behind.
    Box<Zeroizing<[u8; Self::LEN]>>,
);

impl BoxSecretKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A fresh key.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = Box::new(Zeroizing::new([0; Self::LEN]));
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The key with these bytes, as libsodium's `crypto_box_keypair` writes them.
    ///
    /// The caller must wipe its own copy.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// The bytes of the key, for storing it. **They are secret**; this copy is wiped when dropped.
    pub fn expose_bytes(&self) -> Zeroizing<[u8; Self::LEN]> {
        Zeroizing::clone(&self.0)
    }

    /// The public half.
    pub fn public_key(&self) -> BoxPublicKey {
        BoxPublicKey(MontgomeryPoint::mul_base_clamped(**self.0).to_bytes())
    }
}

impl ConstantTimeEq for BoxSecretKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

impl PartialEq for BoxSecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for BoxSecretKey {}

impl Debug for BoxSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxSecretKey").finish_non_exhaustive()
    }
}

/// The public half of a party's box key pair: a point of Curve25519 as X25519 encodes it (RFC 7748,
/// section 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoxPublicKey([u8; Self::LEN]);

impl BoxPublicKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The key with these bytes, if an honest party can have published it.
    ///
    /// ```
    /// use cipherfold::federated::channel::{BoxPublicKey, BoxSecretKey};
    ///
    /// let key = BoxSecretKey::from_bytes([7; 32]).public_key();
    /// assert_eq!(BoxPublicKey::from_bytes(key.to_bytes())?, key);
    /// // Zero is a point of order two: every agreement with it gives a publicly known key.
    /// assert!(BoxPublicKey::from_bytes([0; 32]).is_err());
    /// # Ok::<(), cipherfold::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::BoxPublicKey`] for a u-coordinate that is not below 2²⁵⁵ − 19. In RFC 7748,
    /// receivers clear the top bit and reduce the rest. Here every key has one encoding, so that
    /// keys that compare as unequal have different owners. X25519 writes only reduced coordinates.
    ///
    /// [`Error::BoxPublicKey`] unless the point lies in the group of prime order ℓ that the base
    /// point generates. Public keys made by X25519 lie in it. The points of low order that
    /// libsodium refuses do not, nor do points with a component of low order and points of the
    /// twist. They must be refused here for this reason: `crypto_box` 0.9.1, which
    /// [`BoxChannel`](crate::federated::channel::BoxChannel) uses, reduces its scalars modulo ℓ.
    /// The reduction removes the factor 8 with which X25519 cancels components of low order.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self> {
        let key = Self(bytes);
        if key.is_reduced() && key.is_in_prime_group() { Ok(key) } else { Err(Error::BoxPublicKey) }
    }

    /// The bytes of the key.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }

    /// Whether u < 2²⁵⁵ − 19.
    fn is_reduced(self) -> bool {
        let [low, middle @ .., high] = self.0;
        high < 0x7f || (high == 0x7f && (low < 0xed || middle.iter().any(|byte| *byte != 0xff)))
    }

    /// Whether the point has the prime order ℓ. The time depends on the point, which is public.
    fn is_in_prime_group(self) -> bool {
        // Points of the twist have no counterpart on the Edwards curve. The two points with this
        // u-coordinate either both have order ℓ, or neither has.
        let point = MontgomeryPoint(self.0).to_edwards(0);
        point.is_some_and(|point| point.is_torsion_free() && !point.is_identity())
    }
}

impl Debug for BoxPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxPublicKey(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::channel::tests::{array, rng};

    #[test]
    fn points_of_low_order_are_refused() {
        // The list of libsodium (x25519_ref10.c, `has_small_order`), with bit 255 clear and set:
        // X25519 ignores it.
        for hex in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            let mut key = array(hex);
            assert_eq!(BoxPublicKey::from_bytes(key), Err(Error::BoxPublicKey), "{hex}");
            key[31] |= 0x80;
            assert_eq!(BoxPublicKey::from_bytes(key), Err(Error::BoxPublicKey), "{hex}, bit 255 set");
        }
    }

    #[test]
    fn only_points_of_the_prime_order_group_are_accepted() {
        // A Montgomery ladder over Python integers found the small u that are coordinates of points
        // P with ℓ·P = 0. The other u lie on the twist or have a component of low order. u = 9 is
        // the base point.
        let accepted: Vec<u8> = (0..64)
            .filter(|&u| {
                let mut key = [0; 32];
                key[0] = u;
                BoxPublicKey::from_bytes(key).is_ok()
            })
            .collect();
        assert_eq!(accepted, [9, 16, 34, 45, 49]);
    }

    #[test]
    fn a_public_key_has_one_encoding() {
        let add = |bytes: [u8; 32], n: u8| {
            let mut sum = bytes;
            let mut carry = u16::from(n);
            for byte in &mut sum {
                carry += u16::from(*byte);
                *byte = carry.to_le_bytes()[0];
                carry >>= 8;
            }
            sum
        };
        let p = array("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        // Of the numbers with two encodings, only u = 9 and u = 16 are in the group.
        for u in 0..19 {
            let reduced = array::<32>(&format!("{u:02x}{}", "00".repeat(31)));
            assert_eq!(BoxPublicKey::from_bytes(reduced).is_ok(), [9, 16].contains(&u), "{u}");
            assert_eq!(BoxPublicKey::from_bytes(add(p, u)), Err(Error::BoxPublicKey), "{u} + p");
        }
        let mut rng = rng(17);
        for _ in 0..20 {
            let mut key = BoxSecretKey::generate(&mut rng).public_key().to_bytes();
            key[31] |= 0x80;
            assert_eq!(BoxPublicKey::from_bytes(key), Err(Error::BoxPublicKey), "the top bit must be clear");
        }
    }

    #[test]
    fn generated_keys_are_accepted() {
        let mut rng = rng(13);
        for _ in 0..20 {
            let key = BoxSecretKey::generate(&mut rng).public_key();
            assert_eq!(BoxPublicKey::from_bytes(key.to_bytes()), Ok(key));
        }
    }

    #[test]
    fn secret_keys_compare_by_their_bytes() {
        let key = BoxSecretKey::from_bytes([7; 32]);
        assert_eq!(key, BoxSecretKey::from_bytes(*key.expose_bytes()));
        assert_ne!(key, BoxSecretKey::from_bytes([8; 32]));
    }
}
