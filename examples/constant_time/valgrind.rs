//! Requests to valgrind's memcheck from the program that it runs.
//!
//! Valgrind recognises a sequence of instructions that has no effect elsewhere. This module
//! contains the sequence from `valgrind.h` and `memcheck.h`, so that the build needs neither those
//! headers nor a C compiler.
#![allow(unsafe_code, reason = "the sequence exists only as assembly")]

use core::{arch::asm, ptr};

const RUNNING_ON_VALGRIND: usize = 0x1001;
const COUNT_ERRORS: usize = 0x1201;
const CHANGE_ERROR_DISABLEMENT: usize = 0x1801;
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_DEFINED: usize = MEMCHECK + 2;

/// Sends a request to valgrind. Zero if valgrind is not running.
fn request(code: usize, first: usize, second: usize) -> usize {
    let arguments = [code, first, second, 0, 0, 0];
    let mut answer = 0usize;
    // SAFETY: the rotations add up to 128 bits, so rdi is unchanged, and rbx is exchanged with
    // itself. Valgrind reads the arguments, which live until the end of the function, and writes to
    // rdx.
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

/// Number of errors reported so far, including repeated ones.
pub fn errors() -> usize {
    request(COUNT_ERRORS, 0, 0)
}

/// Runs a function with documented leaks, without reports.
pub fn unreported<T>(function: impl FnOnce() -> T) -> T {
    request(CHANGE_ERROR_DISABLEMENT, 1, 0);
    let result = function();
    request(CHANGE_ERROR_DISABLEMENT, usize::MAX, 0);
    result
}

/// Marks a value as secret: from now on, a branch or an address that depends on it is an error.
pub fn hide<T: ?Sized>(value: &mut T) {
    let bytes = size_of_val(value);
    request(MAKE_UNDEFINED, ptr::from_mut(value).cast::<u8>().expose_provenance(), bytes);
}

/// Marks a value as public.
pub fn reveal<T: ?Sized>(value: &mut T) {
    let bytes = size_of_val(value);
    request(MAKE_DEFINED, ptr::from_mut(value).cast::<u8>().expose_provenance(), bytes);
}
