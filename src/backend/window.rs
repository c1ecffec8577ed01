//! How wide the windows of a fixed-base table are, on processors.

/// What a backend's table costs. Entries are read in constant time, so every product comes with a look-up that reads a whole row.
pub(super) struct TableCosts {
    /// How many entries a look-up reads in the time of one product.
    pub(super) entries_per_product: u64,
    /// Bytes of an entry.
    pub(super) entry_bytes: usize,
    /// The window of long exponents, which was measured: wider ones make a table that caches do not hold.
    pub(super) usual: u32,
    /// The widest window that the look-up can read.
    pub(super) widest: u32,
}

/// Bytes that a table with a wider window than the usual one may have: what a shared cache holds beside other data.
const WIDER_TABLE: usize = 16 << 20;

/// A wider window has to save at least this percentage of the time, because its table is nearly twice as large and every product
/// reads a row twice as long.
const LEAST_SAVING: u64 = 3;

/// The window for exponents of so many bits: it minimises products × (product + look-up), which is
/// `⌈bits/w⌉·(entries_per_product + 2^w)` in look-ups of an entry.
///
/// For long exponents the minimum is the usual window, or another one by a percent or two. For short exponents the table is small and
/// rounding counts: 288 bits are 42 windows of 7 bits, the last with one bit, and 36 of 8 bits.
pub(super) fn window(bits: u32, costs: &TableCosts) -> u32 {
    let rows = |window: u32| u64::from(bits.div_ceil(window));
    let time = |window: u32| rows(window) * (costs.entries_per_product + (1 << window));
    let bytes = |window: u32| (rows(window) as usize * costs.entry_bytes) << window;
    (costs.usual + 1..=costs.widest).filter(|window| bytes(*window) <= WIDER_TABLE).fold(
        costs.usual,
        |best, window| {
            if 100 * time(window) <= (100 - LEAST_SAVING) * time(best) { window } else { best }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries and products as of an imagined backend whose look-up of 128 entries takes a tenth of a product.
    fn costs(entry_bytes: usize) -> TableCosts {
        TableCosts { entries_per_product: 1280, entry_bytes, usual: 7, widest: 9 }
    }

    #[test]
    fn a_wider_window_has_to_save_time() {
        // 36·(1280 + 256) against 42·(1280 + 128); 9 bits would take 32·(1280 + 512).
        assert_eq!(window(288, &costs(960)), 8);
        // Nothing is saved where both have one row.
        assert_eq!(window(7, &costs(960)), 7);
        let dear = TableCosts { entries_per_product: 80, ..costs(960) };
        assert_eq!(window(288, &dear), 7);
    }

    #[test]
    fn a_large_table_keeps_the_usual_window() {
        assert_eq!(window(1536, &costs(64)), 8);
        assert_eq!(window(1536, &costs(960)), 7);
    }
}
