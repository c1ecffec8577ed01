//! A statistical test of running times (Reparaz, Balasch, Verbauwhede, "Dude, is my code constant
//! time?", DATE 2017).
//!
//! Two classes of secrets, one fixed and one random, are measured in random order on one buffer.
//! Welch's t-test checks whether their mean times differ: for all times, and for the times below
//! some percentiles, without the delays of interrupts and other programs.
#![allow(clippy::cast_precision_loss, reason = "statistics")]

use core::hint::black_box;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cipherfold::{
    backend::BackendChoice,
    diagnostics::{Backend, Limbs, Modulus, Pair},
    paillier::{Bits2048, Bits3072, Bits4096, KeySize},
};
use crypto_bigint::Word;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::{common::key_bits::KeyBits, random, random_below_all, random_modulus, random_pair, say};

/// Default seconds for each operation.
pub const SECONDS: f64 = 7.0;

/// Maximum |t|: beyond this value, the authors of the test call a difference certain. For any leak,
/// |t| grows with the root of the number of measurements; without a leak, it does not grow. A
/// threshold of 4.5 (one in 10⁵ for a single normal variable) would be exceeded by chance: the test
/// takes the maximum of several t over many operations, and the clock of shared machines changes
/// during measurements.
const THRESHOLD: f64 = 10.0;

/// Residues in a batch: one vector.
const LANES: usize = 8;

/// Bits of exponents, if they can be chosen.
const BITS: u32 = 512;

/// Number of different inputs of the random class, and of copies of the fixed input, so that both
/// classes have the same size in memory.
const INPUTS: usize = 64;

/// Tests the operations with `part` in their line.
pub fn run(seconds: f64, key_bits: KeyBits, part: &str) -> bool {
    match key_bits {
        KeyBits::Bits2048 => run_size::<Bits2048>(seconds, part),
        KeyBits::Bits3072 => run_size::<Bits3072>(seconds, part),
        KeyBits::Bits4096 => run_size::<Bits4096>(seconds, part),
    }
}

fn run_size<S: KeySize>(seconds: f64, part: &str) -> bool {
    say(format_args!("t beyond ±{THRESHOLD} is a leak; {seconds} s an operation, keys of {} bits", S::BITS));
    say(format_args!("{:>9} {:>11} {:>9} {:>7}  operation", "samples", "mean µs", "resolved", "max |t|"));
    let mut passed = true;
    for choice in [BackendChoice::Portable, BackendChoice::Ifma, BackendChoice::Avx2] {
        match S::backend(choice) {
            Ok(backend) => passed &= run_backend::<S>(backend, Duration::from_secs_f64(seconds), part),
            Err(reason) => say(format_args!("not tested: {reason}")),
        }
    }
    passed
}

fn run_backend<S: KeySize>(backend: &dyn Backend<S::Full, S::Half>, time: Duration, part: &str) -> bool {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let len = if backend.name() == "portable" { 1 } else { LANES };
    let modulus = Arc::new(Modulus::new(random_modulus::<S::Full>(&mut rng)).expect("it is odd"));
    let bases = draw(len, || random_pair::<S::Full>(&mut rng));
    let fixed = backend.fixed_base(&modulus, &bases[0], S::BITS / 2);
    let public = backend.public(&modulus);
    let zero = filled::<S::Half>(0);
    let mut test = Test { backend: backend.name(), part, time, passed: true };

    let mut random_exponents = || inputs(|| draw(len, || random::<S::Half>(&mut rng)));
    for (name, exponent) in [("zero", zero), ("all ones", filled(Word::MAX))] {
        let classes = [inputs(|| vec![exponent; len]), random_exponents()];
        test.run(&format!("fixed base, exponent {name} or random"), false, &classes, |exponents| {
            fixed.pow(exponents)
        });
    }
    // The same with a leak: a few nanoseconds for every set bit.
    let classes = [inputs(|| vec![zero; len]), random_exponents()];
    test.run("deliberate leak: and a product for every set bit", true, &classes, |exponents| {
        for exponent in exponents {
            black_box(product_by_set_bits(exponent));
        }
        fixed.pow(exponents)
    });

    let exponents = draw(len, || random::<S::Half>(&mut rng));
    let classes =
        [inputs(|| vec![filled(0); len]), inputs(|| draw(len, || random_below_all::<S::Full>(&mut rng)))];
    test.run("encrypt, plaintext zero or random", false, &classes, |ms| fixed.encrypt(ms, &exponents));

    for (name, exponent) in [("zero", filled(0)), ("all ones", filled(Word::MAX))] {
        let classes = [inputs(|| vec![exponent; len]), inputs(|| draw(len, || random::<S::Full>(&mut rng)))];
        test.run(&format!("power, exponent {name} or random"), false, &classes, |exponents| {
            public.pow(&bases, exponents, BITS)
        });
    }

    let (p, q) = (random_modulus::<S::Half>(&mut rng), random_modulus::<S::Half>(&mut rng));
    let secret = backend.secret(&p, &q);
    let classes =
        [inputs(|| vec![Pair::one(); len]), inputs(|| draw(len, || random_pair::<S::Full>(&mut rng)))];
    test.run("decrypt, ciphertext one or random", false, &classes, |cs| secret.decrypt(cs));

    // Numbers with almost no bits set, and random ones, in place of primes. A decryption does not
    // detect this before its result. Each engine is created immediately before its measurement, and
    // so at the same address. Engines at separate addresses, eight in each class, gave |t| of 1 to
    // 9, and of 2 to 5 if both classes were random. At one address |t| stayed below 3, and below
    // 2.5 for five pairs of single random keys.
    let sparse = |low| {
        let mut prime = filled::<S::Half>(0);
        prime.words_mut()[0] = low;
        *prime.words_mut().last_mut().expect("there are words") = 3 << (Word::BITS - 2);
        prime
    };
    let classes =
        [inputs(|| vec![sparse(1), sparse(5)]), inputs(|| draw(2, || random_modulus::<S::Half>(&mut rng)))];
    let mut buffer = classes[0][0].clone();
    test.measure("decrypt, p and q sparse or random", false, |class, input| {
        buffer.copy_from_slice(&classes[class][input]);
        let secret = backend.secret(&buffer[0], &buffer[1]);
        time_of(|| secret.decrypt(&bases))
    });
    test.passed
}

