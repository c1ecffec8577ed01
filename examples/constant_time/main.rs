//! Tests the claim that time does not depend on secrets; `.ci/extra/constant_time` runs all of it
//! and explains the results.
//!
//! ```text
//! cargo build --release --example constant_time
//! valgrind --error-limit=no target/release/examples/constant_time memory
//! target/release/examples/constant_time timing
//! ```
//!
//! `memory [branch|look-up]` needs valgrind, which follows secret bits through `portable` and
//! `avx2`. With a second argument it executes that leak on purpose, and must fail.
//! `timing [SECONDS [KEY_BITS [PART_OF_A_NAME]]]` measures every backend that runs here, SECONDS
//! seconds for each operation. One of the operations is a deliberate leak, which the test must
//! find.

#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
mod memory;
#[path = "../common"]
mod common {
    pub(crate) mod cli;
    pub(crate) mod escape;
    pub(crate) mod key_bits;
    pub(crate) mod numbers;
}
mod timing;
#[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
mod valgrind;

use std::{fmt, io::Write, process::ExitCode};

use cipherfold::diagnostics::{Limbs, Pair};
use clap::{Parser, Subcommand};
use rand_core::Rng;

use common::{
    cli::{Failure, Output},
    key_bits::KeyBits,
    numbers::between,
};

/// Tests the claim that time does not depend on secrets.
#[derive(Debug, Parser)]
#[command(name = "constant_time")]
struct Args {
    #[command(subcommand)]
    test: Test,
}

#[derive(Debug, Subcommand)]
enum Test {
    /// Follows secret bits through the code; for valgrind
    #[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
    Memory {
        /// Executes this deliberate leak instead, which must be found
        leak: Option<memory::Leak>,
    },
    /// Measures every backend that runs here
    Timing {
        /// Seconds for each operation
        #[arg(default_value_t = timing::SECONDS, value_parser = between(0.001..=86_400.0))]
        seconds: f64,
        /// Bits of the key
        #[arg(value_enum, default_value_t = KeyBits::Bits2048)]
        key_bits: KeyBits,
        /// Only operations with this text in their line
        part_of_a_name: Vec<String>,
    },
}

fn main() -> ExitCode {
    common::cli::run(|args: &Args, _| {
        // Only this thread: no times of other threads, and one order of events under valgrind.
        rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
        let passed = match &args.test {
            #[cfg(all(target_arch = "x86_64", not(cipherfold_no_simd)))]
            Test::Memory { leak } => memory::run(*leak),
            Test::Timing { seconds, key_bits, part_of_a_name } => {
                timing::run(*seconds, *key_bits, &part_of_a_name.join(" "))
            }
        };
        if passed { Ok(()) } else { Err(Failure::from("the test failed")) }
    })
}

/// Prints a line. The exit code is the result, so a closed output does not end the test.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(Output, "{line}");
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

/// An odd number with its top two bits set. The engines treat it like any modulus or prime.
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
