//! A key holder apart from the server, one line away from the default: who sends what to whom, and what the key holder sees.
//!
//! ```text
//! cargo run --release --example key_holder
//! ```

use std::sync::Arc;

use cipherfold::{
    Result,
    federated::{
        BoxChannel, Channel, ChannelGrid, Envelope, KeyHolding, LocalExecutor, MaskedTotals, Message, Party,
        PlacementKind::{KeyHolder, Server},
    },
    packing::IntegerRange,
    paillier::Bits2048,
};
use ndarray::{Array1, array};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

fn main() -> Result<()> {
    let counts = [array![3_u16, 141], array![59, 26], array![535, 897]];
    let range = IntegerRange::up_to(1000);

    // Listens at the key holder's door, to show what it sees.
    let door = Arc::new(Door(BoxChannel::new()));
    let grid = ChannelGrid::default().with(Server, KeyHolder, door)?;

    let executor = LocalExecutor::<Bits2048>::builder()
        .key_holding(KeyHolding::KeyHolder) // the one line
        .channels(grid)
        .build()?;
    let sum = executor.secure_sum(&counts, range)?;
    println!("the server has the sum {}\n\n{}", sum.value, sum.report);

    let expected: Array1<u64> = counts.iter().fold(Array1::zeros(2), |sum, x| sum + x.mapv(u64::from));
    assert_eq!(sum.value, expected);
    // The server has no key, and could not open anything together with the aggregator either.
    assert!(executor.secret_key()?.is_none());
    Ok(())
}

/// A box that prints what the key holder has decrypted, before it goes back to the server.
#[derive(Debug)]
struct Door(BoxChannel);

impl Channel for Door {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn overhead(&self) -> usize {
        self.0.overhead()
    }

    fn setup_bytes(&self) -> u64 {
        self.0.setup_bytes()
    }

    fn seal(&self, envelope: &Envelope, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>> {
        if let (Party::KeyHolder, Ok(totals)) = (envelope.from, MaskedTotals::<Bits2048>::from_bytes(payload))
            && let [total] = &totals.plaintexts[..]
        {
            let bytes = total.to_be_bytes();
            let digits = u64::from_be_bytes(*bytes.first_chunk().expect("there are 256 bytes"));
            println!(
                "the key holder sees a number of 2048 bits that begins with {digits:016x}: the sum behind a mask"
            );
        }
        self.0.seal(envelope, payload, rng)
    }

    fn open(&self, envelope: &Envelope, wire: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.0.open(envelope, wire)
    }
}
