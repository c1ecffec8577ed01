//! Federated averaging on real data, in real rounds: broadcast, local training, clipping, a secure weighted mean.
//!
//! Ten clients of unequal size hold parts of the red wine quality data (Cortez et al., UCI Machine Learning Repository; shipped
//! by the crate `linfa-datasets`). Together they train a small network that tells good wines from others. In every round the
//! server broadcasts its network, each client trains it on its own wines, and the server gets the mean of what they learned,
//! weighted by how many wines each has seen. It sees neither a client's update nor its weight.
//!
//! ```text
//! cargo run --release --example federated_averaging
//! cargo run --release --example federated_averaging -- --noise 0.5     # and differential privacy
//! ```
//!
//! With `--noise`, the mean has equal weights, and each client adds its share of discrete Gaussian noise to what it encrypts:
//! together that much, as a multiple of the clipping norm. Ten clients are few for that: this shows how it is done, and what it
//! costs. The learning curve is drawn to `target/federated_averaging.svg`, beside one of training in the clear.

#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "training in f32")]

mod curve;
mod network;
mod wines;

use std::{error::Error, path::PathBuf, sync::Arc};

use cipherfold::{
    federated::{
        Clients, Computation, Inputs, LocalExecutor, Report, Server, Value,
        aggregation::{
            Clipping, ClippingMeasurements, DistributedGaussian, Fixed, IgnoringWeights, Mean, MeanSums,
            PrivateMeasurements, SecureSum, UnweightedMean, UnweightedMeanMeasurements, WeightedAggregation,
        },
    },
    paillier::Bits2048,
    privacy::{Accountant, DistributedParameters},
};
use clap::Parser;
use ndarray::{Array1, ArrayBase, Ix1, OwnedRepr};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use self::{curve::Line, network::Network, wines::Wines};

const CLIENTS: u32 = 10;

/// What a client learns: an `Array1<f32>`, written such that bounds with it need nothing resolved.
type Update = ArrayBase<OwnedRepr<f32>, Ix1, f32>;

/// Federated averaging with secure sums.
#[derive(Debug, Parser)]
#[command(name = "federated_averaging")]
struct Args {
    /// Rounds of training
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Longest update; longer ones are scaled down
    #[arg(long, default_value_t = 0.25)]
    clip: f64,
    /// Deviation of the noise that all clients add together, as a multiple of the longest update
    #[arg(long)]
    noise: Option<f64>,
    /// Where the learning curve goes
    #[arg(long, default_value = "target/federated_averaging.svg")]
    curve: PathBuf,
    /// Without cryptography: the same, for debugging
    #[arg(long)]
    in_the_clear: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut rng = ChaCha20Rng::seed_from_u64(7); // for data and the first network only
    let (train, test) = Wines::load(&mut rng);
    let clients: Vec<_> = train.split(CLIENTS as usize).into_iter().map(Arc::new).collect();
    let network = Network::random(train.features.ncols(), &mut rng);
    println!("{} wines to learn from, {} to test on", train.len(), test.len());

    // 2048 bits keep the demonstration short; the default is 3072. Whatever leaves a client leaves it in a secure sum, or the
    // computation does not run.
    let builder = LocalExecutor::<Bits2048>::builder().secure_only();
    let executor = if args.in_the_clear { builder.in_the_clear() } else { builder }.build()?;
    let run = Run { args: &args, executor, clients, test, network };

    let clip = Fixed::new(args.clip)?;
    let learned = if let Some(noise) = args.noise {
        // Clients clip, rotate, round, add noise, and encrypt; the count of clients is a secure sum, too.
        let parameters = DistributedParameters {
            clip: args.clip,
            noise_multiplier: noise,
            clients: CLIENTS,
            dimension: run.network.parameters.len(),
            ..DistributedParameters::DEFAULTS
        };
        let sum = DistributedGaussian::new(Array1::<f32>::zeros(run.network.parameters.len()), parameters)?;
        let mean = UnweightedMean::new(sum, SecureSum::integers(0, 1)?);
        let measured = |m: &UnweightedMeanMeasurements<PrivateMeasurements, _>| {
            format!("noise of {:.2}", m.mean_value.noise_stddev)
        };
        run.train(&IgnoringWeights(mean), measured, |accountant| {
            let epsilon = accountant.epsilon(1e-5)?;
            println!("Whoever sees all rounds learns no more of a client than (ε, δ) = ({epsilon:.1}, 1e-5) allows.");
            Ok(())
        })?
    } else {
        // An element of a client's update is no larger than its length, and is weighted with the number of its wines.
        let most = run.clients.iter().map(|wines| wines.len()).max().expect("there are clients") as f64;
        let mean = Mean::new(MeanSums {
            values: SecureSum::floats_up_to(args.clip * most)?,
            weights: SecureSum::floats(0.0, most)?,
        });
        let measured = |m: &ClippingMeasurements<_>| format!("{} updates clipped", m.clipped_count);
        run.train(&Clipping::new(clip, mean), measured, |_| Ok(()))?
    };

