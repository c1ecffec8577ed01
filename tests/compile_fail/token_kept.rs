//! A token is valid during a closure, and cannot be kept.

use cipherfold::{
    federated::{At, LocalExecutor, Server},
    paillier::hazmat::InsecureBits512,
};

fn main() {
    let executor = LocalExecutor::<InsecureBits512>::builder().build().unwrap();
    let mut kept = None;
    executor.run_at(|here: &At<Server>| kept = Some(here)); //~ E0521
    drop(kept);
}
