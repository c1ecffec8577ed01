//! Five clients each hold `[i, i + 1]`; the server learns `[10, 15]` and nothing else.
//!
//! ```text
//! cargo run --release --example secure_sum
//! ```

use cipherfold::{Result, federated::LocalExecutor, packing::IntegerRange};
use ndarray::array;

fn main() -> Result<()> {
    let updates: Vec<_> = (0..5).map(|i| array![i, i + 1]).collect();

    let executor = LocalExecutor::new()?; // a session: 3072-bit key, made at the first run
    let sum = executor.secure_sum(&updates, IntegerRange::signed_bits(16)?)?;

    println!("{}\n\n{}", sum.value, sum.report);
    assert_eq!(sum.value, array![10i64, 15]);
    Ok(())
}
