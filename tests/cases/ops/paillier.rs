//! Tensors as ciphertexts, one element each.

use cipherfold::paillier::{CiphertextBatch, Encryptor, PublicKey, SecretKey, hazmat::InsecureBits512};
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::Value as Json;

use crate::{
    format::Case,
    judge::{Answer, Found, Theirs, WRAPS},
    types::{Dtype, Shape},
    value::{self, Elements, Tensor},
};

type Key = InsecureBits512;

/// `paillier_round_trip`, `paillier_add`: the sum of all clients' tensors, with one ciphertext for
/// each element.
///
/// Tensors of different shapes are broadcast against each other like in `NumPy`, as ciphertexts.
pub(crate) fn replay(case: &Case) -> Result<Found, String> {
    case.check(&[])?;
    let json = case.need("clients")?.as_array().ok_or("not understood: `clients` is no list")?;
    let found = case.get("type").map(|_| case.type_of()).transpose()?;
    let tensors = json.iter().map(|json| read(json, found.as_ref().map(|found| &found.member)));
    let tensors: Vec<ArrayD<i128>> = tensors.collect::<Result<_, _>>()?;

    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let secret = SecretKey::<Key>::generate(&mut rng).unwrap();
    let public = secret.public_key();
    let encryptor = Encryptor::new(public, &mut rng).unwrap();
    let mut total: Option<(CiphertextBatch<Key>, Vec<usize>)> = None;
    for tensor in &tensors {
        let plaintexts: Vec<_> = tensor.iter().map(|x| public.plaintext_from_i128(*x)).collect();
        let next = encryptor.encrypt_batch(&plaintexts, &mut rng).map_err(|error| error.to_string())?;
        let next = (next, tensor.shape().to_vec());
        total = Some(match total {
            None => next,
            Some(total) => add(public, &total, &next)?,
        });
    }
    let (sum, shape) = total.ok_or("not understood: no `clients`")?;
    let sum = secret.decrypt_batch(&sum).map_err(|error| error.to_string())?;
    let elements: Option<Vec<i128>> =
        sum.iter().map(|plaintext| public.plaintext_to_i128(plaintext)).collect();
    let elements = Elements::Integers(elements.ok_or("a sum of more than 128 bits")?);
    let sum = Tensor { dtype: Dtype::I128, shape, elements };
    let dtype = found.and_then(|found| Some(found.member.as_leaf()?.dtype)).unwrap_or(Dtype::I32);
    let wrapped = sum.map_integers(dtype, |x| dtype.wrap(x)).expect("integers");
    let theirs = vec![Theirs::Gives(Answer::Value(wrapped.into()), WRAPS)];
    Ok(Found { theirs, ..Answer::Value(sum.into()).into() })
}

fn read(json: &Json, shape: Option<&Shape>) -> Result<ArrayD<i128>, String> {
    let tensor = match shape.map(|shape| shape.as_leaf().ok_or("not understood: a structure of ciphertexts"))
    {
        Some(leaf) => {
            value::read(json, &leaf?.clone().into()).map(|tree| tree.into_leaf().expect("of a leaf"))?
        }
        // The element type is not stated: integers of any kind.
        None => value::read_inferred(json, Dtype::I64)?,
    };
    match tensor.elements {
        Elements::Integers(elements) => Ok(ArrayD::from_shape_vec(IxDyn(&tensor.shape), elements)
            .expect("as many elements as the shape has")),
        Elements::Floats(_) => Err("not understood: ciphertexts of floating-point numbers".to_owned()),
    }
}

/// The element-wise sum, broadcast.
fn add(
    public: &PublicKey<Key>,
    (a, a_shape): &(CiphertextBatch<Key>, Vec<usize>),
    (b, b_shape): &(CiphertextBatch<Key>, Vec<usize>),
) -> Result<(CiphertextBatch<Key>, Vec<usize>), String> {
    let shape = common(a_shape, b_shape)?;
    let spread = |batch: &CiphertextBatch<Key>, from: &[usize]| {
        let places =
            ArrayD::from_shape_vec(IxDyn(from), (0..batch.len()).collect()).expect("one for each element");
        let places: ArrayViewD<'_, usize> = places.broadcast(IxDyn(&shape)).expect("the common shape");
        let ciphertexts: Vec<_> =
            places.iter().map(|place| batch.get(*place).expect("within the batch")).collect();
        CiphertextBatch::from_ciphertexts(public.fingerprint(), ciphertexts)
    };
    let sum = spread(a, a_shape).and_then(|a| public.add_batch(&a, &spread(b, b_shape)?));
    Ok((sum.map_err(|error| error.to_string())?, shape))
}

/// The shape that both can be broadcast to.
fn common(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let of = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    let lengths = (0..rank).map(|i| match (of(a, i), of(b, i)) {
        (a, b) if a == b || b == 1 => Ok(a),
        (1, b) => Ok(b),
        _ => Err(format!("shapes {a:?} and {b:?} do not go together")),
    });
    lengths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_broadcast_as_numpy_does() {
        for (a, b, expected) in [
            (&[1, 1][..], &[1, 2][..], Ok(vec![1, 2])),
            (&[3, 1], &[1, 2], Ok(vec![3, 2])),
            (&[2], &[4, 1, 2], Ok(vec![4, 1, 2])),
            (&[], &[2], Ok(vec![2])),
        ] {
            assert_eq!(common(a, b), expected);
            assert_eq!(common(b, a), expected);
        }
        assert!(common(&[2], &[3]).is_err());
    }
}