    let (plain, secure) = (learned.plain.last().expect("a start"), learned.secure.last().expect("a start"));
    println!("\nThe last round:\n{}", learned.report.expect("at least one round was run"));
    let name = if args.noise.is_some() { "securely, with noise" } else { "securely" };
    let lines =
        [Line { name: "in the clear", accuracy: &learned.plain }, Line { name, accuracy: &learned.secure }];
    curve::draw(&args.curve, &lines)?;
    println!("The learning curve is in {}", args.curve.display());
    if args.noise.is_none() {
        assert!((plain - secure).abs() < 0.03, "secure averaging learns the same");
        assert!(args.rounds < 20 || *secure > 0.7, "and it learns");
    }
    Ok(())
}

/// What all rounds share.
struct Run<'a> {
    args: &'a Args,
    executor: LocalExecutor<Bits2048>,
    clients: Vec<Arc<Wines>>,
    test: Wines,
    network: Network,
}

/// Accuracy before the first round and after each, in the clear and securely; and the last round's report.
struct Learned {
    plain: Vec<f64>,
    secure: Vec<f64>,
    report: Option<Report>,
}

impl Run<'_> {
    /// Trains with an aggregation of updates, and beside it with their plain mean.
    fn train<A: WeightedAggregation<Update, Result = Update>>(
        &self,
        aggregation: &A,
        measured: impl Fn(&A::Measurements) -> String,
        at_the_end: impl FnOnce(&Accountant) -> cipherfold::Result<()>,
    ) -> Result<Learned, Box<dyn Error>> {
        // A round, written down once.
        let wines = Value::<Arc<Wines>, Clients>::input("wines");
        let network = Value::<Network, Server>::input("network");
        let state = Value::<A::State, Server>::input("state");
        let trained = wines
            .zip(&network.broadcast())
            .map(|(wines, network)| (network.update(wines), wines.len() as f64))
            .named("local training");
        let update = trained.map(|(update, _)| update.clone());
        let weight = trained.map(|(_, weight)| *weight);
        let step = aggregation.next(&state, &update, &weight);
        let improved = network.zip(&step.result).map(|(network, update)| network.plus(update));
        let computation = Computation::new((improved, step.state, step.measurements, step.price));

        let mut plain = self.network.clone();
        let mut current = (self.network.clone(), aggregation.initialize());
        let mut accountant = Accountant::new();
        let start = self.network.accuracy(&self.test);
        let mut learned = Learned { plain: vec![start], secure: vec![start], report: None };
        println!("{:>5} {:>14} {:>10}  measured", "round", "in the clear", "securely");
        for round in 1..=self.args.rounds {
            plain = plain.plus(&self.plain_mean(&plain));
            let inputs = Inputs::new()
                .clients(&wines, self.clients.iter().cloned())
                .server(&network, current.0)
                .server(&state, current.1);
            let mut run = self.executor.run(&computation, inputs)?;
            let (network, state, measurements, price) = run.value;
            price.charge(&mut accountant, 1);
            learned.plain.push(plain.accuracy(&self.test));
            learned.secure.push(network.accuracy(&self.test));
            learned.report = run.rounds.pop();
            println!(
                "{round:>5} {:>13.1}% {:>9.1}%  {}",
                100.0 * learned.plain[round],
                100.0 * learned.secure[round],
                measured(&measurements)
            );
            current = (network, state);
        }
        at_the_end(&accountant)?;
        Ok(learned)
    }

    /// What nobody may compute: the weighted mean of clipped updates in the clear.
    fn plain_mean(&self, network: &Network) -> Array1<f32> {
        let mut mean = Array1::zeros(network.parameters.len());
        let total: usize = self.clients.iter().map(|wines| wines.len()).sum();
        for wines in &self.clients {
            let update = network.update(wines);
            let norm = update.dot(&update).sqrt();
            let scale = (self.args.clip as f32 / norm).min(1.0) * wines.len() as f32 / total as f32;
            mean.scaled_add(scale, &update);
        }
        mean
    }
}
