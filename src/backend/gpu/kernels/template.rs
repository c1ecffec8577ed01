//! A small template language.
//!
//! WGSL has no templates and no unrolling, and the number of limbs must be in the text. The files
//! are WGSL with these additions, expanded line by line:
//!
//! | text | becomes |
//! | :-- | :-- |
//! | `//% include lib/x.wgsl name=text …` | that file, expanded, with these names |
//! | `//% for i in 0..LIMBS` … `//% end` | the lines between them, once for each i |
//! | `${i + 1}` | the value of an expression (integers, names, `+ - * / %`, parentheses), or the text of a name |

use std::fmt::Write;

/// The files, and the names that are defined while they are expanded.
pub(crate) struct Scope<'a> {
    files: &'a [(&'a str, &'a str)],
    /// Names and their texts, innermost last.
    names: Vec<(String, String)>,
}

impl<'a> Scope<'a> {
    /// A scope with these files: pairs of name and text.
    pub(crate) fn new(files: &'a [(&'a str, &'a str)]) -> Self {
        Self { files, names: Vec::new() }
    }

    pub(crate) fn define(&mut self, name: &str, text: &str) {
        self.names.push((name.to_owned(), text.to_owned()));
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.names.iter().rev().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// Appends the expanded text of a file.
    ///
    /// # Panics
    ///
    /// If the file is missing or wrong.
    pub(crate) fn expand_file(&mut self, name: &str, out: &mut String) {
        let found = self.files.iter().find(|(known, _)| *known == name);
        let (_, text) = found.unwrap_or_else(|| panic!("no shader file `{name}`"));
        let lines: Vec<&str> = text.lines().collect();
        expand(&lines, self, out);
    }
}

fn expand(lines: &[&str], scope: &mut Scope<'_>, out: &mut String) {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        let Some(directive) = line.strip_prefix("//% ") else {
            substitute(line, scope, out);
            out.push('\n');
            continue;
        };
        if let Some(include) = directive.strip_prefix("include ") {
            let mut include_text = String::new();
            substitute(include, scope, &mut include_text);
            let mut parts = include_text.split_whitespace();
            let file = parts.next().expect("a file is named");
            let depth = scope.names.len();
            for part in parts {
                let (name, text) = part.split_once('=').expect("name=text");
                scope.define(name, text);
            }
            scope.expand_file(file, out);
            scope.names.truncate(depth);
        } else if let Some(head) = directive.strip_prefix("for ") {
            let (name, range) = head.split_once(" in ").expect("`for name in from..to`");
            let (from, to) = range.split_once("..").expect("`for name in from..to`");
            let length = block_length(&lines[at..]);
            let body = &lines[at..at + length];
            for value in evaluate(from, scope)..evaluate(to, scope) {
                scope.define(name, &value.to_string());
                expand(body, scope, out);
                scope.names.pop();
            }
            at += length + 1;
        } else {
            panic!("unknown directive: {line}");
        }
    }
}

/// Number of lines before the `end` of a `for` that was just read.
fn block_length(lines: &[&str]) -> usize {
    let mut depth = 1;
    for (i, line) in lines.iter().enumerate() {
        if line.starts_with("//% for ") {
            depth += 1;
        } else if *line == "//% end" {
            depth -= 1;
            if depth == 0 {
                return i;
            }
        }
    }
    panic!("`for` without `end`")
}

/// Appends a line with its `${…}` replaced.
fn substitute(line: &str, scope: &Scope<'_>, out: &mut String) {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (expression, after) = after.split_once('}').expect("`${` is closed");
        match scope.get(expression) {
            Some(text) => out.push_str(text),
            None => write!(out, "{}", evaluate(expression, scope)).expect("strings grow"),
        }
        rest = after;
    }
    out.push_str(rest);
}

fn evaluate(expression: &str, scope: &Scope<'_>) -> u32 {
    let mut parser = Parser { rest: expression, scope };
    let value = parser.sum();
    assert!(parser.rest.trim().is_empty(), "cannot read `{expression}`");
    value
}

/// Sums of products of numbers, names and sums in parentheses.
struct Parser<'a> {
    rest: &'a str,
    scope: &'a Scope<'a>,
}

impl Parser<'_> {
    fn sum(&mut self) -> u32 {
        let mut value = self.product();
        while let Some(operator) = self.take(&['+', '-']) {
            let other = self.product();
            value = if operator == '+' { value + other } else { value - other };
        }
        value
    }

    fn product(&mut self) -> u32 {
        let mut value = self.atom();
        while let Some(operator) = self.take(&['*', '/', '%']) {
            let other = self.atom();
            value = match operator {
                '*' => value * other,
                '/' => value / other,
                _ => value % other,
            };
        }
        value
    }

    fn atom(&mut self) -> u32 {
        if self.take(&['(']).is_some() {
            let value = self.sum();
            assert!(self.take(&[')']).is_some(), "a parenthesis is open");
            return value;
        }
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = self.scope.get(word).unwrap_or(word);
        text.parse().unwrap_or_else(|_| panic!("`{word}` is neither a number nor a name"))
    }

    fn take(&mut self, wanted: &[char]) -> Option<char> {
        let rest = self.rest.trim_start();
        let found = rest.chars().next().filter(|c| wanted.contains(c))?;
        self.rest = &rest[1..];
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        let files = [("file", text)];
        let (mut scope, mut out) = (Scope::new(&files), String::new());
        scope.define("N", "3");
        scope.define("buffer", "xs");
        scope.expand_file("file", &mut out);
        out
    }

    #[test]
    fn loops_unroll_and_expressions_are_computed() {
        let text =
            "//% for i in 1..N\n//% for j in 0..i\na${i}${j} = ${(i + j) % N * 2 - 1 / 1};\n//% end\n//% end";
        let first = "a10 = 1;\n";
        // j stops at 0: for j = 1 the value (2 + 1) % 3 · 2 − 1 would be negative.
        assert!(expanded(&text.replace("0..i", "0..1")).starts_with(first));
        assert_eq!(expanded("load_${buffer}(${N + N / 2})"), "load_xs(4)\n");
    }
}
