//! Objects that are accepted as arrays: NumPy arrays, torch tensors on the CPU, and objects with
//! `__array__`.
//!
//! A source is a view of the caller's memory, which Python code may change at any time.
//! [`Source::copy`] reads each element once.

use core::ops::Range;

use cipherfold::federated::tensor::{DType, TensorType};
use numpy::PyUntypedArray;
use pyo3::{
    prelude::*,
    types::{PySlice, PyType},
};

use super::{elements::Elements, kind::Kind};
use crate::error::{Own, Result};

/// A caller's array.
pub(crate) struct Source {
    /// A readable name: `layers/0/kernel`.
    pub(crate) name: String,
    shape: Vec<usize>,
    kind: Kind,
    /// An `ndarray`: one-dimensional if it is contiguous, otherwise of any shape. 16-bit
    /// floating-point numbers are viewed as `uint16`.
    array: Py<PyAny>,
    contiguous: bool,
}

impl Source {
    /// The array of an object.
    ///
    /// # Errors
    ///
    /// [`Own::Dtype`], with a description of the object and a remedy.
    pub(crate) fn new(object: &Bound<'_, PyAny>, name: String) -> Result<Self> {
        let refuse = |found: String, remedy: &str| Own::Dtype {
            array: name.clone(),
            found,
            remedy: remedy.to_owned(),
        };
        let (array, viewed) = as_numpy(object, &refuse)?;
        let kind = match viewed {
            Some(kind) => kind,
            None => kind_of(&array, &refuse)?,
        };
        let shape: Vec<usize> = array.getattr("shape")?.extract()?;
        let array = match kind {
            Kind::F16 | Kind::Bf16 => array.call_method1("view", ("uint16",))?,
            Kind::Bool => array.call_method1("view", ("uint8",))?,
            Kind::Native(_) => array,
        };
        let contiguous: bool = array.getattr("flags")?.getattr("c_contiguous")?.extract()?;
        let array = if contiguous { array.call_method1("reshape", (-1,))? } else { array };
        Ok(Self { name, shape, kind, array: array.unbind(), contiguous })
    }

    /// The array, for the garbage collector.
    pub(crate) fn object(&self) -> &Py<PyAny> {
        &self.array
    }

    /// Element type and shape, as they are sent.
    pub(crate) fn tensor_type(&self) -> TensorType {
        TensorType { dtype: self.kind.travels_as(), shape: self.shape.clone() }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// A copy of some elements, in row-major order. NumPy makes it, because other code may write to
    /// the array at the same time.
    ///
    /// # Errors
    ///
    /// [`Own::Changed`] if the array has become shorter; exceptions of Python.
    pub(crate) fn copy(&self, py: Python<'_>, range: Range<usize>) -> Result<Elements> {
        let length = range.len();
        let bound = |place: usize| isize::try_from(place).expect("an array is shorter");
        let slice = PySlice::new(py, bound(range.start), bound(range.end), 1);
        let array = self.array.bind(py);
        let copied = if self.contiguous {
            array.get_item(slice)?.call_method0("copy")?
        } else {
            // A copy of these elements alone.
            array.getattr("flat")?.get_item(slice)?
        };
        let elements = Elements::read(&copied, self.kind)?;
        if elements.len() == length {
            return Ok(elements);
        }
        let reason = format!("{} elements where {length} were expected", elements.len());
        Err(Own::Changed { array: self.name.clone(), reason }.into())
    }
}

/// The `ndarray` of an object, and the kind of its elements if NumPy does not have that type.
fn as_numpy<'py>(
    object: &Bound<'py, PyAny>,
    refuse: &impl Fn(String, &str) -> Own,
) -> Result<(Bound<'py, PyAny>, Option<Kind>)> {
    let py = object.py();
    let type_name = || -> PyResult<String> { Ok(object.get_type().name()?.to_string()) };
    let asarray = || py.import("numpy")?.call_method1("asarray", (object,));
    let not_an_array = || -> Result<_> {
        let remedy = "pass an array: numpy.asarray(value, dtype=...) converts numbers and lists";
        Err(refuse(format!("of type {}", type_name()?), remedy).into())
    };
    if object.is_instance_of::<PyType>() {
        return not_an_array(); // a class has the methods of its objects
    }
    if object.is_instance_of::<PyUntypedArray>() {
        if is_masked(object)? {
            return Err(refuse("a masked array".into(), "fill it first: array.filled(value)").into());
        }
        return Ok((asarray()?, None));
    }
    if object.hasattr("detach")? && object.hasattr("device")? && object.hasattr("numpy")? {
        return from_torch(object, refuse);
    }
    if object.hasattr("toarray")? && !object.hasattr("__array__")? {
        return Err(refuse(format!("a sparse matrix ({})", type_name()?), "send matrix.toarray()").into());
    }
    if object.hasattr("__array__")? {
        let array = asarray().map_err(|error| {
            refuse(
                format!("a {} that gives no NumPy array ({error})", type_name().unwrap_or_default()),
                "copy it to a NumPy array first",
            )
        })?;
        return Ok((array, None));
    }
    not_an_array()
}

