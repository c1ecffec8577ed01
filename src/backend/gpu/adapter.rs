//! Which adapters there are, what they lack, and which of them is used.

use std::fmt;

use wgpu::{Adapter, Backends, DeviceType, Features, Instance, InstanceDescriptor, Limits};

use super::{
    commands::WORKGROUPS,
    layout::Layout,
    shader::{Exchange, WORKGROUP},
};

/// What an adapter is and has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterReport {
    /// Its name.
    pub name: String,
    /// The driver's name and version.
    pub driver: String,
    /// The interface it is driven by: Vulkan or Metal.
    pub interface: String,
    /// Whether it is a program on the CPU that stands in for a GPU.
    pub is_software: bool,
    /// Whether it is a card with memory of its own.
    pub is_discrete: bool,
    /// Smallest and largest subgroup; `None` if shaders cannot use subgroups.
    pub subgroups: Option<(u32, u32)>,
    /// Whether kernels can be timed on the device.
    pub has_timestamps: bool,
    /// Largest piece of a buffer that a kernel can see, in bytes.
    pub binding_bytes: u64,
    /// What it lacks; empty if it can be used.
    pub missing: Vec<String>,
}

impl AdapterReport {
    fn new(adapter: &Adapter) -> Self {
        let (info, features, limits) = (adapter.get_info(), adapter.features(), adapter.limits());
        let has_subgroups = features.contains(Features::SUBGROUP);
        Self {
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            interface: format!("{:?}", info.backend),
            is_software: info.device_type == DeviceType::Cpu,
            is_discrete: matches!(info.device_type, DeviceType::DiscreteGpu | DeviceType::VirtualGpu),
            subgroups: has_subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
            has_timestamps: features.contains(Features::TIMESTAMP_QUERY),
            binding_bytes: limits.max_storage_buffer_binding_size,
            missing: missing(features, &limits),
            name: info.name,
        }
    }

    /// How lanes exchange values there, for a key of so many bits.
    pub fn exchange(&self, key_bits: u32) -> Exchange {
        exchange(self.subgroups, Layout::new(key_bits))
    }
}

impl fmt::Display for AdapterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let software = if self.is_software { ", software" } else { "" };
        write!(f, "{} ({}, {}{software})", self.name, self.interface, self.driver)
    }
}

/// Shuffles wherever every subgroup holds whole groups of lanes.
pub(super) fn exchange(subgroups: Option<(u32, u32)>, layout: Layout) -> Exchange {
    match subgroups {
        Some((smallest, _)) if smallest >= layout.lanes => Exchange::Subgroup,
        _ => Exchange::Workgroup,
    }
}

/// The least that kernels need.
const LEAST: Limits = Limits {
    max_storage_buffers_per_shader_stage: 5,
    max_uniform_buffers_per_shader_stage: 1,
    max_compute_workgroup_storage_size: 16_384,
    max_compute_invocations_per_workgroup: WORKGROUP,
    max_compute_workgroup_size_x: WORKGROUP,
    max_compute_workgroups_per_dimension: WORKGROUPS,
    // Tables of fixed bases are seen as a whole.
    max_storage_buffer_binding_size: LEAST_BINDING,
    max_buffer_size: LEAST_BINDING,
    // The longest parameters of a kernel are seven words.
    max_immediate_size: 32,
    ..Limits::downlevel_defaults()
};

/// The largest table of a fixed base, and the largest piece of a batch, must fit.
pub(super) const LEAST_BINDING: u64 = 128 << 20;

fn missing(features: Features, limits: &Limits) -> Vec<String> {
    let mut missing = Vec::new();
    if !features.contains(Features::SHADER_INT64) {
        missing.push("64-bit integers in shaders".to_owned());
    }
    if !features.contains(Features::IMMEDIATES) {
        missing.push("immediate data".to_owned());
    }
    let mut least = |name: &str, least: u64, found: u64| {
        if found < least {
            missing.push(format!("{name} of {least} (it has {found})"));
        }
    };
    least(
        "storage buffers a shader",
        LEAST.max_storage_buffers_per_shader_stage.into(),
        limits.max_storage_buffers_per_shader_stage.into(),
    );
    least(
        "bytes of workgroup memory",
        LEAST.max_compute_workgroup_storage_size.into(),
        limits.max_compute_workgroup_storage_size.into(),
    );
    least(
        "invocations a workgroup",
        LEAST.max_compute_invocations_per_workgroup.into(),
        limits.max_compute_invocations_per_workgroup.into(),
    );
    least(
        "workgroups a dimension",
        LEAST.max_compute_workgroups_per_dimension.into(),
        limits.max_compute_workgroups_per_dimension.into(),
    );
    least("bytes a binding", LEAST.max_storage_buffer_binding_size, limits.max_storage_buffer_binding_size);
    least("bytes a buffer", LEAST.max_buffer_size, limits.max_buffer_size);
    least("bytes of immediate data", LEAST.max_immediate_size.into(), limits.max_immediate_size.into());
    missing
}

/// All adapters with their reports, those first that are chosen first.
pub(super) fn all() -> Vec<(Adapter, AdapterReport)> {
    let backends = Backends::VULKAN | Backends::METAL;
    let instance =
        Instance::new(InstanceDescriptor { backends, ..InstanceDescriptor::new_without_display_handle() });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::VirtualGpu => 1,
        DeviceType::IntegratedGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    });
    adapters
        .into_iter()
        .map(|adapter| {
            let report = AdapterReport::new(&adapter);
            (adapter, report)
        })
        .collect()
}

/// The first adapter that is fit and whose name has `name` in it; or why there is none.
pub(super) fn choose(name: Option<&str>) -> Result<(Adapter, AdapterReport), String> {
    let adapters = all();
    if adapters.is_empty() {
        return Err("no Vulkan or Metal adapter was found".to_owned());
    }
    let wanted = |report: &AdapterReport| name.is_none_or(|name| report.name.contains(name));
    let mut seen = Vec::new();
    for (adapter, report) in adapters {
        if !wanted(&report) {
            seen.push(format!("{} (another one is asked for)", report.name));
        } else if report.missing.is_empty() {
            return Ok((adapter, report));
        } else {
            seen.push(format!("{report}, which lacks {}", report.missing.join(", ")));
        }
    }
    let wanted = name.map_or(String::new(), |name| format!(" named `{name}`"));
    Err(format!(
        "no adapter{wanted} with 64-bit integers in shaders and the limits needed: found {}",
        seen.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_is_there() {
        let needed = Features::SHADER_INT64 | Features::IMMEDIATES;
        assert_eq!(missing(needed, &LEAST), Vec::<String>::new());
        let small = Limits { max_compute_workgroup_storage_size: 8192, ..LEAST };
        let missing = missing(Features::IMMEDIATES, &small);
        assert_eq!(
            missing,
            ["64-bit integers in shaders", "bytes of workgroup memory of 16384 (it has 8192)"]
        );
    }

    #[test]
    fn lanes_shuffle_where_subgroups_hold_them() {
        let layout = Layout::new(2048);
        assert_eq!(exchange(None, layout), Exchange::Workgroup);
        assert_eq!(exchange(Some((4, 64)), layout), Exchange::Workgroup);
        assert_eq!(exchange(Some((8, 8)), layout), Exchange::Subgroup);
        assert_eq!(exchange(Some((4, 4)), Layout::new(1024)), Exchange::Subgroup);
    }
}
