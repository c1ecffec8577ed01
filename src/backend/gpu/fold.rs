//! Folds on a device: accumulators that stay there, and what the host keeps so that nothing is lost with the device.

use std::{ops::Range, sync::Arc};

use super::{
    commands::{self, Binding},
    device::{Context, Fault},
    host,
    kept::{Kept, Pieces},
    layout,
    operation::OnDevice,
    parameters,
    transfer::{self, ALIGNED_ITEMS, Bring, Flights, Freight},
};
use crate::residue::{Limbs, Pair};

/// Bytes of one buffer of accumulators.
const PAGE: u64 = 32 << 20;

/// Accumulators that fill a large device: fewer slots than that get several each, joined at the end.
const FILLING: usize = 1 << 14;

/// Accumulators of a slot, at most.
const SEGMENTS: usize = 64;

/// A fold's accumulators, in loose form: each began with a contribution's residue, and every product since then has
/// left a factor 1/R in it.
pub(super) struct Accumulators<U: Limbs> {
    modulus: Arc<OnDevice<U>>,
    len: usize,
    segments: usize,
    pages: Vec<(Kept, Range<usize>)>,
    is_begun: bool,
    flights: Flights,
}

/// Accumulators as the host has them.
pub(super) struct Saved {
    pages: Vec<Vec<u32>>,
    /// Accumulators of a page, but the last one.
    page_items: usize,
    segments: usize,
    /// Contributions that are in them.
    pub(super) contributions: u64,
}

impl<U: Limbs> Accumulators<U> {
    /// For contributions of `len` residues, the first `count` of which come at once.
    pub(super) fn new(modulus: &Arc<OnDevice<U>>, len: usize, count: usize) -> Result<Self, Fault> {
        let page = page_items(modulus);
        let segments = (FILLING / len).min(page / len).min(count).clamp(1, SEGMENTS);
        Self::with_pages(modulus, len, segments, |_, items| {
            let bytes = 4 * modulus.layout.loose_words() as u64 * items as u64;
            Kept::empty(&modulus.context, "accumulators", bytes)
        })
    }

    pub(super) fn restored(modulus: &Arc<OnDevice<U>>, len: usize, saved: &Saved) -> Result<Self, Fault> {
        let mut restored = Self::with_pages(modulus, len, saved.segments, |page, _| {
            Kept::new(&modulus.context, "accumulators", &saved.pages[page], false)
        })?;
        restored.is_begun = true;
        Ok(restored)
    }

    fn with_pages(
        modulus: &Arc<OnDevice<U>>,
        len: usize,
        segments: usize,
        mut page: impl FnMut(usize, usize) -> Result<Kept, Fault>,
    ) -> Result<Self, Fault> {
        let (all, items) = (segments * len, page_items(modulus));
        let mut pages = Vec::new();
        for first in (0..all).step_by(items) {
            let range = first..all.min(first + items);
            pages.push((page(pages.len(), range.len())?, range));
        }
        let modulus = Arc::clone(modulus);
        Ok(Self { modulus, len, segments, pages, is_begun: false, flights: Flights::default() })
    }

