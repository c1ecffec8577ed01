//! The cases with data of TensorFlow Federated's own tests. Cases without data are in `refusals`.

use std::collections::BTreeMap;

use cipherfold::federated::{
    aggregation::{
        AggregationFactory, Bounds, Clipping, Fixed, Floats, Mean, MeanSums, ModularClippingSum, NormOrder,
        Process, Schedule, SecureClippingSum, SecureModularSum, Sum, UnweightedMean,
        WeightedAggregationFactory, WeightedProcess, Zeroing,
    },
    tensor::Tensors,
};
use ndarray::Array1;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::support::both_for_one;

#[derive(Deserialize)]
struct Case {
    id: String,
    op: String,
    r#type: Json,
    #[serde(default)]
    clients: Json,
    #[serde(default)]
    weights: Json,
    #[serde(default)]
    modulus: Json,
    #[serde(default)]
    symmetric_range: bool,
    #[serde(default)]
    lower: Json,
    #[serde(default)]
    upper: Json,
    #[serde(default)]
    clip: Json,
    #[serde(default)]
    norm: Json,
    #[serde(default)]
    no_nan_division: bool,
    #[serde(default)]
    rounds: Option<usize>,
    #[serde(default)]
    expect: Json,
    #[serde(default)]
    expect_measurements: Json,
    #[serde(default)]
    tolerance: f64,
    #[serde(default)]
    tolerance_rel: f64,
}

/// A client's value in a case.
trait FromJson: Tensors + Clone + Send + Sync + 'static {
    fn from_json(json: &Json) -> Self;

    fn list(json: &Json) -> Vec<Self> {
        json.as_array().unwrap().iter().map(Self::from_json).collect()
    }
}

impl FromJson for i32 {
    fn from_json(json: &Json) -> Self {
        json.as_i64().unwrap().try_into().unwrap()
    }
}

impl FromJson for f32 {
    fn from_json(json: &Json) -> Self {
        json.as_f64().unwrap() as f32
    }
}

impl FromJson for f64 {
    fn from_json(json: &Json) -> Self {
        json.as_f64().unwrap()
    }
}

impl FromJson for (Array1<f32>, f32) {
    fn from_json(json: &Json) -> Self {
        (f32::list(&json[0]).into(), f32::from_json(&json[1]))
    }
}

fn flat_json(json: &Json, flat: &mut Vec<f64>) {
    match json {
        Json::Array(members) => members.iter().for_each(|member| flat_json(member, flat)),
        number => flat.push(number.as_f64().unwrap()),
    }
}

/// All numbers of a result, in order.
fn flat(tensors: &impl Tensors) -> Vec<f64> {
    tensors.tensors().iter().flatten().map(|x| x.to_string().parse().unwrap()).collect()
}

impl Case {
    /// Compares a round, counted from zero, with the expectation.
    fn check(&self, round: usize, result: &impl Tensors, measurements: &impl Serialize, of: &str) {
        let pick = |json: &Json| if self.rounds.is_some() { json[round].clone() } else { json.clone() };
        let mut expected = Vec::new();
        flat_json(&pick(&self.expect), &mut expected);
        let found = flat(result);
        let is_close = |(found, expected): (&f64, &f64)| {
            (found - expected).abs() <= self.tolerance.max(self.tolerance_rel * expected.abs())
        };
        assert!(
            found.len() == expected.len() && found.iter().zip(&expected).all(is_close),
            "{}, {of}, round {round}: {found:?} where {expected:?} is expected",
            self.id
        );
        let found = serde_json::to_value(measurements).unwrap();
        for (name, expected) in pick(&self.expect_measurements).as_object().into_iter().flatten() {
            assert_eq!(
                found[name].as_f64().unwrap() as f32,
                expected.as_f64().unwrap() as f32,
                "{}, {of}, round {round}: {name}",
                self.id
            );
        }
    }

    fn run<T, A>(&self, aggregation: impl Fn() -> A)
    where
        T: FromJson,
        A: AggregationFactory<T, Result: Tensors>,
    {
        for executor in both_for_one() {
            let mut process = Process::<T, A>::new(aggregation());
            for round in 0..self.rounds.unwrap_or(1) {
                let found = process.run(&executor, T::list(&self.clients)).unwrap();
                self.check(round, &found.value, &found.measurements, &format!("{executor:?}"));
            }
        }
    }

