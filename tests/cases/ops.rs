//! The operations: the names in the case files, and the functions that replay them.

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
        tensor::{self, Structure},
    };
    pub(crate) use serde_json::{Value as Json, json};

    pub(crate) use crate::{
        case::{self, Case},
        compare::{Answer, Difference, Found, WRAPS},
        expression,
        number::{Element, Number, Operator, real, with_type},
        parameter::{Parameter, of_leaf, per_tensor},
        parties::Parties,
        refusal::{Refusal, Rule, Stop, answered, not_understood},
        types::{Dtype, Leaf, Placement, Shape, Type},
        value::{self, Tensor, Tensors, Tree},
    };

    /// The server's value of these tensors.
    pub(crate) fn to_tree<T: Element>(value: &Value<Tensors<T>, Server>) -> Value<Tree, Server> {
        value.map(|found| found.as_ref().map(Tensor::of))
    }
}

type Replay = fn(&Case, &Parties) -> Result<Found, Stop>;

/// Runs the operation of a case.
pub fn replay(case: &Case, parties: &Parties) -> Result<Found, Stop> {
    let replay: Replay = match case.op.as_str() {
        "secure_sum" | "secure_sum_bitwidth" | "secure_modular_sum" => secure::replay,
        "secure_quantized_sum" => quantized::replay,
        "client_shift" => quantized::client_shift,
        "server_shift" => quantized::server_shift,
        "SecureModularSumFactory" => sums::modular,
        "SecureSumFactory" => sums::secure,
        "ModularClippingSumFactory" => sums::modular_clipping,
        "DistributedDpSumFactory" => sums::distributed,
        "MeanFactory"
        | "UnweightedMeanFactory"
        | "clipping_factory+sum"
        | "clipping_factory+mean"
        | "zeroing_factory+sum"
        | "zeroing_factory+mean" => means::replay,
        "federated_sum"
        | "federated_min"
        | "federated_max"
        | "federated_mean"
        | "federated_weighted_mean" => combine::replay,
        "federated_aggregate" => intrinsics::aggregate,
        "federated_reduce" => intrinsics::reduce,
        "federated_collect" => intrinsics::collect,
        "federated_broadcast" | "federated_value_at_clients" | "federated_value_at_server" => {
            intrinsics::sent
        }
        "federated_apply" | "federated_map" => intrinsics::map_at,
        "federated_eval_at_clients" => intrinsics::eval_at_clients,
        "federated_eval_at_server" | "unplaced_computation" => intrinsics::eval_at_server,
        "sequence_sum" => intrinsics::sequence_sum,
        "temperature_sensor" => intrinsics::temperature_sensor,
        "identity_at_clients" => intrinsics::identity,
        "infer_cardinalities" => executors::infer,
        "merge_cardinalities" => executors::merge,
        "construct_executor" => executors::construct,
        "channel_transfer" => channels::transfer,
        "easybox_setup" => channels::setup,
        "easybox_sizes" => channels::sizes,
        "easybox_round_trip" => channels::round_trip,
        "paillier_round_trip" | "paillier_add" => paillier::replay,
        other => return Err(not_understood(format!("the operation `{other}`"))),
    };
    replay(case, parties)
}
