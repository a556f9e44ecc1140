//! The rule of documents: every path they name exists.
//!
//! A path is what stands in backticks, outside of fenced blocks, and either begins with a directory
//! of the repository's root or ends as its sources do; and the target of every relative link. A
//! path may leave out its beginning, as `tidy/docs.rs` does here.

use std::collections::HashSet;

use super::{Finding, TextFile};

const EXTENSIONS: &[&str] = &["rs", "md", "s", "toml"];

/// All documents against all files.
pub(super) fn check(files: &[TextFile], findings: &mut Vec<Finding>) {
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let known = Known::new(&paths);
    for file in files.iter().filter(|file| file.is("md")) {
        let mut fenced = false;
        for (index, line) in file.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                check_line(&known, &file.path, index + 1, line, findings);
            }
        }
    }
}

fn check_line(
    known: &Known<'_>,
    document: &str,
    line: usize,
    text: &str,
    findings: &mut Vec<Finding>,
) {
    for span in text.split('`').skip(1).step_by(2) {
        // `path:12` points at a line.
        let path = span.split(':').next().unwrap_or_default().trim_end_matches('/');
        if known.looks_like_path(path) && !known.has(path) {
            let advice = format!("`{path}` is not a file or directory of the repository");
            findings.push(Finding::new(document, line, "path", advice));
        }
    }
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for target in targets {
        let path = target.split('#').next().unwrap_or_default().trim_end_matches('/');
        let elsewhere = path.is_empty() || target.contains("://") || target.starts_with("mailto:");
        if !elsewhere && !known.has_from(document, path) {
            let advice = format!("the link's target `{target}` does not exist");
            findings.push(Finding::new(document, line, "link", advice));
        }
    }
}

/// Every file and directory, and the names of those at the root.
struct Known<'a> {
    all: HashSet<&'a str>,
    top: HashSet<&'a str>,
}

impl<'a> Known<'a> {
    fn new(paths: &[&'a str]) -> Self {
        let ends = |path: &'a str| path.match_indices('/').map(move |(at, _)| &path[..at]);
        let directories = paths.iter().flat_map(|path| ends(path));
        let top = paths.iter().filter_map(|path| path.split_once('/')).map(|(first, _)| first);
        Self { all: paths.iter().copied().chain(directories).collect(), top: top.collect() }
    }

    fn looks_like_path(&self, text: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if !text.chars().all(plain) || text.starts_with(['/', '-']) {
            return false;
        }
        let below_top = text.split_once('/').is_some_and(|(first, _)| self.top.contains(first));
        let ending = text.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
        below_top || ending.is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
    }

    fn has(&self, path: &str) -> bool {
        let tail = format!("/{path}");
        self.all.contains(path) || self.all.iter().any(|known| known.ends_with(&tail))
    }

    /// Whether a path exists as seen from the directory of a document.
    fn has_from(&self, document: &str, path: &str) -> bool {
        let mut parts: Vec<&str> = document.split('/').collect();
        parts.pop();
        for part in path.split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                name => parts.push(name),
            }
        }
        self.all.contains(parts.join("/").as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let files = [
            file("docs/map.md", text),
            file("README.md", ""),
            file("crates/bifolio-sys/src/guard/mod.rs", ""),
        ];
        let mut findings = Vec::new();
        check(&files, &mut findings);
        rules(&findings)
    }

    #[test]
    fn paths_that_exist_pass() {
        assert_eq!(
            found("`crates/bifolio-sys/src/guard/mod.rs` `guard/mod.rs:12` `README.md`"),
            [""; 0]
        );
        assert_eq!(found("`crates/` and `crates/bifolio-sys`"), [""; 0]);
        assert_eq!(
            found("[a](../README.md#top) [b](map.md) [c](#d) [e](https://x.y/z.md)"),
            [""; 0]
        );
    }

    #[test]
    fn paths_that_do_not_exist_fail() {
        assert_eq!(found("`crates/bifolio-sys/src/guard.rs`"), ["path"]);
        assert_eq!(found("`guard/other.rs`, `GUIDE.md`"), ["path", "path"]);
        assert_eq!(found("`uard/mod.rs`"), ["path"]);
        assert_eq!(found("`docs/nothing`"), ["path"]);
        assert_eq!(found("[a](README.md)"), ["link"]);
    }

    #[test]
    fn what_is_not_a_path_of_the_repository_is_left_alone() {
        assert_eq!(
            found("`/proc/self/maps` `bifolio_sys::guard` `a.bin` `x/y` `fs::open` `-o/x.rs`"),
            [""; 0]
        );
        assert_eq!(found("```\n`crates/none.rs`\n```"), [""; 0]);
        assert_eq!(found("```\nx\n```\n`crates/none.rs`"), ["path"]);
    }
}
