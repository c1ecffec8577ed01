//! The distributed discrete Gaussian mechanism: encodes an update as a noisy integer vector, and
//! decodes the sum.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    ConditionalRounding, DiscreteGaussian, ModularRange, Rotation, RotationParameters, RoundingParameters,
    SummedDiscreteGaussian, checked, clip_l2, finite, to_float,
};
use super::{Error, Result};

/// The shared parameters of the clients and the server of a [`DistributedGaussian`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistributedParameters {
    /// L2 norm to which every update is clipped: from 2⁻⁹⁶⁰ to 2⁹⁶⁰, so that no sum overflows.
    #[serde(deserialize_with = "finite")]
    pub clip: f64,
    /// Standard deviation of the noise in the sum of all clients, divided by `clip`. From 0 to 2²⁰.
    ///
    /// Rounding makes updates longer. The guarantee therefore depends on
    /// [`DistributedGaussian::effective_noise_multiplier`], not on this ratio.
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
    /// Bias of the [conditional rounding](ConditionalRounding): from 0 (no bias) to 0.99.
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

/// The distributed discrete Gaussian mechanism: each client adds a share of the noise. Only the sum
/// has the full noise; a single update does not.
///
/// | step | client | server |
/// | :-- | :-- | :-- |
/// | 1 | [clip](clip_l2) to an L2 norm of c | |
/// | 2 | [rotate](Rotation), so that all coordinates have about the same magnitude | rotate back |
/// | 3 | scale by 1/γ, [round](ConditionalRounding) at random | multiply by γ |
/// | 4 | add a share of [noise](DiscreteGaussian) | |
/// | 5 | [wrap](ModularRange) into b bits | wrap the sum |
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
    /// Gaussian is outside of k deviations on either side with probability `modclip_prob`:
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

    /// The noise of one client, in steps of the grid.
    pub const fn noise(&self) -> &DiscreteGaussian {
        &self.noise
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

    /// The representatives modulo 2^b, centred at zero.
    pub const fn range(&self) -> &ModularRange {
        &self.range
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
    /// [`encoded_len`](Self::encoded_len) integers in [`range`](Self::range). It is private only in
    /// a sum with other clients' vectors.
    ///
    /// **Time depends on the noise**, because of the sampling, and on the update, if the rounding
    /// has a bias.
    ///
    /// # Errors
    ///
    /// - [`Error::VectorLength`] if the update has another length than the parameters or the
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
mod tests {
    use super::{
        super::{
            Accountant, l2_norm,
            tests::{moments, rng},
        },
        *,
    };

    /// TFF's test factory.
    fn parameters() -> DistributedParameters {
        DistributedParameters {
            bits: 16,
            noise_multiplier: 0.5,
            clients: 100,
            dimension: 50,
            ..DistributedParameters::DEFAULTS
        }
    }

    fn sum(mechanism: &DistributedGaussian, updates: &[Vec<f64>], rotation: &Rotation, seed: u8) -> Vec<i64> {
        let rng = &mut rng(seed);
        let mut sum = vec![0; mechanism.encoded_len()];
        for update in updates {
            let encoded = mechanism.encode_vartime(update, rotation, rng).unwrap();
            sum.iter_mut().zip(encoded.iter()).for_each(|(sum, x)| *sum += x);
        }
        sum
    }

    #[test]
    fn bad_parameters_are_refused() {
        // TFF's cases; those of a wrong type or an unknown mechanism do not compile here.
        let base = parameters();
        for (name, bad) in [
            ("noise_multiplier", DistributedParameters { noise_multiplier: -1.0, ..base }),
            ("bits", DistributedParameters { bits: 0, ..base }),
            ("bits", DistributedParameters { bits: 25, ..base }),
            ("modclip_prob", DistributedParameters { modclip_prob: 0.0, ..base }),
            ("modclip_prob", DistributedParameters { modclip_prob: 1.0, ..base }),
            ("modclip_prob", DistributedParameters { modclip_prob: -1.0, ..base }),
            ("clients", DistributedParameters { clients: 0, ..base }),
            ("clip", DistributedParameters { clip: 0.0, ..base }),
            ("clip", DistributedParameters { clip: -1.0, ..base }),
            ("beta", DistributedParameters { beta: -1.0, ..base }),
            ("beta", DistributedParameters { beta: 1.0, ..base }),
            // Further cases.
            ("noise_multiplier", DistributedParameters { noise_multiplier: f64::NAN, ..base }),
            ("clip", DistributedParameters { clip: f64::INFINITY, ..base }),
            ("modclip_prob", DistributedParameters { modclip_prob: f64::NAN, ..base }),
            ("clip", DistributedParameters { clip: 1.7e308, ..base }),
            ("clip", DistributedParameters { clip: 5e-324, ..base }),
            ("noise_multiplier", DistributedParameters { noise_multiplier: 1e300, ..base }),
            ("max_clients", DistributedParameters { max_clients: Some(99), ..base }),
            ("dimension", DistributedParameters { dimension: (1 << 40) + 1, ..base }),
            ("dimension", DistributedParameters { dimension: (1 << 63) + 1, ..base }),
            ("dimension", DistributedParameters { dimension: usize::MAX, ..base }),
        ] {
            match DistributedGaussian::new(bad) {
                Err(Error::Parameter { name: found, .. }) => assert_eq!(found, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        // 2^b < n; and 2^b < k·√n with n small enough for the first.
        for (bits, clients, modclip_prob) in [(6, 65, 0.5), (1, 2, 1e-4)] {
            let error =
                DistributedGaussian::new(DistributedParameters { clients, bits, modclip_prob, ..base });
            assert_eq!(error, Err(Error::ModulusTooSmall { bits, clients, modclip_prob }));
        }
        assert!(DistributedGaussian::new(DistributedParameters { bits: 6, clients: 64, ..base }).is_ok());
    }

    #[test]
    fn the_scale_solves_its_equation() {
        for (noise_multiplier, clients, bits, clip, dimension) in
            [(0.5, 100, 16, 0.1, 50), (1.0, 1000, 20, 1.0, 1 << 14), (0.0, 40, 12, 10.0, 3)]
        {
            let parameters = DistributedParameters {
                clip,
                noise_multiplier,
                clients,
                bits,
                dimension,
                ..DistributedParameters::DEFAULTS
            };
            let mechanism = DistributedGaussian::new(parameters).unwrap();
            let (gamma, n, d) =
                (1.0 / mechanism.scale(), f64::from(clients), to_float(mechanism.encoded_len()));
            let share = noise_multiplier * clip / n.sqrt();
            let variance = (clip * n).powi(2) / d + (gamma * gamma / 4.0 + share * share) * n;
            // 99.99 % of a Gaussian are within 3.8905918864131 deviations.
            let width = 2.0 * 3.890_591_886_413_1 * variance.sqrt() / gamma;
            assert!((width / f64::from(1 << bits) - 1.0).abs() < 1e-12);
            assert!((mechanism.local_stddev() - share / gamma).abs() <= 1e-9 * mechanism.local_stddev());
            let bound = clip / gamma + d.sqrt();
            assert!(mechanism.l2_bound() <= bound && mechanism.l2_bound() > bound - 1.0);
            assert_eq!(mechanism.range().modulus(), 1 << bits);
        }
        // TFF's reason for a maximum scale: no noise, 20 bits and 10 clients.
        let capped = DistributedGaussian::new(DistributedParameters {
            noise_multiplier: 0.0,
            clients: 10,
            dimension: 1 << 20,
            ..DistributedParameters::DEFAULTS
        })
        .unwrap();
        assert_eq!(capped.scale(), 1e6);
    }

    #[test]
    fn quantiles_are_those_of_tables() {
        for (probability, expected) in
            [(0.05, 1.959_963_984_540_054), (0.317_310_507_862_914_1, 1.0), (0.5, 0.674_489_750_196_081_7)]
        {
            assert!((two_sided_quantile(probability) - expected).abs() < 1e-12);
        }
        assert!((37.0..38.6).contains(&two_sided_quantile(1e-308)));
        assert!(two_sided_quantile(1.0 - 1e-15) < 1e-14);
    }

    #[test]
    fn sums_without_noise_are_those_of_tff() {
        // distributed_dp_test, test_sum: a scalar, and a matrix, with both kinds of rounding.
        for (clients, expected) in [
            (vec![vec![-1.0], vec![2.0], vec![3.0]], vec![4.0]),
            (vec![vec![1.0, 2.0, 1.0, 2.0], vec![2.0, 1.0, 2.0, 1.0]], vec![3.0; 4]),
        ] {
            for beta in [0.0, (-0.5_f64).exp()] {
                let count = u32::try_from(clients.len()).unwrap();
                let parameters = DistributedParameters {
                    clip: 10.0,
                    beta,
                    noise_multiplier: 0.0,
                    clients: count,
                    dimension: expected.len(),
                    ..DistributedParameters::DEFAULTS
                };
                let mechanism = DistributedGaussian::new(parameters).unwrap();
                for round in 0..2 {
                    let rotation = mechanism.rotation(&[5; 32], round);
                    let found =
                        mechanism.decode(&sum(&mechanism, &clients, &rotation, 1), count, &rotation).unwrap();
                    for (x, y) in found.iter().zip(&expected) {
                        assert!((x - y).abs() < 1e-3, "{found:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_sum_has_the_mean_and_the_noise_that_were_predicted() {
        let clients = 20;
        for beta in [0.0, (-0.5_f64).exp()] {
            let parameters = DistributedParameters {
                clip: 2.0,
                bits: 18,
                beta,
                noise_multiplier: 0.7,
                clients,
                dimension: 50,
                ..DistributedParameters::DEFAULTS
            };
            let mechanism = DistributedGaussian::new(parameters).unwrap();
            // The last update is too long, and counts as clipped.
            let mut updates: Vec<Vec<f64>> = (0..clients)
                .map(|i| (0..50).map(|j| f64::from((i * 31 + j * 17) % 23) / 60.0 - 0.18).collect())
                .collect();
            updates[19].iter_mut().for_each(|x| *x *= 10.0);
            let mut clipped = updates.clone();
            for (i, update) in clipped.iter_mut().enumerate() {
                assert_eq!(clip_l2(update, 2.0).unwrap() > 2.0, i == 19);
            }
            let expected: Vec<f64> = (0..50).map(|j| clipped.iter().map(|update| update[j]).sum()).collect();

            let mut errors = vec![];
            for round in 0..200 {
                let rotation = mechanism.rotation(&[8; 32], round.into());
                let sum = sum(&mechanism, &updates, &rotation, round);
                let found = mechanism.decode(&sum, clients, &rotation).unwrap();
                errors.extend(found.iter().zip(&expected).map(|(x, y)| x - y));
                // Multiples of the modulus do not change the result.
                let wrapped: Vec<i64> = sum.iter().map(|x| mechanism.range().clip(*x + (1 << 18))).collect();
                assert_eq!(mechanism.decode(&wrapped, clients, &rotation).unwrap(), found);
            }
            let (mean, variance) = moments(&errors);
            let count = to_float(errors.len());
            // Noise of 0.7·2, and rounding errors of up to 1/4 each, which are less than a
            // millionth of it.
            let predicted = 1.4_f64.powi(2);
            assert!(mean.abs() < 5.0 * (predicted / count).sqrt(), "{mean}");
            assert!(
                (variance / predicted - 1.0).abs() < 5.0 * (2.0 / count).sqrt(),
                "{variance}, not {predicted}"
            );
        }
    }

    #[test]
    fn values_wrap_as_rarely_as_was_asked() {
        // The worst case for the scale: all clients contribute the same long update.
        let parameters = DistributedParameters {
            clip: 1.0,
            bits: 10,
            modclip_prob: 0.01,
            noise_multiplier: 0.5,
            clients: 8,
            dimension: 64,
            ..DistributedParameters::DEFAULTS
        };
        let mechanism = DistributedGaussian::new(parameters).unwrap();
        let updates = vec![vec![0.125; 64]; 8];
        let (mut wrapped, mut total) = (0, 0);
        for round in 0..200 {
            let rotation = mechanism.rotation(&[8; 32], round.into());
            let found = sum(&mechanism, &updates, &rotation, round);
            wrapped += found.iter().filter(|x| mechanism.range().clip(**x) != **x).count();
            total += found.len();
        }
        // About 128 of 12,800. Coordinates of a round are dependent, so the count varies more than
        // independent ones would.
        assert!((64..200).contains(&wrapped), "{wrapped} of {total}");
    }

    #[test]
    fn the_price_follows_from_the_parameters() {
        let mechanism = DistributedGaussian::new(DistributedParameters {
            clip: 1.0,
            noise_multiplier: 1.0,
            clients: 100,
            dimension: 1000,
            ..DistributedParameters::DEFAULTS
        })
        .unwrap();
        let multiplier = mechanism.effective_noise_multiplier();
        assert!((0.95..1.0).contains(&multiplier), "{multiplier}");
        let cost = mechanism.mechanism(100).unwrap().concentrated_epsilon();
        assert!((cost * multiplier - 1.0).abs() < 1e-9);
        // The adversary knows half of the noise: half the variance remains.
        let cost_of_half = mechanism.mechanism(50).unwrap().concentrated_epsilon();
        assert!((cost_of_half / cost - 2.0_f64.sqrt()).abs() < 1e-9);
        assert!(mechanism.mechanism(0).is_err());

        // Without noise, or with too little for the proof, there is no guarantee.
        for noise_multiplier in [0.0, 1e-4] {
            let parameters = DistributedParameters { noise_multiplier, bits: 12, ..*mechanism.parameters() };
            let mut accountant = Accountant::new();
            accountant.compose(&DistributedGaussian::new(parameters).unwrap().mechanism(100).unwrap(), 1);
            assert_eq!(accountant.epsilon(1e-5), Ok(f64::INFINITY));
        }
    }

    #[test]
    fn numbers_that_json_cannot_carry_are_not_read() {
        let good = DistributedParameters { noise_multiplier: 1.0, ..DistributedParameters::DEFAULTS };
        for clip in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let bytes = postcard::to_allocvec(&DistributedParameters { clip, ..good }).unwrap();
            assert!(postcard::from_bytes::<DistributedParameters>(&bytes).is_err(), "{clip}");
        }
        let bytes = postcard::to_allocvec(&good).unwrap();
        assert_eq!(postcard::from_bytes::<DistributedParameters>(&bytes).unwrap(), good);
    }

    /// Typical and worst-case updates, at every extreme of the accepted parameters.
    #[test]
    fn all_accepted_parameters_give_finite_and_bounded_sums() {
        let mut accepted = 0;
        for clip in [MIN_CLIP, 1e-300, 1e-10, 1.0, 1e10, 1e280, MAX_CLIP, f64::MAX, 1e-310] {
            for noise_multiplier in [0.0, 1e-300, 0.5, 1e3, 1_048_576.0, 1e30] {
                for (clients, max_clients) in [(1, None), (3, None), (2, Some(3)), (1000, Some(1 << 21))] {
                    for bits in [1, 2, 8, 22] {
                        for modclip_prob in [1e-308, 1e-4, 0.999, 1.0 - 1e-16] {
                            let parameters = DistributedParameters {
                                clip,
                                bits,
                                modclip_prob,
                                max_clients,
                                noise_multiplier,
                                clients,
                                dimension: 3,
                                ..DistributedParameters::DEFAULTS
                            };
                            accepted += u32::from(gives_finite_sums(parameters));
                        }
                    }
                }
            }
        }
        assert!(accepted > 500, "{accepted}");
        // A bias close to 1 would draw forever, and is refused.
        for beta in [0.9, 0.99, 0.999_999, 1.0 - f64::EPSILON / 2.0] {
            for clip in [1e-5, 1e-3, 1.0] {
                let parameters = DistributedParameters {
                    clip,
                    beta,
                    noise_multiplier: 0.5,
                    clients: 3,
                    dimension: 3,
                    ..DistributedParameters::DEFAULTS
                };
                assert_eq!(gives_finite_sums(parameters), beta <= 0.99);
            }
        }
    }

    fn gives_finite_sums(parameters: DistributedParameters) -> bool {
        let Ok(mechanism) = DistributedGaussian::new(parameters) else { return false };
        let rotation = mechanism.rotation(&[3; 32], 0);
        let updates = [vec![f64::MAX; 3], vec![parameters.clip / 2.0, 0.0, -1e-320]];
        let most = parameters.most_clients();
        let clients = most.min(2) as usize;
        let sums = [sum(&mechanism, &updates[..clients], &rotation, 9), vec![i64::MAX; 4], vec![i64::MIN; 4]];
        for sum in sums {
            let found = mechanism.decode(&sum, most, &rotation).unwrap();
            // Within the modulus.
            let bound = f64::from(1 << parameters.bits) / mechanism.scale() * 2.0;
            assert!(bound.is_finite() && found.iter().all(|x| x.abs() <= bound), "{parameters:?}: {found:?}");
        }
        assert!(mechanism.effective_noise_multiplier() >= 0.0, "{parameters:?}");
        assert!(mechanism.local_stddev().is_finite() && mechanism.l2_bound().is_finite());
        let error = Error::MoreClientsThanExpected { expected: most, found: most + 1 };
        assert_eq!(mechanism.decode(&[0; 4], most + 1, &rotation), Err(error));
        true
    }

    #[test]
    fn a_modulus_for_more_clients_than_expected_holds_their_sum() {
        // Twice the expected number of clients, all with the same long update: too many for the
        // modulus of the expected number.
        let parameters = DistributedParameters {
            clip: 10.0,
            bits: 12,
            noise_multiplier: 0.0,
            clients: 10,
            dimension: 2,
            ..DistributedParameters::DEFAULTS
        };
        let updates = vec![vec![6.0, -8.0]; 20];
        let found = |parameters: DistributedParameters| {
            let mechanism = DistributedGaussian::new(parameters).unwrap();
            let rotation = mechanism.rotation(&[7; 32], 0);
            mechanism.decode(&sum(&mechanism, &updates, &rotation, 2), 20, &rotation)
        };
        let error = Error::MoreClientsThanExpected { expected: 10, found: 20 };
        assert_eq!(found(parameters), Err(error));
        let found = found(DistributedParameters { max_clients: Some(20), ..parameters }).unwrap();
        assert!((found[0] - 120.0).abs() < 4.0 && (found[1] + 160.0).abs() < 4.0, "{found:?}");
        // Each adds the share of one of the expected ten clients.
        let parameters = DistributedParameters {
            max_clients: Some(40),
            noise_multiplier: 1.0,
            clients: 10,
            dimension: 2,
            ..DistributedParameters::DEFAULTS
        };
        let mechanism = DistributedGaussian::new(parameters).unwrap();
        let share = mechanism.local_stddev() / mechanism.scale();
        assert!((share / (0.1 / 10.0_f64.sqrt()) - 1.0).abs() < 1e-6, "{share}");
    }

    #[test]
    fn bad_updates_and_sums_are_refused() {
        let mechanism = DistributedGaussian::new(parameters()).unwrap();
        let rotation = mechanism.rotation(&[0; 32], 0);
        let encode =
            |update: &[f64], rotation| mechanism.encode_vartime(update, rotation, &mut rng(0)).map(|_| ());
        assert_eq!(encode(&[0.0; 49], &rotation), Err(Error::VectorLength { expected: 50, found: 49 }));
        let mut update = [0.0; 50];
        update[7] = f64::NAN;
        assert_eq!(encode(&update, &rotation), Err(Error::NotFinite { index: 7 }));
        let other = Rotation::new(RotationParameters { seed: &[0; 32], round: 0, len: 51 });
        assert_eq!(encode(&[0.0; 50], &other), Err(Error::VectorLength { expected: 51, found: 50 }));
        assert_eq!(
            mechanism.decode(&[0; 64], 100, &other),
            Err(Error::VectorLength { expected: 50, found: 51 })
        );
        assert_eq!(
            mechanism.decode(&[0; 63], 100, &rotation),
            Err(Error::VectorLength { expected: 64, found: 63 })
        );
    }

    #[test]
    fn encoded_vectors_are_in_range_and_differ_from_round_to_round() {
        let mechanism = DistributedGaussian::new(parameters()).unwrap();
        let update: Vec<f64> = (0..50).map(f64::from).collect();
        assert!(l2_norm(&update) > 0.1);
        let rng = &mut rng(4);
        let [first, second] = [0, 1].map(|round| {
            mechanism.encode_vartime(&update, &mechanism.rotation(&[0; 32], round), rng).unwrap()
        });
        assert!(first.iter().chain(second.iter()).all(|x| mechanism.range().clip(*x) == *x));
        assert_ne!(first, second);
    }
}
