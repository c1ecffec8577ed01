//! The derives of `cipherfold`'s traits `Tensors` and `Summand`, for structs of tensors. They are used through `cipherfold`, with its
//! feature `derive`; the documentation of the traits has examples.

mod expand;
mod model;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use crate::model::{Kind, Model};

/// A struct whose members have one element type: `TensorTree`, `Tensors`, and `Summand` for it.
///
/// For a struct `Model` the derive makes a struct `ModelOf` with the same members, each of any type, and conversions from one to the
/// other. `ModelOf` holds what belongs to the members: codecs, other element types (`Tensors::With`), results. Members' names are names of
/// the `Structure`; members of a tuple struct have none.
///
/// A struct with members of several element types has `#[derive(Summand)]`.
#[proc_macro_derive(Tensors)]
pub fn tensors(input: TokenStream) -> TokenStream {
    derived(&parse_macro_input!(input as DeriveInput), Kind::Tensors)
}

/// A struct whose members may have different element types: `TensorTree` and `Summand` for it.
///
/// For a struct `Model` the derive makes a struct `ModelOf` with the same members, each of any type: it holds one codec for each member,
/// and then one result for each. Members' names are names of the `Structure`; members of a tuple struct have none.
///
/// `#[derive(Tensors)]` includes this one: a struct has one of the two.
#[proc_macro_derive(Summand)]
pub fn summand(input: TokenStream) -> TokenStream {
    derived(&parse_macro_input!(input as DeriveInput), Kind::Summand)
}

fn derived(input: &DeriveInput, kind: Kind) -> TokenStream {
    let expanded = Model::new(input, kind).map(|model| expand::expand(&model));
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
