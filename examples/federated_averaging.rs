//! Federated averaging on real data, securely and in the clear, side by side.
//!
//! Ten clients of unequal size hold parts of the red wine quality data (Cortez et al., UCI Machine
//! Learning Repository; shipped by the crate `linfa-datasets`). Together they train a small network
//! that tells good wines from others: in every round each client trains on its own part, and the
//! server gets the mean of what they learned, weighted by how many wines each has seen. It sees neither a
//! client's update nor its weight.
//!
//! ```text
//! cargo run --release --example federated_averaging
//! ```

#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "training in f32")]

use cipherfold::{
    Result,
    federated::{LocalExecutor, Outcome},
    packing::Quantizer,
    paillier::Bits2048,
};
use ndarray::{Array1, Array2, Axis, s};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const CLIENTS: usize = 10;
const ROUNDS: usize = 20;
const HIDDEN: usize = 16;
const LOCAL_EPOCHS: usize = 5;
const LEARNING_RATE: f32 = 0.3;
/// Updates are small; what is larger is clipped, and the report would say so.
const CLIP: f64 = 1.0;
const BITS: u32 = 16;

fn main() -> Result<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(7); // for data and training only
    let (train, test) = wines(&mut rng);
    let clients = split(&train);
    let initial = Network::random(train.features.ncols(), &mut rng);
    let (mut plain, mut secure) = (initial.clone(), initial);

    // 2048 bits keep the demonstration short; the default is 3072.
    let executor = LocalExecutor::<Bits2048>::builder().build()?;
    let quantizer = Quantizer::symmetric(CLIP, BITS)?;
    let largest = clients.iter().map(Client::weight).max().expect("there are clients");

    println!("{} wines to learn from, {} to test on", train.labels.len(), test.labels.len());
    println!("{:>5} {:>10} {:>10} {:>22}", "round", "plain", "secure", "largest difference");
    let mut report = None;
    for round in 1..=ROUNDS {
        // In the clear: the weighted mean of the updates.
        let total: u32 = clients.iter().map(Client::weight).sum();
        let mut mean = Array1::zeros(plain.parameters.len());
        for client in &clients {
            mean.scaled_add(client.weight() as f32 / total as f32, &client.update(&plain));
        }
        plain.parameters += &mean;

        // Securely: the same, with one line more.
        let updates = clients.iter().map(|client| (client.weight(), client.update(&secure)));
        let Outcome { value, report: latest } = executor.secure_weighted_mean(updates, largest, quantizer)?;
        secure.parameters += &value;
        report = Some(latest);

        let difference = (&plain.parameters - &secure.parameters).mapv(f32::abs);
        println!(
            "{round:>5} {:>9.1}% {:>9.1}% {:>22.6}",
            100.0 * plain.accuracy(&test),
            100.0 * secure.accuracy(&test),
            difference.iter().copied().fold(0.0, f32::max),
        );
    }
    println!("\nThe last round:\n{}", report.expect("at least one round was run"));

    assert!(
        (plain.accuracy(&test) - secure.accuracy(&test)).abs() < 0.02,
        "secure averaging learns the same"
    );
    assert!(secure.accuracy(&test) > 0.7, "and it learns");
    Ok(())
}

/// Features, standardised, and whether each wine is a good one.
struct Wines {
    features: Array2<f32>,
    labels: Array1<f32>,
}

