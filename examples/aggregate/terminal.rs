//! Standard output and standard error.

use std::{
    io::{self, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// Writes the summary to standard output. Its reader may have gone.
pub(crate) fn show(summary: &str) -> Result<(), String> {
    match io::stdout().write_all(summary.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("the mean was written, but no summary: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes an error to standard error, on one line.
pub(crate) fn complain(message: &str) {
    // Nothing is left to be done if that fails.
    let _ = writeln!(io::stderr(), "error: {}", harmless(message));
}

/// Escapes all that a terminal does not print. Names and paths are escaped already where they enter a message: this is for
/// messages of other origin.
pub(crate) fn harmless(message: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    for c in message.chars() {
        if matches!(c, '"' | '\'' | '\\') {
            shown.push(c);
        } else {
            // After another character, so that accents stay.
            shown.extend(format!("x{c}").escape_debug().skip(1));
        }
    }
    shown
}

/// One line of JSON in ASCII, so that no name in it moves a terminal.
pub(crate) fn ascii(json: &Value) -> String {
    let mut line = String::new();
    for c in json.to_string().chars() {
        if c.is_ascii() && !c.is_ascii_control() {
            line.push(c);
        } else {
            // Only texts have other characters.
            line.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    line.push('\n');
    line
}

/// A bar on standard error, if that is a terminal.
pub(crate) fn progress_bar(hidden: bool) -> ProgressBar {
    let bar = ProgressBar::no_length();
    if hidden {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = "{msg:15} {wide_bar} {pos}/{len} ciphertexts, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a template of known keys"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A number of things, in words.
pub(crate) fn count(number: impl Into<u64>, one: &str, many: &str) -> String {
    let number = number.into();
    format!("{number} {}", if number == 1 { one } else { many })
}
