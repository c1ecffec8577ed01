//! Batches are divided into pieces, filled, launched and collected. The trace of their pieces shows
//! it.

use std::sync::Arc;

use crypto_bigint::U512;

use super::{Pairs, device, gpu, halves, residues};
use crate::{
    backend::gpu::{
        memory::DeviceBuffer,
        operations::{Accumulators, ModulusOnDevice},
        self_test::SelfTest,
        stream::{Event, FULL_DEVICE_ITEMS, MAX_IN_FLIGHT, MAX_UPLOADS, Stage},
    },
    residue::Pair,
};

fn count(events: &[Event], stage: Stage) -> usize {
    events.iter().filter(|event| event.stage == stage).count()
}

/// While the device works, further pieces are filled, up to the limit of memory.
#[test]
fn pieces_are_filled_before_the_device_needs_them() {
    // A piece has 64 powers.
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
        .map(|end| count(&events[..end], Stage::Filled) - count(&events[..end], Stage::Finished));
    // The scheduler decides how many there are. The piece to launch next is always filled before
    // the oldest one is collected.
    let ahead = ahead.max().unwrap_or(0);
    assert!((MAX_IN_FLIGHT + 1..=MAX_UPLOADS).contains(&ahead), "{ahead} of {MAX_UPLOADS}: {events:?}");
}

/// Pieces are no larger than a large device needs, so that the upload of the first piece and the
/// download of the last one are short.
#[test]
fn a_long_batch_is_divided_into_pieces_that_fill_a_large_device() {
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
    // Eight pieces, if the maximum size allows it.
    assert_eq!(launched(9 * FULL_DEVICE_ITEMS), 8);
}

/// The copy of the accumulators is read back while the device works on later contributions. It has
/// the contributions before it, and only those.
#[test]
fn the_copy_of_accumulators_overlaps_with_later_work() {
    // Two pages of accumulators.
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 15)) else { return };
    let pairs = Pairs::new(&gpu);
    let device = device(&gpu);
    let runtime = device.tested::<U512>(SelfTest::Fold).expect("the device works");
    let modulus = Arc::new(ModulusOnDevice::new(runtime, &pairs.modulus, false).expect("the device works"));
    let len = 300;
    let contributions: Vec<Vec<Pair<U512>>> = (0..40).map(|k| residues(len, k)).collect();
    let (first, later) = contributions.split_at(10);

    let mut accumulators = Accumulators::new(&modulus, len, 1).expect("the device works");
    let copy = accumulators.prepare_copy(None, first.len() as u64);
    let some: Vec<&[_]> = first.iter().map(Vec::as_slice).collect();
    accumulators.add(&some, Some(copy)).expect("correct samples");
    assert!(accumulators.finished_copy().is_none(), "its last piece is in flight");
    let some: Vec<&[_]> = later.iter().map(Vec::as_slice).collect();
    accumulators.add(&some, None).expect("correct samples");
    let copy = accumulators.finished_copy().expect("later pieces have collected it");

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
    assert!(accumulators.finish(40).expect("correct samples") == product(&contributions));
}

/// A fold reuses the memory of an earlier fold's copies.
#[test]
fn later_folds_reuse_the_memory_of_earlier_copies() {
    let Some(gpu) = gpu(|options| options.binding_bytes = Some(1 << 15)) else { return };
    let pairs = Pairs::new(&gpu);
    let device = device(&gpu);
    let pages = &device.runtime().host_pages;
    assert_eq!(pages.acquire().capacity(), 0);
    pairs.folds_agree(33, 150, |_| ());
    let page = pages.acquire();
    assert!(page.capacity() > 0 && page.is_empty());
    pages.release([page]);
    pairs.folds_agree(33, 150, |_| ());
}

/// A buffer for kernels is filled without waiting for the device, which may be busy with other
/// callers' work.
#[test]
fn a_new_buffer_does_not_wait_for_the_device() {
    let Some(gpu) = gpu(|_| ()) else { return };
    let device = device(&gpu);
    let runtime = device.runtime();
    let words: Vec<u32> = (0..1000).collect();
    for is_secret in [false, true] {
        let waits = runtime.device.waits();
        let buffer =
            DeviceBuffer::new(&runtime.device, "words", &words, is_secret).expect("the device works");
        assert_eq!(runtime.device.waits(), waits, "secret: {is_secret}");
        let mut found = Vec::new();
        runtime
            .read_back(&buffer, 0, 1000, &mut |words| found.extend_from_slice(words))
            .expect("the device works");
        assert_eq!(found, words);
        assert!(runtime.device.waits() > waits, "reading waits");
    }
}
