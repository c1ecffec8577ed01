//! The choices for an adapter: the layout of residues, and the way in which lanes exchange values.

use super::{exchange::Exchange, layout::LaneLayout};
use crate::backend::gpu::device::AdapterReport;

impl AdapterReport {
    /// The layout of residues in that adapter's lanes, for a modulus of `bits` bits, unless
    /// [`Options`](crate::backend::gpu::Options) say otherwise.
    ///
    /// This is [`LaneLayout::new`], with at most eight lanes on software rasterisers, and on adapters
    /// whose shuffles reach eight lanes only. Sixteen lanes would exchange through workgroup memory
    /// there.
    ///
    /// # Panics
    ///
    /// Like [`LaneLayout::new`].
    pub fn layout(&self, bits: u32) -> LaneLayout {
        let (layout, narrow) = (LaneLayout::new(bits), LaneLayout::with_lanes(bits, 8));
        let shuffles = |layout| Exchange::choose(self.subgroups, layout) == Exchange::Subgroup;
        let is_too_wide = self.is_software || (shuffles(narrow) && !shuffles(layout));
        if layout.lanes > narrow.lanes && is_too_wide { narrow } else { layout }
    }

    /// The layout for `lanes` lanes, if given, or else the layout for this adapter.
    pub(crate) fn layout_with(&self, bits: u32, lanes: Option<u32>) -> LaneLayout {
        lanes.map_or_else(|| self.layout(bits), |lanes| LaneLayout::with_lanes(bits, lanes))
    }

    /// The way in which that adapter's lanes exchange values, for a key of `bits` bits.
    pub fn exchange(&self, key_bits: u32) -> Exchange {
        Exchange::choose(self.subgroups, self.layout(key_bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_lanes_depends_on_the_adapter() {
        let adapter = |is_software, subgroups| AdapterReport {
            name: String::new(),
            driver: String::new(),
            interface: "Vulkan".to_owned(),
            is_software,
            is_discrete: !is_software,
            subgroups,
            has_timestamps: true,
            binding_bytes: 1 << 30,
            missing: Vec::new(),
        };
        let adapters = [
            (adapter(false, Some((32, 32))), 16),
            (adapter(false, Some((8, 32))), 8),
            (adapter(false, Some((4, 64))), 16),
            (adapter(false, None), 16),
            (adapter(true, Some((8, 8))), 8),
            (adapter(true, None), 8),
        ];
        for (adapter, lanes) in adapters {
            assert_eq!(adapter.layout(4096).lanes, lanes, "{adapter:?}");
            assert_eq!(adapter.layout_with(4096, Some(32)).lanes, 32);
            // All layouts have the same R, so that a table is valid on any later device.
            assert_eq!(adapter.layout(4096).half_limbs(), LaneLayout::new(4096).half_limbs());
            for bits in [256, 512, 1024, 1536, 2048, 3072] {
                assert_eq!(adapter.layout(bits), LaneLayout::new(bits), "{adapter:?}");
            }
        }
    }
}
