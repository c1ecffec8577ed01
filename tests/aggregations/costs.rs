//! A process accounts for everything that its rounds release.

use cipherfold::{
    federated::{
        Clients, Error, Server,
        aggregation::{
            self, AdaptiveParameters, AggregationFactory, CentralDpSum, Clipping, DistributedDpSum,
            Estimation, Fixed, IgnoringWeights, Mean, MeanSums, ModularClippingSum, Neighbours, NoisyCount,
            NormOrder, PrivacyCost, Process, Quantile, SecureClippingSum, SecureModularSum, Step, Sum,
            UnweightedMean, WeightedAggregationFactory, WeightedProcess, Zeroing, secure_aggregator,
        },
        computation::Value,
        round,
    },
    privacy::{
        Accountant, DistributedGaussian as Encoding, DistributedParameters, Gaussian, Mechanism,
        QuantileEstimator, QuantileParameters,
    },
};
use ndarray::Array1;

use super::support::{builder, clear, close};

type Update = Array1<f32>;

const DELTA: f64 = 1e-5;

fn accounted(mechanism: &impl Mechanism, rounds: u32) -> f64 {
    let mut accountant = Accountant::new();
    accountant.compose(mechanism, rounds);
    accountant.epsilon(DELTA).unwrap()
}

fn gaussian(multiplier: f64, rounds: u32) -> f64 {
    accounted(&Gaussian::new(multiplier).unwrap(), rounds)
}

fn central(noise_multiplier: f64) -> CentralDpSum<Fixed> {
    CentralDpSum::new(Fixed::new(1.0).unwrap(), noise_multiplier).unwrap()
}

fn fixed() -> Fixed {
    Fixed::new(1.0).unwrap()
}

fn quantile() -> Quantile {
    let parameters = QuantileParameters { initial: 1.0, target: 0.5, learning_rate: 0.2 };
    Quantile::new(QuantileEstimator::geometric(parameters).unwrap())
}

fn noisy(stddev: f64) -> Quantile {
    quantile().with_noise(stddev).unwrap()
}

fn updates() -> Vec<Update> {
    vec![Array1::from_elem(3, 0.25), Array1::from_elem(3, -2.0)]
}

/// ε after one round.
fn weighted<A: WeightedAggregationFactory<Update>>(aggregation: A) -> f64 {
    let mut process = WeightedProcess::new(aggregation);
    assert_eq!(process.epsilon(DELTA), Ok(0.0));
    let _ = process.run(&clear(), updates(), [1.0, 2.0]).unwrap();
    process.epsilon(DELTA).unwrap()
}

fn unweighted<A: AggregationFactory<Update>>(aggregation: A) -> f64 {
    weighted(IgnoringWeights(aggregation))
}

#[test]
fn exact_numbers_have_no_finite_cost() {
    let floats = || SecureClippingSum::floats_up_to(3.0).unwrap();
    let count = || NoisyCount::new(5.0).unwrap();
    for (name, epsilon) in [
        ("sum", unweighted(Sum)),
        ("secure sum", unweighted(floats())),
        ("adaptive secure sum", unweighted(SecureClippingSum::adaptive(noisy(5.0)))),
        ("secure aggregator", weighted(secure_aggregator())),
        ("no noise", unweighted(central(0.0))),
        ("norm from exact counts", unweighted(CentralDpSum::new(quantile(), 2.0).unwrap())),
        ("exact count of the clipped", unweighted(Clipping::new(fixed(), central(2.0)))),
        ("exact count of the zeroed", unweighted(Zeroing::new(fixed(), NormOrder::L2, central(2.0)))),
        (
            "clipping norm from exact counts",
            unweighted(Clipping::new(quantile(), central(2.0)).counted_by(count())),
        ),
        (
            "zeroing norm from exact counts",
            unweighted(Zeroing::new(quantile(), NormOrder::LInf, central(2.0)).counted_by(count())),
        ),
        (
            "exact weights",
            weighted(Mean::new(MeanSums {
                values: central(2.0),
                weights: SecureClippingSum::floats(0.0, 9.0).unwrap(),
            })),
        ),
        ("plain weights", weighted(Mean::new(MeanSums { values: central(2.0), weights: Sum }))),
        ("exact values", unweighted(UnweightedMean::new(floats(), Sum))),
        (
            "deep inside",
            weighted(Zeroing::new(
                fixed(),
                NormOrder::L2,
                Clipping::new(fixed(), IgnoringWeights(UnweightedMean::new(central(2.0), Sum))),
            )),
        ),
    ] {
        assert_eq!(epsilon, f64::INFINITY, "{name}");
    }
    let mut modular =
        Process::new(ModularClippingSum::new(-4, 4, SecureModularSum::new(8).unwrap()).unwrap());
    let _ = modular.run(&clear(), [1_i32, 2]).unwrap();
    assert_eq!((modular.epsilon(DELTA), modular.delta(5.0)), (Ok(f64::INFINITY), Ok(1.0)));
}

