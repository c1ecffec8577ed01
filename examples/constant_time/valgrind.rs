//! Requests to valgrind's memcheck from within the program that it runs.
//!
//! Valgrind recognises a sequence of instructions that does nothing elsewhere. It is written out here, from
//! `valgrind.h` and `memcheck.h`, so that building this needs neither those headers nor a compiler for C.
#![allow(unsafe_code, reason = "the sequence has no other form than assembly")]

use core::{arch::asm, ptr};

const RUNNING_ON_VALGRIND: usize = 0x1001;
const COUNT_ERRORS: usize = 0x1201;
const CHANGE_ERROR_DISABLEMENT: usize = 0x1801;
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_DEFINED: usize = MEMCHECK + 2;

/// Asks valgrind; zero if it is not there.
fn request(code: usize, first: usize, second: usize) -> usize {
    let arguments = [code, first, second, 0, 0, 0];
    let mut answer = 0usize;
    // SAFETY: the rotations add up to 128 bits and leave rdi as it was, and rbx is exchanged with itself. Valgrind reads
    // the arguments, which live until the end of the function, and writes to rdx.
    unsafe {
        asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") answer,
            options(nostack),
        );
    }
    answer
}

pub fn is_running() -> bool {
    request(RUNNING_ON_VALGRIND, 0, 0) != 0
}

/// Errors reported so far, repeated ones included.
pub fn errors() -> usize {
    request(COUNT_ERRORS, 0, 0)
}

/// Runs what leaks by its own documentation, unreported.
pub fn unreported<T>(function: impl FnOnce() -> T) -> T {
    request(CHANGE_ERROR_DISABLEMENT, 1, 0);
    let result = function();
    request(CHANGE_ERROR_DISABLEMENT, usize::MAX, 0);
    result
}

/// Marks a value secret: a branch or an address that depends on it is an error from now on.
pub fn hide<T: ?Sized>(value: &mut T) {
    let bytes = size_of_val(value);
    request(MAKE_UNDEFINED, ptr::from_mut(value).cast::<u8>().expose_provenance(), bytes);
}

/// Marks a value public.
pub fn reveal<T: ?Sized>(value: &mut T) {
    let bytes = size_of_val(value);
    request(MAKE_DEFINED, ptr::from_mut(value).cast::<u8>().expose_provenance(), bytes);
}
