//! The privacy cost of mechanisms, and the accountant that adds up their costs.
//!
//! | module | content |
//! | :-- | :-- |
//! | [`mechanism`] | the interface between a mechanism and the accountant |
//! | [`gaussian`] | one Gaussian noise on a sum, with and without sampling of the clients |
//! | [`summed_discrete_gaussian`] | the sum of many clients' discrete noises |
//! | [`accountant`] | the costs of all rounds together, as (ε, δ) |
//! | [`loss`] | tight bounds by privacy loss distributions |
//! | [`budget`] | the noise that keeps a budget |

mod accountant;
mod budget;
mod gaussian;
mod loss;
mod mechanism;
mod normal;
mod summed_discrete_gaussian;

pub use self::{
    accountant::Accountant,
    budget::{Budget, noise_for},
    gaussian::Gaussian,
    mechanism::Mechanism,
    summed_discrete_gaussian::SummedDiscreteGaussian,
};
