//! A value at the clients cannot be read, changed or taken at the server.

use cipherfold::federated::{At, Clients, Placed, Server};

fn read<'a>(update: &'a Placed<Vec<u32>, Clients>, here: &At<Server>) -> &'a [u32] {
    update.get(here) //~ E0308
}

fn change(update: &mut Placed<Vec<u32>, Clients>, here: &At<Server>) {
    update.get_mut(here).clear(); //~ E0308
}

fn take(update: Placed<Vec<u32>, Clients>, here: &At<Server>) -> Vec<u32> {
    update.into_inner(here) //~ E0308
}

fn main() {}
