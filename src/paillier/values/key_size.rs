//! Key sizes as types, so that mixed key sizes do not compile.

use core::fmt::Debug;

use crypto_bigint::{Uint, nlimbs};

use crate::{
    backend::{self, BackendChoice, engine::Backend, select::select},
    residue::Limbs,
};

/// The size of a key: [`Bits2048`], [`Bits3072`] (the default) or [`Bits4096`].
///
/// ```
/// use cipherfold::paillier::{Bits2048, KeySize, PublicKey};
///
/// fn bytes_of_a_key<S: KeySize>(_: &PublicKey<S>) -> usize {
///     PublicKey::<S>::ENCODED_LEN
/// }
/// assert_eq!((Bits2048::BITS, Bits2048::BYTES), (2048, 256));
/// ```
///
/// Sealed. Keys, plaintexts and ciphertexts have their size as a type parameter and are arrays of
/// that fixed width. Nothing is allocated or measured at run time.
pub trait KeySize: Widths + Copy + Debug + Default + Eq + Send + Sync + 'static {
    /// Bits of the modulus n, exactly.
    const BITS: u32;

    /// Bytes of n, and of each half of a ciphertext.
    const BYTES: usize = Self::BITS as usize / 8;

    /// Bits of a short exponent ([`Exponents::Short`](crate::paillier::Exponents::Short)): 2λ + 32
    /// for a key of λ bits of security. 256, 288 and 336 for λ = 112, 128 and 152.
    ///
    /// A multiple of eight, and less than half of [`BITS`](Self::BITS).
    const SHORT_EXPONENT_BITS: u32;
}

/// The integers of a key size, and the backends for them. Private, so that no other type is a
/// [`KeySize`].
pub trait Widths {
    /// Integers as wide as n.
    type Full: Limbs;

    /// Integers as wide as p and q, half as wide as n.
    type Half: Limbs;

    /// The backend of a choice on this machine: [`select`] for keys of this size. This crate
    /// compiles it once, so that programs that use the crate need not.
    ///
    /// # Errors
    ///
    /// Those of [`BackendChoice::backend_name`].
    fn backend(choice: BackendChoice) -> backend::Result<&'static dyn Backend<Self::Full, Self::Half>>;
}

/// 2λ + 32, for λ bits of security.
const fn short_exponent_bits(key_bits: u32, security_bits: u32) -> u32 {
    let bits = 2 * security_bits + 32;
    assert!(
        bits.is_multiple_of(8) && bits < key_bits / 2,
        "whole bytes, and shorter than the half-length exponent"
    );
    bits
}

macro_rules! key_size {
    ($(#[$doc:meta])* $name:ident, $bits:literal, $security:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name;

        impl KeySize for $name {
            const BITS: u32 = $bits;
            const SHORT_EXPONENT_BITS: u32 = short_exponent_bits($bits, $security);
        }

        impl Widths for $name {
            type Full = Uint<{ nlimbs($bits) }>;
            type Half = Uint<{ nlimbs($bits / 2) }>;

            fn backend(choice: BackendChoice) -> backend::Result<&'static dyn Backend<Self::Full, Self::Half>> {
                select(choice)
            }
        }
    };
}

key_size! {
    /// 2048 bits: about 112 bits of security (NIST SP 800-57 part 1, table 2).
    Bits2048, 2048, 112
}
key_size! {
    /// 3072 bits: about 128 bits of security, the default (NIST SP 800-57 part 1, table 2).
    Bits3072, 3072, 128
}
key_size! {
    /// 4096 bits: about 150 bits of security.
    Bits4096, 4096, 152
}
key_size! {
    /// 512 bits: fast, and anyone can factor it within a day. For tests, and for simulations with
    /// public inputs. Short exponents have 160 bits, for λ = 64: more than the modulus' own 57 bits
    /// or so.
    InsecureBits512, 512, 64
}
