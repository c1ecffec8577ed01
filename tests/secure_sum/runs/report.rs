//! The numbers in a run's report are consistent.

use std::{sync::Arc, time::Duration};

use cipherfold::{
    federated::{
        KeyHolding, Party,
        PlacementKind::{self, Aggregator, Clients, Server},
        channel::{BoxChannel, Channel},
        report::{Phase, Report},
    },
    packing::{IntegerRange, Layout, LayoutParameters, Quantizer},
    paillier::Exponents,
};
use ndarray::Array1;

use crate::support::{Executor, Spy, builder, contributions_through, executor, rng, spied_grid};

fn run(executor: &Executor) -> Report {
    let clients = vec![Array1::<u8>::ones(1000); 7];
    executor.secure_sum(&clients, IntegerRange::of::<u8>()).unwrap().report().clone()
}

#[test]
fn a_stated_size_of_messages_is_used_and_reported() {
    let report = run(&builder().chunk_ciphertexts(3).build().unwrap());
    assert_eq!(report.chunk_ciphertexts, 3);
    assert!(report.to_string().contains(", up to 3 ciphertexts a message\n"), "{report}");

    for (threads, expected) in [(1, 512), (8, 1024), (16, 2048)] {
        let executor = builder().threads(threads).build().unwrap();
        let report = run(&executor);
        // There are fewer threads on a small machine: at most eight for each that it runs in
        // parallel.
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        if threads <= 8 * available && !report.backend.starts_with("gpu") {
            assert_eq!(report.chunk_ciphertexts, expected, "{threads}");
        }
        assert_eq!(report.chunk_ciphertexts, run(&executor).chunk_ciphertexts);
    }
}

#[test]
fn numbers_are_consistent_with_each_other_and_with_the_wire() {
    for chunk in [1, 4, 512] {
        let (grid, spies) = spied_grid();
        let executor = builder().channels(grid).chunk_ciphertexts(chunk).build().unwrap();
        let layout = Layout::new(LayoutParameters {
            capacity_bits: 511,
            value_bits: 8,
            max_summands: 7,
            max_weight: 1,
        })
        .unwrap();
        let mut before = [0; 3];
        for round in 0..2 {
            let report = run(&executor);
            assert_eq!((report.clients, report.values, report.key_bits), (7, 1000, 512));
            assert_eq!(report.ciphertexts, layout.plaintexts(1000) as u64);
            assert_eq!(report.backend, executor.public_key().unwrap().backend_name());
            assert_eq!(report.clipped_values, 0);

            let chunks = report.ciphertexts.div_ceil(chunk as u64);
            for (from, to, messages, ciphertexts) in [
                (Clients, Aggregator, 7 * chunks, 7 * report.ciphertexts),
                (Aggregator, Server, chunks, report.ciphertexts),
                (Server, Clients, 7 * (1 - round), 0), // keys are sent once
                (Server, Aggregator, 1 - round, 0),
            ] {
                let Some(traffic) = report.traffic(from, to) else {
                    assert_eq!(messages, 0, "{from} to {to}");
                    continue;
                };
                assert_eq!((traffic.messages, traffic.ciphertexts), (messages, ciphertexts));
                let spy = &spies[match (from, to) {
                    (Clients, Aggregator) => 0,
                    (Server, Clients) => 1,
                    _ => 2,
                }];
                let overhead = traffic.wire_bytes - traffic.payload_bytes;
                assert_eq!(overhead, messages * spy.overhead() as u64, "{from} to {to}");
                assert_eq!(traffic.channel, spy.name());
            }
            for (i, spy) in spies.iter().enumerate() {
                let wired: u64 = spy.log().iter().map(|sent| sent.wire.len() as u64).sum();
                let pairs = [
                    &[(Clients, Aggregator)][..],
                    &[(Server, Clients)],
                    &[(Aggregator, Server), (Server, Aggregator)],
                ];
                let reported: u64 = pairs[i]
                    .iter()
                    .filter_map(|(a, b)| report.traffic(*a, *b))
                    .map(|traffic| traffic.wire_bytes)
                    .sum();
                assert_eq!(wired - before[i], reported);
                before[i] = wired;
            }
            assert_eq!(report.traffic(Clients, Server), None, "clients send to the aggregator alone");
            let sent = report.traffic(Clients, Aggregator).unwrap().wire_bytes;
            assert!((report.bytes_per_value() - sent as f64 / 7000.0).abs() < 1e-12);
            assert_eq!(
                report.channel_setup_bytes,
                8 * 64,
                "seven clients and the server with the aggregator"
            );
        }
    }
}

