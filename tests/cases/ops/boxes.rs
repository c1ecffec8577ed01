//! Boxes of the prototype's channel: keys, sizes, contents.

use std::{collections::BTreeSet, sync::Arc};

use cipherfold::federated::{
    Digest, Party, SessionId,
    channel::{self, BoxChannel, BoxPublicKey, BoxSecretKey, Channel, Envelope},
};
use crypto_box::{Nonce, PublicKey, SalsaBox, SecretKey, Tag, aead::AeadInPlace};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::{
    channels::{carry, executor},
    prelude::*,
};

fn envelope(from: Party, to: Party, sequence: u64) -> Envelope {
    Envelope { session: SessionId::from_bytes([1; 16]), round: 0, sequence, from, to, context: Digest::NONE }
}

/// `easybox_setup`: the places of keys after clients and server have exchanged them.
///
/// Public keys are read. For secret keys, the test shows that each is needed: a channel with the
/// public key only refuses to open its messages.
pub fn setup(case: &Case, _: &Parties) -> Result<Found, Stop> {
    case.no_fields()?;
    let clients = case.num_clients()?.ok_or_else(|| not_understood("no `num_clients`"))?;
    let channel = BoxChannel::new();
    let mut public = BTreeSet::new();
    for client in 0..clients {
        let sent = envelope(Party::Client(client), Party::Server, client.into());
        let wire = channel.seal(&sent, b"hello", &mut ChaCha20Rng::seed_from_u64(client.into()))?;
        let key =
            |party| channel.public_key(party).ok_or_else(|| Stop::Failed(format!("{party} has no key")));
        public.insert(key(sent.from)?);
        let elsewhere =
            BoxChannel::new().with_peer(sent.from, key(sent.from)?).with_peer(sent.to, key(sent.to)?);
        let refused = elsewhere.open_expected(&sent, &wire);
        if refused != Err(channel::Error::MissingSecretKey { party: Party::Server }) {
            return Err(Stop::Failed(format!("opened without the secret key: {refused:?}")));
        }
        channel.open_expected(&sent, &wire)?;
    }
    if public.len() != clients as usize {
        return Err(Stop::Failed(format!("{} public keys of {clients} clients", public.len())));
    }
    let key = |len: usize| format!("uint8[{len}]");
    let all = vec![key(BoxPublicKey::LEN); clients as usize].join(",");
    let found = json!({
        "pk_clients": format!("<{all}>@SERVER"),
        "sk_clients": format!("{{{}}}@CLIENTS", key(BoxSecretKey::LEN)),
        "pk_server": format!("{}@CLIENTS", key(BoxPublicKey::LEN)),
        "sk_server": format!("{}@SERVER", key(BoxSecretKey::LEN)),
    });
    Ok(Answer::Other(found).into())
}

/// `easybox_sizes`: sizes of keys, and of the parts of a box, which is opened by hand.
pub fn sizes(case: &Case, _: &Parties) -> Result<Found, Stop> {
    case.no_fields()?;
    let [client, server] = [1, 2].map(|byte| [byte; BoxSecretKey::LEN]);
    let channel = BoxChannel::new()
        .with_key(Party::Client(0), BoxSecretKey::from_bytes(client))
        .with_key(Party::Server, BoxSecretKey::from_bytes(server));
    let public = channel.public_key(Party::Client(0));
    let public = public.ok_or_else(|| Stop::from("a client without a key"))?.to_bytes();
    let by_hand = SalsaBox::new(&PublicKey::from(public), &SecretKey::from(server));

    let (nonce_len, mac_len) = (size_of::<Nonce>(), size_of::<Tag>());
    let mut shapes = true;
    for (sequence, len) in (0..).zip([0, 4, 24, 1000]) {
        let sent = envelope(Party::Client(0), Party::Server, sequence);
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let wire = channel.seal(&sent, &payload, &mut ChaCha20Rng::seed_from_u64(len))?;
        let (nonce, boxed) = wire.split_at(nonce_len);
        let (mac, ciphertext) = boxed.split_at(mac_len);
        let mut opened = ciphertext.to_vec();
        by_hand
            .decrypt_in_place_detached(nonce.into(), &[], &mut opened, mac.into())
            .map_err(|_| Stop::from("a box is no nonce, MAC and ciphertext, in this order"))?;
        // The number of input bytes: the envelope's, and those of the elements.
        shapes &= ciphertext.len() == Envelope::ENCODED_LEN + payload.len() && opened.ends_with(&payload);
    }
    let mut found = json!({
        "public_key": public.len(),
        "secret_key": BoxSecretKey::LEN,
        "nonce": nonce_len,
        "mac": mac_len,
    });
    if shapes {
        found["ciphertext_shape"] = json!("plaintext shape + [bytes per element]");
    }
    Ok(Answer::Other(found).into())
}

/// `easybox_round_trip`: tensors of many element types in boxes, which come out unchanged.
pub fn round_trip(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (plaintext, dtypes): (Json, Vec<Dtype>) = case.fields(&["plaintext", "dtypes"], &[])?;
    let mut arrived = None;
    for dtype in dtypes {
        let refuse = || not_understood(format!("{plaintext} of type {dtype} in a box"));
        let sent = value::read_inferred(&plaintext, dtype).ok_or_else(refuse)?;
        let found = with_type!(boxed dtype, T => through_a_box::<T>(&sent))?;
        if found != sent {
            return Err(Stop::Failed(format!("{found:?} arrived where {sent:?} was sent")));
        }
        arrived = Some(found);
    }
    // The same numbers for all types.
    let answer = arrived.ok_or_else(|| not_understood("no `dtypes`"))?;
    Ok(Answer::Value(answer.into()).into())
}

/// The tensor that arrives.
fn through_a_box<T: Element>(tensor: &Tensor) -> Result<Tensor, Stop> {
    let [from, to] = [Placement::Clients, Placement::Aggregator];
    let executor = executor(Arc::new(BoxChannel::new()), from, to)?;
    Ok(Tensor::of(&carry(&executor, tensor.array::<T>(), from, to, 0)?))
}
