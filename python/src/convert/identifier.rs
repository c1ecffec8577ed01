//! Conversion of session identifiers and digests from Python.

use cipherfold::federated::{Digest, SessionId};

use crate::error::{Own, Result};

/// The session identifier with these bytes.
pub(crate) fn session_id(bytes: &[u8]) -> Result<SessionId> {
    let bytes = <[u8; SessionId::LEN]>::try_from(bytes).map_err(|_| Own::Setting {
        setting: "session".to_owned(),
        found: format!("{} bytes", bytes.len()),
        allowed: format!("{} bytes", SessionId::LEN),
    })?;
    Ok(SessionId::from_bytes(bytes))
}

/// The digest with these hexadecimal digits.
pub(crate) fn digest(pin: &str) -> Result<Digest> {
    let mut bytes = [0; Digest::LEN];
    let digits = pin.as_bytes();
    let valid = digits.len() == 2 * bytes.len()
        && bytes.iter_mut().zip(digits.chunks_exact(2)).all(|(byte, pair)| {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let value = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| 16 * high + low);
            value.and_then(|value| u8::try_from(value).ok()).map(|value| *byte = value).is_some()
        });
    if valid {
        return Ok(Digest::from_bytes(bytes));
    }
    let found = format!("{} characters", pin.chars().count());
    Err(Own::Setting { setting: "pin".to_owned(), found, allowed: "64 hexadecimal digits".to_owned() }.into())
}
