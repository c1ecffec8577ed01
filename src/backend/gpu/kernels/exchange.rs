//! The exchange of values between the lanes of a residue.

use std::fmt;

use super::layout::LaneLayout;

/// The way in which lanes exchange values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exchange {
    /// Subgroup shuffles.
    Subgroup,
    /// Workgroup memory and barriers, used if subgroups are missing or smaller than the lanes of a
    /// residue.
    Workgroup,
}

impl Exchange {
    /// Shuffles if every subgroup holds whole groups of lanes. `subgroups` is the minimum and the
    /// maximum size.
    pub(crate) fn choose(subgroups: Option<(u32, u32)>, layout: LaneLayout) -> Self {
        match subgroups {
            Some((smallest, _)) if smallest >= layout.lanes => Self::Subgroup,
            _ => Self::Workgroup,
        }
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Subgroup => "subgroup",
            Self::Workgroup => "workgroup",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_shuffle_where_subgroups_hold_them() {
        let layout = LaneLayout::new(2048);
        assert_eq!(Exchange::choose(None, layout), Exchange::Workgroup);
        assert_eq!(Exchange::choose(Some((4, 64)), layout), Exchange::Workgroup);
        assert_eq!(Exchange::choose(Some((8, 8)), layout), Exchange::Subgroup);
        assert_eq!(Exchange::choose(Some((4, 4)), LaneLayout::new(1024)), Exchange::Subgroup);
    }
}