#[test]
fn compositions_cost_what_their_noises_cost_together() {
    let joint = |multipliers: &[f64]| multipliers.iter().map(|z| z.powi(-2)).sum::<f64>().powf(-0.5);
    let count = |stddev| NoisyCount::new(stddev).unwrap();
    let one = || UnweightedMean::new(central(2.0), SecureClippingSum::integers(0, 1).unwrap());
    for (name, found, multipliers) in [
        ("sum", unweighted(central(2.0)), &[2.0][..]),
        ("mean over public participants", unweighted(one()), &[2.0]),
        ("ones that are counted in the clear", unweighted(UnweightedMean::new(central(2.0), Sum)), &[2.0]),
        ("learned norm", unweighted(CentralDpSum::new(noisy(3.0), 2.0).unwrap()), &[2.0, 3.0]),
        ("clipping", unweighted(Clipping::new(fixed(), central(2.0)).counted_by(count(4.0))), &[2.0, 4.0]),
        (
            "zeroing around clipping",
            weighted(
                Zeroing::new(
                    noisy(5.0),
                    NormOrder::LInf,
                    Clipping::new(noisy(6.0), IgnoringWeights(one())).counted_by(count(7.0)),
                )
                .counted_by(count(8.0)),
            ),
            &[2.0, 5.0, 6.0, 7.0, 8.0],
        ),
        (
            "noisy weights",
            weighted(Mean::new(MeanSums { values: central(2.0), weights: scalar() })),
            &[2.0, 3.0],
        ),
    ] {
        let expected = gaussian(joint(multipliers), 1);
        assert!(close(found, expected, 1e-5 * expected), "{name}: {found}, not {expected}");
    }
}

/// A noisy sum of numbers from 0 to 1, as in a user's own aggregation.
fn scalar() -> impl AggregationFactory<f64, Result = f64> {
    struct Noisy;

    impl AggregationFactory<f64> for Noisy {
        type State = ();
        type Result = f64;
        type Measurements = ();

        fn initialize(&self) {}

        fn next(&self, state: &Value<(), Server>, values: &Value<f64, Clients>) -> Step<(), f64, ()> {
            let central = CentralDpSum::new(Fixed::new(1.0).unwrap(), 3.0).unwrap();
            let inner = central.next(state, values);
            Step::new(inner.state, inner.result.map(|sum| sum.max(1.0)), Value::constant(()))
                .with_cost(inner.cost)
        }
    }

    Noisy
}

#[test]
fn an_unstated_cost_is_infinite() {
    /// Releases nothing, but does not state a cost.
    struct Silent;

    impl Estimation for Silent {
        type State = ();

        fn initialize(&self) {}

        fn report(&self, state: &Value<(), Server>) -> Value<f64, Server> {
            state.map(|()| 1.0)
        }

        fn next(&self, state: &Value<(), Server>, _: &Value<f64, Clients>) -> Value<(), Server> {
            state.clone()
        }
    }

    assert_eq!(unweighted(CentralDpSum::new(Silent, 2.0).unwrap()), f64::INFINITY);
    let around = |stated| unweighted(Wrapper { inner: central(2.0), fails: false, stated });
    assert_eq!(around(Stated::Nothing), f64::INFINITY);
    assert_eq!(around(Stated::OfTheInner), gaussian(2.0, 1));
    assert_eq!(around(Stated::This(PrivacyCost::sum(3.0).unwrap())), gaussian(3.0, 1));
}

/// An aggregation around another one. It may fail at the server.
struct Wrapper<A> {
    inner: A,
    fails: bool,
    stated: Stated,
}

/// The cost that it states.
enum Stated {
    Nothing,
    OfTheInner,
    This(PrivacyCost),
}

impl<A: AggregationFactory<Update, Result = Update>> AggregationFactory<Update> for Wrapper<A> {
    type State = A::State;
    type Result = Update;
    type Measurements = A::Measurements;

    fn initialize(&self) -> A::State {
        self.inner.initialize()
    }

    fn next(
        &self,
        state: &Value<A::State, Server>,
        values: &Value<Update, Clients>,
    ) -> Step<A::State, Update, A::Measurements> {
        let inner = self.inner.next(state, values);
        let fails = self.fails;
        let result =
            inner.result.try_map(move |sum| if fails { Err("no use for it") } else { Ok(sum.clone()) });
        let step = Step::new(inner.state, result, inner.measurements);
        match &self.stated {
            Stated::Nothing => step,
            Stated::OfTheInner => step.with_cost(inner.cost),
            Stated::This(cost) => step.with_cost(cost.clone()),
        }
    }
}

fn distributed(clients: u32) -> (DistributedDpSum<Update>, Encoding) {
    let parameters = DistributedParameters {
        clip: 1.0,
        noise_multiplier: 1.0,
        clients,
        dimension: 3,
        ..DistributedParameters::DEFAULTS
    };
    (DistributedDpSum::new(Update::zeros(3), parameters).unwrap(), Encoding::new(parameters).unwrap())
}

