//! Weights: from decimal numbers to the integers of the protocol.

/// The weights of a mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    /// The weights as given.
    pub(crate) given: Vec<f64>,
    /// Their public limit, as given.
    pub(crate) given_max: f64,
    /// Whole numbers with the same ratios, up to `rounding`.
    pub(crate) whole: Vec<u32>,
    pub(crate) max: u32,
    /// The maximum change of a mean of numbers from -1 to 1 by the rounding of the weights.
    pub(crate) rounding: f64,
}

/// Bits of inexact weights.
const ROUNDED_BITS: u32 = 24;

/// A decimal number: digits, and a power of ten as factor.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u128,
    exponent: i32,
}

impl Weights {
    /// Reads a list of weights, one for each file. Values are quantised to `bits` bits, and the
    /// product of both has at most 64 bits.
    pub(crate) fn parse(list: &str, max: Option<&str>, files: usize, bits: u32) -> Result<Self, String> {
        let texts: Vec<&str> = list.split(',').map(str::trim).collect();
        let given = texts.iter().map(|text| number(text)).collect::<Result<Vec<f64>, _>>()?;
        if given.len() != files {
            return Err(format!("{} weights for {files} files: one for each is needed", given.len()));
        }
        let largest = given.iter().copied().fold(0.0, f64::max);
        if largest == 0.0 {
            return Err("all weights are zero: there is no mean".to_owned());
        }
        let given_max = max.map_or(Ok(largest), |max| number(max.trim()))?;
        if largest > given_max {
            return Err(format!("a weight of {largest} is above --max-weight {given_max}"));
        }
        let is_whole = |x: &f64| x.fract() == 0.0 && *x <= u32::MAX.into();
        if is_whole(&given_max) && given.iter().all(is_whole) {
            let whole = given.iter().map(|weight| to_whole(*weight)).collect();
            return Ok(Self { given, given_max, whole, max: to_whole(given_max), rounding: 0.0 });
        }
        let limit = u32::try_from(u64::MAX >> bits).unwrap_or(u32::MAX);
        let largest_text = texts.iter().zip(&given).find(|(_, weight)| **weight >= largest);
        let max_text = max.map(str::trim).or(largest_text.map(|(text, _)| *text)).unwrap_or_default();
        if let Some((max, whole)) = exactly(max_text, &texts, limit) {
            return Ok(Self { given, given_max, whole, max, rounding: 0.0 });
        }
        Self::rounded(given, given_max, limit.min((1 << ROUNDED_BITS) - 1))
    }

    fn rounded(given: Vec<f64>, given_max: f64, max: u32) -> Result<Self, String> {
        let scale = |weight: f64| to_whole((weight / given_max * f64::from(max)).round());
        let whole: Vec<u32> = given.iter().map(|weight| scale(*weight)).collect();
        if let Some((weight, _)) =
            given.iter().zip(&whole).find(|(given, whole)| **given > 0.0 && **whole == 0)
        {
            return Err(format!("a weight of {weight} would count as zero beside {given_max}"));
        }
        let sum: f64 = given.iter().sum();
        let total: f64 = whole.iter().copied().map(f64::from).sum();
        let shares = given
            .iter()
            .map(|weight| weight / sum)
            .zip(whole.iter().map(|weight| f64::from(*weight) / total));
        let rounding = shares.map(|(exact, rounded)| (exact - rounded).abs()).sum();
        Ok(Self { given, given_max, whole, max, rounding })
    }

    /// Weights for the plain mean.
    pub(crate) fn plain(&self) -> Vec<f64> {
        if self.rounding == 0.0 {
            self.whole.iter().copied().map(f64::from).collect()
        } else {
            self.given.clone()
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(weight) if weight >= 0.0 && weight.is_finite() => Ok(weight),
        _ => Err(format!(
            "a weight of `{}`: a number from 0 is needed",
            cipherfold::files::Printable::name(text)
        )),
    }
}

/// A checked number: whole and in range.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and from 0 to u32::MAX")]
fn to_whole(x: f64) -> u32 {
    x as u32
}

/// The smallest integers with the ratios of these decimal numbers, if they are small enough.
fn exactly(max: &str, weights: &[&str], limit: u32) -> Option<(u32, Vec<u32>)> {
    let all = core::iter::once(max).chain(weights.iter().copied()).map(Decimal::parse);
    let all = all.collect::<Option<Vec<_>>>()?;
    let minimum = all.iter().filter(|number| number.digits > 0).map(|number| number.exponent).min()?;
    let scaled = all.iter().map(|number| number.times_power_of_ten(-minimum)).collect::<Option<Vec<_>>>()?;
    let divisor = scaled.iter().fold(0, |divisor, number| greatest_common_divisor(divisor, *number));
    let mut whole = Vec::with_capacity(scaled.len());
    for number in scaled {
        whole.push(u32::try_from(number / divisor).ok().filter(|number| *number <= limit)?);
    }
    let weights = whole.split_off(1);
    Some((whole[0], weights))
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Decimal {
    /// Reads `12.50`, `1e3`, `.5`. `None` for too many digits.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches('+');
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let exponent = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        Some(Self { digits: format!("0{whole}{fraction}").parse().ok()?, exponent })
    }

    fn times_power_of_ten(self, power: i32) -> Option<u128> {
        if self.digits == 0 {
            return Some(0);
        }
        let power = u32::try_from(self.exponent.checked_add(power)?).ok()?;
        self.digits.checked_mul(10_u128.checked_pow(power)?)
    }
}
