//! Means: a sum of values divided by a sum of weights or ones. Each sum is an aggregation of its
//! own.

mod state;
mod unweighted;
mod weighted;

pub use self::{
    unweighted::UnweightedMean,
    weighted::{Mean, MeanSums},
};
