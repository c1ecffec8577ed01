//! The host's side of transfers: threads that fill buffers and read them.
//!
//! One core moves a fraction of what a card takes, so buffers are filled and read in parts, by threads of a pool of
//! their own: in the caller's, a thread that waits here might take up another batch, which waits for this one. A buffer to
//! be filled may be memory of the card itself, and is only ever written to, front to back.

use std::{ops::Range, thread};

use crypto_bigint::Word;
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use wgpu::{Buffer, WriteOnly};
use zeroize::Zeroizing;

use super::{
    device::{Context, Fault},
    layout,
};
use crate::residue::{Limbs, Pair};

/// Threads, at most: more gain nothing.
const THREADS: usize = 16;

/// Bytes of a part, at least.
const PART: usize = 256 << 10;

/// Threads of their own.
pub(super) struct Threads(ThreadPool);

impl Threads {
    pub(super) fn new() -> Result<Self, String> {
        let count = thread::available_parallelism().map_or(1, |threads| threads.get().min(THREADS));
        ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("cipherfold-gpu-{i}"))
            .build()
            .map(Self)
            .map_err(|error| format!("no threads for transfers: {error}"))
    }

    /// Does some work on these threads, and waits for it without doing anything else.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if rayon::current_thread_index().is_none() {
            return self.0.install(work);
        }
        // A thread of a pool would look for other work while it waits; so one that is of none waits for it.
        thread::scope(|scope| scope.spawn(|| self.0.install(work)).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Does `aside` on a thread of its own, and `here` on the caller's at the same time.
pub(super) fn alongside<A: Send, B>(aside: impl FnOnce() -> A + Send, here: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let aside = scope.spawn(aside);
        let here = here();
        (aside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), here)
    })
}

/// Where an item's words go, one after the other.
pub(super) struct Sink<'a>(WriteOnly<'a, [u8]>);

impl Sink<'_> {
    /// The lowest `bytes` bytes of a number.
    pub(super) fn number(&mut self, words: &[Word], bytes: usize) {
        let mut room = self.0.split_off(..bytes).expect("an item has room for its words");
        if cfg!(target_endian = "little") {
            room.copy_from_slice(&bytemuck::cast_slice(words)[..bytes]);
        } else {
            // Room for all from the start: growing would leave copies behind.
            let mut swapped = Zeroizing::new(Vec::with_capacity(bytes));
            swapped.extend(words.iter().flat_map(|word| word.to_le_bytes()).take(bytes));
            room.copy_from_slice(&swapped);
        }
    }

    pub(super) fn half<U: Limbs>(&mut self, half: &U) {
        self.number(half.words(), size_of_val(half.words()));
    }

    pub(super) fn pair<U: Limbs>(&mut self, pair: &Pair<U>) {
        self.half(&pair.lo);
        self.half(&pair.hi);
    }
}

/// Fills an array of a mapped buffer, from `offset` on, with so many bytes for each item.
pub(super) fn fill(
    context: &Context,
    upload: &Buffer,
    offset: u64,
    item_bytes: usize,
    items: &Range<usize>,
    write: &(dyn Fn(usize, &mut Sink<'_>) + Sync),
) -> Result<(), Fault> {
    if item_bytes == 0 {
        return Ok(());
    }
    // An even number of items each, because views begin at multiples of eight bytes.
    let part = PART.div_ceil(item_bytes).next_multiple_of(2);
    let fill_part = |first: usize| {
        let end = items.end.min(first + part);
        let at = |item: usize| offset + (item_bytes * (item - items.start)) as u64;
        let view = upload.slice(at(first)..at(end)).get_mapped_range_mut();
        let mut view = view.map_err(|error| context.fault(&format!("a buffer cannot be filled: {error}")))?;
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
    context.threads.run(|| firsts.into_par_iter().try_for_each(fill_part))
}

/// Appends the pairs that these words are.
pub(super) fn read_pairs<U: Limbs>(context: &Context, words: &[u32], out: &mut Vec<Pair<U>>) {
    let pair_words = 2 * U::WORDS * size_of::<Word>() / size_of::<u32>();
    let part = (PART / 4).div_ceil(pair_words);
    if words.len() <= part * pair_words {
        out.extend(words.chunks_exact(pair_words).map(layout::read_pair::<U>));
    } else {
        let pairs = words.par_chunks_exact(pair_words).with_min_len(part).map(layout::read_pair::<U>);
        context.threads.run(|| out.par_extend(pairs));
    }
}

/// Replaces `out` by these words.
pub(super) fn read_words(context: &Context, words: &[u32], out: &mut Vec<u32>) {
    out.clear();
    if words.len() <= PART / 4 {
        out.extend_from_slice(words);
    } else {
        context.threads.run(|| out.par_extend(words.par_iter().with_min_len(PART / 4).copied()));
    }
}
