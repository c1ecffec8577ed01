//! Only the protocol defines messages.

use cipherfold::{federated::channel::{Error, Message}, paillier::Bits2048, paillier::SecretKey};

struct OwnMessage(SecretKey<Bits2048>);

impl Message for OwnMessage { //~ E0277: MessageOfTheProtocol
    fn ciphertexts(&self) -> usize {
        0
    }

    fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        Ok(self.0.expose_primes_be().0.to_vec())
    }

    fn from_bytes(_: &[u8]) -> Result<Self, Error> {
        todo!()
    }
}

fn main() {}
