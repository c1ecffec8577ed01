//! Corrected `placements_zipped`, `server_value_summed` and `input_at_wrong_place`: values at one placement.

use cipherfold::{
    federated::{
        Clients, LocalExecutor, Server,
        computation::{Computation, Inputs, Value},
    },
    packing::IntegerRange,
    paillier::hazmat::InsecureBits512,
};

pub(crate) fn main() {
    let update = Value::<u32, Clients>::input("update");
    let model = Value::<u32, Server>::input("model");
    let sum = update.zip(&model.broadcast()).map(|(a, b)| a + b).secure_sum(IntegerRange::up_to(100));
    let result = sum.zip(&model).map(|(sum, model)| sum + u64::from(*model));
    let inputs = Inputs::new().clients(&update, [1, 2]).server(&model, 10);
    let executor = LocalExecutor::<InsecureBits512>::builder().build().unwrap();
    assert_eq!(executor.run(&Computation::new(result), inputs).unwrap().value, 33);
}
