//! Reads short notations from left to right: types and expressions.

/// The rest of a text. White space between tokens has no meaning.
pub struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    /// The result of `read`, if it reads the whole text.
    pub fn read_all<T>(text: &'a str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut scanner = Self(text);
        read(&mut scanner).filter(|_| scanner.0.trim_start().is_empty())
    }

    /// Skips a token if it comes next. Returns whether it did.
    pub fn skip(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// The next characters of a kind, if there is one.
    pub fn take_while(&mut self, kind: impl Fn(char) -> bool) -> Option<&'a str> {
        let rest = self.0.trim_start();
        let (taken, rest) = rest.split_at(rest.find(|c| !kind(c)).unwrap_or(rest.len()));
        self.0 = rest;
        Some(taken).filter(|taken| !taken.is_empty())
    }

    /// The next word.
    pub fn word(&mut self) -> Option<&'a str> {
        self.take_while(|c| c.is_alphanumeric() || c == '_')
    }

    /// `name` in front of `=`, if both come next.
    pub fn name(&mut self) -> Option<&'a str> {
        let mut ahead = Self(self.0);
        let name = ahead.word().filter(|_| ahead.skip("="))?;
        *self = ahead;
        Some(name)
    }

    /// Items with commas between them, up to a closing token.
    pub fn list<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        while !self.skip(close) {
            if !items.is_empty() && !self.skip(",") {
                return None;
            }
            items.push(item(self)?);
        }
        Some(items)
    }
}
