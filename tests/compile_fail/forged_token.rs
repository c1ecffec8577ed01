//! Tokens are made by the executor and are not copied.

use cipherfold::federated::{At, Server};

fn forge() -> At<Server> {
    At::<Server>::new() //~ E0624: `new`
}

fn copy(here: &At<Server>) -> At<Server> {
    *here //~ E0507: `*here`
}

fn assert_clone<T: Clone>() {}

fn main() {
    assert_clone::<At<Server>>(); //~ E0277: Clone
}
