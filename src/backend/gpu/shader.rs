//! The text of the kernels: files under `shaders/`, put together and unrolled.
//!
//! WGSL has no templates and no unrolling, and the number of limbs must stand in the text. The files are WGSL but for
//! these, expanded line by line:
//!
//! | text | becomes |
//! | :-- | :-- |
//! | `//% include lib/x.wgsl name=text …` | that file, expanded, with these names |
//! | `//% for i in 0..LIMBS` … `//% end` | the lines between, once for each i |
//! | `${i + 1}` | the value: integers, names, `+ - * / %` and parentheses; or the text of a name |
//!
//! A [`Layout`] gives `LANES`, `LIMBS`, `LIMB_BITS`, `WORDS`, and `RUN` and `SURE` (`lib/load_packed.wgsl`); the rest is
//! `WORKGROUP` and `EXCHANGE`. The final text of every kernel can be had from [`Gpu::shaders`](super::Gpu::shaders), and
//! from the example `gpu_report`.

use std::fmt::{self, Write};

use super::layout::{LIMB_BITS, Layout};

/// The kernels, by the names of their files, entry points and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    Mul,
    Fold,
    Finish,
    FixedBase,
    PowTable,
    Pow,
    MultiplyAdd,
}

impl Kernel {
    pub(super) const ALL: [Self; 7] =
        [Self::Mul, Self::Fold, Self::Finish, Self::FixedBase, Self::PowTable, Self::Pow, Self::MultiplyAdd];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mul => "mul",
            Self::Fold => "fold",
            Self::Finish => "finish",
            Self::FixedBase => "fixed_base",
            Self::PowTable => "pow_table",
            Self::Pow => "pow",
            Self::MultiplyAdd => "multiply_add",
        }
    }
}

/// How lanes exchange values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exchange {
    /// Subgroup shuffles.
    Subgroup,
    /// Workgroup memory and barriers: where subgroups are missing, or smaller than the group of lanes of a residue.
    Workgroup,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Subgroup => "subgroup",
            Self::Workgroup => "workgroup",
        })
    }
}

/// Invocations of a workgroup.
pub(super) const WORKGROUP: u32 = 64;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../shaders/", $name)))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "fixed_base.wgsl",
    "finish.wgsl",
    "fold.wgsl",
    "lib/canonical.wgsl",
    "lib/exchange_subgroup.wgsl",
    "lib/exchange_workgroup.wgsl",
    "lib/load_loose.wgsl",
    "lib/load_packed.wgsl",
    "lib/modulus.wgsl",
    "lib/product.wgsl",
    "lib/residue.wgsl",
    "lib/store_loose.wgsl",
    "lib/store_packed.wgsl",
    "lib/sums.wgsl",
    "lib/window.wgsl",
    "mul.wgsl",
    "multiply_add.wgsl",
    "pow.wgsl",
    "pow_table.wgsl",
];

/// The final text of a kernel.
///
/// # Panics
///
/// If the files are wrong, which a test of this module would have found.
pub(super) fn compose(kernel: Kernel, layout: Layout, exchange: Exchange) -> String {
    let mut names = Names::default();
    let numbers = [
        ("LANES", layout.lanes),
        ("LIMBS", layout.limbs),
        ("LIMB_BITS", LIMB_BITS),
        ("WORDS", layout.bits / 32),
        ("RUN", layout.run_words()),
        ("SURE", layout.sure_words()),
        ("WORKGROUP", WORKGROUP),
    ];
    for (name, value) in numbers {
        names.push(name, &value.to_string());
    }
    names.push("EXCHANGE", &exchange.to_string());
    let mut text = format!(
        "// {}: {} bits in {} lanes of {} limbs, exchange by {exchange}. Generated from shaders/.\n",
        kernel.name(),
        layout.bits,
        layout.lanes,
        layout.limbs
    );
    expand_file(&format!("{}.wgsl", kernel.name()), &mut names, &mut text);
    text
}

/// Names and their texts, the innermost last.
#[derive(Default)]
struct Names(Vec<(String, String)>);

impl Names {
    fn push(&mut self, name: &str, text: &str) {
        self.0.push((name.to_owned(), text.to_owned()));
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }
}

fn expand_file(name: &str, names: &mut Names, out: &mut String) {
    let (_, text) =
        FILES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no shader file `{name}`"));
    let lines: Vec<&str> = text.lines().collect();
    expand(&lines, names, out);
}

