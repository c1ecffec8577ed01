//! A key holder separate from the server, which takes one line. Shows all messages, and the
//! key holder's view.
//!
//! ```text
//! cargo run --release --example key_holder
//! ```

mod common {
    pub(crate) mod cli;
    pub(crate) mod escape;
}

use std::{
    io::Write,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use cipherfold::{
    federated::{
        KeyHolding, LocalExecutor, Party,
        PlacementKind::{KeyHolder, Server},
        channel::{self, Channel, ChannelGrid, Envelope, HpkeChannel, OpenedPayload},
    },
    packing::IntegerRange,
    paillier::{Bits2048, KeySize},
};
use ndarray::{Array1, array};
use rand_core::CryptoRng;

use common::cli::{Failure, Output};

/// A key holder separate from the server: shows all messages, and the key holder's view.
#[derive(clap::Parser)]
#[command(name = "key_holder")]
struct Args;

fn main() -> ExitCode {
    common::cli::run(|Args, out| key_holder(out))
}

fn key_holder(out: &mut Output) -> Result<(), Failure> {
    let counts = [array![3_u16, 141], array![59, 26], array![535, 897]];
    let range = IntegerRange::up_to(1000);

    // Records the key holder's view.
    let recorder = Arc::new(Recorder { channel: HpkeChannel::new(), seen: Mutex::default() });
    let grid = ChannelGrid::default().with(Server, KeyHolder, Arc::<Recorder>::clone(&recorder))?;

    let executor = LocalExecutor::<Bits2048>::builder()
        .key_holding(KeyHolding::KeyHolder) // the one line
        .channels(grid)
        .build()?;
    let sum = executor.secure_sum(&counts, range)?;
    for seen in recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        writeln!(out, "the key holder sees {seen}: the sum behind a mask")?;
    }
    writeln!(out, "the server has the sum {}\n\n{}", sum.value, sum.report())?;

    let expected: Array1<u64> = counts.iter().fold(Array1::zeros(2), |sum, x| sum + x.mapv(u64::from));
    assert_eq!(sum.value, expected);
    // The server has no key. Together with the aggregator it could not open anything either.
    assert!(executor.secret_key()?.is_none());
    Ok(())
}

/// A channel that records the numbers that the key holder has decrypted, before they go back to the
/// server.
#[derive(Debug)]
struct Recorder {
    channel: HpkeChannel,
    seen: Mutex<Vec<String>>,
}

impl Channel for Recorder {
    fn name(&self) -> &'static str {
        self.channel.name()
    }

    fn is_confidential(&self) -> bool {
        self.channel.is_confidential()
    }

    fn overhead(&self) -> usize {
        self.channel.overhead()
    }

    fn setup_bytes(&self) -> u64 {
        self.channel.setup_bytes()
    }

    fn seal(
        &self,
        envelope: &Envelope,
        payload: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, channel::Error> {
        // Masked sums are integers modulo n, big-endian: here there is one. The key holder's other
        // message is its offer.
        if envelope.from == Party::KeyHolder && payload.len() == Bits2048::BYTES {
            let digits = u64::from_be_bytes(*payload.first_chunk().expect("there are 256 bytes"));
            let seen = format!("a number of 2048 bits that begins with {digits:016x}");
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        }
        self.channel.seal(envelope, payload, rng)
    }

    fn open(&self, from: Party, to: Party, wire: &[u8]) -> Result<(Envelope, OpenedPayload), channel::Error> {
        self.channel.open(from, to, wire)
    }
}
