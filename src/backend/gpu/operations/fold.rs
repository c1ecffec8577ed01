//! Folds on a device. The accumulators stay there, and the host has copies in case the device is
//! lost.

use std::{ops::Range, sync::Arc};

use super::{
    modulus::{ModulusOnDevice, ResidentPieces},
    results::Results,
};
use crate::{
    backend::gpu::{
        device::Fault,
        kernels::{self, LaneLayout, RESIDENT_CONTRIBUTIONS, max_consecutive_products},
        memory::{DeviceBuffer, replace_words},
        stream::{
            ALIGNED_ITEMS, BatchShape, Binding, Collect, Discard, FULL_DEVICE_ITEMS, InFlight, PIECE_BYTES,
            Readback, Runtime, reserve, run_batch, send_pieces,
        },
    },
    residue::{Limbs, Pair},
};

/// Maximum bytes of one buffer ("page") of accumulators.
const PAGE_BYTES: u64 = 32 << 20;

/// Maximum accumulators for a slot. If the slots are too few to fill a large device, each gets
/// several accumulators, which are multiplied at the end.
const MAX_SEGMENTS: usize = 64;

/// A fold's accumulators, in loose form. Each starts as a contribution's residue, and every product
/// multiplies it by a factor 1/R.
pub(crate) struct Accumulators<U: Limbs> {
    modulus: Arc<ModulusOnDevice<U>>,
    len: usize,
    segments: usize,
    pages: Vec<(DeviceBuffer, Range<usize>)>,
    is_begun: bool,
    in_flight: InFlight,
    pending_copy: Option<PendingCopy>,
}

/// A copy for the host that is not complete yet.
struct PendingCopy {
    copy: SavedAccumulators,
    /// Number of pages that have not been read back yet.
    missing_pages: usize,
}

/// The host's copy of accumulators.
pub(crate) struct SavedAccumulators {
    pages: Vec<Vec<u32>>,
    /// Accumulators of each page except the last one.
    page_items: usize,
    segments: usize,
    /// Number of contributions in the accumulators.
    pub(crate) contributions: u64,
}

