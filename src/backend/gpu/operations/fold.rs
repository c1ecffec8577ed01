//! Folds on a device: accumulators that stay there, and the host's copies of them in case the device is lost.

use std::{ops::Range, sync::Arc};

use super::{
    modulus::{ModulusOnDevice, ResidentPieces},
    results::Results,
};
use crate::{
    backend::gpu::{
        device::Fault,
        kernels::{self, LaneLayout, RESIDENT_CONTRIBUTIONS, longest_run},
        memory::{DeviceBuffer, replace_words},
        stream::{
            ALIGNED_ITEMS, BatchShape, Binding, Collect, FULL_DEVICE_ITEMS, InFlight, Nothing, PIECE_BYTES,
            Readback, Runtime, reserve, run_batch, send_pieces,
        },
    },
    residue::{Limbs, Pair},
};

/// Bytes of one buffer of accumulators.
const PAGE_BYTES: u64 = 32 << 20;

/// Maximum accumulators of a slot. Slots that are too few to fill a large device get several each, joined at the end.
const MAX_SEGMENTS: usize = 64;

/// A fold's accumulators, in loose form: each began with a contribution's residue, and every product since then has
/// left a factor 1/R in it.
pub(crate) struct Accumulators<U: Limbs> {
    modulus: Arc<ModulusOnDevice<U>>,
    len: usize,
    segments: usize,
    pages: Vec<(DeviceBuffer, Range<usize>)>,
    is_begun: bool,
    in_flight: InFlight,
    copying: Option<Copying>,
}

/// A copy for the host that is on its way.
struct Copying {
    copy: SavedAccumulators,
    /// Pages that are not here yet.
    missing: usize,
}

/// Accumulators as the host has them.
pub(crate) struct SavedAccumulators {
    pages: Vec<Vec<u32>>,
    /// Accumulators of a page, but the last one.
    page_items: usize,
    segments: usize,
    /// Contributions that are in them.
    pub(crate) contributions: u64,
}

impl<U: Limbs> Accumulators<U> {
    /// For contributions of `len` residues, the first `count` of which come at once.
    pub(crate) fn new(modulus: &Arc<ModulusOnDevice<U>>, len: usize, count: usize) -> Result<Self, Fault> {
        let page = page_items(modulus);
        let segments = (FULL_DEVICE_ITEMS / len).min(page / len).min(count).clamp(1, MAX_SEGMENTS);
        Self::with_pages(modulus, len, segments, |_, items| {
            let bytes = 4 * modulus.layout.loose_words() as u64 * items as u64;
            DeviceBuffer::zeroed(&modulus.runtime.device, "accumulators", bytes)
        })
    }

    pub(crate) fn restored(
        modulus: &Arc<ModulusOnDevice<U>>,
        len: usize,
        saved: &SavedAccumulators,
    ) -> Result<Self, Fault> {
        let mut restored = Self::with_pages(modulus, len, saved.segments, |page, _| {
            DeviceBuffer::new(&modulus.runtime.device, "accumulators", &saved.pages[page], false)
        })?;
        restored.is_begun = true;
        Ok(restored)
    }

    fn with_pages(
        modulus: &Arc<ModulusOnDevice<U>>,
        len: usize,
        segments: usize,
        mut page: impl FnMut(usize, usize) -> Result<DeviceBuffer, Fault>,
    ) -> Result<Self, Fault> {
        let (all, items) = (segments * len, page_items(modulus));
        let mut pages = Vec::new();
        for first in (0..all).step_by(items) {
            let range = first..all.min(first + items);
            pages.push((page(pages.len(), range.len())?, range));
        }
        let modulus = Arc::clone(modulus);
        Ok(Self {
            modulus,
            len,
            segments,
            pages,
            is_begun: false,
            in_flight: InFlight::default(),
            copying: None,
        })
    }

