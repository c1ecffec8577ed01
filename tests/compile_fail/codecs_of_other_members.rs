//! Each member has a codec for its element type.

use cipherfold::{
    federated::{LocalExecutor, tensor::Summand},
    packing::{IntegerRange, Quantizer},
    paillier::Bits2048,
};

#[derive(Clone, Summand)]
struct Update {
    loss: f32,
    count: u32,
}

fn sum(executor: &LocalExecutor<Bits2048>, quantizer: Quantizer, range: IntegerRange) {
    let update = Update { loss: 0.5, count: 1 };
    let _ = executor.secure_aggregate([(0.5_f32, 1_u32)], (quantizer, quantizer));
    //~ E0277: `u32` is not a floating-point type that can be quantised
    let _ = executor.secure_aggregate([(0.5_f32, 1_u32)], quantizer); //~ E0308
    let _ = executor.secure_sum([(0.5_f32, 1_u32)], range);
    //~ E0277: `f32` is not an integer that can be summed exactly
    //~ E0271
    let _ = executor.secure_aggregate([update.clone()], UpdateOf { loss: range, count: range });
    //~ E0277: `f32` is not an integer that can be summed exactly
    let _ = executor.secure_aggregate([update], range); //~ E0308
}

fn main() {}
