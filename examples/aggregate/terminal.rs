//! Output for programs, and the progress bar.

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::Value;

use crate::shared::progress;

/// One line of JSON in ASCII, so that no name in it controls the terminal.
pub(crate) fn ascii(json: &Value) -> String {
    let mut line = String::new();
    for c in json.to_string().chars() {
        if c.is_ascii() && !c.is_ascii_control() {
            line.push(c);
        } else {
            // Only strings have other characters.
            line.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    line.push('\n');
    line
}

/// A bar on standard error, if that is a terminal.
pub(crate) fn progress_bar(hidden: bool) -> ProgressBar {
    if hidden { ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()) } else { progress::bar() }
}
