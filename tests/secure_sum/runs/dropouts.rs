//! Clients that are absent, late, or have invalid data: left out if that is allowed, and named.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use cipherfold::{
    federated::{
        Error, LocalExecutorBuilder, Party,
        PlacementKind::Aggregator,
        channel::{self, BoxChannel, Envelope, EnvelopeMismatch},
        report::{AbsenceReason, Report},
        round, tensor,
    },
    packing::{self, IntegerRange, Layout, LayoutParameters, Quantizer},
};
use ndarray::{Array1, arr0, array};

use crate::support::{Choices, Key, Spy, builder, contributions_through, executor, failed_round};

fn range() -> IntegerRange {
    IntegerRange::of::<u8>()
}

fn tolerant(minimum: u32) -> LocalExecutorBuilder<Key> {
    builder().min_clients(minimum)
}

fn absent(report: &Report) -> Vec<u32> {
    report.absent.iter().map(|absence| absence.client).collect()
}

/// Clients that took part, and the absent ones with the reasons.
fn too_few(error: Error, min: u32) -> (u32, Vec<(u32, Option<String>)>) {
    let Error::Round(round::Error::TooFewClients { minimum, found, absent }) = error else {
        panic!("{error}")
    };
    assert_eq!(minimum, min);
    (found, absent.into_iter().map(|absence| (absence.client, absence.details)).collect())
}

#[test]
fn absent_clients_have_no_entry() {
    let mut choices = Choices::new(1);
    for case in 0..20 {
        let clients = choices.between(2, 9);
        let updates: Vec<Option<Array1<u8>>> = (0..clients)
            .map(|_| (choices.below(3) > 0).then(|| Array1::from_elem(70, choices.word() as u8)))
            .collect();
        let present = updates.iter().flatten().count();
        let expected =
            updates.iter().flatten().fold(Array1::<u64>::zeros(70), |sum, x| sum + x.mapv(u64::from));
        let executor = tolerant(1).chunk_ciphertexts(choices.between(1, 3)).build().unwrap();
        let sum = executor.secure_sum(updates.clone(), range());
        if present == 0 {
            let Error::Round(round::Error::TooFewClients { minimum: 1, found: 0, absent }) = sum.unwrap_err()
            else {
                panic!("no client took part")
            };
            assert_eq!(absent.iter().map(|absence| absence.client as usize).collect::<Vec<_>>(), {
                (0..clients).collect::<Vec<_>>()
            });
            continue;
        }
        let sum = sum.unwrap();
        assert_eq!(sum.value, expected, "case {case}");
        assert_eq!(sum.report().clients as usize, present);
        let missing: Vec<u32> =
            (0..).zip(&updates).filter(|(_, update)| update.is_none()).map(|(client, _)| client).collect();
        assert_eq!(absent(sum.report()), missing);
        assert!(sum.report().absent.iter().all(|absence| absence.reason == AbsenceReason::DroppedOut));
        let sent = sum.report().traffic(cipherfold::federated::PlacementKind::Clients, Aggregator).unwrap();
        assert_eq!(sent.ciphertexts, sum.report().ciphertexts * present as u64);
    }
}

#[test]
fn a_mean_is_over_those_who_took_part() {
    let quantizer = Quantizer::symmetric(8.0, 20).unwrap();
    let executor = tolerant(2).build().unwrap();
    let clients = [Some(arr0(1.0_f64)), None, Some(arr0(4.0)), None];
    let mean = executor.secure_mean(clients, quantizer).unwrap();
    assert!((mean.value.into_scalar() - 2.5).abs() < 1e-4);

    let clients = [(3, Some(arr0(1.0_f32))), (100, None), (1, Some(arr0(5.0)))];
    let mean = executor.secure_weighted_mean(clients, 100, quantizer).unwrap();
    assert_eq!(absent(mean.report()), [1]);
    assert!((mean.value.into_scalar() - 2.0).abs() < 1e-4);
}

