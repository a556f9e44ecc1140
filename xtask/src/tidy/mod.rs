//! The rules of layout and wording that a program can check.
//!
//! A rule is a function from text to findings, tested on good and bad samples; this file gives the
//! rules the files of the repository and prints `path:line: rule: what to do`. What clippy or rustc
//! can deny is denied there.

mod docs;
mod edges;
mod errors;
mod layout;
mod source;
mod unsafety;
mod wording;

use std::fmt;
use std::path::Path;

use crate::workspace::Workspace;
use source::Source;

/// One broken rule, and what to do about it.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    advice: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, advice: impl Into<String>) -> Self {
        Self { path: path.into(), line, rule, advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.advice)
    }
}

/// A text file of the repository.
pub(crate) struct TextFile {
    path: String,
    text: String,
}

impl TextFile {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }
}

/// The step `tidy`.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let files = text_files(workspace)?;
    let mut findings = check(&files);
    let asked = edges::check(workspace, &files, &mut findings);
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings.iter().for_each(|finding| println!("{finding}"));
    // What cargo could not answer comes after what the files say by themselves.
    asked?;
    match findings.len() {
        0 => Ok(()),
        count => Err(format!("{count} to repair in {} files", files.len())),
    }
}

/// Every rule that needs nothing but the text of the files.
fn check(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rust = files.iter().filter(|file| file.is("rs"));
    let sources: Vec<Source<'_>> = rust.map(|file| Source::new(&file.path, &file.text)).collect();
    for source in &sources {
        layout::check_source(source, &mut findings);
        unsafety::check(source, &mut findings);
        wording::check_comments(source, &mut findings);
        errors::check(source, &mut findings);
    }
    layout::check_headers(&sources, &mut findings);
    layout::check_sizes(files, &mut findings);
    wording::check_files(files, &mut findings);
    docs::check(files, &mut findings);
    findings
}

/// The files that git tracks, and those it would if they were added; those that are text.
fn text_files(workspace: &Workspace) -> Result<Vec<TextFile>, String> {
    let listing = workspace.git_output("ls-files -z --cached --others --exclude-standard")?;
    let mut files = Vec::new();
    for path in listing.split_terminator('\0') {
        let place = workspace.root().join(path);
        // A link's target is read in its own place.
        if place.is_symlink() {
            continue;
        }
        // A file that was deleted and not yet committed is still listed.
        let Ok(bytes) = std::fs::read(place) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(TextFile { path: path.into(), text });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that a sample breaks, in the order found.
    pub(super) fn rules(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_finding_is_printed_as_editors_read_it() {
        let finding = Finding::new("crates/a.rs", 7, "width", "break the line");
        assert_eq!(finding.to_string(), "crates/a.rs:7: width: break the line");
    }

    #[test]
    fn every_rule_sees_the_files() {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let files = [
            file("crates/bifolio-sys/src/a.rs", "//! A.\nfn f() { todo!() }"),
            file("crates/bifolio-sys/src/b.rs", "//! B.\nfn f() { unsafe { g() } } // trust me"),
            file("crates/bifolio-sys/src/c.rs", "//! B.\npub struct AError { why: String }"),
            file("crates/bifolio-sys/src/lib.rs", "//! Lib.\n#![no_std]\nfn f() {}"),
            file("docs/a.md", "See `crates/bifolio-sys/src/d.rs`."),
        ];
        let mut found = rules(&check(&files));
        found.sort_unstable();
        let expected = [
            "banned-word",
            "error-text",
            "filler",
            "header-unique",
            "lib",
            "path",
            "unsafe",
            "unsafe",
        ];
        assert_eq!(found, expected);
    }
}
