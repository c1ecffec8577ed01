//! Adapters: their properties, the features that they lack, and the choice of one.

use std::fmt;

use wgpu::{Adapter, Backends, DeviceType, Features, Instance, InstanceDescriptor, Limits};

/// Invocations of a workgroup.
pub(crate) const WORKGROUP_SIZE: u32 = 64;

/// Maximum workgroups in one dimension of a dispatch. Adapters that allow fewer are refused.
pub(crate) const MAX_WORKGROUPS: u32 = 65_535;

/// Minimum bytes of a binding: room for the largest table of a fixed base, and for the largest
/// piece of a batch.
const MIN_BINDING_BYTES: u64 = 128 << 20;

/// The properties of an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterReport {
    /// Its name.
    pub name: String,
    /// The driver's name and version.
    pub driver: String,
    /// The interface to it: Vulkan or Metal.
    pub interface: String,
    /// Whether it is a program on the CPU that emulates a GPU.
    pub is_software: bool,
    /// Whether it is a card with its own memory.
    pub is_discrete: bool,
    /// Smallest and largest subgroup; `None` if shaders cannot use subgroups.
    pub subgroups: Option<(u32, u32)>,
    /// Whether kernels can be timed on the device.
    pub has_timestamps: bool,
    /// Maximum size of a binding, in bytes.
    pub binding_bytes: u64,
    /// The features and limits that it lacks; empty if it can be used.
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
}

impl fmt::Display for AdapterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let software = if self.is_software { ", software" } else { "" };
        write!(f, "{} ({}, {}{software})", self.name, self.interface, self.driver)
    }
}

/// The limits that kernels need.
const MIN_LIMITS: Limits = Limits {
    // The modulus, accumulators and four contributions.
    max_storage_buffers_per_shader_stage: 6,
    max_uniform_buffers_per_shader_stage: 1,
    max_compute_workgroup_storage_size: 16_384,
    max_compute_invocations_per_workgroup: WORKGROUP_SIZE,
    max_compute_workgroup_size_x: WORKGROUP_SIZE,
    max_compute_workgroups_per_dimension: MAX_WORKGROUPS,
    // The table of a fixed base is one binding.
    max_storage_buffer_binding_size: MIN_BINDING_BYTES,
    max_buffer_size: MIN_BINDING_BYTES,
    // The longest parameters of a kernel are seven words.
    max_immediate_size: 32,
    ..Limits::downlevel_defaults()
};

fn missing(features: Features, limits: &Limits) -> Vec<String> {
    let mut missing = Vec::new();
    if !features.contains(Features::SHADER_INT64) {
        missing.push("64-bit integers in shaders".to_owned());
    }
    if !features.contains(Features::IMMEDIATES) {
        missing.push("immediate data".to_owned());
    }
    let min = MIN_LIMITS;
    let needs: [(&str, u64, u64); 7] = [
        (
            "storage buffers a shader",
            min.max_storage_buffers_per_shader_stage.into(),
            limits.max_storage_buffers_per_shader_stage.into(),
        ),
        (
            "bytes of workgroup memory",
            min.max_compute_workgroup_storage_size.into(),
            limits.max_compute_workgroup_storage_size.into(),
        ),
        (
            "invocations a workgroup",
            min.max_compute_invocations_per_workgroup.into(),
            limits.max_compute_invocations_per_workgroup.into(),
        ),
        (
            "workgroups a dimension",
            min.max_compute_workgroups_per_dimension.into(),
            limits.max_compute_workgroups_per_dimension.into(),
        ),
        ("bytes a binding", min.max_storage_buffer_binding_size, limits.max_storage_buffer_binding_size),
        ("bytes a buffer", min.max_buffer_size, limits.max_buffer_size),
        ("bytes of immediate data", min.max_immediate_size.into(), limits.max_immediate_size.into()),
    ];
    for (name, minimum, found) in needs {
        if found < minimum {
            missing.push(format!("{name} of {minimum} (it has {found})"));
        }
    }
    missing
}

/// All adapters with their reports, in the order of preference.
pub(crate) fn all() -> Vec<(Adapter, AdapterReport)> {
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

/// The first usable adapter with `name` in its name, or the reason why there is none.
pub(crate) fn choose(name: Option<&str>) -> Result<(Adapter, AdapterReport), String> {
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
    fn a_missing_limit_is_reported_with_the_limit_found() {
        let needed = Features::SHADER_INT64 | Features::IMMEDIATES;
        assert_eq!(missing(needed, &MIN_LIMITS), Vec::<String>::new());
        let small = Limits { max_compute_workgroup_storage_size: 8192, ..MIN_LIMITS };
        let missing = missing(Features::IMMEDIATES, &small);
        assert_eq!(
            missing,
            ["64-bit integers in shaders", "bytes of workgroup memory of 16384 (it has 8192)"]
        );
    }
}
