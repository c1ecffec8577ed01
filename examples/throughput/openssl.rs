//! A widely available baseline: `openssl speed`.

use std::process::{Command, Stdio};

/// Products of one signature's verification: the exponent is 65537.
pub(crate) const PRODUCTS: f64 = 17.0;

/// Verifications a second of RSA signatures of 4096 bits, on one thread, if `openssl` is installed.
///
/// Each is [`PRODUCTS`] products modulo a number of 4096 bits, as n² has with 2048-bit keys. Takes
/// two seconds.
pub(crate) fn verifications() -> Option<f64> {
    let output = Command::new("openssl")
        .args(["speed", "-mr", "-seconds", "1", "rsa4096"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// The rate in the machine-readable line:
/// `+F2:index:bits:signatures a second:verifications a second`.
fn parse(text: &str) -> Option<f64> {
    let mut fields = text.lines().find_map(|line| line.strip_prefix("+F2:"))?.split(':').skip(1);
    let (bits, _, rate) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
    (bits == "4096" && rate > 1.0).then_some(rate)
}
