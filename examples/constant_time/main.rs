//! Tests the claim that time does not depend on secrets; `.ci/constant_time` runs all of it and explains the results.
//!
//! ```text
//! cargo build --release --example constant_time
//! valgrind --error-limit=no target/release/examples/constant_time memory
//! target/release/examples/constant_time timing
//! ```
//!
//! `memory [branch|look-up]` needs valgrind, which follows secret bits through `portable` and `avx2`; with a second argument it
//! commits that leak on purpose, and must fail. `timing [seconds [key bits [part of a name]]]`
//! measures every backend that runs here, for so many seconds an operation; among the operations is a leak on purpose,
//! which must be found.

#[cfg(target_arch = "x86_64")]
mod memory;
mod timing;
#[cfg(target_arch = "x86_64")]
mod valgrind;

use std::process::ExitCode;

use cipherfold::residue::{Limbs, Pair};
use rand_core::Rng;

fn main() -> ExitCode {
    // One thread, this one: no times of other threads, and one order of events under valgrind.
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build_global()
        .expect("nothing has made a pool before");

    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let passed = match arguments[..] {
        #[cfg(target_arch = "x86_64")]
        ["memory"] => memory::run(None),
        #[cfg(target_arch = "x86_64")]
        ["memory", "branch"] => memory::run(Some(memory::Leak::Branch)),
        #[cfg(target_arch = "x86_64")]
        ["memory", "look-up"] => memory::run(Some(memory::Leak::LookUp)),
        ["timing", ref numbers @ ..] => match numbers {
            [] => timing::run(timing::SECONDS, 2048, ""),
            [seconds] => seconds.parse().is_ok_and(|seconds| timing::run(seconds, 2048, "")),
            [seconds, bits, name @ ..] => match (seconds.parse(), bits.parse()) {
                (Ok(seconds), Ok(bits)) => timing::run(seconds, bits, &name.join(" ")),
                _ => false,
            },
        },
        _ => {
            eprintln!(
                "usage: constant_time memory [branch|look-up] | timing [seconds [key bits [part of a name]]]"
            );
            return ExitCode::from(2);
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn random<U: Limbs>(rng: &mut impl Rng) -> U {
    let mut value = U::zero();
    for word in value.words_mut() {
        *word = random_word(rng);
    }
    value
}

#[allow(clippy::cast_possible_truncation, reason = "a word has 32 bits on some targets")]
fn random_word(rng: &mut impl Rng) -> crypto_bigint::Word {
    rng.next_u64() as crypto_bigint::Word
}

/// An odd number with its top two bits set: to the engines a modulus or a prime like any other.
fn random_modulus<U: Limbs>(rng: &mut impl Rng) -> U {
    let mut n: U = random(rng);
    n.words_mut()[0] |= 1;
    *n.words_mut().last_mut().expect("there are words") |= !(crypto_bigint::Word::MAX >> 2);
    n
}

/// A number below every modulus with its top bit set.
fn random_below_all<U: Limbs>(rng: &mut impl Rng) -> U {
    let mut value: U = random(rng);
    *value.words_mut().last_mut().expect("there are words") >>= 1;
    value
}

fn random_pair<U: Limbs>(rng: &mut impl Rng) -> Pair<U> {
    Pair::new(random_below_all(rng), random_below_all(rng))
}
