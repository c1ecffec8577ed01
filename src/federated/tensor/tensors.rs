//! Tensors of one element type, one or many, in a structure that results also have.

use core::fmt::Debug;
use std::collections::BTreeMap;

use ndarray::{Array, ArrayBase, ArrayD, ArrayView, ArrayViewD, Data, Dimension, Ix0, Ix1, IxDyn};
use serde::{Serialize, de::DeserializeOwned};

use super::{Scalar, Structure, TensorTree};

/// One or many tensors of one element type, in a structure that is kept.
///
/// | tensors | the same structure with other elements |
/// | :-- | :-- |
/// | a number: any [`Scalar`] | a number |
/// | an `ndarray` array or view, of any number of dimensions (zero dimensions and empty ones included) | an array with the same number of dimensions |
/// | a `Vec`, a slice, or an array `[T; N]` of numbers: **one** tensor of one dimension | a `Vec` |
/// | a `Vec`, a slice, or an array `[T; N]` of tensors: a list of tensors, which may be lists themselves | a `Vec` |
/// | a tuple of up to six, with the same element type | a tuple |
/// | a `BTreeMap` from names to tensors, a [`Structure`] of tensors | the same |
/// | a reference to tensors | the tensors to which it refers, with other elements |
///
/// They can be nested. All clients of a run have tensors of the same
/// [structure](TensorTree::structure). A `Vec<f32>` has the structure of an `Array1<f32>`, so
/// different clients may use either type.
///
/// A struct of tensors needs `#[derive(Tensors)]` (feature `derive`). Values whose members have
/// different element types are [`TensorTree`]s. Sealed, except for the derive.
///
/// Every tensor has its own cost: a parameter, a shape, and an allocation. So represent a table of
/// numbers as one `Array2`, not as many short `Vec`s.
///
/// ```
/// use cipherfold::federated::tensor::{TensorTree, Tensors};
/// use ndarray::{Array1, Array2, array};
///
/// let model: (Array2<f32>, Array1<f32>) = (array![[1.0, 2.0]], array![3.0]);
/// assert_eq!(model.structure()?.to_string(), "<f32[1,2],f32[1]>");
/// assert_eq!(model.elements(), 3);
/// assert_eq!(vec![1.0, 2.0, 3.0].structure()?.to_string(), "f64[3]");
///
/// let (weights, bias) = model.map_tensors(|_, tensor| tensor.mapv(|x| f64::from(x) / 2.0));
/// assert_eq!((weights, bias), (array![[0.5, 1.0]], array![1.5]));
/// # Ok::<(), cipherfold::Error>(())
/// ```
///
/// # Structs
///
/// `#[derive(Tensors)]` makes a struct `ModelOf` beside a struct `Model`, with the same members,
/// each of any type. `ModelOf` is the structure with other elements. It can be converted to a
/// `Model` if the types of its members are those of `Model`. The names of the members are names of
/// the [`Structure`]. The types of the members must be as visible as the struct.
///
/// ```
/// use cipherfold::federated::{LocalExecutor, tensor::{TensorTree, Tensors}};
/// use cipherfold::{packing::Quantizer, paillier::Bits2048};
/// use ndarray::{Array1, Array2, array};
///
/// #[derive(Tensors)]
/// struct Model {
///     weights: Array2<f32>,
///     bias: Array1<f32>,
/// }
///
/// let clients = [1.0, 3.0].map(|x| Model { weights: array![[x, -x]], bias: array![x / 2.0] });
/// assert_eq!(clients[0].structure()?.to_string(), "<weights=f32[1,2],bias=f32[1]>");
///
/// let executor = LocalExecutor::<Bits2048>::builder().build()?;
/// let mean: Model = executor.secure_mean(&clients, Quantizer::symmetric(4.0, 16)?)?.value.into();
/// assert!((mean.weights - array![[2.0, -2.0]]).iter().all(|error| error.abs() < 0.001));
/// assert!((mean.bias[0] - 1.0).abs() < 0.001);
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a structure of tensors",
    note = "tensors are numbers, `ndarray` arrays, and `Vec`s, tuples, `BTreeMap`s and `Structure`s of them, \
            all with the same element type; a struct is one with `#[derive(Tensors)]`"
)]
pub trait Tensors: TensorTree {
    /// The type of all elements.
    type Scalar: Scalar;

