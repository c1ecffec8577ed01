//! Decoded tensors as arrays that NumPy owns. If the element type does not change, the memory is
//! reused without a copy.

use cipherfold::{
    federated::tensor::{Encoding, Structure, Tensor},
    ndarray::ArrayD,
};
use numpy::{Element, PyArray};
use pyo3::{
    IntoPyObjectExt,
    prelude::*,
    types::{PyDict, PyList},
};

use crate::error::Result;

/// Tensors in the declared structure: dictionaries, lists, or one array.
///
/// `encodings` are those of the tensors, in order, and `weight` is the maximum total weight. They
/// decide the element type of integers. The values do not.
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
                Tensor::I128(values) => wide::<_, i64>(py, &values, encoding, weight),
                Tensor::U128(values) => wide::<_, u64>(py, &values, encoding, weight),
                other => unreachable!("no codec gives {other:?}"),
            }
        };
    }
    owned!(I8, I16, I32, I64, U8, U16, U32, U64, F32, F64, Bool)
}

/// Sums of 64-bit integers: in 64 bits if all possible sums of the round fit, otherwise as Python
/// integers.
fn wide<'py, T, N>(
    py: Python<'py>,
    values: &ArrayD<T>,
    encoding: &Encoding,
    weight: u64,
) -> Result<Bound<'py, PyAny>>
where
    T: Copy + IntoPyObjectExt<'py> + TryInto<N>,
    N: Element + TryFrom<i128>,
{
    let fits = |end: i128| end.checked_mul(weight.into()).is_some_and(|sum| N::try_from(sum).is_ok());
    if let Encoding::Integers(range) = encoding
        && fits(range.min())
        && fits(range.max())
    {
        let narrow = |value: &T| (*value).try_into().ok().expect("checked by the decoder");
        return Ok(PyArray::from_owned_array(py, values.map(narrow)).into_any());
    }
    let objects = values.iter().map(|value| (*value).into_py_any(py)).collect::<PyResult<Vec<_>>>()?;
    let objects =
        ArrayD::from_shape_vec(values.raw_dim(), objects).expect("as many elements as the shape has");
    Ok(PyArray::from_owned_object_array(py, objects).into_any())
}
