//! The values that are structures of tensors: numbers, arrays, lists, tuples and maps.

use std::collections::BTreeMap;

use ndarray::{ArrayBase, ArrayView, Data, Dimension, IxDyn};

use super::{TensorTree, each_member, leaf, one_type, retype_members, sealed};
use crate::federated::tensor::{
    DType, Scalar, Structure, Tensor, TensorType, TensorView, dtype::Erase, error::Result,
};

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl sealed::Sealed for $number {}

        impl TensorTree for $number {
            fn structure(&self) -> Result<Structure<TensorType>> {
                Ok(leaf(Self::DTYPE, &[]))
            }

            fn erased_views<'a>(&'a self, views: &mut Vec<TensorView<'a>>) {
                let number = ArrayView::from_shape(IxDyn(&[]), core::slice::from_ref(self));
                views.push(Self::erase_view(number.expect("one element fits an array without dimensions")));
            }

            fn element_type() -> Option<DType> {
                Some(Self::DTYPE)
            }

            fn nests_in_one_way() -> bool {
                true
            }

            fn nesting_is_fixed() -> bool {
                true
            }

            fn list_is_tensor() -> bool {
                true
            }

            fn fixed_structure() -> Option<Structure<TensorType>> {
                Some(leaf(Self::DTYPE, &[]))
            }

            fn fixed_list_structure(len: usize) -> Option<Structure<TensorType>> {
                Some(leaf(Self::DTYPE, &[len]))
            }

            fn list_structure(list: &[Self]) -> Result<Structure<TensorType>> {
                Ok(leaf(Self::DTYPE, &[list.len()]))
            }

            fn erased_list_views<'a>(list: &'a [Self], views: &mut Vec<TensorView<'a>>) {
                views.push(Self::erase_view(ArrayView::from(list).into_dyn()));
            }
        }
    )*};
}

numbers!(i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, f32, f64, bool);

impl<S: Data, D: Dimension> sealed::Sealed for ArrayBase<S, D> {}

impl<S, D> TensorTree for ArrayBase<S, D>
where
    S: Data<Elem: Scalar> + Send + Sync,
    D: Dimension,
{
    fn structure(&self) -> Result<Structure<TensorType>> {
        Ok(leaf(S::Elem::DTYPE, self.shape()))
    }

    fn erased_views<'a>(&'a self, views: &mut Vec<TensorView<'a>>) {
        views.push(S::Elem::erase_view(self.view().into_dyn()));
    }

    fn element_type() -> Option<DType> {
        Some(S::Elem::DTYPE)
    }

    fn nests_in_one_way() -> bool {
        true
    }

    fn nesting_is_fixed() -> bool {
        true
    }

    fn fixed_structure() -> Option<Structure<TensorType>> {
        (D::NDIM == Some(0)).then(|| leaf(S::Elem::DTYPE, &[]))
    }
}

impl sealed::Sealed for Tensor {}

impl TensorTree for Tensor {
    fn structure(&self) -> Result<Structure<TensorType>> {
        Ok(Structure::leaf(self.tensor_type()))
    }

    fn erased_views<'a>(&'a self, views: &mut Vec<TensorView<'a>>) {
        views.push(self.view());
    }

    fn element_type() -> Option<DType> {
        None
    }

    fn nests_in_one_way() -> bool {
        true
    }

    fn nesting_is_fixed() -> bool {
        true
    }
}

impl<T: sealed::Sealed + ?Sized> sealed::Sealed for &T {}

impl<T: TensorTree + ?Sized> TensorTree for &T {
    fn structure(&self) -> Result<Structure<TensorType>> {
        (**self).structure()
    }

    fn erased_views<'a>(&'a self, views: &mut Vec<TensorView<'a>>) {
        (**self).erased_views(views);
    }

    fn element_type() -> Option<DType> {
        T::element_type()
    }

    fn retyped_members(structure: Structure<TensorType>) -> Structure<TensorType> {
        T::retyped_members(structure)
    }

    fn nests_in_one_way() -> bool {
        T::nests_in_one_way()
    }

    fn nesting_is_fixed() -> bool {
        T::nesting_is_fixed()
    }

    fn fixed_structure() -> Option<Structure<TensorType>> {
        T::fixed_structure()
    }
}

