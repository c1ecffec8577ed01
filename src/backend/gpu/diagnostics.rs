//! The limits of a device, for benchmarks: its rates of wide multiply-adds, uploads and downloads.
//! Benchmarks compare kernels and batches with them.

use std::time::Instant;

use super::{
    device::{Fault, WORKGROUP_SIZE},
    kernels::{self, LaneLayout},
    memory::{DeviceBuffer, UploadMemory, replace_words},
    operations::random_index,
    stream::{Binding, Commands, InFlight, MAX_IN_FLIGHT, PIECE_BYTES, Readback, Runtime, upload_rate},
};

/// Wide multiply-adds a second, by the device's clock.
pub(crate) fn multiply_add_rate(runtime: &Runtime) -> Result<Option<f64>, Fault> {
    if !runtime.device.report().has_timestamps {
        return Ok(None);
    }
    let layout = LaneLayout::new(2048); // of no importance here
    let invocations: u32 = if runtime.device.report().is_software { 1 << 12 } else { 1 << 20 };
    let sums = DeviceBuffer::zeroed(&runtime.device, "sums", 4 * u64::from(invocations))?;
    let mut best = 0.0_f64;
    let mut rounds = 2;
    for _ in 0..12 {
        let mut commands = Commands::new(runtime)?;
        let parameters = kernels::MultiplyAdd { rounds };
        commands.dispatch_whole(
            layout,
            &[Binding::whole(&sums)],
            invocations / WORKGROUP_SIZE,
            &parameters,
        )?;
        let (index, timing) = commands.submit()?;
        runtime.device.wait(index)?;
        let nanos = timing.finish(&runtime.device, &runtime.timers)?;
        let invocation = random_index(&(0..invocations as usize));
        let mut found = Vec::new();
        runtime.read_back(&sums, invocation, 1, &mut |words| found.extend_from_slice(words))?;
        runtime.device.check_sample(found == [multiply_adds(invocation as u32, rounds)], "multiply-adds")?;
        let done = f64::from(invocations) * f64::from(rounds) * 1024.0;
        // A shorter time is too coarse for the clock.
        if nanos >= 1_000_000 {
            best = best.max(done / (nanos as f64 * 1e-9));
        }
        if nanos < 20_000_000 && rounds < 5_000 {
            rounds *= 2;
        }
    }
    Ok((best > 0.0).then_some(best))
}

/// The expected result of an invocation of `multiply_add`.
fn multiply_adds(id: u32, rounds: u32) -> u32 {
    let factor = |k: usize| id.wrapping_mul(64).wrapping_add(k as u32).wrapping_mul(2_654_435_761);
    let mut a: [u32; 32] = core::array::from_fn(factor);
    let mut b: [u32; 32] = core::array::from_fn(|k| factor(k + 32));
    let mut t = [0_u64; 32];
    for _ in 0..rounds {
        for r in 0..32 {
            for k in 0..32 {
                t[k] = t[k].wrapping_add(u64::from(a[r]) * u64::from(b[(k + r) & 31]));
            }
        }
        for k in 0..32 {
            a[k] ^= t[k] as u32;
            b[k] ^= (t[k] >> 32) as u32;
        }
    }
    let sum = t.iter().fold(0, |sum, t| sum ^ t);
    sum as u32 ^ (sum >> 32) as u32
}

/// Bytes of an item in a download.
const ITEM_BYTES: usize = 512;

/// Pieces of a measurement in each direction.
const PIECES: usize = 16;

/// Rates of transfers to and from a GPU, in bytes a second.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TransferRates {
    /// To the device, through the memory that batches use.
    pub up: f64,
    /// The memory that batches use.
    pub upload_memory: UploadMemory,
    /// To the device, through the other memory; `None` if it is not available.
    pub up_through_other: Option<f64>,
    /// From the device to the host's memory.
    pub down: f64,
}

/// The rates of pieces like those of a batch. The device runs no kernel.
pub(crate) fn transfer_rates(runtime: &Runtime) -> Result<TransferRates, Fault> {
    let piece = PIECE_BYTES.min(runtime.device.binding_bytes()) as usize;
    let up = upload_rate(runtime, piece, PIECES)?;
    // Read after an upload, because the device may have refused the host's memory.
    let upload_memory = runtime.pool.upload_memory();
    let other_memory = match upload_memory {
        UploadMemory::Device => UploadMemory::Host,
        UploadMemory::Host => UploadMemory::Device,
    };
    let other = Runtime::new(&runtime.device, &runtime.threads, None, other_memory);
    let up_through_other = upload_rate(&other, piece, PIECES)?;
    let up_through_other = (other.pool.upload_memory() == other_memory).then_some(up_through_other);
    Ok(TransferRates { up, upload_memory, up_through_other, down: download_rate(runtime, piece)? })
}

fn download_rate(runtime: &Runtime, piece: usize) -> Result<f64, Fault> {
    let items = (piece / ITEM_BYTES).max(1);
    let source = DeviceBuffer::zeroed(&runtime.device, "transfers", (items * ITEM_BYTES) as u64)?;
    let mut in_flight = InFlight::default();
    let mut copy = Vec::new();
    let mut take = |_, words: &[u32]| {
        replace_words(&runtime.threads, words, &mut copy);
        Ok(())
    };
    let mut fetch = |count: usize| {
        for _ in 0..count {
            let readback = Readback { buffer: &source, items: 0..items, words: items * ITEM_BYTES / 4 };
            in_flight.read_back(runtime, readback, &mut take)?;
        }
        in_flight.collect_all(runtime, &mut take)
    };
    // Allocates the buffers before the measurement.
    fetch(MAX_IN_FLIGHT)?;
    let begin = Instant::now();
    fetch(PIECES)?;
    Ok((PIECES * items * ITEM_BYTES) as f64 / begin.elapsed().as_secs_f64().max(1e-9))
}
