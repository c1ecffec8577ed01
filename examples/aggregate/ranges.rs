//! Bounds of values, for each tensor.

use cipherfold::{
    files::{FloatType, Printable, TensorInfo},
    packing::Quantizer,
};
use wildmatch::WildMatch;

/// The default bound.
const DEFAULT: Bound = Bound::Fixed(1.0);

/// Bits of a quantised value, and its rounding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) bits: u32,
    pub(crate) stochastic: bool,
}

impl Grid {
    pub(crate) fn quantizer(self, bound: f64) -> cipherfold::Result<Quantizer> {
        let quantizer = Quantizer::symmetric(bound, self.bits)?;
        Ok(if self.stochastic { quantizer.stochastic() } else { quantizer })
    }
}

/// The bound of a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    Fixed(f64),
    /// The clients find it.
    Auto,
}

impl Bound {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse::<f64>() {
            Ok(number) if number > 0.0 && number.is_finite() => Ok(Self::Fixed(number)),
            _ => Err(format!("--clip {}: neither positive and finite nor `auto`", Printable::name(text))),
        }
    }

    /// The bound rounded to this type counts as inside, although rounding may have made it larger.
    pub(crate) fn of_type(self, float: FloatType) -> Self {
        match self {
            Self::Fixed(bound) => Self::Fixed(bound.max(float.round(bound))),
            Self::Auto => Self::Auto,
        }
    }
}

/// The assignment of bounds to tensors.
#[derive(Debug)]
pub(crate) struct Rules {
    patterns: Vec<(WildMatch, String, Bound)>,
    others: Bound,
}

impl Rules {
    pub(crate) fn parse(texts: &[String], grid: Grid) -> Result<Self, String> {
        let (mut patterns, mut others) = (Vec::new(), None);
        for text in texts {
            let (pattern, bound) =
                text.rsplit_once('=').map_or((None, &**text), |(pattern, bound)| (Some(pattern), bound));
            let bound = Bound::parse(bound.trim())?;
            if let Bound::Fixed(bound) = bound {
                grid.quantizer(bound).map_err(|error| format!("--clip: {error}"))?;
            }
            match pattern {
                Some(pattern) => patterns.push((WildMatch::new(pattern), pattern.to_owned(), bound)),
                None if others.replace(bound).is_some() => {
                    return Err("two bounds by --clip for all tensors".to_owned());
                }
                None => {}
            }
        }
        Ok(Self { patterns, others: others.unwrap_or(DEFAULT) })
    }

    /// A bound for each floating-point tensor.
    pub(crate) fn bounds(&self, tensors: &[TensorInfo]) -> Result<Vec<Bound>, String> {
        let mut used = vec![false; self.patterns.len()];
        let floats = tensors.iter().filter_map(|tensor| Some((tensor, tensor.float()?)));
        let bounds = floats.map(|(tensor, float)| {
            let matching = self
                .patterns
                .iter()
                .zip(&mut used)
                .filter(|((pattern, ..), _)| pattern.matches(tensor.name()));
            let mut first = None;
            for ((_, _, bound), used) in matching {
                *used = true;
                first.get_or_insert(*bound);
            }
            first.unwrap_or(self.others).of_type(float)
        });
        let bounds = bounds.collect();
        match self.patterns.iter().zip(used).find(|(_, used)| !used) {
            Some(((_, pattern, _), _)) => {
                Err(format!("--clip: no floating-point tensor is called `{}`", Printable::name(pattern)))
            }
            None => Ok(bounds),
        }
    }
}

/// Added to exponents, so that all of them are positive. Zero represents a tensor of zeros.
const BIAS: i32 = 1075;

/// Bits of a biased exponent: 1 to 2099.
pub(crate) const EXPONENT_BITS: u32 = 12;

/// Minimum bound, so that steps of the grid are normal numbers. Smaller bounds are replaced by it.
const MIN_EXPONENT: i32 = -900;

/// The smallest power of two that bounds a magnitude, as its biased exponent.
pub(crate) fn exponent(magnitude: f64) -> u64 {
    if magnitude == 0.0 {
        return 0;
    }
    // A number from 1/2 up to 1, without 1.
    let (significand, exponent) = libm::frexp(magnitude);
    let exponent = if significand <= 0.5 { exponent - 1 } else { exponent };
    u64::try_from(exponent + BIAS).expect("at least 2^-1074")
}

/// The bound with this biased exponent.
pub(crate) fn bound(exponent: u64) -> f64 {
    let exponent = i32::try_from(exponent).expect("12 bits") - BIAS;
    2_f64.powi(exponent.clamp(MIN_EXPONENT, 1023))
}
