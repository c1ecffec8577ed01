//! Differential privacy against those who see results: the server adds the noise.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Aggregation, Estimation, Fixed, Floats, Norm, Step, floats,
    private::{PrivateMeasurements, PrivateState},
};
use crate::{
    Error, Result,
    federated::{Clients, Server, Tensors, Value},
    packing::{Float, IntegerRange},
    privacy::{Accountant, DiscreteGaussian, Gaussian, clip_l2},
};

/// A secure sum of clipped values, to which the server adds Gaussian noise
/// (TFF: `DifferentiallyPrivateFactory.gaussian_fixed` and `gaussian_adaptive`).
///
/// Clients clip to an L2 norm c and round to a grid of up to 2²⁰ steps to c, so that not even a rounded vector is longer. The
/// sum of integers is exact, and the noise is a [discrete Gaussian](DiscreteGaussian) on the grid, with a standard
/// deviation of the noise multiplier times c. So the [`Gaussian`] mechanism's price holds to the last bit, which
/// floating-point noise cannot promise.
///
/// It protects those who take part from everyone who sees results. **The server sees the sum before it adds the noise**,
/// as it does in TFF; a [`DistributedGaussian`](super::DistributedGaussian) does not trust it with that.
///
/// A norm that is [learned](super::Quantile) without noise has no price that could be stated, and ε is then infinite.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{CentralGaussian, Process}};
/// use cipherfold::paillier::Bits2048;
/// use ndarray::Array1;
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut process = Process::new(CentralGaussian::fixed(1.0, 2.0)?.averaged_over(4)?).secure_only()?;
/// let round = process.run(&executor, vec![Array1::<f32>::from_elem(9, 0.25); 4])?;
/// assert_eq!(round.measurements.noise_stddev, 0.5); // 2·1/4
/// assert!((process.state().epsilon(1e-5)? - 2.16).abs() < 0.01);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CentralGaussian<N> {
    norm: N,
    mechanism: Gaussian,
    /// Steps of the grid to the clipping norm.
    steps: u32,
    noise: DiscreteGaussian,
    divisor: u32,
}

impl CentralGaussian<Fixed> {
    /// Clips to `clip` and adds noise of standard deviation `noise_multiplier`·`clip`.
    ///
    /// # Errors
    ///
    /// [`Error::NormLimit`] unless `clip` is positive and finite, and those of [`new`](Self::new).
    pub fn fixed(clip: f64, noise_multiplier: f64) -> Result<Self> {
        if !(clip > 0.0 && clip.is_finite()) {
            return Err(Error::NormLimit { limit: clip });
        }
        Self::new(Fixed::new(clip)?, noise_multiplier)
    }
}

impl<N: Estimation> CentralGaussian<N> {
    /// Clips to an estimated norm, and adds noise of standard deviation `noise_multiplier` times that.
    ///
    /// An estimate that is not positive and finite ends a run with [`Error::PrivacyParameter`].
    ///
    /// # Errors
    ///
    /// [`Error::PrivacyParameter`] unless the multiplier is from 0 to 2²⁰.
    pub fn new(norm: N, noise_multiplier: f64) -> Result<Self> {
        let mechanism = Gaussian::new(noise_multiplier)?;
        if noise_multiplier > f64::from(1 << 20) {
            let (name, allowed) = ("noise_multiplier", "at most 2^20");
            return Err(Error::PrivacyParameter { name, value: noise_multiplier, allowed });
        }
        // A deviation of 2^23 at most is within what discrete noise can have, and 8 steps are left for what it drowns.
        let steps =
            if noise_multiplier > 8.0 { (f64::from(1 << 23) / noise_multiplier).floor() } else { FINEST };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 8 to 2^20")]
        let whole = steps as u32;
        let noise = DiscreteGaussian::new((noise_multiplier * steps).powi(2))?;
        let mechanism = match norm.mechanism() {
            None => mechanism,
            Some(learning) => Gaussian::new(joint(noise_multiplier, learning.noise_multiplier()))?,
        };
        Ok(Self { norm, mechanism, steps: whole, noise, divisor: 1 })
    }
}

