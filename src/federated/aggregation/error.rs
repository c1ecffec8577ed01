//! The errors of this layer.

/// The result of functions of this layer that run no round and use no other layer.
pub(super) type Result<T, E = Error> = core::result::Result<T, E>;

/// Every error of an aggregation that is not one of its rounds: of its parameters, its estimates,
/// and its account.
///
/// [`federated::Error`](crate::federated::Error) wraps this type.
///
/// Fields hold parameters and numbers that the server knows, never a value of a client.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The neighbour relation cannot be changed, because the account already has rounds.
    #[error("the account already has rounds under another neighbour relation")]
    RoundsAccounted,

    /// Bounds of sums must be positive.
    #[error("sums cannot be bounded by ±{bound:?}: the bound must be positive and finite")]
    SymmetricBound {
        /// The bound given.
        bound: f64,
    },

    /// An estimate, or an input of its computation, is infinite or not a number.
    #[error("the estimate is {value:?}: it must be finite")]
    Estimate {
        /// The number given.
        value: f64,
    },

    /// A norm, fixed or estimated, to which no vector can be limited.
    #[error("the norm limit is {limit:?}: it must be zero or positive")]
    NormLimit {
        /// The number found.
        limit: f64,
    },
}
