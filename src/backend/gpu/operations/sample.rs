//! The choice of the results that are compared with the CPU's.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    ops::Range,
};

/// A random index, so that checks are unpredictable.
pub(crate) fn random_index(items: &Range<usize>) -> usize {
    let random = RandomState::new().build_hasher().finish();
    items.start + (random % items.len() as u64) as usize
}
