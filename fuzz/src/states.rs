//! States of processes, accountants and estimators from JSON and from postcard, and operations on
//! them.

use std::sync::LazyLock;

use cipherfold::{
    federated::{
        LocalExecutor,
        aggregation::{
            ModularClippingSum, Process, Schedule, SecureClippingSum, Sum, WeightedProcess, secure_aggregator,
        },
    },
    privacy::{Accountant, DistributedGaussian, DistributedParameters, Gaussian, QuantileEstimator},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::Key;

/// Rounds without cryptography, on one thread.
static EXECUTOR: LazyLock<LocalExecutor<Key>> =
    LazyLock::new(|| LocalExecutor::builder().in_the_clear().threads(1).build().expect("valid settings"));

/// The first byte selects the state and its format.
pub fn run(data: &[u8]) {
    let Some((door, data)) = data.split_first() else { return };
    let text = door & 0x80 != 0;
    match door % 8 {
        0 => {
            if let Some(accountant) = read::<Accountant>(data, text) {
                account(accountant);
            }
        }
        1 => {
            if let Some(estimator) = read::<QuantileEstimator>(data, text) {
                let _ = estimator.report();
                let _ = estimator.next(0.3).map(|estimator| estimator.report());
            }
        }
        2 => {
            if let Some(mechanism) = read::<Gaussian>(data, text) {
                let mut accountant = Accountant::new();
                accountant.compose(&mechanism, 10);
                account(accountant);
            }
        }
        3 => {
            if let Some((lower, upper)) = read::<(i64, i64)>(data, text)
                && let Ok(sum) = ModularClippingSum::new(lower, upper, Sum)
            {
                let round = Process::new(sum).run(&*EXECUTOR, [i64::MIN, -1, 0, i64::MAX]);
                let sum = round.expect("any integers have a sum").value;
                assert!(lower <= sum && sum < upper);
            }
        }
        4 => {
            if let Some(parameters) = read::<DistributedParameters>(data, text) {
                // The work is proportional to the dimension, which is the length of a vector.
                if parameters.dimension <= 64
                    && let Ok(mechanism) = DistributedGaussian::new(parameters)
                {
                    assert!(mechanism.local_stddev().is_finite() && mechanism.l2_bound().is_finite());
                    let sum = vec![i64::MIN; mechanism.encoded_len()];
                    let decoded =
                        mechanism.decode(&sum, 1, &mechanism.rotation(&[1; 32], 0)).expect("a sum of one");
                    assert!(decoded.iter().all(|x| x.is_finite()));
                    if let Ok(mechanism) = mechanism.mechanism(1) {
                        let mut accountant = Accountant::new();
                        accountant.compose(&mechanism, 3);
                        account(accountant);
                    }
                }
            }
        }
        5 => schedule(data, text),
        6 => secure(data, text),
        _ => {
            if let Some(bytes) = data.first_chunk() {
                let _ = Gaussian::new(f64::from_le_bytes(*bytes)).map(|gaussian| {
                    let mut accountant = Accountant::new();
                    accountant.compose(&gaussian, u32::MAX);
                    account(accountant);
                });
            }
        }
    }
}

/// A value from one of the formats. It must survive a round trip through both.
fn read<T: Serialize + DeserializeOwned>(data: &[u8], text: bool) -> Option<T> {
    let value: T = if text { serde_json::from_slice(data).ok()? } else { postcard::from_bytes(data).ok()? };
    let json = serde_json::to_vec(&value).expect("plain data");
    let bytes = postcard::to_allocvec(&value).expect("plain data");
    let from_json: T = serde_json::from_slice(&json).expect("what was written");
    let from_bytes: T = postcard::from_bytes(&bytes).expect("what was written");
    for again in [from_json, from_bytes] {
        assert_eq!(postcard::to_allocvec(&again).expect("plain data"), bytes, "another value came back");
    }
    Some(value)
}

/// No spent budget may return, and no result may be NaN.
fn account(mut accountant: Accountant) {
    let before = accountant.epsilon(1e-5).expect("a delta");
    assert!(before >= 0.0, "{before}");
    let delta = accountant.delta(1.0).expect("an epsilon");
    assert!((0.0..=1.0).contains(&delta), "{delta}");
    accountant.compose(&Gaussian::new(1.0).expect("a multiplier"), 1);
    let after = accountant.epsilon(1e-5).expect("a delta");
    assert!(after >= before, "{after} after {before}");
}

fn schedule(data: &[u8], text: bool) {
    let sum = || SecureClippingSum::adaptive(Schedule::new(|round| 1.0 + (round % 8) as f64));
    let process = Process::<f32, _>::new(sum());
    let Some(state) = like(process.state(), data, text) else { return };
    let _ = Process::<f32, _>::resume(sum(), state).run(&*EXECUTOR, [0.5_f32, -0.5]);
}

fn secure(data: &[u8], text: bool) {
    let process = WeightedProcess::<f32, _>::new(secure_aggregator());
    let Some(state) = like(process.state(), data, text) else { return };
    let mut process = WeightedProcess::<f32, _>::resume(secure_aggregator(), state);
    for _ in 0..2 {
        if let Ok(round) = process.run(&*EXECUTOR, [0.5_f32, -0.5], [1.0, 2.0]) {
            assert!(round.value.is_finite(), "{}", round.value);
            assert!((-0.5..=0.5).contains(&round.value), "{}", round.value);
        }
    }
}

fn like<T: Serialize + DeserializeOwned>(_: &T, data: &[u8], text: bool) -> Option<T> {
    read(data, text)
}
