//! The length of the exponents of randomizers, and the assumptions behind each length.

use core::fmt;

use rand_core::CryptoRng;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{paillier::values::KeySize, residue};

/// The length of the exponents α with which an [`Encryptor`](crate::paillier::Encryptor) makes its
/// randomizers `h_s^α`.
///
/// Keys, bases, the form of ciphertexts, sums and decryption are the same for both lengths. Each
/// encryptor therefore decides for itself: only the secrecy of its plaintexts depends on the
/// choice. Half-length exponents are the default. Short exponents must be selected by name
/// ([`Encryptor::with_short_exponents`](crate::paillier::Encryptor::with_short_exponents)).
///
/// | key | half length | short | products of an encryption on `ifma`, half length and short |
/// | --: | --: | --: | --: |
/// | 2048 bits | 1024 bits | 256 bits | 147 and 37 |
/// | 3072 bits | 1536 bits | 288 bits | 220 and 36 |
/// | 4096 bits | 2048 bits | 336 bits | 293 and 42 |
///
/// # Assumptions
///
/// **Both** lengths need the decisional composite residuosity assumption, like all of Paillier:
/// without the factors of n, n-th residues modulo n² cannot be distinguished from other units.
/// Under this assumption a ciphertext hides its plaintext if `h_s^α` looks like a random power of
/// `h_s`, one with an exponent as long as n.
///
/// **Half-length exponents** (⌈|n|/2⌉ bits; Damgård, Jurik, Nielsen 2010, section 4.2) require that
/// a power with an exponent of half the modulus' length looks like one with a full exponent.
/// Goldreich and Rosen ("On the security of modular exponentiation with application to the
/// construction of pseudorandom generators", Journal of Cryptology 16, 2003) prove for `g^x` modulo
/// a product of two primes that this holds if factoring is hard. The randomizers here correspond to
/// such powers: raising to the n-th power maps the units modulo n one to one to the n-th residues
/// modulo n². This is not a further assumption, as far as that theorem applies to the key and base
/// in use.
///
/// **Short exponents** (2λ + 32 bits, [`KeySize::SHORT_EXPONENT_BITS`]) need a **further
/// assumption**, which does not follow from factoring: discrete logarithms with short exponents are
/// hard in the group that `h_s` generates. No proof covers it here. Anyone can compute
/// `h_s^α mod n` from a ciphertext (it is the ciphertext modulo n). An attacker who finds a short α
/// from its power modulo n therefore reads that ciphertext. Finite-field Diffie–Hellman with short
/// exponents makes the same assumption:
///
/// - van Oorschot and Wiener, "On Diffie–Hellman key agreement with short exponents", EUROCRYPT
///   '96, and Koshiba and Kurosawa, "Short exponent Diffie–Hellman problems", PKC 2004, study it,
///   in groups whose order is known. The order of this group is secret.
/// - RFC 7919, section 5.2 and appendix A, allows exponents of at least 225, 275 and 325 bits in
///   its groups of 2048, 3072 and 4096 bits. The lengths here are above those.
///
/// # The best known attack
///
/// Pollard's kangaroo method finds one α of b bits in about 2^(b/2) products modulo n: 2^(λ+16) for
/// 2λ + 32 bits. One search with a large table helps with many ciphertexts of the same base
/// (Bernstein and Lange, "Computing small discrete logarithms faster", INDOCRYPT 2012): after about
/// 2^(λ+32) products and with a table of 2^32 entries, each further exponent costs about 2^λ. The
/// additional 32 bits compensate for this attack. Exponents must **never** be shorter: 110 bits, as
/// in other libraries, are open to 2^55 steps.
///
/// An attacker who knows a part of the group's order with small factors finds that part of α at no
/// cost. This shortens the search for the rest. The owner of the secret key knows the order, and
/// can decrypt anyway.
///
/// # When not to use short exponents
///
/// - The data must stay secret for decades, or a regulation requires a standard assumption.
/// - A value must be hidden from the **owner of the secret key**, for example the multiplier of
///   [`mul_plain_rerandomized`](crate::paillier::Encryptor::mul_plain_rerandomized). Neither length
///   does that without further assumptions;
///   [`PublicKey::randomizer_full_range`](crate::paillier::PublicKey::randomizer_full_range) does.
/// - No trusted party made the base at random. Then neither length is secure.
/// - Encryption does not dominate the running time. Sums and decryption do not get faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Exponents {
    /// ⌈|n|/2⌉ bits: the default.
    #[default]
    Half,
    /// [`KeySize::SHORT_EXPONENT_BITS`] bits: about a quarter at 2048 bits, under a further
    /// assumption.
    Short,
}

