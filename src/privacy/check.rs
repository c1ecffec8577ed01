//! Checks of parameters, and numbers in serde's formats.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::error::{Error, Result};

/// `value` if it is good, otherwise the error with the allowed values. Callers write `good` so that
/// it is false for NaN.
pub(super) fn checked(name: &'static str, value: f64, good: bool, allowed: &'static str) -> Result<f64> {
    if good { Ok(value) } else { Err(Error::Parameter { name, value, allowed }) }
}

/// Reads a number that must be finite. JSON writes other numbers as `null`, which does not read as
/// a number.
pub(super) fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    let refused = || D::Error::custom(format_args!("{value}: a finite number is needed"));
    if value.is_finite() { Ok(value) } else { Err(refused()) }
}

/// A length or a count as a float: exact below 2⁵³; no slice is longer.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(super) const fn to_float(count: usize) -> f64 {
    count as f64
}

/// A number that may be infinite, with infinity as `None` in every format, because JSON has no
/// infinity. Reading and writing use the same `Option`, so that every format reads its own output.
pub(crate) mod finite_or_none {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Some(*value).filter(|value| value.is_finite()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
    }
}
