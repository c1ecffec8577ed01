//! Differential privacy also against the server: clients add the noise in shares.

use std::sync::Arc;

use ndarray::Array1;

use super::measurements::DpSumMeasurements;
use crate::{
    federated::{
        Clients, Error, Result, Server,
        aggregation::{
            estimation::{Estimation, Fixed},
            factory::{AggregationFactory, Step},
            floats::{self, Floats, NormOrder},
            privacy_cost::PrivacyCost,
        },
        computation::Value,
        tensor::{DType, Structure, TensorType},
    },
    packing::IntegerRange,
    privacy::{self, DistributedParameters},
};

/// A secure sum to which every client has added its share of discrete Gaussian noise (TFF:
/// `DistributedDpSumFactory`).
///
/// The steps are those of [`privacy::DistributedGaussian`]. Clients clip, rotate and round their
/// values, add noise, and encrypt the result. The server reverses the rotation of the noisy sum. It
/// draws a new seed for the signs of the rotation in every round, and sends it to the clients.
///
/// The modulus is sized for the [maximum number of clients](DistributedParameters::max_clients),
/// which by default is the expected number. If more take part, the run ends with
/// [`round::Error::MoreClientsThanExpected`](crate::federated::round::Error::MoreClientsThanExpected)
/// before anything is decrypted.
///
/// The cost of a round is that of the clients that took part. With fewer clients than expected
/// there is less noise, and a higher ε. A client that reveals its noise to the server removes its
/// share of the protection; the account does not consider this.
///
/// Clients' integers lie around zero and are sent with their sign. TFF instead sums residues modulo
/// 2^b in the field of its protocol. Under Paillier encryption, sums of residues would show the
/// server how many residues wrapped, and so how many clients were negative in a coordinate. Here
/// the server sees, beyond the sum modulo 2^b, only the number of values that wrapped nevertheless;
/// [`privacy::DistributedGaussian`] discusses this.
///
/// Measurements are those of a [`CentralDpSum`](crate::federated::aggregation::CentralDpSum).
///
/// The server must know the structure of a client's value to rebuild it from the rotated vector. A
/// template gives this structure; its numbers do not matter. A client with another structure is
/// refused.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, aggregation::{DistributedDpSum, Process}};
/// use cipherfold::{paillier::Bits2048, privacy::DistributedParameters};
/// use ndarray::{Array1, array};
///
/// // Together, 3 clients add noise of half the clipping norm.
/// let parameters = DistributedParameters {
///     clip: 1.0,
///     noise_multiplier: 0.5,
///     clients: 3,
///     dimension: 2,
///     ..DistributedParameters::DEFAULTS
/// };
/// let sum = DistributedDpSum::new(Array1::<f32>::zeros(2), parameters)?;
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mut process = Process::new(sum).secure_only()?;
/// let round = process.run(&executor, [array![0.1, 0.2], array![0.3, 0.4], array![0.5, 0.6]])?;
/// assert!((round.measurements.noise_stddev - 0.5).abs() < 1e-6);
/// assert!((round.value - array![0.9, 1.2]).iter().all(|noise| noise.abs() < 3.0)); // six deviations
/// assert!(process.epsilon(1e-5)? < 12.0);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DistributedDpSum<T, N = Fixed> {
    norm: N,
    parameters: DistributedParameters,
    template: Arc<T>,
    structure: Structure<TensorType>,
}

impl<T: Floats> DistributedDpSum<T> {
    /// Sums of values like the template, with a fixed clipping norm.
    ///
    /// # Errors
    ///
    /// [`privacy::Error::VectorLength`] unless the dimension is the template's number of elements;
    /// [`privacy::Error::Parameter`] if the clip is above the maximum number of the elements' type
    /// divided by 2⁶⁴; those of [`privacy::DistributedGaussian::new`].
    pub fn new(template: T, parameters: DistributedParameters) -> Result<Self> {
        privacy::DistributedGaussian::new(parameters)?;
        floats::usable_clip::<T::Float>(parameters.clip, true)?;
        let expected = template.elements();
        if parameters.dimension != expected {
            return Err(privacy::Error::VectorLength { expected, found: parameters.dimension }.into());
        }
        let (norm, structure) = (Fixed::new(parameters.clip)?, template.structure()?);
        Ok(Self { norm, parameters, template: Arc::new(template), structure })
    }

