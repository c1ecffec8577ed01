//! Batches in pieces.
//!
//! While the host fills or reads some pieces, the device copies and computes others. The size of a
//! piece and the number of pieces in flight are bounded, so the memory of a batch is bounded. The
//! page of the [backend](crate::backend::gpu) has the figures.

use std::{collections::VecDeque, ops::Range, panic, thread};

use wgpu::MapMode;

#[cfg(test)]
use super::trace::Stage;
use super::{
    budget::Reservation,
    commands::{Binding, Commands},
    in_flight::{Collect, InFlight, MAX_IN_FLIGHT, Piece, Readback},
    runtime::Runtime,
};
use crate::backend::gpu::{
    device::Fault,
    memory::{self, PooledBuffer, Purpose, Sink},
};

/// Number of pieces that are filled at the same time. While the last parts of one piece are
/// written, the buffer of the next one is mapped and its first parts are written.
const MAX_FILLING: usize = 2;

/// Maximum number of upload buffers of a batch: pieces in flight, a filled one that waits for its
/// launch, and pieces that are filled.
pub(crate) const MAX_UPLOADS: usize = MAX_IN_FLIGHT + 1 + MAX_FILLING;

/// Maximum bytes of a piece, for its upload and for its download.
pub(crate) const PIECE_BYTES: u64 = 32 << 20;

/// Maximum bytes of a batch's working space on the device. The limit of bindings may be lower.
const SCRATCH_BYTES: u64 = 512 << 20;

/// Pieces start at multiples of this number of items, so that bindings are aligned.
pub(crate) const ALIGNED_ITEMS: usize = 64;

/// Items that fill a large device.
pub(crate) const FULL_DEVICE_ITEMS: usize = 1 << 14;

/// Number of pieces of a batch with an output, if each of them fills a large device. Smaller pieces
/// shorten the two times that overlap with nothing: to fill the first piece, and to read the last
/// one.
const PIECES: usize = 8;

/// The arrays of a batch. Sizes are in 32-bit words for an item.
pub(crate) struct BatchShape<'a> {
    /// Each input array, which is uploaded.
    pub(crate) inputs: &'a [usize],
    /// Each array of working space on the device.
    pub(crate) scratch: &'a [usize],
    /// The output, which is downloaded; zero if the results stay on the device.
    pub(crate) output: usize,
    /// The results that stay on the device.
    pub(crate) resident_output: usize,
    /// Whether to clear every buffer after use.
    pub(crate) is_secret: bool,
}

/// The bindings of a piece of a batch, for its kernels.
pub(crate) struct PieceBindings<'a> {
    pub(crate) items: u32,
    pub(crate) inputs: Vec<Binding<'a>>,
    pub(crate) scratch: Vec<Binding<'a>>,
    /// The output buffer; `None` if the results stay on the device.
    pub(crate) output: Option<Binding<'a>>,
}

/// Launches the kernels for a range of the items: one piece of a batch.
pub(crate) type Launch<'a> =
    dyn FnMut(Range<usize>, &PieceBindings<'_>, &mut Commands<'_>) -> Result<(), Fault> + 'a;

/// Writes the words of an item. The first number is that of the array, the second that of the item.
pub(crate) type Fill<'a> = dyn Fn(usize, usize, &mut Sink<'_>) + Sync + 'a;

/// Runs a batch of `len` items on the device, piece by piece.
pub(crate) fn run_batch(
    runtime: &Runtime,
    len: usize,
    shape: &BatchShape<'_>,
    fill: &Fill<'_>,
    launch: &mut Launch<'_>,
    collect: &mut dyn Collect,
) -> Result<(), Fault> {
    let step = piece_items(runtime, shape, len);
    let pieces: Vec<_> = (0..len).step_by(step).map(|first| first..len.min(first + step)).collect();
    let _reservation = reserve(runtime, shape, &pieces);
    // All pieces share one working space, because the device runs them one after the other.
    let scratch: Vec<PooledBuffer> = shape
        .scratch
        .iter()
        .map(|words| runtime.pool.acquire(Purpose::Device, bytes(*words, step), shape.is_secret))
        .collect::<Result<_, _>>()?;
    let mut in_flight = InFlight::default();
    send_pieces(
        runtime,
        &mut in_flight,
        shape,
        &scratch,
        &pieces,
        &|_, array, item, sink| fill(array, item, sink),
        &mut |piece, bindings, commands| {
            launch(pieces[piece].clone(), bindings, commands)?;
            Ok(None)
        },
        collect,
    )?;
    in_flight.collect_all(runtime, collect)?;
    scratch.into_iter().try_for_each(PooledBuffer::release)?;
    runtime.device.check()
}

