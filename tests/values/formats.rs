//! Every type with `Serialize` and `Deserialize` survives JSON and postcard, and has one encoding
//! as a payload.
//!
//! [`every_type_survives_every_format`] finds the types in the source: a new one fails it until a
//! value of it, or of something that contains it, is checked by one of the functions of the list
//! [`BATTERY`].

use std::{
    any::type_name,
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use cipherfold::{
    federated::{
        LocalExecutor,
        aggregation::{
            AggregationFactory, CentralDpSum, Clipping, DistributedDpSum, Fixed, IgnoringWeights,
            ModularClippingSum, Neighbours, NormOrder, Process, Quantile, Schedule, SecureClippingSum,
            SecureModularSum, Sum, UnweightedMean, WeightedAggregationFactory, WeightedProcess, Zeroing,
            secure_aggregator,
        },
        channel::{Message, Payload},
        tensor::{DType, Scalar, Structure, TensorType},
    },
    packing::IntegerRange,
    paillier::{Encryptor, KeySize, Plaintext, SecretKey, exposed, hazmat::InsecureBits512},
    privacy::{
        Accountant, AffineMap, DistributedParameters, Gaussian, QuantileEstimator, QuantileParameters,
    },
};
use ndarray::{Array1, ArrayD, array};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::one_encoding;

/// One function for each subject. The test names types that none covers.
const BATTERY: [fn(&mut Formats); 7] =
    [keys_and_ciphertexts, structures, privacy, sums, means_and_limits, learned_and_private_sums, numbers];

/// Types that are written for display and never read.
const WRITE_ONLY: [&str; 8] =
    ["AbsenceReason", "Exponents", "Operations", "Phase", "PhaseTime", "PlacementKind", "Report", "Traffic"];

/// Names of the types that survived.
#[derive(Default)]
struct Formats {
    survived: BTreeSet<&'static str>,
}

impl Formats {
    /// Checks values of one type.
    fn survives<T: Serialize + DeserializeOwned + Debug + Send>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) {
        for value in values {
            let name = type_name::<T>();
            let json =
                serde_json::to_string(&value).unwrap_or_else(|error| panic!("{name} in JSON: {error}"));
            let read: T =
                serde_json::from_str(&json).unwrap_or_else(|error| panic!("{name} from {json}: {error}"));
            assert_eq!(format!("{read:?}"), format!("{value:?}"), "{json}");
            assert_eq!(serde_json::to_string(&read).unwrap(), json, "{name}");
            let reader: T = serde_json::from_reader(json.as_bytes()).unwrap();
            assert_eq!(
                serde_json::to_string(&reader).unwrap(),
                json,
                "{name}, which has nothing to borrow from"
            );

            let bytes =
                postcard::to_allocvec(&value).unwrap_or_else(|error| panic!("{name} in postcard: {error}"));
            let read: T =
                postcard::from_bytes(&bytes).unwrap_or_else(|error| panic!("{name} from postcard: {error}"));
            assert_eq!(format!("{read:?}"), format!("{value:?}"), "{bytes:?}");
            assert_eq!(serde_json::to_string(&read).unwrap(), json, "{name}");
            one_encoding::check(&bytes, Payload::<T>::from_bytes, |value| value.to_bytes().unwrap());
            self.survived.insert(name);
        }
    }

    /// Checks the states and the measurements of some rounds.
    fn process<A, M>(&mut self, aggregation: A)
    where
        A: WeightedAggregationFactory<Array1<f32>, Measurements = M>,
        M: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let executor = executor();
        let mut process = WeightedProcess::new(aggregation);
        self.survives([process.state().clone()]);
        for round in 0..3_u8 {
            let updates = (0..4_u8).map(|i| Array1::from_elem(3, f32::from(i * (round + 1)) - 2.5));
            let round = process.run(&executor, updates, [1.0, 2.0, 0.5, 3.0]).unwrap();
            self.survives([round.measurements]);
            self.survives([process.state().clone()]);
        }
    }

    fn unweighted<A, M>(&mut self, aggregation: A)
    where
        A: AggregationFactory<Array1<f32>, Measurements = M>,
        M: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.process(IgnoringWeights(aggregation));
    }
}

fn executor() -> LocalExecutor<InsecureBits512> {
    let rng = ChaCha20Rng::seed_from_u64(1);
    LocalExecutor::builder().threads(1).in_the_clear().rng(rng).build().unwrap()
}