#[test]
fn below_the_minimum_nothing_is_decrypted() {
    let channel = Spy::on(channel::PlaintextChannel::new());
    let grid = channel::ChannelGrid::default()
        .with(Aggregator, cipherfold::federated::PlacementKind::Server, Arc::<Spy>::clone(&channel))
        .unwrap();
    let executor = tolerant(3).channels(grid).build().unwrap();
    let clients = [Some(array![1_u8]), None, Some(array![2]), None];
    let (found, absent) = too_few(executor.secure_sum(clients, range()).unwrap_err(), 3);
    assert_eq!((found, absent), (2, vec![(1, None), (3, None)]));
    let from_aggregator = |log: Vec<crate::support::Sent>| {
        log.into_iter().filter(|sent| sent.envelope.from == Party::Aggregator).count()
    };
    assert_eq!(from_aggregator(channel.log()), 0, "the sum never left the aggregator");
    // Too few from the start: no client is asked.
    let asked = AtomicUsize::new(0);
    let clients = [1_u8, 2].map(|x| array![x]);
    let clients = clients.iter().inspect(|_| _ = asked.fetch_add(1, Ordering::Relaxed));
    assert_eq!(too_few(executor.secure_sum(clients, range()).unwrap_err(), 3), (2, vec![]));
    assert_eq!(asked.into_inner(), 0);
    // One more, and there is a sum.
    let clients = [Some(array![1_u8]), None, Some(array![2]), Some(array![3])];
    assert_eq!(executor.secure_sum(clients, range()).unwrap().value, array![6_u64]);
    assert_eq!(from_aggregator(channel.log()), 1);
}

#[test]
fn without_a_minimum_an_absent_client_ends_the_run() {
    let clients = [Some(array![1_u8]), None];
    let error = Error::Client { client: 1, source: Box::new(Error::DroppedOut) };
    assert_eq!(executor().secure_sum(clients, range()).unwrap_err(), error);
    let clients = [None, Some(array![1_u8])];
    let error = Error::Client { client: 0, source: Box::new(Error::DroppedOut) };
    assert_eq!(executor().secure_sum(clients, range()).unwrap_err(), error);
}

#[test]
fn clients_with_another_structure_are_left_out_and_named() {
    let executor = tolerant(1).build().unwrap();
    let range = IntegerRange::up_to(10);
    let clients: Vec<Result<Array1<u8>, &str>> =
        vec![Ok(array![1, 2]), Ok(array![3, 11]), Err("disk full"), Ok(array![4, 5, 6]), Ok(array![5, 10])];
    let sum = executor.secure_sum(clients, range).unwrap();
    assert_eq!(sum.value, array![6_u64, 12]);
    assert_eq!(sum.report().clients, 2);
    let reasons: Vec<_> = sum
        .report()
        .absent
        .iter()
        .map(|absence| (absence.client, absence.reason, absence.details.clone().unwrap()))
        .collect();
    let out_of_range = packing::Error::ValueOutOfRange { index: 1, min: 0, max: 10 }.into();
    let tensor = tensor::Error::Tensor { tensor: 0, source: Box::new(out_of_range) };
    let no_update = Error::NoUpdate { reason: "disk full".into() };
    let shape = tensor::Error::TensorShape { tensor: 0, expected: "u8[2]".into(), found: "u8[3]".into() };
    assert_eq!(
        reasons,
        [
            (1, AbsenceReason::Value { tensor: 0 }, tensor.to_string()),
            (2, AbsenceReason::Failed, no_update.to_string()),
            (3, AbsenceReason::Structure, shape.to_string())
        ]
    );
    let table = sum.report().to_string();
    assert!(table.contains("3 clients did not take part\n"), "{table}");
    assert!(table.contains("  client 2: no update: disk full\n"), "{table}");

    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    let clients = [(1, array![f32::NAN]), (2, array![0.5]), (9, array![1.0])];
    let mean = executor.secure_weighted_mean(clients, 8, quantizer).unwrap();
    assert!((mean.value[0] - 0.5).abs() < 1e-3);
    assert_eq!(mean.report().absent[1].reason, AbsenceReason::Weight);
}

