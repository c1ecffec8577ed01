//! The host's memory for copies of accumulators, used again by later folds.

use std::sync::Mutex;

use crate::backend::gpu::sync::lock;

/// Bytes that are kept: two copies of a large fold.
const CAPACITY: usize = 256 << 20;

/// Memory that copies of accumulators have left. A process pays for memory that it has not used before with more time than
/// a copy takes.
#[derive(Default)]
pub(crate) struct HostPages(Mutex<Vec<Vec<u32>>>);

impl HostPages {
    /// An empty page, with memory that was used before if there is some.
    pub(crate) fn take(&self) -> Vec<u32> {
        lock(&self.0).pop().unwrap_or_default()
    }

    /// Keeps the memory of some pages.
    pub(crate) fn keep(&self, pages: impl IntoIterator<Item = Vec<u32>>) {
        let free = &mut *lock(&self.0);
        let bytes = |page: &Vec<u32>| size_of::<u32>() * page.capacity();
        let mut room = CAPACITY.saturating_sub(free.iter().map(bytes).sum());
        for mut page in pages {
            if page.capacity() > 0 && bytes(&page) <= room {
                room -= bytes(&page);
                page.clear();
                free.push(page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_back_empty_with_their_memory() {
        let pages = HostPages::default();
        let page = vec![7; 1000];
        let address = page.as_ptr();
        pages.keep([page, Vec::new()]);
        let again = pages.take();
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (address, 0, 1000));
        assert_eq!(pages.take().capacity(), 0, "memory that was never taken is not kept");
    }

    #[test]
    fn no_more_is_kept_than_the_capacity() {
        let pages = HostPages::default();
        let half = || Vec::with_capacity(CAPACITY / 2 / size_of::<u32>());
        pages.keep([half(), half(), half()]);
        assert_eq!(lock(&pages.0).len(), 2);
    }
}