fn draw<T>(len: usize, mut function: impl FnMut() -> T) -> Vec<T> {
    (0..len).map(|_| function()).collect()
}

fn inputs<T>(function: impl FnMut() -> Vec<T>) -> Vec<Vec<T>> {
    draw(INPUTS, function)
}

/// A number with one word everywhere.
fn filled<U: Limbs>(word: Word) -> U {
    let mut value = U::zero();
    value.words_mut().fill(word);
    value
}

#[inline(never)]
fn product_by_set_bits(exponent: &impl Limbs) -> Word {
    let mut product: Word = 3;
    for word in exponent.words() {
        for bit in 0..Word::BITS {
            if black_box(word >> bit) & 1 == 1 {
                product = black_box(product.wrapping_mul(product));
            }
        }
    }
    product
}

/// The time of an operation, without the time of dropping its result.
fn time_of<R>(operation: impl FnOnce() -> R) -> Duration {
    let before = Instant::now();
    let result = black_box(operation());
    let time = before.elapsed();
    drop(result);
    time
}

struct Test<'a> {
    backend: &'static str,
    part: &'a str,
    time: Duration,
    passed: bool,
}

impl Test<'_> {
    /// Times an operation on secrets of two classes, which are copied to one address before.
    fn run<T: Copy, R>(
        &mut self,
        name: &str,
        leaky: bool,
        classes: &[Vec<Vec<T>>; 2],
        operation: impl Fn(&[T]) -> R,
    ) {
        let mut buffer = classes[0][0].clone();
        self.measure(name, leaky, |class, input| {
            buffer.copy_from_slice(&classes[class][input]);
            time_of(|| operation(black_box(&buffer)))
        });
    }

    /// Judges the times of classes 0 and 1. `time_of` takes the numbers of a class and of an input.
    fn measure(&mut self, name: &str, leaky: bool, mut time_of: impl FnMut(usize, usize) -> Duration) {
        if !format!("{}: {name}", self.backend).contains(self.part) {
            return;
        }
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut times = Vec::new();
        let start = Instant::now();
        // A deliberate leak must be visible on a noisy machine too; t grows with the root of the
        // time.
        let time = if leaky { 4 * self.time } else { self.time };
        while start.elapsed() < time {
            let draw = rng.next_u32();
            let (class, input) = ((draw & 1) as usize, (draw >> 1) as usize % INPUTS);
            times.push((class, time_of(class, input).as_nanos() as f64));
        }
        times.drain(..times.len() / 50); // while caches and clocks settle
        let (t, resolved) = largest_t(&times);
        let found = t.abs() > THRESHOLD;
        let good = found == leaky;
        self.passed &= good;
        let verdict = match (found, leaky) {
            (false, false) => "ok",
            (true, false) => "LEAK",
            (true, true) => "found, as it must be",
            (false, true) => "NOT FOUND",
        };
        let mean = times.iter().map(|(_, time)| time).sum::<f64>() / times.len() as f64 / 1000.0;
        let (count, percent, t) = (times.len(), resolved * 100.0, t.abs());
        say(format_args!(
            "{count:9} {mean:11.1} {percent:7.3} % {t:7.2}  {}: {name}: {verdict}",
            self.backend
        ));
    }
}

/// The t of maximum magnitude, over all times and over the times below some percentiles. Also the
/// minimum difference of means, relative to the median, that would reach the threshold.
fn largest_t(times: &[(usize, f64)]) -> (f64, f64) {
    let mut sorted: Vec<_> = times.iter().map(|(_, time)| *time).collect();
    sorted.sort_by(f64::total_cmp);
    let below = |percent: usize| {
        let limit = sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)];
        welch(times.iter().filter(|(_, time)| *time <= limit))
    };
    let tests = [25, 50, 75, 90, 95, 99, 100].map(below);
    let t = tests.iter().map(|test| test.0).max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
    let error = tests.iter().map(|test| test.1).fold(f64::INFINITY, f64::min);
    (t, THRESHOLD * error / sorted[sorted.len() / 2])
}

/// Welch's t for the difference of the means of two classes, and that difference's standard error.
fn welch<'a>(times: impl Iterator<Item = &'a (usize, f64)>) -> (f64, f64) {
    // Welford's running mean and sum of squared deviations.
    let (mut count, mut mean, mut squares) = ([0.0; 2], [0.0; 2], [0.0; 2]);
    for &(class, time) in times {
        count[class] += 1.0;
        let delta: f64 = time - mean[class];
        mean[class] += delta / count[class];
        squares[class] += delta * (time - mean[class]);
    }
    if count[0] < 2.0 || count[1] < 2.0 {
        return (0.0, f64::INFINITY);
    }
    let variance = |class: usize| squares[class] / (count[class] - 1.0) / count[class];
    let error = (variance(0) + variance(1)).sqrt();
    let t: f64 = (mean[0] - mean[1]) / error;
    (if t.is_nan() { 0.0 } else { t }, error)
}