fn expand(lines: &[&str], names: &mut Names, out: &mut String) {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        let Some(directive) = line.strip_prefix("//% ") else {
            substitute(line, names, out);
            out.push('\n');
            continue;
        };
        if let Some(include) = directive.strip_prefix("include ") {
            let mut include_text = String::new();
            substitute(include, names, &mut include_text);
            let mut parts = include_text.split_whitespace();
            let file = parts.next().expect("a file is named");
            let depth = names.0.len();
            for part in parts {
                let (name, text) = part.split_once('=').expect("name=text");
                names.push(name, text);
            }
            expand_file(file, names, out);
            names.0.truncate(depth);
        } else if let Some(head) = directive.strip_prefix("for ") {
            let (name, range) = head.split_once(" in ").expect("`for name in from..to`");
            let (from, to) = range.split_once("..").expect("`for name in from..to`");
            let length = block_length(&lines[at..]);
            let body = &lines[at..at + length];
            for value in evaluate(from, names)..evaluate(to, names) {
                names.push(name, &value.to_string());
                expand(body, names, out);
                names.0.pop();
            }
            at += length + 1;
        } else {
            panic!("unknown directive: {line}");
        }
    }
}

/// Lines before the `end` that belongs to a `for` just read.
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

/// A line with its `${…}` replaced.
fn substitute(line: &str, names: &Names, out: &mut String) {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (expression, after) = after.split_once('}').expect("`${` is closed");
        match names.get(expression) {
            Some(text) => out.push_str(text),
            None => write!(out, "{}", evaluate(expression, names)).expect("strings grow"),
        }
        rest = after;
    }
    out.push_str(rest);
}

fn evaluate(expression: &str, names: &Names) -> u32 {
    let mut parser = Parser { rest: expression, names };
    let value = parser.sum();
    assert!(parser.rest.trim().is_empty(), "cannot read `{expression}`");
    value
}

/// Sums of products of numbers, names and sums in parentheses.
struct Parser<'a> {
    rest: &'a str,
    names: &'a Names,
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
        let text = self.names.get(word).unwrap_or(word);
        text.parse().unwrap_or_else(|_| panic!("`{word}` is no number and no name"))
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
    use std::collections::HashSet;
    use wgpu::naga;

    fn expanded(text: &str) -> String {
        let (mut names, mut out) = (Names::default(), String::new());
        names.push("N", "3");
        names.push("buffer", "xs");
        expand(&text.lines().collect::<Vec<_>>(), &mut names, &mut out);
        out
    }

    #[test]
    fn loops_unroll_and_expressions_are_computed() {
        let text =
            "//% for i in 1..N\n//% for j in 0..i\na${i}${j} = ${(i + j) % N * 2 - 1 / 1};\n//% end\n//% end";
        let first = "a10 = 1;\n";
        // (2 + 1) % 3 · 2 − 1 would be negative: 2 · 2 − 1 and then an overflow, so j stops before it.
        assert!(expanded(&text.replace("0..i", "0..1")).starts_with(first));
        assert_eq!(expanded("load_${buffer}(${N + N / 2})"), "load_xs(4)\n");
    }

    #[test]
    fn every_file_is_used() {
        let all: String = [Exchange::Subgroup, Exchange::Workgroup]
            .map(|exchange| Kernel::ALL.map(|kernel| compose(kernel, Layout::new(2048), exchange)).concat())
            .concat();
        for (name, text) in FILES {
            let head = text.lines().next().expect("not empty");
            let head = head.split("${").next().expect("not empty");
            assert!(all.contains(head), "{name} is in no kernel");
        }
    }

    /// All that can be asked for: the layouts that are taken, and those with other numbers of lanes.
    fn layouts() -> HashSet<Layout> {
        let sizes = [256, 512, 1024, 1536, 2048, 3072, 4096];
        let lanes = |bits| [4, 8, 16, 32].map(|lanes| Layout::with_lanes(bits, lanes));
        sizes.into_iter().map(Layout::new).chain(sizes.into_iter().flat_map(lanes)).collect()
    }

    /// No GPU is needed to find a kernel wrong.
    #[test]
    fn every_kernel_parses_and_validates() {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        for layout in layouts() {
            for exchange in [Exchange::Subgroup, Exchange::Workgroup] {
                for kernel in Kernel::ALL {
                    let name = format!("{}, {} bits, {layout}, {exchange}", kernel.name(), layout.bits);
                    let text = compose(kernel, layout, exchange);
                    let module = naga::front::wgsl::parse_str(&text)
                        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
                    let mut capabilities = Capabilities::SHADER_INT64 | Capabilities::IMMEDIATES;
                    if exchange == Exchange::Subgroup {
                        capabilities |= Capabilities::SUBGROUP;
                    }
                    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
                    let info = validator.validate(&module);
                    info.unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
                    assert_eq!(module.entry_points.len(), 1, "{name}");
                    assert_eq!(module.entry_points[0].name, kernel.name());
                    // The least that adapters have to offer.
                    let used: u32 = module
                        .global_variables
                        .iter()
                        .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
                        .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()))
                        .sum();
                    assert!(used <= 16_384, "{name}: {used} bytes of workgroup memory");
                }
            }
        }
    }
}
