//! Sums and differences of words with carries, without branches.

use crypto_bigint::Word;

/// `a + b + carry`, and the carry out; `carry` is 0 or 1.
#[inline(always)]
#[allow(clippy::unnecessary_cast, reason = "a word has 32 bits on some targets")]
#[allow(unsafe_code, unused_unsafe, reason = "the intrinsic is safe in later compilers")]
pub(super) fn add_with_carry(a: Word, b: Word, carry: u8) -> (Word, u8) {
    // In plain code, the compiler finds the processor's carry chain for one chain at a time only:
    // with two chains, products took about a tenth longer.
    #[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
    if Word::BITS == u64::BITS {
        let mut sum = 0;
        // SAFETY: every processor of x86-64 has the instruction.
        let carry = unsafe { core::arch::x86_64::_addcarry_u64(carry, a as u64, b as u64, &mut sum) };
        return (sum as Word, carry);
    }
    let (sum, over) = a.overflowing_add(b);
    let (sum, over_again) = sum.overflowing_add(Word::from(carry));
    (sum, u8::from(over | over_again))
}

/// `a − b − borrow`, and the borrow out; `borrow` is 0 or 1.
#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
#[inline(always)]
#[allow(unsafe_code, unused_unsafe, reason = "the intrinsic is safe in later compilers")]
pub(super) fn subtract_with_borrow(a: Word, b: Word, borrow: u8) -> (Word, u8) {
    let mut difference = 0;
    // SAFETY: every processor of x86-64 has the instruction.
    let borrow = unsafe { core::arch::x86_64::_subborrow_u64(borrow, a, b, &mut difference) };
    (difference, borrow)
}

/// `a − b − borrow`, and the borrow out; `borrow` is 0 or 1.
#[cfg(not(all(target_arch = "x86_64", not(cipherfold_no_simd))))]
#[inline(always)]
pub(super) fn subtract_with_borrow(a: Word, b: Word, borrow: u8) -> (Word, u8) {
    let (difference, under) = a.overflowing_sub(b);
    let (difference, under_again) = difference.overflowing_sub(Word::from(borrow));
    (difference, u8::from(under | under_again))
}

/// All ones for 1, zero for 0. `black_box` hides from the compiler that there are only two values,
/// because it could make a branch of them.
#[inline(always)]
pub(super) fn all_ones_if(bit: u8) -> Word {
    core::hint::black_box(Word::from(bit)).wrapping_neg()
}
