//! Batches to the device and back, in pieces, with several of them under way.
//!
//! While one piece is filled or read by the host, others are copied and computed. A piece is bounded, and so is their
//! number, and with them the memory that a batch of any size takes: see [`gpu`](super) for the figures.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher, RandomState},
    ops::Range,
    sync::Arc,
    thread,
    time::Instant,
};

use wgpu::{Buffer, MapMode, SubmissionIndex};
use zeroize::Zeroizing;

use super::{
    device::{Binding, Context, Fault, Pipeline, Timing},
    pool::Purpose,
};

/// Bytes of a piece, up or down.
pub(super) const PIECE: u64 = 32 << 20;

/// Pieces under way.
const DEPTH: usize = 3;

/// Bytes of working space of a batch on the device, if a binding may be as large.
const SCRATCH: u64 = 512 << 20;

/// Pieces are cut at multiples of this many items, so that bindings begin where they may.
pub(super) const ALIGNED_ITEMS: usize = 64;

/// A piece of a batch under way.
struct Flight {
    index: SubmissionIndex,
    begin: Instant,
    items: Range<usize>,
    upload: Option<Buffer>,
    on_device: Vec<Buffer>,
    download: Option<(Buffer, u64)>,
    timing: Timing,
    is_secret: bool,
}

/// Pieces under way, oldest first.
#[derive(Default)]
pub(super) struct Flights(VecDeque<Flight>);

/// What is done with a result: the range of items, and their words.
pub(super) type Collect<'a> = dyn FnMut(Range<usize>, &[u32]) -> Result<(), Fault> + 'a;

impl Flights {
    /// Waits until there is room for another piece.
    fn make_room(&mut self, context: &Context, collect: &mut Collect<'_>) -> Result<(), Fault> {
        while self.0.len() >= DEPTH {
            self.land(context, collect)?;
        }
        Ok(())
    }

    /// Waits for all.
    pub(super) fn land_all(&mut self, context: &Context, collect: &mut Collect<'_>) -> Result<(), Fault> {
        while !self.0.is_empty() {
            self.land(context, collect)?;
        }
        Ok(())
    }

    fn land(&mut self, context: &Context, collect: &mut Collect<'_>) -> Result<(), Fault> {
        let Some(flight) = self.0.pop_front() else { return Ok(()) };
        context.wait(flight.index)?;
        flight.timing.finish(context, flight.begin.elapsed())?;
        if let Some(upload) = flight.upload {
            if flight.is_secret {
                context.overwrite(&upload)?;
            }
            context.give(Purpose::Upload, upload);
        }
        for buffer in flight.on_device {
            context.give(Purpose::Device, buffer);
        }
        if let Some((buffer, bytes)) = flight.download {
            context.map(&buffer, MapMode::Read, bytes)?;
            let view = buffer.slice(..bytes).get_mapped_range();
            let view = view.map_err(|error| context.fault(&format!("a result cannot be read: {error}")))?;
            let collected = if let Ok(words) = bytemuck::try_cast_slice(&view) {
                collect(flight.items, words)
            } else {
                let words = Zeroizing::new(bytemuck::pod_collect_to_vec::<u8, u32>(&view));
                collect(flight.items, &words)
            };
            drop(view);
            buffer.unmap();
            if flight.is_secret {
                let mut encoder = context.encoder();
                encoder.clear_buffer(&buffer, 0, None);
                context.queue.submit([encoder.finish()]);
            }
            context.give(Purpose::Download, buffer);
            collected?;
        }
        Ok(())
    }
}

/// What travels for a batch, in 32-bit words an item.
pub(super) struct Freight<'a> {
    /// Arrays that go up, of so many words an item each.
    pub(super) up: &'a [usize],
    /// Working space on the device.
    pub(super) scratch: &'a [usize],
    /// What comes down; nothing if the results stay.
    pub(super) down: usize,
    /// What is made and stays.
    pub(super) stay: usize,
    /// Whether to clear every buffer afterwards.
    pub(super) is_secret: bool,
}

/// A piece of a batch on the device.
pub(super) struct Space<'a> {
    pub(super) items: u32,
    pub(super) up: Vec<Binding<'a>>,
    pub(super) scratch: Vec<Binding<'a>>,
    /// Where results go; `None` if they stay.
    pub(super) down: Option<Binding<'a>>,
}

/// Runs the kernels on a piece of a batch, which has this range of the items.
pub(super) type Launch<'a> = dyn FnMut(Range<usize>, &Space<'_>, &mut Timing) -> Result<(), Fault> + 'a;

/// Writes the words of an item: of the array with this number, the item with that one.
pub(super) type Fill<'a> = dyn Fn(usize, usize, &mut [u32]) + Sync + 'a;

