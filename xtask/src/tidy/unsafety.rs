//! Rules of unsafe code and of memory orderings: where they may stand and what must be said.
//!
//! rustc denies unsafe code outside files that allow it, and clippy the block without a SAFETY
//! comment. Neither sees that an allowance in `mod.rs` reaches the files below it, that a comment
//! says nothing, or that a weaker ordering has no partner: that is done here.

use super::Finding;
use super::source::{Line, Source, has_word, words};

/// What stands in a SAFETY comment where no proof was written.
const FILLERS: &[&str] = &["untriaged", "always safe", "trust me", "obviously safe"];
const WEAK_ORDERINGS: &[&str] = &["Relaxed", "Acquire", "Release", "AcqRel"];

/// All rules of this file.
pub(super) fn check(source: &Source<'_>, findings: &mut Vec<Finding>) {
    check_allowance(source, findings);
    check_fillers(source, findings);
    check_orderings(source, findings);
}

/// A file uses unsafe code if and only if it says so on top.
fn check_allowance(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let mut find = |line, advice| findings.push(Finding::new(source.path, line, "unsafe", advice));
    let code = source.code();
    let used =
        source.numbered().find(|(_, line)| uses_unsafe(&line.code)).map(|(number, _)| number);
    let allowed = allowance(&code, &["#![allow(", "#![expect("]);
    if let Some(line) = allowance(&code, &["#[allow(", "#[expect("]) {
        find(line, "allow unsafe code for the file, under its `# Safety` header");
    }
    match (used, allowed) {
        (None, Some(line)) => find(line, "nothing here is unsafe: drop the allowance"),
        (Some(line), None) => find(line, "say `#![allow(unsafe_code, reason = ...)]` on top"),
        _ => {}
    }
    if let Some(line) = used
        && !source.header().contains(&"# Safety")
    {
        find(line, "add `# Safety` to the header: why unsafe is needed, what makes it sound");
    }
}

/// The line of the first attribute of these that names unsafe code.
fn allowance(code: &str, attributes: &[&str]) -> Option<usize> {
    let places = attributes.iter().flat_map(|attribute| code.match_indices(attribute));
    let named = places.filter(|(at, _)| {
        let lints = code[*at..].split(']').next().unwrap_or_default();
        has_word(lints, "unsafe_code")
    });
    named.map(|(at, _)| 1 + code[..at].matches('\n').count()).min()
}

/// Whether a line uses unsafe code; the type of a pointer to an unsafe function does not.
fn uses_unsafe(code: &str) -> bool {
    words(code, "unsafe").any(|at| {
        let after = code[at + "unsafe".len()..].trim_start();
        let after = match after.strip_prefix("extern") {
            Some(abi) => abi.trim_start_matches([' ', '"']),
            None => after,
        };
        !after.strip_prefix("fn").is_some_and(|rest| rest.trim_start().starts_with('('))
    })
}

fn check_fillers(source: &Source<'_>, findings: &mut Vec<Finding>) {
    for (number, line) in source.numbered() {
        let comment = line.comment.to_lowercase();
        for filler in FILLERS.iter().filter(|filler| comment.contains(**filler)) {
            let advice =
                format!("`{filler}` proves nothing: cite an invariant, a check or a man page");
            findings.push(Finding::new(source.path, number, "filler", advice));
        }
    }
}

/// An ordering weaker than SeqCst says what it pairs with, or why it needs no pair.
fn check_orderings(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let imported = import_lines(source);
    let imports = |(line, imported): (&Line, &bool)| *imported && line.code.contains("Ordering::");
    let bare = source.lines.iter().zip(&imported).any(imports);
    for (number, line) in source.numbered().filter(|(number, _)| !imported[number - 1]) {
        let weak = WEAK_ORDERINGS.iter().find(|ordering| uses_ordering(&line.code, ordering, bare));
        let Some(ordering) = weak else { continue };
        let said = comment_of_statement(source, number - 1).to_lowercase();
        if !said.contains("pairs with") && !said.contains("relaxed:") {
            let advice = format!("say what {ordering} `pairs with`, or `relaxed:` and why");
            findings.push(Finding::new(source.path, number, "ordering", advice));
        }
    }
}

/// Which lines belong to a `use` declaration.
fn import_lines(source: &Source<'_>) -> Vec<bool> {
    let mut open = false;
    let lines = source.lines.iter().map(|line| {
        let code = line.code.trim_start();
        let starts = code.starts_with("use ") || code.starts_with("pub") && code.contains(" use ");
        let inside = open || starts;
        open = inside && !code.contains(';');
        inside
    });
    lines.collect()
}

/// Whether a line of code uses an ordering: by its full name, or by itself where it is imported.
fn uses_ordering(code: &str, ordering: &str, bare: bool) -> bool {
    words(code, ordering).any(|at| {
        let before = &code[..at];
        before.ends_with("Ordering::") || bare && !before.ends_with("::")
    })
}