impl Exponents {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Half => "half-length exponents",
            Self::Short => "short exponents",
        }
    }

    /// Bits of an exponent for a key size.
    pub const fn bits<S: KeySize>(self) -> u32 {
        match self {
            Self::Half => S::BITS / 2,
            Self::Short => S::SHORT_EXPONENT_BITS,
        }
    }

    /// Fresh exponents, uniform among all of these bits. The bits above them are zero.
    pub(in crate::paillier) fn draw<S: KeySize>(
        self,
        count: usize,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Zeroizing<Vec<S::Half>> {
        let mut exponents = Zeroizing::new(vec![S::Half::default(); count]);
        let mut bytes = Zeroizing::new(vec![0; S::BYTES / 2]);
        let drawn = self.bits::<S>() as usize / 8;
        for exponent in exponents.iter_mut() {
            rng.fill_bytes(&mut bytes[..drawn]);
            *exponent = residue::words_from_le_bytes(&bytes);
        }
        exponents
    }
}

impl fmt::Display for Exponents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::paillier::{Bits2048, Bits3072, Bits4096, hazmat::InsecureBits512};

    /// Bits that are set in at least one exponent, and bits that are set in all exponents, least
    /// significant first.
    fn some_and_all<S: KeySize>(exponents: Exponents) -> (Vec<bool>, Vec<bool>) {
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(S::BITS));
        let drawn = exponents.draw::<S>(64, &mut rng);
        let bits =
            |value: &S::Half| -> Vec<bool> { (0..S::BITS / 2).map(|bit| residue_bit(value, bit)).collect() };
        let all = drawn.iter().map(bits);
        all.fold(
            (vec![false; S::BITS as usize / 2], vec![true; S::BITS as usize / 2]),
            |(some, all), bits| {
                let or = some.iter().zip(&bits).map(|(a, b)| a | b).collect();
                let and = all.iter().zip(&bits).map(|(a, b)| a & b).collect();
                (or, and)
            },
        )
    }

    fn residue_bit<H: residue::Limbs>(value: &H, bit: u32) -> bool {
        let word_bits = crypto_bigint::Word::BITS;
        value.words()[(bit / word_bits) as usize] >> (bit % word_bits) & 1 == 1
    }

    /// A bit is the same in all 64 exponents with probability 2^−63.
    fn drawn_bits_vary_and_others_are_zero<S: KeySize>() {
        for exponents in [Exponents::Half, Exponents::Short] {
            let bits = exponents.bits::<S>() as usize;
            let (some, all) = some_and_all::<S>(exponents);
            assert!(some[..bits].iter().all(|set| *set), "{exponents}: every drawn bit is set at times");
            assert!(!all[..bits].contains(&true), "{exponents}: every drawn bit is zero at times");
            assert!(!some[bits..].contains(&true), "{exponents}: the bits above are zero");
        }
        assert_eq!(Exponents::Half.bits::<S>(), S::BITS / 2);
    }

    #[test]
    fn exponents_fill_their_length_and_no_more() {
        drawn_bits_vary_and_others_are_zero::<InsecureBits512>();
        drawn_bits_vary_and_others_are_zero::<Bits2048>();
        drawn_bits_vary_and_others_are_zero::<Bits3072>();
        drawn_bits_vary_and_others_are_zero::<Bits4096>();
    }

    #[test]
    fn lengths_are_twice_the_security_and_32_bits_more() {
        let lengths = [
            (Bits2048::SHORT_EXPONENT_BITS, 112),
            (Bits3072::SHORT_EXPONENT_BITS, 128),
            (Bits4096::SHORT_EXPONENT_BITS, 152),
            (InsecureBits512::SHORT_EXPONENT_BITS, 64),
        ];
        for (bits, security) in lengths {
            assert_eq!(bits, 2 * security + 32);
        }
    }

    #[test]
    fn no_two_exponents_are_equal() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let drawn = Exponents::Short.draw::<InsecureBits512>(1000, &mut rng);
        for (i, a) in drawn.iter().enumerate() {
            assert!(!drawn[..i].contains(a));
        }
    }
}
