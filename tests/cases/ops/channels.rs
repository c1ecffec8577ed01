//! Channels: transfers in the clear and in boxes; the keys and the sizes of boxes.

use std::collections::BTreeSet;

use cipherfold::federated::{
    Digest, Party, SessionId,
    channel::{
        self, BoxChannel, BoxPublicKey, BoxSecretKey, Channel, Envelope, Message, Payload, PlaintextChannel,
    },
};
use crypto_box::{Nonce, Tag};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::prelude::*;

/// The kind of a channel.
#[derive(Clone, Copy, Deserialize)]
enum Kind {
    Plaintext,
    EasyBox,
}

/// `channel_transfer`.
pub fn transfer(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (kind, from, to, sent): (Kind, Placement, Placement, Json) =
        case.fields(&["channel", "source_placement", "target_placement"], &["server_value"])?;
    let channel: Box<dyn Channel> = match kind {
        Kind::Plaintext => Box::new(PlaintextChannel::new()),
        Kind::EasyBox => Box::new(BoxChannel::new()),
    };
    // One for each client that sends or receives.
    let values = if let Some(clients) = case.clients()? {
        clients
    } else {
        let value = case::value("server_value", &sent, case.member()?)?;
        let clients = case.num_clients()?.filter(|_| to == Placement::Clients).unwrap_or(1);
        vec![value; clients as usize]
    };
    let party = |placement, client| match placement {
        Placement::Clients => Party::Client(client),
        Placement::Server => Party::Server,
        Placement::Aggregator => Party::Aggregator,
    };
    let sent = (0..).zip(values);
    let received = sent
        .map(|(client, value)| carry(&*channel, &envelope(party(from, client), party(to, client)), value));
    let received = received.collect::<Result<Vec<_>, _>>()?;
    // The value of one party, sent to all clients or to another party, may be stated once.
    let one = from != Placement::Clients;
    Ok(if one { Answer::AtClients(received) } else { Answer::list(received) }.into())
}

/// `easybox_round_trip`: tensors of many element types in boxes, which come out unchanged.
pub fn round_trip(case: &Case, _: &Parties) -> Result<Found, Stop> {
    let (plaintext, dtypes): (Json, Vec<Dtype>) = case.fields(&["plaintext", "dtypes"], &[])?;
    let envelope = envelope(Party::Client(0), Party::Aggregator);
    let mut arrived = None;
    for dtype in dtypes {
        let refuse = || not_understood(format!("{plaintext} of type {dtype} in a box"));
        let sent = value::read_inferred(&plaintext, dtype).ok_or_else(refuse)?;
        let carry = |sent: &Tensor| -> Result<Tensor, Stop> {
            with_type!(boxed dtype, T => {
                Ok(Tensor::of(&carry(&BoxChannel::new(), &envelope, sent.array::<T>())?))
            })
        };
        let found = carry(&sent)?;
        if found != sent {
            return Err(Stop::Failed(format!("{found:?} arrived where {sent:?} was sent")));
        }
        arrived = Some(found);
    }
    // The same numbers for all types.
    let answer = arrived.ok_or_else(|| not_understood("no `dtypes`"))?;
    Ok(Answer::Value(answer.into()).into())
}

fn envelope(from: Party, to: Party) -> Envelope {
    Envelope {
        session: SessionId::from_bytes([1; 16]),
        round: 0,
        sequence: 0,
        from,
        to,
        context: Digest::NONE,
    }
}

fn seal(channel: &dyn Channel, envelope: &Envelope, payload: &[u8]) -> Result<Vec<u8>, Stop> {
    Ok(channel.seal(envelope, payload, &mut ChaCha20Rng::seed_from_u64(1))?)
}

/// The value that arrives.
fn carry<T: Serialize + DeserializeOwned + Send>(
    channel: &dyn Channel,
    envelope: &Envelope,
    value: T,
) -> Result<T, Stop> {
    let wire = seal(channel, envelope, &Payload(value).to_bytes()?)?;
    Ok(Payload::from_bytes(channel.open_expected(envelope, &wire)?.as_slice())?.0)
}

/// `easybox_setup`: the places of keys after clients and server have exchanged them.
///
/// Public keys are read. For secret keys, the test shows that each is needed: a channel with the
/// public keys only refuses to open a message.
pub fn setup(case: &Case, _: &Parties) -> Result<Found, Stop> {
    case.no_fields()?;
    let clients = case.num_clients()?.ok_or_else(|| not_understood("no `num_clients`"))?;
    let (channel, mut rng) = (BoxChannel::new(), ChaCha20Rng::seed_from_u64(1));
    let mut public = BTreeSet::new();
    for client in 0..clients {
        let sent = envelope(Party::Client(client), Party::Server);
        let wire = channel.seal(&sent, b"hello", &mut rng)?;
        let key = |party| channel.public_key(party).ok_or_else(|| Stop::from("a party without a key"));
        public.insert(key(sent.from)?);
        let elsewhere =
            BoxChannel::new().with_peer(sent.from, key(sent.from)?).with_peer(sent.to, key(sent.to)?);
        let refused = elsewhere.open_expected(&sent, &wire);
        if refused != Err(channel::Error::MissingSecretKey { party: Party::Server }) {
            return Err(Stop::Failed(format!("opened without the secret key: {refused:?}")));
        }
        channel.open_expected(&sent, &wire)?;
    }
    let [public_key, secret_key] = [BoxPublicKey::LEN, BoxSecretKey::LEN].map(|len| format!("uint8[{len}]"));
    let found = json!({
        "pk_clients": format!("<{}>@SERVER", vec![public_key.clone(); public.len()].join(",")),
        "sk_clients": format!("{{{secret_key}}}@CLIENTS"),
        "pk_server": format!("{public_key}@CLIENTS"),
        "sk_server": format!("{secret_key}@SERVER"),
    });
    Ok(Answer::Other(found).into())
}

/// `easybox_sizes`: sizes of keys, and of the parts of a box. (The channel's own tests open boxes by
/// hand.)
pub fn sizes(case: &Case, _: &Parties) -> Result<Found, Stop> {
    case.no_fields()?;
    let (nonce, mac) = (size_of::<Nonce>(), size_of::<Tag>());
    let mut found = json!({
        "public_key": BoxPublicKey::LEN,
        "secret_key": BoxSecretKey::LEN,
        "nonce": nonce,
        "mac": mac,
    });
    let has_shape = |len: usize| {
        let wire = seal(&BoxChannel::new(), &envelope(Party::Client(0), Party::Server), &vec![1; len])?;
        Ok::<_, Stop>(wire.len() == nonce + mac + Envelope::ENCODED_LEN + len)
    };
    if has_shape(0)? && has_shape(24)? && has_shape(1000)? {
        found["ciphertext_shape"] = json!("plaintext shape + [bytes per element]");
    }
    Ok(Answer::Other(found).into())
}