#[test]
fn short_exponents_give_the_same_sums_and_are_named() {
    let clients: Vec<_> =
        (0..5_i32).map(|client| Array1::from_iter((0..300).map(|i| i * client - 40))).collect();
    let range = IntegerRange::signed_bits(12).unwrap();
    let means: Vec<_> = clients.iter().map(|update| update.mapv(|x| f64::from(x) / 2048.0)).collect();
    let run = |executor: Executor| {
        let sum = executor.secure_sum(&clients, range).unwrap();
        let mean = executor.secure_mean(&means, Quantizer::symmetric(1.0, 12).unwrap()).unwrap();
        let report = sum.report().clone();
        assert_eq!(report.exponents, mean.report().exponents);
        (sum.value, mean.value, report)
    };
    for holding in [KeyHolding::Server, KeyHolding::KeyHolder] {
        let build = || builder().key_holding(holding).rng(rng(11));
        let half = run(build().build().unwrap());
        let short = run(build().short_exponents().build().unwrap());
        assert_eq!((&half.0, &half.1), (&short.0, &short.1));
        assert_eq!((half.2.exponents, short.2.exponents), (Some(Exponents::Half), Some(Exponents::Short)));
        let backend = short.2.backend;
        assert!(short.2.to_string().contains(&format!("backend {backend} with short exponents, ")));
        assert!(half.2.to_string().contains(&format!("backend {backend}, ")));
        for (report, name) in [(&half.2, "half"), (&short.2, "short")] {
            assert_eq!(serde_json::to_value(report).unwrap()["exponents"], name);
        }
    }
    let clear = run(builder().in_the_clear().short_exponents().build().unwrap());
    assert_eq!(clear.2.exponents, None, "nothing was encrypted");
    // The executor keeps the setting: a later session has short exponents too.
    let mut executor = builder().short_exponents().build().unwrap();
    executor.rotate_keys();
    assert_eq!(run(executor).2.exponents, Some(Exponents::Short));
}

#[test]
fn phases_took_time_and_come_in_order() {
    let executor = executor();
    let report = run(&executor);
    let phases: Vec<_> = report.phases.iter().map(|entry| (entry.phase, entry.placement)).collect();
    let expected = [
        (Phase::KeyGeneration, Server),
        (Phase::Input, Clients),
        (Phase::Packing, Clients),
        (Phase::Encryption, Clients),
        (Phase::Transfer, Clients),
        (Phase::Transfer, Server),
        (Phase::Transfer, Aggregator),
        (Phase::Aggregation, Aggregator),
        (Phase::Decryption, Server),
        (Phase::Unpacking, Server),
    ];
    assert_eq!(phases, expected);
    assert!(report.phases.iter().all(|entry| !entry.time.is_zero()));
    let total: Duration = report.phases.iter().map(|entry| entry.time).sum();
    assert_eq!(Phase::ALL.map(|phase| report.time(phase)).iter().sum::<Duration>(), total);
    assert_eq!(PlacementKind::ALL.map(|placement| report.time_at(placement)).iter().sum::<Duration>(), total);
    assert!(report.elapsed >= report.time(Phase::KeyGeneration) + report.time(Phase::Decryption));
    // The keys exist already.
    let report = run(&executor);
    assert_eq!(report.time(Phase::KeyGeneration), Duration::ZERO);
    assert_eq!(report.phases.len(), expected.len() - 1);
}

