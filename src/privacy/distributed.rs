//! The distributed discrete Gaussian mechanism: clients add the noise in shares.
//!
//! [`mechanism`] composes the steps: [`rotation`] and [`rounding`] are here; clipping, discrete
//! noise and the modular range are shared with other mechanisms.

mod mechanism;
mod parameters;
mod rotation;
mod rounding;

pub(crate) use self::mechanism::MIN_CLIP;
pub use self::{mechanism::DistributedGaussian, parameters::DistributedParameters, rotation::Rotation};
