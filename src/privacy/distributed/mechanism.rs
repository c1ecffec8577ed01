//! The distributed discrete Gaussian mechanism: encodes an update as a noisy integer vector, and
//! decodes the sum.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    parameters::DistributedParameters,
    rotation::{Rotation, RotationParameters},
    rounding::{ConditionalRounding, RoundingParameters},
};
use crate::privacy::{
    accounting::SummedDiscreteGaussian,
    check::{checked, to_float},
    discrete_gaussian::DiscreteGaussian,
    error::{Error, Result},
    modular_range::ModularRange,
    norm::clip_l2,
};

/// The distributed discrete Gaussian mechanism: each client adds a share of the noise. Only the sum
/// has the full noise; a single update does not.
///
/// | step | client | server |
/// | :-- | :-- | :-- |
/// | 1 | clip to an L2 norm of c | |
/// | 2 | [rotate](Rotation), so that all coordinates have about the same magnitude | rotate back |
/// | 3 | scale by 1/γ, round at random | multiply by γ |
/// | 4 | add a share of [noise](DiscreteGaussian) | |
/// | 5 | wrap into b bits, centred at zero | wrap the sum |
///
/// Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with
/// Secure Aggregation", ICML 2021, algorithms 1 and 2. The scale is the same as in TFF's
/// `DistributedDpSumFactory` (with the parameters `mechanism="distributed_dgauss"` and
/// `rotation_type="hd"`). TFF draws noise in floats, and a norm may exceed its bound by rounding
/// errors. Here noise and bound are exact.
///
/// # The sum must be modular
///
/// The guarantee covers the sum modulo 2^b. A sum of the vectors of
/// [`encode_vartime`](Self::encode_vartime) over the integers reveals slightly more: the number of
/// vectors that wrapped in a coordinate. Only the share of noise of a single client hides whether
/// its vector wrapped. The values are centred at zero, so that a wrap at a single client needs an
/// extreme draw of noise. [`decode`](Self::decode) accepts either sum. For the exact guarantee, sum
/// modulo 2^b, or hide the multiples of 2^b.
///
/// # Example
///
/// See [the module](crate::privacy#example).
#[derive(Clone, Debug, PartialEq)]
pub struct DistributedGaussian {
    parameters: DistributedParameters,
    scale: f64,
    rounding: ConditionalRounding,
    noise: DiscreteGaussian,
    range: ModularRange,
}

impl DistributedGaussian {
    /// Computes scale and noise.
    ///
    /// The scale 1/γ is the maximum for which k standard deviations of a value of the sum fit
    /// ½·2^b, if n clients (the maximum number) all contribute the same update of maximum length. A
    /// Gaussian is outside k deviations on either side with probability `modclip_prob`:
    ///
    /// 2^b = 2k·√(c²n²/d + (γ²/4 + σ²)·n)/γ
    ///
    /// with σ for the deviation of a share and d for the padded dimension (sections 4.2 and 4.4 of
    /// the paper). The scale is at most 10⁶, as in TFF, because a finer grid gains nothing. A
    /// probability above 0.8 counts as 0.8.
    ///
    /// # Errors
    ///
    /// - [`Error::Parameter`] if a parameter is out of its range, or if the noise has a variance
    ///   above [`DiscreteGaussian::MAX_VARIANCE`] on the grid.
    /// - [`Error::ModulusTooSmall`] if 2^b is below n, or no scale is small enough.
    pub fn new(parameters: DistributedParameters) -> Result<Self> {
        let DistributedParameters {
            clip,
            noise_multiplier,
            clients,
            bits,
            modclip_prob,
            beta,
            dimension,
            ..
        } = parameters;
        let most = parameters.most_clients();
        let good = (MIN_CLIP..=MAX_CLIP).contains(&clip);
        checked("clip", clip, good, "from 2^-960 to 2^960")?;
        let good = (0.0..=f64::from(1 << 20)).contains(&noise_multiplier);
        checked("noise_multiplier", noise_multiplier, good, "from 0 to 2^20")?;
        checked("clients", clients.into(), clients > 0, "at least 1")?;
        checked("max_clients", most.into(), most >= clients, "at least the expected number")?;
        let good = u64::try_from(dimension).is_ok_and(|dimension| dimension <= 1 << 40)
            && dimension.checked_next_power_of_two().is_some();
        checked("dimension", to_float(dimension), good, "at most 2^40")?;
        checked("bits", bits.into(), (1..=22).contains(&bits), "from 1 to 22")?;
        let good = modclip_prob > 0.0 && modclip_prob < 1.0;
        checked("modclip_prob", modclip_prob, good, "between 0 and 1, both excluded")?;

        let padded =
            Rotation::new(RotationParameters { seed: &[0; 32], round: 0, len: dimension }).padded_len();
        let n = f64::from(most);
        let width = f64::from(bits).exp2();
        // At higher probabilities most values wrap. A finer grid would be useless, and noise on it
        // could exceed its maximum variance.
        let k = two_sided_quantile(modclip_prob).max(MIN_DEVIATIONS);
        // γ²/4 is for the rounding errors. They take their part of the width for every γ.
        let left = width * width - n * k * k;
        if width < n || left <= 0.0 {
            return Err(Error::ModulusTooSmall { bits, clients: most, modclip_prob });
        }
        let share = noise_multiplier * clip / f64::from(clients).sqrt();
        let deviation = (clip * n / to_float(padded).sqrt()).hypot(n.sqrt() * share);
        let scale = (left.sqrt() / (2.0 * k * deviation)).min(MAX_SCALE);

        Ok(Self {
            parameters,
            scale,
            rounding: ConditionalRounding::new(RoundingParameters {
                l2_bound: clip * scale,
                beta,
                dimension: padded,
            })?,
            noise: DiscreteGaussian::new((share * scale).powi(2))?,
            range: ModularRange::signed_bits(bits)?,
        })
    }

