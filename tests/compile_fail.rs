//! Each case in `compile_fail` must fail to compile, with exactly the errors that its comments
//! announce. `pass/` holds corrected versions, which compile and run.
//!
//! `//~ E0277: is not an integer` announces an error on its line: the code, and after a colon a part
//! of the message. `ERROR` stands for an error without a code. A comment alone on its line is about
//! the line of code above it. Compilers change their wording, so the part of the message is a name, or
//! text of this crate, such as that of `on_unimplemented`.

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

use rayon::prelude::*;
use serde_json::Value;

#[path = "compile_fail/pass"]
mod pass {
    pub(crate) mod floats_and_integers;
    pub(crate) mod one_key_size;
    pub(crate) mod placed_values;
    pub(crate) mod values_that_meet;
}

/// An error that a comment announces, or that the compiler reports.
struct CompileError {
    /// 0 for an error outside the case.
    line: u64,
    code: String,
    /// Of an announced error: a part of it.
    message: String,
}

impl CompileError {
    fn new(line: u64, code: &str, message: &str) -> Self {
        Self { line, code: code.trim().to_owned(), message: message.trim().to_owned() }
    }

    fn announces(&self, reported: &Self) -> bool {
        self.line == reported.line && self.code == reported.code && reported.message.contains(&self.message)
    }
}

fn announced(source: &str) -> Vec<CompileError> {
    let mut line_of_code = 0;
    let mut errors = Vec::new();
    for (number, line) in (1..).zip(source.lines()) {
        let (code, comment) = line.split_once("//~").unzip();
        if !code.unwrap_or(line).trim().is_empty() {
            line_of_code = number;
        }
        if let Some(comment) = comment {
            let (code, message) = comment.split_once(':').unwrap_or((comment, ""));
            errors.push(CompileError::new(line_of_code, code, message));
        }
    }
    errors
}

fn reported(case: &str, library: &[String]) -> Vec<CompileError> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "--error-format", "json", "--emit", "metadata"]);
    rustc.args(["--out-dir", env!("CARGO_TARGET_TMPDIR")]).args(library).arg(case);
    let output = rustc.output().expect("rustc runs");
    let text = String::from_utf8(output.stderr).expect("rustc writes UTF-8");
    let mut errors = Vec::new();
    for line in text.lines() {
        let diagnostic: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{case}: {text}"));
        let spans = diagnostic["spans"].as_array().expect("a list of places");
        // The last message only counts the errors: it has neither a code nor a place.
        let count = diagnostic["code"].is_null() && spans.is_empty();
        if diagnostic["level"] == "error" && !count {
            let place = spans.iter().find(|span| span["is_primary"] == true && span["file_name"] == case);
            let line = place.map_or(0, |span| span["line_start"].as_u64().expect("a number"));
            let code = diagnostic["code"]["code"].as_str().unwrap_or("ERROR");
            errors.push(CompileError::new(line, code, diagnostic["message"].as_str().expect("a message")));
        }
    }
    errors
}

/// What is wrong with a case.
///
/// One comment may announce several errors: some compilers report a missing trait once, others once
/// for each of its supertraits.
fn faults(announced: &[CompileError], reported: &[CompileError]) -> Vec<String> {
    let missing = announced.iter().filter(|error| !reported.iter().any(|found| error.announces(found)));
    let unexpected = reported.iter().filter(|found| !announced.iter().any(|error| error.announces(found)));
    let none = announced.is_empty().then(|| "no error is announced".to_owned());
    let fault =
        |what, error: &CompileError| format!("line {}: {what}: {} {}", error.line, error.code, error.message);
    (missing.map(|error| fault("announced, but not reported", error)))
        .chain(unexpected.map(|error| fault("reported, but not announced", error)))
        .chain(none)
        .collect()
}

/// The arguments by which rustc finds the library and `ndarray`.
///
/// The library is only checked, which is quicker than a build. It has the features that the cases
/// need, not those of this test.
fn library() -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--frozen", "--package", "cipherfold", "--lib", "--features", "derive"]);
    let output = cargo.args(["--message-format", "json"]).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut arguments = BTreeSet::new();
    for line in String::from_utf8(output.stdout).expect("cargo writes UTF-8").lines() {
        let message: Value = serde_json::from_str(line).expect("JSON");
        for file in message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let folder = Path::new(file).parent().expect("a folder");
            arguments.insert(format!("-Ldependency={}", folder.display()));
            let name = message["target"]["name"].as_str().expect("a name");
            if ["cipherfold", "ndarray"].contains(&name) {
                arguments.insert(format!("--extern={name}={file}"));
            }
        }
    }
    arguments.into_iter().collect()
}

#[test]
fn misuse_does_not_compile() {
    let library = library();
    let files = fs::read_dir("tests/compile_fail").expect("the folder of the cases");
    let paths = files.map(|file| file.expect("a file").path());
    let cases = paths.filter(|path| path.extension().is_some_and(|name| name == "rs"));
    let mut cases: Vec<_> = cases.map(|path| path.to_str().expect("UTF-8").to_owned()).collect();
    assert!(!cases.is_empty());
    cases.sort();
    let check = |case: String| {
        let source = fs::read_to_string(&case).expect("text");
        let faults = faults(&announced(&source), &reported(&case, &library));
        faults.into_iter().map(move |fault| format!("{case}: {fault}"))
    };
    let faults: Vec<_> = cases.into_par_iter().flat_map_iter(check).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn an_error_must_be_announced_and_reported() {
    let source = "let a = b; //~ E0425: `b`\n\nlet c = d;\n//~ E0425\n//~ ERROR: text\n";
    let errors =
        [(1, "E0425", "no `b`"), (3, "E0425", "no `d`"), (3, "E0425", "no `d`"), (3, "ERROR", "a text")];
    let reported = errors.map(|(line, code, message)| CompileError::new(line, code, message));
    assert!(faults(&announced(source), &reported).is_empty());
    assert_eq!(faults(&announced(source), &reported[1..]).len(), 1, "no error");
    for (line, code, message) in [(2, "E0425", "no `b`"), (1, "E0308", "no `b`"), (1, "E0425", "no `a`")] {
        let mut reported = errors.map(|(line, code, message)| CompileError::new(line, code, message));
        reported[0] = CompileError::new(line, code, message);
        assert_eq!(faults(&announced(source), &reported).len(), 2, "another error");
    }
    assert_eq!(faults(&announced("let a = b;"), &reported[..1]).len(), 2, "no comment");
    assert_eq!(faults(&[], &[]).len(), 1, "a case without an error");
}

#[test]
fn the_corrected_code_compiles_and_runs() {
    pass::floats_and_integers::main().unwrap();
    pass::one_key_size::main().unwrap();
    pass::placed_values::main().unwrap();
    pass::values_that_meet::main();
}
