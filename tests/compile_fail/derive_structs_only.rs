//! The derives accept only structs with members.

use cipherfold::federated::tensor::{Summand, Tensors};

#[derive(Tensors)]
enum Either { //~ ERROR: `Either` is an enum
    Floats(Vec<f32>),
    Integers(Vec<u32>),
}

#[derive(Summand)]
union Bits { //~ ERROR: `Bits` is a union
    float: f32,
    integer: u32,
}

#[derive(Tensors)]
struct Unit; //~ ERROR: `Unit` is a struct without members

#[derive(Summand)]
struct Empty {} //~ ERROR: `Empty` is a struct without members

fn main() {}