/// Takes `len` items through the device, piece by piece.
///
/// `launch` runs the kernels on a piece; `collect` takes the results of one.
pub(super) fn stream(
    context: &Context,
    len: usize,
    freight: &Freight<'_>,
    pipeline: &Arc<Pipeline>,
    fill: &Fill<'_>,
    launch: &mut Launch<'_>,
    collect: &mut Collect<'_>,
) -> Result<(), Fault> {
    let piece = piece_items(context, freight).min(len);
    // One for all pieces: the device takes them one after the other.
    let scratch: Vec<Buffer> = freight
        .scratch
        .iter()
        .map(|words| context.take(Purpose::Device, bytes(*words, piece)))
        .collect::<Result<_, _>>()?;
    let mut flights = Flights::default();
    let mut first = 0;
    while first < len {
        let items = first..len.min(first + piece);
        flights.make_room(context, collect)?;
        let flight = start(context, items.clone(), freight, &scratch, pipeline, fill, launch)?;
        flights.0.push_back(flight);
        first = items.end;
    }
    flights.land_all(context, collect)?;
    if freight.is_secret && !scratch.is_empty() {
        let mut encoder = context.encoder();
        for buffer in &scratch {
            encoder.clear_buffer(buffer, 0, None);
        }
        context.queue.submit([encoder.finish()]);
    }
    for buffer in scratch {
        context.give(Purpose::Device, buffer);
    }
    context.check()
}

/// Items of a piece.
fn piece_items(context: &Context, freight: &Freight<'_>) -> usize {
    let fit = |words: usize, bytes: u64| (bytes / (4 * words.max(1)) as u64) as usize;
    let piece = PIECE.min(context.binding_bytes);
    let mut items = fit(freight.up.iter().sum(), piece).min(fit(freight.down.max(freight.stay), piece));
    for words in freight.scratch {
        items = items.min(fit(*words, SCRATCH.min(context.binding_bytes)));
    }
    (items / ALIGNED_ITEMS * ALIGNED_ITEMS).max(1)
}

fn bytes(words: usize, items: usize) -> u64 {
    4 * words as u64 * items as u64
}

fn start(
    context: &Context,
    items: Range<usize>,
    freight: &Freight<'_>,
    scratch: &[Buffer],
    pipeline: &Arc<Pipeline>,
    fill: &Fill<'_>,
    launch: &mut Launch<'_>,
) -> Result<Flight, Fault> {
    let (begin, count) = (Instant::now(), items.len());
    // The arrays, one after the other, each where a binding may begin.
    let mut offsets = Vec::new();
    let mut total = 0;
    for words in freight.up {
        offsets.push(total);
        total += bytes(*words, count).next_multiple_of(context.offset_alignment);
    }
    let total = total.max(context.offset_alignment); // nothing is no size of a buffer
    let (upload, input) = (context.take(Purpose::Upload, total)?, context.take(Purpose::Device, total)?);
    context.map(&upload, MapMode::Write, total)?;
    for (section, (words, offset)) in freight.up.iter().zip(&offsets).enumerate() {
        let size = bytes(*words, count);
        if size > 0 {
            fill_parts(context, &upload, *offset, *words, items.clone(), &|item, out| {
                fill(section, item, out);
            })?;
        }
    }
    upload.unmap();
    let mut encoder = context.encoder();
    encoder.copy_buffer_to_buffer(&upload, 0, &input, 0, total);
    context.queue.submit([encoder.finish()]);

    let down_bytes = bytes(freight.down, count);
    let output = if down_bytes > 0 { Some(context.take(Purpose::Device, down_bytes)?) } else { None };
    let mut timing = Timing::new(context, pipeline)?;
    {
        let piece = |buffer, offset, bytes: u64| Binding { buffer, offset, bytes: bytes.max(4) };
        let space = Space {
            items: count as u32,
            up: freight.up.iter().zip(&offsets).map(|(w, o)| piece(&input, *o, bytes(*w, count))).collect(),
            scratch: freight
                .scratch
                .iter()
                .zip(scratch)
                .map(|(words, buffer)| piece(buffer, 0, bytes(*words, count)))
                .collect(),
            down: output.as_ref().map(|buffer| piece(buffer, 0, down_bytes)),
        };
        launch(items.clone(), &space, &mut timing)?;
    }
    let mut encoder = context.encoder();
    timing.resolve(&mut encoder);
    let mut download = None;
    if let Some(output) = &output {
        let buffer = context.take(Purpose::Download, down_bytes)?;
        encoder.copy_buffer_to_buffer(output, 0, &buffer, 0, down_bytes);
        download = Some((buffer, down_bytes));
    }
    if freight.is_secret {
        encoder.clear_buffer(&input, 0, None);
        if let Some(output) = &output {
            encoder.clear_buffer(output, 0, None);
        }
    }
    let index = context.queue.submit([encoder.finish()]);
    let on_device = core::iter::once(input).chain(output).collect();
    let upload = Some(upload);
    Ok(Flight { index, begin, items, upload, on_device, download, timing, is_secret: freight.is_secret })
}

