//! Tensors as ciphertexts, one element each.

use cipherfold::paillier::{Ciphertext, Encryptor, PublicKey, SecretKey, hazmat::InsecureBits512};
use ndarray::ArrayD;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::prelude::*;
use crate::value::try_each;

type Key = InsecureBits512;
type Encrypted = ArrayD<Ciphertext<Key>>;

/// `paillier_round_trip`, `paillier_add`: the sum of all clients' tensors, with one ciphertext for
/// each element.
///
/// Tensors of different shapes are broadcast against each other as in `NumPy`, as ciphertexts.
pub fn replay(case: &Case, _: &Parties) -> Result<Found, Stop> {
    case.no_fields()?;
    let tensors = case.client_lists()?;
    let tensors = tensors.iter().map(|json| read(case, json)).collect::<Result<Vec<_>, _>>()?;

    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let secret = SecretKey::<Key>::generate(&mut rng)?;
    let public = secret.public_key();
    let encryptor = Encryptor::new(public, &mut rng)?;
    let encrypted = tensors.iter().map(|tensor| {
        try_each(tensor, |x| Ok(encryptor.encrypt(&public.plaintext_from_i128(*x), &mut rng)?))
    });
    let sum =
        encrypted.reduce(|a, b| add(public, &a?, &b?)).ok_or_else(|| not_understood("no clients"))??;
    let sum = try_each(&sum, |x| {
        let found = public.plaintext_to_i128(&secret.decrypt(x)?);
        found.ok_or_else(|| Stop::from("a sum of more than 128 bits"))
    })?;
    let leaf = case.r#type.as_ref().and_then(|found| found.member.as_leaf());
    let dtype = leaf.map_or(Dtype::Int32, |leaf| leaf.dtype);
    let wrapped = Tensor { dtype, elements: sum.mapv(|x| Number::Integer(dtype.wrap(x))) };
    Ok(Found::from(Tree::from(Tensor::of(&sum))).or([Difference::gives(Tree::from(wrapped), WRAPS)]))
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
    let mut shape = vec![1; a.ndim().max(b.ndim())];
    for from in [a, b] {
        let lengths = shape.iter_mut().rev().zip(from.shape().iter().rev());
        lengths.filter(|(len, _)| **len == 1).for_each(|(len, other)| *len = *other);
    }
    let refuse = || not_understood(format!("tensors of the shapes {:?} and {:?}", a.shape(), b.shape()));
    let [a, b] = [a, b].map(|x| x.broadcast(shape.as_slice()).ok_or_else(refuse));
    let (a, b) = (a?, b?);
    let mut others = b.iter();
    try_each(&a.to_owned(), |a| Ok(public.add(a, others.next().expect("both have this shape"))?))
}
