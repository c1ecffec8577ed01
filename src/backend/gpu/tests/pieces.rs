//! How batches are cut, filled, launched and collected, by the trace of their pieces.

use std::sync::Arc;

use crypto_bigint::U512;

use super::{Pairs, device, gpu, halves, residues};
use crate::{
    backend::gpu::{
        memory::DeviceBuffer,
        operations::{Accumulators, ModulusOnDevice},
        self_test::SelfTest,
        stream::{Event, FULL_DEVICE_ITEMS, MAX_FILLING, MAX_IN_FLIGHT, Stage},
    },
    residue::Pair,
};

fn count(events: &[Event], stage: Stage) -> usize {
    events.iter().filter(|event| event.stage == stage).count()
}

/// Pieces are filled while others are launched and computed, as many as there is memory for, and no more.
#[test]
fn pieces_are_filled_ahead_of_the_device() {
    // 64 powers a piece.
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 19)) else { return };
    let pairs = Pairs::new(&gpu);
    let (xs, es) = (residues(64 * 30, 1), halves(&residues(64 * 30, 2)));
    pairs.gpu.pow(&xs[..1], &es[..1], 512);
    let device = device(&gpu);
    let trace = &device.runtime().trace;
    let begin = trace.events().len();
    pairs.gpu.pow(&xs, &es, 512);
    let events = &trace.events()[begin..];
    let ahead = (1..=events.len())
        .map(|end| count(&events[..end], Stage::Filled) - count(&events[..end], Stage::Landed));
    assert_eq!(ahead.max(), Some(MAX_IN_FLIGHT + MAX_FILLING), "{events:?}");
}

/// The way of the first piece up, and of the last one down, is short: pieces are no larger than a large device needs.
#[test]
fn a_long_batch_is_cut_in_pieces_that_fill_a_large_device() {
    let Some(gpu) = gpu(|_| ()) else { return };
    let pairs = Pairs::new(&gpu);
    let launched = |len: usize| {
        let (xs, ys) = (residues(len, 1), residues(len, 2));
        pairs.gpu.mul(&xs[..1], &ys[..1]);
        let device = device(&gpu);
        let begin = device.runtime().trace.events().len();
        assert!(pairs.gpu.mul(&xs, &ys) == pairs.portable.mul(&xs, &ys), "{len}");
        count(&device.runtime().trace.events()[begin..], Stage::Launched)
    };
    assert_eq!(launched(FULL_DEVICE_ITEMS), 1);
    assert_eq!(launched(3 * FULL_DEVICE_ITEMS + 1), 4);
    // Eight pieces, unless more are needed for their size.
    assert_eq!(launched(9 * FULL_DEVICE_ITEMS), 8);
}

/// The copy of accumulators comes down while later contributions are worked on. It has those before it, and only those.
#[test]
fn the_copy_of_accumulators_is_not_waited_for() {
    // Two pages of accumulators.
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 15)) else { return };
    let pairs = Pairs::new(&gpu);
    let device = device(&gpu);
    let runtime = device.tested::<U512>(SelfTest::Fold).expect("the device stands");
    let modulus = Arc::new(ModulusOnDevice::new(runtime, &pairs.modulus, false).expect("the device stands"));
    let len = 300;
    let contributions: Vec<Vec<Pair<U512>>> = (0..40).map(|k| residues(len, k)).collect();
    let (first, later) = contributions.split_at(10);

    let mut accumulators = Accumulators::new(&modulus, len, 1).expect("the device stands");
    let room = accumulators.room(None, first.len() as u64);
    let some: Vec<&[_]> = first.iter().map(Vec::as_slice).collect();
    accumulators.add(&some, Some(room)).expect("right samples");
    assert!(accumulators.landed_copy().is_none(), "its last piece is in flight");
    let some: Vec<&[_]> = later.iter().map(Vec::as_slice).collect();
    accumulators.add(&some, None).expect("right samples");
    let copy = accumulators.landed_copy().expect("later pieces have made room for themselves");

    let product = |some: &[Vec<Pair<U512>>]| {
        let mut fold = pairs.portable.fold(len);
        for contribution in some {
            fold.add(&Arc::new(contribution.clone()));
        }
        fold.finish()
    };
    let (segments, exponent) = copy.pairs(modulus.layout, pairs.modulus.n(), len);
    assert_eq!(segments.len(), 1);
    let factor = modulus.layout.power_of_r(&pairs.modulus, exponent);
    assert!(pairs.portable.mul(&segments[0], &vec![factor; len]) == product(first));
    assert!(accumulators.finish(40).expect("right samples") == product(&contributions));
}

/// Memory of copies is used again by the next fold.
#[test]
fn later_folds_use_the_memory_of_earlier_copies() {
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 15)) else { return };
    let pairs = Pairs::new(&gpu);
    let device = device(&gpu);
    let pages = &device.runtime().host_pages;
    assert_eq!(pages.take().capacity(), 0);
    pairs.folds_agree(33, 150, |_| ());
    let page = pages.take();
    assert!(page.capacity() > 0 && page.is_empty());
    pages.keep([page]);
    pairs.folds_agree(33, 150, |_| ());
}

/// A buffer for kernels is filled without waiting for the device, which may have much to do for other callers.
#[test]
fn a_new_buffer_waits_for_nothing() {
    let Some(gpu) = gpu(|_| ()) else { return };
    let device = device(&gpu);
    let runtime = device.runtime();
    let words: Vec<u32> = (0..1000).collect();
    for is_secret in [false, true] {
        let waits = runtime.device.waits();
        let buffer =
            DeviceBuffer::new(&runtime.device, "words", &words, is_secret).expect("the device stands");
        assert_eq!(runtime.device.waits(), waits, "secret: {is_secret}");
        let mut found = Vec::new();
        runtime
            .read_back(&buffer, 0, 1000, &mut |words| found.extend_from_slice(words))
            .expect("the device stands");
        assert_eq!(found, words);
        assert!(runtime.device.waits() > waits, "to read it");
    }
}
