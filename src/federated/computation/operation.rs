//! The parts of operations that move values between placements, with the values' types erased.

mod aggregate;
mod declare;
mod secure;
mod wire;

pub use self::wire::Transferable;
pub(super) use self::{
    aggregate::{Accumulation, FederatedAggregate, PlainOperation, Steps},
    declare::{Declaration, mismatch},
    secure::{Assemble, SecureAggregate, SecureOperation},
    wire::Wire,
};
