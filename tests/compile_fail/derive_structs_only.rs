//! The derives accept only structs with members.

use cipherfold::federated::tensor::{Summand, Tensors};

#[derive(Tensors)]
enum Either {
    Floats(Vec<f32>),
    Integers(Vec<u32>),
}

#[derive(Summand)]
union Bits {
    float: f32,
    integer: u32,
}

#[derive(Tensors)]
struct Unit;

#[derive(Summand)]
struct Empty {}

fn main() {}
