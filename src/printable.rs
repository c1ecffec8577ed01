//! Text from other parties, escaped for display.

use core::fmt::{self, Display, Write as _};

/// Escapes every character that a terminal would execute or hide: control characters, line breaks,
/// marks that change the direction of the text.
///
/// Quotes and backslashes stay. A text that passes this function twice is therefore escaped once.
pub(crate) fn printable(text: &str) -> impl Display + '_ {
    Printable(text)
}

struct Printable<'a>(&'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if matches!(c, '\'' | '"' | '\\') {
                f.write_char(c)?;
            } else {
                // Rust escapes combining marks here, too: they could combine with the preceding
                // text.
                write!(f, "{}", c.escape_debug())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_terminals_obey_or_hide_are_escaped() {
        for (text, expected) in [
            ("layers/0.w \"x\" 'y' \\n é 重み", "layers/0.w \"x\" 'y' \\n é 重み"),
            ("a\u{1b}[31mred\u{7}\0\u{7f}\u{9b}", r"a\u{1b}[31mred\u{7}\0\u{7f}\u{9b}"),
            ("a\r\nerror: b\tc", r"a\r\nerror: b\tc"),
            (
                "a\u{202e}b\u{2066}c\u{200b}d\u{2028}e\u{feff}",
                r"a\u{202e}b\u{2066}c\u{200b}d\u{2028}e\u{feff}",
            ),
        ] {
            let found = printable(text).to_string();
            assert_eq!(found, expected);
            assert_eq!(printable(&found).to_string(), found, "once is enough");
        }
    }
}
