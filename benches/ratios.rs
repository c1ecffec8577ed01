//! Compares every backend's operations with the same arithmetic in `crypto-bigint`, and prints a
//! table of ratios for each backend.
//!
//! ```text
//! cargo bench --bench ratios
//! ```
//!
//! The measurements of operations and baselines alternate, and each takes a few milliseconds. The
//! best one of each counts, so that other work on the machine affects both sides alike. Times are
//! for one ciphertext, one product or one power, on one thread, unless `CIPHERFOLD_BENCH_THREADS`
//! sets another number. The tables are for people: the benchmark does not fail if a ratio misses
//! its target. The targets of `ifma` are for processors that issue two 512-bit multiply-adds a
//! cycle. With one a cycle (Zen 4), `add` reaches about three quarters of its target.

#[allow(dead_code, reason = "the other bench uses the rest")]
mod common;

use std::{env, time::Duration};

use cipherfold::paillier::{Bits2048, Bits3072, Bits4096, KeySize};
use common::{BENCH, Baselines, Fixture, subject::Subject};
use crypto_bigint::nlimbs;

/// Products between two readings of the clock: enough to make the cost of the readings negligible.
const PRODUCTS: usize = 64;
const ROUNDS: usize = 15;
const MEASUREMENT_TIME: Duration = Duration::from_millis(5);

/// The baseline of an operation, with the target ratios at some key sizes.
enum Baseline {
    /// Arithmetic of `crypto-bigint`. The targets are minimum ratios of its time to the
    /// operation's.
    CryptoBigint(&'static str, &'static [(u32, f64)]),
    /// Products modulo n² of the same backend (`add`). The targets are maximum numbers of products
    /// in the operation's time.
    OwnProducts(&'static [(u32, f64)]),
}

use Baseline::{CryptoBigint, OwnProducts};

/// By backend and operation.
const COMPARISONS: &[(&str, &str, Baseline)] = &[
    ("portable", "add", CryptoBigint("product", &[(2048, 2.0)])),
    ("portable", "encrypt", CryptoBigint("power", &[(2048, 20.0)])),
    ("portable", "encrypt", CryptoBigint("power_amm", &[])),
    ("portable", "encrypt", OwnProducts(&[])),
    ("portable", "encrypt_full_range", CryptoBigint("power", &[])),
    ("portable", "decrypt", CryptoBigint("power", &[(2048, 8.0)])),
    ("portable", "decrypt", CryptoBigint("power_amm", &[])),
    ("portable", "decrypt", CryptoBigint("powers_mod_p2", &[])),
    ("ifma", "add", CryptoBigint("product", &[(2048, 16.0), (3072, 15.0)])),
    ("ifma", "encrypt", CryptoBigint("power", &[])),
    ("ifma", "encrypt", OwnProducts(&[(2048, 190.0), (3072, 280.0)])),
    ("ifma", "decrypt", CryptoBigint("power", &[])),
    ("ifma", "decrypt", CryptoBigint("powers_mod_p2", &[(2048, 20.0), (3072, 20.0)])),
    ("avx2", "add", CryptoBigint("product", &[])),
    ("avx2", "encrypt", CryptoBigint("power", &[])),
    ("avx2", "encrypt", OwnProducts(&[])),
    ("avx2", "decrypt", CryptoBigint("power", &[])),
    ("avx2", "decrypt", CryptoBigint("powers_mod_p2", &[])),
];

fn main() {
    // `cargo test --benches` does not pass `--bench`. Then each operation runs once, as a test.
    let measures = env::args().any(|arg| arg == "--bench") && env::args().all(|arg| arg != "--test");
    let (rounds, time) = if measures { (ROUNDS, MEASUREMENT_TIME) } else { (1, Duration::ZERO) };
    common::threads().install(|| {
        let sizes = [
            size::<Bits2048, { nlimbs(1024) }, { nlimbs(2048) }, { nlimbs(4096) }>(rounds, time),
            size::<Bits3072, { nlimbs(1536) }, { nlimbs(3072) }, { nlimbs(6144) }>(rounds, time),
            size::<Bits4096, { nlimbs(2048) }, { nlimbs(4096) }, { nlimbs(8192) }>(rounds, time),
        ];
        for (name, _) in common::backends() {
            println!(
                "\nBackend {name}, compared with crypto-bigint and its own products modulo n² (`add`):\n"
            );
            println!("| operation | key bits | ns | baseline | ns | ratio | target |");
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
        found.expect("every name in COMPARISONS is measured").2
    }

    /// The rows of a backend.
    fn print(&self, backend: &str) {
        for (_, operation, baseline) in COMPARISONS.iter().filter(|(of, ..)| *of == backend) {
            let ns = self.best(backend, operation);
            let (baseline, baseline_ns, ratio, sign, targets) = match baseline {
                CryptoBigint(name, targets) => {
                    let baseline_ns = self.best("crypto-bigint", name);
                    (*name, baseline_ns, format!("{:.2}", baseline_ns / ns), "≥", targets)
                }
                OwnProducts(targets) => {
                    let product_ns = self.best(backend, "add");
                    ("own products", product_ns, format!("{:.0} products", ns / product_ns), "≤", targets)
                }
            };
            let target = targets.iter().find(|(bits, _)| *bits == self.bits);
            let target = target.map_or("–".to_owned(), |(_, ratio)| format!("{sign} {ratio}"));
            let bits = self.bits;
            println!(
                "| {operation} | {bits} | {ns:.0} | {baseline} | {baseline_ns:.0} | {ratio} | {target} |"
            );
        }
    }
}

/// Measures one key size. p, n and n² have HALF, FULL and SQUARE limbs.
fn size<S: KeySize, const HALF: usize, const FULL: usize, const SQUARE: usize>(
    rounds: usize,
    time: Duration,
) -> Times {
    let made = Fixture::<S>::new(BENCH);
    let baselines = Baselines::<HALF, FULL, SQUARE>::new(&made.secret);
    let fixtures: Vec<_> =
        common::backends().into_iter().map(|(name, choice)| (name, made.on(choice))).collect();
    let mut product = baselines.product();
    let library = "crypto-bigint";
    let mut subjects = vec![
        (library, "product", Subject::new(PRODUCTS, || (0..PRODUCTS).for_each(|_| product()))),
        (library, "power", Subject::new(1, baselines.power())),
        (library, "power_amm", Subject::new(1, baselines.power_amm())),
        (library, "powers_mod_p2", Subject::new(1, baselines.powers_mod_p2())),
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
            subject.measure_for(time);
        }
    }
    let best = subjects.iter().map(|(backend, name, subject)| (*backend, *name, subject.best)).collect();
    Times { bits: S::BITS, best }
}