/// The data in random order, four fifths to learn from and one to test on.
fn wines(rng: &mut impl Rng) -> (Wines, Wines) {
    let data = linfa_datasets::winequality();
    let (rows, columns) = data.records().dim();
    let mut order: Vec<usize> = (0..rows).collect();
    for i in (1..rows).rev() {
        order.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
    let mut features = Array2::from_shape_fn((rows, columns), |(i, j)| data.records()[[order[i], j]] as f32);
    let labels = order.iter().map(|i| f32::from(u8::from(data.targets()[*i] >= 6))).collect::<Array1<_>>();
    let cut = rows * 4 / 5;
    for mut column in features.columns_mut() {
        let seen = column.slice(s![..cut]);
        let (mean, deviation) = (seen.mean().expect("there are rows"), seen.std(0.0));
        column.mapv_inplace(|x| (x - mean) / deviation);
    }
    let part = |range| Wines {
        features: features.slice_axis(Axis(0), range).to_owned(),
        labels: labels.slice_axis(Axis(0), range).to_owned(),
    };
    (part((..cut).into()), part((cut..).into()))
}

struct Client {
    wines: Wines,
}

/// Client i gets a share that grows with i.
fn split(wines: &Wines) -> Vec<Client> {
    let rows = wines.labels.len();
    let all = CLIENTS * (CLIENTS + 1) / 2;
    let border = |i: usize| rows * (i * (i + 1) / 2) / all;
    (0..CLIENTS)
        .map(|i| {
            let range = border(i)..border(i + 1);
            let features = wines.features.slice(s![range.clone(), ..]).to_owned();
            Client { wines: Wines { features, labels: wines.labels.slice(s![range]).to_owned() } }
        })
        .collect()
}

impl Client {
    fn weight(&self) -> u32 {
        u32::try_from(self.wines.labels.len()).expect("few wines")
    }

    /// What the client learns: its network after some epochs, minus the one it began with.
    fn update(&self, network: &Network) -> Array1<f32> {
        let mut local = network.clone();
        for _ in 0..LOCAL_EPOCHS {
            let gradient = local.gradient(&self.wines);
            local.parameters.scaled_add(-LEARNING_RATE, &gradient);
        }
        local.parameters - &network.parameters
    }
}

/// One hidden layer and one output; all parameters in one vector.
#[derive(Clone)]
struct Network {
    inputs: usize,
    parameters: Array1<f32>,
}

impl Network {
    fn random(inputs: usize, rng: &mut impl Rng) -> Self {
        let count = (inputs + 1) * HIDDEN + HIDDEN + 1;
        // Uniform between −1/4 and 1/4.
        let parameters = (0..count).map(|_| (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) / 2.0).collect();
        Self { inputs, parameters }
    }

    /// Weights and biases of the hidden layer, weights and bias of the output.
    fn layers(&self) -> (Array2<f32>, Array1<f32>, Array1<f32>, f32) {
        let (w, b) = (self.inputs * HIDDEN, (self.inputs + 1) * HIDDEN);
        let hidden = self.parameters.slice(s![..w]).to_owned();
        (
            hidden.into_shape_with_order((self.inputs, HIDDEN)).expect("inputs × hidden weights"),
            self.parameters.slice(s![w..b]).to_owned(),
            self.parameters.slice(s![b..b + HIDDEN]).to_owned(),
            self.parameters[b + HIDDEN],
        )
    }

    /// Activations of the hidden layer, and the probability that a wine is good.
    fn forward(&self, features: &Array2<f32>) -> (Array2<f32>, Array1<f32>) {
        let (weights, biases, output, bias) = self.layers();
        let hidden = (features.dot(&weights) + &biases).mapv(f32::tanh);
        let probability = (hidden.dot(&output) + bias).mapv(|z| 1.0 / (1.0 + (-z).exp()));
        (hidden, probability)
    }

    /// Gradient of the mean cross-entropy.
    fn gradient(&self, wines: &Wines) -> Array1<f32> {
        let (hidden, probability) = self.forward(&wines.features);
        let (_, _, output, _) = self.layers();
        let error = (probability - &wines.labels) / wines.labels.len() as f32;
        let back = error.view().insert_axis(Axis(1)).dot(&output.view().insert_axis(Axis(0)))
            * hidden.mapv(|a| 1.0 - a * a);
        let to_hidden = wines.features.t().dot(&back);
        to_hidden
            .iter()
            .copied()
            .chain(back.sum_axis(Axis(0)))
            .chain(hidden.t().dot(&error))
            .chain([error.sum()])
            .collect()
    }

    fn accuracy(&self, wines: &Wines) -> f64 {
        let (_, probability) = self.forward(&wines.features);
        let right = probability.iter().zip(&wines.labels).filter(|(p, y)| (**p > 0.5) == (**y > 0.5)).count();
        right as f64 / wines.labels.len() as f64
    }
}
