//! Codecs: the encodings of elements, as Python classes.

use cipherfold::{
    federated::tensor::Encoding,
    packing::{self, IntegerRange, Rounding},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::error::{Own, Result};

/// Arguments for `__new__`, to restore a pickled object.
type NewArguments<'py> = (Bound<'py, PyTuple>, Bound<'py, PyDict>);

/// A codec for floating-point numbers: they are clipped to ``[lower, upper]``, and rounded to one
/// of ``2**bits`` points.
///
/// The server gets the mean of the clients, or the sum with ``sum=True``. :attr:`error_bound` is
/// the maximum error of a mean by rounding. Clipping is not included.
///
/// Args:
///     clip: The bounds are ``-clip`` and ``clip``. The default is 1.0, unless there are other
///         bounds.
///     bits: Bits of a value, 2 to 48.
///     lower, upper: The bounds, instead of ``clip``.
///     stochastic: Rounds up or down at random, so that the expected value is the value itself.
///     sum: The server gets the sum rather than the mean.
///
/// Raises:
///     ConfigError: For bounds and bits that do not define a grid.
#[pyclass(frozen, module = "cipherfold", eq)]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Quantizer {
    grid: packing::Quantizer,
    sum: bool,
}

#[pymethods]
impl Quantizer {
    #[new]
    #[pyo3(signature = (clip = None, bits = 16, *, lower = None, upper = None, stochastic = false, sum = false))]
    fn new(
        clip: Option<f64>,
        bits: u32,
        lower: Option<f64>,
        upper: Option<f64>,
        stochastic: bool,
        sum: bool,
    ) -> Result<Self> {
        let grid = match (clip, lower, upper) {
            (None, Some(lower), Some(upper)) => packing::Quantizer::new(lower, upper, bits)?,
            (clip, None, None) => packing::Quantizer::symmetric(clip.unwrap_or(1.0), bits)?,
            _ => {
                let (setting, found) = ("bounds".to_owned(), "neither clip nor a pair".to_owned());
                return Err(
                    Own::Setting { setting, found, allowed: "clip, or lower and upper".to_owned() }.into()
                );
            }
        };
        Ok(Self { grid: if stochastic { grid.stochastic() } else { grid }, sum })
    }

    /// The lower bound.
    #[getter]
    fn lower(&self) -> f64 {
        self.grid.lower()
    }

    /// The upper bound.
    #[getter]
    fn upper(&self) -> f64 {
        self.grid.upper()
    }

    /// Bits of a value.
    #[getter]
    fn bits(&self) -> u32 {
        self.grid.bits()
    }

    /// The distance between neighbouring points.
    #[getter]
    fn step(&self) -> f64 {
        self.grid.step()
    }

    /// Whether values are rounded at random.
    #[getter]
    fn stochastic(&self) -> bool {
        self.grid.rounding() == Rounding::Stochastic
    }

    /// Whether the server gets the sum rather than the mean.
    #[getter]
    fn sum(&self) -> bool {
        self.sum
    }

    /// The maximum error of a mean by rounding. That of a sum is this number times the total
    /// weight.
    #[getter]
    fn error_bound(&self) -> f64 {
        self.grid.error_bound()
    }

    fn __hash__(&self) -> u64 {
        let Self { grid, sum } = self;
        hash(&[
            grid.lower().to_bits(),
            grid.upper().to_bits(),
            grid.bits().into(),
            self.stochastic().into(),
            (*sum).into(),
        ])
    }

    fn __repr__(&self) -> String {
        let Self { grid, sum } = self;
        let stochastic = if self.stochastic() { ", stochastic=True" } else { "" };
        let sum = if *sum { ", sum=True" } else { "" };
        let (lower, upper, bits) = (grid.lower(), grid.upper(), grid.bits());
        format!("Quantizer(lower={lower:?}, upper={upper:?}, bits={bits}{stochastic}{sum})")
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<NewArguments<'py>> {
        let keywords = PyDict::new(py);
        keywords.set_item("bits", self.bits())?;
        keywords.set_item("lower", self.lower())?;
        keywords.set_item("upper", self.upper())?;
        keywords.set_item("stochastic", self.stochastic())?;
        keywords.set_item("sum", self.sum)?;
        Ok((PyTuple::empty(py), keywords))
    }
}

