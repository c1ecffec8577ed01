//! Compares every backend's operations with the same arithmetic done by `crypto-bigint`: a table of
//! ratios for each.
//!
//! ```text
//! cargo bench --bench ratios
//! ```
//!
//! Operations and yardsticks take turns, a few milliseconds each, and the best turn of each counts:
//! what else the machine does then hits both sides alike. Times are for one ciphertext, one product
//! or one power, on one thread unless `CIPHERFOLD_BENCH_THREADS` says otherwise. The tables are
//! read by people; nothing fails when a ratio is not what is asked for. What is asked of `ifma` is
//! for processors that issue two 512-bit multiply-adds a cycle; with one a cycle (Zen 4), `add`
//! reaches about three quarters of that.

#[allow(dead_code, reason = "the other bench uses the rest")]
mod common;

use std::{env, time::Duration};

use cipherfold::paillier::{Bits2048, Bits3072, Bits4096, KeySize};
use common::{BENCH, Fixture, Yardsticks, subject::Subject};
use crypto_bigint::nlimbs;

/// Products between two looks at the clock, which then cost nothing.
const PRODUCTS: usize = 64;
const ROUNDS: usize = 15;
const TURN: Duration = Duration::from_millis(5);

/// What an operation is compared with, and what is asked for at some key sizes.
enum Against {
    /// Arithmetic of `crypto-bigint`, which should take so many times as long, or longer.
    Yardstick(&'static str, &'static [(u32, f64)]),
    /// Products modulo n² of the same backend, `add`: it should take as long as so many of them, or
    /// fewer.
    Products(&'static [(u32, f64)]),
}

use Against::{Products, Yardstick};

/// By backend and operation.
const COMPARISONS: &[(&str, &str, Against)] = &[
    ("portable", "add", Yardstick("product", &[(2048, 2.0)])),
    ("portable", "encrypt", Yardstick("power", &[(2048, 20.0)])),
    ("portable", "encrypt", Yardstick("power_amm", &[])),
    ("portable", "encrypt", Products(&[])),
    ("portable", "encrypt_full_range", Yardstick("power", &[])),
    ("portable", "decrypt", Yardstick("power", &[(2048, 8.0)])),
    ("portable", "decrypt", Yardstick("power_amm", &[])),
    ("portable", "decrypt", Yardstick("powers_mod_p2", &[])),
    ("ifma", "add", Yardstick("product", &[(2048, 16.0), (3072, 15.0)])),
    ("ifma", "encrypt", Yardstick("power", &[])),
    ("ifma", "encrypt", Products(&[(2048, 190.0), (3072, 280.0)])),
    ("ifma", "decrypt", Yardstick("power", &[])),
    ("ifma", "decrypt", Yardstick("powers_mod_p2", &[(2048, 20.0), (3072, 20.0)])),
    ("avx2", "add", Yardstick("product", &[])),
    ("avx2", "encrypt", Yardstick("power", &[])),
    ("avx2", "encrypt", Products(&[])),
    ("avx2", "decrypt", Yardstick("power", &[])),
    ("avx2", "decrypt", Yardstick("powers_mod_p2", &[])),
];

fn main() {
    // `cargo test --benches` leaves `--bench` out: one short turn each shows that all of it runs.
    let measures = env::args().any(|arg| arg == "--bench") && env::args().all(|arg| arg != "--test");
    let (rounds, turn) = if measures { (ROUNDS, TURN) } else { (1, Duration::ZERO) };
    common::threads().install(|| {
        let sizes = [
            size::<Bits2048, { nlimbs(1024) }, { nlimbs(2048) }, { nlimbs(4096) }>(rounds, turn),
            size::<Bits3072, { nlimbs(1536) }, { nlimbs(3072) }, { nlimbs(6144) }>(rounds, turn),
            size::<Bits4096, { nlimbs(2048) }, { nlimbs(4096) }, { nlimbs(8192) }>(rounds, turn),
        ];
        for (name, _) in common::backends::<Bits2048>() {
            println!("\nBackend {name}, against crypto-bigint and its own products modulo n² (`add`):\n");
            println!("| operation | key bits | ns | against | ns | ratio | demanded |");
            println!("| :-- | --: | --: | :-- | --: | --: | --: |");
            for times in &sizes {
                times.print(name);
            }
        }
    });
}

/// The best times at a key size, in nanoseconds, by backend and name.
struct Times {
    bits: u32,
    best: Vec<(&'static str, &'static str, f64)>,
}

impl Times {
    fn best(&self, backend: &str, name: &str) -> f64 {
        let found = self.best.iter().find(|(of, what, _)| (*of, *what) == (backend, name));
        found.expect("all names in the comparisons are measured").2
    }

    /// The rows of a backend.
    fn print(&self, backend: &str) {
        for (_, operation, against) in COMPARISONS.iter().filter(|(of, ..)| *of == backend) {
            let ns = self.best(backend, operation);
            let (yardstick, yardstick_ns, ratio, sign, demands) = match against {
                Yardstick(name, demands) => {
                    let yardstick_ns = self.best("crypto-bigint", name);
                    (*name, yardstick_ns, format!("{:.2}", yardstick_ns / ns), "≥", demands)
                }
                Products(demands) => {
                    let product_ns = self.best(backend, "add");
                    ("own products", product_ns, format!("{:.0} products", ns / product_ns), "≤", demands)
                }
            };
            let demanded = demands.iter().find(|(bits, _)| *bits == self.bits);
            let demanded = demanded.map_or("–".to_owned(), |(_, ratio)| format!("{sign} {ratio}"));
            let bits = self.bits;
            println!(
                "| {operation} | {bits} | {ns:.0} | {yardstick} | {yardstick_ns:.0} | {ratio} | {demanded} |"
            );
        }
    }
}

/// Measures at a key size whose p, n and n² have so many limbs.
fn size<S: KeySize, const HALF: usize, const FULL: usize, const SQUARE: usize>(
    rounds: usize,
    turn: Duration,
) -> Times {
    let made = Fixture::<S>::new(BENCH);
    let yardsticks = Yardsticks::<HALF, FULL, SQUARE>::new(&made.secret);
    let fixtures: Vec<_> =
        common::backends::<S>().into_iter().map(|(name, choice)| (name, made.on(choice))).collect();
    let mut product = yardsticks.product();
    let theirs = "crypto-bigint";
    let mut subjects = vec![
        (theirs, "product", Subject::new(PRODUCTS, || (0..PRODUCTS).for_each(|_| product()))),
        (theirs, "power", Subject::new(1, yardsticks.power())),
        (theirs, "power_amm", Subject::new(1, yardsticks.power_amm())),
        (theirs, "powers_mod_p2", Subject::new(1, yardsticks.powers_mod_p2())),
    ];
    for (backend, fixture) in &fixtures {
        subjects.push((*backend, "add", Subject::new(BENCH.add, fixture.add())));
        subjects.push((*backend, "encrypt", Subject::new(BENCH.encrypt, fixture.encrypt())));
        subjects.push((*backend, "decrypt", Subject::new(BENCH.decrypt, fixture.decrypt())));
        if *backend == "portable" {
            subjects.push((*backend, "encrypt_full_range", Subject::new(1, fixture.encrypt_full_range())));
        }
    }
    for _ in 0..rounds {
        for (.., subject) in &mut subjects {
            subject.take_turn(turn);
        }
    }
    let best = subjects.iter().map(|(backend, name, subject)| (*backend, *name, subject.best)).collect();
    Times { bits: S::BITS, best }
}
