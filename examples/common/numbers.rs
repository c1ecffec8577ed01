//! Arguments that are numbers.

use std::ops::RangeInclusive;

/// A parser for numbers in a range, for clap. Refuses NaN and infinity.
pub(crate) fn between(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| {
        let number: f64 = text.trim().parse().map_err(|_| "not a number".to_owned())?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(format!("not between {:?} and {:?}", range.start(), range.end()))
        }
    }
}