fn keys_and_ciphertexts(formats: &mut Formats) {
    #[derive(Debug, Serialize, Deserialize)]
    struct Secret(#[serde(with = "exposed")] SecretKey<InsecureBits512>);

    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let secret = SecretKey::<InsecureBits512>::generate(&mut rng).unwrap();
    let encryptor = Encryptor::new(secret.public_key(), &mut rng).unwrap();
    let batch = encryptor.encrypt_batch(&[Plaintext::zero(), Plaintext::from(u128::MAX)], &mut rng).unwrap();
    formats.survives([secret.public_key().clone()]);
    formats.survives([secret.public_key().fingerprint()]);
    formats.survives([encryptor.base().clone()]);
    formats.survives([batch, encryptor.encrypt_batch(&[], &mut rng).unwrap()]);
    assert_eq!(InsecureBits512::BITS, 512, "short enough to try every bit");

    // A test of primes for each bit would take long: the bytes of a secret key are checked beside
    // its encoding.
    let bytes = postcard::to_allocvec(&Secret(secret)).unwrap();
    let json = serde_json::to_string(&postcard::from_bytes::<Secret>(&bytes).unwrap()).unwrap();
    let Secret(read) = serde_json::from_str(&json).unwrap();
    assert_eq!(postcard::to_allocvec(&Secret(read)).unwrap(), bytes);
}

fn structures(formats: &mut Formats) {
    let named = |members: [(&str, Structure<i128>); 2]| Structure::named(members).unwrap();
    let inner = || named([("\u{1b}\"\n", i128::MIN.into()), ("", Structure::tuple([]).unwrap())]);
    let pair = named([("a", i128::MAX.into()), ("b/0", inner())]);
    let deepest =
        (0..Structure::<i128>::MAX_DEPTH).fold(0.into(), |inner, _| Structure::tuple([inner]).unwrap());
    formats.survives([(-1).into(), inner(), Structure::tuple([pair, inner()]).unwrap(), deepest]);
    formats.survives([Structure::leaf(u128::MAX)]);
    formats.survives([Structure::leaf(ArrayD::<f64>::from_elem(vec![2, 0, 1], 0.0))]);
    formats.survives([Structure::leaf(array![[f64::MIN_POSITIVE / 2.0, -0.0], [f64::MAX, 0.1]].into_dyn())]);
    formats.survives([u8::DTYPE, i128::DTYPE, bool::DTYPE, f64::DTYPE]);
    let shapes = [vec![], vec![0], vec![usize::MAX, 1, 300]];
    formats.survives(shapes.map(|shape| TensorType { dtype: DType::F32, shape }));
}

fn privacy(formats: &mut Formats) {
    let mut accountants = vec![Accountant::new()];
    for (noise, rounds) in [(1.0, 1), (0.3, 1000), (0.0, 1), (1e-3, u32::MAX)] {
        let mut accountant = accountants[0].clone();
        accountant.compose(&Gaussian::new(noise).unwrap(), rounds);
        accountants.push(accountant);
    }
    formats.survives(accountants);
    let gaussian = Gaussian::new(1.1).unwrap();
    formats.survives([gaussian, Gaussian::new(0.0).unwrap(), gaussian.sampled(1e-9).unwrap()]);
    for initial in [f64::MIN_POSITIVE, 0.1, f64::MAX] {
        formats.survives([QuantileEstimator::geometric(QuantileParameters {
            initial,
            target: 0.5,
            learning_rate: 0.2,
        })
        .unwrap()]);
    }
    formats.survives([QuantileEstimator::linear(QuantileParameters {
        initial: -1e300,
        target: 0.0,
        learning_rate: 0.2,
    })
    .unwrap()
    .reporting(AffineMap { multiplier: 2.0, increment: 1.0 })
    .unwrap()]);
    formats.survives([QuantileParameters { initial: 0.1, target: 1.0, learning_rate: -0.0 }]);
    formats.survives([AffineMap { multiplier: f64::MAX, increment: f64::MIN_POSITIVE }]);
    let parameters = DistributedParameters {
        noise_multiplier: 0.5,
        clients: u32::MAX,
        dimension: usize::MAX,
        ..DistributedParameters::DEFAULTS
    };
    formats.survives([parameters, DistributedParameters { clip: f64::MAX, beta: -0.0, ..parameters }]);
    formats.survives([NormOrder::L2, NormOrder::LInf]);
    formats.survives([Neighbours::ZeroedOut, Neighbours::Replaced]);
}

fn sums(formats: &mut Formats) {
    fn rounds<T, A, M>(formats: &mut Formats, aggregation: A, values: [T; 2])
    where
        T: Clone + Send + Sync + 'static,
        A: AggregationFactory<T, Measurements = M>,
        M: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let mut process = Process::new(aggregation);
        formats.survives([process.state().clone()]);
        let round = process.run(&executor(), values).unwrap();
        formats.survives([round.measurements]);
        formats.survives([process.state().clone()]);
    }

    rounds(
        formats,
        SecureClippingSum::<IntegerRange>::integers(i64::MIN, i64::MAX).unwrap(),
        [i64::MIN, i64::MAX],
    );
    rounds(formats, SecureClippingSum::<IntegerRange>::integers(0, u64::MAX).unwrap(), [0_u64, u64::MAX]);
    rounds(formats, SecureModularSum::new(1 << 63).unwrap(), [-1_i64, 5]);
    rounds(formats, ModularClippingSum::new(-8, 8, Sum).unwrap(), [100_i64, -100]);
    formats.unweighted(Sum);
    formats.unweighted(SecureClippingSum::floats(-1e30, 1e30).unwrap());
}

