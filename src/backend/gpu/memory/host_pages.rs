//! The host's memory for copies of accumulators, which later folds reuse.

use std::sync::Mutex;

use crate::backend::gpu::sync::lock;

/// Maximum bytes of free pages: two copies of a large fold.
const CAPACITY: usize = 256 << 20;

/// Free pages of earlier copies of accumulators. They are reused because the first use of fresh
/// memory takes longer than the copy itself.
#[derive(Default)]
pub(crate) struct HostPages(Mutex<Vec<Vec<u32>>>);

impl HostPages {
    /// An empty page, with the memory of an earlier one if there is any.
    pub(crate) fn acquire(&self) -> Vec<u32> {
        lock(&self.0).pop().unwrap_or_default()
    }

    /// Makes the memory of some pages free for later ones.
    pub(crate) fn release(&self, pages: impl IntoIterator<Item = Vec<u32>>) {
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
    fn a_reused_page_is_empty_and_has_its_memory() {
        let pages = HostPages::default();
        let page = vec![7; 1000];
        let address = page.as_ptr();
        pages.release([page, Vec::new()]);
        let again = pages.acquire();
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (address, 0, 1000));
        assert_eq!(pages.acquire().capacity(), 0, "a page without memory is not kept");
    }

    #[test]
    fn free_pages_do_not_exceed_the_capacity() {
        let pages = HostPages::default();
        let half = || Vec::with_capacity(CAPACITY / 2 / size_of::<u32>());
        pages.release([half(), half(), half()]);
        assert_eq!(lock(&pages.0).len(), 2);
    }
}