    /// Multiplies contributions in; with a `copy`, the host has the accumulators afterwards, which come down while others
    /// are still worked on.
    pub(super) fn add(
        &mut self,
        contributions: &[&[Pair<U>]],
        mut copy: Option<&mut Saved>,
    ) -> Result<(), Fault> {
        let context = &Arc::clone(&self.modulus.context);
        let layout = self.modulus.layout;
        let (len, all) = (self.len, self.segments * self.len);
        let total = contributions.len() * len;
        let turns = total.div_ceil(all);
        let mut parts = Vec::new();
        for (page, range) in &self.pages {
            let width = range.len();
            let turn_bytes = (4 * layout.packed_words() * width) as u64;
            let limit = transfer::PIECE.min(context.binding_bytes);
            let at_once = (limit / turn_bytes).clamp(1, u64::from(commands::longest_run(layout))) as usize;
            for first_turn in (0..turns).step_by(at_once) {
                let end_turn = turns.min(first_turn + at_once);
                // The last turn may end before this page, or within it.
                let last_width = (total - (end_turn - 1) * all).saturating_sub(range.start).min(width);
                let residues = (end_turn - 1 - first_turn) * width + last_width;
                if residues > 0 {
                    let is_last = end_turn == turns;
                    parts.push(Part { page, accumulators: range, first_turn, residues, is_last });
                }
            }
        }
        let is_copied = copy.is_some();
        let pieces: Vec<_> = parts.iter().map(|part| 0..part.residues).collect();
        let freight =
            Freight { up: &[layout.packed_words()], scratch: &[], down: 0, stay: 0, is_secret: false };
        transfer::relay(
            context,
            &mut self.flights,
            &freight,
            &[],
            &pieces,
            &|part, _, item, sink| {
                let Part { accumulators, first_turn, .. } = &parts[part];
                let width = accumulators.len();
                let at = accumulators.start + item % width + (first_turn + item / width) * all;
                sink.pair(&contributions[at / len][at % len]);
            },
            &mut |part, space, commands| {
                let Part { page, accumulators, first_turn, residues, is_last } = &parts[part];
                let resume = self.is_begun || *first_turn > 0;
                let products = (residues.div_ceil(accumulators.len()) - usize::from(!resume)).max(1) as u32;
                let (slots, residues) = (accumulators.len() as u32, *residues as u32);
                let resume = u32::from(resume);
                let bindings = [self.modulus.constants.whole(), space.up[0], page.whole()];
                // A last turn cut short leaves the accumulators beyond it alone.
                commands.dispatch(layout, &bindings, slots.min(residues), products, |first, end| {
                    parameters::Fold { slots, residues, resume, first, end }
                })?;
                Ok((is_copied && *is_last).then(|| page_of(layout, page, accumulators)))
            },
            &mut |items, words| {
                if let Some(copy) = &mut copy {
                    copy.take(context, items, words);
                }
                Ok(())
            },
        )?;
        self.is_begun = true;
        if let Some(copy) = copy { self.land(copy) } else { Ok(()) }
    }

    /// Waits for a copy on its way.
    fn land(&mut self, copy: &mut Saved) -> Result<(), Fault> {
        let context = &self.modulus.context;
        self.flights.land_all(context, &mut |items, words| {
            copy.take(context, items, words);
            Ok(())
        })
    }

