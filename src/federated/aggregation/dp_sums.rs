//! Sums and counts with noise, for differential privacy.

mod central;
mod distributed;
mod grid;
mod measurements;
mod noisy_count;

pub use self::{
    central::{AdaptiveParameters, CentralDpSum},
    distributed::DistributedDpSum,
    noisy_count::NoisyCount,
};
