//! A run needs the memory of a few updates, for any number of clients.
//!
//! Updates are made one at a time. The test measures the peak memory of a whole process, so each
//! run has its own process: a second run in the same process would find the heap fragmented by the
//! first.
//!
//! The test is quick: 500,000 values of 16 bits for each client, and a key of 512 bits, for tests
//! only. Real sizes take longer:
//!
//! ```text
//! export CIPHERFOLD_MEMORY_KEY_BITS=2048 CIPHERFOLD_MEMORY_VALUES=2000000
//! cargo test --release --test memory -- --nocapture
//! ```
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "test values cut to 16 bits")]

use std::{env, fs, process::Command};

use cipherfold::{
    federated::{LocalExecutor, PlacementKind},
    packing::IntegerRange,
    paillier::{Bits2048, Bits3072, Bits4096, KeySize, hazmat::InsecureBits512},
};
use ndarray::Array1;

const FEW_CLIENTS: u64 = 5;
const MANY_CLIENTS: u64 = 30;
const MIB: u64 = 1 << 20;

/// Settings of this test: bits of the key, values of an update.
const KEY_BITS: &str = "CIPHERFOLD_MEMORY_KEY_BITS";
const VALUES: &str = "CIPHERFOLD_MEMORY_VALUES";
/// Settings that the test gives its child processes: the number of clients, and whether clients may
/// drop out.
const CLIENTS: &str = "CIPHERFOLD_MEMORY_CLIENTS";
const DROPOUTS: &str = "CIPHERFOLD_MEMORY_DROPOUTS";

fn number(setting: &str) -> Option<u64> {
    let text = env::var(setting).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{setting} is a number, not {text:?}")))
}

/// Values of an update.
fn values() -> usize {
    number(VALUES).map_or(500_000, |values| values.try_into().expect("an update fits the memory"))
}

/// Peak memory of this process so far, in bytes; `None` if the system does not report it.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Client c's value i: pseudorandom in its low bits, with an easily computed sum.
fn value(client: u64, i: usize) -> i16 {
    let mixed = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    (mixed as i16).wrapping_add(client as i16)
}

/// A sum over this number of clients; returns the bytes of one client's ciphertexts.
fn run<S: KeySize>(executor: &LocalExecutor<S>, clients: u64) -> u64 {
    let values = values();
    let updates = (0..clients).map(|client| Array1::from_shape_fn(values, |i| value(client, i)));
    let sum = executor.secure_sum(updates, IntegerRange::of::<i16>()).unwrap();
    assert_eq!(sum.report().values, values as u64);
    for i in (0..values).step_by(997).chain([values - 1]) {
        let expected: i64 = (0..clients).map(|client| i64::from(value(client, i))).sum();
        assert_eq!(sum.value[i], expected, "value {i}");
    }
    println!("{}", sum.report());
    let sent = sum.report().traffic(PlacementKind::Clients, PlacementKind::Aggregator).expect("clients send");
    sent.payload_bytes / clients
}

/// Peak memory of a process that sums over `clients` clients, and the bytes of one client's
/// ciphertexts. `None` if the system does not report the peak.
fn measure(clients: u64, dropouts: bool) -> Option<[u64; 2]> {
    peak()?;
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "memory_does_not_grow_with_the_number_of_clients", "--nocapture"])
        .env(CLIENTS, clients.to_string())
        .env(DROPOUTS, u8::from(dropouts).to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the run with {clients} clients failed");
    let found = |label| text.lines().find_map(|line| line.strip_prefix(label)?.parse().ok());
    Some(["peak in bytes: ", "bytes of a client: "].map(|label| found(label).expect("the child says so")))
}

fn check<S: KeySize>() {
    if let Some(clients) = number(CLIENTS) {
        // One at a time, so that the number of active clients does not depend on the machine.
        let builder = LocalExecutor::<S>::builder().max_concurrent_clients(1);
        let builder = if number(DROPOUTS) == Some(1) { builder.min_clients(1) } else { builder };
        let bytes = run(&builder.build().unwrap(), clients);
        println!("bytes of a client: {bytes}");
        println!("peak in bytes: {}", peak().expect("it was there before"));
        return;
    }
    let (Some([few, _]), Some([many, bytes]), Some([dropouts, _])) =
        (measure(FEW_CLIENTS, false), measure(MANY_CLIENTS, false), measure(MANY_CLIENTS, true))
    else {
        println!("skipped: this system does not report the peak of a process's memory");
        return;
    };
    println!(
        "peak: {} MiB with {FEW_CLIENTS} clients, {} with {MANY_CLIENTS}, {} with {MANY_CLIENTS} that may drop \
         out, each of whose ciphertexts take {}",
        few / MIB,
        many / MIB,
        dropouts / MIB,
        bytes / MIB
    );
    let update = (values() * size_of::<i16>()) as u64;
    // More clients need wider slots, a bit for every doubling, and so a little more for the sum.
    assert!(
        many <= few + few / 10 + update,
        "{} MiB with {FEW_CLIENTS}, {} with {MANY_CLIENTS}",
        few / MIB,
        many / MIB
    );
    // If clients may drop out, the aggregator keeps a client's messages until all of them have
    // arrived.
    assert!(dropouts <= many + bytes + many / 10 + update, "{} MiB, {}", many / MIB, dropouts / MIB);
}

#[test]
fn memory_does_not_grow_with_the_number_of_clients() {
    match number(KEY_BITS) {
        None | Some(512) => check::<InsecureBits512>(),
        Some(2048) => check::<Bits2048>(),
        Some(3072) => check::<Bits3072>(),
        Some(4096) => check::<Bits4096>(),
        Some(other) => panic!("no key has {other} bits"),
    }
}
