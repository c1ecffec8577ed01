//! Boxes of the prototype's channel: keys, sizes, contents.

use std::{collections::BTreeSet, fmt::Debug};

use cipherfold::{
    federated::{
        Aggregator, Clients, Digest, Error, LocalExecutor, Party, PlacementKind, SessionId,
        channel::{BoxChannel, BoxPublicKey, BoxSecretKey, Channel, ChannelGrid, Envelope},
    },
    paillier::hazmat::InsecureBits512,
};
use crypto_box::{Nonce, PublicKey, SalsaBox, SecretKey, Tag, aead::AeadInPlace};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use std::sync::Arc;

use super::channels::carry;
use crate::{
    format::Case,
    judge::{Answer, Found},
    split::{floats, integers},
    types::Dtype,
    value::{self, Elements, Tensor},
};

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

fn envelope(from: Party, to: Party, sequence: u64) -> Envelope {
    Envelope { session: SessionId::from_bytes([1; 16]), round: 0, sequence, from, to, context: Digest::NONE }
}

/// `easybox_setup`: the places of keys after clients and server have exchanged them.
///
/// Public keys are read. For secret keys, the test shows that each is needed: a channel with the
/// public key only refuses to open its messages.
pub(crate) fn setup(case: &Case) -> Result<Found, String> {
    case.check(&[])?;
    let clients = case.count("num_clients")?.ok_or("not understood: no `num_clients`")?;
    let channel = BoxChannel::new();
    let mut public = BTreeSet::new();
    for client in 0..clients {
        let sent = envelope(Party::Client(client), Party::Server, client.into());
        let wire = channel.seal(&sent, b"hello", &mut rng_of(client)).map_err(|error| error.to_string())?;
        let key = |party| channel.public_key(party).ok_or_else(|| format!("{party} has no key"));
        public.insert(key(sent.from)?);
        let elsewhere =
            BoxChannel::new().with_peer(sent.from, key(sent.from)?).with_peer(sent.to, key(sent.to)?);
        let refused = elsewhere.open_expected(&sent, &wire);
        if refused != Err(Error::MissingSecretKey { party: Party::Server }) {
            return Err(format!("opened without the secret key: {refused:?}"));
        }
        channel.open_expected(&sent, &wire).map_err(|error| error.to_string())?;
    }
    if public.len() != clients as usize {
        return Err(format!("{} public keys of {clients} clients", public.len()));
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

fn rng_of(client: u32) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(client.into())
}

/// `easybox_sizes`: sizes of keys, and of the parts of a box, which is opened by hand.
pub(crate) fn sizes(case: &Case) -> Result<Found, String> {
    case.check(&[])?;
    let [client, server] = [1, 2].map(|byte| [byte; BoxSecretKey::LEN]);
    let channel = BoxChannel::new()
        .with_key(Party::Client(0), BoxSecretKey::from_bytes(client))
        .with_key(Party::Server, BoxSecretKey::from_bytes(server));
    let public = channel.public_key(Party::Client(0)).ok_or("a client without a key")?.to_bytes();
    let by_hand = SalsaBox::new(&PublicKey::from(public), &SecretKey::from(server));

    let mut shapes = true;
    let (mut nonce_len, mut mac_len) = (0, 0);
    for (sequence, len) in (0..).zip([0, 4, 24, 1000]) {
        let sent = envelope(Party::Client(0), Party::Server, sequence);
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let wire = channel.seal(&sent, &payload, &mut rng_of(len)).map_err(|error| error.to_string())?;
        (nonce_len, mac_len) = (size_of::<Nonce>(), size_of::<Tag>());
        let (nonce, boxed) = wire.split_at(nonce_len);
        let (mac, ciphertext) = boxed.split_at(mac_len);
        let mut opened = ciphertext.to_vec();
        by_hand
            .decrypt_in_place_detached(nonce.into(), &[], &mut opened, mac.into())
            .map_err(|_| "a box is no nonce, MAC and ciphertext, in this order".to_owned())?;
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
pub(crate) fn round_trip(case: &Case) -> Result<Found, String> {
    case.check(&["plaintext", "dtypes"])?;
    let plaintext = case.need("plaintext")?;
    let dtypes = case.need("dtypes")?.as_array().ok_or("not understood: `dtypes` is no list")?;
    let mut arrived = None;
    for dtype in dtypes {
        let name = dtype.as_str().ok_or_else(|| format!("not understood: the element type {dtype}"))?;
        let dtype = Dtype::of(name).map_err(|error| format!("not understood: {error}"))?;
        let tensor =
            value::read_inferred(plaintext, dtype).map_err(|error| format!("not understood: {error}"))?;
        let found = match dtype {
            Dtype::Bool => through_a_box(tensor.array::<bool>()).map(|array| Tensor::of(&array)),
            Dtype::F16 => half_through_a_box(&tensor, half::f16::from_f64, half::f16::to_f64),
            Dtype::BF16 => half_through_a_box(&tensor, half::bf16::from_f64, half::bf16::to_f64),
            _ => integers!(
                dtype,
                T => through_a_box(tensor.array::<T>()).map(|array| Tensor::of(&array)),
                else floats!(
                    dtype,
                    T => through_a_box(tensor.array::<T>()).map(|array| Tensor::of(&array)),
                    else return Err(format!("not understood: {name} in a box"))
                )
            ),
        }?;
        if found != tensor {
            return Err(format!("{name}: {found:?} arrived where {tensor:?} was sent"));
        }
        arrived = Some(found);
    }
    let answer = arrived.ok_or("not understood: no `dtypes`")?;
    // The same numbers for all types; compared in the notation of the case.
    let answer = if let Elements::Floats(elements) = &answer.elements
        && elements.iter().all(|x| *x == x.round())
        && is_whole(plaintext)
    {
        let elements = Elements::Integers(elements.iter().map(|x| *x as i128).collect());
        Tensor { dtype: Dtype::I64, elements, ..answer }
    } else {
        answer
    };
    Ok(Answer::Value(answer.into()).into())
}

fn is_whole(json: &Json) -> bool {
    json.as_array().map_or(!json.is_f64(), |list| list.iter().all(is_whole))
}

fn half_through_a_box<T>(tensor: &Tensor, from: fn(f64) -> T, to: fn(T) -> f64) -> Result<Tensor, String>
where
    T: Serialize + DeserializeOwned + Send + Debug + Copy,
{
    let Elements::Floats(elements) = &tensor.elements else { unreachable!("read as floats") };
    let arrived = through_a_box(elements.iter().copied().map(from).collect::<Vec<T>>())?;
    Ok(Tensor { elements: Elements::Floats(arrived.into_iter().map(to).collect()), ..tensor.clone() })
}

fn through_a_box<T: Serialize + DeserializeOwned + Send + Debug>(value: T) -> Result<T, String> {
    let grid = ChannelGrid::empty().with(
        PlacementKind::Clients,
        PlacementKind::Aggregator,
        Arc::new(BoxChannel::new()),
    );
    let executor = grid.and_then(|grid| {
        LocalExecutor::<InsecureBits512>::builder().channels(grid).threads(1).rng(rng()).build()
    });
    executor
        .and_then(|executor| {
            carry::<_, Clients, Aggregator, _>(&executor, value, Party::Client(0), Party::Aggregator)
        })
        .map_err(|error| error.to_string())
}
