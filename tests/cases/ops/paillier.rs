//! Tensors as ciphertexts, one element each.

use cipherfold::{
    federated::tensor::Structure,
    paillier::{CiphertextBatch, Encryptor, PublicKey, SecretKey, hazmat::InsecureBits512},
};
use ndarray::{ArrayD, IxDyn};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::prelude::*;

type Key = InsecureBits512;

/// Ciphertexts, row by row, and the shape.
type Encrypted = (CiphertextBatch<Key>, Vec<usize>);

/// `paillier_round_trip`, `paillier_add`: the sum of all clients' tensors, with one ciphertext for
/// each element.
///
/// Tensors of different shapes are broadcast against each other as in `NumPy`, as ciphertexts.
pub fn replay(case: &Case, _: &Parties) -> Result<Found, Stop> {
    case.no_fields()?;
    let clients = case.clients.as_ref().and_then(Json::as_array);
    let tensors = clients.ok_or_else(|| not_understood("`clients` is no list"))?;
    let tensors = tensors.iter().map(|json| read(case, json)).collect::<Result<Vec<_>, _>>()?;

    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let secret = SecretKey::<Key>::generate(&mut rng)?;
    let public = secret.public_key();
    let encryptor = Encryptor::new(public, &mut rng)?;
    let mut total: Option<Encrypted> = None;
    for tensor in &tensors {
        let plaintexts: Vec<_> = tensor.iter().map(|x| public.plaintext_from_i128(*x)).collect();
        let next = (encryptor.encrypt_batch(&plaintexts, &mut rng)?, tensor.shape().to_vec());
        total = Some(match total {
            None => next,
            Some(total) => add(public, &total, &next)?,
        });
    }
    let (sum, shape) = total.ok_or_else(|| not_understood("no clients"))?;
    let sum = secret.decrypt_batch(&sum)?;
    let sum = sum.iter().map(|plaintext| public.plaintext_to_i128(plaintext)).collect::<Option<_>>();
    let sum: ArrayD<i128> = ArrayD::from_shape_vec(shape, sum.ok_or("a sum of more than 128 bits")?)
        .expect("as many elements as the shape has");
    let leaf = case.r#type.as_ref().and_then(|found| found.member.as_leaf());
    let dtype = leaf.map_or(Dtype::Int32, |leaf| leaf.dtype);
    let wrapped = Tensor { dtype, elements: sum.mapv(|x| Number::Integer(dtype.wrap(x))) };
    Ok(Found::from(Tree::from(Tensor::of(&sum))).or([Theirs::gives(wrapped.into(), WRAPS)]))
}

/// The integers of a tensor. If the element type is not stated, it is any integer.
fn read(case: &Case, json: &Json) -> Result<ArrayD<i128>, Stop> {
    let tensor = match &case.r#type {
        Some(_) => value::read(json, case.member()?).and_then(Structure::into_leaf),
        None => value::read_inferred(json, Dtype::Int64),
    };
    let integers = tensor.filter(|tensor| tensor.dtype.is_integer()).map(|tensor| tensor.array());
    integers.ok_or_else(|| not_understood(format!("ciphertexts of {json}")))
}

/// The element-wise sum, broadcast.
fn add(public: &PublicKey<Key>, a: &Encrypted, b: &Encrypted) -> Result<Encrypted, Stop> {
    let mut shape = vec![1; a.1.len().max(b.1.len())];
    for from in [&a.1, &b.1] {
        let lengths = shape.iter_mut().rev().zip(from.iter().rev());
        lengths.filter(|(len, _)| **len == 1).for_each(|(len, other)| *len = *other);
    }
    let spread = |(batch, from): &Encrypted| -> Result<_, Stop> {
        let places = ArrayD::from_shape_vec(from.as_slice(), (0..batch.len()).collect());
        let places = places.expect("one for each element");
        let refuse = || not_understood(format!("tensors of the shapes {:?} and {:?}", a.1, b.1));
        let places = places.broadcast(IxDyn(&shape)).ok_or_else(refuse)?;
        let ciphertexts = places.iter().map(|place| batch.get(*place).expect("within the batch"));
        Ok(CiphertextBatch::from_ciphertexts(public.fingerprint(), ciphertexts.collect::<Vec<_>>())?)
    };
    Ok((public.add_batch(&spread(a)?, &spread(b)?)?, shape))
}
