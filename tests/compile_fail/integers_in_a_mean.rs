//! A mean is rounded, so it takes no integers.

use cipherfold::{federated::LocalExecutor, packing::Quantizer, paillier::Bits2048};
use ndarray::array;

fn mean(executor: &LocalExecutor<Bits2048>) {
    let _ = executor.secure_mean([array![1i32]], Quantizer::symmetric(1.0, 8).unwrap());
    //~ E0277: `i32` is not a floating-point type that can be quantised
}

fn main() {}
