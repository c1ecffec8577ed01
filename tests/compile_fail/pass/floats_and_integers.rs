//! Integers in a sum, floating-point numbers in a mean.

use cipherfold::{
    Result,
    federated::LocalExecutor,
    packing::{IntegerRange, Quantizer},
    paillier::hazmat::InsecureBits512,
};
use ndarray::array;

pub(crate) fn main() -> Result<()> {
    let executor = LocalExecutor::<InsecureBits512>::builder().build()?;
    let sum = executor.secure_sum([array![1i32], array![2]], IntegerRange::up_to(7))?;
    assert_eq!(sum.value, array![3i64]);
    let mean = executor.secure_mean([array![0.0f32], array![1.0]], Quantizer::symmetric(1.0, 8)?)?;
    assert!((mean.value[0] - 0.5).abs() < 0.01);
    Ok(())
}
