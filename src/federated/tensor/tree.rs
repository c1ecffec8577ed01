//! Tensors in a structure, with any element types.

mod values;

use super::{DType, Structure, TensorType, TensorView};
use crate::federated::tensor::error::{Error, Result};

pub(in crate::federated) mod sealed {
    /// Values of the crate's own kinds, and those of the derives.
    pub trait Sealed {}
}

/// One or many tensors in a structure, each with its own element type.
///
/// All [`Tensors`](crate::federated::tensor::Tensors) implement it, and also:
///
/// - tuples of up to six, `Vec`s, arrays `[T; N]`, slices, `BTreeMap`s, [`Structure`]s and
///   references of such values;
/// - a [`Tensor`](super::Tensor), whose element type is dynamic, and lists and maps of it: for
///   example a model's parameters and integer buffers by name;
/// - structs with `#[derive(Summand)]` or `#[derive(Tensors)]` (feature `derive`). The names of
///   their members are names of the structure.
///
/// A round of secure sums needs only the structure and views of the tensors.
/// [`Summand`](crate::federated::tensor::Summand) determines the codecs that sum them. Sealed,
/// except for the derives.
///
/// ```
/// use cipherfold::federated::tensor::{Tensor, TensorTree};
/// use ndarray::{Array1, array};
///
/// let report = (array![0.5_f32, 0.25], 12_u32); // losses beside a count
/// assert_eq!(report.structure()?.to_string(), "<f32[2],u32>");
/// assert_eq!(report.elements(), 3);
///
/// let layer = vec![Tensor::from(array![1.5_f64].into_dyn()), Tensor::from(array![7_i64].into_dyn())];
/// assert_eq!(layer.structure()?.to_string(), "<f64[1],i64[1]>");
/// # Ok::<(), cipherfold::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a structure of tensors",
    note = "tensors are numbers, `ndarray` arrays, `Tensor`s, and `Vec`s, tuples, `BTreeMap`s and `Structure`s of them; \
            a struct is one with `#[derive(Tensors)]`, or `#[derive(Summand)]` if element types differ"
)]
pub trait TensorTree: sealed::Sealed + Send + Sync {
    /// Nesting, names, element types and shapes.
    ///
    /// # Errors
    ///
    /// [`Error::StructureDepth`](crate::federated::tensor::Error::StructureDepth).
    fn structure(&self) -> Result<Structure<TensorType>>;

    /// Appends views of all tensors, in the order of the structure's leaves.
    #[doc(hidden)]
    fn erased_views<'a>(&'a self, views: &mut Vec<TensorView<'a>>);

    /// The element type that all elements of all values of this type have, if there is one.
    #[doc(hidden)]
    fn element_type() -> Option<DType>;

    /// The same structure with the element types of this type, where it fixes them.
    #[doc(hidden)]
    fn retyped(structure: Structure<TensorType>) -> Structure<TensorType> {
        match Self::element_type() {
            Some(dtype) => structure.map(|tensor| TensorType { dtype, ..tensor }),
            None => Self::retyped_members(structure),
        }
    }

    /// [`retyped`](Self::retyped) for values of several element types.
    #[doc(hidden)]
    fn retyped_members(structure: Structure<TensorType>) -> Structure<TensorType> {
        structure
    }

    /// Whether a value's structure determines the nesting of the value. This is false where a
    /// [`Structure`] has members that are lists of any length: the value has one joined
    /// structure, which does not tell where the members begin.
    #[doc(hidden)]
    fn nests_in_one_way() -> bool;

    /// Whether all values of this type have the same nesting, with at least one tensor.
    #[doc(hidden)]
    fn nesting_is_fixed() -> bool {
        false
    }

    /// Whether a list of such values is a single tensor.
    #[doc(hidden)]
    fn list_is_tensor() -> bool
    where
        Self: Sized,
    {
        false
    }

    /// The structure of all values of this type, if it is the same for all.
    #[doc(hidden)]
    fn fixed_structure() -> Option<Structure<TensorType>> {
        None
    }

    /// The structure of all lists of this length, if it is the same for all.
    #[doc(hidden)]
    fn fixed_list_structure(len: usize) -> Option<Structure<TensorType>>
    where
        Self: Sized,
    {
        Structure::tuple(vec![Self::fixed_structure()?; len]).ok()
    }

