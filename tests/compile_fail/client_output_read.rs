//! An output at the clients can only be read at the clients.

use cipherfold::federated::{At, Clients, LocalExecutor, Server, computation::{Computation, Inputs, Value}};

fn read(here: &At<Server>) {
    let executor = LocalExecutor::new().unwrap();
    let x = Value::<f32, Clients>::input("x");
    let run = executor.run(&Computation::new(x.map(|x| x + 1.0)), Inputs::new().clients(&x, [1.0]));
    let outputs = run.unwrap().value;
    let first = outputs[0].as_ref().unwrap();
    let _: &f32 = first.get(here); //~ E0308
    let _: f32 = *first; //~ E0308
}

fn main() {}
