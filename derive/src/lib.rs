//! The derives of `cipherfold`'s traits `Tensors` and `Summand`, for structs of tensors. Use them
//! through `cipherfold` with its feature `derive`. The documentation of the traits has examples.

mod expand;
mod model;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use crate::model::{Kind, Model};

/// A struct whose members have one element type: `TensorTree`, `Tensors`, and `Summand` for it.
///
/// For a struct `Model` the derive defines a struct `ModelOf` with the same members, each of any
/// type, and conversions between the two. `ModelOf` holds one value for each member: codecs, other
/// element types (`Tensors::With`), results. The names of members are names in the `Structure`.
/// Members of a tuple struct have no names.
///
/// Use `#[derive(Summand)]` for a struct with members of several element types.
#[proc_macro_derive(Tensors)]
pub fn tensors(input: TokenStream) -> TokenStream {
    derived(&parse_macro_input!(input as DeriveInput), Kind::Tensors)
}

/// A struct whose members may have different element types: `TensorTree` and `Summand` for it.
///
/// For a struct `Model` the derive defines a struct `ModelOf` with the same members, each of any
/// type. It holds one codec for each member, and later one result for each. The names of members
/// are names in the `Structure`. Members of a tuple struct have no names.
///
/// `#[derive(Tensors)]` includes this derive: use one of the two.
#[proc_macro_derive(Summand)]
pub fn summand(input: TokenStream) -> TokenStream {
    derived(&parse_macro_input!(input as DeriveInput), Kind::Summand)
}

fn derived(input: &DeriveInput, kind: Kind) -> TokenStream {
    let expanded = Model::new(input, kind).map(|model| expand::expand(&model));
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
