//! The operations: each name in the case files, and the function that replays it.

mod bound;
mod boxes;
mod channels;
mod combine;
mod executors;
mod intrinsics;
mod means;
mod paillier;
mod quantized;
mod rounds;
mod secure;
mod sums;

use self::{
    combine::Combination,
    means::{First, Last},
    prelude::*,
    secure::Sum,
};

/// The names that most operations use.
mod prelude {
    pub(crate) use cipherfold::federated::{self, Clients, Error, Inputs, Server, Value, tensor::PerTensor};
    pub(crate) use serde_json::{Value as Json, json};

    pub(crate) use crate::{
        case::{self, Case, Parameter, of_leaf, try_map, values},
        expression,
        judge::{Answer, Found, Theirs, WRAPS, measurement},
        number::{Element, Number, Operator, Real, Tolerance, with_type},
        parties::{Executor, Parties, Settings},
        parts::{Part, joined, leaves, parts, run_parts, tree},
        refusal::{Refusal, Rule, Stop, answered},
        types::{Dtype, Leaf, Placement, Shape, Type},
        value::{self, Tensor, Tensors, Tree, arrays},
    };
}

type Replay = fn(&Case, &Parties) -> Result<Found, Stop>;

const OPERATIONS: &[(&str, Replay)] = &[
    ("secure_sum", |case, parties| secure::replay(case, parties, Sum::UpTo)),
    ("secure_sum_bitwidth", |case, parties| secure::replay(case, parties, Sum::Bitwidth)),
    ("secure_modular_sum", |case, parties| secure::replay(case, parties, Sum::Modular)),
    ("secure_quantized_sum", quantized::replay),
    ("client_shift", quantized::client_shift),
    ("server_shift", quantized::server_shift),
    ("SecureModularSumFactory", sums::modular),
    ("SecureSumFactory", sums::secure),
    ("ModularClippingSumFactory", sums::modular_clipping),
    ("DistributedDpSumFactory", sums::distributed),
    ("MeanFactory", |case, parties| means::replay(case, parties, First::Nothing, Last::Mean)),
    ("UnweightedMeanFactory", |case, parties| {
        means::replay(case, parties, First::Nothing, Last::UnweightedMean)
    }),
    ("clipping_factory+sum", |case, parties| means::replay(case, parties, First::Clipping, Last::Sum)),
    ("clipping_factory+mean", |case, parties| means::replay(case, parties, First::Clipping, Last::Mean)),
    ("zeroing_factory+sum", |case, parties| means::replay(case, parties, First::Zeroing, Last::Sum)),
    ("zeroing_factory+mean", |case, parties| means::replay(case, parties, First::Zeroing, Last::Mean)),
    ("federated_sum", |case, parties| combine::replay(case, parties, Combination::Sum)),
    ("federated_min", |case, parties| combine::replay(case, parties, Combination::Min)),
    ("federated_max", |case, parties| combine::replay(case, parties, Combination::Max)),
    ("federated_mean", |case, parties| combine::replay(case, parties, Combination::Mean)),
    ("federated_weighted_mean", |case, parties| combine::replay(case, parties, Combination::WeightedMean)),
    ("federated_aggregate", intrinsics::aggregate),
    ("federated_reduce", intrinsics::reduce),
    ("federated_collect", intrinsics::collect),
    ("federated_broadcast", intrinsics::broadcast),
    ("federated_value_at_clients", intrinsics::value_at_clients),
    ("federated_value_at_server", intrinsics::value_at_server),
    ("federated_apply", intrinsics::map_at),
    ("federated_map", intrinsics::map_at),
    ("federated_eval_at_clients", intrinsics::eval_at_clients),
    ("federated_eval_at_server", intrinsics::eval_at_server),
    ("sequence_sum", intrinsics::sequence_sum),
    ("temperature_sensor", intrinsics::temperature_sensor),
    ("identity_at_clients", intrinsics::identity),
    ("unplaced_computation", intrinsics::unplaced),
    ("infer_cardinalities", executors::infer),
    ("merge_cardinalities", executors::merge),
    ("construct_executor", executors::construct),
    ("channel_transfer", channels::transfer),
    ("easybox_setup", boxes::setup),
    ("easybox_sizes", boxes::sizes),
    ("easybox_round_trip", boxes::round_trip),
    ("paillier_round_trip", paillier::replay),
    ("paillier_add", paillier::replay),
];

/// Runs the operation of a case.
pub fn replay(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let found = OPERATIONS.iter().find(|(name, _)| *name == case.op);
    let (_, replay) = found.ok_or_else(|| Stop::not_understood(format!("the operation `{}`", case.op)))?;
    replay(case, parties)
}
