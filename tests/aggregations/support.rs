//! Functions that the tests share.

use cipherfold::{
    federated::{LocalExecutor, LocalExecutorBuilder},
    paillier::hazmat::InsecureBits512,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub(crate) type Executor = LocalExecutor<InsecureBits512>;

pub(crate) fn builder() -> LocalExecutorBuilder<InsecureBits512> {
    Executor::builder().threads(2).show_client_errors().rng(ChaCha20Rng::seed_from_u64(1))
}

/// An executor that encrypts.
pub(crate) fn encrypted() -> Executor {
    builder().build().unwrap()
}

/// A faster executor without encryption, with the same results.
pub(crate) fn clear() -> Executor {
    builder().in_the_clear().build().unwrap()
}

pub(crate) fn both() -> [Executor; 2] {
    [encrypted(), clear()]
}

/// For rounds over one client, in the clear.
pub(crate) fn clear_for_one() -> Executor {
    builder().min_clients(1).in_the_clear().build().unwrap()
}

/// For rounds over one client.
pub(crate) fn both_for_one() -> [Executor; 2] {
    [builder().min_clients(1).build().unwrap(), clear_for_one()]
}

pub(crate) fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance
}
