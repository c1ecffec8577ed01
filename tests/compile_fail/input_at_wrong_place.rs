//! An input is bound at its own placement.

use cipherfold::federated::{Clients, Server, computation::{Inputs, Value}};

fn main() {
    let update = Value::<f32, Clients>::input("update");
    let model = Value::<f32, Server>::input("model");
    let _ = Inputs::new().server(&update, 1.0); //~ E0308
    let _ = Inputs::new().clients(&model, [1.0]); //~ E0308
}
