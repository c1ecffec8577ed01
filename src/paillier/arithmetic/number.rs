//! Numbers with an exponent, as python-paillier exchanges them: `mantissa·16^exponent`.
//!
//! The mantissa is an integer modulo n, encrypted or not; negative mantissas count down from n. The
//! exponent is public. It reveals the magnitude of a number, unless all numbers have the same
//! exponent: set one with [`PublicKey::encode_f64_at_vartime`] (python-paillier: `precision`).

use core::fmt;

use crypto_bigint::{CtLt, Word};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    paillier::{
        error::{Error, Result},
        keys::{PublicKey, SecretKey},
        randomness::Encryptor,
        values::{Bits3072, Ciphertext, KeySize, Plaintext, integer},
    },
    residue::{Limbs, subtract},
};

/// A number in the clear, encoded for a key: python-paillier's `EncodedNumber`.
///
/// ```
/// use cipherfold::paillier::{EncodedNumber, SecretKey, hazmat::InsecureBits512};
/// # use rand_core::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(38);
///
/// let secret = SecretKey::<InsecureBits512>::generate(&mut rng)?;
/// let price: EncodedNumber<InsecureBits512> = secret.public_key().encode_f64_vartime(1.5)?;
/// assert_eq!(price.exponent(), -13); // 1.5 = mantissa · 16^-13
/// assert_eq!(price.mantissa().to_u64(), Some(3 << 51));
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedNumber<S: KeySize = Bits3072> {
    mantissa: Plaintext<S>,
    exponent: i32,
}

impl<S: KeySize> EncodedNumber<S> {
    /// `mantissa·16^exponent`: python-paillier's `encoding` and `exponent`.
    pub fn new(mantissa: Plaintext<S>, exponent: i32) -> Self {
        Self { mantissa, exponent }
    }

    /// The integer modulo n.
    pub fn mantissa(&self) -> &Plaintext<S> {
        &self.mantissa
    }

    /// The power of 16.
    pub fn exponent(&self) -> i32 {
        self.exponent
    }
}

impl<S: KeySize> fmt::Debug for EncodedNumber<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedNumber").field("exponent", &self.exponent).finish_non_exhaustive()
    }
}

/// An encrypted number: python-paillier's `EncryptedNumber`.
///
/// ```
/// use cipherfold::paillier::{EncryptedNumber, Encryptor, SecretKey, hazmat::InsecureBits512};
/// # use rand_core::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(38);
///
/// let secret = SecretKey::<InsecureBits512>::generate(&mut rng)?;
/// let public = secret.public_key();
/// let encryptor = Encryptor::new(public, &mut rng)?;
/// let price = encryptor.encrypt_number(&public.encode_f64_vartime(19.99)?, &mut rng)?;
/// assert_eq!(price.exponent(), -12); // as in python-paillier
///
/// // To python-paillier: EncryptedNumber(public_key, int.from_bytes(c, "big"), exponent).
/// let (c, exponent) = (public.ciphertext_to_integer(price.ciphertext())?, price.exponent());
/// // And from it: number.ciphertext().to_bytes(…, "big"), number.exponent.
/// let price = EncryptedNumber::new(public.ciphertext_from_integer(&c)?, exponent);
///
/// let doubled = public.add_numbers(&price, &price)?;
/// assert_eq!(public.decode_f64_vartime(&secret.decrypt_number(&doubled)?)?, 39.98);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedNumber<S: KeySize = Bits3072> {
    ciphertext: Ciphertext<S>,
    exponent: i32,
}

impl<S: KeySize> EncryptedNumber<S> {
    /// An encrypted mantissa with its exponent.
    pub fn new(ciphertext: Ciphertext<S>, exponent: i32) -> Self {
        Self { ciphertext, exponent }
    }

    /// The encrypted mantissa.
    pub fn ciphertext(&self) -> &Ciphertext<S> {
        &self.ciphertext
    }