    /// The structure of a list. Numbers are one tensor. Other members are one or more tensors each.
    #[doc(hidden)]
    fn list_structure(list: &[Self]) -> Result<Structure<TensorType>>
    where
        Self: Sized,
    {
        Structure::tuple(list.iter().map(Self::structure).collect::<Result<Vec<_>>>()?)
    }

    /// [`erased_views`](Self::erased_views) of a list.
    #[doc(hidden)]
    fn erased_list_views<'a>(list: &'a [Self], views: &mut Vec<TensorView<'a>>)
    where
        Self: Sized,
    {
        for member in list {
            member.erased_views(views);
        }
    }

    /// Views of all tensors, in the order of the structure's leaves, with their element types as
    /// values.
    #[doc(hidden)]
    fn erased(&self) -> Vec<TensorView<'_>> {
        let mut views = Vec::new();
        self.erased_views(&mut views);
        views
    }

    /// Number of elements of all tensors together.
    fn elements(&self) -> usize {
        self.erased().iter().map(TensorView::len).sum()
    }
}

fn leaf(dtype: DType, shape: &[usize]) -> Structure<TensorType> {
    Structure::leaf(TensorType { dtype, shape: shape.to_vec() })
}

/// The common element type of members with these types, if there is one.
#[doc(hidden)]
pub fn one_type(members: &[Option<DType>]) -> Option<DType> {
    let first = *members.first()?;
    if members.iter().all(|member| *member == first) { first } else { None }
}

/// [`TensorTree::retyped`] of a type.
#[doc(hidden)]
pub type Retype = fn(Structure<TensorType>) -> Structure<TensorType>;

/// Applies a function to each member of a list, or to a leaf.
fn each_member(structure: Structure<TensorType>, retype: Retype) -> Structure<TensorType> {
    if structure.members().is_none() {
        return retype(structure);
    }
    let functions = vec![retype; structure.members().map_or(0, <[_]>::len)];
    retype_members(structure, &functions)
}

/// Applies each function to its member of a list. A structure that is not a list with this number
/// of members does not change.
#[doc(hidden)]
pub fn retype_members(structure: Structure<TensorType>, functions: &[Retype]) -> Structure<TensorType> {
    if structure.members().is_none_or(|members| members.len() != functions.len()) {
        return structure;
    }
    let members = structure.into_members().expect("the structure is a list");
    let members = members.into_iter().zip(functions).map(|((name, member), retype)| (name, retype(member)));
    Structure::from_members(members).expect("names and nesting have not changed")
}

/// A list of members with these names.
///
/// # Errors
///
/// [`Error::StructureDepth`].
#[cfg(feature = "derive")]
#[doc(hidden)]
pub fn structure_of<const N: usize>(
    names: &[Option<&str>; N],
    members: [Structure<TensorType>; N],
) -> Result<Structure<TensorType>> {
    Structure::from_members(names.iter().map(|name| name.map(str::to_owned)).zip(members))
}

