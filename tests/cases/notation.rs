//! Parts of short notations: types and expressions.

/// The characters outside brackets, with their indices. An opening bracket is one of them.
pub fn outside(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut depth = 0;
    text.char_indices().filter(move |(_, c)| {
        depth -= i32::from(">])".contains(*c));
        let is_outside = depth == 0;
        depth += i32::from("<[(".contains(*c));
        is_outside
    })
}

/// The parts between separators outside brackets, without white space around them.
pub fn split(text: &str, separator: char) -> Vec<&str> {
    let mut start = 0;
    let ends = outside(text).filter(|(_, c)| *c == separator).map(|(end, _)| end).chain([text.len()]);
    ends.map(|end| text[core::mem::replace(&mut start, end + 1)..end].trim()).collect()
}
