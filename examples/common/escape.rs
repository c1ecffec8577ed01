//! Escaping of names for printing.

use std::fmt::Display;

/// A text from a file, an argument or a device, made safe for a terminal: characters that are not
/// printable, such as line ends and the beginnings of terminal commands, become escapes.
pub(crate) fn escaped(text: impl Display) -> String {
    let mut safe = String::new();
    for character in text.to_string().chars() {
        if matches!(character, '\'' | '"' | '\\') {
            safe.push(character); // printable; `escape_debug` would escape for literals
        } else {
            // After another character, so that a combining character stays.
            safe.extend(format!("x{character}").escape_debug().skip(1));
        }
    }
    safe
}
