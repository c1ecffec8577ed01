//! How fast uploads are, and which memory makes them faster.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crypto_bigint::Word;

use super::{
    batch::{BatchShape, MAX_FILLING, send_pieces},
    in_flight::{InFlight, MAX_IN_FLIGHT, Nothing},
    runtime::Runtime,
};
use crate::backend::gpu::{
    device::{Device, Fault},
    memory::{Threads, UploadMemory},
};

/// Bytes of an item that is sent.
const ITEM_BYTES: usize = 512;

/// Bytes of a piece, to choose by: large enough that its copy takes longer than its submission.
const CHOICE_BYTES: usize = 8 << 20;

/// Pieces of a measurement, to choose by.
const CHOICE_PIECES: usize = 8;

/// Measurements of each memory, to choose by: the best one counts.
const CHOICE_ROUNDS: usize = 3;

/// After so long the choice rests on what has been measured.
const CHOICE_TIME: Duration = Duration::from_millis(250);

/// The memory that uploads to this device are faster through: some dozens of milliseconds on a card.
pub(crate) fn faster_upload_memory(
    device: &Arc<Device>,
    threads: &Arc<Threads>,
) -> Result<UploadMemory, Fault> {
    let memories = [UploadMemory::Device, UploadMemory::Host];
    let runtimes = memories.map(|memory| Runtime::new(device, threads, None, memory));
    let mut best = [0.0_f64; 2];
    let end = Instant::now() + CHOICE_TIME;
    // In turns: a card that was idle, and the bus, become faster on the way.
    for round in 0..CHOICE_ROUNDS {
        if round > 0 && Instant::now() >= end {
            break;
        }
        for (runtime, best) in runtimes.iter().zip(&mut best) {
            *best = best.max(upload_rate(runtime, CHOICE_BYTES, CHOICE_PIECES)?);
        }
    }
    let [through_device, through_host] = best;
    // The host's may have been refused.
    Ok(if through_host > through_device { runtimes[1].pool.upload_memory() } else { UploadMemory::Device })
}

/// Bytes a second to the device, by the host's clock: in `pieces` pieces of `bytes` bytes or what a binding has, filled by
/// the host's threads like those of a batch, with nothing done on the device.
pub(crate) fn upload_rate(runtime: &Runtime, bytes: usize, pieces: usize) -> Result<f64, Fault> {
    let binding = usize::try_from(runtime.device.binding_bytes()).unwrap_or(usize::MAX);
    let items = (bytes.min(binding) / ITEM_BYTES).max(1);
    let words = ITEM_BYTES / size_of::<Word>();
    let source = vec![1 as Word; words * items];
    let shape = BatchShape { up: &[ITEM_BYTES / 4], scratch: &[], down: 0, stay: 0, is_secret: false };
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
            &mut Nothing,
        )?;
        in_flight.collect_all(runtime, &mut Nothing)
    };
    // Makes the buffers.
    send(MAX_IN_FLIGHT + MAX_FILLING)?;
    let begin = Instant::now();
    send(pieces)?;
    Ok((pieces * items * ITEM_BYTES) as f64 / begin.elapsed().as_secs_f64().max(1e-9))
}
