//! Words that must not be merged: unfinished work, and paths of somebody's own machine.

use super::source::{Source, has_word, words};
use super::{Finding, TextFile};

/// Markers of unfinished work in comments.
const MARKERS: &[&str] = &["TODO", "FIXME"];
/// Macros that stand for code not written.
const MACROS: &[&str] = &["todo", "unimplemented"];
/// Top directories under which only a developer's own files lie.
const PRIVATE_ROOTS: &[&str] = &["work", "home", "root"];

/// Unfinished work in a Rust file.
pub(super) fn check_comments(source: &Source<'_>, findings: &mut Vec<Finding>) {
    for (number, line) in source.numbered() {
        let marker = MARKERS.iter().find(|marker| has_word(&line.comment, marker));
        let unwritten = MACROS.iter().find(|name| {
            words(&line.code, name).any(|at| line.code[at + name.len()..].starts_with('!'))
        });
        if let Some(word) = marker.or(unwritten) {
            findings.push(unfinished(source.path, number, word));
        }
    }
}

/// Unfinished work in other code, and private paths in every file.
pub(super) fn check_files(files: &[TextFile], findings: &mut Vec<Finding>) {
    for file in files {
        let is_other_code = !file.is("rs") && !file.is("md");
        for (index, line) in file.text.lines().enumerate() {
            let marker = MARKERS.iter().find(|marker| has_word(line, marker));
            if let Some(word) = marker.filter(|_| is_other_code) {
                findings.push(unfinished(&file.path, index + 1, word));
            }
            if let Some(root) = PRIVATE_ROOTS.iter().find(|root| names_private_path(line, root)) {
                let advice =
                    format!("a path under the directory `{root}` exists on one machine only");
                findings.push(Finding::new(&file.path, index + 1, "private-path", advice));
            }
        }
    }
}

fn unfinished(path: &str, line: usize, word: &str) -> Finding {
    Finding::new(
        path,
        line,
        "banned-word",
        format!("finish what `{word}` stands for, or open an issue"),
    )
}

/// Whether a line names an absolute path under one of the top directories; the same name deeper
/// in a path, or after a variable, is somebody else's.
fn names_private_path(line: &str, root: &str) -> bool {
    line.match_indices(&format!("/{root}/")).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~})>".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::*;

    fn rust(text: &str) -> Vec<&'static str> {
        let mut findings = Vec::new();
        check_comments(&Source::new("a.rs", text), &mut findings);
        rules(&findings)
    }

    fn file(path: &str, text: &str) -> Vec<&'static str> {
        let mut findings = Vec::new();
        check_files(&[TextFile { path: path.into(), text: text.into() }], &mut findings);
        rules(&findings)
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_comments() {
        assert_eq!(rust("fn f() { todo!() }"), ["banned-word"]);
        assert_eq!(rust("fn f() { std::unimplemented!(\"x\") }"), ["banned-word"]);
        assert_eq!(rust("// TODO: more"), ["banned-word"]);
        assert_eq!(rust("/// FIXME(me) more"), ["banned-word"]);
        assert_eq!(rust("let todo = \"TODO\"; // the todos of MASTODON"), [""; 0]);
        assert_eq!(file("a.toml", "# TODO"), ["banned-word"]);
        assert_eq!(file("a.md", "No TODO is merged."), [""; 0]);
    }

    #[test]
    fn private_paths_are_found_in_every_file() {
        for root in PRIVATE_ROOTS {
            assert_eq!(file("a.md", &format!("see /{root}/me/x")), ["private-path"]);
            assert_eq!(file("a.rs", &format!("\"/{root}/me\"")), ["private-path"]);
            assert_eq!(file("a.rs", &format!("file:///{root}/me")), ["private-path"]);
            assert_eq!(file("a.md", &format!("crates/{root}/me, $DIR/{root}/me")), [""; 0]);
        }
        assert_eq!(file("a.md", "/tmp/x and /proc/self/maps"), [""; 0]);
    }
}
