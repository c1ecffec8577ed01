//! A sum is exact and takes no floating-point numbers: the caller must choose clipping and rounding.

use cipherfold::{federated::LocalExecutor, packing::IntegerRange, paillier::Bits2048};
use ndarray::array;

fn sum(executor: &LocalExecutor<Bits2048>) {
    let _ = executor.secure_sum([array![1.5f32]], IntegerRange::up_to(7));
    //~ E0277: `f32` is not an integer that can be summed exactly
}

fn main() {}
