//! Rules of a file's form: its header, its size, its characters, and what `lib.rs` may hold.

use std::collections::HashMap;

use super::source::{Source, words};
use super::{Finding, TextFile};
use crate::alone::NO_STD_CRATES;

const FILE_LINES_MAX: usize = 500;
const LIB_LINES_MAX: usize = 150;
const WIDTH_CHARS_MAX: usize = 100;

/// A file that is over a limit, and by how much: the list and its numbers may only shrink.
struct Exception {
    path: &'static str,
    rule: &'static str,
    measured: usize,
}

const EXCEPTIONS: &[Exception] = &[];

/// What can be said of one file alone.
pub(super) fn check_source(source: &Source<'_>, findings: &mut Vec<Finding>) {
    if source.header().first().is_none_or(|title| title.is_empty()) {
        let advice = "open the file with `//!`: what it is, its invariants, what it does not do";
        findings.push(Finding::new(source.path, 1, "header", advice));
    }
    for (index, line) in source.text.lines().enumerate() {
        if !line.is_ascii() {
            let advice = "code is ASCII: write the character as \\u{...}";
            findings.push(Finding::new(source.path, index + 1, "ascii", advice));
        }
    }
    if let Some(member) = source.path.strip_prefix("crates/") {
        if member.ends_with("/src/lib.rs") {
            check_lib(source, findings);
        }
        let name = member.split('/').next().unwrap_or_default();
        if NO_STD_CRATES.contains(&name) && member.contains("/src/") {
            check_no_std(source, findings);
        }
    }
}

/// No two files open with the same line: a copied header tells of the file it was copied from.
pub(super) fn check_headers(sources: &[Source<'_>], findings: &mut Vec<Finding>) {
    let mut first: HashMap<&str, &str> = HashMap::new();
    for source in sources {
        let Some(&title) = source.header().first() else { continue };
        if let Some(other) = first.insert(title, source.path) {
            let advice = format!("say what sets this file apart: {other} has the same first line");
            findings.push(Finding::new(source.path, 1, "header-unique", advice));
        }
    }
}

/// Lines and width of all code, assembly included.
pub(super) fn check_sizes(files: &[TextFile], findings: &mut Vec<Finding>) {
    check_sizes_against(EXCEPTIONS, files, findings);
}

fn check_sizes_against(list: &[Exception], files: &[TextFile], findings: &mut Vec<Finding>) {
    for file in files.iter().filter(|file| file.is("rs") || file.is("s")) {
        let mut measure = |rule, line, measured, limit| {
            if let Some(advice) = ratchet(list, &file.path, rule, measured, limit) {
                findings.push(Finding::new(&file.path, line, rule, advice));
            }
        };
        measure("lines", 1, file.text.lines().count(), FILE_LINES_MAX);
        let widths = file.text.lines().map(|line| line.chars().count());
        let mut widths: Vec<(usize, usize)> = widths.enumerate().collect();
        if list.iter().any(|entry| entry.path == file.path && entry.rule == "width") {
            // What was excepted is the widest line, whichever that is.
            widths = widths.into_iter().max_by_key(|(_, width)| *width).into_iter().collect();
        }
        for (index, width) in widths {
            measure("width", index + 1, width, WIDTH_CHARS_MAX);
        }
    }
    for gone in list.iter().filter(|entry| !files.iter().any(|file| file.path == entry.path)) {
        let advice = "the file is gone: delete its entry in EXCEPTIONS";
        findings.push(Finding::new(gone.path, 1, gone.rule, advice));
    }
}

/// What to do about a measure, if anything.
fn ratchet(
    list: &[Exception],
    path: &str,
    rule: &str,
    measured: usize,
    limit: usize,
) -> Option<String> {
    let entry = list.iter().find(|entry| entry.path == path && entry.rule == rule);
    match entry.map(|entry| entry.measured) {
        None if measured > limit => Some(format!("{measured} is over {limit}: break it up")),
        Some(_) if measured <= limit => {
            Some(format!("within {limit} again: delete its entry in EXCEPTIONS"))
        }
        Some(known) if measured > known => {
            Some(format!("{measured} is over {known}, the exception made for it: break it up"))
        }
        Some(known) if measured < known => {
            Some(format!("lower its entry in EXCEPTIONS from {known} to {measured}"))
        }
        _ => None,
    }
}

/// `lib.rs` holds documentation, attributes, modules and explicit re-exports.
fn check_lib(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let lines = source.text.lines().count();
    if lines > LIB_LINES_MAX {
        let advice = format!("{lines} lines are over {LIB_LINES_MAX}: move them to a module");
        findings.push(Finding::new(source.path, 1, "lib", advice));
    }
    let code = without_attributes(&source.code());
    let mut start = 0;
    for statement in code.split(';') {
        let blank = statement.len() - statement.trim_start().len();
        let line = 1 + code[..start + blank].matches('\n').count();
        start += statement.len() + 1;
        if let Some(advice) = lib_advice(statement.trim()) {
            findings.push(Finding::new(source.path, line, "lib", advice));
        }
    }
}

/// What is wrong with one statement of `lib.rs`.
fn lib_advice(statement: &str) -> Option<&'static str> {
    let public = statement.strip_prefix("pub").unwrap_or(statement).trim_start();
    let bare = match public.strip_prefix('(').and_then(|scope| scope.split_once(')')) {
        Some((_, rest)) => rest.trim_start(),
        None => public,
    };
    if bare.starts_with("use ") {
        return bare.contains('*').then_some("name what is re-exported, instead of `*`");
    }
    let plain =
        ["mod ", "extern crate ", "compile_error!"].iter().any(|kind| bare.starts_with(kind));
    if statement.is_empty() || plain && !bare.contains('{') {
        return None;
    }
    Some("keep lib.rs to documentation, attributes, `mod` and `pub use`: move this to a module")
}

