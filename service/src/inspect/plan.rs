//! The costs of a round, before anything runs.

use std::time::Duration;

use cipherfold::{
    federated::{
        Digest, KeyHolding, SessionId,
        round::{Rates, RoundCosts, RoundParameters, RoundSpec, SumSpec, TensorSpec},
        tensor::{DType, Encoding, Structure},
    },
    packing::Quantizer,
};
use serde::Serialize;

use crate::error::{Error, Result};

/// The parameters of a planned round.
#[derive(Clone, Copy, Debug)]
pub struct PlannedRound {
    /// Maximum number of clients.
    pub clients: u32,
    /// Values of an update.
    pub values: u64,
    /// Bits of a quantised value.
    pub bits: u32,
    /// Bits of the key.
    pub key_bits: u32,
    /// The maximum weight, if clients have weights.
    pub max_weight: Option<u32>,
    /// Ciphertexts of a message.
    pub chunk_ciphertexts: u32,
}

/// The costs.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Ciphertexts of an update.
    pub ciphertexts: u64,
    /// Values in a ciphertext.
    pub values_per_ciphertext: u64,
    /// Bytes of an update.
    pub update_bytes: u64,
    /// Bytes of the updates of all clients.
    pub round_bytes: u64,
    /// Bytes that a client sends for each value.
    pub bytes_per_value: f64,
    /// The maximum error of an element of the mean, for values from -1 to 1.
    pub error_bound: f64,
    /// Number of objects of an update, of about 4 MiB each.
    pub shards: u64,
    /// Additions of the aggregator: products of ciphertexts.
    pub additions: u64,
    /// Seconds for the transfer of all updates at the given network rate, if one was given.
    pub network_seconds: Option<f64>,
    /// Times of the arithmetic at the given rates, if they were given.
    pub arithmetic: Option<Arithmetic>,
}

/// Times of the arithmetic in seconds. They are for one core if the rates are those of one core.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Arithmetic {
    /// One client's encryption.
    pub client_seconds: f64,
    /// The aggregator's additions.
    pub aggregator_seconds: f64,
    /// Decryption of the sum.
    pub server_seconds: f64,
}

/// Computes the costs of a round.
///
/// # Errors
///
/// Those of [`RoundSpec::new`]; [`Error::Setting`] for more values than this machine can count.
pub fn plan(round: PlannedRound, rates: Option<Rates>, network_bits_per_second: Option<f64>) -> Result<Plan> {
    let too_many =
        |_| Error::Setting { setting: "--values", reason: "more than this machine can count".to_owned() };
    let values = usize::try_from(round.values).map_err(too_many)?;
    let encoding = Encoding::Mean(Quantizer::symmetric(1.0, round.bits)?);
    let sum = SumSpec::new(Structure::leaf(TensorSpec::new(DType::F32, [values], encoding)));
    let spec = RoundSpec::new(RoundParameters {
        session: SessionId::from_bytes([0; SessionId::LEN]),
        round: 0,
        key_bits: round.key_bits,
        key_holding: KeyHolding::Server,
        offer: Digest::NONE,
        sums: vec![round.max_weight.map_or(sum.clone(), |max| sum.weighted(max))],
        max_clients: round.clients,
        min_clients: round.clients.min(2),
        chunk_ciphertexts: round.chunk_ciphertexts,
    })?;
    let costs = spec.costs();
    let bounds = spec.error_bounds();
    Ok(Plan {
        ciphertexts: costs.ciphertexts,
        values_per_ciphertext: costs.values.div_ceil(costs.ciphertexts.max(1)),
        update_bytes: costs.update_bytes,
        round_bytes: costs.round_bytes,
        bytes_per_value: costs.bytes_per_value(),
        error_bound: bounds.iter().flat_map(Structure::iter).copied().fold(0.0, f64::max),
        shards: costs.update_bytes.div_ceil(4 << 20).clamp(1, costs.messages.max(1)),
        additions: costs.ciphertexts.saturating_mul(round.clients.into()),
        network_seconds: network_bits_per_second.map(|rate| seconds_on_network(&costs, rate)),
        arithmetic: rates.map(|rates| arithmetic(&costs, rates)),
    })
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn seconds_on_network(costs: &RoundCosts, bits_per_second: f64) -> f64 {
    costs.round_bytes as f64 * 8.0 / bits_per_second
}

fn arithmetic(costs: &RoundCosts, rates: Rates) -> Arithmetic {
    let time = costs.time(rates);
    Arithmetic {
        client_seconds: Duration::as_secs_f64(&time.client),
        aggregator_seconds: Duration::as_secs_f64(&time.aggregator),
        server_seconds: Duration::as_secs_f64(&time.key_owner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: PlannedRound = PlannedRound {
        clients: 1000,
        values: 1_000_000_000,
        bits: 16,
        key_bits: 2048,
        max_weight: None,
        chunk_ciphertexts: 512,
    };

    /// The figures in the documentation.
    #[test]
    fn a_thousand_clients_with_a_billion_values() {
        let plan = plan(LARGE, None, Some(10e9)).unwrap();
        assert_eq!((plan.ciphertexts, plan.values_per_ciphertext), (12_820_513, 78));
        assert_eq!(plan.update_bytes / 10_000_000, 656, "6.56 GB");
        assert_eq!(plan.round_bytes / 10_000_000_000, 656, "6.56 TB");
        assert_eq!(plan.additions, 12_820_513_000);
        let network = plan.network_seconds.unwrap();
        assert!((5200.0..5300.0).contains(&network), "{network}");
    }

    #[test]
    fn rates_give_times() {
        let rates = Rates { encryptions: 10_500.0, additions: 1_744_000.0, decryptions: 3_127.0 };
        let times = plan(LARGE, Some(rates), None).unwrap().arithmetic.unwrap();
        assert!((1200.0..1250.0).contains(&times.client_seconds), "{times:?}");
        assert!((7300.0..7400.0).contains(&times.aggregator_seconds), "{times:?}");
        assert!((4000.0..4200.0).contains(&times.server_seconds), "{times:?}");
    }

    #[test]
    fn rounds_that_cannot_be_are_refused() {
        assert!(plan(PlannedRound { key_bits: 1000, ..LARGE }, None, None).is_err());
        assert!(plan(PlannedRound { clients: 0, ..LARGE }, None, None).is_err());
        assert!(plan(PlannedRound { bits: 64, ..LARGE }, None, None).is_err());
    }
}
