//! The rule of error types: what went wrong is data, never text that somebody must parse.

use super::Finding;
use super::source::{Source, words};

/// Types that hold text of any form.
const TEXTS: &[&str] = &["String", "Box<str>", "Rc<str>", "Arc<str>", "Cow<"];

/// Public error types of the libraries; a program may word its errors as it likes.
pub(super) fn check(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let library = source.path.starts_with("crates/") && source.path.contains("/src/");
    if !library || source.path.starts_with("crates/bifolio-cli/") {
        return;
    }
    let code = source.code();
    for kind in ["struct", "enum"] {
        for at in words(&code, kind) {
            let after = code[at + kind.len()..].trim_start();
            let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
            let error = name.contains("Error") || name.contains("Fault");
            if !error || !code[..at].trim_end().ends_with("pub") {
                continue;
            }
            let body = body(after);
            if let Some(text) = TEXTS.iter().find(|text| holds(body, text)) {
                let line = 1 + code[..at].matches('\n').count();
                let advice = format!("`{name}` holds `{text}`: say what it says by types");
                findings.push(Finding::new(source.path, line, "error-text", advice));
            }
        }
    }
}

/// The fields or variants that follow a type's name.
fn body(after: &str) -> &str {
    let mut depth = 0_usize;
    for (at, character) in after.char_indices() {
        match character {
            '{' | '(' => depth += 1,
            '}' | ')' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return &after[..at],
            _ => {}
        }
        if depth == 0 && character == '}' {
            return &after[..at];
        }
    }
    after
}

fn holds(body: &str, text: &str) -> bool {
    body.match_indices(text).any(|(at, _)| {
        let before = body[..at].chars().next_back();
        let after = body[at + text.len()..].chars().next();
        let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part_of_word(before) && (text.ends_with(['<', '>']) || !part_of_word(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&Source::new(path, text), &mut findings);
        findings.iter().map(|f| format!("{}:{}", f.rule, f.line)).collect()
    }

    #[test]
    fn text_in_a_public_error_is_found() {
        let path = "crates/bifolio-map/src/error.rs";
        assert_eq!(found(path, "\npub struct Error {\n    why: String,\n}"), ["error-text:2"]);
        assert_eq!(found(path, "pub struct ReadError(Box<str>);"), ["error-text:1"]);
        assert_eq!(
            found(path, "pub enum ErrorKind { A, B { why: Cow<'static, str> } }"),
            ["error-text:1"]
        );
    }

    #[test]
    fn data_in_an_error_and_text_elsewhere_is_not() {
        let path = "crates/bifolio-map/src/error.rs";
        assert_eq!(
            found(path, "pub struct Error { path: PathBuf, os: OsString } // String"),
            [""; 0]
        );
        assert_eq!(found(path, "pub struct Error;\npub struct Name(String);"), [""; 0]);
        assert_eq!(found(path, "struct ParseError(String);"), [""; 0]);
        assert_eq!(found(path, "pub enum ErrorKind { A }\nfn f() -> String {}"), [""; 0]);
        assert_eq!(found("crates/bifolio-cli/src/a.rs", "pub struct Error(String);"), [""; 0]);
        assert_eq!(found("crates/bifolio-map/tests/a.rs", "pub struct Error(String);"), [""; 0]);
    }
}