    fn run_weighted<T, A>(&self, aggregation: impl Fn() -> A)
    where
        T: FromJson,
        A: WeightedAggregationFactory<T, Result: Tensors>,
    {
        for executor in both_for_one() {
            let mut process = WeightedProcess::<T, A>::new(aggregation());
            for round in 0..self.rounds.unwrap_or(1) {
                let (values, weights) = (T::list(&self.clients), f64::list(&self.weights));
                let found = process.run(&executor, values, weights).unwrap();
                self.check(round, &found.value, &found.measurements, &format!("{executor:?}"));
            }
        }
    }

    fn modular_sum(&self) {
        let modulus = self.modulus.as_u64().unwrap();
        self.run::<i32, _>(|| {
            let sum = if self.symmetric_range { SecureModularSum::symmetric } else { SecureModularSum::new };
            sum(modulus).unwrap()
        });
    }

    fn modular_clipping(&self) {
        let (lower, upper) = (self.lower.as_i64().unwrap(), self.upper.as_i64().unwrap());
        self.run::<i32, _>(|| ModularClippingSum::new(lower, upper, Sum).unwrap());
        let secure = || SecureClippingSum::integers(lower, upper - 1).unwrap();
        self.run::<i32, _>(|| ModularClippingSum::new(lower, upper, secure()).unwrap());
    }

    fn secure_sum(&self) {
        match (self.r#type.as_str().unwrap(), self.lower.is_null()) {
            ("int32", false) => self.run::<i32, _>(|| {
                let [lower, upper] = [&self.lower, &self.upper].map(|bound| bound.as_i64().unwrap());
                SecureClippingSum::integers(lower, upper).unwrap()
            }),
            ("float32", false) if self.upper.is_f64() => self.run::<f32, _>(|| {
                let [lower, upper] = [&self.lower, &self.upper].map(f64::from_json);
                SecureClippingSum::floats(lower, upper).unwrap()
            }),
            ("float32", false) => {
                self.run::<f32, _>(|| {
                    SecureClippingSum::adaptive_between(Bounds {
                        lower: schedule(&self.lower),
                        upper: schedule(&self.upper),
                    })
                });
            }
            ("float32", true) => self.run::<f32, _>(|| SecureClippingSum::adaptive(schedule(&self.upper))),
            ("float64", true) => {
                self.run::<f64, _>(|| SecureClippingSum::floats_up_to(f64::from_json(&self.upper)).unwrap());
            }
            other => panic!("{}: {other:?}", self.id),
        }
    }

    /// In the clear, and securely.
    fn mean(&self) {
        let mean = |no_nan: bool| {
            let secure = Mean::new(MeanSums {
                values: floats(),
                weights: SecureClippingSum::floats(0.0, 20.0).unwrap(),
            });
            let plain = Mean::default();
            if no_nan { (plain.no_nan_division(), secure.no_nan_division()) } else { (plain, secure) }
        };
        self.run_weighted::<f32, _>(|| mean(self.no_nan_division).0);
        self.run_weighted::<f32, _>(|| mean(self.no_nan_division).1);
    }

    fn unweighted_mean<T>(&self)
    where
        T: FromJson + Floats<Float = f32>,
    {
        self.run::<T, _>(UnweightedMean::default);
        self.run::<T, _>(|| UnweightedMean::new(floats(), SecureClippingSum::integers(0, 1).unwrap()));
    }

    fn limited_sum<T>(&self)
    where
        T: FromJson + Floats<Float = f32>,
    {
        if self.op.starts_with("clipping") {
            self.run::<T, _>(|| Clipping::new(fixed(&self.clip), floats()));
            self.run::<T, _>(|| Clipping::new(fixed(&self.clip), Sum).counted_by(Sum));
        } else {
            self.run::<T, _>(|| Zeroing::new(fixed(&self.norm), NormOrder::L2, floats()));
            self.run::<T, _>(|| Zeroing::new(fixed(&self.norm), NormOrder::L2, Sum).counted_by(Sum));
        }
    }