impl<N> CentralGaussian<N> {
    /// Divides the noisy sum by the *expected* number of clients: a mean, as TFF has it. The true number may be private.
    ///
    /// # Errors
    ///
    /// [`Error::NoClients`] for zero.
    pub fn averaged_over(self, clients: u32) -> Result<Self> {
        if clients == 0 { Err(Error::NoClients) } else { Ok(Self { divisor: clients, ..self }) }
    }

    /// Accounts for clients that take part with this probability each, independently, in every round; see
    /// [`Gaussian::sampled`] for what that demands.
    ///
    /// # Errors
    ///
    /// Those of [`Gaussian::sampled`].
    pub fn sampled(self, sampling: f64) -> Result<Self> {
        Ok(Self { mechanism: self.mechanism.sampled(sampling)?, ..self })
    }

    /// What a round costs: the noise on the sum, and that on the counts of a learned norm.
    pub fn mechanism(&self) -> Gaussian {
        self.mechanism
    }
}

impl<T: Floats, N: Estimation> Aggregation<T> for CentralGaussian<N> {
    type State = PrivateState<N::State>;
    type Result = T;
    type Measurements = PrivateMeasurements;

    fn initialize(&self) -> Self::State {
        PrivateState { norm: self.norm.initialize(), accountant: Accountant::new() }
    }

    fn next(
        &self,
        state: &Value<Self::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<Self::State, T, PrivateMeasurements> {
        let Self { mechanism, steps, noise, divisor, .. } = *self;
        let norm_state = state.map(|state| state.norm.clone());
        let clip = self.norm.report(&norm_state);
        let norms = values.map(|values| Norm::L2.of(values)).named("norm");

        let on_grid = values.zip(&clip.broadcast()).fallible("clip_to_grid", move |(values, clip)| {
            Ok(values.steps(&clip_to_grid(&floats::flat(values), *clip, steps)?))
        });
        let sums = on_grid.secure_sum(IntegerRange::new(-i128::from(steps), steps).expect("in order"));
        let result = sums.zip(&clip).drawing("gaussian", move |(sums, clip), rng| {
            noisy::<T>(sums, noise, clip / f64::from(steps) / f64::from(divisor), rng)
        });

        let spent = state.map(move |state| {
            let mut accountant = state.accountant.clone();
            accountant.compose(&mechanism, 1);
            accountant
        });
        let next = self.norm.next(&norm_state, &norms).zip(&spent);
        Step {
            state: next.map(|(norm, accountant)| PrivateState {
                norm: norm.clone(),
                accountant: accountant.clone(),
            }),
            result,
            measurements: clip.map(move |&clipping_norm| {
                let unit = clipping_norm / f64::from(steps) / f64::from(divisor);
                PrivateMeasurements { clipping_norm, noise_stddev: noise.variance().sqrt() * unit }
            }),
        }
    }
}

/// Sums on a grid, with noise on each, as multiples of a unit.
fn noisy<T: Floats>(
    sums: &T::StepSums,
    noise: DiscreteGaussian,
    unit: f64,
    rng: &mut dyn CryptoRng,
) -> Result<T> {
    let mut broken = None;
    let mut sample = || {
        noise.sample_vartime(rng).unwrap_or_else(|error| {
            broken = Some(error);
            0
        })
    };
    let result = sums.map_tensors(|_, tensor| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "below 2^53, for fewer than 2^32 clients of 2^20 steps"
        )]
        tensor.mapv(|sum| T::Float::from_f64((sum + sample()) as f64 * unit))
    });
    broken.map_or(Ok(result), Err)
}

/// The multiplier of noise that costs as much as noises of these two.
fn joint(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * (b / a.hypot(b)) }
}

