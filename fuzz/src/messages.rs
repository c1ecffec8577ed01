//! Messages of the protocol, and other data of a round that is sent or stored, from bytes.

use std::{collections::BTreeSet, sync::LazyLock};

use cipherfold::{
    backend::BackendChoice,
    federated::{
        Digest, KeyHolding, SessionId,
        channel::{Message, Payload},
        round::{
            EncryptionKey, KeyOwner, PartialSum, RoundParameters, RoundSpec, SessionOffer, SessionParameters,
            SumSpec, TensorSpec,
        },
        tensor::{DType, Encoding, Structure},
    },
    packing::IntegerRange,
};

use crate::{Key, SECRET, rng, same_bytes};

/// A round of two messages, under a key that is the same in every run.
pub static ROUND: LazyLock<(KeyOwner, RoundSpec)> = LazyLock::new(|| {
    let session = SessionId::from_bytes([3; 16]);
    let parameters = SessionParameters {
        session,
        key_bits: 512,
        key_holding: KeyHolding::Server,
        roster: Digest::NONE,
        backend: BackendChoice::Auto,
    };
    let owner = KeyOwner::with_secret_key::<Key>(parameters, &SECRET, &mut rng()).expect("a good key");
    let tensor = TensorSpec::new(DType::U8, [60], Encoding::Integers(IntegerRange::of::<u8>()));
    let spec = RoundSpec::new(RoundParameters {
        session,
        round: 1,
        key_bits: 512,
        key_holding: KeyHolding::Server,
        offer: owner.offer().digest(),
        sums: vec![SumSpec::new(Structure::leaf(tensor))],
        max_clients: 5,
        min_clients: 2,
        chunk_ciphertexts: 1,
    });
    (owner, spec.expect("it fits"))
});

/// The first byte selects the message.
pub fn run(data: &[u8]) {
    let Some((door, data)) = data.split_first() else { return };
    let (owner, spec) = &*ROUND;
    match door % 5 {
        0 => {
            if let Ok(offer) = SessionOffer::from_bytes(data) {
                same_bytes(&offer.to_bytes(), data);
                // An attacker pins its own offer.
                if let Ok(key) = EncryptionKey::new(&offer, offer.digest(), BackendChoice::Auto) {
                    let _ = key.prepare();
                }
            }
        }
        1 => {
            if let Ok(spec) = RoundSpec::from_bytes(data) {
                same_bytes(&spec.to_bytes(), data);
                let _ = (spec.costs(), spec.error_bounds());
            }
        }
        2 => {
            if let Ok(partial) = PartialSum::from_bytes(spec, owner.encryption_key(), data) {
                same_bytes(&partial.into_bytes().expect("what was read"), data);
            }
        }
        3 => {
            if let Ok(sum) = Payload::<(BTreeSet<u32>, Vec<u8>)>::from_bytes(data) {
                same_bytes(&sum.to_bytes().expect("what was read"), data);
            }
        }
        _ => {
            let owner =
                KeyOwner::with_secret_key::<Key>(parameters(owner), &SECRET, &mut rng()).expect("a good key");
            if owner.restore_opened_rounds(data).is_ok() {
                let _ = owner.opened_rounds();
            }
        }
    }
}

fn parameters(owner: &KeyOwner) -> SessionParameters {
    let offer = owner.offer();
    SessionParameters {
        session: offer.session(),
        key_bits: offer.key_bits(),
        key_holding: offer.key_holding(),
        roster: offer.roster(),
        backend: BackendChoice::Auto,
    }
}