    /// The parameters.
    pub const fn parameters(&self) -> &DistributedParameters {
        &self.parameters
    }

    /// 1/γ: the number of grid steps in one unit. If it is not far above 1/`clip`, much of the
    /// precision is lost.
    pub const fn scale(&self) -> f64 {
        self.scale
    }

    /// Standard deviation of one client's noise, in steps of the grid.
    pub fn local_stddev(&self) -> f64 {
        self.noise.variance().sqrt()
    }

    /// The maximum L2 norm of a client's rounded vector before the noise, in steps of the grid.
    pub fn l2_bound(&self) -> f64 {
        self.rounding.inflated_bound()
    }

    /// Standard deviation of all clients' noise, divided by [`l2_bound`](Self::l2_bound). The
    /// guarantee depends on this ratio.
    pub fn effective_noise_multiplier(&self) -> f64 {
        f64::from(self.parameters.clients).sqrt() * self.local_stddev() / self.l2_bound()
    }

    /// Numbers in an encoded vector: the dimension rounded up to a power of two, at least 1.
    pub const fn encoded_len(&self) -> usize {
        self.parameters.dimension.next_power_of_two()
    }

    /// The rotation of a round, from a seed that all parties share; see [`Rotation`].
    pub fn rotation(&self, seed: &[u8; 32], round: u64) -> Rotation {
        Rotation::new(RotationParameters { seed, round, len: self.parameters.dimension })
    }

    /// The cost of one round if `contributors` clients have added noise that the adversary does not
    /// know: the participants, minus dropouts after the sum was fixed, minus colluding clients.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] if there are none.
    pub fn mechanism(&self, contributors: u32) -> Result<SummedDiscreteGaussian> {
        SummedDiscreteGaussian::new(contributors, &self.noise, self.l2_bound(), self.encoded_len())
    }

    /// The client's part: clips, rotates, scales, rounds, adds noise, and wraps. The result has
    /// [`encoded_len`](Self::encoded_len) integers of b bits, centred at zero. It is private only
    /// in a sum with other clients' vectors.
    ///
    /// **Time depends on the noise**, because of the sampling, and on the update, if the rounding
    /// has a bias.
    ///
    /// # Errors
    ///
    /// - [`Error::VectorLength`] if the update's length differs from that of the parameters or the
    ///   rotation.
    /// - [`Error::NotFinite`] if one of its values is infinite or not a number.
    pub fn encode_vartime(
        &self,
        update: &[f64],
        rotation: &Rotation,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Zeroizing<Vec<i64>>> {
        self.check_len(update.len())?;
        let mut clipped = Zeroizing::new(update.to_vec());
        clip_l2(&mut clipped, self.parameters.clip)?;
        let mut rotated = rotation.rotate(&clipped)?;
        rotated.iter_mut().for_each(|x| *x *= self.scale);
        let mut encoded = Zeroizing::new(vec![0; rotated.len()]);
        self.rounding.round_vartime(&rotated, &mut encoded, rng)?;
        for x in encoded.iter_mut() {
            // Each is below 2^49, so the sum is far from overflow.
            *x = self.range.clip(*x + self.noise.sample_vartime(rng)?);
        }
        Ok(encoded)
    }

    /// The server's part: decodes a sum of encoded vectors, over the integers or modulo 2^b, to the
    /// sum of the clipped updates with noise.
    ///
    /// `contributors` is the number of clients in the sum. It is only checked against the maximum.
    /// A mean divides by the expected number, because the true number may be private.
    ///
    /// # Errors
    ///
    /// [`Error::MoreClientsThanExpected`]; [`Error::VectorLength`] unless the sum has
    /// [`encoded_len`](Self::encoded_len) numbers and the rotation is for vectors of the right
    /// length.
    pub fn decode(&self, sum: &[i64], contributors: u32, rotation: &Rotation) -> Result<Vec<f64>> {
        let expected = self.parameters.most_clients();
        if contributors > expected {
            return Err(Error::MoreClientsThanExpected { expected, found: contributors });
        }
        self.check_len(rotation.len())?;
        #[expect(clippy::cast_precision_loss, reason = "at most 22 bits")]
        let values = sum.iter().map(|x| self.range.clip(*x) as f64 / self.scale).collect();
        rotation.unrotate(values)
    }

    fn check_len(&self, found: usize) -> Result<()> {
        let expected = self.parameters.dimension;
        if found == expected { Ok(()) } else { Err(Error::VectorLength { expected, found }) }
    }
}

/// The x that a standard Gaussian exceeds in magnitude with the given probability, between 0 and 1.
fn two_sided_quantile(probability: f64) -> f64 {
    // erfc falls from 1 at 0 to below the smallest float at 28. Bisection: after 60 halvings, the
    // interval is empty.
    let (mut low, mut high) = (0.0, 28.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if libm::erfc(middle) > probability { low = middle } else { high = middle }
    }
    high * std::f64::consts::SQRT_2
}

const MAX_SCALE: f64 = 1e6;

/// The deviations for a probability of 0.8.
const MIN_DEVIATIONS: f64 = 0.25;

/// 2^-960, and its reciprocal. A number of the sum is below 2^59 times the norm, and after the
/// inverse rotation below 2^79.
pub(crate) const MIN_CLIP: f64 = f64::from_bits((1023 - 960) << 52);
const MAX_CLIP: f64 = 1.0 / MIN_CLIP;

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these tests compare for exact equality")]
mod tests;