/// Sends one array up and runs kernels on it, without waiting: for results that stay.
pub(super) fn send(
    context: &Context,
    flights: &mut Flights,
    items: usize,
    words: usize,
    pipeline: &Arc<Pipeline>,
    fill: &(dyn Fn(usize, &mut [u32]) + Sync),
    launch: &mut dyn FnMut(&Space<'_>, &mut Timing) -> Result<(), Fault>,
) -> Result<(), Fault> {
    flights.make_room(context, &mut |_, _| Ok(()))?;
    let freight = Freight { up: &[words], scratch: &[], down: 0, stay: 0, is_secret: false };
    let fill = |_: usize, item: usize, out: &mut [u32]| fill(item, out);
    let flight = start(context, 0..items, &freight, &[], pipeline, &fill, &mut |_, space, timing| {
        launch(space, timing)
    })?;
    flights.0.push_back(flight);
    Ok(())
}

/// Runs kernels on what is on the device already, without waiting.
pub(super) fn run_there(
    context: &Context,
    flights: &mut Flights,
    pipeline: &Arc<Pipeline>,
    launch: &mut dyn FnMut(&mut Timing) -> Result<(), Fault>,
) -> Result<(), Fault> {
    flights.make_room(context, &mut |_, _| Ok(()))?;
    let (begin, mut timing) = (Instant::now(), Timing::new(context, pipeline)?);
    launch(&mut timing)?;
    let mut encoder = context.encoder();
    timing.resolve(&mut encoder);
    let index = context.queue.submit([encoder.finish()]);
    let (on_device, download) = (Vec::new(), None);
    flights.0.push_back(Flight {
        index,
        begin,
        items: 0..0,
        upload: None,
        on_device,
        download,
        timing,
        is_secret: false,
    });
    Ok(())
}

/// Bytes from which on more than one thread pays.
const PART: usize = 1 << 20;

/// Threads for a number of bytes. They are threads of their own: in a thread pool's, one that waits here might take up
/// another batch, which waits for this one.
fn threads(bytes: usize) -> usize {
    let most = thread::available_parallelism().map_or(1, |threads| threads.get().min(16));
    (bytes / PART).clamp(1, most)
}

/// Fills an array of a mapped buffer, from `offset` on, with `words` words for each item.
fn fill_parts(
    context: &Context,
    upload: &Buffer,
    offset: u64,
    words: usize,
    items: Range<usize>,
    fill: &(dyn Fn(usize, &mut [u32]) + Sync),
) -> Result<(), Fault> {
    // An even number of items each, because views begin at multiples of eight bytes.
    let part = items.len().div_ceil(threads(4 * words * items.len())).next_multiple_of(2);
    let write = |part: Range<usize>| {
        let at = |item: usize| offset + bytes(words, item - items.start);
        let view = upload.slice(at(part.start)..at(part.end)).get_mapped_range_mut();
        let mut view = view.map_err(|error| context.fault(&format!("a buffer cannot be filled: {error}")))?;
        let mut item = Zeroizing::new(vec![0; words]);
        for (i, number) in part.enumerate() {
            fill(number, &mut item);
            view.slice(4 * words * i..4 * words * (i + 1)).copy_from_slice(bytemuck::cast_slice(&item));
        }
        Ok(())
    };
    thread::scope(|scope| {
        let mut parts = items.clone().step_by(part).map(|first| first..items.end.min(first + part));
        let own = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(|| write(part))).collect();
        let own = own.map_or(Ok(()), write);
        others.into_iter().map(|other| other.join().expect("it only copies")).fold(own, Result::and)
    })
}

/// Reads `words` words for each item that `out` has room for.
pub(super) fn read_parts<T: Send>(
    words: &[u32],
    item_words: usize,
    out: &mut [T],
    read: &(dyn Fn(&[u32]) -> T + Sync),
) {
    let part = out.len().div_ceil(threads(4 * words.len())).max(1);
    let read = |words: &[u32], out: &mut [T]| {
        for (out, words) in out.iter_mut().zip(words.chunks_exact(item_words)) {
            *out = read(words);
        }
    };
    thread::scope(|scope| {
        let mut parts = out.chunks_mut(part).zip(words.chunks(part * item_words)).peekable();
        while let Some((out, words)) = parts.next() {
            if parts.peek().is_some() {
                scope.spawn(move || read(words, out));
            } else {
                read(words, out);
            }
        }
    });
}

/// Copies by several threads, which are needed to use all of the memory's speed.
pub(super) fn copy<T: Copy + Send + Sync>(source: &[T], target: &mut [T]) {
    let part = source.len().div_ceil(threads(size_of_val(source))).max(1);
    thread::scope(|scope| {
        let mut parts = target.chunks_mut(part).zip(source.chunks(part));
        let own = parts.next();
        for (target, source) in parts {
            scope.spawn(|| target.copy_from_slice(source));
        }
        if let Some((target, source)) = own {
            target.copy_from_slice(source);
        }
    });
}

/// One of the items, by chance: which one is checked nobody knows before.
pub(super) fn sample(items: &Range<usize>) -> usize {
    let chance = RandomState::new().build_hasher().finish();
    items.start + (chance % items.len() as u64) as usize
}
