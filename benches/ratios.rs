//! Compares operations with the same arithmetic done by `crypto-bigint`, in one table of ratios.
//!
//! ```text
//! cargo bench --bench ratios
//! ```
//!
//! Operations and yardsticks take turns, a few milliseconds each, and the best turn of each counts: what
//! else the machine does then hits both sides alike. Times are for one ciphertext, one product or one
//! power, on one thread unless `CIPHERFOLD_BENCH_THREADS` says otherwise. The table is read by people;
//! nothing fails when a ratio is below what is asked for.

#[allow(dead_code, reason = "the other bench uses the rest")]
mod common;

use std::{
    env,
    time::{Duration, Instant},
};

use cipherfold::paillier::{Bits2048, Bits3072, Bits4096, KeySize};
use common::{ADD, BATCH, DECRYPT, Fixture, Yardsticks};
use crypto_bigint::nlimbs;

/// Products between two looks at the clock, which then cost nothing.
const PRODUCTS: usize = 64;
const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_millis(5);

/// Operation, yardstick, and the ratio asked for at 2048 bits.
const COMPARISONS: &[(&str, &str, Option<f64>)] = &[
    ("add", "product", Some(2.0)),
    ("encrypt", "power", Some(20.0)),
    ("encrypt", "power_amm", None),
    ("encrypt_full_range", "power", None),
    ("decrypt", "power", Some(8.0)),
    ("decrypt", "power_amm", None),
    ("decrypt", "powers_mod_p2", None),
];

fn main() {
    // `cargo test --benches` leaves `--bench` out: one short turn each shows that all of it runs.
    let measures = env::args().any(|arg| arg == "--bench") && env::args().all(|arg| arg != "--test");
    let (rounds, turn) = if measures { (ROUNDS, TURN) } else { (1, Duration::ZERO) };
    common::threads().install(|| {
        println!("| operation | key bits | ns | yardstick of crypto-bigint | ns | ratio | at least |");
        println!("| :-- | --: | --: | :-- | --: | --: | --: |");
        size::<Bits2048, { nlimbs(1024) }, { nlimbs(2048) }, { nlimbs(4096) }>(rounds, turn);
        size::<Bits3072, { nlimbs(1536) }, { nlimbs(3072) }, { nlimbs(6144) }>(rounds, turn);
        size::<Bits4096, { nlimbs(2048) }, { nlimbs(4096) }, { nlimbs(8192) }>(rounds, turn);
    });
}

/// The rows of a key size whose p, n and n² have so many limbs.
fn size<S: KeySize, const HALF: usize, const FULL: usize, const SQUARE: usize>(
    rounds: usize,
    turn: Duration,
) {
    let fixture = Fixture::<S>::new();
    let yardsticks = Yardsticks::<HALF, FULL, SQUARE>::new(&fixture.secret);
    let mut product = yardsticks.product();
    let mut subjects = [
        Subject::new("product", PRODUCTS, || (0..PRODUCTS).for_each(|_| product())),
        Subject::new("add", ADD, fixture.add()),
        Subject::new("power", 1, yardsticks.power()),
        Subject::new("encrypt", BATCH, fixture.encrypt()),
        Subject::new("encrypt_full_range", 1, fixture.encrypt_full_range()),
        Subject::new("power_amm", 1, yardsticks.power_amm()),
        Subject::new("decrypt", DECRYPT, fixture.decrypt()),
        Subject::new("powers_mod_p2", 1, yardsticks.powers_mod_p2()),
    ];
    for _ in 0..rounds {
        for subject in &mut subjects {
            subject.take_turn(turn);
        }
    }
    let best = |name: &str| {
        let subject = subjects.iter().find(|subject| subject.name == name);
        subject.expect("all names in the comparisons are subjects").best
    };
    for (operation, yardstick, demanded) in COMPARISONS {
        let (ns, yardstick_ns) = (best(operation), best(yardstick));
        let demanded =
            demanded.filter(|_| S::BITS == 2048).map_or("–".to_owned(), |ratio| format!("{ratio}"));
        println!(
            "| {operation} | {} | {ns:.0} | {yardstick} | {yardstick_ns:.0} | {:.2} | {demanded} |",
            S::BITS,
            yardstick_ns / ns
        );
    }
}

/// Something timed, and its best time so far.
struct Subject<'a> {
    name: &'static str,
    elements: usize,
    routine: Box<dyn FnMut() + 'a>,
    /// Nanoseconds for one element.
    best: f64,
}

impl<'a> Subject<'a> {
    fn new(name: &'static str, elements: usize, routine: impl FnMut() + 'a) -> Self {
        Self { name, elements, routine: Box::new(routine), best: f64::INFINITY }
    }

    /// Calls the routine for as long as a turn, and at least once.
    #[allow(clippy::cast_precision_loss, reason = "there are few elements")]
    fn take_turn(&mut self, turn: Duration) {
        let start = Instant::now();
        let mut calls = 0;
        loop {
            (self.routine)();
            calls += 1;
            let elapsed = start.elapsed();
            if elapsed >= turn {
                let ns = elapsed.as_secs_f64() * 1e9 / (f64::from(calls) * self.elements as f64);
                self.best = self.best.min(ns);
                return;
            }
        }
    }
}
