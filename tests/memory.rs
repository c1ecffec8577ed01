//! A run needs the memory of a few updates, whatever the number of clients.
//!
//! Updates are made one at a time, 50 of 2 million values of 16 bits. What is measured is the peak of a whole process, so
//! each run has one of its own: a second one would also find what the first has left of the heap, in pieces.
//! It runs under a key too short for anything but tests; with
//!
//! ```text
//! CIPHERFOLD_MEMORY_KEY_BITS=2048 cargo test --release --test memory -- --nocapture
//! ```
//!
//! (or 3072, or 4096) it takes a real one, and a while.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "test values cut to 16 bits")]

use std::{env, fs, process::Command};

use cipherfold::{
    federated::LocalExecutor,
    packing::IntegerRange,
    paillier::{Bits2048, Bits3072, Bits4096, KeySize, hazmat::InsecureBits512},
};
use ndarray::Array1;

const VALUES: usize = 2_000_000;
const FEW: u64 = 5;
const MANY: u64 = 50;
const MIB: u64 = 1 << 20;

/// Largest memory of this process so far, in bytes; none where the system does not say.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Client c's value i: pseudorandom in its low bits, with a sum that is easy to know.
fn value(client: u64, i: usize) -> i16 {
    let mixed = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    (mixed as i16).wrapping_add(client as i16)
}

fn run<S: KeySize>(executor: &LocalExecutor<S>, clients: u64) {
    let updates = (0..clients).map(|client| Array1::from_shape_fn(VALUES, |i| value(client, i)));
    // One at a time: how many work together does not depend on the machine.
    let sum = executor.secure_sum(updates, IntegerRange::of::<i16>()).unwrap();
    assert_eq!(sum.report.values, VALUES as u64);
    for i in (0..VALUES).step_by(997).chain([VALUES - 1]) {
        let expected: i64 = (0..clients).map(|client| i64::from(value(client, i))).sum();
        assert_eq!(sum.value[i], expected, "value {i}");
    }
    println!("{}", sum.report);
}

/// What the child processes of this test are told: how many clients to sum over.
const CLIENTS: &str = "CIPHERFOLD_MEMORY_CLIENTS";

/// The peak of a process that sums over so many clients; none where the system does not say.
fn peak_with(clients: u64) -> Option<u64> {
    peak()?;
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "memory_does_not_grow_with_the_number_of_clients", "--nocapture"])
        .env(CLIENTS, clients.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the run with {clients} clients failed");
    let peak = text.lines().find_map(|line| line.strip_prefix("peak in bytes: "));
    Some(peak.expect("the child says so").parse().unwrap())
}

fn check<S: KeySize>() {
    if let Ok(clients) = env::var(CLIENTS) {
        let executor = LocalExecutor::<S>::builder().max_concurrent_clients(1).build().unwrap();
        run(&executor, clients.parse().unwrap());
        println!("peak in bytes: {}", peak().expect("it was there before"));
        return;
    }
    let (Some(few), Some(many)) = (peak_with(FEW), peak_with(MANY)) else {
        println!("skipped: this system does not tell the peak of a process's memory");
        return;
    };
    println!("peak: {} MiB with {FEW} clients, {} with {MANY}", few / MIB, many / MIB);
    assert!(many < 1536 * MIB, "{} MiB", many / MIB);
    let update = (VALUES * size_of::<i16>()) as u64;
    // More clients need wider slots, a bit for every doubling, and so a little more for the sum.
    assert!(many <= few + few / 10 + update, "{} MiB with {FEW}, {} with {MANY}", few / MIB, many / MIB);
}

#[test]
fn memory_does_not_grow_with_the_number_of_clients() {
    match env::var("CIPHERFOLD_MEMORY_KEY_BITS").as_deref() {
        Err(_) | Ok("512") => check::<InsecureBits512>(),
        Ok("2048") => check::<Bits2048>(),
        Ok("3072") => check::<Bits3072>(),
        Ok("4096") => check::<Bits4096>(),
        Ok(other) => panic!("no key has {other} bits"),
    }
}