    /// The same structure, owned, with other elements.
    type With<U: Scalar>: Tensors<Scalar = U>
        + Clone
        + Debug
        + PartialEq
        + Serialize
        + DeserializeOwned
        + 'static;

    /// Appends views of all tensors, in order.
    #[doc(hidden)]
    fn views<'a>(&'a self, views: &mut Vec<ArrayViewD<'a, Self::Scalar>>);

    /// Builds this structure from other tensors.
    #[doc(hidden)]
    fn rebuilder<U: Scalar>(&self) -> Rebuild<U, Self::With<U>>;

    /// [`views`](Self::views) of a list.
    #[doc(hidden)]
    fn list_views<'a>(list: &'a [Self], views: &mut Vec<ArrayViewD<'a, Self::Scalar>>)
    where
        Self: Sized,
    {
        for member in list {
            member.views(views);
        }
    }

    /// The [rebuilder](Self::rebuilder) of a list.
    #[doc(hidden)]
    fn list_rebuilder<U: Scalar>(list: &[Self]) -> Rebuild<U, Vec<Self::With<U>>>
    where
        Self: Sized,
    {
        let members: Vec<_> = list.iter().map(Self::rebuilder).collect();
        Box::new(|tensors| members.into_iter().map(|rebuild| rebuild(tensors)).collect())
    }

    /// Views of all tensors, in the order of the structure's leaves.
    fn tensors(&self) -> Vec<ArrayViewD<'_, Self::Scalar>> {
        let mut views = Vec::new();
        self.views(&mut views);
        views
    }

    /// The same structure with the results of `function` for each tensor and its index.
    ///
    /// # Panics
    ///
    /// If `function` returns a tensor with another number of dimensions where the type fixes this
    /// number.
    fn map_tensors<U: Scalar>(
        &self,
        mut function: impl FnMut(usize, ArrayViewD<'_, Self::Scalar>) -> ArrayD<U>,
    ) -> Self::With<U> {
        let views = self.tensors().into_iter().enumerate();
        self.rebuilder()(&mut views.map(|(place, view)| function(place, view)))
    }
}

/// Builds a structure from tensors, in order.
#[doc(hidden)]
pub type Rebuild<U, O> = Box<dyn FnOnce(&mut dyn Iterator<Item = ArrayD<U>>) -> O + Send>;

/// The next tensor for a rebuilder, whose type may fix the number of dimensions.
fn next<U, D: Dimension>(tensors: &mut dyn Iterator<Item = ArrayD<U>>) -> Array<U, D> {
    let tensor = tensors.next().expect("there is a tensor for each leaf of the structure");
    let found = tensor.ndim();
    tensor
        .into_dimensionality()
        .unwrap_or_else(|_| panic!("a tensor of {found} dimensions where the structure has another number"))
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Tensors for $number {
            type Scalar = Self;
            type With<U: Scalar> = U;

            fn views<'a>(&'a self, views: &mut Vec<ArrayViewD<'a, Self>>) {
                let number = ArrayView::from_shape(IxDyn(&[]), core::slice::from_ref(self));
                views.push(number.expect("one element fits an array without dimensions"));
            }

            fn rebuilder<U: Scalar>(&self) -> Rebuild<U, U> {
                Box::new(|tensors| next::<U, Ix0>(tensors).into_scalar())
            }

            fn list_views<'a>(list: &'a [Self], views: &mut Vec<ArrayViewD<'a, Self>>) {
                views.push(ArrayView::from(list).into_dyn());
            }

            fn list_rebuilder<U: Scalar>(_: &[Self]) -> Rebuild<U, Vec<U>> {
                Box::new(|tensors| next::<U, Ix1>(tensors).into_iter().collect())
            }
        }
    )*};
}

numbers!(i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, f32, f64, bool);

