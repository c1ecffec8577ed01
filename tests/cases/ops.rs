//! The operations: each name in the case files, and the function that replays it.

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

use self::prelude::*;

/// The names that most operations use.
mod prelude {
    pub(crate) use cipherfold::federated::{
        self, Clients, Error, Server,
        computation::{Inputs, Value},
        tensor::{self, PerTensor},
    };
    pub(crate) use serde_json::{Value as Json, json};

    pub(crate) use crate::{
        case::{self, Case},
        expression,
        judge::{Answer, Found, Theirs, WRAPS, measurement},
        number::{Computed, Element, Number, Operator, Tolerance, real, with_type},
        parameter::{Parameter, of_leaf, try_map, values},
        parties::{Executor, Parties, Settings},
        refusal::{Refusal, Rule, Stop, answered, not_understood},
        split::{Group, Split, tree},
        types::{Dtype, Leaf, Placement, Shape, Type},
        value::{self, Tensor, Tensors, Tree},
    };
}

type Replay = fn(&Case, &Parties) -> Result<Found, Stop>;

const OPERATIONS: &[(&str, Replay)] = &[
    ("secure_sum", secure::replay),
    ("secure_sum_bitwidth", secure::replay),
    ("secure_modular_sum", secure::replay),
    ("secure_quantized_sum", quantized::replay),
    ("client_shift", quantized::client_shift),
    ("server_shift", quantized::server_shift),
    ("SecureModularSumFactory", sums::modular),
    ("SecureSumFactory", sums::secure),
    ("ModularClippingSumFactory", sums::modular_clipping),
    ("DistributedDpSumFactory", sums::distributed),
    ("MeanFactory", means::replay),
    ("UnweightedMeanFactory", means::replay),
    ("clipping_factory+sum", means::replay),
    ("clipping_factory+mean", means::replay),
    ("zeroing_factory+sum", means::replay),
    ("zeroing_factory+mean", means::replay),
    ("federated_sum", combine::replay),
    ("federated_min", combine::replay),
    ("federated_max", combine::replay),
    ("federated_mean", combine::replay),
    ("federated_weighted_mean", combine::replay),
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
    let (_, replay) = found.ok_or_else(|| not_understood(format!("the operation `{}`", case.op)))?;
    replay(case, parties)
}
