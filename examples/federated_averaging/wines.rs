//! The red wine quality data, split among clients.

use ndarray::{Array1, Array2, Axis, s};
use rand_core::Rng;

/// Standardised features, and whether each wine is good.
#[derive(Debug)]
pub(crate) struct Wines {
    pub(crate) features: Array2<f32>,
    pub(crate) labels: Array1<f32>,
}

impl Wines {
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The data in random order: four fifths for training and one fifth for tests.
    pub(crate) fn load(rng: &mut impl Rng) -> (Self, Self) {
        let data = linfa_datasets::winequality();
        let (rows, columns) = data.records().dim();
        let mut order: Vec<usize> = (0..rows).collect();
        for i in (1..rows).rev() {
            order.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
        }
        let mut features =
            Array2::from_shape_fn((rows, columns), |(i, j)| data.records()[[order[i], j]] as f32);
        let labels: Array1<_> = order.iter().map(|i| f32::from(u8::from(data.targets()[*i] >= 6))).collect();
        let cut = rows * 4 / 5;
        for mut column in features.columns_mut() {
            let seen = column.slice(s![..cut]);
            let (mean, deviation) = (seen.mean().expect("there are rows"), seen.std(0.0));
            column.mapv_inplace(|x| (x - mean) / deviation);
        }
        let part = |range| Self {
            features: features.slice_axis(Axis(0), range).to_owned(),
            labels: labels.slice_axis(Axis(0), range).to_owned(),
        };
        (part((..cut).into()), part((cut..).into()))
    }

    /// Splits the data among `clients` clients. The share of client i grows with i.
    pub(crate) fn split(&self, clients: usize) -> Vec<Self> {
        let all = clients * (clients + 1) / 2;
        let border = |i: usize| self.len() * (i * (i + 1) / 2) / all;
        let share = |i: usize| {
            let range = border(i)..border(i + 1);
            let features = self.features.slice(s![range.clone(), ..]).to_owned();
            Self { features, labels: self.labels.slice(s![range]).to_owned() }
        };
        (0..clients).map(share).collect()
    }
}
