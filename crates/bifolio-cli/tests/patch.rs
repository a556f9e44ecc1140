//! `bifolio patch`: what is written, what is shown, and what stays.

mod common;

use common::{Dir, code, complaint, run, text};
use std::os::unix::fs::FileExt;

#[test]
fn bytes_are_written_and_the_old_ones_shown() {
    let dir = Dir::new();
    let path = dir.write("a", b"hello world");
    let open = std::fs::File::open(&path).unwrap();
    let output = run(["patch", &path, "0x6", "text:W"]);
    assert_eq!((code(&output), text(&output)), (0, format!("{path} [6..7): 77 -> 57\n")));
    let output = run(["patch", &path, "9", "4C 44"]);
    assert_eq!(text(&output), format!("{path} [9..11): 6c 64 -> 4c 44\n"));
    // Who has the file open sees it: it is the same file.
    let mut found = [0; 11];
    open.read_exact_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"hello WorLD");
}

#[test]
fn a_dry_run_writes_nothing() {
    let dir = Dir::new();
    let path = dir.write("a", b"hello");
    let output = run(["patch", &path, "1", "00", "--dry-run"]);
    let expected = format!("{path} [1..2): 65 -> 00 (not written)\n");
    assert_eq!((code(&output), text(&output)), (0, expected));
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
}

#[test]
fn a_patch_never_reaches_beyond_the_end() {
    let dir = Dir::new();
    let path = dir.write("a", b"hello");
    let empty = dir.write("empty", b"");
    for (path, offset) in [(&path, "4"), (&path, "5"), (&path, "0xffffffffffffffff"), (&empty, "0")]
    {
        let output = run(["patch", path, offset, "0000"]);
        assert_eq!(code(&output), 2, "{offset}");
        assert!(complaint(&output).contains("the mapping has"), "{}", complaint(&output));
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
    assert_eq!(std::fs::read(&empty).unwrap(), b"");
}

#[test]
fn what_is_no_bytes_is_a_wrong_usage() {
    let dir = Dir::new();
    let path = dir.write("a", b"hello");
    for bytes in ["", "0", "xy", "text:"] {
        assert_eq!(code(&run(["patch", &path, "0", bytes])), 2, "{bytes:?}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
}

#[test]
fn json_has_what_was_and_what_is() {
    let dir = Dir::new();
    let path = dir.write("a", b"hello");
    let output = run(["patch", &path, "1", "ff00", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({
        "schema": 1, "path": path, "offset": 1, "len_bytes": 2,
        "old": "656c", "new": "ff00", "written": true,
    });
    assert_eq!(found, expected);
}
