//! Operations on whole batches on a device. A sample of the results is compared with the CPU's.

mod fixed_base;
mod fold;
mod modulus;
mod multiply;
mod power;
mod results;
mod sample;

pub(crate) use self::{
    fixed_base::{Table, TableOnDevice},
    fold::{Accumulators, SavedAccumulators},
    modulus::{ModulusOnDevice, ResidentPieces},
    sample::random_index,
};
