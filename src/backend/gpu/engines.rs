//! The backend's engines. They run batches on the device, or on the CPU if no device is left.

mod failover;
mod fixed_base;
mod fold;
mod per_device;
mod public;
mod resident;
mod secret;

pub(crate) use self::{
    failover::Failover, fixed_base::Powers, per_device::PerDevice, public::Public, secret::Secret,
};
