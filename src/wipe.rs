//! Wiping of stack memory, which no destructor reaches.

/// Overwrites the stack below the caller. Functions that have returned left temporaries there.
///
/// Such bytes can reach the heap: a value that is built on the stack and moved to the heap carries
/// them in its padding, and no destructor wipes padding. Call this function after work on a
/// long-lived secret, such as the primes of a key. It takes about two microseconds.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "the array overwrites the stack")]
pub(crate) fn wipe_stack() {
    let mut stack = [0_u8; DEPTH];
    // The compiler must assume that these zeros are read.
    core::hint::black_box(&mut stack);
}

/// More than the primality test of 2048 bits uses. Of all work on secrets, this test needs the
/// deepest stack.
const DEPTH: usize = 64 * 1024;
