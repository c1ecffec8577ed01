//! The encoding of norms in serde's formats.
//!
//! A norm is zero or positive, and may be infinite. JSON has no infinity, so infinity is written as
//! `None` in every format. So every format can read the bytes that it wrote.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn serialize<S: Serializer>(norm: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Some(*norm).filter(|norm| norm.is_finite()).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}
