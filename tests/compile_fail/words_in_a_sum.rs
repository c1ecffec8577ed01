//! Sums take tensors, and sent values must be serialisable: the errors say so.

use std::time::Instant;

use cipherfold::{federated::{Clients, LocalExecutor, Server, computation::Value}, packing::IntegerRange, paillier::Bits2048};

fn sum(executor: &LocalExecutor<Bits2048>) {
    let word = Value::<String, Clients>::input("word");
    let _ = word.secure_sum(IntegerRange::up_to(7)); //~ E0277: `String` is not a structure of tensors
    let _ = word.sum(); //~ E0277: `String` is not a structure of tensors
    let _ = word.shaped_like(&Value::<u32, Server>::constant(1));
    //~ E0277: `String` is not a structure of tensors
    let _ = Value::<Instant, Clients>::input("time").collect();
    //~ E0277: `Instant` cannot travel between placements
    let _ = Value::<Instant, Server>::input("time").broadcast();
    //~ E0277: `Instant` cannot travel between placements
    let _ = executor.secure_sum(["word".to_owned()], IntegerRange::up_to(7));
    //~ E0277: `String` is not a structure of tensors
}

fn main() {}
