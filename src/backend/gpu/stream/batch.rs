//! Batches in pieces.
//!
//! While some pieces are filled or read by the host, others are copied and computed. The size of a piece is bounded, and so is
//! the number of pieces in flight: with them the memory of a batch. The page of the [backend](crate::backend::gpu) has the
//! figures.

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

/// Pieces that are filled at the same time: while the last parts of one are written, the next one's buffer is mapped and its
/// first parts are.
pub(crate) const MAX_FILLING: usize = 2;

/// Maximum bytes of a piece, up or down.
pub(crate) const PIECE_BYTES: u64 = 32 << 20;

/// Maximum bytes of a batch's working space on the device, if a binding may be as large.
const SCRATCH_BYTES: u64 = 512 << 20;

/// Pieces are cut at multiples of this many items, so that bindings begin where they may.
pub(crate) const ALIGNED_ITEMS: usize = 64;

/// Items that fill a large device.
pub(crate) const FULL_DEVICE_ITEMS: usize = 1 << 14;

/// Pieces of a batch whose results come down, if each of them fills a large device: nothing hides how long the first one takes
/// to be filled, and the last one to be read.
const PIECES: usize = 8;

/// The arrays of a batch, in 32-bit words an item.
pub(crate) struct BatchShape<'a> {
    /// Words an item of each array that goes up.
    pub(crate) up: &'a [usize],
    /// Working space on the device.
    pub(crate) scratch: &'a [usize],
    /// Results that come down; zero if they stay.
    pub(crate) down: usize,
    /// Results that stay.
    pub(crate) stay: usize,
    /// Whether to clear every buffer afterwards.
    pub(crate) is_secret: bool,
}

/// A piece of a batch on the device, as its kernels see it.
pub(crate) struct PieceBindings<'a> {
    pub(crate) items: u32,
    pub(crate) up: Vec<Binding<'a>>,
    pub(crate) scratch: Vec<Binding<'a>>,
    /// Room for the results; `None` if they stay.
    pub(crate) down: Option<Binding<'a>>,
}

/// Runs the kernels on a piece of a batch: the one with this range of the items.
pub(crate) type Launch<'a> =
    dyn FnMut(Range<usize>, &PieceBindings<'_>, &mut Commands<'_>) -> Result<(), Fault> + 'a;

/// Writes the words of an item: of the array with the first number, the item with the second.
pub(crate) type Fill<'a> = dyn Fn(usize, usize, &mut Sink<'_>) + Sync + 'a;

/// Takes `len` items through the device, piece by piece.
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
    // One for all pieces: the device takes them one after the other.
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

/// Waits for the memory that these pieces take at the same time.
pub(crate) fn reserve<'r>(
    runtime: &'r Runtime,
    shape: &BatchShape<'_>,
    pieces: &[Range<usize>],
) -> Reservation<'r> {
    let items = pieces.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let size = |words: usize| bytes(words, items).next_power_of_two();
    let (up, down) = (size(shape.up.iter().sum()), size(shape.down));
    let scratch: u64 = shape.scratch.iter().map(|words| size(*words)).sum();
    let in_flight = pieces.len().min(MAX_IN_FLIGHT) as u64;
    let uploads = pieces.len().min(MAX_IN_FLIGHT + MAX_FILLING) as u64;
    // Up and down again, on the host and on the device.
    runtime.budget.reserve(uploads * up + in_flight * (up + 2 * down) + scratch)
}

/// Words that come down with a piece instead of results, if any.
pub(crate) type Launched<'a> = Result<Option<Readback<'a>>, Fault>;

/// Takes pieces to the device, one after the other, and leaves the last ones in flight.
///
/// `fill` writes the words of an item: of the piece and the array with these numbers. While the host's threads fill pieces,
/// this thread launches those before them and collects the oldest one.
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
            in_flight.make_room(runtime, collect)?;
            filling.extend(next.next().map(|piece| scope.spawn(move || filled(piece))));
            send(piece, ready, in_flight, collect)?;
        }
        Ok(())
    })
}

/// Items of a piece of a batch of `len`.
fn piece_items(runtime: &Runtime, shape: &BatchShape<'_>, len: usize) -> usize {
    let fit = |words: usize, bytes: u64| (bytes / (4 * words.max(1)) as u64) as usize;
    let binding = runtime.device.binding_bytes();
    let piece = PIECE_BYTES.min(binding);
    let mut items = fit(shape.up.iter().sum(), piece).min(fit(shape.down.max(shape.stay), piece));
    for words in shape.scratch {
        items = items.min(fit(*words, SCRATCH_BYTES.min(binding)));
    }
    items = items / ALIGNED_ITEMS * ALIGNED_ITEMS;
    if shape.down > 0 {
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
    /// The buffer and its bytes; `None` if nothing goes up.
    upload: Option<(PooledBuffer, u64)>,
    /// Where the arrays begin in it, one after the other, each where a binding may begin.
    offsets: Vec<u64>,
    /// In the trace.
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
        for words in shape.up {
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
        for (array, (words, offset)) in shape.up.iter().zip(&offsets).enumerate() {
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

    /// Copies the piece to the device, and runs kernels on it, without waiting for them.
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

        let down_bytes = bytes(shape.down, count);
        let output = if down_bytes > 0 { Some(acquire(Purpose::Device, down_bytes)?) } else { None };
        let readback = {
            let binding = |buffer, offset, bytes: u64| Binding { buffer, offset, bytes: bytes.max(4) };
            let up = input.iter().flat_map(|input| {
                let arrays = shape.up.iter().zip(&offsets);
                arrays.map(|(words, offset)| binding(input, *offset, bytes(*words, count)))
            });
            let scratch = shape.scratch.iter().zip(scratch);
            let bindings = PieceBindings {
                items: count as u32,
                up: up.collect(),
                scratch: scratch.map(|(words, buffer)| binding(buffer, 0, bytes(*words, count))).collect(),
                down: output.as_ref().map(|buffer| binding(buffer, 0, down_bytes)),
            };
            launch(&bindings, &mut commands)?
        };
        let results = output.as_deref().map(|output| (output, down_bytes));
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