    /// The power of 16, which is public.
    pub fn exponent(&self) -> i32 {
        self.exponent
    }
}

impl<S: KeySize> fmt::Debug for EncryptedNumber<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedNumber")
            .field("ciphertext", &self.ciphertext)
            .field("exponent", &self.exponent)
            .finish()
    }
}

impl<S: KeySize> PublicKey<S> {
    /// An integer with exponent 0, as python-paillier encodes integers. Constant time.
    pub fn encode_i128(&self, value: i128) -> EncodedNumber<S> {
        EncodedNumber::new(self.plaintext_from_i128(value), 0)
    }

    /// A float, exactly, with the exponent that python-paillier chooses: the maximum one for which
    /// the mantissa holds 53 bits.
    ///
    /// **Time depends on the number**, and so does the exponent.
    ///
    /// # Errors
    ///
    /// [`Error::NumberRange`] if it is infinite or not a number.
    pub fn encode_f64_vartime(&self, value: f64) -> Result<EncodedNumber<S>> {
        let (_, mantissa, lsb) = split(value).ok_or(Error::NumberRange { exponent: 0 })?;
        // The lowest of 53 bits. python-paillier treats zero as a number below 1.
        let lowest =
            if mantissa == 0 { -53 } else { lsb + i64::from(u64::BITS - mantissa.leading_zeros()) - 53 };
        self.encode_f64_at_vartime(value, i32::try_from(lowest.div_euclid(4)).expect("above -300"))
    }

    /// A float with a given exponent, rounded to a multiple of 16^exponent (halves to even).
    ///
    /// In python-paillier, `precision` gives the exponent ⌊log₁₆(precision)⌋. **Time depends on the
    /// number.**
    ///
    /// # Errors
    ///
    /// [`Error::NumberRange`] if it is infinite or not a number, or if its mantissa is larger than
    /// n/3 − 1.
    pub fn encode_f64_at_vartime(&self, value: f64, exponent: i32) -> Result<EncodedNumber<S>> {
        let wrong = Error::NumberRange { exponent };
        let (negative, mantissa, lsb) = split(value).ok_or(wrong.clone())?;
        let magnitude = shifted::<S::Full>(mantissa, lsb - 4 * i64::from(exponent)).ok_or(wrong.clone())?;
        if !bool::from(magnitude.ct_lt(&self.third())) {
            return Err(wrong);
        }
        let negated = negative && !integer::is_zero(&*magnitude);
        let mantissa = if negated { self.negated(&magnitude) } else { Plaintext(*magnitude) };
        Ok(EncodedNumber::new(mantissa, exponent))
    }

    /// The float nearest to a number (halves to even).
    ///
    /// **Time depends on the number**, and the caller learns whether it is in range.
    ///
    /// # Errors
    ///
    /// [`Error::NumberOverflow`] if its mantissa is outside −(n/3 − 1) to n/3 − 1, for example
    /// after a sum or a product that does not fit the key; [`Error::NumberRange`] if no float is as
    /// large.
    pub fn decode_f64_vartime(&self, number: &EncodedNumber<S>) -> Result<f64> {
        let third = self.third();
        let is_small = |mantissa: &S::Full| bool::from(mantissa.ct_lt(&third));
        let mantissa = &number.mantissa.0;
        let below_n = bool::from(mantissa.ct_lt(self.modulus().n()));
        let negated = self.negated(mantissa);
        let (sign, magnitude) = match (is_small(mantissa), below_n && is_small(&negated.0)) {
            (true, _) => (1.0, *mantissa),
            (false, true) => (-1.0, negated.0),
            (false, false) => return Err(Error::NumberOverflow),
        };
        let float = to_float(&Plaintext::<S>(magnitude), 4 * i64::from(number.exponent));
        if float.is_finite() {
            Ok(sign * float)
        } else {
            Err(Error::NumberRange { exponent: number.exponent })
        }
    }