    /// Multiplies contributions in. `copy` is room for a copy of the accumulators, which comes down while later contributions
    /// are worked on: [`Self::landed_copy`] has it then.
    pub(crate) fn add(
        &mut self,
        contributions: &[&[Pair<U>]],
        copy: Option<SavedAccumulators>,
    ) -> Result<(), Fault> {
        let is_copied = copy.is_some();
        if let Some(copy) = copy {
            self.begin_copy(copy)?;
        }
        let runtime = &*Arc::clone(&self.modulus.runtime);
        let layout = self.modulus.layout;
        let (len, all) = (self.len, self.segments * self.len);
        let total = contributions.len() * len;
        let rounds = total.div_ceil(all);
        let mut parts = Vec::new();
        for (page, range) in &self.pages {
            let width = range.len();
            let round_bytes = (4 * layout.packed_words() * width) as u64;
            let limit = PIECE_BYTES.min(runtime.device.binding_bytes());
            let at_once = (limit / round_bytes).clamp(1, u64::from(longest_run(layout))) as usize;
            for first_round in (0..rounds).step_by(at_once) {
                let end_round = rounds.min(first_round + at_once);
                // The last round may end before this page, or within it.
                let last_width = (total - (end_round - 1) * all).saturating_sub(range.start).min(width);
                let residues = (end_round - 1 - first_round) * width + last_width;
                if residues > 0 {
                    let is_last = end_round == rounds;
                    parts.push(Part { page, accumulators: range, first_round, residues, is_last });
                }
            }
        }
        let pieces: Vec<_> = parts.iter().map(|part| 0..part.residues).collect();
        let shape =
            BatchShape { up: &[layout.packed_words()], scratch: &[], down: 0, stay: 0, is_secret: false };
        let _reservation = reserve(runtime, &shape, &pieces);
        send_pieces(
            runtime,
            &mut self.in_flight,
            &shape,
            &[],
            &pieces,
            &|part, _, item, sink| {
                let Part { accumulators, first_round, .. } = &parts[part];
                let width = accumulators.len();
                let at = accumulators.start + item % width + (first_round + item / width) * all;
                sink.pair(&contributions[at / len][at % len]);
            },
            &mut |part, piece, commands| {
                let Part { page, accumulators, first_round, residues, is_last } = &parts[part];
                let resume = self.is_begun || *first_round > 0;
                let products = (residues.div_ceil(accumulators.len()) - usize::from(!resume)).max(1) as u32;
                let (slots, residues) = (accumulators.len() as u32, *residues as u32);
                let resume = u32::from(resume);
                let bindings = [Binding::whole(&self.modulus.constants), piece.up[0], Binding::whole(page)];
                // A last round cut short leaves the accumulators beyond it alone.
                commands.dispatch(layout, &bindings, slots.min(residues), products, |first, end| {
                    kernels::Fold { slots, residues, resume, first, end }
                })?;
                Ok((is_copied && *is_last).then(|| page_of(layout, page, accumulators)))
            },
            &mut taking_copy(runtime, &mut self.copying),
        )?;
        self.is_begun = true;
        Ok(())
    }

    /// The copy before it has landed.
    fn begin_copy(&mut self, copy: SavedAccumulators) -> Result<(), Fault> {
        self.wait_for_copy()?;
        self.copying = Some(Copying { copy, missing: self.pages.len() });
        Ok(())
    }

    /// Waits until a copy that is on its way has landed.
    pub(crate) fn wait_for_copy(&mut self) -> Result<(), Fault> {
        if self.copying.as_ref().is_some_and(|copying| copying.missing > 0) {
            let runtime = &self.modulus.runtime;
            self.in_flight.collect_all(runtime, &mut taking_copy(runtime, &mut self.copying))?;
        }
        Ok(())
    }

    /// A copy that has landed whole. It has the contributions up to the call that asked for it.
    pub(crate) fn landed_copy(&mut self) -> Option<SavedAccumulators> {
        self.copying.take_if(|copying| copying.missing == 0).map(|copying| copying.copy)
    }

