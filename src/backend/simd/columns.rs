//! Memory for a product's sums while its rows are added.

use core::mem::MaybeUninit;

/// The sums of a column, for the two digits. Uninitialised until the first row has written them:
/// filling with zeros would cost a twentieth of a short squaring.
pub(super) type Column<R> = [MaybeUninit<R>; 2];

/// A column's sums.
#[inline]
pub(super) fn column<R>(sums: [R; 2]) -> Column<R> {
    sums.map(MaybeUninit::new)
}

/// Memory for N columns in registers R: the columns of the longest number, and a [`period`] more,
/// to choose the start address.
pub(super) struct ColumnMemory<R, const N: usize>([Column<R>; N]);

/// Columns in 4 KiB.
pub(super) const fn period<R>() -> usize {
    4096 / size_of::<Column<R>>()
}

impl<R: Copy, const N: usize> ColumnMemory<R, N> {
    #[inline]
    pub(super) fn new() -> Self {
        Self([[MaybeUninit::uninit(); 2]; N])
    }

    /// K columns that begin 2 KiB from an address, modulo 4 KiB.
    ///
    /// Rows store one column after the other, and load from the same positions of other arrays. If
    /// the lowest 12 bits of two addresses agree, a processor assumes that a load depends on an
    /// earlier unfinished store, and the load waits (Intel's manuals call it 4K aliasing). If an
    /// array begins a few hundred bytes after the columns, modulo 4 KiB, a product takes up to
    /// three times as long (measured on Zen 4). The columns therefore keep a distance from it.
    /// Addresses are not secret.
    #[inline]
    pub(super) fn columns_away_from<const K: usize>(&mut self, address: usize) -> &mut [Column<R>; K] {
        const { assert!(N >= K + period::<R>(), "a period more than K columns fits") };
        let distance = address.wrapping_sub(self.0.as_ptr().addr()) / size_of::<Column<R>>();
        let from = (distance + period::<R>() / 2) % period::<R>();
        self.0[from..].first_chunk_mut().expect("as asserted")
    }
}
