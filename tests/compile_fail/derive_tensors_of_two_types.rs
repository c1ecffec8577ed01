//! `derive(Tensors)` is for members of one element type: the error names the member that has another one.

use cipherfold::federated::Tensors;
use ndarray::Array1;

#[derive(Tensors)]
struct Update {
    weights: Array1<f32>,
    count: u32,
}

fn main() {}
