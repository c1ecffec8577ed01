//! Whole rounds, with every role.

use std::sync::Arc;

use chacha20::{ChaCha20Rng, rand_core::SeedableRng};
use cipherfold::{
    backend::BackendChoice,
    federated::{
        KeyHolding, LocalExecutor, LocalExecutorBuilder, Party,
        PlacementKind::{Aggregator, Clients, KeyHolder, Server},
        channel::{BoxChannel, BoxSecretKey, ChannelGrid, PlaintextChannel},
    },
    packing::{IntegerRange, Layout, LayoutParameters, Quantizer},
    paillier::{KeySize, SecretKey},
};
use ndarray::{Array1, Array2};

use super::{Small, builder, keys::watch_primes, number, scanner::Watch, seed, stream};

type Executor = LocalExecutor<Small>;
type Builder = LocalExecutorBuilder<Small>;

const CLIENTS: u64 = 3;
const VALUES: usize = 61;
/// Looks for the seeds of the generators of a session, and for their output.
///
/// The session's generator gives the seed of the clients' data, the session's identifier of 16
/// bytes, and the seeds of streams, the first one for keys. The search does not use the session's
/// generators: it would find data that the session's generators leave on the stacks of other
/// threads.
fn watch_generators(watch: &mut Watch, seed: [u8; 32]) {
    let drawn = stream(seed, 48 + 40 * 32);
    let seeds: Vec<[u8; 32]> =
        drawn[..32].chunks(32).chain(drawn[48..].chunks(32)).map(|seed| seed.try_into().unwrap()).collect();
    let keys = SecretKey::<Small>::generate(&mut ChaCha20Rng::from_seed(seeds[1])).unwrap();
    watch_primes(watch, &keys);
    for seed in seeds {
        watch.bytes("seed", &seed);
        watch.bytes("stream", &stream(seed, 512));
    }
}

/// Looks for one client's encoded values, for their packed plaintexts, and for their digits.
fn watch_slots(watch: &mut Watch, layout: &Layout, slots: &[u64], chunk: usize) {
    watch.words("slot", slots);
    for slots in slots.chunks(layout.slots() * chunk) {
        for slots in slots.chunks(layout.slots()) {
            let mut words = vec![0; layout.words()];
            layout.pack(slots, &mut words);
            watch.words("packed", &words);
            watch.words("digit", &digits(&words));
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            watch.bytes("packed", &bytes);
        }
    }
}

/// The 52-bit digits in vector registers.
fn digits(words: &[u64]) -> Vec<u64> {
    let word = |i: usize| u128::from(words.get(i).copied().unwrap_or(0));
    (0..words.len() * 64 / 52)
        .map(|i| {
            let pair = word(i * 52 / 64) | word(i * 52 / 64 + 1) << 64;
            u64::try_from(pair >> (i * 52 % 64) & ((1 << 52) - 1)).unwrap()
        })
        .collect()
}

/// Freed memory holds nothing of a round, for all channels.
fn check(build: impl Fn() -> Builder, watch_data: impl Fn(&mut Watch), run: &dyn Fn(&Executor)) {
    check_with(false, build, watch_data, run);
}

fn check_with(
    key_holder: bool,
    build: impl Fn() -> Builder,
    watch_data: impl Fn(&mut Watch),
    run: &dyn Fn(&Executor),
) {
    for boxed in [false, true] {
        let (seed, box_keys) = (seed(), [(); 5].map(|()| seed()));
        let mut watch = Watch::new();
        watch_generators(&mut watch, seed);
        watch_data(&mut watch);
        for key in &box_keys {
            watch.bytes("box key", key);
        }
        watch.clean(|| {
            let channels = if boxed { boxes(&box_keys) } else { not_imported(key_holder) };
            let rng = ChaCha20Rng::from_seed(seed);
            let executor = build().channels(channels).rng(rng).build().unwrap();
            executor.public_key().unwrap();
            run(&executor);
        });
    }
}

/// The default grid if there is a key holder; otherwise contributions and sums in the clear.
fn not_imported(key_holder: bool) -> ChannelGrid {
    let grid = ChannelGrid::default();
    if key_holder {
        return grid;
    }
    let open = || Arc::new(PlaintextChannel::new());
    grid.with(Clients, Aggregator, open()).unwrap().with(Aggregator, Server, open()).unwrap()
}

fn boxes(keys: &[[u8; 32]]) -> ChannelGrid {
    let parties = [Party::Server, Party::Aggregator, Party::KeyHolder, Party::Client(0), Party::Client(1)];
    let channel = parties.into_iter().zip(keys).fold(BoxChannel::new(), |channel, (party, key)| {
        channel.with_key(party, BoxSecretKey::from_bytes(*key))
    });
    let channel = Arc::new(channel);
    let mut grid = ChannelGrid::default();
    for (a, b) in [(Clients, Aggregator), (Clients, Server), (Server, Aggregator), (Server, KeyHolder)] {
        grid = grid.with(a, b, channel.clone()).unwrap();
    }
    grid
}

fn backends() -> Vec<BackendChoice> {
    let all = [BackendChoice::Portable, BackendChoice::Avx2, BackendChoice::Ifma];
    all.into_iter().filter(|choice| choice.backend_name().is_ok()).collect()
}

