//! A small network that distinguishes good wines from others, and its training.

use ndarray::{Array1, Array2, Axis, s};
use rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::wines::Wines;

const HIDDEN: usize = 16;
const LOCAL_EPOCHS: usize = 5;
const LEARNING_RATE: f32 = 0.3;

/// One hidden layer and one output; all parameters in one vector.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::unsafe_derive_deserialize, reason = "ndarray's macro for slices contains `unsafe`")]
pub(crate) struct Network {
    inputs: usize,
    pub(crate) parameters: Array1<f32>,
}

impl Network {
    pub(crate) fn random(inputs: usize, rng: &mut impl Rng) -> Self {
        let count = (inputs + 1) * HIDDEN + HIDDEN + 1;
        // Uniform between −1/4 and 1/4.
        let parameters = (0..count).map(|_| (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) / 2.0).collect();
        Self { inputs, parameters }
    }

    /// A client's update: the network after some epochs of training, minus the initial network.
    pub(crate) fn update(&self, wines: &Wines) -> Array1<f32> {
        let mut local = self.clone();
        for _ in 0..LOCAL_EPOCHS {
            let gradient = local.gradient(wines);
            local.parameters.scaled_add(-LEARNING_RATE, &gradient);
        }
        local.parameters - &self.parameters
    }

    /// The network with this change of its parameters.
    pub(crate) fn plus(&self, update: &Array1<f32>) -> Self {
        Self { inputs: self.inputs, parameters: &self.parameters + update }
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

    pub(crate) fn accuracy(&self, wines: &Wines) -> f64 {
        let (_, probability) = self.forward(&wines.features);
        let right = probability.iter().zip(&wines.labels).filter(|(p, y)| (**p > 0.5) == (**y > 0.5)).count();
        right as f64 / wines.labels.len() as f64
    }
}
