//! Tests of executors with generators that repeat themselves.

use crate::{
    federated::LocalExecutor,
    packing::IntegerRange,
    paillier::{hazmat::InsecureBits512, randomness::generator_tests::Repeating},
};

/// The executor derives its streams from the generator. The streams are of good quality, though not
/// secret, so no key, box or encryption fails.
#[test]
fn an_executor_over_a_broken_generator_gives_the_right_sum() {
    for in_turn in [0, 0xff] {
        let builder = LocalExecutor::<InsecureBits512>::builder().clients(1).min_clients(1);
        let executor = builder.rng(Repeating::new(&[in_turn])).build().unwrap();
        let sum = executor.secure_sum([ndarray::array![3_u8]], IntegerRange::of::<u8>()).unwrap();
        assert_eq!(sum.value, ndarray::array![3_u64]);
    }
}
