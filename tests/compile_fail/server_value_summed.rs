//! A value at the server is a single value: it cannot be summed.

use cipherfold::{federated::{Server, computation::Value}, packing::IntegerRange};

fn main() {
    let total = Value::<u32, Server>::input("total");
    let _ = total.secure_sum(IntegerRange::up_to(1)); //~ E0599: `secure_sum`
    let _ = Value::<u32, Server>::constant(1).broadcast().broadcast(); //~ E0599: `broadcast`
}