macro_rules! lists {
    ($([$($generics:tt)*] $list:ty => $fixed:expr, $nesting_is_fixed:expr);*) => {$(
        impl<$($generics)*> sealed::Sealed for $list {}

        impl<$($generics)*> TensorTree for $list {
            fn structure(&self) -> Result<Structure<TensorType>> {
                T::list_structure(self)
            }

            fn erased_views<'a>(&'a self, views: &mut Vec<TensorView<'a>>) {
                T::erased_list_views(self, views);
            }

            fn element_type() -> Option<DType> {
                T::element_type()
            }

            fn retyped_members(structure: Structure<TensorType>) -> Structure<TensorType> {
                each_member(structure, T::retyped)
            }

            fn nests_in_one_way() -> bool {
                T::nests_in_one_way()
            }

            fn nesting_is_fixed() -> bool {
                $nesting_is_fixed
            }

            fn fixed_structure() -> Option<Structure<TensorType>> {
                $fixed
            }
        }
    )*};
}

lists!(
    [T: TensorTree] [T] => None, T::list_is_tensor();
    [T: TensorTree] Vec<T> => None, T::list_is_tensor();
    [T: TensorTree, const N: usize] [T; N] => T::fixed_list_structure(N), {
        T::list_is_tensor() || (N > 0 && T::nesting_is_fixed())
    }
);

macro_rules! tuples {
    ($(($($member:ident),+)),*) => {$(
        impl<$($member: TensorTree),+> sealed::Sealed for ($($member,)+) {}

        #[allow(non_snake_case, reason = "members have the names of their types")]
        impl<$($member: TensorTree),+> TensorTree for ($($member,)+) {
            fn structure(&self) -> Result<Structure<TensorType>> {
                let ($($member,)+) = self;
                Structure::tuple([$($member.structure()?),+])
            }

            fn erased_views<'a>(&'a self, views: &mut Vec<TensorView<'a>>) {
                let ($($member,)+) = self;
                $($member.erased_views(views);)+
            }

            fn element_type() -> Option<DType> {
                one_type(&[$($member::element_type()),+])
            }

            fn retyped_members(structure: Structure<TensorType>) -> Structure<TensorType> {
                retype_members(structure, &[$($member::retyped),+])
            }

            fn nests_in_one_way() -> bool {
                $($member::nests_in_one_way())&&+
            }

            fn nesting_is_fixed() -> bool {
                $($member::nesting_is_fixed())&&+
            }

            fn fixed_structure() -> Option<Structure<TensorType>> {
                Structure::tuple([$($member::fixed_structure()?),+]).ok()
            }
        }
    )*};
}

tuples!((A), (A, B), (A, B, C), (A, B, C, D), (A, B, C, D, E), (A, B, C, D, E, F));

impl<T: sealed::Sealed> sealed::Sealed for BTreeMap<String, T> {}

impl<T: TensorTree> TensorTree for BTreeMap<String, T> {
    fn structure(&self) -> Result<Structure<TensorType>> {
        let member = |(name, member): (&String, &T)| Ok((name.clone(), member.structure()?));
        Structure::named(self.iter().map(member).collect::<Result<Vec<_>>>()?)
    }

    fn erased_views<'a>(&'a self, views: &mut Vec<TensorView<'a>>) {
        for member in self.values() {
            member.erased_views(views);
        }
    }

    fn element_type() -> Option<DType> {
        T::element_type()
    }

    fn retyped_members(structure: Structure<TensorType>) -> Structure<TensorType> {
        each_member(structure, T::retyped)
    }

    fn nests_in_one_way() -> bool {
        T::nests_in_one_way()
    }
}

impl<T: sealed::Sealed> sealed::Sealed for Structure<T> {}

impl<T: TensorTree> TensorTree for Structure<T> {
    fn structure(&self) -> Result<Structure<TensorType>> {
        self.as_ref().try_map(TensorTree::structure)?.flatten()
    }

    fn erased_views<'a>(&'a self, views: &mut Vec<TensorView<'a>>) {
        self.iter().for_each(|member| member.erased_views(views));
    }

    fn element_type() -> Option<DType> {
        T::element_type()
    }

    fn nests_in_one_way() -> bool {
        T::nesting_is_fixed()
    }
}
