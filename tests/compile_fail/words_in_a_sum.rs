//! Sums take tensors, and sent values must be serialisable: the errors say so.

use std::time::Instant;

use cipherfold::{federated::{Clients, LocalExecutor, Server, computation::Value}, packing::IntegerRange, paillier::Bits2048};

fn sum(executor: &LocalExecutor<Bits2048>) {
    let word = Value::<String, Clients>::input("word");
    let _ = word.secure_sum(IntegerRange::up_to(7));
    let _ = word.sum();
    let _ = word.shaped_like(&Value::<u32, Server>::constant(1));
    let _ = Value::<Instant, Clients>::input("time").collect();
    let _ = Value::<Instant, Server>::input("time").broadcast();
    let _ = executor.secure_sum(["word".to_owned()], IntegerRange::up_to(7));
}

fn main() {}