    /// Multiplies contributions in that are on the device already, several of them in a dispatch.
    pub(crate) fn add_resident(&mut self, contributions: &[&ResidentPieces]) -> Result<(), Fault> {
        let lengths = |pieces: &ResidentPieces| pieces.iter().map(|(_, items)| *items).collect::<Vec<_>>();
        // Those that are cut in the same places go together.
        for alike in contributions.chunk_by(|one, next| lengths(one) == lengths(next)) {
            for group in alike.chunks(RESIDENT_CONTRIBUTIONS as usize) {
                self.add_alike(group)?;
            }
        }
        Ok(())
    }

    /// Multiplies a group in that a dispatch has bindings for.
    fn add_alike(&mut self, group: &[&ResidentPieces]) -> Result<(), Fault> {
        let runtime = &*Arc::clone(&self.modulus.runtime);
        let layout = self.modulus.layout;
        let (loose, packed) = (4 * layout.loose_words() as u64, 4 * layout.packed_words() as u64);
        let (contributions, resume) = (group.len() as u32, u32::from(self.is_begun));
        let products = (contributions - (1 - resume)).max(1);
        let mut piece_start = 0;
        for (number, (_, items)) in group[0].iter().enumerate() {
            let piece_range = piece_start..piece_start + items;
            for (page, range) in &self.pages {
                let start = range.start.max(piece_range.start);
                let end = range.end.min(piece_range.end);
                if start >= end {
                    continue;
                }
                debug_assert!(
                    (start - range.start) % ALIGNED_ITEMS == 0 && (start - piece_start) % ALIGNED_ITEMS == 0
                );
                let items = (end - start) as u64;
                let at = |buffer, first: usize, item_bytes| Binding {
                    buffer,
                    offset: first as u64 * item_bytes,
                    bytes: items * item_bytes,
                };
                let mut bindings =
                    vec![Binding::whole(&self.modulus.constants), at(&**page, start - range.start, loose)];
                // Something must be bound beyond the last one: nothing reads it.
                bindings.extend((0..RESIDENT_CONTRIBUTIONS as usize).map(|contribution| {
                    let (piece, _) = &group[contribution.min(group.len() - 1)][number];
                    at(&**piece, start - piece_start, packed)
                }));
                self.in_flight.run(
                    runtime,
                    &mut |commands| {
                        commands.dispatch(layout, &bindings, items as u32, products, |first, end| {
                            kernels::ResidentFold { contributions, resume, first, end }
                        })
                    },
                    &mut taking_copy(runtime, &mut self.copying),
                )?;
            }
            piece_start = piece_range.end;
        }
        self.is_begun = true;
        Ok(())
    }

    /// Sends a copy to the host, as [`Self::add`] does.
    pub(crate) fn copy(&mut self, copy: SavedAccumulators) -> Result<(), Fault> {
        self.begin_copy(copy)?;
        let (runtime, layout) = (&self.modulus.runtime, self.modulus.layout);
        for (page, accumulators) in &self.pages {
            let readback = page_of(layout, page, accumulators);
            self.in_flight.read_back(runtime, readback, &mut taking_copy(runtime, &mut self.copying))?;
        }
        Ok(())
    }

    /// Room for a copy of the accumulators, in the memory of an older copy. `contributions` is what they will have.
    pub(crate) fn room(&self, older: Option<SavedAccumulators>, contributions: u64) -> SavedAccumulators {
        let mut pages = older.map_or_else(Vec::new, |older| older.pages);
        pages.resize_with(self.pages.len(), || self.modulus.runtime.host_pages.take());
        SavedAccumulators {
            pages,
            page_items: page_items(&self.modulus),
            segments: self.segments,
            contributions,
        }
    }