#[test]
fn too_few_clients_are_named_with_their_reasons() {
    for configure in [LocalExecutorBuilder::<Key>::in_the_clear, |builder| builder] {
        let executor = configure(tolerant(3)).build().unwrap();
        let clients: Vec<Result<Option<Array1<u8>>, &str>> =
            vec![Ok(None), Ok(Some(array![1])), Err("disk full"), Ok(Some(array![11])), Ok(Some(array![2]))];
        let clients = clients.into_iter().map(Result::transpose);
        let error = executor.secure_sum(clients, IntegerRange::up_to(10)).unwrap_err();
        assert_eq!(error.to_string(), "2 clients took part, at least 3 are needed");
        let source = Box::new(packing::Error::ValueOutOfRange { index: 0, min: 0, max: 10 }.into());
        let absent = vec![
            (0, None),
            (2, Some(Error::NoUpdate { reason: "disk full".into() }.to_string())),
            (3, Some(tensor::Error::Tensor { tensor: 0, source }.to_string())),
        ];
        assert_eq!(too_few(error, 3), (2, absent));
    }
}

/// If one sum cannot be decoded, the whole round fails. The error names participants and absent
/// clients.
#[test]
fn a_round_that_fails_late_says_who_took_part() {
    let quantizer = Quantizer::symmetric(1.0, 16).unwrap();
    for configure in [LocalExecutorBuilder::<Key>::in_the_clear, |builder| builder] {
        let executor = configure(tolerant(1)).build().unwrap();
        let clients = [(0, None), (0, Some(array![0.5_f32, 9.0])), (3, None), (0, Some(array![1.0, 0.0]))];
        let error = executor.secure_weighted_mean(clients, 9, quantizer).unwrap_err();
        assert_eq!(error.root(), Error::Tensor(tensor::Error::ZeroTotalWeight));
        let text = error.to_string();
        assert!(text.starts_with("round 0 failed after 2 clients had contributed: "), "{text}");
        let (report, _) = failed_round(error);
        assert_eq!(report.participants().collect::<Vec<_>>(), [1, 3]);
        assert_eq!((absent(&report), report.clients, report.values), (vec![0, 2], 2, 2));
        assert_eq!((report.session, report.round, report.clipped_values), (executor.session(), 0, 1));
        // Another round succeeds.
        let clients = [(1, Some(array![0.5_f32, 9.0])), (0, None)];
        assert!((executor.secure_weighted_mean(clients, 9, quantizer).unwrap().value[1] - 1.0).abs() < 1e-6);
    }
}

/// A relay that corrupts a client's last message: the earlier ones do not count either.
#[test]
fn a_client_counts_with_all_of_its_messages_or_with_none() {
    let channel = Spy::with_relay(BoxChannel::new(), |sent| {
        let mut wire = sent.wire.clone();
        if sent.envelope.from == Party::Client(1) && sent.envelope.sequence == 2 {
            wire[60] ^= 1;
        }
        wire
    });
    let executor = tolerant(2).channels(contributions_through(channel)).chunk_ciphertexts(1).build().unwrap();
    let clients = (1..4_u8).map(|i| Array1::from_elem(140, i));
    let sum = executor.secure_sum(clients, range()).unwrap();
    assert_eq!(sum.value, Array1::from_elem(140, 1 + 3));
    assert_eq!(absent(sum.report()), [1]);
    let refused = Error::Channel(channel::Error::BoxOpen { from: Party::Client(1), to: Party::Aggregator });
    assert_eq!(sum.report().absent[0].details, Some(refused.to_string()));
    assert_eq!(sum.report().absent[0].reason, AbsenceReason::Message);
}

/// Late, repeated and foreign messages: refused and named, without an effect on other clients.
#[test]
fn refused_messages_are_named_and_the_round_continues() {
    let seen = Mutex::new(Vec::<crate::support::Sent>::new());
    let channel = Spy::with_relay(BoxChannel::new(), move |sent| {
        let mut seen = seen.lock().unwrap();
        let from = |client, round| {
            let is = |e: &Envelope| e.from == Party::Client(client) && e.round == round;
            seen.iter().find(|other| is(&other.envelope)).map(|other| other.wire.clone())
        };
        let Envelope { round, from: sender, .. } = sent.envelope;
        let wire = match (round, sender) {
            (1, Party::Client(0)) => from(0, 0).unwrap(), // its message of the round before
            (1, Party::Client(2)) => from(1, 1).unwrap(), // another client's
            _ => sent.wire.clone(),
        };
        seen.push(sent.clone());
        wire
    });
    let grid = contributions_through(channel);
    let executor = tolerant(1).max_concurrent_clients(1).channels(grid).build().unwrap();
    let clients = [1_u8, 2, 4].map(|x| array![x]);
    assert_eq!(executor.secure_sum(&clients, range()).unwrap().value, array![7_u64]);
    let sum = executor.secure_sum(&clients, range()).unwrap();
    assert_eq!(sum.value, array![2_u64]);
    let mismatch = EnvelopeMismatch::Round { expected: 1, found: 0 };
    let another_round = Error::Channel(channel::Error::WrongEnvelope { mismatch });
    assert_eq!(sum.report().absent[0].details, Some(another_round.to_string()));
    let does_not_open =
        Error::Channel(channel::Error::BoxOpen { from: Party::Client(2), to: Party::Aggregator });
    assert_eq!(sum.report().absent[1].details, Some(does_not_open.to_string()));
}