    fn limited_mean<T>(&self)
    where
        T: FromJson + Floats<Float = f32>,
    {
        let secure = || {
            Mean::new(MeanSums { values: floats(), weights: SecureClippingSum::floats(0.0, 20.0).unwrap() })
        };
        if self.op.starts_with("zeroing") {
            self.run_weighted::<T, _>(|| Zeroing::new(fixed(&self.norm), NormOrder::L2, secure()));
            self.run_weighted::<T, _>(|| Zeroing::new(fixed(&self.norm), NormOrder::L2, Mean::default()));
        } else if self.clip.is_number() {
            self.run_weighted::<T, _>(|| Clipping::new(fixed(&self.clip), secure()));
            self.run_weighted::<T, _>(|| Clipping::new(fixed(&self.clip), Mean::default()));
        } else {
            self.run_weighted::<T, _>(|| Clipping::new(schedule(&self.clip), secure()));
            self.run_weighted::<T, _>(|| Clipping::new(schedule(&self.clip), Mean::default()));
        }
    }

    fn replay(&self) {
        type Pair = (Array1<f32>, f32);
        let is_struct = self.r#type.as_str().unwrap().starts_with('<');
        match (self.op.as_str(), is_struct) {
            ("SecureModularSumFactory", false) => self.modular_sum(),
            ("ModularClippingSumFactory", false) => self.modular_clipping(),
            ("SecureSumFactory", false) => self.secure_sum(),
            ("MeanFactory", false) => self.mean(),
            ("UnweightedMeanFactory", false) => self.unweighted_mean::<f32>(),
            ("UnweightedMeanFactory", true) => self.unweighted_mean::<Pair>(),
            ("clipping_factory+sum" | "zeroing_factory+sum", false) => self.limited_sum::<f32>(),
            ("clipping_factory+sum" | "zeroing_factory+sum", true) => self.limited_sum::<Pair>(),
            ("clipping_factory+mean" | "zeroing_factory+mean", false) => self.limited_mean::<f32>(),
            ("clipping_factory+mean" | "zeroing_factory+mean", true) => self.limited_mean::<Pair>(),
            other => panic!("{}: {other:?}", self.id),
        }
    }
}

fn floats<T: Floats>() -> impl AggregationFactory<T, Result = T> {
    SecureClippingSum::floats_up_to(20.0).unwrap()
}

fn fixed(number: &Json) -> Fixed {
    Fixed::new(f64::from_json(number)).unwrap()
}

/// From "starts at 1.0, +1.0 each round".
fn schedule(process: &Json) -> Schedule {
    let text = process["process"].as_str().unwrap();
    let numbers = text.strip_prefix("starts at ").unwrap().strip_suffix(" each round").unwrap();
    let (start, step) = numbers.split_once(", ").unwrap();
    let [start, step]: [f64; 2] = [start, step].map(|number| number.parse().unwrap());
    Schedule::new(move |round| start + step * round as f64)
}

#[test]
fn cases_of_tensorflow_federated() {
    let cases: Vec<Json> = serde_json::from_str(include_str!("../data/federated_cases.json")).unwrap();
    let mut replayed = BTreeMap::new();
    for case in cases {
        let op = case["op"].as_str().unwrap();
        let is_ours = op.ends_with("Factory") || op.contains("_factory+");
        if is_ours && !case["clients"].is_null() {
            let case: Case = serde_json::from_value(case).unwrap();
            case.replay();
            *replayed.entry(case.op).or_insert(0) += 1;
        }
    }
    // No case was skipped.
    let expected = [
        ("MeanFactory", 4),
        ("ModularClippingSumFactory", 12),
        ("SecureModularSumFactory", 13),
        ("SecureSumFactory", 5),
        ("UnweightedMeanFactory", 2),
        ("clipping_factory+mean", 3),
        ("clipping_factory+sum", 2),
        ("zeroing_factory+mean", 1),
        ("zeroing_factory+sum", 1),
    ];
    assert_eq!(replayed, expected.map(|(op, count)| (op.to_owned(), count)).into());
}
