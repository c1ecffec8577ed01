//! The secret key is not a message: it cannot be sent.

use cipherfold::{
    federated::{Aggregator, LocalExecutor, Party, Placed, Server},
    paillier::{Bits2048, SecretKey},
};

fn send(executor: &LocalExecutor<Bits2048>, key: Placed<SecretKey<Bits2048>, Server>) {
    let _ = executor.transfer::<SecretKey<Bits2048>, Server, Aggregator>(key, Party::Server, Party::Aggregator);
    //~ E0277: Message
}

fn main() {}
