//! A token's only field is private.

use std::marker::PhantomData;

use cipherfold::federated::{At, Server};

fn main() {
    let _: At<Server> = At(PhantomData); //~ E0423
}
