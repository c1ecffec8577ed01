//! Names that are safe to print.

use std::fmt::Display;

/// A text from a file, an argument or a device, safe for a terminal: characters that are not printable, such as line ends and
/// those that begin a terminal's commands, become escapes.
pub(crate) fn escaped(text: impl Display) -> String {
    let mut safe = String::new();
    for character in text.to_string().chars() {
        if matches!(character, '\'' | '"' | '\\') {
            safe.push(character); // printable: `escape_debug` is meant for literals
        } else {
            // After another character, so that one that combines with it stays.
            safe.extend(format!("x{character}").escape_debug().skip(1));
        }
    }
    safe
}
