//! The backend's engines: batches run on the device, and on the CPU if there is no device any more.

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
