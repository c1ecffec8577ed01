//! No program places a value at the aggregator.

use cipherfold::federated::{Aggregator, computation::Value};

fn main() {
    let _ = Value::<u32, Aggregator>::constant(1); //~ E0599: `constant`
}