#[test]
fn the_layout_has_room_for_the_largest_number_of_clients_and_no_more() {
    let executor = builder().max_clients(100).build().unwrap();
    let layout =
        Layout::new(LayoutParameters { capacity_bits: 511, value_bits: 8, max_summands: 100, max_weight: 1 })
            .unwrap();
    for clients in [2, 3, 100] {
        let updates = vec![Array1::<u8>::from_elem(500, 255); clients];
        let sum = executor.secure_sum(&updates, range()).unwrap();
        assert_eq!(sum.value, Array1::from_elem(500, 255 * clients as u64));
        assert_eq!(sum.report().ciphertexts, layout.plaintexts(500) as u64, "all rounds have the same sizes");
    }
    let error = Error::Round(round::Error::TooManyClients { limit: 100, found: 101 });
    assert_eq!(executor.secure_sum(vec![array![1_u8]; 101], range()).unwrap_err(), error);
    for refused in [builder().max_clients(5).clients(6), builder().max_clients(5).min_clients(6)] {
        assert_eq!(
            refused.build().unwrap_err(),
            Error::Round(round::Error::TooManyClients { limit: 5, found: 6 })
        );
    }
    assert_eq!(builder().max_clients(0).build().unwrap_err(), Error::NoClients);
}

#[test]
fn progress_reaches_its_total_though_clients_are_missing() {
    let latest = Arc::new(Mutex::new((0, 0)));
    let log = Arc::clone(&latest);
    let executor = tolerant(1)
        .chunk_ciphertexts(1)
        .on_progress(move |progress| {
            let mut latest = log.lock().unwrap();
            assert!(progress.done > latest.0 && progress.done <= progress.total);
            *latest = (progress.done, progress.total);
            std::ops::ControlFlow::Continue(())
        })
        .build()
        .unwrap();
    let update = |x| Some(Array1::<u8>::from_elem(140, x));
    let _ = executor.secure_sum([None, update(1), None, update(20), None], IntegerRange::up_to(10)).unwrap();
    let (done, total) = *latest.lock().unwrap();
    assert_eq!(done, total);
}

/// More than 2³² ciphertexts are missing, which addresses of 32 bits cannot count.
#[test]
fn progress_counts_more_ciphertexts_than_a_machine_can_address() {
    const CLIENTS: u32 = 66_000;
    const CIPHERTEXTS: u64 = 66_000;
    let executor = tolerant(1)
        .in_the_clear()
        .on_progress(|progress| {
            assert_eq!(progress.total, u64::from(CLIENTS + 1) * CIPHERTEXTS);
            assert!(progress.done > u64::from(CLIENTS - 1) * CIPHERTEXTS && progress.done <= progress.total);
            std::ops::ControlFlow::Continue(())
        })
        .build()
        .unwrap();
    // The sum of 66,000 values of 64 bits takes 81 bits. Six of them fit into a plaintext.
    let update = Array1::<u64>::ones(6 * CIPHERTEXTS as usize);
    let clients = (1..=CLIENTS).map(|client| (client == CLIENTS).then(|| update.clone()));
    let sum = executor.secure_sum(clients, IntegerRange::of::<u64>()).unwrap();
    assert_eq!(sum.report().absent.len() as u32, CLIENTS - 1);
    assert!(sum.value.iter().all(|sum| *sum == 1));
}
