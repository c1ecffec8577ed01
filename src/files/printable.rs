//! Names and paths from other parties, escaped for a terminal.

use core::fmt::{self, Write};
use std::{ffi::OsStr, path::Path};

/// Maximum number of characters shown of a name. A tensor's name in a file may have megabytes.
const MAX_SHOWN: usize = 200;

/// Shows text from an untrusted source. Escapes all characters that a terminal would not print
/// literally.
///
/// Control characters (escape sequences, newlines), invisible characters and characters that change
/// the direction of writing appear as Rust escapes: `\n`, `\u{1b}`. A backslash is doubled, so that
/// two names never look the same. Bytes that are not UTF-8 appear as `\xff`. Quotation marks stay.
///
/// ```
/// use cipherfold::files::Printable;
///
/// assert_eq!(Printable::name("w\u{1b}[2J\nerror: none").to_string(), "w\\u{1b}[2J\\nerror: none");
/// assert_eq!(Printable::name("décoder \"β\"").to_string(), "décoder \"β\"");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a> {
    text: &'a OsStr,
    /// Maximum number of characters to show.
    limit: usize,
}

impl<'a> Printable<'a> {
    /// A name or a message: its first 200 characters, and the number of omitted characters.
    pub fn name(text: &'a str) -> Self {
        Self { text: OsStr::new(text), limit: MAX_SHOWN }
    }

    /// A path, in full.
    pub fn path(path: &'a Path) -> Self {
        Self { text: path.as_os_str(), limit: usize::MAX }
    }

    /// A text of the operating system, in full.
    pub fn os(text: &'a OsStr) -> Self {
        Self { text, limit: usize::MAX }
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = self.limit;
        let mut left_out = 0;
        for chunk in self.text.as_encoded_bytes().utf8_chunks() {
            let valid = chunk.valid();
            let end = valid.char_indices().nth(room).map_or(valid.len(), |(end, _)| end);
            escape(&valid[..end], f)?;
            if room < usize::MAX {
                let shown = valid[..end].chars().count();
                room -= shown;
                left_out += valid[end..].chars().count();
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        if left_out > 0 {
            write!(f, "… ({left_out} more characters)")?;
        }
        Ok(())
    }
}

/// Escapes like `str::escape_debug`, except for quotation marks.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for part in text.split_inclusive(['"', '\'']) {
        let (text, quote) = match part.char_indices().next_back() {
            Some((end, quote @ ('"' | '\''))) => (&part[..end], Some(quote)),
            _ => (part, None),
        };
        write!(f, "{}", text.escape_debug())?;
        quote.map_or(Ok(()), |quote| f.write_char(quote))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_output_controls_the_terminal() {
        let unprintable = "a\u{1b}]0;title\u{7}\r\n\u{9b}31m\u{202e}cba\u{2066}\u{200b}\u{2028}\u{7f}\u{0}\\";
        let shown = Printable::name(unprintable).to_string();
        assert!(shown.is_ascii() && !shown.contains(|c: char| c.is_control()), "{shown}");
        assert!(shown.ends_with("\\u{7f}\\0\\\\"), "{shown}");
    }

    #[test]
    fn long_names_are_cut_and_paths_are_not() {
        let long = "ä".repeat(1000);
        assert!(Printable::name(&long).to_string().ends_with("ä… (800 more characters)"));
        assert_eq!(Printable::path(Path::new(&long)).to_string(), long);
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_text_are_shown_as_bytes() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(OsStr::from_bytes(b"a\xff\x1bb"));
        assert_eq!(Printable::path(path).to_string(), "a\\xff\\u{1b}b");
    }
}
