//! The host's side of transfers: [`Threads`] fill and read mapped buffers in parts.
//!
//! Several threads work because one core reaches only a fraction of a card's transfer rate. An
//! upload buffer may be memory of the card itself, so it is only written, from front to back.

use std::ops::Range;

use crypto_bigint::Word;
use rayon::prelude::*;
use wgpu::{Buffer, WriteOnly};
use zeroize::Zeroizing;

use super::{packed::read_pair, threads::Threads};
use crate::{
    backend::gpu::device::{Device, Fault},
    residue::{Limbs, Pair},
};

/// Minimum bytes of a part.
const PART_BYTES: usize = 256 << 10;

/// The place in an upload buffer for an item's words.
pub(crate) struct Sink<'a>(WriteOnly<'a, [u8]>);

impl Sink<'_> {
    /// Writes the lowest `bytes` bytes of a number.
    pub(crate) fn number(&mut self, words: &[Word], bytes: usize) {
        let mut room = self.0.split_off(..bytes).expect("an item has room for its words");
        if cfg!(target_endian = "little") {
            room.copy_from_slice(&bytemuck::cast_slice(words)[..bytes]);
        } else {
            // The full capacity at once, because growth would leave copies of secrets behind.
            let mut swapped = Zeroizing::new(Vec::with_capacity(bytes));
            swapped.extend(words.iter().flat_map(|word| word.to_le_bytes()).take(bytes));
            room.copy_from_slice(&swapped);
        }
    }

    pub(crate) fn half<U: Limbs>(&mut self, half: &U) {
        self.number(half.words(), size_of_val(half.words()));
    }

    pub(crate) fn pair<U: Limbs>(&mut self, pair: &Pair<U>) {
        self.half(&pair.lo);
        self.half(&pair.hi);
    }
}

/// Fills an array of a mapped buffer from `offset` on, with `item_bytes` bytes for each item.
pub(crate) fn fill(
    device: &Device,
    threads: &Threads,
    upload: &Buffer,
    offset: u64,
    item_bytes: usize,
    items: &Range<usize>,
    write: &(dyn Fn(usize, &mut Sink<'_>) + Sync),
) -> Result<(), Fault> {
    if item_bytes == 0 {
        return Ok(());
    }
    // An even number of items for each part, because views begin at multiples of eight bytes.
    let part = PART_BYTES.div_ceil(item_bytes).next_multiple_of(2);
    let fill_part = |first: usize| {
        let end = items.end.min(first + part);
        let at = |item: usize| offset + (item_bytes * (item - items.start)) as u64;
        let view = upload.slice(at(first)..at(end)).get_mapped_range_mut();
        let mut view = view.map_err(|error| device.fault(&format!("a buffer cannot be filled: {error}")))?;
        let mut room = view.slice(..);
        for item in first..end {
            let own = room.split_off(..item_bytes).expect("the view is as long as its items");
            write(item, &mut Sink(own));
        }
        Ok(())
    };
    if items.len() <= part {
        return fill_part(items.start);
    }
    let firsts: Vec<usize> = items.clone().step_by(part).collect();
    threads.run(|| firsts.into_par_iter().try_for_each(fill_part))
}

/// Passes the words of a mapped buffer to `take`.
pub(crate) fn with_words(
    device: &Device,
    buffer: &Buffer,
    bytes: u64,
    take: &mut dyn FnMut(&[u32]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let view = buffer.slice(..bytes).get_mapped_range();
    let view = view.map_err(|error| device.fault(&format!("a result cannot be read: {error}")))?;
    match bytemuck::try_cast_slice(&view) {
        Ok(words) => take(words),
        Err(_) => take(&Zeroizing::new(bytemuck::pod_collect_to_vec::<u8, u32>(&view))),
    }
}

/// Extends `out` with zeros to `len` pairs. Several threads do this if it grows by much.
///
/// The first write to a fresh page of memory takes longer than writing its pairs, because the
/// system has to find and clear the page. Several threads do this together while the device works.
pub(crate) fn grow_pairs<U: Limbs>(threads: &Threads, len: usize, out: &mut Vec<Pair<U>>) {
    let grown = len.saturating_sub(out.len());
    let part = (PART_BYTES / size_of::<Pair<U>>()).max(1);
    if grown <= part {
        out.resize(out.len() + grown, Pair::new(U::zero(), U::zero()));
    } else {
        let zeros = rayon::iter::repeat_n(Pair::new(U::zero(), U::zero()), grown).with_min_len(part);
        threads.run(|| out.par_extend(zeros));
    }
}

/// Reads the pairs in these words into `out`.
pub(crate) fn write_pairs<U: Limbs>(threads: &Threads, words: &[u32], out: &mut [Pair<U>]) {
    let pair_words = 2 * U::WORDS * size_of::<Word>() / size_of::<u32>();
    let part = (PART_BYTES / size_of::<Pair<U>>()).max(1);
    let read = |(words, pair): (&[u32], &mut Pair<U>)| read_pair(words, pair);
    if out.len() <= part {
        words.chunks_exact(pair_words).zip(out).for_each(read);
    } else {
        let pairs = words.par_chunks_exact(pair_words).zip(out).with_min_len(part);
        threads.run(|| pairs.for_each(read));
    }
}

/// Replaces the contents of `out` by these words.
pub(crate) fn replace_words(threads: &Threads, words: &[u32], out: &mut Vec<u32>) {
    out.clear();
    if words.len() <= PART_BYTES / 4 {
        out.extend_from_slice(words);
    } else {
        threads.run(|| out.par_extend(words.par_iter().with_min_len(PART_BYTES / 4).copied()));
    }
}