/// A relay that corrupts all messages of one client from the second on. The client is left out, and
/// no count of the participants includes its values.
#[test]
fn clients_that_are_left_out_are_not_counted() {
    let clip = Quantizer::symmetric(0.5, 8).unwrap();
    for tampered in 0..3 {
        let channel = Spy::with_relay(BoxChannel::new(), move |sent| {
            let mut wire = sent.wire.clone();
            if sent.envelope.from == Party::Client(tampered) && sent.envelope.sequence > 0 {
                wire[60] ^= 1;
            }
            wire
        });
        let channels = contributions_through(channel);
        let executor = builder().channels(channels).min_clients(1).chunk_ciphertexts(1).build().unwrap();
        let clients = (0..3).map(|i| Array1::<f32>::from_elem(120, if i == tampered { 9.0 } else { 0.25 }));
        let report = executor.secure_mean(clients, clip).unwrap().report().clone();
        assert_eq!((report.clients, report.absent[0].client, report.clipped_values), (2, tampered, 0));
        let others: Vec<_> = (0..3).filter(|client| *client != tampered).collect();
        assert_eq!(report.participants().collect::<Vec<_>>(), others);
        // Wasted work and traffic are counted.
        let (all, sent) = (report.ciphertexts, report.traffic(Clients, Aggregator).unwrap());
        assert_eq!(report.operations.additions, 2 * all);
        assert_eq!(report.operations.encryptions, sent.ciphertexts);
        assert!(2 * all < sent.ciphertexts && sent.ciphertexts < 3 * all, "{report}");
        let by_message = sent.wire_bytes as f64 / sent.messages as f64 * all as f64 / 120.0;
        assert!((report.bytes_per_value() - by_message).abs() < 1e-9, "{report}");
    }
    // The others' values count once each, also with weights, those of weight zero among them.
    for clear in [false, true] {
        let executor = if clear { builder().in_the_clear() } else { builder() };
        let executor = executor.min_clients(1).chunk_ciphertexts(1).build().unwrap();
        let clients = [(1, Some(9.0_f32)), (0, Some(-9.0)), (7, None), (9, Some(9.0)), (1, Some(f32::NAN))];
        let clients = clients.map(|(weight, x)| (weight, x.map(|x| Array1::from_elem(120, x))));
        let report = executor.secure_weighted_mean(clients, 8, clip).unwrap().report().clone();
        assert_eq!((report.clients, report.clipped_values), (2, 240));
        assert_eq!(report.participants().collect::<Vec<_>>(), [0, 1]);
    }
}

#[test]
fn setup_bytes_count_the_session() {
    let channel = Arc::new(BoxChannel::new());
    let executor = builder().channels(contributions_through(Arc::clone(&channel) as _)).build().unwrap();
    // One for each client, and one for the server, all with the aggregator.
    for (clients, setup) in [(3, 4), (5, 6), (2, 6)] {
        let sum =
            executor.secure_sum(vec![Array1::<u8>::ones(3); clients], IntegerRange::of::<u8>()).unwrap();
        assert_eq!(sum.report().channel_setup_bytes, setup * 64);
    }
}

#[test]
fn shown_as_a_table() {
    let report = run(&executor());
    let text = report.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("7 clients, 1000 values each in "), "{text}");
    let phases = lines.iter().position(|line| line.starts_with("phase ")).unwrap();
    let traffic = lines.iter().position(|line| line.starts_with("from > to ")).unwrap();
    assert_eq!(traffic - phases - 1, report.phases.len());
    assert_eq!(lines.len() - traffic - 1, report.traffic.len());
    for table in [&lines[phases..traffic], &lines[traffic..]] {
        assert!(table.iter().all(|line| line.len() == table[0].len()), "columns line up:\n{text}");
    }
    for name in ["encryption", "clients > aggregator", "hpke", "plaintext"] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    assert!(!text.contains("clipped"));

    let quantizer = Quantizer::symmetric(0.5, 8).unwrap();
    let report =
        executor().secure_mean(vec![Array1::<f32>::ones(10); 4], quantizer).unwrap().report().clone();
    assert_eq!(report.clipped_values, 40);
    assert!(report.to_string().contains("\n40 values were clipped\n"));
}

#[test]
fn serialised_for_programs() {
    let report = run(&executor());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["clients"], 7);
    assert_eq!(json["values"], 1000);
    assert_eq!(json["key_bits"], 512);
    assert!((json["elapsed"].as_f64().unwrap() - report.elapsed.as_secs_f64()).abs() < 1e-9);
    for (phase, name, placement) in
        [(Phase::KeyGeneration, "key_generation", "server"), (Phase::Encryption, "encryption", "clients")]
    {
        let of_phase = |entry: &&serde_json::Value| entry["phase"] == name;
        let entry = json["phases"].as_array().unwrap().iter().find(of_phase).unwrap();
        assert_eq!(entry["placement"], placement);
        assert!((entry["seconds"].as_f64().unwrap() - report.time(phase).as_secs_f64()).abs() < 1e-9);
    }
    assert_eq!(json["operations"]["encryptions"], report.operations.encryptions);
    assert_eq!(json["absent"].as_array().unwrap().len(), 0);
    assert_eq!(json["session"], report.session.to_string());
    let traffic = json["traffic"].as_array().unwrap();
    assert_eq!(traffic.len(), report.traffic.len());
    let sent = traffic.iter().find(|line| line["from"] == "clients" && line["to"] == "aggregator").unwrap();
    assert_eq!(sent["wire_bytes"], report.traffic(Clients, Aggregator).unwrap().wire_bytes);
    assert_eq!(sent["channel"], "hpke");
    assert_eq!(json["channel_setup_bytes"], 512);
}