#[expect(clippy::cast_possible_wrap, reason = "47 bits")]
fn integers(client: u64) -> Array1<i64> {
    Array1::from_shape_fn(VALUES, |i| (number(client << 32 | i as u64) >> 17) as i64)
}

fn watch_integers(watch: &mut Watch) {
    let range = IntegerRange::signed_bits(48).unwrap();
    let layout = layout_of(48, 1);
    let mut sum = [0; VALUES];
    for client in 0..CLIENTS {
        let mut slots = [0; VALUES];
        range.encode(integers(client).as_slice().unwrap(), &mut slots).unwrap();
        watch_slots(watch, &layout, &slots, 2);
        sum.iter_mut().zip(slots).for_each(|(sum, slot)| *sum += slot);
    }
    // The server's decrypted sum. The decoded result belongs to the caller.
    watch_slots(watch, &layout, &sum, 2);
}

fn sum_integers(executor: &Executor) {
    let updates: Vec<_> = (0..CLIENTS).map(integers).collect();
    let sum = executor.secure_sum(&updates, IntegerRange::signed_bits(48).unwrap()).unwrap();
    core::mem::forget((updates, sum)); // the caller's
}

#[test]
fn a_round_of_client_aggregator_and_server() {
    for backend in backends() {
        check(|| builder().backend(backend).chunk_ciphertexts(2), watch_integers, &sum_integers);
    }
}

#[test]
fn a_round_with_a_key_holder() {
    let build = || builder().backend(BackendChoice::Portable).key_holding(KeyHolding::KeyHolder);
    check_with(true, build, watch_integers, &sum_integers);
}

#[test]
fn a_round_of_clients_that_may_drop_out() {
    let build = || builder().backend(BackendChoice::Portable).min_clients(2).chunk_ciphertexts(2);
    check(build, watch_integers, &|executor| {
        let mut updates: Vec<_> = (0..CLIENTS).map(integers).collect();
        updates[1][VALUES - 1] = i64::MAX; // out of range
        let sum = executor.secure_sum(&updates, IntegerRange::signed_bits(48).unwrap()).unwrap();
        assert_eq!(sum.report().absent.len(), 1);
        core::mem::forget((updates, sum));
    });
}

#[test]
fn a_round_that_fails() {
    let build = || builder().backend(BackendChoice::Portable).chunk_ciphertexts(2);
    check(build, watch_integers, &|executor| {
        let mut updates: Vec<_> = (0..CLIENTS).map(integers).collect();
        updates[2][VALUES - 1] = i64::MAX;
        executor.secure_sum(&updates, IntegerRange::signed_bits(48).unwrap()).unwrap_err();
        core::mem::forget(updates);
    });
}

fn floats(client: u64) -> Array2<f64> {
    #[expect(clippy::cast_precision_loss, reason = "some number")]
    let float = |place: u64| number(place) as f64 / u64::MAX as f64 * 1.9 - 0.95;
    Array2::from_shape_fn((7, 9), |(i, j)| float(client << 40 | (i * 9 + j) as u64))
}

#[test]
fn a_weighted_mean_of_floats_in_another_order() {
    const WEIGHTS: [u32; 3] = [911, 500, 1000];
    let quantizer = Quantizer::symmetric(1.0, 40).unwrap();
    let watch_floats = |watch: &mut Watch| {
        let layout = layout_of(40, 1000);
        for (client, weight) in WEIGHTS.into_iter().enumerate() {
            let values: Vec<f64> = floats(client as u64).t().iter().copied().collect();
            for value in &values {
                watch.words("float", &[value.to_bits()]);
            }
            let mut slots = vec![0; values.len()];
            quantizer.encode(&values, &mut slots, &mut ChaCha20Rng::from_seed([0; 32])).unwrap();
            watch.words("slot", &slots);
            let weighted: Vec<u64> = [1].iter().chain(&slots).map(|slot| slot * u64::from(weight)).collect();
            watch_slots(watch, &layout, &weighted, 1000);
        }
    };
    for stochastic in [false, true] {
        let build = || builder().backend(BackendChoice::Portable);
        check(build, watch_floats, &|executor| {
            // Column-major order: the values are not in standard order, and are copied.
            let updates: Vec<_> = (0..CLIENTS).map(floats).collect();
            let quantizer = if stochastic { quantizer.stochastic() } else { quantizer };
            let clients: Vec<_> = WEIGHTS.into_iter().zip(updates.iter().map(|update| update.t())).collect();
            let mean = executor.secure_weighted_mean(clients, 1000, quantizer).unwrap();
            core::mem::forget((updates, mean));
        });
    }
}

#[test]
fn a_round_in_the_clear() {
    let mut watch = Watch::new();
    watch_integers(&mut watch);
    watch.clean(|| sum_integers(&builder().in_the_clear().build().unwrap()));
}

/// The layout of three clients.
fn layout_of(value_bits: u32, max_weight: u32) -> Layout {
    let capacity_bits = Small::BITS - 1;
    Layout::new(LayoutParameters { capacity_bits, value_bits, max_summands: 3, max_weight }).expect("it fits")
}
