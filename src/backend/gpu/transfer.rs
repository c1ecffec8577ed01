//! Batches to the device and back, in pieces, with several of them under way.
//!
//! While one piece is filled or read by the host, others are copied and computed. A piece is bounded, and so is their
//! number, and with them the memory that a batch of any size takes: see [`gpu`](super) for the figures.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher, RandomState},
    ops::Range,
    sync::Arc,
};

use wgpu::{Buffer, MapMode, SubmissionIndex};
use zeroize::Zeroizing;

use super::{
    commands::{Binding, Commands, Timing},
    device::{Context, Fault},
    host::{self, Sink},
    pool::{Lease, Purpose},
};

/// Bytes of a piece, up or down.
pub(super) const PIECE: u64 = 32 << 20;

/// Pieces under way; another one may be being filled.
pub(super) const DEPTH: usize = 3;

/// Bytes of working space of a batch on the device, if a binding may be as large.
const SCRATCH: u64 = 512 << 20;

/// Pieces are cut at multiples of this many items, so that bindings begin where they may.
pub(super) const ALIGNED_ITEMS: usize = 64;

/// A piece of a batch under way.
struct Flight {
    index: SubmissionIndex,
    items: Range<usize>,
    /// What was filled, and what is on the device.
    used: Vec<Lease>,
    download: Option<(Lease, u64)>,
    timing: Timing,
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
        flight.timing.finish(context)?;
        flight.used.into_iter().try_for_each(Lease::give)?;
        if let Some((buffer, bytes)) = flight.download {
            context.map(&buffer, MapMode::Read, bytes)?;
            read(context, &buffer, bytes, &mut |words| collect(flight.items.clone(), words))?;
            buffer.unmap();
            buffer.give()?;
        }
        Ok(())
    }
}

