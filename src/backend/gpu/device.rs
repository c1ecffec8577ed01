//! The lowest layer: adapters, open devices with their queues, and faults.

mod adapter;
mod clock;
mod fault;
#[cfg(test)]
mod fault_injection;
mod open;

pub use self::adapter::AdapterReport;
#[cfg(test)]
pub(crate) use self::fault_injection::FaultInjection;
pub(crate) use self::{
    adapter::{MAX_WORKGROUPS, WORKGROUP_SIZE, all as all_adapters},
    clock::Clock,
    fault::Fault,
    open::{Device, Settings},
};
