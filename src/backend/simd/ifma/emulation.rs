//! The vector instructions of the kernels in software, for processors without AVX-512 IFMA.
//!
//! With `--cfg cipherfold_emulated_ifma` the kernels use these functions in place of those of
//! [`core::arch::x86_64`], with the same names and meanings (Intel's intrinsics guide). Tests of
//! the kernels then run on any x86-64 processor (`.ci/steps/emulated_ifma`). Slow, and for tests
//! only.

#![allow(non_camel_case_types, reason = "the names of `core::arch`")]

/// 512 bits: eight lanes of 64.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct __m512i([u64; 8]);

/// 128 bits: two lanes of 64.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub(super) struct __m128i([u64; 2]);

/// One bit for each lane, the first lane's lowest.
pub(super) type __mmask8 = u8;

pub(super) const _MM_HINT_T1: i32 = 2;

const LANES: usize = 8;
const LIMB_BITS: u32 = 52;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;

fn each(a: __m512i, b: __m512i, operation: impl Fn(u64, u64) -> u64) -> __m512i {
    __m512i(core::array::from_fn(|lane| operation(a.0[lane], b.0[lane])))
}

/// The product of the lowest 52 bits of two lanes.
fn product(a: u64, b: u64) -> u128 {
    u128::from(a & LIMB_MASK) * u128::from(b & LIMB_MASK)
}

/// Shifts by 64 and more give zero.
fn shifted(a: __m512i, count: u64) -> __m512i {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    __m512i(a.0.map(|lane| lane.checked_shr(count).unwrap_or(0)))
}

pub(super) fn _mm512_setzero_si512() -> __m512i {
    __m512i([0; LANES])
}

pub(super) fn _mm512_set1_epi64(value: i64) -> __m512i {
    __m512i([value.cast_unsigned(); LANES])
}

pub(super) fn _mm512_add_epi64(a: __m512i, b: __m512i) -> __m512i {
    each(a, b, u64::wrapping_add)
}

pub(super) fn _mm512_sub_epi64(a: __m512i, b: __m512i) -> __m512i {
    each(a, b, u64::wrapping_sub)
}

pub(super) fn _mm512_and_si512(a: __m512i, b: __m512i) -> __m512i {
    each(a, b, |a, b| a & b)
}

/// Adds the lowest 52 bits of the products.
pub(super) fn _mm512_madd52lo_epu64(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    let products = each(a, b, |a, b| (product(a, b) & u128::from(LIMB_MASK)) as u64);
    each(sum, products, u64::wrapping_add)
}

/// Adds the highest 52 bits of the products of 104.
pub(super) fn _mm512_madd52hi_epu64(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    let products = each(a, b, |a, b| (product(a, b) >> LIMB_BITS) as u64);
    each(sum, products, u64::wrapping_add)
}

pub(super) fn _mm512_srli_epi64<const COUNT: u32>(a: __m512i) -> __m512i {
    shifted(a, u64::from(COUNT))
}

pub(super) fn _mm512_srl_epi64(a: __m512i, count: __m128i) -> __m512i {
    shifted(a, count.0[0])
}

pub(super) fn _mm_cvtsi32_si128(value: i32) -> __m128i {
    __m128i([u64::from(value.cast_unsigned()), 0])
}

pub(super) fn _mm512_broadcast_i32x4(a: __m128i) -> __m512i {
    __m512i(core::array::from_fn(|lane| a.0[lane % 2]))
}

pub(super) fn _mm512_cmpeq_epi64_mask(a: __m512i, b: __m512i) -> __mmask8 {
    (0..LANES).fold(0, |mask, lane| mask | u8::from(a.0[lane] == b.0[lane]) << lane)
}

pub(super) fn _mm512_mask_mov_epi64(otherwise: __m512i, mask: __mmask8, a: __m512i) -> __m512i {
    __m512i(core::array::from_fn(|lane| if mask >> lane & 1 == 1 { a.0[lane] } else { otherwise.0[lane] }))
}

pub(super) fn _mm512_mask_set1_epi64(otherwise: __m512i, mask: __mmask8, value: i64) -> __m512i {
    _mm512_mask_mov_epi64(otherwise, mask, _mm512_set1_epi64(value))
}

/// Sixteen entries, at the lowest four bits of every lane's index.
pub(super) fn _mm512_permutex2var_epi64(low: __m512i, index: __m512i, high: __m512i) -> __m512i {
    __m512i(index.0.map(|index| {
        let index = (index % 16) as usize;
        if index < LANES { low.0[index] } else { high.0[index - LANES] }
    }))
}

/// # Safety
///
/// 64 initialised bytes, aligned to 64.
pub(super) unsafe fn _mm512_load_si512(from: *const __m512i) -> __m512i {
    assert!(from.is_aligned(), "the instruction faults on other addresses");
    // SAFETY: upheld by the caller.
    unsafe { from.read() }
}

/// # Safety
///
/// 64 bytes to write, aligned to 64.
pub(super) unsafe fn _mm512_store_si512(to: *mut __m512i, value: __m512i) {
    assert!(to.is_aligned(), "the instruction faults on other addresses");
    // SAFETY: upheld by the caller.
    unsafe { to.write(value) }
}

/// # Safety
///
/// 16 initialised bytes.
pub(super) unsafe fn _mm_loadu_si128(from: *const __m128i) -> __m128i {
    // SAFETY: upheld by the caller.
    unsafe { from.read_unaligned() }
}

/// Nothing: a hint.
pub(super) fn _mm_prefetch<const HINT: i32>(_: *const i8) {}