#[test]
fn a_round_that_fails_is_charged_once_its_sums_were_opened() {
    let executor = builder().in_the_clear().min_clients(2).build().unwrap();
    let (sum, encoding) = distributed(4);
    let cost = |clients| encoding.mechanism(clients).unwrap();
    let mut process =
        Process::<Update, _>::new(Wrapper { inner: sum.clone(), fails: true, stated: Stated::OfTheInner });
    let some = |present: usize| (0..4).map(move |i| (i < present).then(|| Update::zeros(3)));
    // Too few clients: no sum is opened.
    let error = process.run(&executor, some(1).collect::<Vec<_>>()).unwrap_err();
    assert!(matches!(error, Error::Round(round::Error::TooFewClients { .. })), "{error}");
    assert_eq!(process.epsilon(DELTA), Ok(0.0));
    // Three clients took part, so the noise of three counts.
    let error = process.run(&executor, some(3).collect::<Vec<_>>()).unwrap_err();
    assert!(error.to_string().contains("no use for it"), "{error}");
    assert_eq!(process.epsilon(DELTA), Ok(accounted(&cost(3), 1)));
    let stored = postcard::to_stdvec(process.state()).unwrap();

    // Accounting continues from there.
    let mut process = Process::<Update, _>::resume(sum, postcard::from_bytes(&stored).unwrap());
    let _ = process.run(&executor, some(4).collect::<Vec<_>>()).unwrap();
    let mut expected = Accountant::new();
    expected.compose(&cost(3), 1);
    expected.compose(&cost(4), 1);
    assert_eq!(process.epsilon(DELTA).unwrap(), expected.epsilon(DELTA).unwrap());

    // A client's error ends a round before any sum is opened.
    let mut process = Process::new(central(1.0));
    let error = process.run(&clear(), [Array1::from_elem(3, f32::NAN), Array1::zeros(3)]).unwrap_err();
    assert!(matches!(error, Error::Client { client: 0, .. }), "{error}");
    assert_eq!(process.epsilon(DELTA), Ok(0.0));
}

#[test]
fn one_relation_for_sums_and_counts() {
    // 100 rounds with noise of 1 client on the counts, and a multiplier of (1 − 1/4)^(−1/2) on the
    // values: charged at half a client the joint multiplier would be 1, and ε 96. One client
    // changes a count by 1.
    let noise_multiplier = 0.75_f64.powf(-0.5);
    let central = CentralDpSum::new(noisy(1.0), noise_multiplier).unwrap();
    let mut account = Accountant::new();
    central.cost().charge(&mut account, 100);
    let expected = gaussian((0.75_f64 + 1.0).powf(-0.5), 100);
    assert!(close(account.epsilon(DELTA).unwrap(), expected, 1e-5 * expected));
    assert!(expected > 1.4 * gaussian(1.0, 100));

    // The split keeps its budget.
    let split = CentralDpSum::adaptive(AdaptiveParameters {
        noise_multiplier: 1.0,
        clients_per_round: 100, // and so a deviation of 5 for the counts
        ..AdaptiveParameters::DEFAULTS
    })
    .unwrap();
    let mut account = Accountant::new();
    split.cost().charge(&mut account, 100);
    assert!(close(account.epsilon(DELTA).unwrap(), gaussian(1.0, 100), 1e-5 * expected));
}

#[test]
fn a_replaced_value_is_twice_as_far_as_one_that_is_zeroed() {
    let executor = clear();
    let run = |process: Process<Update, CentralDpSum<Quantile>>| {
        let mut process = process;
        let _ = process.run(&executor, updates()).unwrap();
        process
    };
    let new = || Process::new(CentralDpSum::new(noisy(3.0), 2.0).unwrap());
    let replaced = run(new().neighbours(Neighbours::Replaced).unwrap());
    let expected = gaussian((1.0_f64 + 1.0 / 9.0).powf(-0.5), 1);
    assert!(close(replaced.epsilon(DELTA).unwrap(), expected, 1e-5 * expected));
    // The state contains the relation. One account uses one relation only.
    let stored = serde_json::to_string(replaced.state()).unwrap();
    let resumed = Process::<Update, _>::resume(
        CentralDpSum::new(noisy(3.0), 2.0).unwrap(),
        serde_json::from_str(&stored).unwrap(),
    );
    let again = run(resumed.neighbours(Neighbours::Replaced).unwrap());
    assert!(again.epsilon(DELTA).unwrap() > 1.2 * expected);
    assert_eq!(again.neighbours(Neighbours::ZeroedOut).unwrap_err(), aggregation::Error::RoundsAccounted);
}

#[test]
fn noisy_counts_are_counts() {
    let executor = clear();
    let mut process = Process::new(NoisyCount::new(0.01).unwrap());
    assert_eq!(process.run(&executor, [1_u32, 0, 1, 1]).unwrap().value, 3);
    // An answer other than 0 and 1 counts as one of them.
    assert_eq!(process.run(&executor, [7_u32, 0]).unwrap().value, 1);
    let mut process = Process::new(NoisyCount::new(50.0).unwrap());
    let counts: Vec<u64> = (0..40).map(|_| process.run(&executor, [1_u32, 1]).unwrap().value).collect();
    assert!(counts.contains(&0) && counts.iter().any(|count| *count > 10), "{counts:?}");
    assert!(NoisyCount::new(-1.0).is_err());
}