/// A codec for integers. Values out of range are refused. The server gets the exact sum. Its type
/// is ``int64`` for signed and ``uint64`` for unsigned arrays, if all possible sums of the round
/// fit, and otherwise Python integers.
///
/// Args:
///     max: The maximum value of a client (inclusive).
///     min: The minimum value of a client.
///
/// Raises:
///     ConfigError: For a range that is empty, needs more than 64 bits, or fits neither ``int64``
///         nor ``uint64``.
#[pyclass(frozen, module = "cipherfold", eq)]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Integers {
    range: IntegerRange,
}

#[pymethods]
impl Integers {
    #[new]
    #[pyo3(signature = (max, *, min = 0))]
    fn new(max: i128, min: i128) -> Result<Self> {
        Ok(Self { range: IntegerRange::new(min, max)? })
    }

    /// The minimum value.
    #[getter]
    fn min(&self) -> i128 {
        self.range.min()
    }

    /// The maximum value.
    #[getter]
    fn max(&self) -> i128 {
        self.range.max()
    }

    /// Bits of a value.
    #[getter]
    fn bits(&self) -> u32 {
        self.range.value_bits()
    }

    fn __hash__(&self) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a hash")]
        hash(&[self.range.min() as u64, self.range.max() as u64])
    }

    fn __repr__(&self) -> String {
        format!("Integers(max={}, min={})", self.range.max(), self.range.min())
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<NewArguments<'py>> {
        let keywords = PyDict::new(py);
        keywords.set_item("min", self.range.min())?;
        Ok((PyTuple::new(py, [self.range.max()])?, keywords))
    }
}

/// A codec for integers modulo a number. The server gets the residue of their sum, as ``int64``.
///
/// Args:
///     modulus: 1 to 2**63.
///     symmetric: Residues are from ``1 - modulus`` to ``modulus - 1``, modulo ``2 * modulus - 1``,
///         instead of from 0 to ``modulus - 1``.
///
/// Raises:
///     ConfigError: For a modulus of zero, or one that is too large.
#[pyclass(frozen, module = "cipherfold", eq)]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Modular {
    modular: packing::Modular,
}

#[pymethods]
impl Modular {
    #[new]
    #[pyo3(signature = (modulus, *, symmetric = false))]
    fn new(modulus: u64, symmetric: bool) -> Result<Self> {
        let modular =
            if symmetric { packing::Modular::symmetric(modulus)? } else { packing::Modular::new(modulus)? };
        Ok(Self { modular })
    }

    /// The modulus.
    #[getter]
    fn modulus(&self) -> u64 {
        self.modular.modulus()
    }

    /// Whether residues are symmetric around zero.
    #[getter]
    fn symmetric(&self) -> bool {
        self.modular.is_symmetric()
    }

    fn __hash__(&self) -> u64 {
        hash(&[self.modular.modulus(), self.modular.is_symmetric().into()])
    }

    fn __repr__(&self) -> String {
        let symmetric = if self.modular.is_symmetric() { ", symmetric=True" } else { "" };
        format!("Modular({}{symmetric})", self.modular.modulus())
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<NewArguments<'py>> {
        let keywords = PyDict::new(py);
        keywords.set_item("symmetric", self.modular.is_symmetric())?;
        Ok((PyTuple::new(py, [self.modular.modulus()])?, keywords))
    }
}

/// Any codec.
#[derive(FromPyObject)]
pub(crate) enum Codec<'py> {
    Quantizer(PyRef<'py, Quantizer>),
    Integers(PyRef<'py, Integers>),
    Modular(PyRef<'py, Modular>),
}

impl Codec<'_> {
    /// The core's name for this codec.
    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Self::Quantizer(quantizer) if quantizer.sum => Encoding::Sum(quantizer.grid),
            Self::Quantizer(quantizer) => Encoding::Mean(quantizer.grid),
            Self::Integers(integers) => integers.range.into(),
            Self::Modular(modular) => modular.modular.into(),
        }
    }
}

/// The codec for an encoding of the core; None for an encoding that this package does not make.
pub(crate) fn of_encoding(py: Python<'_>, encoding: Encoding) -> PyResult<Option<Py<PyAny>>> {
    Ok(match encoding {
        Encoding::Integers(range) => Some(Py::new(py, Integers { range })?.into_any()),
        Encoding::Mean(grid) => Some(Py::new(py, Quantizer { grid, sum: false })?.into_any()),
        Encoding::Sum(grid) => Some(Py::new(py, Quantizer { grid, sum: true })?.into_any()),
        Encoding::Modular(modular) => Some(Py::new(py, Modular { modular })?.into_any()),
        _ => None,
    })
}

fn hash(parts: &[u64]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}
