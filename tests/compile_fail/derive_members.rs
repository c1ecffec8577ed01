//! Members must be tensors: the error names the member that is not.

use cipherfold::federated::tensor::Summand;

#[derive(Summand)]
struct Named {
    name: String, //~ E0277: `String` is not a structure of tensors
    count: u32,
}

fn main() {}
