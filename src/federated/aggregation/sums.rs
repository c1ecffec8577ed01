//! Sums: in the clear, or secure.

mod bounds;
mod grid;
mod modular;
mod modular_clipping;
mod plain;
mod secure;

pub use self::{
    bounds::Bounds, modular::SecureModularSum, modular_clipping::ModularClippingSum, plain::Sum,
    secure::SecureClippingSum,
};
pub(super) use self::{bounds::SymmetricBounds, secure::counts};
