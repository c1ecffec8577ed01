//! The rate of uploads, and the choice of the faster memory for them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crypto_bigint::Word;

use super::{
    batch::{BatchShape, MAX_UPLOADS, send_pieces},
    in_flight::{Discard, InFlight},
    runtime::Runtime,
};
use crate::backend::gpu::{
    device::{Device, Fault},
    memory::{Threads, UploadMemory},
};

/// Bytes of an item in an upload.
const ITEM_BYTES: usize = 512;

/// Bytes of a piece in the measurement: large enough that its copy takes longer than its
/// submission.
const CHOICE_BYTES: usize = 8 << 20;

/// Pieces of one measurement.
const CHOICE_PIECES: usize = 8;

/// Measurements of each memory. The best one counts.
const CHOICE_ROUNDS: usize = 3;

/// After this time no further measurement starts.
const CHOICE_TIME: Duration = Duration::from_millis(250);

/// The memory through which uploads to this device are faster. The measurement takes a few dozen
/// milliseconds on a card.
pub(crate) fn faster_upload_memory(
    device: &Arc<Device>,
    threads: &Arc<Threads>,
) -> Result<UploadMemory, Fault> {
    let memories = [UploadMemory::Device, UploadMemory::Host];
    let runtimes = memories.map(|memory| Runtime::new(device, threads, None, memory));
    let mut best = [0.0_f64; 2];
    let end = Instant::now() + CHOICE_TIME;
    // The two memories alternate, because an idle card and its bus become faster during the
    // measurement.
    for round in 0..CHOICE_ROUNDS {
        if round > 0 && Instant::now() >= end {
            break;
        }
        for (runtime, best) in runtimes.iter().zip(&mut best) {
            *best = best.max(upload_rate(runtime, CHOICE_BYTES, CHOICE_PIECES)?);
        }
    }
    let [through_device, through_host] = best;
    // The device may have refused the host's memory.
    Ok(if through_host > through_device { runtimes[1].pool.upload_memory() } else { UploadMemory::Device })
}

/// Bytes a second to the device, by the host's clock. The host's threads fill `pieces` pieces like
/// those of a batch, of `bytes` bytes each or the size of a binding, and the device runs no kernel.
pub(crate) fn upload_rate(runtime: &Runtime, bytes: usize, pieces: usize) -> Result<f64, Fault> {
    let binding = usize::try_from(runtime.device.binding_bytes()).unwrap_or(usize::MAX);
    let items = (bytes.min(binding) / ITEM_BYTES).max(1);
    let words = ITEM_BYTES / size_of::<Word>();
    let source = vec![1 as Word; words * items];
    let shape = BatchShape {
        inputs: &[ITEM_BYTES / 4],
        scratch: &[],
        output: 0,
        resident_output: 0,
        is_secret: false,
    };
    let mut in_flight = InFlight::default();
    let mut send = |count: usize| {
        send_pieces(
            runtime,
            &mut in_flight,
            &shape,
            &[],
            &vec![0..items; count],
            &|_, _, item, sink| sink.number(&source[item * words..(item + 1) * words], ITEM_BYTES),
            &mut |_, _, _| Ok(None),
            &mut Discard,
        )?;
        in_flight.collect_all(runtime, &mut Discard)
    };
    // Allocates the buffers before the measurement.
    send(MAX_UPLOADS)?;
    let begin = Instant::now();
    send(pieces)?;
    Ok((pieces * items * ITEM_BYTES) as f64 / begin.elapsed().as_secs_f64().max(1e-9))
}
