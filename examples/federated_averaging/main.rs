//! Federated averaging on real data, in real rounds: broadcast, local training, clipping, a secure
//! weighted mean.
//!
//! Ten clients of unequal size hold parts of the red wine quality data (Cortez et al., UCI Machine
//! Learning Repository; shipped by the crate `linfa-datasets`). Together they train a small network
//! that distinguishes good wines from others. In every round the server broadcasts its network, and
//! each client trains it on its own wines. The server gets the mean of the updates, weighted by the
//! clients' numbers of wines. It sees neither a client's update nor its weight.
//!
//! ```text
//! cargo run --release --example federated_averaging
//! cargo run --release --example federated_averaging -- --noise 0.5     # and differential privacy
//! ```
//!
//! With `--noise`, the mean has equal weights, and each client adds its share of discrete Gaussian
//! noise before encryption. The argument is the total noise, as a multiple of the clipping norm.
//! Ten clients are few for that: the example shows the method and its cost. The learning curve is
//! drawn to `target/federated_averaging.svg`, together with a curve of training in the clear.

#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "training in f32")]

#[path = "../common"]
mod common {
    pub(crate) mod cli;
    pub(crate) mod escape;
    pub(crate) mod numbers;
    pub(crate) mod plural;
    pub(crate) mod table;
}
mod curve;
mod network;
mod wines;

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use cipherfold::{
    federated::{
        Clients, LocalExecutor, Server,
        aggregation::{
            Clipping, DistributedDpSum, Fixed, IgnoringWeights, Mean, MeanSums, SecureClippingSum,
            UnweightedMean, WeightedAggregationFactory,
        },
        computation::{Computation, Inputs, Value},
        report::Report,
    },
    paillier::Bits2048,
    privacy::{Accountant, DistributedParameters},
};
use clap::Parser;
use ndarray::{Array1, ArrayBase, Ix1, OwnedRepr};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use self::{
    common::{
        cli::{Failure, Output},
        escape::escaped,
        numbers::between,
        plural::count,
        table::{
            Align::{Left, Right},
            Table,
        },
    },
    curve::{Curve, Line},
    network::Network,
    wines::Wines,
};

const CLIENTS: u32 = 10;

/// A client's update: an `Array1<f32>`, written so that the compiler resolves bounds with it
/// quickly.
type Update = ArrayBase<OwnedRepr<f32>, Ix1, f32>;

/// Federated averaging with secure sums.
#[derive(Debug, Parser)]
#[command(name = "federated_averaging")]
struct Args {
    /// Rounds of training
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Maximum L2 norm of an update; longer updates are scaled down
    #[arg(long, default_value_t = 0.25, value_parser = between(1e-6..=1e3))]
    clip: f64,
    /// Standard deviation of the total noise of all clients, as a multiple of the maximum norm
    #[arg(long, value_parser = between(1e-3..=1e3))]
    noise: Option<f64>,
    /// File for the learning curve
    #[arg(long, default_value = "target/federated_averaging.svg")]
    curve: PathBuf,
    /// Without cryptography: the same results, for debugging
    #[arg(long)]
    in_the_clear: bool,
}

fn main() -> ExitCode {
    common::cli::run(federated_averaging)
}

fn federated_averaging(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let curve = Curve::new(&args.curve)?; // before the work begins
    let mut rng = ChaCha20Rng::seed_from_u64(7); // for data and the first network only
    let (train, test) = Wines::load(&mut rng);
    let clients: Vec<_> = train.split(CLIENTS as usize).into_iter().map(Arc::new).collect();
    let network = Network::random(train.features.ncols(), &mut rng);
    writeln!(out, "{} wines to learn from, {} to test on", train.len(), test.len())?;

    // 2048 bits keep the demonstration short; the default is 3072. The computation runs only if all
    // data leave the clients in secure sums.
    let builder = LocalExecutor::<Bits2048>::builder().secure_only();
    let executor = if args.in_the_clear { builder.in_the_clear() } else { builder }.build()?;
    let run = Run { args, executor, clients, test, network };

    let clip = Fixed::new(args.clip)?;
    let learned = if let Some(noise) = args.noise {
        // Clients clip, rotate, round, add noise, and encrypt. The count of clients is a secure
        // sum, too.
        let parameters = DistributedParameters {
            clip: args.clip,
            noise_multiplier: noise,
            clients: CLIENTS,
            dimension: run.network.parameters.len(),
            ..DistributedParameters::DEFAULTS
        };
        let sum = DistributedDpSum::new(Array1::<f32>::zeros(run.network.parameters.len()), parameters)?;
        let mean = UnweightedMean::new(sum, SecureClippingSum::integers(0, 1)?);
        run.train(
            out,
            &IgnoringWeights(mean),
            |m| format!("noise of {:.2}", m.mean_value.noise_stddev),
            |accountant| {
                let epsilon = accountant.epsilon(1e-5)?;
                Ok(format!("All rounds together are ({epsilon:.1}, 1e-5)-differentially private.\n"))
            },
        )?
    } else {
        // An element of a client's update is at most the update's norm. Its weight is the client's
        // number of wines.
        let most = run.clients.iter().map(|wines| wines.len()).max().expect("there are clients") as f64;
        let mean = Mean::new(MeanSums {
            values: SecureClippingSum::floats_up_to(args.clip * most)?,
            weights: SecureClippingSum::floats(0.0, most)?,
        });
        run.train(
            out,
            &Clipping::new(clip, mean),
            |m| count(m.clipped_count, "update", "updates") + " clipped",
            |_| Ok(String::new()),
        )?
    };

    let (plain, secure) = (learned.plain.last().expect("a start"), learned.secure.last().expect("a start"));
    writeln!(out, "\nThe last round:\n{}", learned.report.expect("at least one round was run"))?;
    let name = if args.noise.is_some() { "securely, with noise" } else { "securely" };
    let lines =
        [Line { name: "in the clear", accuracy: &learned.plain }, Line { name, accuracy: &learned.secure }];
    curve.draw(&lines)?;
    writeln!(out, "The learning curve is in {}", escaped(args.curve.display()))?;
    if args.noise.is_none() && (plain - secure).abs() >= 0.03 {
        return Err("secure averaging and averaging in the clear differ by 3 points or more".into());
    }
    if args.noise.is_none() && args.clip >= 0.25 && args.rounds >= 20 && *secure <= 0.7 {
        return Err("secure averaging does not learn to distinguish good wines from others".into());
    }
    Ok(())
}

