//! The text of the kernels: templates under `shaders/`, joined and unrolled.
//!
//! A [`LaneLayout`] gives `LANES`, `LIMBS`, `LIMB_BITS`, `WORDS`, and `LANE_WORDS` and
//! `LANE_WORDS_IN_HALF` (`lib/load_packed.wgsl`); the other names are `WORKGROUP`, `CONTRIBUTIONS`
//! and `EXCHANGE`. [`Gpu::shaders`](crate::backend::gpu::Gpu::shaders) and the example `gpu_report` give
//! the final text of every kernel.

use super::{
    exchange::Exchange,
    layout::{LIMB_BITS, LaneLayout},
    template::Scope,
};
use crate::backend::gpu::device::WORKGROUP_SIZE;

/// Maximum resident contributions in one dispatch. Each of them needs a binding.
pub(crate) const RESIDENT_CONTRIBUTIONS: u32 = 4;

/// The kernels, by the names of their files, entry points and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kernel {
    Mul,
    Fold,
    ResidentFold,
    Finish,
    FixedBase,
    PowTable,
    Pow,
    #[cfg(feature = "diagnostics")]
    MultiplyAdd,
}

impl Kernel {
    pub(crate) const ALL: &[Self] = &[
        Self::Mul,
        Self::Fold,
        Self::ResidentFold,
        Self::Finish,
        Self::FixedBase,
        Self::PowTable,
        Self::Pow,
        #[cfg(feature = "diagnostics")]
        Self::MultiplyAdd,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mul => "mul",
            Self::Fold => "fold",
            Self::ResidentFold => "resident_fold",
            Self::Finish => "finish",
            Self::FixedBase => "fixed_base",
            Self::PowTable => "pow_table",
            Self::Pow => "pow",
            #[cfg(feature = "diagnostics")]
            Self::MultiplyAdd => "multiply_add",
        }
    }
}

macro_rules! files {
    ($($(#[$attribute:meta])* $name:literal),* $(,)?) => {
        &[$($(#[$attribute])* ($name, include_str!(concat!("../../../../shaders/", $name)))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "fixed_base.wgsl",
    "finish.wgsl",
    "fold.wgsl",
    "lib/arithmetic.wgsl",
    "lib/canonical.wgsl",
    "lib/exchange_subgroup.wgsl",
    "lib/exchange_workgroup.wgsl",
    "lib/load_loose.wgsl",
    "lib/load_packed.wgsl",
    "lib/modulus.wgsl",
    "lib/product.wgsl",
    "lib/residue.wgsl",
    "lib/store_loose.wgsl",
    "lib/store_packed.wgsl",
    "lib/sums.wgsl",
    "lib/window.wgsl",
    "mul.wgsl",
    #[cfg(feature = "diagnostics")]
    "multiply_add.wgsl",
    "pow.wgsl",
    "pow_table.wgsl",
    "resident_fold.wgsl",
];

/// The final text of a kernel.
///
/// # Panics
///
/// If the files are wrong. A test of this module composes every kernel.
pub(crate) fn compose(kernel: Kernel, layout: LaneLayout, exchange: Exchange) -> String {
    let mut scope = Scope::new(FILES);
    let numbers = [
        ("LANES", layout.lanes),
        ("LIMBS", layout.limbs),
        ("LIMB_BITS", LIMB_BITS),
        ("WORDS", layout.bits / 32),
        ("LANE_WORDS", layout.lane_words()),
        ("LANE_WORDS_IN_HALF", layout.lane_words_in_half()),
        ("WORKGROUP", WORKGROUP_SIZE),
        ("CONTRIBUTIONS", RESIDENT_CONTRIBUTIONS),
    ];
    for (name, value) in numbers {
        scope.define(name, &value.to_string());
    }
    scope.define("EXCHANGE", &exchange.to_string());
    let mut text = format!(
        "// {}: {} bits in {} lanes of {} limbs, exchange by {exchange}. Generated from shaders/.\n",
        kernel.name(),
        layout.bits,
        layout.lanes,
        layout.limbs
    );
    scope.expand_file(&format!("{}.wgsl", kernel.name()), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use wgpu::naga;

    #[test]
    fn every_file_is_used() {
        let all: String = [Exchange::Subgroup, Exchange::Workgroup]
            .map(|exchange| {
                let text = |kernel: &Kernel| compose(*kernel, LaneLayout::new(2048), exchange);
                Kernel::ALL.iter().map(text).collect::<String>()
            })
            .concat();
        for (name, text) in FILES {
            let head = text.lines().next().expect("not empty");
            let head = head.split("${").next().expect("not empty");
            assert!(all.contains(head), "{name} is in no kernel");
        }
    }

    /// All possible layouts: the defaults, and those with other numbers of lanes.
    fn layouts() -> HashSet<LaneLayout> {
        let sizes = [256, 512, 1024, 1536, 2048, 3072, 4096];
        let lanes = |bits| [4, 8, 16, 32].map(|lanes| LaneLayout::with_lanes(bits, lanes));
        sizes.into_iter().map(LaneLayout::new).chain(sizes.into_iter().flat_map(lanes)).collect()
    }

    /// This test needs no GPU.
    #[test]
    fn every_kernel_parses_and_validates() {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        for layout in layouts() {
            for exchange in [Exchange::Subgroup, Exchange::Workgroup] {
                for &kernel in Kernel::ALL {
                    let name = format!("{}, {} bits, {layout}, {exchange}", kernel.name(), layout.bits);
                    let text = compose(kernel, layout, exchange);
                    let module = naga::front::wgsl::parse_str(&text)
                        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
                    let mut capabilities = Capabilities::SHADER_INT64 | Capabilities::IMMEDIATES;
                    if exchange == Exchange::Subgroup {
                        capabilities |= Capabilities::SUBGROUP;
                    }
                    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
                    let info = validator.validate(&module);
                    info.unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
                    assert_eq!(module.entry_points.len(), 1, "{name}");
                    assert_eq!(module.entry_points[0].name, kernel.name());
                    // The minimum of all accepted adapters.
                    let used: u32 = module
                        .global_variables
                        .iter()
                        .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
                        .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()))
                        .sum();
                    assert!(used <= 16_384, "{name}: {used} bytes of workgroup memory");
                }
            }
        }
    }
}
