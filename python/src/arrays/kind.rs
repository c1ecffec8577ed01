//! Storage formats of elements, and their names in NumPy.

use cipherfold::federated::tensor::DType;

/// The storage format of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A type of the core.
    Native(DType),
    /// `float16`, converted to `f32`.
    F16,
    /// `bfloat16`: the upper halves of `f32`.
    Bf16,
    /// Booleans, sent as 0 and 1.
    Bool,
}

impl Kind {
    /// The type in which the elements are sent.
    pub(crate) fn travels_as(self) -> DType {
        match self {
            Self::Native(dtype) => dtype,
            Self::F16 | Self::Bf16 => DType::F32,
            Self::Bool => DType::U8,
        }
    }

    /// NumPy's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native(dtype) => numpy_name(dtype),
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::Bool => "bool",
        }
    }
}

/// NumPy's name of an element type.
pub(crate) fn numpy_name(dtype: DType) -> &'static str {
    match dtype {
        DType::I8 => "int8",
        DType::I16 => "int16",
        DType::I32 => "int32",
        DType::I64 => "int64",
        DType::U8 => "uint8",
        DType::U16 => "uint16",
        DType::U32 => "uint32",
        DType::U64 => "uint64",
        DType::F32 => "float32",
        DType::F64 => "float64",
        other => other.name(),
    }
}