/// The same lines with attributes blanked.
fn without_attributes(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(start) = code.find("#[").or_else(|| code.find("#![")) {
        let mut depth = 0_usize;
        let closing = code[start..].find(|character| {
            match character {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            character == ']' && depth == 0
        });
        let end = closing.map_or(code.len(), |length| start + length + 1);
        let line_breaks = "\n".repeat(code[start..end].matches('\n').count());
        code.replace_range(start..end, &line_breaks);
    }
    code
}

/// A `no_std` crate says so without a condition, and takes std or alloc under a condition only.
fn check_no_std(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let rule = "no-std";
    let code = source.code();
    if source.path.ends_with("/src/lib.rs") && !code.lines().any(|line| line == "#![no_std]") {
        let advice = "this crate is no_std: say `#![no_std]`, without a condition";
        findings.push(Finding::new(source.path, 1, rule, advice));
    }
    let raw: Vec<&str> = source.text.lines().collect();
    for (number, line) in source.numbered() {
        let taken = words(&line.code, "crate").any(|at| {
            let (before, after) = line.code.split_at(at);
            let name = after["crate".len()..].trim_start();
            before.ends_with("extern ") && (name.starts_with("std") || name.starts_with("alloc"))
        });
        // Within a module, the condition is the module's.
        let nested = line.code.starts_with(' ');
        let mut earlier = raw[..number - 1].iter().rev();
        let above = match nested {
            true => earlier.find(|line| line.starts_with("#[cfg(")),
            false => earlier.next(),
        };
        let above = above.copied().unwrap_or_default();
        let conditions = ["feature = \"std\"", "test", "loom"];
        let conditional = above.starts_with("#[cfg(")
            && conditions.iter().any(|condition| above.contains(condition));
        if taken && !conditional {
            let advice = "put `#[cfg(feature = \"std\")]` or `#[cfg(test)]` on the line above";
            findings.push(Finding::new(source.path, number, rule, advice));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::*;

    fn check(path: &str, text: &str) -> Vec<&'static str> {
        let mut findings = Vec::new();
        check_source(&Source::new(path, text), &mut findings);
        rules(&findings)
    }

    fn lib(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check_source(&Source::new("crates/bifolio/src/lib.rs", text), &mut findings);
        findings.iter().map(|f| format!("{}:{}", f.rule, f.line)).collect()
    }

    fn sizes(list: &[Exception], path: &str, text: String) -> Vec<String> {
        let mut findings = Vec::new();
        check_sizes_against(list, &[TextFile { path: path.into(), text }], &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_opens_with_its_header() {
        assert_eq!(check("a.rs", "//! What it is.\nfn f() {}"), [""; 0]);
        assert_eq!(check("a.rs", "fn f() {}"), ["header"]);
        assert_eq!(check("a.rs", "\n//! Late."), ["header"]);
        assert_eq!(check("a.rs", "//!\nfn f() {}"), ["header"]);
    }

    #[test]
    fn headers_differ() {
        let [a, b, c] = ["//! One.", "//! Two.", "//! One.\n//! More."];
        let sources = [Source::new("a.rs", a), Source::new("b.rs", b), Source::new("c.rs", c)];
        let mut findings = Vec::new();
        check_headers(&sources, &mut findings);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].to_string().starts_with("c.rs:1: header-unique: "));
        assert!(findings[0].advice.contains("a.rs"));
    }

    #[test]
    fn code_is_ascii() {
        assert_eq!(check("a.rs", "//! A.\nconst BAR: char = '\\u{2502}';"), [""; 0]);
        assert_eq!(check("a.rs", "//! A.\nconst BAR: char = '\u{2502}';"), ["ascii"]);
    }

    #[test]
    fn lib_holds_modules_and_explicit_exports() {
        let good = "//! A.\n#![no_std]\n#![doc = \"fn f() {}\"]\n\nmod a;\n#[cfg(test)]\nmod b;\n\
                    extern crate std;\npub(crate) mod c;\npub use a::{\n    X, Y,\n};\n\
                    #[cfg(not(target_os = \"linux\"))]\ncompile_error!(\"Linux only\");\n";
        assert_eq!(lib(good), [""; 0]);
        assert_eq!(lib("//! A.\npub use a::*;"), ["lib:2"]);
        assert_eq!(lib("//! A.\nmod a;\n\n#[inline]\npub fn f() { g(); }"), ["lib:5", "lib:5"]);
        assert_eq!(lib("//! A.\nmod a { }"), ["lib:2"]);
        assert_eq!(lib("//! A.\npub struct S;"), ["lib:2"]);
        assert_eq!(lib(&"//! A.\n".repeat(150)), [""; 0]);
        assert_eq!(lib(&"//! A.\n".repeat(151)), ["lib:1"]);
    }

    #[test]
    fn no_std_is_unconditional_and_std_conditional() {
        let path = "crates/bifolio-map/src/lib.rs";
        let good = "//! A.\n#![no_std]\n#[cfg(feature = \"std\")]\nextern crate std;";
        assert_eq!(check(path, good), [""; 0]);
        assert_eq!(check(path, "//! A.\n#![cfg_attr(not(test), no_std)]"), ["no-std"]);
        assert_eq!(check(path, "//! A.\n#![no_std]\nextern crate alloc;"), ["no-std"]);
        let linux = "//! A.\n#![no_std]\n#[cfg(target_os = \"linux\")]\nextern crate std;";
        assert_eq!(check(path, linux), ["no-std"]);
        let module = "mod m {\n    //! M.\n    extern crate std;\n}";
        let path = "crates/bifolio-map/src/a.rs";
        assert_eq!(check(path, &format!("//! A.\n#[cfg(test)]\n{module}")), [""; 0]);
        assert_eq!(check(path, &format!("//! A.\n{module}")), ["no-std"]);
        assert_eq!(check("crates/bifolio-map/src/a.rs", "//! A.\nextern crate std;"), ["no-std"]);
        assert_eq!(check("crates/bifolio/src/lib.rs", "//! A.\nextern crate std;"), [""; 0]);
    }

    #[test]
    fn sizes_have_limits() {
        assert_eq!(sizes(&[], "a.rs", "x\n".repeat(500)), [""; 0]);
        assert!(sizes(&[], "a.rs", "x\n".repeat(501))[0].starts_with("a.rs:1: lines: 501 is over"));
        assert_eq!(sizes(&[], "a.s", "x".repeat(100)), [""; 0]);
        let wide = format!("x\n{0}\n{0}", "x".repeat(101));
        assert_eq!(sizes(&[], "a.rs", wide.clone()).len(), 2);
        assert!(sizes(&[], "a.s", wide.clone())[0].starts_with("a.s:2: width: 101 is over 100"));
        assert_eq!(sizes(&[], "a.md", wide), [""; 0]);
    }

    #[test]
    fn exceptions_only_shrink() {
        let list = [Exception { path: "a.rs", rule: "lines", measured: 510 }];
        assert_eq!(sizes(&list, "a.rs", "x\n".repeat(510)), [""; 0]);
        assert!(sizes(&list, "a.rs", "x\n".repeat(511))[0].contains("511 is over 510"));
        assert!(sizes(&list, "a.rs", "x\n".repeat(509))[0].contains("from 510 to 509"));
        assert!(sizes(&list, "a.rs", "x\n".repeat(500))[0].contains("delete its entry"));
        assert!(sizes(&list, "b.rs", "x\n".into())[0].contains("the file is gone"));
        let wide = format!("{}\n{}", "x".repeat(105), "x".repeat(110));
        let list = |measured| [Exception { path: "a.rs", rule: "width", measured }];
        assert_eq!(sizes(&list(110), "a.rs", wide.clone()), [""; 0]);
        assert!(sizes(&list(109), "a.rs", wide.clone())[0].starts_with("a.rs:2: width: 110 is"));
        assert!(sizes(&list(111), "a.rs", wide)[0].contains("from 111 to 110"));
    }
}
