//! Bounds and norms that may change from round to round.

use cipherfold::federated::{
    self,
    aggregation::{Fixed, Schedule},
};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::number::Number;

/// A bound or a norm: fixed, or with its changes described in words.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Json")]
pub enum Bound {
    Integer(i128),
    Float(f64),
    /// `starts at 1.0, +1.0 each round`.
    Process {
        start: f64,
        step: f64,
    },
}

impl TryFrom<Json> for Bound {
    type Error = String;

    fn try_from(json: Json) -> Result<Self, String> {
        let words = || {
            let text = json.as_object().filter(|map| map.len() == 1)?.get("process")?.as_str()?;
            let text = text.strip_prefix("starts at ")?.strip_suffix(" each round")?;
            let (start, step) = text.split_once(", ")?;
            Some(Self::Process { start: start.parse().ok()?, step: step.parse().ok()? })
        };
        let found = match Number::read(&json) {
            Some(Number::Integer(x)) => Some(Self::Integer(x)),
            Some(Number::Float(x)) => Some(Self::Float(x)),
            Some(Number::Bool(_)) | None => words(),
        };
        found.ok_or_else(|| format!("a bound of {json}"))
    }
}

impl Bound {
    pub fn is_process(self) -> bool {
        matches!(self, Self::Process { .. })
    }

    /// The number of each round.
    fn at(self, round: u64) -> f64 {
        match self {
            Self::Integer(x) => x as f64,
            Self::Float(x) => x,
            Self::Process { start, step } => start + step * round as f64,
        }
    }

    pub fn schedule(self) -> Schedule {
        Schedule::new(move |round| self.at(round))
    }

    pub fn fixed(self) -> federated::Result<Fixed> {
        Fixed::new(self.at(0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn processes_are_understood_in_words() {
        assert_eq!(Bound::try_from(json!(2)), Ok(Bound::Integer(2)));
        assert_eq!(Bound::try_from(json!(2.0)), Ok(Bound::Float(2.0)));
        let process = |text: &str| Bound::try_from(json!({"process": text}));
        let expected = Bound::Process { start: -1.0, step: -0.5 };
        assert_eq!(process("starts at -1.0, -0.5 each round"), Ok(expected));
        let expected = Bound::Process { start: 10.0, step: 2.0 };
        assert_eq!(process("starts at 10, +2 each round"), Ok(expected));
        for unknown in ["starts at 1.0", "doubles each round", "starts at one, +1.0 each round"] {
            assert!(process(unknown).is_err(), "{unknown}");
        }
    }
}