impl<S, D> Tensors for ArrayBase<S, D>
where
    S: Data<Elem: Scalar> + Send + Sync,
    D: Dimension + Serialize + DeserializeOwned + 'static,
{
    type Scalar = S::Elem;
    type With<U: Scalar> = Array<U, D>;

    fn views<'a>(&'a self, views: &mut Vec<ArrayViewD<'a, S::Elem>>) {
        views.push(self.view().into_dyn());
    }

    fn rebuilder<U: Scalar>(&self) -> Rebuild<U, Array<U, D>> {
        Box::new(|tensors| next(tensors))
    }
}

impl<T: Tensors + ?Sized> Tensors for &T {
    type Scalar = T::Scalar;
    type With<U: Scalar> = T::With<U>;

    fn views<'a>(&'a self, views: &mut Vec<ArrayViewD<'a, T::Scalar>>) {
        (**self).views(views);
    }

    fn rebuilder<U: Scalar>(&self) -> Rebuild<U, T::With<U>> {
        (**self).rebuilder()
    }
}

impl<T: Tensors> Tensors for [T] {
    type Scalar = T::Scalar;
    type With<U: Scalar> = Vec<T::With<U>>;

    fn views<'a>(&'a self, views: &mut Vec<ArrayViewD<'a, T::Scalar>>) {
        T::list_views(self, views);
    }

    fn rebuilder<U: Scalar>(&self) -> Rebuild<U, Vec<T::With<U>>> {
        T::list_rebuilder(self)
    }
}

macro_rules! like_a_slice {
    ($([$($generics:tt)*] $collection:ty),*) => {$(
        impl<$($generics)*> Tensors for $collection {
            type Scalar = T::Scalar;
            type With<U: Scalar> = Vec<T::With<U>>;

            fn views<'a>(&'a self, views: &mut Vec<ArrayViewD<'a, T::Scalar>>) {
                self.as_slice().views(views);
            }

            fn rebuilder<U: Scalar>(&self) -> Rebuild<U, Vec<T::With<U>>> {
                self.as_slice().rebuilder()
            }
        }
    )*};
}

like_a_slice!([T: Tensors] Vec<T>, [T: Tensors, const N: usize] [T; N]);

macro_rules! tuples {
    ($(($first:ident $(, $other:ident)*)),*) => {$(
        #[allow(non_snake_case, reason = "members have the names of their types")]
        impl<$first: Tensors $(, $other: Tensors<Scalar = $first::Scalar>)*> Tensors for ($first, $($other,)*) {
            type Scalar = $first::Scalar;
            type With<U: Scalar> = ($first::With<U>, $($other::With<U>,)*);

            fn views<'a>(&'a self, views: &mut Vec<ArrayViewD<'a, Self::Scalar>>) {
                let ($first, $($other,)*) = self;
                $first.views(views);
                $($other.views(views);)*
            }

            fn rebuilder<U: Scalar>(&self) -> Rebuild<U, Self::With<U>> {
                let ($first, $($other,)*) = self;
                let ($first, $($other,)*) = ($first.rebuilder(), $($other.rebuilder(),)*);
                Box::new(move |tensors| ($first(tensors), $($other(tensors),)*))
            }
        }
    )*};
}

tuples!((A), (A, B), (A, B, C), (A, B, C, D), (A, B, C, D, E), (A, B, C, D, E, F));

impl<T: Tensors> Tensors for BTreeMap<String, T> {
    type Scalar = T::Scalar;
    type With<U: Scalar> = BTreeMap<String, T::With<U>>;

    fn views<'a>(&'a self, views: &mut Vec<ArrayViewD<'a, T::Scalar>>) {
        for member in self.values() {
            member.views(views);
        }
    }

    fn rebuilder<U: Scalar>(&self) -> Rebuild<U, BTreeMap<String, T::With<U>>> {
        let members: Vec<_> = self.iter().map(|(name, member)| (name.clone(), member.rebuilder())).collect();
        Box::new(|tensors| members.into_iter().map(|(name, rebuild)| (name, rebuild(tensors))).collect())
    }
}