fn is_masked(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // This does not import the module: a caller with a masked array has imported it.
    let modules = object.py().import("sys")?.getattr("modules")?;
    let module = modules.call_method1("get", ("numpy.ma",))?;
    if module.is_none() { Ok(false) } else { object.is_instance(&module.getattr("MaskedArray")?) }
}

/// A torch tensor. This package does not import torch.
fn from_torch<'py>(
    object: &Bound<'py, PyAny>,
    refuse: &impl Fn(String, &str) -> Own,
) -> Result<(Bound<'py, PyAny>, Option<Kind>)> {
    let device = object.getattr("device")?;
    let device_type = device.getattr("type").map_or_else(|_| device.to_string(), |kind| kind.to_string());
    if device_type != "cpu" {
        let remedy = "copy it to the CPU first: tensor.cpu()";
        return Err(refuse(format!("a tensor on device {device}"), remedy).into());
    }
    let layout = object.getattr("layout").map_or_else(|_| String::new(), |layout| layout.to_string());
    if !matches!(layout.as_str(), "" | "torch.strided") {
        return Err(refuse(format!("a tensor of layout {layout}"), "send tensor.to_dense()").into());
    }
    let dtype = object.getattr("dtype").map_or_else(|_| String::new(), |dtype| dtype.to_string());
    let no_array = |error: PyErr| {
        refuse(
            format!("a tensor of {dtype} that gives no NumPy array ({error})"),
            "convert it to torch.float32 first",
        )
    };
    let tensor = object.call_method0("detach").map_err(no_array)?;
    if dtype == "torch.bfloat16" {
        // NumPy does not have this type, so the bits are passed as integers of the same size.
        let int16 = object.py().import("torch")?.getattr("int16")?;
        let bits = tensor.call_method1("view", (int16,)).and_then(|bits| bits.call_method0("numpy"));
        return Ok((bits.map_err(no_array)?, Some(Kind::Bf16)));
    }
    let tensor = if tensor.hasattr("resolve_neg")? { tensor.call_method0("resolve_neg")? } else { tensor };
    let array = tensor.call_method0("numpy").map_err(no_array)?;
    if array.is_instance_of::<PyUntypedArray>() {
        return Ok((array, None));
    }
    Err(refuse("a tensor whose numpy() gives no array".into(), "copy it to a NumPy array first").into())
}

/// How an array's elements are stored.
fn kind_of(array: &Bound<'_, PyAny>, refuse: &impl Fn(String, &str) -> Own) -> Result<Kind> {
    let dtype = array.getattr("dtype")?;
    let name: String = dtype.getattr("name")?.extract()?;
    let kind: String = dtype.getattr("kind")?.extract()?;
    let size: usize = dtype.getattr("itemsize")?.extract()?;
    let of_dtype = format!("of dtype {dtype}");
    if !dtype.getattr("isnative")?.extract::<bool>()? {
        let remedy = "its byte order is not native: array.astype(array.dtype.newbyteorder(\"=\"))";
        return Err(refuse(of_dtype, remedy).into());
    }
    let native = |dtype| Ok(Kind::Native(dtype));
    match (kind.as_str(), size) {
        (_, 2) if name == "bfloat16" => Ok(Kind::Bf16),
        ("b", 1) => Ok(Kind::Bool),
        ("f", 2) if name == "float16" => Ok(Kind::F16),
        ("f", 4) => native(DType::F32),
        ("f", 8) => native(DType::F64),
        ("i", 1) => native(DType::I8),
        ("i", 2) => native(DType::I16),
        ("i", 4) => native(DType::I32),
        ("i", 8) => native(DType::I64),
        ("u", 1) => native(DType::U8),
        ("u", 2) => native(DType::U16),
        ("u", 4) => native(DType::U32),
        ("u", 8) => native(DType::U64),
        ("c", _) => Err(refuse(of_dtype, "send its real and its imaginary part as two arrays").into()),
        ("O", _) => {
            Err(refuse(of_dtype, "its elements are objects: convert them to numbers with array.astype(...)")
                .into())
        }
        ("f", _) => Err(refuse(of_dtype, "convert it: array.astype(numpy.float32)").into()),
        _ => Err(refuse(of_dtype, "elements must be integers, floating-point numbers or booleans").into()),
    }
}