fn quantile() -> Quantile {
    Quantile::new(
        QuantileEstimator::geometric(QuantileParameters { initial: 1.0, target: 0.55, learning_rate: 0.3 })
            .unwrap(),
    )
}

fn means_and_limits(formats: &mut Formats) {
    formats.process(secure_aggregator());
    let mean = || {
        UnweightedMean::new(
            SecureClippingSum::adaptive(quantile()),
            SecureClippingSum::integers(0, 1).unwrap(),
        )
    };
    formats.unweighted(mean());
    // Without a limit in the first rounds.
    let schedule = || Schedule::new(|round| if round < 2 { f64::INFINITY } else { 0.0 });
    formats.unweighted(Clipping::new(schedule(), mean()));
    formats.unweighted(Zeroing::new(schedule(), NormOrder::L2, mean()));
}

fn learned_and_private_sums(formats: &mut Formats) {
    // This test is not about noise for a wrong number of clients.
    formats.unweighted(CentralDpSum::new(Fixed::new(1.0).unwrap(), 1.5).unwrap());
    formats.unweighted(CentralDpSum::new(Fixed::new(1.0).unwrap(), 0.0).unwrap());
    formats.unweighted(CentralDpSum::new(quantile().with_noise(2.0).unwrap(), 1.5).unwrap());
    let parameters = DistributedParameters {
        clip: 1.0,
        noise_multiplier: 0.5,
        clients: 4,
        dimension: 3,
        ..DistributedParameters::DEFAULTS
    };
    let distributed = DistributedDpSum::new(Array1::zeros(3), parameters).unwrap();
    formats.unweighted(distributed.with_norm(quantile().with_noise(2.0).unwrap()));
}

/// Typical payloads of users.
fn numbers(formats: &mut Formats) {
    formats.survives([(i128::MIN, u128::MAX, u64::MAX, i64::MIN, f64::MAX, f32::MIN_POSITIVE, true)]);
    formats.survives([Vec::<f32>::new(), vec![0.1, -0.0, f32::MAX]]);
    formats
        .survives([BTreeMap::from([(String::new(), array![[1_u64, u64::MAX]]), ("w".into(), array![[]])])]);
    formats.survives([BTreeMap::from([(300_u32, Some(1_i8)), (1, None), (255, Some(-1))])]);
    formats.survives([BTreeSet::from(["b".to_owned(), "a".to_owned()])]);
}

/// Names of the public types in the source that can be written and read.
fn types() -> BTreeSet<String> {
    fn word(text: &str) -> Option<String> {
        let word: String =
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        (!word.is_empty()).then_some(word)
    }

    fn visit(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests").next().expect("the first part");
                let code: Vec<_> =
                    text.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
                for (i, line) in code.iter().enumerate() {
                    if line.starts_with("#[derive(") && line.contains("Serialize") {
                        let item = code[i..].iter().find_map(|line| {
                            let item = line.split_once("struct ").or_else(|| line.split_once("enum "))?;
                            Some((item.0, word(item.1)?))
                        });
                        // Private types are parts of public ones.
                        if let Some(("pub ", name)) = item {
                            found.insert(name);
                        }
                    } else if line.starts_with("impl") && line.contains("Serialize for ") {
                        found.extend(line.split_once("Serialize for ").and_then(|(_, name)| word(name)));
                    } else if let Some(arguments) = line.strip_prefix("through_bytes!(") {
                        found.extend(word(arguments));
                    }
                }
            }
        }
    }

    let mut found = BTreeSet::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

#[test]
fn every_type_survives_every_format() {
    let types = types();
    for known in
        ["Accountant", "DType", "LimitState", "PublicKey", "CiphertextBatch", "Structure", "Fingerprint"]
    {
        assert!(types.contains(known), "{known} is not found: the search is broken");
    }
    let mut formats = Formats::default();
    // All parts run, so that one fault does not hide another.
    let fails = |part: &&fn(&mut Formats)| catch_unwind(AssertUnwindSafe(|| part(&mut formats))).is_err();
    let failed = BATTERY.iter().filter(fails).count();
    assert_eq!(failed, 0, "parts of the battery failed: their panics are above");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let survived: BTreeSet<&str> =
        formats.survived.iter().flat_map(|name| name.split(|c| !is_word(c))).collect();
    let missing: Vec<_> =
        types.iter().filter(|name| !survived.contains(&***name) && !WRITE_ONLY.contains(&&***name)).collect();
    assert!(missing.is_empty(), "no value of these is checked: {missing:?}");
}

#[test]
fn reports_can_be_written_in_every_format() {
    let report = executor().secure_sum([1_u8, 2], IntegerRange::of::<u8>()).unwrap().report().clone();
    assert!(serde_json::to_string(&report).unwrap().contains("\"clients\":2"));
    assert!(!postcard::to_allocvec(&report).unwrap().is_empty());
}
