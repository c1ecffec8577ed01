//! Output of commands: results on standard output, notes and a progress bar on standard error.

use std::{
    fmt::{Display, Write as _},
    io::{self, IsTerminal, Write},
};

use cipherfold_service::progress::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

/// The output of a command.
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    bar: ProgressBar,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let hidden = json || quiet || !io::stderr().is_terminal();
        let bar = if hidden {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        } else {
            ProgressBar::no_length()
        };
        let style = ProgressStyle::with_template("{msg:15} {wide_bar} {pos}/{len}, {eta} left");
        bar.set_style(style.expect("a template of known keys"));
        Self { json, quiet, bar }
    }

    /// A result: lines for people, or one object of JSON.
    pub(crate) fn result(&self, value: &impl Serialize, people: impl Display) -> io::Result<()> {
        self.clear();
        let text = if self.json {
            ascii(&serde_json::to_value(value).expect("results have names and numbers"))
        } else if self.quiet {
            return Ok(());
        } else {
            lines(&people)
        };
        match writeln!(io::stdout(), "{text}") {
            // The reader has closed the output.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Output {
    fn note(&self, text: &dyn Display) {
        if self.quiet {
            return;
        }
        let text = escaped(text);
        let line = if self.json { ascii(&serde_json::json!({ "note": text })) } else { text };
        self.bar.suspend(|| {
            let _ = writeln!(io::stderr(), "{line}");
        });
    }

    fn work(&self, what: &'static str, done: u64, total: u64) {
        self.bar.set_message(what);
        self.bar.set_length(total);
        self.bar.set_position(done);
        if done >= total {
            self.bar.reset();
        }
    }
}

/// A text without characters that move a terminal's cursor or break a line.
pub(crate) fn escaped(text: &(impl Display + ?Sized)) -> String {
    let mut safe = String::new();
    for character in text.to_string().chars() {
        if matches!(character, '\'' | '"' | '\\') {
            safe.push(character);
        } else {
            // After another character, so that a combining character stays.
            safe.extend(format!("x{character}").escape_debug().skip(1));
        }
    }
    safe
}

/// The same for a text of several lines.
fn lines(text: &impl Display) -> String {
    text.to_string().lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// One line of JSON in ASCII, so that no name in it controls the terminal.
pub(crate) fn ascii(json: &Value) -> String {
    let mut line = String::new();
    for character in json.to_string().chars() {
        if character.is_ascii() && !character.is_ascii_control() {
            line.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(line, "\\u{unit:04x}").expect("texts grow");
            }
        }
    }
    line
}

/// Bytes with a readable unit.
pub(crate) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits")]
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB", "PB"] {
        if value < 999.5 {
            let digits = if unit == "B" || value >= 99.95 {
                0
            } else if value >= 9.995 {
                1
            } else {
                2
            };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.0} EB")
}

/// A whole number with commas between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 object`, `2 objects`.
pub(crate) fn plural(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(bytes(6_564_803_556), "6.56 GB");
        assert_eq!(bytes(6_564_803_556_000), "6.56 TB");
        assert_eq!(
            [bytes(0), bytes(999), bytes(1000), bytes(65_500)],
            ["0 B", "999 B", "1.00 kB", "65.5 kB"]
        );
        assert_eq!([grouped(12_820_513), grouped(999), grouped(1000)], ["12,820,513", "999", "1,000"]);
        assert_eq!([plural(1, "object"), plural(0, "object")], ["1 object", "0 objects"]);
    }

    #[test]
    fn displayed_text_does_not_control_a_terminal() {
        assert_eq!(escaped("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(ascii(&serde_json::json!({ "é": "\u{1b}" })), "{\"\\u00e9\":\"\\u001b\"}");
    }
}