impl<U: Limbs> Accumulators<U> {
    /// For contributions of `len` residues. The first call will add `count` of them.
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
            pending_copy: None,
        })
    }

    /// Multiplies the accumulators by contributions. If there is a `copy`, the accumulators are
    /// then copied to it, while the device works on later contributions. [`Self::finished_copy`]
    /// returns the complete copy.
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
            let at_once =
                (limit / round_bytes).clamp(1, u64::from(max_consecutive_products(layout))) as usize;
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
        let shape = BatchShape {
            inputs: &[layout.packed_words()],
            scratch: &[],
            output: 0,
            resident_output: 0,
            is_secret: false,
        };
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
                let bindings =
                    [Binding::whole(&self.modulus.constants), piece.inputs[0], Binding::whole(page)];
                // An incomplete last round does not change the accumulators beyond its end.
                commands.dispatch(layout, &bindings, slots.min(residues), products, |first, end| {
                    kernels::Fold { slots, residues, resume, first, end }
                })?;
                Ok((is_copied && *is_last).then(|| readback_page(layout, page, accumulators)))
            },
            &mut collect_copy(runtime, &mut self.pending_copy),
        )?;
        self.is_begun = true;
        Ok(())
    }

    /// Starts a copy, after the one before it is complete.
    fn begin_copy(&mut self, copy: SavedAccumulators) -> Result<(), Fault> {
        self.wait_for_copy()?;
        self.pending_copy = Some(PendingCopy { copy, missing_pages: self.pages.len() });
        Ok(())
    }

    /// Waits until the pending copy is complete.
    pub(crate) fn wait_for_copy(&mut self) -> Result<(), Fault> {
        if self.pending_copy.as_ref().is_some_and(|pending_copy| pending_copy.missing_pages > 0) {
            let runtime = &self.modulus.runtime;
            self.in_flight.collect_all(runtime, &mut collect_copy(runtime, &mut self.pending_copy))?;
        }
        Ok(())
    }

    /// The pending copy, if it is complete. It has the contributions up to the call that started
    /// it.
    pub(crate) fn finished_copy(&mut self) -> Option<SavedAccumulators> {
        self.pending_copy
            .take_if(|pending_copy| pending_copy.missing_pages == 0)
            .map(|pending_copy| pending_copy.copy)
    }

    /// Multiplies the accumulators by contributions that are on the device already, several in a
    /// dispatch.
    pub(crate) fn add_resident(&mut self, contributions: &[&ResidentPieces]) -> Result<(), Fault> {
        let lengths = |pieces: &ResidentPieces| pieces.iter().map(|(_, items)| *items).collect::<Vec<_>>();
        // A dispatch takes contributions with pieces of the same lengths.
        for alike in contributions.chunk_by(|one, next| lengths(one) == lengths(next)) {
            for group in alike.chunks(RESIDENT_CONTRIBUTIONS as usize) {
                self.add_group(group)?;
            }
        }
        Ok(())
    }

    /// Multiplies the accumulators by a group of at most `RESIDENT_CONTRIBUTIONS`.
    fn add_group(&mut self, group: &[&ResidentPieces]) -> Result<(), Fault> {
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
                // The bindings beyond the last contribution must exist, but the kernel does not
                // read them.
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
                    &mut collect_copy(runtime, &mut self.pending_copy),
                )?;
            }
            piece_start = piece_range.end;
        }
        self.is_begun = true;
        Ok(())
    }

    /// Starts a copy to the host, as [`Self::add`] does.
    pub(crate) fn copy(&mut self, copy: SavedAccumulators) -> Result<(), Fault> {
        self.begin_copy(copy)?;
        let (runtime, layout) = (&self.modulus.runtime, self.modulus.layout);
        for (page, accumulators) in &self.pages {
            let readback = readback_page(layout, page, accumulators);
            self.in_flight.read_back(
                runtime,
                readback,
                &mut collect_copy(runtime, &mut self.pending_copy),
            )?;
        }
        Ok(())
    }

    /// An empty copy, in the memory of an older one. `contributions` is the number that the
    /// accumulators will have.
    pub(crate) fn prepare_copy(
        &self,
        older: Option<SavedAccumulators>,
        contributions: u64,
    ) -> SavedAccumulators {
        let mut pages = older.map_or_else(Vec::new, |older| older.pages);
        pages.resize_with(self.pages.len(), || self.modulus.runtime.host_pages.acquire());
        SavedAccumulators {
            pages,
            page_items: page_items(&self.modulus),
            segments: self.segments,
            contributions,
        }
    }

    /// The products of all contributions, whose number is `contributions`.
    pub(crate) fn finish(&mut self, contributions: u64) -> Result<Vec<Pair<U>>, Fault> {
        let runtime = &*Arc::clone(&self.modulus.runtime);
        let layout = self.modulus.layout;
        let mut results = Results::new(runtime, self.len);
        // Prepares the memory while the device works on the last contributions.
        results.prepare(&(0..self.len));
        self.in_flight.collect_all(runtime, &mut Discard)?;
        // Products so far: one for each contribution except the first of every segment. The
        // products of the segments and the factor bring the total to the number of contributions.
        let factor = self.modulus.constant(&layout.power_of_r(&self.modulus.modulus, contributions))?;
        let shape = BatchShape {
            inputs: &[],
            scratch: &[],
            output: layout.packed_words(),
            resident_output: 0,
            is_secret: false,
        };
        let loose = 4 * layout.loose_words() as u64;
        for (page, range) in &self.pages {
            // If there are several segments, they are in one page.
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
                        piece.output.expect("the shape has an output"),
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

/// Stores the pages of the pending copy.
fn collect_copy<'a>(runtime: &'a Runtime, pending_copy: &'a mut Option<PendingCopy>) -> impl Collect + 'a {
    |items: Range<usize>, words: &[u32]| {
        let PendingCopy { copy, missing_pages } = pending_copy.as_mut().expect("only copies are read back");
        copy.take(runtime, items, words);
        *missing_pages -= 1;
        Ok(())
    }
}

impl SavedAccumulators {
    /// Stores the words of a page of accumulators.
    fn take(&mut self, runtime: &Runtime, items: Range<usize>, words: &[u32]) {
        replace_words(&runtime.threads, words, &mut self.pages[items.start / self.page_items]);
    }

    /// The accumulators as pairs, in batches of `len`, one for each segment; and an exponent. The
    /// product of the batches times `R^exponent` is the product of the contributions.
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

/// The residues that a dispatch multiplies into a page of accumulators: whole rounds, each with one
/// residue for every accumulator.
struct Part<'a> {
    page: &'a DeviceBuffer,
    accumulators: &'a Range<usize>,
    first_round: usize,
    residues: usize,
    /// Whether this is the page's last part.
    is_last: bool,
}

/// All of a page, for the host.
fn readback_page<'a>(
    layout: LaneLayout,
    page: &'a DeviceBuffer,
    accumulators: &Range<usize>,
) -> Readback<'a> {
    Readback { buffer: page, items: accumulators.clone(), words: layout.loose_words() * accumulators.len() }
}

/// Maximum accumulators of a page.
fn page_items<U: Limbs>(modulus: &ModulusOnDevice<U>) -> usize {
    let bytes = PAGE_BYTES.min(modulus.runtime.device.binding_bytes());
    let items = bytes as usize / (4 * modulus.layout.loose_words());
    (items / ALIGNED_ITEMS * ALIGNED_ITEMS).max(ALIGNED_ITEMS)
}