    /// An encryption of a + b, with the smaller exponent of the two.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), for either; [`Error::ExponentRange`] if the exponents are
    /// too far apart for both numbers to fit the key.
    pub fn add_numbers(&self, a: &EncryptedNumber<S>, b: &EncryptedNumber<S>) -> Result<EncryptedNumber<S>> {
        let exponent = a.exponent.min(b.exponent);
        let (a, b) = (self.with_exponent(a, exponent)?, self.with_exponent(b, exponent)?);
        Ok(EncryptedNumber::new(self.add(&a.ciphertext, &b.ciphertext)?, exponent))
    }

    /// An encryption of a·k: mantissas are multiplied, exponents added. The time is the same for
    /// all k.
    ///
    /// A zero k gives the ciphertext 1, which anyone recognises: see
    /// [`mul_plain`](Self::mul_plain).
    ///
    /// # Errors
    ///
    /// Those of [`mul_plain`](Self::mul_plain); [`Error::ExponentRange`] if the sum of the
    /// exponents is out of range.
    pub fn mul_number(&self, a: &EncryptedNumber<S>, k: &EncodedNumber<S>) -> Result<EncryptedNumber<S>> {
        let apart = Error::ExponentRange { from: a.exponent, to: k.exponent };
        let exponent = a.exponent.checked_add(k.exponent).ok_or(apart)?;
        Ok(EncryptedNumber::new(self.mul_plain(&a.ciphertext, &k.mantissa)?, exponent))
    }

    /// The same number with a smaller exponent: the mantissa is multiplied by a power of 16.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`Error::ExponentRange`] if `exponent` is above the
    /// number's, or so far below it that the mantissa does not fit the key.
    pub fn with_exponent(&self, a: &EncryptedNumber<S>, exponent: i32) -> Result<EncryptedNumber<S>> {
        self.check(&a.ciphertext)?;
        let apart = Error::ExponentRange { from: a.exponent, to: exponent };
        let bits = 4 * (i64::from(a.exponent) - i64::from(exponent));
        if bits == 0 {
            return Ok(a.clone());
        }
        // With a factor of n/3 or more, only the number zero fits.
        let bits = u32::try_from(bits).ok().filter(|bits| *bits < S::BITS - 2).ok_or(apart)?;
        let mut factor = Plaintext::<S>::zero();
        factor.0.words_mut()[(bits / Word::BITS) as usize] = 1 << (bits % Word::BITS);
        Ok(EncryptedNumber::new(self.mul_plain_bounded(&a.ciphertext, &factor, bits + 1)?, exponent))
    }

    /// ⌊n/3⌋: mantissas below it are positive numbers.
    fn third(&self) -> S::Full {
        let mut third = *self.modulus().n();
        let mut rest = 0;
        for word in third.words_mut().iter_mut().rev() {
            let dividend = (rest << Word::BITS) | u128::from(*word);
            *word = (dividend / 3) as Word;
            rest = dividend % 3;
        }
        third
    }

    /// `n − m`.
    fn negated(&self, m: &S::Full) -> Plaintext<S> {
        let mut negated = Plaintext(*self.modulus().n());
        subtract(&mut negated.0, m);
        negated
    }
}

