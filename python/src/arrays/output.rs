//! Decoded tensors as arrays that NumPy owns. The memory is the same: nothing is copied where the element type stays.

use cipherfold::{
    federated::{Encoding, Structure, Tensor},
    ndarray::ArrayD,
};
use numpy::PyArray;
use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};

use crate::error::Result;

/// Tensors in the structure that was declared: dictionaries, lists, or one array.
///
/// `encodings` are those of the tensors, in order, and `weight` is the largest total weight: they decide in which type integers
/// come, whatever their values are.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    tensors: Structure<Tensor>,
    encodings: &[Encoding],
    weight: u64,
) -> Result<Bound<'py, PyAny>> {
    build(py, tensors, &mut encodings.iter(), weight)
}

fn build<'py>(
    py: Python<'py>,
    tensors: Structure<Tensor>,
    encodings: &mut core::slice::Iter<'_, Encoding>,
    weight: u64,
) -> Result<Bound<'py, PyAny>> {
    if tensors.as_leaf().is_some() {
        let encoding = encodings.next().expect("one for each tensor");
        return array(py, tensors.into_leaf().expect("a leaf"), encoding, weight);
    }
    let members = tensors.into_members().expect("a list");
    if members.iter().all(|(name, _)| name.is_some()) && !members.is_empty() {
        let dictionary = PyDict::new(py);
        for (name, member) in members {
            dictionary.set_item(name, build(py, member, encodings, weight)?)?;
        }
        return Ok(dictionary.into_any());
    }
    let list = PyList::empty(py);
    for (_, member) in members {
        list.append(build(py, member, encodings, weight)?)?;
    }
    Ok(list.into_any())
}

fn array<'py>(
    py: Python<'py>,
    tensor: Tensor,
    encoding: &Encoding,
    weight: u64,
) -> Result<Bound<'py, PyAny>> {
    macro_rules! owned {
        ($($variant:ident),*) => {
            match tensor {
                $(Tensor::$variant(values) => Ok(PyArray::from_owned_array(py, values).into_any()),)*
                Tensor::I128(values) => wide(py, &values, encoding, weight),
                Tensor::U128(values) => wide(py, &values, encoding, weight),
                other => unreachable!("no codec gives {other:?}"),
            }
        };
    }
    owned!(I8, I16, I32, I64, U8, U16, U32, U64, F32, F64, Bool)
}

/// Sums of 64-bit integers: as `int64` if all sums of the round fit, else as `uint64`, else as Python integers.
fn wide<'py, T>(
    py: Python<'py>,
    values: &ArrayD<T>,
    encoding: &Encoding,
    weight: u64,
) -> Result<Bound<'py, PyAny>>
where
    T: Copy + pyo3::IntoPyObjectExt<'py> + TryInto<i64> + TryInto<u64>,
{
    let fits = |limit: i128| match encoding {
        Encoding::Integers(range) => {
            let reach = |end: i128| end.checked_mul(i128::from(weight));
            let (low, high) = (reach(range.min()), reach(range.max()));
            let lowest = if limit == i128::from(i64::MAX) { i128::from(i64::MIN) } else { 0 };
            low.is_some_and(|low| low >= lowest) && high.is_some_and(|high| high <= limit)
        }
        _ => false,
    };
    if fits(i64::MAX.into()) {
        let narrow = |value: &T| -> i64 { (*value).try_into().ok().expect("checked by the decoder") };
        return Ok(PyArray::from_owned_array(py, values.map(narrow)).into_any());
    }
    if fits(u64::MAX.into()) {
        let narrow = |value: &T| -> u64 { (*value).try_into().ok().expect("checked by the decoder") };
        return Ok(PyArray::from_owned_array(py, values.map(narrow)).into_any());
    }
    let mut objects = Vec::with_capacity(values.len());
    for value in values {
        objects.push((*value).into_py_any(py)?);
    }
    let array = PyArray::from_owned_object_array(
        py,
        ArrayD::from_shape_vec(values.raw_dim(), objects).expect("as many"),
    );
    Ok(array.into_any())
}