    /// Multiplies a contribution in that is on the device already.
    pub(super) fn add_resident(&mut self, pieces: &Pieces) -> Result<(), Fault> {
        let context = &Arc::clone(&self.modulus.context);
        let layout = self.modulus.layout;
        let (loose, packed) = (4 * layout.loose_words() as u64, 4 * layout.packed_words() as u64);
        let mut piece_start = 0;
        for (piece, items) in pieces {
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
                let residues = at(&piece.buffer, start - piece_start, packed);
                let products = at(&page.buffer, start - range.start, loose);
                let bindings = [self.modulus.constants.whole(), residues, products];
                let resume = u32::from(self.is_begun);
                let items = items as u32;
                let parameters =
                    |first, end| parameters::Fold { slots: items, residues: items, resume, first, end };
                transfer::run_there(context, &mut self.flights, &mut |commands| {
                    commands.dispatch(layout, &bindings, items, 1, parameters)
                })?;
            }
            piece_start = piece_range.end;
        }
        self.is_begun = true;
        Ok(())
    }

    /// A copy for the host.
    pub(super) fn copy(&mut self, copy: &mut Saved) -> Result<(), Fault> {
        let (context, layout) = (&self.modulus.context, self.modulus.layout);
        for (page, accumulators) in &self.pages {
            let brought = page_of(layout, page, accumulators);
            transfer::bring(context, &mut self.flights, brought, &mut |items, words| {
                copy.take(context, items, words);
                Ok(())
            })?;
        }
        self.land(copy)
    }

    /// Room for a copy of what the accumulators will be with so many contributions, in the memory of an older one.
    pub(super) fn room(&self, older: Option<Saved>, contributions: u64) -> Saved {
        let mut pages = older.map_or_else(Vec::new, |older| older.pages);
        pages.resize_with(self.pages.len(), Vec::new);
        Saved { pages, page_items: page_items(&self.modulus), segments: self.segments, contributions }
    }

    /// The products of `contributions` contributions in all.
    pub(super) fn finish(&mut self, contributions: u64) -> Result<Vec<Pair<U>>, Fault> {
        let context = &Arc::clone(&self.modulus.context);
        let layout = self.modulus.layout;
        self.flights.land_all(context, &mut |_, _| Ok(()))?;
        // Products so far: one for each contribution but the first of every segment. Joining them, and the factor, make
        // as many products as there are contributions.
        let factor = self.modulus.constant(&layout.power_of_r(&self.modulus.modulus, contributions))?;
        let freight =
            Freight { up: &[], scratch: &[], down: layout.packed_words(), stay: 0, is_secret: false };
        let loose = 4 * layout.loose_words() as u64;
        let mut out = Vec::with_capacity(self.len);
        for (page, range) in &self.pages {
            // Several segments are all in one page.
            let slots = range.len() / self.segments;
            transfer::stream(
                context,
                slots,
                &freight,
                &|_, _, _| {},
                &mut |items, space, commands| {
                    let bytes = if self.segments > 1 {
                        loose * range.len() as u64
                    } else {
                        loose * items.len() as u64
                    };
                    let products =
                        Binding { buffer: &page.buffer, offset: loose * items.start as u64, bytes };
                    let results = space.down.expect("results come down");
                    self.modulus.finish(
                        products,
                        results,
                        space.items,
                        self.segments as u32,
                        &factor,
                        commands,
                    )
                },
                &mut |_, words| {
                    host::read_pairs(context, words, &mut out);
                    Ok(())
                },
            )?;
        }
        Ok(out)
    }
}

impl Saved {
    /// Takes the words of some accumulators, which are a page.
    fn take(&mut self, context: &Context, items: Range<usize>, words: &[u32]) {
        host::read_words(context, words, &mut self.pages[items.start / self.page_items]);
    }

    /// What was saved, as pairs in batches of `len`, one for each segment; their product times `R^exponent` is the
    /// product of the contributions.
    pub(super) fn pairs<U: Limbs>(
        &self,
        layout: layout::Layout,
        n: &U,
        len: usize,
    ) -> (Vec<Vec<Pair<U>>>, u64) {
        let all: Vec<Pair<U>> = self
            .pages
            .iter()
            .flat_map(|page| page.chunks_exact(layout.loose_words()))
            .map(|limbs| layout.reduced(limbs, n))
            .collect();
        (all.chunks(len).map(<[_]>::to_vec).collect(), self.contributions - self.segments as u64)
    }

    pub(super) fn bytes(&self) -> usize {
        self.pages.iter().map(|page| size_of_val(page.as_slice())).sum()
    }
}

/// What a page of accumulators takes of some contributions at once: whole turns, each of which has a residue for every
/// accumulator.
struct Part<'a> {
    page: &'a Kept,
    accumulators: &'a Range<usize>,
    first_turn: usize,
    residues: usize,
    /// The page has them all after this.
    is_last: bool,
}

/// All of a page, for the host.
fn page_of<'a>(layout: layout::Layout, page: &'a Kept, accumulators: &Range<usize>) -> Bring<'a> {
    Bring {
        buffer: &page.buffer,
        items: accumulators.clone(),
        words: layout.loose_words() * accumulators.len(),
    }
}

/// Accumulators of one page.
fn page_items<U: Limbs>(modulus: &OnDevice<U>) -> usize {
    let bytes = PAGE.min(modulus.context.binding_bytes);
    let items = bytes as usize / (4 * modulus.layout.loose_words());
    (items / ALIGNED_ITEMS * ALIGNED_ITEMS).max(ALIGNED_ITEMS)
}
