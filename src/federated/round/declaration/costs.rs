//! The costs of a round, known before anything runs.

use core::time::Duration;

use super::chunking::Chunking;

/// The costs of a round. Bytes are those of payloads; a
/// [`Channel`](crate::federated::channel::Channel) adds its
/// [overhead](crate::federated::channel::Channel::overhead) to each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundCosts {
    /// Values of one client, without its weights.
    pub values: u64,
    /// Ciphertexts of one client, and of the sum.
    pub ciphertexts: u64,
    /// Messages of one client.
    pub messages: u64,
    /// Bytes of one client's messages.
    pub update_bytes: u64,
    /// Bytes of the messages of the maximum number of clients.
    pub round_bytes: u64,
    /// The maximum number of clients.
    pub max_clients: u32,
}

/// Operations of a machine in one second. `cargo run --release --example throughput` prints them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Encryptions of one client, with its exponents. Short exponents
    /// ([`EncryptionKey::with_short_exponents`](crate::federated::round::EncryptionKey::with_short_exponents))
    /// have another rate, about four times as high: `encrypt_short` in the example's table.
    pub encryptions: f64,
    /// Additions of the aggregator.
    pub additions: f64,
    /// Decryptions of the holder of the key.
    pub decryptions: f64,
}

/// The time of the arithmetic of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundTime {
    /// One client's encryption.
    pub client: Duration,
    /// The aggregator's additions, for the maximum number of clients.
    pub aggregator: Duration,
    /// Decryption of the sum.
    pub key_owner: Duration,
}

impl RoundCosts {
    pub(super) fn of(chunking: &Chunking, key_bits: u32, max_clients: u32) -> Self {
        let ciphertexts = chunking.ciphertexts() as u64;
        let messages = chunking.chunk_count() as u64;
        // A ciphertext is an integer modulo n²; each message has the header of a batch.
        let update_bytes = ciphertexts * u64::from(key_bits / 4) + messages * BATCH_HEADER;
        Self {
            values: chunking.values() as u64,
            ciphertexts,
            messages,
            update_bytes,
            round_bytes: update_bytes.saturating_mul(max_clients.into()),
            max_clients,
        }
    }

    /// Bytes that a client sends for each of its values; zero if it has no values.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn bytes_per_value(&self) -> f64 {
        if self.values == 0 { 0.0 } else { self.update_bytes as f64 / self.values as f64 }
    }

    /// The time of the arithmetic at these rates. A rate that is not positive gives the maximum
    /// duration.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn time(&self, rates: Rates) -> RoundTime {
        let seconds = |operations: f64, rate: f64| {
            let seconds = operations / rate;
            let usable = rate > 0.0 && seconds.is_finite();
            if usable { Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX) } else { Duration::MAX }
        };
        let ciphertexts = self.ciphertexts as f64;
        RoundTime {
            client: seconds(ciphertexts, rates.encryptions),
            aggregator: seconds(ciphertexts * f64::from(self.max_clients), rates.additions),
            key_owner: seconds(ciphertexts, rates.decryptions),
        }
    }
}

/// Bytes of an encoded batch besides its ciphertexts.
const BATCH_HEADER: u64 = 28;
