//! Times the operations of channels on a message, for each kind of box.
//!
//! ```text
//! cargo bench --bench channels
//! cargo bench --bench channels -- box/seal
//! RUSTFLAGS="--cfg chacha20_avx512" cargo bench --bench channels
//! ```
//!
//! The names have the form `box/operation/channel/bytes of the payload`. Throughput counts bytes of
//! the payload. The keys of a session exist before the measurement. `box/first` is the first
//! message of a round, and includes the scalar multiplications of both sides. Everything runs on
//! one thread.

use std::{hint::black_box, time::Duration};

use cipherfold::federated::{
    Digest, Party, SessionId,
    channel::{BoxChannel, Channel, Envelope, HpkeChannel, PlaintextChannel},
};
use criterion::{BenchmarkId, Criterion, Throughput};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Sizes of payloads in bytes. A chunk of 512 ciphertexts at 2048 bits has 256 KiB.
const SIZES: [usize; 2] = [4 << 10, 256 << 10];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .nresamples(10_000)
        .without_plots()
        .configure_from_args();
    let channels: [Box<dyn Channel>; 3] =
        [Box::new(HpkeChannel::new()), Box::new(BoxChannel::new()), Box::new(PlaintextChannel::new())];
    for channel in &channels {
        for size in SIZES {
            messages(&mut criterion, &**channel, size);
        }
        first(&mut criterion, &**channel);
    }
    criterion.final_summary();
}

fn envelope(round: u64) -> Envelope {
    Envelope {
        session: SessionId::from_bytes([1; 16]),
        round,
        sequence: 0,
        from: Party::Client(0),
        to: Party::Aggregator,
        context: Digest::NONE,
    }
}

/// Messages of one round.
fn messages(criterion: &mut Criterion, channel: &dyn Channel, size: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let envelope = envelope(0);
    let payload: Vec<u8> = (0..size).map(|i| i.to_le_bytes()[0]).collect();
    let wire = channel.seal(&envelope, &payload, &mut rng).expect("both ends have keys");
    let opened = channel.open_expected(&envelope, &wire).expect("it was just sealed");
    assert_eq!(opened.as_slice(), payload);

    let mut group = criterion.benchmark_group("box");
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function(BenchmarkId::new(format!("seal/{}", channel.name()), size), |bencher| {
        bencher.iter(|| channel.seal(&envelope, black_box(&payload), &mut rng).expect("as above"));
    });
    group.bench_function(BenchmarkId::new(format!("open/{}", channel.name()), size), |bencher| {
        bencher.iter(|| channel.open_expected(&envelope, black_box(&wire)).expect("as above"));
    });
    group.finish();
}

/// A short message in a new round each time.
fn first(criterion: &mut Criterion, channel: &dyn Channel) {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut round = 1;
    let mut group = criterion.benchmark_group("box");
    group.bench_function(BenchmarkId::new(format!("first/{}", channel.name()), 32), |bencher| {
        bencher.iter(|| {
            round += 1;
            let envelope = envelope(round);
            let wire = channel.seal(&envelope, &[7; 32], &mut rng).expect("both ends have keys");
            channel.open_expected(&envelope, &wire).expect("it was just sealed")
        });
    });
    group.finish();
}