/// The comments on a line, and on the lines before it down from the end of the last statement.
fn comment_of_statement(source: &Source<'_>, index: usize) -> String {
    let mut comments = vec![source.lines[index].comment.as_str()];
    for line in source.lines[..index].iter().rev() {
        let code = line.code.trim();
        let blank = code.is_empty() && line.comment.is_empty();
        if blank || code.ends_with([';', '{', '}']) {
            break;
        }
        comments.push(&line.comment);
    }
    // Read from the top, since a sentence may run over several lines.
    comments
        .iter()
        .rev()
        .map(|line| line.trim_start_matches('/').trim())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        let mut findings = Vec::new();
        check(&Source::new("a.rs", text), &mut findings);
        rules(&findings)
    }

    #[test]
    fn unsafe_code_is_announced() {
        let top = "//! A.\n//!\n//! # Safety\n//! Why.\n#![allow(unsafe_code, reason = \"x\")]\n";
        assert_eq!(found(&format!("{top}fn f() {{ unsafe {{ g() }} }}")), [""; 0]);
        let long = "#![allow(\n    dead_code,\n    unsafe_code\n)]\nunsafe fn f() {}";
        assert_eq!(found(&format!("//! A.\n//! # Safety\n{long}")), [""; 0]);
        assert_eq!(found("//! A.\nfn f() { unsafe { g() } }"), ["unsafe", "unsafe"]);
        assert_eq!(found("//! A.\n#![allow(unsafe_code)]\nunsafe impl Send for A {}"), ["unsafe"]);
        assert_eq!(found("//! A.\n//! # Safety\nunsafe fn f() {}"), ["unsafe"]);
        assert_eq!(found("//! A.\n//! # Safety\n#[unsafe(no_mangle)]\nfn f() {}"), ["unsafe"]);
    }

    #[test]
    fn an_allowance_is_used_and_for_the_file() {
        assert_eq!(found("//! A.\n//! # Safety\n#![allow(unsafe_code)]\nfn f() {}"), ["unsafe"]);
        let piecemeal = "//! A.\n//! # Safety\n#[allow(unsafe_code)]\nfn f() { unsafe { g() } }";
        assert_eq!(found(piecemeal), ["unsafe", "unsafe"]);
    }

    #[test]
    fn what_only_speaks_of_unsafe_is_not() {
        let quiet =
            "//! An unsafe word.\n#![forbid(unsafe_code)]\n// unsafe\nconst A: &str = \"unsafe\";";
        assert_eq!(found(quiet), [""; 0]);
        assert_eq!(found("//! A.\ntype F = unsafe extern \"C\" fn(i32);"), [""; 0]);
        assert_eq!(found("//! A.\ntype F = unsafe fn (i32);"), [""; 0]);
    }

    #[test]
    fn fillers_are_found_in_comments() {
        assert_eq!(found("//! A.\n// SAFETY: Always safe."), ["filler"]);
        assert_eq!(found("//! A.\n/* trust me, untriaged */"), ["filler", "filler"]);
        assert_eq!(found("//! A.\n// SAFETY: invariant 2.\nlet a = \"trust me\";"), [""; 0]);
    }

    #[test]
    fn an_ordering_says_what_it_pairs_with() {
        let sample = |body: &str| found(&format!("//! A.\nfn f() {{\n{body}\n}}"));
        assert_eq!(sample("a.load(Ordering::SeqCst);"), [""; 0]);
        assert_eq!(sample("a.load(Ordering::Acquire);"), ["ordering"]);
        assert_eq!(sample("a.load(Ordering::Acquire); // pairs with the store in g"), [""; 0]);
        assert_eq!(sample("// Relaxed: a counter.\na.load(Ordering::Relaxed);"), [""; 0]);
        assert_eq!(
            sample("// Two lines, this pairs\n// with that.\na.load(Ordering::Acquire);"),
            [""; 0]
        );
        assert_eq!(sample("// pairs with g\nx();\na.load(Ordering::Acquire);"), ["ordering"]);
        assert_eq!(sample("// pairs with g\n\na.load(Ordering::Acquire);"), ["ordering"]);
        let long = "// pairs with g\na.compare_exchange(\n    1,\n    2,\n    Ordering::AcqRel,\n)";
        assert_eq!(sample(long), [""; 0]);
    }

    #[test]
    fn a_bare_ordering_counts_where_it_is_imported() {
        let used = "fn f() { a.store(1, Release); }";
        assert_eq!(
            found(&format!("//! A.\nuse core::sync::atomic::Ordering::Release;\n{used}")),
            ["ordering"]
        );
        assert_eq!(found(&format!("//! A.\nuse core::sync::atomic::Ordering;\n{used}")), [""; 0]);
        let import = "//! A.\npub(crate) use a::{\n    Ordering::{\n        Release,\n    },\n};";
        assert_eq!(found(import), [""; 0]);
        assert_eq!(found(&format!("{import}\n{used}")), ["ordering"]);
        assert_eq!(found("//! A.\nfn f() { Advice::Release }"), [""; 0]);
    }
}
