//! Tokens are made by the executor and are not copied.

use cipherfold::federated::{At, Server};

fn forge() -> At<Server> {
    At::<Server>::new()
}

fn copy(here: &At<Server>) -> At<Server> {
    *here
}

fn assert_clone<T: Clone>() {}

fn main() {
    assert_clone::<At<Server>>();
}