    /// The same, with an estimated clipping norm instead of the fixed one. It determines grid and
    /// noise in every round. An estimate outside the range from 2⁻⁹⁶⁰ to the maximum number of the
    /// elements' type divided by 2⁶⁴ is replaced by the nearest number in the range. An estimate
    /// for which no grid is possible ends a run with an error of
    /// [`privacy::DistributedGaussian::new`].
    ///
    /// Counts of a learned norm have no distributed noise: the server sees them before it adds its
    /// noise.
    pub fn with_norm<N: Estimation>(self, norm: N) -> DistributedDpSum<T, N> {
        let Self { parameters, template, structure, .. } = self;
        DistributedDpSum { norm, parameters, template, structure }
    }
}

impl<T: Floats, N: Estimation> AggregationFactory<T> for DistributedDpSum<T, N> {
    type State = N::State;
    type Result = T;
    type Measurements = DpSumMeasurements;

    fn initialize(&self) -> N::State {
        self.norm.initialize()
    }

    fn next(
        &self,
        state: &Value<N::State, Server>,
        values: &Value<T, Clients>,
    ) -> Step<N::State, T, DpSumMeasurements> {
        let parameters = self.parameters;
        let mechanism =
            move |clip| privacy::DistributedGaussian::new(DistributedParameters { clip, ..parameters });
        let clip = self.clip(state);
        let norms = values.map(|values| NormOrder::L2.of(values)).named("norm");
        let seed = Value::<[u8; 32], Server>::eval(|context| {
            let mut seed = [0; 32];
            context.rng().fill_bytes(&mut seed);
            seed
        });
        let public = clip.zip(&seed.named("rotation"));

        let structure = self.structure.clone();
        let noisy = values.zip(&public.broadcast()).drawing("noise", move |(values, (clip, seed)), rng| {
            if values.structure()? != structure {
                return Err(Error::NotAsDeclared { declared: structure.to_string() });
            }
            let mechanism = mechanism(*clip)?;
            let rotation = mechanism.rotation(seed, 0);
            let encoded = mechanism.encode_vartime(&floats::flat(values), &rotation, rng)?;
            Ok(encoded
                .iter()
                .map(|x| i32::try_from(*x).expect("encoded values have at most 22 bits"))
                .collect::<Array1<i32>>())
        });
        // The encoded length depends only on the dimension, not on the clip.
        let encoded = mechanism(parameters.clip).expect("the parameters were checked").encoded_len();
        let encoded = TensorType { dtype: DType::I32, shape: vec![encoded] };
        let noisy = noisy.declare(encoded.into());
        let range = IntegerRange::signed_bits(parameters.bits).expect("the number of bits is 1 to 22");
        let sum = noisy.secure_sum_of_at_most(Some(parameters.most_clients()), range);
        // Clients are numbered by 32 bits, so the conversion never saturates.
        let contributors = values.secure_count().map(|count| u32::try_from(*count).unwrap_or(u32::MAX));
        let template = Arc::clone(&self.template);
        let sums = Value::from((sum, contributors.clone(), public.clone()));
        let result = sums.fallible("unrotate", move |(sum, contributors, (clip, seed))| {
            let mechanism = mechanism(*clip)?;
            let sum = sum.as_slice().expect("the sum has one dimension and is contiguous");
            let decoded = mechanism.decode(sum, *contributors, &mechanism.rotation(seed, 0))?;
            Ok(floats::like(&*template, &decoded))
        });

        let taking_part = clip.zip(&contributors);
        let learning = self.norm.cost();
        let cost = taking_part.fallible("cost", move |&(clip, contributors)| {
            Ok(PrivacyCost::distributed(mechanism(clip)?.mechanism(contributors)?).and(&learning))
        });
        let measurements = taking_part.fallible("measure", move |&(clip, contributors)| {
            let mechanism = mechanism(clip)?;
            let stddev = f64::from(contributors).sqrt() * mechanism.local_stddev() / mechanism.scale();
            Ok(DpSumMeasurements::new(clip, stddev))
        });
        Step::new(self.norm.next(state, &norms), result, measurements).with_cost(cost)
    }

    fn admitted(&self, state: &Value<Self::State, Server>, values: &Value<T, Clients>) -> Value<T, Clients> {
        let clip = self.clip(state).broadcast();
        let clipped = values.zip(&clip).keeping_structure();
        let shortened =
            clipped.map(|(values, clip)| floats::shortened(values, NormOrder::L2.of(values), *clip));
        shortened.keeping_structure()
    }
}

impl<T: Floats, N: Estimation> DistributedDpSum<T, N> {
    fn clip(&self, state: &Value<N::State, Server>) -> Value<f64, Server> {
        let (parameters, fixed) = (self.parameters, self.norm.fixed().is_some());
        self.norm.report(state).fallible("clip", move |clip| {
            let clip = floats::usable_clip::<T::Float>(*clip, fixed)?;
            privacy::DistributedGaussian::new(DistributedParameters { clip, ..parameters })?;
            Ok(clip)
        })
    }
}
