//! The window width of fixed-base tables on processors.

/// The costs of a backend's table. Entries are read in constant time, so the look-up of every
/// product reads a whole row.
pub(super) struct TableCosts {
    /// Entries that a look-up reads in the time of one product.
    pub(super) entries_per_product: u64,
    /// Bytes of an entry.
    pub(super) entry_bytes: usize,
    /// The measured best window for long exponents. The table of a wider window does not fit the
    /// caches.
    pub(super) usual: u32,
    /// The widest window that the look-up can read.
    pub(super) widest: u32,
}

/// Maximum bytes of a table with a wider window than the usual one: a shared cache holds it
/// together with other data.
const WIDER_TABLE: usize = 16 << 20;

/// A wider window must save at least this percentage of the time, because its table is nearly twice
/// as large and every product reads a row twice as long.
const MIN_SAVING: u64 = 3;

/// The window for exponents of `bits` bits. It minimises products × (product + look-up), which is
/// `⌈bits/w⌉·(entries_per_product + 2^w)` in units of one entry's look-up.
///
/// For long exponents the usual window is at most a percent or two slower than the best one. For
/// short exponents the table is small, and rounding matters: 288 bits are 42 windows of 7 bits, the
/// last with one bit, and 36 of 8 bits.
pub(super) fn window(bits: u32, costs: &TableCosts) -> u32 {
    let rows = |window: u32| u64::from(bits.div_ceil(window));
    let time = |window: u32| rows(window) * (costs.entries_per_product + (1 << window));
    let bytes = |window: u32| (rows(window) as usize * costs.entry_bytes) << window;
    (costs.usual + 1..=costs.widest).filter(|window| bytes(*window) <= WIDER_TABLE).fold(
        costs.usual,
        |best, window| {
            if 100 * time(window) <= (100 - MIN_SAVING) * time(best) { window } else { best }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs of an imaginary backend: a look-up of 128 entries takes a tenth of a product.
    fn costs(entry_bytes: usize) -> TableCosts {
        TableCosts { entries_per_product: 1280, entry_bytes, usual: 7, widest: 9 }
    }

    #[test]
    fn a_wider_window_has_to_save_time() {
        // 36·(1280 + 256) against 42·(1280 + 128); 9 bits would take 32·(1280 + 512).
        assert_eq!(window(288, &costs(960)), 8);
        // A wider window saves nothing if both have one row.
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
