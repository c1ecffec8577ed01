//! Plain Paillier on integers, for exchange with other libraries.

use cipherfold::paillier::{CiphertextBatch, Encryptor, Plaintext};
use pyo3::{prelude::*, types::PyInt};
use zeroize::Zeroizing;

use crate::{
    convert::integer,
    error::Result,
    keys::{PublicKey, SecretKey, with_key_size},
    secrets::entropy,
    work::{self, Threads},
};

/// Encrypts integers from 0 to n - 1.
#[pyfunction(name = "_paillier_encrypt")]
#[pyo3(signature = (key, values))]
pub(crate) fn encrypt<'py>(
    py: Python<'py>,
    key: PyRef<'_, PublicKey>,
    values: Vec<Bound<'py, PyInt>>,
) -> Result<Vec<Bound<'py, PyAny>>> {
    let key = key.key.clone();
    work::check_gpu(key.backend_name())?;
    let values = values.iter().map(|value| Ok(Zeroizing::new(integer::to_be("value", value)?)));
    let values = values.collect::<Result<Vec<_>>>()?;
    let ciphertexts = Threads::default().run(py, || {
        with_key_size!(key.offer().key_bits(), S => {
            let public = key.public_key::<S>().expect("a key of this size");
            let base = key.base::<S>().expect("a base of this size");
            let plaintexts =
                values.iter().map(|value| Ok(Plaintext::<S>::from_be_bytes(value)?)).collect::<Result<Vec<_>>>()?;
            let encryptor = Encryptor::with_base(&public, base)?;
            let batch = encryptor.encrypt_batch(&plaintexts, &mut entropy::generator()?)?;
            let integers = batch.iter().map(|ciphertext| Ok(public.ciphertext_to_integer(&ciphertext)?));
            integers.collect::<Result<Vec<_>>>()
        })
    })?;
    Ok(ciphertexts.iter().map(|ciphertext| integer::from_be(py, ciphertext)).collect::<PyResult<_>>()?)
}

/// Decrypts integers modulo n².
#[pyfunction(name = "_paillier_decrypt")]
#[pyo3(signature = (key, ciphertexts))]
pub(crate) fn decrypt<'py>(
    py: Python<'py>,
    key: PyRef<'_, SecretKey>,
    ciphertexts: Vec<Bound<'py, PyInt>>,
) -> Result<Vec<Bound<'py, PyAny>>> {
    let owner = key.owner.clone();
    work::check_gpu(owner.encryption_key().backend_name())?;
    let ciphertexts = ciphertexts.iter().map(|ciphertext| integer::to_be("ciphertext", ciphertext));
    let ciphertexts = ciphertexts.collect::<Result<Vec<_>>>()?;
    let plaintexts = Threads::default().run(py, || {
        with_key_size!(owner.offer().key_bits(), S => {
            let secret = owner.secret_key::<S>().expect("a key of this size");
            let public = secret.public_key();
            let read = |bytes: &Vec<u8>| Ok(public.ciphertext_from_integer(bytes)?);
            let ciphertexts = ciphertexts.iter().map(read).collect::<Result<Vec<_>>>()?;
            let batch = CiphertextBatch::from_ciphertexts(public.fingerprint(), ciphertexts)?;
            let plaintexts = secret.decrypt_batch(&batch)?;
            Ok(plaintexts.iter().map(|plaintext| Zeroizing::new(plaintext.to_be_bytes())).collect::<Vec<_>>())
        })
    })?;
    Ok(plaintexts.iter().map(|plaintext| integer::from_be(py, plaintext)).collect::<PyResult<_>>()?)
}