/// Waits until the budget has room for the memory that these pieces use at the same time.
pub(crate) fn reserve<'r>(
    runtime: &'r Runtime,
    shape: &BatchShape<'_>,
    pieces: &[Range<usize>],
) -> Reservation<'r> {
    let items = pieces.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let size = |words: usize| bytes(words, items).next_power_of_two();
    let (input, output) = (size(shape.inputs.iter().sum()), size(shape.output));
    let scratch: u64 = shape.scratch.iter().map(|words| size(*words)).sum();
    let in_flight = pieces.len().min(MAX_IN_FLIGHT) as u64;
    let uploads = pieces.len().min(MAX_UPLOADS) as u64;
    // Inputs and outputs need memory on the host and on the device.
    runtime.budget.reserve(uploads * input + in_flight * (input + 2 * output) + scratch)
}

/// The words to read back with a piece instead of an output, if any.
pub(crate) type Launched<'a> = Result<Option<Readback<'a>>, Fault>;

/// Sends pieces to the device, one after the other, and returns while the last ones are in flight.
///
/// `fill` writes the words of an item; its numbers are those of the piece, the array and the item.
/// While the host's threads fill pieces, this thread launches earlier pieces and collects the
/// oldest one.
#[allow(clippy::too_many_arguments, reason = "a batch, its place on the device, and three closures")]
pub(crate) fn send_pieces<'a>(
    runtime: &Runtime,
    in_flight: &mut InFlight,
    shape: &BatchShape<'_>,
    scratch: &[PooledBuffer],
    pieces: &[Range<usize>],
    fill: &(dyn Fn(usize, usize, usize, &mut Sink<'_>) + Sync),
    launch: &mut dyn FnMut(usize, &PieceBindings<'_>, &mut Commands<'_>) -> Launched<'a>,
    collect: &mut dyn Collect,
) -> Result<(), Fault> {
    let filled = |piece: usize| {
        FilledPiece::new(runtime, shape, &pieces[piece], &|array, item, sink| fill(piece, array, item, sink))
    };
    let mut send = |piece: usize, ready: FilledPiece, in_flight: &mut InFlight, collect: &mut dyn Collect| {
        let mut launch =
            |bindings: &PieceBindings<'_>, commands: &mut Commands<'_>| launch(piece, bindings, commands);
        in_flight.push(ready.launch(runtime, shape, scratch, &mut launch)?, collect);
        Ok(())
    };
    if pieces.len() == 1 {
        in_flight.make_room(runtime, collect)?;
        return send(0, filled(0)?, in_flight, collect);
    }
    thread::scope(|scope| {
        let filled = &filled;
        let mut next = 0..pieces.len();
        let mut filling: VecDeque<_> =
            next.by_ref().take(MAX_FILLING).map(|piece| scope.spawn(move || filled(piece))).collect();
        for piece in 0..pieces.len() {
            let ready = filling.pop_front().expect("each piece is filled");
            let ready = ready.join().unwrap_or_else(|panic| panic::resume_unwind(panic))?;
            // Before this thread waits, so that the host's threads always have a piece to fill.
            filling.extend(next.next().map(|piece| scope.spawn(move || filled(piece))));
            in_flight.make_room(runtime, collect)?;
            send(piece, ready, in_flight, collect)?;
        }
        Ok(())
    })
}

/// Number of items of a piece, for a batch of `len` items.
fn piece_items(runtime: &Runtime, shape: &BatchShape<'_>, len: usize) -> usize {
    let fit = |words: usize, bytes: u64| (bytes / (4 * words.max(1)) as u64) as usize;
    let binding = runtime.device.binding_bytes();
    let piece = PIECE_BYTES.min(binding);
    let mut items =
        fit(shape.inputs.iter().sum(), piece).min(fit(shape.output.max(shape.resident_output), piece));
    for words in shape.scratch {
        items = items.min(fit(*words, SCRATCH_BYTES.min(binding)));
    }
    items = items / ALIGNED_ITEMS * ALIGNED_ITEMS;
    if shape.output > 0 {
        items = items.min(len.div_ceil(PIECES).next_multiple_of(ALIGNED_ITEMS).max(FULL_DEVICE_ITEMS));
    }
    items.clamp(1, len.max(1))
}

fn bytes(words: usize, items: usize) -> u64 {
    4 * words as u64 * items as u64
}

/// A piece whose words are in an upload buffer.
struct FilledPiece {
    items: Range<usize>,
    /// The buffer and its bytes; `None` if there are no inputs.
    upload: Option<(PooledBuffer, u64)>,
    /// The start of each array in the buffer, aligned for bindings.
    offsets: Vec<u64>,
    /// The number of the piece in the trace.
    #[cfg(test)]
    number: u64,
}

impl FilledPiece {
    fn new(
        runtime: &Runtime,
        shape: &BatchShape<'_>,
        items: &Range<usize>,
        fill: &Fill<'_>,
    ) -> Result<Self, Fault> {
        let device = &runtime.device;
        let mut offsets = Vec::new();
        let mut total = 0;
        for words in shape.inputs {
            offsets.push(total);
            total += bytes(*words, items.len()).next_multiple_of(device.offset_alignment());
        }
        if total == 0 {
            return Ok(Self {
                items: items.clone(),
                upload: None,
                offsets,
                #[cfg(test)]
                number: runtime.trace.record_new(Stage::Filled),
            });
        }
        let upload = runtime.pool.acquire(Purpose::Upload, total, shape.is_secret)?;
        device.map(&upload, MapMode::Write, total)?;
        for (array, (words, offset)) in shape.inputs.iter().zip(&offsets).enumerate() {
            let write = |item: usize, sink: &mut Sink<'_>| fill(array, item, sink);
            memory::fill(device, &runtime.threads, &upload, *offset, 4 * words, items, &write)?;
        }
        upload.unmap();
        Ok(Self {
            items: items.clone(),
            upload: Some((upload, total)),
            offsets,
            #[cfg(test)]
            number: runtime.trace.record_new(Stage::Filled),
        })
    }

    /// Submits the copy of the piece to the device and its kernels, and does not wait for them.
    fn launch<'a>(
        self,
        runtime: &Runtime,
        shape: &BatchShape<'_>,
        scratch: &[PooledBuffer],
        launch: &mut dyn FnMut(&PieceBindings<'_>, &mut Commands<'_>) -> Launched<'a>,
    ) -> Result<Piece, Fault> {
        let Self { mut items, upload, offsets, .. } = self;
        let count = items.len();
        let acquire = |purpose, bytes| runtime.pool.acquire(purpose, bytes, shape.is_secret);
        let mut commands = Commands::new(runtime)?;
        let mut input = None;
        if let Some((upload, bytes)) = &upload {
            let input = input.insert(acquire(Purpose::Device, *bytes)?);
            commands.copy(upload, input, *bytes);
        }

        let output_bytes = bytes(shape.output, count);
        let output = if output_bytes > 0 { Some(acquire(Purpose::Device, output_bytes)?) } else { None };
        let readback = {
            let binding = |buffer, offset, bytes: u64| Binding { buffer, offset, bytes: bytes.max(4) };
            let inputs = input.iter().flat_map(|input| {
                let arrays = shape.inputs.iter().zip(&offsets);
                arrays.map(|(words, offset)| binding(input, *offset, bytes(*words, count)))
            });
            let scratch = shape.scratch.iter().zip(scratch);
            let bindings = PieceBindings {
                items: count as u32,
                inputs: inputs.collect(),
                scratch: scratch.map(|(words, buffer)| binding(buffer, 0, bytes(*words, count))).collect(),
                output: output.as_ref().map(|buffer| binding(buffer, 0, output_bytes)),
            };
            launch(&bindings, &mut commands)?
        };
        let results = output.as_deref().map(|output| (output, output_bytes));
        let others = readback.as_ref().map(|readback| (readback.buffer, bytes(readback.words, 1)));
        let mut download = None;
        if let Some((from, bytes)) = results.or(others) {
            let buffer = acquire(Purpose::Download, bytes)?;
            commands.copy(from, &buffer, bytes);
            download = Some((buffer, bytes));
        }
        if let Some(readback) = readback {
            items = readback.items;
        }
        let (index, timing) = commands.submit()?;
        let upload = upload.map(|(upload, _)| upload);
        let used = upload.into_iter().chain(input).chain(output).collect();
        #[cfg(test)]
        runtime.trace.record(self.number, Stage::Launched);
        Ok(Piece {
            index,
            items,
            used,
            download,
            timing,
            #[cfg(test)]
            number: self.number,
        })
    }
}
