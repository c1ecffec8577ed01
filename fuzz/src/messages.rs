//! Messages of the protocol from bytes.

use cipherfold::federated::{Contribution, EncryptedSum, MaskedSum, MaskedTotals, Message, PublicKeyMessage};

use crate::{Key, same_bytes};

/// The first byte chooses the message.
pub fn run(data: &[u8]) {
    let Some((door, data)) = data.split_first() else { return };
    match door % 5 {
        0 => read::<PublicKeyMessage<Key>>(data),
        1 => read::<Contribution<Key>>(data),
        2 => read::<EncryptedSum<Key>>(data),
        3 => read::<MaskedSum<Key>>(data),
        _ => read::<MaskedTotals<Key>>(data),
    }
}

fn read<M: Message>(data: &[u8]) {
    if let Ok(message) = M::from_bytes(data) {
        same_bytes(&message.to_bytes().expect("what was read"), data);
    }
}