/// The members of a list with these names.
///
/// # Errors
///
/// [`Error::StructureMismatch`] for any other structure.
#[doc(hidden)]
pub fn members_of<'a>(
    structure: &'a Structure<TensorType>,
    names: &[Option<&str>],
) -> Result<Vec<&'a Structure<TensorType>>> {
    if let Some(members) = structure.members()
        && members.len() == names.len()
        && members.iter().zip(names).all(|((found, _), name)| found.as_deref() == *name)
    {
        return Ok(members.iter().map(|(_, member)| member).collect());
    }
    let leaves = names.iter().map(|name| (name.map(str::to_owned), Structure::leaf('_')));
    let expected = Structure::from_members(leaves)?.to_string();
    Err(Error::StructureMismatch { expected, found: structure.to_string() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::federated::tensor::Tensor;
    use ndarray::{Array1, Array2, ArrayD, arr0, array};

    /// A structure of numbers of one type, in its notation.
    fn displayed<T: TensorTree>(structure: &impl TensorTree) -> String {
        T::retyped(structure.structure().unwrap()).to_string()
    }

    #[test]
    fn structures_have_names_nesting_and_types() {
        let display = |structure: Result<Structure<TensorType>>| structure.unwrap().to_string();
        assert_eq!(display(1_u8.structure()), "u8");
        assert_eq!(display(Array2::<f64>::zeros((2, 3)).structure()), "f64[2,3]");
        assert_eq!(display(Vec::<Array1<f32>>::new().structure()), "<>");
        assert_eq!(display((1_i64, array![1_i64, 2]).structure()), "<i64,i64[2]>");
        let map = BTreeMap::from([("w".to_owned(), array![true]), ("b".to_owned(), array![false, true])]);
        assert_eq!(display(map.structure()), "<b=bool[2],w=bool[1]>");
        assert_eq!(
            display((array![1.5_f32], 2_u8, vec![(true, 3_i64)]).structure()),
            "<f32[1],u8,<<bool,i64>>>"
        );
        let state = BTreeMap::from([("step".to_owned(), Tensor::from(arr0(1_i64).into_dyn()))]);
        assert_eq!(display(state.structure()), "<step=i64>");
        // Leaves that are structures themselves become part of it.
        assert_eq!(
            display(
                Structure::tuple([Structure::leaf((1, 2)), Structure::leaf((3, 4))]).unwrap().structure()
            ),
            "<<i32,i32>,<i32,i32>>"
        );
    }

    #[test]
    fn a_fixed_structure_is_that_of_every_value() {
        fn check<T: TensorTree>(value: &T) {
            assert_eq!(T::fixed_structure(), Some(value.structure().unwrap()));
        }
        check(&1_u8);
        check(&[1_u8, 2, 3]);
        check(&[[1_u8, 2], [3, 4]]);
        check(&(1.0_f32, [2.0_f32], ((3.0_f32,), &arr0(4.0_f32))));
        check(&[0_i64; 0]);
        check(&[[0_i64; 0]; 2]);
        check(&(1.0_f32, 2_u32, [(true, 3_i64); 2]));
        assert_eq!(<(f32, Tensor)>::fixed_structure(), None);
        assert_eq!(<Vec<u8>>::fixed_structure(), None);
        assert_eq!(<&[u8]>::fixed_structure(), None);
        assert_eq!(<[Vec<u8>; 2]>::fixed_structure(), None);
        assert_eq!(<(u8, Array1<u8>)>::fixed_structure(), None);
        assert_eq!(ArrayD::<u8>::fixed_structure(), None);
        assert_eq!(<Structure<u8>>::fixed_structure(), None);
        assert_eq!(<BTreeMap<String, u8>>::fixed_structure(), None);
    }

    #[test]
    fn element_types_are_those_of_the_type_where_it_fixes_them() {
        // One element type, for any nesting.
        assert_eq!(displayed::<(f32, Array1<f32>)>(&(1_u8, vec![2_u8])), "<f32,f32[1]>");
        assert_eq!(displayed::<(f32, f32)>(&vec![(1_u8, 2_i8, 3_i16)]), "<<f32,f32,f32>>");
        assert_eq!(displayed::<Structure<(f32, f32)>>(&vec![(1_u8, 2_i8)]), "<<f32,f32>>");
        // Several: member by member.
        assert_eq!(displayed::<(f32, Array1<u32>)>(&(1_u8, vec![2_u8])), "<f32,u32[1]>");
        assert_eq!(displayed::<&(f32, (bool, i8))>(&(1_u8, (2_u8, 3_u8))), "<f32,<bool,i8>>");
        assert_eq!(displayed::<Vec<(f32, i8)>>(&[(1_u8, 2_u8); 2]), "<<f32,i8>,<f32,i8>>");
        let map = BTreeMap::from([("a".to_owned(), (1_u8, 2_u8))]);
        assert_eq!(displayed::<BTreeMap<String, (f32, i8)>>(&map), "<a=<f32,i8>>");
        // If the type has other members, they do not change, and are refused later.
        assert_eq!(displayed::<(f32, u32)>(&(1_u8, 2_u8, 3_u8)), "<u8,u8,u8>");
        assert_eq!(displayed::<(f32, u32)>(&1_u8), "u8");
        assert_eq!(displayed::<(f32, Tensor)>(&(1_u8, 2_u8)), "<f32,u8>");
    }

    #[test]
    fn members_are_found_by_their_names() {
        let structure = BTreeMap::from([("a".to_owned(), 1_u8), ("b".to_owned(), 2)]).structure().unwrap();
        let members = members_of(&structure, &[Some("a"), Some("b")]).unwrap();
        assert_eq!(members, [&leaf(DType::U8, &[]); 2]);
        let error = members_of(&structure, &[Some("b"), Some("a")]).unwrap_err();
        assert_eq!(
            error,
            Error::StructureMismatch { expected: "<b=_,a=_>".into(), found: "<a=u8,b=u8>".into() }
        );
        for names in [&[None, None][..], &[Some("a")], &[]] {
            assert!(members_of(&structure, names).is_err(), "{names:?}");
        }
    }
}