impl<S: KeySize> Encryptor<S> {
    /// Encrypts the mantissa of a number; its exponent stays in the clear.
    ///
    /// # Errors
    ///
    /// Those of [`encrypt`](Self::encrypt).
    pub fn encrypt_number(
        &self,
        number: &EncodedNumber<S>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<EncryptedNumber<S>> {
        Ok(EncryptedNumber::new(self.encrypt(&number.mantissa, rng)?, number.exponent))
    }
}

impl<S: KeySize> SecretKey<S> {
    /// Decrypts a number; [`PublicKey::decode_f64_vartime`] makes a float of it.
    ///
    /// # Errors
    ///
    /// Those of [`decrypt`](Self::decrypt).
    pub fn decrypt_number(&self, number: &EncryptedNumber<S>) -> Result<EncodedNumber<S>> {
        Ok(EncodedNumber::new(self.decrypt(&number.ciphertext)?, number.exponent))
    }
}

/// Sign, mantissa and power of two of a finite float: `mantissa·2^power`.
fn split(value: f64) -> Option<(bool, u64, i64)> {
    let bits = value.to_bits();
    let (exponent, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
    let (mantissa, exponent) = if exponent == 0 { (fraction, 1) } else { (fraction | 1 << 52, exponent) };
    value.is_finite().then_some((value.is_sign_negative(), mantissa, exponent.cast_signed() - 1075))
}

/// `mantissa·2^shift`, rounded to an integer (halves to even); `None` if it is wider than U.
fn shifted<U: Limbs>(mantissa: u64, shift: i64) -> Option<Zeroizing<U>> {
    let mut wide = Zeroizing::new(U::zero());
    let (low, at) = if shift < 0 {
        let dropped = u32::try_from(-shift).unwrap_or(u32::MAX);
        (round_shift(mantissa, dropped), 0)
    } else {
        (mantissa, shift)
    };
    if low == 0 {
        return Some(wide);
    }
    let at = u32::try_from(at).ok().filter(|at| *at < U::WORDS as u32 * Word::BITS)?;
    if at + u64::BITS - low.leading_zeros() > U::WORDS as u32 * Word::BITS {
        return None;
    }
    // One bit at a time: words have 32 bits on some targets.
    for bit in (0..u64::BITS).filter(|bit| low >> bit & 1 == 1) {
        let bit = at + bit;
        wide.words_mut()[(bit / Word::BITS) as usize] |= 1 << (bit % Word::BITS);
    }
    Some(wide)
}

/// `value / 2^dropped`, rounded (halves to even).
fn round_shift(value: u64, dropped: u32) -> u64 {
    if dropped > u64::BITS {
        return 0;
    }
    let value = u128::from(value);
    let (quotient, rest) = (value >> dropped, value & ((1_u128 << dropped) - 1));
    let half = (1_u128 << dropped) >> 1;
    let up = dropped > 0 && (rest > half || (rest == half && quotient & 1 == 1));
    (quotient + u128::from(up)) as u64
}

/// The float nearest to `magnitude·2^power` (halves to even), infinite if it is too large.
fn to_float<S: KeySize>(magnitude: &Plaintext<S>, power: i64) -> f64 {
    let width = integer::bits_vartime(&magnitude.0);
    let bits = i64::from(width);
    // Lower bits do not fit: beyond 53 bits, or below the smallest subnormal number.
    let lowest = (bits + power - 53).max(-1074);
    let dropped = lowest - power;
    if dropped > bits + 1 || bits == 0 {
        return 0.0;
    }
    let bit = |at: i64| {
        let at = u32::try_from(at).ok().filter(|at| *at < width);
        u64::from(at.is_some_and(|at| bit_vartime(&magnitude.0, at)))
    };
    // Two bits more than fit, and a sticky bit for all bits below them.
    let significand = (dropped - 2..dropped + 54).rev().fold(0, |bits, at| bits << 1 | bit(at));
    let sticky = (0..dropped - 2).any(|at| bit(at) == 1);
    scale(round_shift(significand << 1 | u64::from(sticky), 3), lowest)
}

/// `mantissa·2^power` for a mantissa of at most 54 bits. Exact if the result is a float.
#[expect(clippy::cast_precision_loss, reason = "a power of two if it has 54 bits")]
fn scale(mantissa: u64, power: i64) -> f64 {
    let power = i32::try_from(power.clamp(-3000, 3000)).expect("in range");
    libm::ldexp(mantissa as f64, power)
}

fn bit_vartime<U: Limbs>(value: &U, bit: u32) -> bool {
    value.words()[(bit / Word::BITS) as usize] >> (bit % Word::BITS) & 1 == 1
}