/// A vector, clipped to a norm of `clip`, in units of `clip / steps`, with a norm of at most `steps`: exactly.
///
/// It takes longer for a vector that rounding makes too long.
fn clip_to_grid(values: &[f64], clip: f64, steps: u32) -> Result<Zeroizing<Vec<i32>>> {
    let mut clipped = Zeroizing::new(values.to_vec());
    clip_l2(&mut clipped, clip)?;
    let most = u128::from(steps).pow(2);
    let mut on_grid = Zeroizing::new(vec![0; values.len()]);
    let fits =
        |on_grid: &[i32]| on_grid.iter().map(|x| u128::from(x.unsigned_abs()).pow(2)).sum::<u128>() <= most;
    let steps = f64::from(steps);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most the number of steps, within rounding errors"
    )]
    let whole = |x: f64| x as i32;
    for (place, x) in on_grid.iter_mut().zip(clipped.iter()) {
        *place = whole((x / clip * steps).round());
    }
    // Towards zero: not longer than the exact vector. What rounding errors of floats add is taken off little by little.
    for shorter in 0_u32.. {
        if fits(&on_grid) {
            break;
        }
        let steps = steps * (1.0 - f64::from(shorter) / f64::from(1 << 30)).max(0.0);
        for (place, x) in on_grid.iter_mut().zip(clipped.iter()) {
            *place = whole((x / clip * steps).trunc());
        }
    }
    Ok(on_grid)
}

const FINEST: f64 = 1_048_576.0; // 2^20

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::packing::tests::replayable(500))]

        #[test]
        fn vectors_on_the_grid_are_no_longer_than_the_bound(
            values in prop::collection::vec(-10.0..10.0_f64, 0..50),
            clip in 0.01..100.0_f64,
            steps in prop_oneof![8..100_u32, Just(1 << 20)],
        ) {
            let on_grid = clip_to_grid(&values, clip, steps).unwrap();
            let square: i64 = on_grid.iter().map(|x| i64::from(*x).pow(2)).sum();
            prop_assert!(square <= i64::from(steps).pow(2));
            let mut clipped = values;
            clip_l2(&mut clipped, clip).unwrap();
            for (x, on_grid) in clipped.iter().zip(on_grid.iter()) {
                prop_assert!((x / clip * f64::from(steps) - f64::from(*on_grid)).abs() <= 1.0 + 1e-6);
            }
        }
    }

    #[test]
    fn rounding_up_does_not_lengthen() {
        // Four equal coordinates of half the norm, on a grid of 9 steps: 4.5 would become 5, and 10 in all.
        assert_eq!(clip_to_grid(&[7.0; 4], 1.0, 9).unwrap().as_slice(), [4; 4]);
        assert_eq!(clip_to_grid(&[7.0; 4], 1.0, 10).unwrap().as_slice(), [5; 4]);
        assert_eq!(clip_to_grid(&[0.3, 0.0], 1.0, 10).unwrap().as_slice(), [3, 0]);
        assert_eq!(clip_to_grid(&[f64::NAN], 1.0, 10), Err(Error::NotFinite { index: 0 }));
    }

    #[test]
    fn the_grid_leaves_room_for_the_noise() {
        for (noise_multiplier, steps) in
            [(0.0, 1 << 20), (1.0, 1 << 20), (8.0, 1 << 20), (1000.0, 8388), (1_048_576.0, 8)]
        {
            let central = CentralGaussian::fixed(1.0, noise_multiplier).unwrap();
            assert_eq!(central.steps, steps);
            let expected = (noise_multiplier * f64::from(steps)).powi(2);
            assert!((central.noise.variance() - expected).abs() <= 1e-9 * expected);
        }
        for noise_multiplier in [-1.0, f64::NAN, f64::INFINITY, 1_048_577.0] {
            let error = CentralGaussian::fixed(1.0, noise_multiplier).unwrap_err();
            assert!(matches!(error, Error::PrivacyParameter { name: "noise_multiplier", .. }), "{error}");
        }
        assert_eq!(CentralGaussian::fixed(0.0, 1.0), Err(Error::NormLimit { limit: 0.0 }));
    }

    #[test]
    fn joint_noise_costs_as_much_as_both() {
        let z = joint(3.75, 5.0);
        assert!((z - 3.0).abs() < 1e-12, "{z}");
        assert_eq!((joint(0.0, 1.0), joint(1.0, 0.0)), (0.0, 0.0));
    }
}
