//! Values at different placements cannot be combined: one of them must be sent first.

use cipherfold::federated::{Clients, Server, computation::Value};

fn main() {
    let update = Value::<f32, Clients>::input("update");
    let model = Value::<f32, Server>::input("model");
    let _ = update.zip(&model); //~ E0308
}