impl<T: Tensors> Tensors for Structure<T> {
    type Scalar = T::Scalar;
    type With<U: Scalar> = Structure<T::With<U>>;

    fn views<'a>(&'a self, views: &mut Vec<ArrayViewD<'a, T::Scalar>>) {
        self.iter().for_each(|member| member.views(views));
    }

    fn rebuilder<U: Scalar>(&self) -> Rebuild<U, Structure<T::With<U>>> {
        let members = self.as_ref().map(Tensors::rebuilder);
        Box::new(|tensors| members.map(|rebuild| rebuild(tensors)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federated::tensor::{TensorType, error::Result};
    use ndarray::{Array1, arr0, array};
    use proptest::{
        prelude::*,
        test_runner::{Config, RngSeed},
    };

    fn config() -> Config {
        Config { cases: 128, rng_seed: RngSeed::Fixed(42), failure_persistence: None, ..Config::default() }
    }

    /// The same tensors with wider elements.
    fn widened<T: Tensors<Scalar: Into<i64>> + ?Sized>(tensors: &T) -> T::With<i64> {
        tensors.map_tensors(|_, view| view.mapv(Into::into))
    }

    #[test]
    fn every_kind_of_structure_is_kept() {
        let matrix = array![[1_i32, 2], [3, 4]];
        assert_eq!(widened(&7_i32), 7_i64);
        assert_eq!(widened(&arr0(7_i32)), arr0(7_i64));
        assert_eq!(widened(&matrix), array![[1_i64, 2], [3, 4]]);
        assert_eq!(widened(&matrix.t()), array![[1_i64, 3], [2, 4]]);
        assert_eq!(widened(&matrix.to_shared()), array![[1_i64, 2], [3, 4]]);
        assert_eq!(widened(&&matrix.view()), array![[1_i64, 2], [3, 4]]);
        assert_eq!(widened(&vec![array![1_i32], array![]]), vec![array![1_i64], array![]]);
        assert_eq!(widened(&[array![1_i32], array![2, 3]][..]), vec![array![1_i64], array![2, 3]]);
        assert_eq!(widened(&[array![1_i32], array![2, 3]]), vec![array![1_i64], array![2, 3]]);
        assert_eq!(widened(&(1_i32,)), (1_i64,));
        assert_eq!(
            widened(&(1_i32, array![2_i32], vec![3_i32, 4], (5_i32, 6_i32), &7_i32, [8_i32])),
            (1_i64, array![2_i64], vec![3_i64, 4], (5_i64, 6_i64), 7_i64, vec![8_i64])
        );
        let map = BTreeMap::from([("w".to_owned(), (1_i32, 2_i32)), ("b".to_owned(), (3, 4))]);
        assert_eq!(
            widened(&map),
            BTreeMap::from([("w".to_owned(), (1_i64, 2_i64)), ("b".to_owned(), (3, 4))])
        );
        let structure =
            Structure::tuple([Structure::leaf(1_i32), Structure::named([("x", 2.into())]).unwrap()]).unwrap();
        assert_eq!(widened(&structure), structure.clone().map(i64::from));
    }

    #[test]
    fn numbers_in_a_row_are_one_tensor() {
        // For any length, and anywhere in a structure.
        let long = vec![1.5_f32; 600_000];
        assert_eq!((long.tensors().len(), long.elements()), (1, 600_000));
        assert_eq!(long.structure(), Array1::from_vec(long.clone()).structure());
        assert_eq!(long.tensors()[0].as_ptr(), long.as_ptr(), "not a copy");
        assert_eq!(long.map_tensors(|_, view| view.mapv(f64::from)), vec![1.5_f64; 600_000]);

        let display = |structure: Result<Structure<TensorType>>| structure.unwrap().to_string();
        assert_eq!(display(Vec::<u8>::new().structure()), "u8[0]");
        assert_eq!(display([true, false].structure()), "bool[2]");
        assert_eq!(display([1_i64, 2, 3][..].structure()), "i64[3]");
        assert_eq!(display((vec![1_i8, 2], [3_i8], 4_i8).structure()), "<i8[2],i8[1],i8>");
        assert_eq!(display(vec![vec![1_u16, 2], vec![]].structure()), "<u16[2],u16[0]>");
        assert_eq!(display([[1_u16, 2], [3, 4]].structure()), "<u16[2],u16[2]>");
        let map = BTreeMap::from([("w".to_owned(), vec![1.0, 2.0]), ("b".to_owned(), vec![3.0])]);
        assert_eq!(display(map.structure()), "<b=f64[1],w=f64[2]>");
        assert_eq!(
            display(Structure::tuple([vec![1_i32].into(), vec![2, 3].into()]).unwrap().structure()),
            "<i32[1],i32[2]>"
        );

        // Elements whose order differs from that in memory, and parts of a larger allocation.
        let reversed =
            vec![1, 2, 3].map_tensors(|_, view| view.slice(ndarray::s![..;-1]).to_owned().into_dyn());
        assert_eq!(reversed, [3, 2, 1]);
        let inner =
            vec![1, 2, 3, 4].map_tensors(|_, view| view.to_owned().slice_move(ndarray::s![1..;2]).into_dyn());
        assert_eq!(inner, [2, 4]);
    }

    #[test]
    fn tensors_are_seen_in_order_with_their_shapes() {
        let model = (array![[1, 2]], vec![array![3], array![4, 5]]);
        let shapes: Vec<_> = model.tensors().iter().map(|view| view.shape().to_vec()).collect();
        assert_eq!(shapes, [vec![1, 2], vec![1], vec![2]]);
        assert_eq!(model.elements(), 5);
        let places = model.map_tensors(|place, view| view.mapv(|_| place as u64));
        assert_eq!(places, (array![[0, 0]], vec![array![1], array![2, 2]]));
    }

    #[test]
    #[should_panic(expected = "a tensor of 1 dimensions where the structure has another number")]
    fn a_tensor_of_another_number_of_dimensions_panics() {
        array![[1, 2]].map_tensors(|_, view| view.flatten().into_owned().into_dyn());
    }

    fn nested() -> impl Strategy<Value = Structure<ArrayD<i32>>> {
        let tensor = (prop::collection::vec(0..4_usize, 0..4), any::<i32>()).prop_map(|(shape, first)| {
            let mut next = first;
            Structure::leaf(ArrayD::from_shape_simple_fn(shape, || {
                next = next.wrapping_add(1);
                next
            }))
        });
        tensor.prop_recursive(5, 40, 5, |inner| {
            prop::collection::vec((prop::option::of(0..100_u8), inner), 0..5).prop_map(|members| {
                let name = |(i, name): (usize, Option<u8>)| name.map(|name| format!("{name}.{i}"));
                let members = members.into_iter().enumerate();
                Structure::from_members(members.map(|(i, (n, member))| (name((i, n)), member)))
                    .expect("the index makes names unique")
            })
        })
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn random_structures_come_back_as_they_were(structure in nested()) {
            let same = structure.map_tensors(|_, view| view.to_owned());
            prop_assert_eq!(&same, &structure);
            let wide = widened(&structure);
            let shapes = |structure: Structure<TensorType>| structure.map(|tensor| tensor.shape);
            prop_assert_eq!(wide.structure().map(shapes), structure.structure().map(shapes));
            let narrow = wide.map_tensors(|_, view| view.mapv(|x| i32::try_from(x).unwrap()));
            prop_assert_eq!(&narrow, &structure);
        }

        #[test]
        fn random_structures_survive_serialisation(structure in nested()) {
            let json = serde_json::to_string(&structure).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Structure<ArrayD<i32>>>(&json).unwrap(), &structure);
            let bytes = postcard::to_allocvec(&structure).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<Structure<ArrayD<i32>>>(&bytes).unwrap(), &structure);
        }

        #[test]
        fn paths_lead_to_their_leaves(structure in nested()) {
            for (path, leaf) in structure.leaves() {
                prop_assert_eq!(structure.get(&path.join()).and_then(Structure::as_leaf), Some(leaf), "{}", path);
            }
        }
    }
}
