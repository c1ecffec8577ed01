//! Means: a sum of values divided by a sum of weights or ones. Each sum is a separate aggregation.

mod state;
mod unweighted;
mod weighted;

pub use self::{
    unweighted::UnweightedMean,
    weighted::{Mean, MeanSums},
};
