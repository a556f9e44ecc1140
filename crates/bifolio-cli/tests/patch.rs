//! `bifolio patch`: what is written, what is shown, and what stays.

mod common;

use common::{Dir, bifolio, code, complaint, run, text};
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
        assert!(complaint(&output).contains("the file ends at byte"), "{}", complaint(&output));
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

#[test]
fn a_private_patch_copies_its_page_and_leaves_the_file() {
    let dir = Dir::new();
    let bytes = vec![b'a'; 1 << 20];
    let (path, out) = (dir.write("a", &bytes), dir.file("out"));
    let args = ["patch", &path, "500000", "text:bcd", "--private", "-o", &out];
    let output = run(args);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let mut expected = bytes.clone();
    expected[500_000..500_003].copy_from_slice(b"bcd");
    assert_eq!(std::fs::read(&out).unwrap(), expected);
    let shown = text(&output);
    let lines: Vec<&str> = shown.lines().collect();
    let first = format!("{path} [500000..500003): 61 61 61 -> 62 63 64 (in a private copy)");
    assert_eq!((lines[0], lines.len()), (&first[..], 3), "{shown}");
    assert!(lines[1].starts_with("copied on write: ["), "{shown}");
    assert_eq!(lines[2], format!("saved as {out}"));

    let output = common::bifolio().args(args).arg("--json").output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found["written"], &found["private"]["saved"]),
        (&false.into(), &out.as_str().into())
    );
    let copied = found["private"]["copied"].as_array().unwrap();
    let (start, len) = (copied[0]["offset"].as_u64().unwrap(), copied[0]["len_bytes"].as_u64());
    assert_eq!(copied.len(), 1);
    assert!(start <= 500_000 && 500_003 <= start + len.unwrap() && len < Some(1 << 20), "{found}");
    for half in [&["--private"][..], &["-o", "x"], &["--private", "-o", "x", "--dry-run"]] {
        let args = [&args[..4], half].concat();
        let output = common::bifolio().args(&args).output().unwrap();
        assert_eq!(code(&output), 2, "{args:?}");
    }
}

/// Without /proc nobody tells which pages were copied: the patch is saved all the same.
#[test]
fn what_the_kernel_copied_is_unknown_where_it_does_not_tell() {
    let dir = Dir::new();
    let (path, out) = (dir.write("a", b"folio"), dir.file("out"));
    let line = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", line, env!("CARGO_BIN_EXE_bifolio")]);
    command.args(["patch", &path, "0", "text:F", "--private", "-o", &out, "--json"]);
    let Some(output) = command.output().ok().filter(|output| !output.stdout.is_empty()) else {
        return println!("skipped: this process may not mount");
    };
    let said = complaint(&output);
    assert_eq!((code(&output), said.lines().next().is_some()), (3, true), "{said}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["private"]["copied"], serde_json::Value::Null, "{found}");
    assert_eq!(std::fs::read(&out).unwrap(), b"Folio");
}

#[test]
fn bytes_behind_the_end_are_refused_with_what_to_do() {
    let dir = Dir::new();
    let (path, out) = (dir.write("a", b"folio"), dir.file("out"));
    for way in [&[][..], &["--dry-run"], &["--private", "-o", &out]] {
        for (offset, range) in [
            ("4", "[4..6)"),
            ("5", "[5..7)"),
            ("18446744073709551615", "[18446744073709551615..18446744073709551617)"),
        ] {
            let output = bifolio().args(["patch", &path, offset, "ffff"]).args(way).output();
            let output = output.unwrap();
            let expected =
                format!("bifolio: patch {path} {range}: the file ends at byte 5\nhelp: ");
            assert_eq!(code(&output), 2, "{way:?} {offset}");
            assert!(complaint(&output).starts_with(&expected), "{}", complaint(&output));
        }
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"folio");
    assert!(!std::path::Path::new(&out).exists());
}
