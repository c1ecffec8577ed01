//! Batches of several callers at the same time.

use std::{sync::mpsc, thread, time::Duration};

use crypto_bigint::{U256, U512};

use super::{Pairs, device, gpu, halves, residues};
use crate::backend::{
    gpu::{
        Gpu,
        self_test::TestedDevice,
        stream::{Event, Stage},
    },
    portable::Portable,
};

/// Each batch waits for the other. One lock for all batches would make both time out.
#[test]
fn two_batches_run_on_the_device_at_the_same_time() {
    let Some(gpu) = gpu(|_| ()) else { return };
    let (to_first, from_second) = mpsc::channel();
    let (to_second, from_first) = mpsc::channel();
    let meet = |sender: mpsc::Sender<()>, receiver: mpsc::Receiver<()>| {
        let inside = &mut |_: &TestedDevice| {
            sender.send(()).expect("the other batch receives");
            Ok(receiver.recv_timeout(Duration::from_secs(30)).is_ok())
        };
        gpu.failover.run(1, inside, || false)
    };
    let both = thread::scope(|scope| {
        let first = scope.spawn(|| meet(to_second, from_second));
        (meet(to_first, from_first), first.join().expect("no panic"))
    });
    assert_eq!(both, (true, true));
}

/// The index of the event in which a piece reaches a stage.
fn event_index(events: &[Event], piece: u64, stage: Stage) -> usize {
    let found = events.iter().position(|event| event.piece == piece && event.stage == stage);
    found.unwrap_or_else(|| panic!("{piece} {stage:?} is not in {events:?}"))
}

/// A batch of one piece starts during another caller's batch of many pieces, and does not wait for
/// its end.
#[test]
fn a_batch_overtakes_another_callers_longer_one() {
    // A piece has 64 powers.
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 19)) else { return };
    let pairs = Pairs::new(&gpu);
    let (xs, ys) = (residues(64 * 50, 1), residues(64 * 50, 2));
    let (few, es) = (&xs[..50], halves(&ys));
    // Runs the known-answer tests and compiles the kernels.
    let expected = pairs.portable.mul(few, &ys[..50]);
    assert!(pairs.gpu.mul(few, &ys[..50]) == expected);
    pairs.gpu.pow(few, &es[..50], 512);

    let device = device(&gpu);
    let trace = &device.runtime().trace;
    let begin = trace.events().len();
    let long = thread::scope(|scope| {
        let long = scope.spawn(|| (thread::current().id(), pairs.gpu.pow(&xs, &es, 512).len()));
        let launched =
            |events: &[Event]| events.iter().filter(|event| event.stage == Stage::Launched).count();
        while launched(&trace.events()[begin..]) < 3 {
            thread::sleep(Duration::from_micros(100));
        }
        assert!(pairs.gpu.mul(few, &ys[..50]) == expected);
        long.join().expect("no panic").0
    });

    let events = &trace.events()[begin..];
    let launched = events.iter().filter(|event| event.stage == Stage::Launched);
    let (powers, products): (Vec<&Event>, Vec<&Event>) = launched.partition(|event| event.thread == long);
    assert_eq!((powers.len(), products.len()), (50, 1), "{events:?}");
    let products = products[0].piece;
    // Until it is launched, at least two pieces of the other batch are in flight.
    for stage in [Stage::Filled, Stage::Launched] {
        let before = &events[..event_index(events, products, stage)];
        let count =
            |stage| before.iter().filter(|event| event.stage == stage && event.thread == long).count();
        assert!(count(Stage::Launched) >= count(Stage::Finished) + 2, "{stage:?}: {events:?}");
    }
    let last = powers.last().expect("there are fifty").piece;
    assert!(
        event_index(events, products, Stage::Collected) < event_index(events, last, Stage::Launched),
        "{events:?}"
    );
}

#[test]
fn three_pieces_of_a_batch_are_in_flight() {
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 14)) else { return };
    let pairs = Pairs::new(&gpu);
    let (xs, ys) = (residues(600, 1), residues(600, 2));
    pairs.gpu.mul(&xs[..1], &ys[..1]);
    let device = device(&gpu);
    let trace = &device.runtime().trace;
    let begin = trace.events().len();
    assert!(pairs.gpu.mul(&xs, &ys) == pairs.portable.mul(&xs, &ys));
    let events = &trace.events()[begin..];
    assert!(events.is_sorted_by_key(|event| event.at));
    let pieces: Vec<u64> =
        events.iter().filter(|event| event.stage == Stage::Launched).map(|event| event.piece).collect();
    assert_eq!(pieces.len(), 10, "of 64 items each");
    for (k, piece) in pieces.iter().enumerate() {
        let stages = [Stage::Filled, Stage::Launched, Stage::Finished, Stage::Collected];
        assert!(stages.map(|stage| event_index(events, *piece, stage)).is_sorted(), "{events:?}");
        if let Some(third) = pieces.get(k + 2) {
            let launched = event_index(events, *third, Stage::Launched);
            assert!(launched < event_index(events, *piece, Stage::Finished), "{events:?}");
        }
    }
}

/// Runs batches of all kinds from four threads at once.
fn batches_of_four_threads_agree(gpu: &Gpu) {
    let pairs = Pairs::new(gpu);
    let (encryptor, reference) = (pairs.fixed_base(gpu), pairs.fixed_base(&Portable));
    thread::scope(|scope| {
        for round in 0..4 {
            let (pairs, encryptor, reference) = (&pairs, &encryptor, &reference);
            scope.spawn(move || {
                let (xs, ys) = (residues(300, round), residues(300, round + 4));
                let ms = halves(&ys);
                let es: Vec<U256> = ms.iter().map(U512::resize).collect();
                assert!(pairs.gpu.mul(&xs, &ys) == pairs.portable.mul(&xs, &ys));
                pairs.folds_agree(70, 5, |_| ());
                assert!(encryptor.encrypt(&ms, &es) == reference.encrypt(&ms, &es));
                assert!(pairs.gpu.pow(&xs, &ms, 64) == pairs.portable.pow(&xs, &ms, 64));
            });
        }
    });
}

#[test]
fn every_batch_in_flight_is_done_again_when_the_device_is_lost() {
    for dispatches in [0, 10, 30, 60] {
        let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 14)) else { return };
        gpu.failover.injection().lose_devices(dispatches, 1);
        batches_of_four_threads_agree(&gpu);
        assert_eq!((gpu.faults().len(), gpu.is_alive()), (1, true), "{dispatches}: {:?}", gpu.faults());
    }
}

#[test]
fn every_batch_in_flight_is_done_again_after_a_wrong_sample() {
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 14)) else { return };
    gpu.failover.injection().reject_samples(1);
    batches_of_four_threads_agree(&gpu);
    assert_eq!((gpu.faults().len(), gpu.is_alive()), (1, true), "{:?}", gpu.faults());
}
