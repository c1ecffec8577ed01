//! An allocator that looks for secrets in every block of memory that is freed.

#![allow(unsafe_code, reason = "a global allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

pub(crate) struct Scanner;

#[global_allocator]
static SCANNER: Scanner = Scanner;

// SAFETY: every block comes from `System` and goes back to it with its own layout. `realloc` is the
// trait's default: it allocates, copies and frees, so that every growth counts as a move.
unsafe impl GlobalAlloc for Scanner {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeros, so that a block has no old bytes and no uninitialised ones.
        // SAFETY: the caller guarantees the requirements of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if ARMED.load(Relaxed) {
            // SAFETY: the block is the caller's, of this size, and was initialised when it was
            // allocated.
            scan(unsafe { core::slice::from_raw_parts(block, layout.size()) });
        }
        // SAFETY: the block came from `System` with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

static ARMED: AtomicBool = AtomicBool::new(false);

/// Secrets as words of eight bytes, in an open hash table; zero is an empty slot.
static WORDS: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];
static KINDS: [AtomicU32; PLACES] = [const { AtomicU32::new(0) }; PLACES];
/// One bit for each hash. It excludes most memory quickly.
static FILTER: [AtomicU64; 1 << (FILTER_BITS - 6)] = [const { AtomicU64::new(0) }; 1 << (FILTER_BITS - 6)];
static FOUND: [AtomicU32; KIND_COUNT] = [const { AtomicU32::new(0) }; KIND_COUNT];
static SCANNED: AtomicUsize = AtomicUsize::new(0);
/// Length of the last block with a secret, and the secret's offset.
static LAST: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

const PLACES: usize = 1 << 16;
const FILTER_BITS: u32 = 20;
const KIND_COUNT: usize = 64;

fn hash(word: u64) -> usize {
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS)) as usize
}

fn scan(block: &[u8]) {
    SCANNED.fetch_add(block.len(), Relaxed);
    for (at, window) in block.windows(8).enumerate() {
        let word = u64::from_le_bytes(window.try_into().expect("eight bytes"));
        let hash = hash(word);
        let may_be_there = FILTER[hash >> 6].load(Relaxed) >> (hash & 63) & 1 == 1;
        if may_be_there && probe(word) {
            LAST.iter().zip([block.len(), at]).for_each(|(last, x)| last.store(x, Relaxed));
        }
    }
}

fn probe(word: u64) -> bool {
    let mut place = hash(word) % PLACES;
    loop {
        match WORDS[place].load(Relaxed) {
            0 => return false,
            other if other == word => {
                FOUND[KINDS[place].load(Relaxed) as usize].fetch_add(1, Relaxed);
                return true;
            }
            _ => place = (place + 1) % PLACES,
        }
    }
}

/// The secrets to search for, from `Watch::new` to its drop. One at a time in a process.
pub(crate) struct Watch {
    kinds: Vec<&'static str>,
    words: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        WORDS.iter().chain(&FILTER).for_each(|word| word.store(0, Relaxed));
        Self { kinds: Vec::new(), words: 0, _alone: alone }
    }

    /// Starts to look for a word, at any offset.
    fn word(&mut self, kind: &'static str, word: u64) {
        // A word that is mostly zeros would be found everywhere.
        if word.to_le_bytes().iter().filter(|byte| **byte != 0).count() < 5 {
            return;
        }
        let kind = self.kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
            self.kinds.push(kind);
            self.kinds.len() - 1
        });
        assert!(kind < KIND_COUNT && self.words < PLACES / 2, "room for more");
        let hash = hash(word);
        let mut place = hash % PLACES;
        while ![0, word].contains(&WORDS[place].load(Relaxed)) {
            place = (place + 1) % PLACES;
        }
        WORDS[place].store(word, Relaxed);
        KINDS[place].store(u32::try_from(kind).expect("few"), Relaxed);
        FILTER[hash >> 6].fetch_or(1 << (hash & 63), Relaxed);
        self.words += 1;
    }

    pub(crate) fn words(&mut self, kind: &'static str, words: &[u64]) {
        for word in words {
            self.word(kind, *word);
        }
    }

    /// Looks for bytes, in this order and reversed, eight at a time.
    pub(crate) fn bytes(&mut self, kind: &'static str, bytes: &[u8]) {
        for part in bytes.chunks_exact(8) {
            let word = u64::from_le_bytes(part.try_into().expect("eight bytes"));
            self.words(kind, &[word, word.swap_bytes()]);
        }
    }

    /// Runs a function, and returns the kinds of secrets in the memory that it freed.
    pub(crate) fn run<T>(&self, what: impl FnOnce() -> T) -> (T, Vec<(&'static str, u32)>) {
        for found in &FOUND {
            found.store(0, Relaxed);
        }
        SCANNED.store(0, Relaxed);
        overwrite_stack();
        ARMED.store(true, Relaxed);
        let result = what();
        ARMED.store(false, Relaxed);
        assert!(self.words > 0 && SCANNED.load(Relaxed) > 0, "something was looked for, somewhere");
        let found = self.kinds.iter().zip(&FOUND).map(|(kind, found)| (*kind, found.load(Relaxed)));
        (result, found.filter(|(_, found)| *found > 0).collect())
    }

    /// Runs a function that must free no secret.
    #[track_caller]
    pub(crate) fn clean<T>(&self, what: impl FnOnce() -> T) -> T {
        let (result, found) = self.run(what);
        let [len, at] = [&LAST[0], &LAST[1]].map(|last| last.load(Relaxed));
        assert!(found.is_empty(), "secrets in freed memory: {found:?}, the last at {at} of {len} bytes");
        result
    }
}

/// Overwrites the stack below, where the preparation of a search has left its secrets. Otherwise,
/// the padding of values that are moved to the heap later would carry them.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "the stack is to be overwritten")]
fn overwrite_stack() {
    let mut stack = [0_u8; 1 << 18];
    core::hint::black_box(&mut stack);
}

impl Drop for Watch {
    fn drop(&mut self) {
        ARMED.store(false, Relaxed);
    }
}
