//! A sum is exact, so it takes no floating-point numbers: how they are clipped and rounded is the caller's to say.

use cipherfold::{federated::LocalExecutor, packing::IntegerRange, paillier::Bits2048};
use ndarray::array;

fn sum(executor: &LocalExecutor<Bits2048>) {
    let _ = executor.secure_sum([array![1.5f32]], IntegerRange::up_to(7));
}

fn main() {}