/// Data that all rounds share.
struct Run<'a> {
    args: &'a Args,
    executor: LocalExecutor<Bits2048>,
    clients: Vec<Arc<Wines>>,
    test: Wines,
    network: Network,
}

/// Accuracy before the first round and after each round, in the clear and securely; and the last
/// round's report.
struct Learned {
    plain: Vec<f64>,
    secure: Vec<f64>,
    report: Option<Report>,
}

impl Run<'_> {
    /// Trains with an aggregation of updates, and for comparison with their plain mean.
    /// `conclusion` is printed at the end.
    fn train<A: WeightedAggregationFactory<Update, Result = Update>>(
        &self,
        out: &mut Output,
        aggregation: &A,
        measured: impl Fn(&A::Measurements) -> String,
        conclusion: impl FnOnce(&Accountant) -> cipherfold::Result<String>,
    ) -> Result<Learned, Failure> {
        // A round, defined once.
        let wines = Value::<Arc<Wines>, Clients>::input("wines");
        let network = Value::<Network, Server>::input("network");
        let state = Value::<A::State, Server>::input("state");
        let trained = wines
            .zip(&network.broadcast())
            .map(|(wines, network)| (network.update(wines), wines.len() as f64))
            .named("local training");
        let parameters = network.map(|network| network.parameters.clone());
        let update = trained.map(|(update, _)| update.clone()).shaped_like(&parameters);
        let weight = trained.map(|(_, weight)| *weight);
        let step = aggregation.next(&state, &update, &weight);
        let improved = network.zip(&step.result).map(|(network, update)| network.plus(update));
        let computation = Computation::new((improved, step.state, step.measurements, step.cost));

        let mut plain = self.network.clone();
        let mut current = (self.network.clone(), aggregation.initialize());
        let mut accountant = Accountant::new();
        let start = self.network.accuracy(&self.test);
        let mut learned = Learned { plain: vec![start], secure: vec![start], report: None };
        let columns = [("round", Right), ("in the clear", Right), ("securely", Right), ("measured", Left)];
        let mut table = Table::new(columns);
        table.fit(&[self.args.rounds.to_string(), "100.0%".into(), "100.0%".into(), String::new()]);
        writeln!(out, "{}", table.heading())?;
        for round in 1..=self.args.rounds {
            plain = plain.plus(&self.plain_mean(&plain));
            let inputs = Inputs::new()
                .clients(&wines, self.clients.iter().cloned())
                .server(&network, current.0)
                .server(&state, current.1);
            let mut run = self.executor.run(&computation, inputs)?;
            let (network, state, measurements, cost) = run.value;
            cost.charge(&mut accountant, 1);
            let accuracy = [plain.accuracy(&self.test), network.accuracy(&self.test)];
            learned.plain.push(accuracy[0]);
            learned.secure.push(accuracy[1]);
            learned.report = run.rounds.pop();
            let [in_the_clear, securely] = accuracy.map(|right| format!("{:.1}%", 100.0 * right));
            let row = [round.to_string(), in_the_clear, securely, measured(&measurements)];
            writeln!(out, "{}", table.row(&row))?;
            current = (network, state);
        }
        write!(out, "{}", conclusion(&accountant)?)?;
        Ok(learned)
    }

    /// The weighted mean of clipped updates, computed in the clear for comparison.
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
