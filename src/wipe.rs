//! Wiping what no destructor reaches.

/// Overwrites the part of the stack below the caller, where functions that have returned left their temporaries.
///
/// Stale bytes do not stay there: a value that is built on the stack and moved to the heap takes them along in its
/// padding, and no destructor wipes padding. Call it after work on a secret that has to outlive few calls, such as the
/// primes of a key. Costs about two microseconds.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "the stack is what is to be overwritten")]
pub(crate) fn wipe_stack() {
    let mut stack = [0_u8; DEPTH];
    // The compiler must assume that these zeros are read.
    core::hint::black_box(&mut stack);
}

/// More than the tests of a prime of 2048 bits take, which need the deepest stack of all work on secrets.
const DEPTH: usize = 64 * 1024;
