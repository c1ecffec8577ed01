//! The parameters that clients and server share.

use serde::{Deserialize, Serialize};

use crate::privacy::check::finite;

/// The shared parameters of the clients and the server of a
/// [`DistributedGaussian`](crate::privacy::DistributedGaussian).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistributedParameters {
    /// L2 norm to which every update is clipped: from 2⁻⁹⁶⁰ to 2⁹⁶⁰, so that no sum overflows.
    #[serde(deserialize_with = "finite")]
    pub clip: f64,
    /// Standard deviation of the noise in the sum of all clients, divided by `clip`. From 0 to 2²⁰.
    ///
    /// Rounding makes updates longer. The guarantee therefore depends on
    /// [`effective_noise_multiplier`](crate::privacy::DistributedGaussian::effective_noise_multiplier),
    /// not on this ratio.
    #[serde(deserialize_with = "finite")]
    pub noise_multiplier: f64,
    /// Expected number of clients of a round. Each adds 1/√n of the noise.
    pub clients: u32,
    /// Maximum number of clients of a round, at least the expected number, which is the default. It
    /// determines the modulus: a sum over more clients would wrap around far more often than
    /// requested, and is refused. If clients are sampled at random, set it above the expected
    /// number.
    pub max_clients: Option<u32>,
    /// Bits of a value of the sum: 1 to 22.
    pub bits: u32,
    /// Probability that a value of the sum wraps around: between 0 and 1, both excluded.
    #[serde(deserialize_with = "finite")]
    pub modclip_prob: f64,
    /// Bias of the random rounding, which repeats results that are too long: from 0 (no bias) to
    /// 0.99.
    #[serde(deserialize_with = "finite")]
    pub beta: f64,
    /// Numbers in an update: at most 2⁴⁰.
    pub dimension: usize,
}

impl DistributedParameters {
    /// The defaults of TFF: a clip of 0.1, 20 bits, a wrapping probability of 10⁻⁴ and a rounding
    /// without bias. `noise_multiplier`, `clients` and `dimension` have no default. The first two
    /// must be set. A dimension of 0 only fits an empty update.
    pub const DEFAULTS: Self = Self {
        clip: 0.1,
        noise_multiplier: f64::NAN,
        clients: 0,
        max_clients: None,
        bits: 20,
        modclip_prob: 1e-4,
        beta: 0.0,
        dimension: 0,
    };

    /// The maximum number of clients: as stated, otherwise the expected number.
    pub const fn most_clients(&self) -> u32 {
        match self.max_clients {
            Some(clients) => clients,
            None => self.clients,
        }
    }
}