    /// The products of `contributions` contributions in all.
    pub(crate) fn finish(&mut self, contributions: u64) -> Result<Vec<Pair<U>>, Fault> {
        let runtime = &*Arc::clone(&self.modulus.runtime);
        let layout = self.modulus.layout;
        let mut results = Results::new(runtime, self.len, None);
        // While the last contributions are worked on.
        results.expect(&(0..self.len));
        self.in_flight.collect_all(runtime, &mut Nothing)?;
        // Products so far: one for each contribution but the first of every segment. Joining them, and the factor, make
        // as many products as there are contributions.
        let factor = self.modulus.constant(&layout.power_of_r(&self.modulus.modulus, contributions))?;
        let shape =
            BatchShape { up: &[], scratch: &[], down: layout.packed_words(), stay: 0, is_secret: false };
        let loose = 4 * layout.loose_words() as u64;
        for (page, range) in &self.pages {
            // Several segments are all in one page.
            let (first, slots) = (range.start / self.segments, range.len() / self.segments);
            run_batch(
                runtime,
                slots,
                &shape,
                &|_, _, _| {},
                &mut |items, piece, commands| {
                    let bytes = if self.segments > 1 {
                        loose * range.len() as u64
                    } else {
                        loose * items.len() as u64
                    };
                    let products = Binding { buffer: page, offset: loose * items.start as u64, bytes };
                    self.modulus.finish(
                        products,
                        piece.down.expect("results come down"),
                        piece.items,
                        self.segments as u32,
                        &factor,
                        commands,
                    )
                },
                &mut |items: Range<usize>, words: &[u32]| {
                    results.take(first + items.start..first + items.end, words)
                },
            )?;
        }
        Ok(results.into_pairs())
    }
}

/// Takes the pages of the copy that is on its way.
fn taking_copy<'a>(runtime: &'a Runtime, copying: &'a mut Option<Copying>) -> impl Collect + 'a {
    |items: Range<usize>, words: &[u32]| {
        let Copying { copy, missing } = copying.as_mut().expect("only copies come down");
        copy.take(runtime, items, words);
        *missing -= 1;
        Ok(())
    }
}

impl SavedAccumulators {
    /// Takes the words of some accumulators, which are a page.
    fn take(&mut self, runtime: &Runtime, items: Range<usize>, words: &[u32]) {
        replace_words(&runtime.threads, words, &mut self.pages[items.start / self.page_items]);
    }

    /// The accumulators as pairs, in batches of `len`, one for each segment. Their product times `R^exponent` is the
    /// product of the contributions.
    pub(crate) fn pairs<U: Limbs>(&self, layout: LaneLayout, n: &U, len: usize) -> (Vec<Vec<Pair<U>>>, u64) {
        let all: Vec<Pair<U>> = self
            .pages
            .iter()
            .flat_map(|page| page.chunks_exact(layout.loose_words()))
            .map(|limbs| layout.reduced(limbs, n))
            .collect();
        (all.chunks(len).map(<[_]>::to_vec).collect(), self.contributions - self.segments as u64)
    }

    /// The memory of the pages, for later folds.
    pub(crate) fn into_pages(self) -> Vec<Vec<u32>> {
        self.pages
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pages.iter().map(|page| size_of_val(page.as_slice())).sum()
    }
}

/// The residues that a page of accumulators takes at once: whole rounds, each of which has a residue for every
/// accumulator.
struct Part<'a> {
    page: &'a DeviceBuffer,
    accumulators: &'a Range<usize>,
    first_round: usize,
    residues: usize,
    /// The page has them all after this.
    is_last: bool,
}

/// All of a page, for the host.
fn page_of<'a>(layout: LaneLayout, page: &'a DeviceBuffer, accumulators: &Range<usize>) -> Readback<'a> {
    Readback { buffer: page, items: accumulators.clone(), words: layout.loose_words() * accumulators.len() }
}

/// Accumulators of one page.
fn page_items<U: Limbs>(modulus: &ModulusOnDevice<U>) -> usize {
    let bytes = PAGE_BYTES.min(modulus.runtime.device.binding_bytes());
    let items = bytes as usize / (4 * modulus.layout.loose_words());
    (items / ALIGNED_ITEMS * ALIGNED_ITEMS).max(ALIGNED_ITEMS)
}
