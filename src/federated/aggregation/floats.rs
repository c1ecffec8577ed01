//! Structures of floating-point numbers, and computations of aggregations on them.

mod arithmetic;
mod element;
mod norm;
mod structure;

pub(super) use self::{
    arithmetic::{extremes, flat, is_finite, like, mean, multiplied, shortened, usable_clip, zeros_if},
    element::FloatElement,
};
pub use self::{norm::NormOrder, structure::Floats};