/// Hands the words of a mapped buffer to somebody.
pub(super) fn read(
    context: &Context,
    buffer: &Buffer,
    bytes: u64,
    take: &mut dyn FnMut(&[u32]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let view = buffer.slice(..bytes).get_mapped_range();
    let view = view.map_err(|error| context.fault(&format!("a result cannot be read: {error}")))?;
    match bytemuck::try_cast_slice(&view) {
        Ok(words) => take(words),
        Err(_) => take(&Zeroizing::new(bytemuck::pod_collect_to_vec::<u8, u32>(&view))),
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

/// Runs the kernels on a piece of a batch.
pub(super) type Launch<'a> = dyn FnMut(Range<usize>, &Space<'_>, &mut Commands<'_>) -> Result<(), Fault> + 'a;

/// Writes the words of an item: of the array with this number, the item with that one.
pub(super) type Fill<'a> = dyn Fn(usize, usize, &mut Sink<'_>) + Sync + 'a;

/// Takes `len` items through the device, piece by piece.
///
/// `launch` runs the kernels on a piece, which has this range of the items; `collect` takes the results of one.
pub(super) fn stream(
    context: &Arc<Context>,
    len: usize,
    freight: &Freight<'_>,
    fill: &Fill<'_>,
    launch: &mut Launch<'_>,
    collect: &mut Collect<'_>,
) -> Result<(), Fault> {
    let step = piece_items(context, freight).min(len).max(1);
    // One for all pieces: the device takes them one after the other.
    let scratch: Vec<Lease> = freight
        .scratch
        .iter()
        .map(|words| context.take(Purpose::Device, bytes(*words, step), freight.is_secret))
        .collect::<Result<_, _>>()?;
    let pieces: Vec<_> = (0..len).step_by(step).map(|first| first..len.min(first + step)).collect();
    let mut flights = Flights::default();
    relay(
        context,
        &mut flights,
        freight,
        &scratch,
        &pieces,
        &|_, section, item, sink| fill(section, item, sink),
        &mut |piece, space, commands| {
            launch(pieces[piece].clone(), space, commands)?;
            Ok(None)
        },
        collect,
    )?;
    flights.land_all(context, collect)?;
    scratch.into_iter().try_for_each(Lease::give)?;
    context.check()
}

/// Some words of a buffer that are to come down with a piece: `collect` takes them as those of `items`.
pub(super) struct Bring<'a> {
    pub(super) buffer: &'a Buffer,
    pub(super) items: Range<usize>,
    pub(super) words: usize,
}

/// What is to come down with a piece whose kernels were launched, if anything.
pub(super) type Launched<'a> = Result<Option<Bring<'a>>, Fault>;

/// Takes pieces to the device, one after the other, and leaves the last ones under way.
///
/// `fill` writes the words of an item: of the piece and the array with these numbers. While a piece is filled by the host's
/// threads, this one has the piece before it launched and the oldest one collected.
#[allow(clippy::too_many_arguments, reason = "what travels, and what is done with it at either end")]
pub(super) fn relay<'a>(
    context: &Arc<Context>,
    flights: &mut Flights,
    freight: &Freight<'_>,
    scratch: &[Lease],
    pieces: &[Range<usize>],
    fill: &(dyn Fn(usize, usize, usize, &mut Sink<'_>) + Sync),
    launch: &mut dyn FnMut(usize, &Space<'_>, &mut Commands<'_>) -> Launched<'a>,
    collect: &mut Collect<'_>,
) -> Result<(), Fault> {
    let filled = |piece: usize| {
        Filled::new(context, freight, &pieces[piece], &|section, item, sink| fill(piece, section, item, sink))
    };
    if pieces.is_empty() {
        return Ok(());
    }
    flights.make_room(context, collect)?;
    let mut ready = filled(0)?;
    for piece in 0..pieces.len() {
        let mut launch = |space: &Space<'_>, commands: &mut Commands<'_>| launch(piece, space, commands);
        if piece + 1 == pieces.len() {
            return flights.launch(context, ready, freight, scratch, &mut launch);
        }
        let (next, launched) = host::alongside(
            || filled(piece + 1),
            || {
                flights.launch(context, ready, freight, scratch, &mut launch)?;
                flights.make_room(context, collect)
            },
        );
        launched?;
        ready = next?;
    }
    Ok(())
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

/// A piece whose words are in a buffer, to be copied from there.
struct Filled {
    items: Range<usize>,
    /// The buffer and its bytes; `None` if nothing goes up.
    upload: Option<(Lease, u64)>,
    /// Where the arrays begin in it, one after the other, each where a binding may begin.
    offsets: Vec<u64>,
}

impl Filled {
    fn new(
        context: &Arc<Context>,
        freight: &Freight<'_>,
        items: &Range<usize>,
        fill: &Fill<'_>,
    ) -> Result<Self, Fault> {
        let mut offsets = Vec::new();
        let mut total = 0;
        for words in freight.up {
            offsets.push(total);
            total += bytes(*words, items.len()).next_multiple_of(context.offset_alignment);
        }
        if total == 0 {
            return Ok(Self { items: items.clone(), upload: None, offsets });
        }
        let upload = context.take(Purpose::Upload, total, freight.is_secret)?;
        context.map(&upload, MapMode::Write, total)?;
        for (section, (words, offset)) in freight.up.iter().zip(&offsets).enumerate() {
            host::fill(context, &upload, *offset, 4 * words, items, &|item, sink| fill(section, item, sink))?;
        }
        upload.unmap();
        Ok(Self { items: items.clone(), upload: Some((upload, total)), offsets })
    }
}

impl Flights {
    /// Copies a piece to the device, and runs kernels on it, without waiting.
    fn launch<'a>(
        &mut self,
        context: &Arc<Context>,
        filled: Filled,
        freight: &Freight<'_>,
        scratch: &[Lease],
        launch: &mut dyn FnMut(&Space<'_>, &mut Commands<'_>) -> Launched<'a>,
    ) -> Result<(), Fault> {
        let Filled { mut items, upload, offsets } = filled;
        let count = items.len();
        let take = |purpose, bytes| context.take(purpose, bytes, freight.is_secret);
        let mut commands = Commands::new(context)?;
        let mut input = None;
        if let Some((upload, bytes)) = &upload {
            let input = input.insert(take(Purpose::Device, *bytes)?);
            commands.copy(upload, input, *bytes);
        }

        let down_bytes = bytes(freight.down, count);
        let output = if down_bytes > 0 { Some(take(Purpose::Device, down_bytes)?) } else { None };
        let bring = {
            let piece = |buffer, offset, bytes: u64| Binding { buffer, offset, bytes: bytes.max(4) };
            let up = input.iter().flat_map(|input| {
                let sections = freight.up.iter().zip(&offsets);
                sections.map(|(words, offset)| piece(input, *offset, bytes(*words, count)))
            });
            let space = Space {
                items: count as u32,
                up: up.collect(),
                scratch: freight
                    .scratch
                    .iter()
                    .zip(scratch)
                    .map(|(words, buffer)| piece(buffer, 0, bytes(*words, count)))
                    .collect(),
                down: output.as_ref().map(|buffer| piece(buffer, 0, down_bytes)),
            };
            launch(&space, &mut commands)?
        };
        let mut download = None;
        let brought = bring.as_ref().map(|bring| (bring.buffer, bytes(bring.words, 1)));
        if let Some((from, bytes)) = output.as_deref().map(|output| (output, down_bytes)).or(brought) {
            let buffer = take(Purpose::Download, bytes)?;
            commands.copy(from, &buffer, bytes);
            download = Some((buffer, bytes));
        }
        if let Some(bring) = bring {
            items = bring.items;
        }
        let (index, timing) = commands.submit()?;
        let upload = upload.map(|(upload, _)| upload);
        let used = upload.into_iter().chain(input).chain(output).collect();
        self.0.push_back(Flight { index, items, used, download, timing });
        Ok(())
    }
}

/// Runs kernels on what is on the device already, without waiting.
pub(super) fn run_there(
    context: &Context,
    flights: &mut Flights,
    launch: &mut dyn FnMut(&mut Commands<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    flights.make_room(context, &mut |_, _| Ok(()))?;
    let mut commands = Commands::new(context)?;
    launch(&mut commands)?;
    let (index, timing) = commands.submit()?;
    flights.0.push_back(Flight { index, items: 0..0, used: Vec::new(), download: None, timing });
    Ok(())
}

/// Has some words of a buffer come down, without waiting.
pub(super) fn bring(
    context: &Arc<Context>,
    flights: &mut Flights,
    Bring { buffer, items, words }: Bring<'_>,
    collect: &mut Collect<'_>,
) -> Result<(), Fault> {
    flights.make_room(context, collect)?;
    let bytes = bytes(words, 1);
    let download = context.take(Purpose::Download, bytes, false)?;
    let mut commands = Commands::new(context)?;
    commands.copy(buffer, &download, bytes);
    let (index, timing) = commands.submit()?;
    let download = Some((download, bytes));
    flights.0.push_back(Flight { index, items, used: Vec::new(), download, timing });
    Ok(())
}

/// One of the items, by chance: which one is checked nobody knows before.
pub(super) fn sample(items: &Range<usize>) -> usize {
    let chance = RandomState::new().build_hasher().finish();
    items.start + (chance % items.len() as u64) as usize
}
