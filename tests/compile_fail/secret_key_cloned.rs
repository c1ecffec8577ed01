//! Secret keys cannot be copied by accident, at any placement.

use cipherfold::{
    federated::{Placed, Server, channel::BoxSecretKey},
    paillier::{Bits2048, Randomizer, SecretKey},
};

fn assert_clone<T: Clone>() {}

fn main() {
    assert_clone::<SecretKey<Bits2048>>(); //~ E0277: Clone
    assert_clone::<Placed<SecretKey<Bits2048>, Server>>(); //~ E0277: Clone
    assert_clone::<BoxSecretKey>(); //~ E0277: Clone
    assert_clone::<Randomizer<Bits2048>>(); //~ E0277: Clone
}
