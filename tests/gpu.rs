//! The GPU backend through the public API: by name, in a federated run, from many threads at once.
//!
//! Skipped if no GPU can be opened, not even a software one, unless `REQUIRE_BACKENDS` names `gpu`.

mod common;

use cipherfold::{
    backend::{self, BackendChoice},
    federated::LocalExecutor,
    packing::IntegerRange,
    paillier::{Encryptor, Error, KeySize, SecretKey},
};
use common::{Small, number, plaintext, rng, value};
use ndarray::Array1;

/// Whether the GPU can run; prints the reason if it cannot.
fn gpu_is_here() -> bool {
    match Small::backend(BackendChoice::Gpu) {
        Ok(_) => true,
        Err(reason) => {
            let required = std::env::var("REQUIRE_BACKENDS").unwrap_or_default();
            assert!(!required.split(',').any(|name| name.trim() == "gpu"), "gpu is required: {reason}");
            println!("skipped: {reason}");
            false
        }
    }
}

#[test]
fn the_name_is_known_with_and_without_the_feature() {
    for name in ["gpu", "gpu-with-secret-keys"] {
        let choice: BackendChoice = name.parse().expect("a backend's name");
        match Small::backend(choice) {
            Ok(backend) => assert_eq!(backend.name(), name),
            Err(backend::Error::BackendUnavailable { name: named, reason }) => {
                assert_eq!(named, name);
                if cfg!(not(feature = "gpu")) {
                    assert!(reason.contains("without the feature `gpu`"), "{reason}");
                }
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn the_automatic_choice_is_never_a_gpu() {
    if std::env::var_os("CIPHERFOLD_BACKEND").is_none() {
        let auto = Small::backend(BackendChoice::Auto);
        assert!(!auto.expect("one runs everywhere").name().starts_with("gpu"));
    }
}

#[test]
fn a_secure_sum_runs_on_the_gpu_unchanged() {
    if !gpu_is_here() {
        return;
    }
    let range = IntegerRange::signed_bits(16).expect("a range");
    let updates: Vec<_> =
        (0..6).map(|client| Array1::from_iter((0..2000).map(|i| i * client - 5000))).collect();
    let sum_on = |choice: BackendChoice| {
        let executor = LocalExecutor::<Small>::builder().backend(choice).threads(3).rng(rng(1)).build();
        let outcome = executor.expect("good settings").secure_sum(&updates, range).expect("in range");
        let report = outcome.report().to_string();
        (outcome.value, report)
    };
    let (expected, _) = sum_on(BackendChoice::Portable);
    for (choice, name) in [(BackendChoice::Gpu, "gpu"), (BackendChoice::GpuWithSecretKeys, "gpu-with-secret-keys")] {
        let (found, report) = sum_on(choice);
        assert_eq!(found, expected);
        assert!(report.contains(name), "the report names the backend: {report}");
    }
}

#[test]
fn ciphertexts_that_stay_are_summed_like_those_that_travel() {
    if !gpu_is_here() {
        return;
    }
    let mut rng = rng(2);
    let secret =
        SecretKey::<Small>::generate(&mut rng).unwrap().with_backend(BackendChoice::Gpu).expect("it is here");
    let encryptor = Encryptor::new(secret.public_key(), &mut rng).unwrap();
    let ms: Vec<_> = (0..100).map(|i| plaintext::<Small>(&number(1000 + i))).collect();
    let there = encryptor.encrypt_resident(&ms, &mut rng).expect("below n");
    assert_eq!((there.len(), there.key()), (100, secret.public_key().fingerprint()));
    assert!(secret.decrypt_batch(&there.fetch()).expect("encryptions") == ms);

    let mut sum = secret.public_key().accumulator(100);
    sum.add_resident(&there).expect("same key");
    sum.add(&encryptor.encrypt_batch(&ms, &mut rng).expect("below n")).expect("same key");
    sum.add_resident(&there).expect("same key");
    assert_eq!(sum.contributions(), 3);
    let total = secret.decrypt_batch(&sum.finish().expect("not empty")).expect("encryptions");
    for (i, m) in (0..).zip(&total) {
        assert_eq!(value(m), number(3 * (1000 + i)));
    }

    let other = SecretKey::<Small>::generate(&mut rng).unwrap();
    let error = other.public_key().accumulator(100).add_resident(&there).expect_err("another key");
    assert!(matches!(error, Error::KeyMismatch { .. }), "{error}");
    let error = secret.public_key().accumulator(99).add_resident(&there).expect_err("another length");
    assert!(matches!(error, Error::BatchLength { .. }), "{error}");
}

/// Batches may wait for each other inside the backend. They must not wait for a thread that waits
/// for them.
#[test]
fn many_threads_share_the_gpu() {
    use rayon::prelude::*;
    if !gpu_is_here() {
        return;
    }
    let mut seed = rng(3);
    let secret = SecretKey::<Small>::generate(&mut seed)
        .unwrap()
        .with_backend(BackendChoice::GpuWithSecretKeys)
        .expect("here");
    let encryptor = Encryptor::new(secret.public_key(), &mut seed).unwrap();
    (0..24_u64).into_par_iter().for_each(|thread| {
        let ms: Vec<_> = (0..=thread).map(|i| plaintext::<Small>(&number(i * i))).collect();
        let sealed = encryptor.encrypt_batch(&ms, &mut rng(thread)).expect("below n");
        assert!(secret.decrypt_batch(&sealed).expect("encryptions") == ms);
    });
}
