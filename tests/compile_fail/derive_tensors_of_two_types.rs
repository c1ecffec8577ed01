//! `derive(Tensors)` is for members of one element type: the error names a member of another type.

use cipherfold::federated::tensor::Tensors;
use ndarray::Array1;

#[derive(Tensors)]
struct Update {
    weights: Array1<f32>,
    count: u32, //~ E0271
}

fn main() {}
