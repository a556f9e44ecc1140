//! How much memory of their own the commands take on a file that is larger than memory.

mod common;

use common::{Dir, code, complaint};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Command, Output, Stdio};

/// What a command may take for itself.
const PRIVATE_KIB_MAX: u64 = 16 << 10;

/// Runs the program where all its private writable memory, touched or not, has this bound
/// (`RLIMIT_DATA`, setrlimit(2)): what goes beyond it cannot be had, and the program fails.
fn run_within(private_kib: u64, args: &[&str]) -> Output {
    let line = format!("ulimit -d {private_kib} && exec \"$0\" \"$@\"");
    Command::new("sh")
        .args(["-c", &line, env!("CARGO_BIN_EXE_bifolio")])
        .args(args)
        .stdin(Stdio::null())
        .stdout(File::options().write(true).open("/dev/null").unwrap())
        .output()
        .unwrap()
}

/// 10 GiB, with a little data at both ends and in the middle.
fn sparse(dir: &Dir, name: &str) -> String {
    let path = dir.file(name);
    let file = File::create(&path).unwrap();
    file.set_len(10 << 30).unwrap();
    for at in [0, 5 << 30, (10 << 30) - 100_000] {
        file.write_all_at(&[b'x'; 100_000], at).unwrap();
    }
    path
}

#[test]
fn every_command_takes_less_than_16_mib_for_a_file_of_10_gib() {
    let dir = Dir::new();
    let (a, b) = (sparse(&dir, "a"), sparse(&dir, "b"));
    let out = dir.file("out");
    let dump = dir.write("dump", b"00000000: 61\n280000000: 62\n");
    for args in [
        &["cat", &a][..],
        &["hex", &a],
        &["hex", "--plain", "-a", &a],
        &["hex", "--plain", &a, "--length", "16MiB"],
        &["hex", "-r", &dump, &out],
        &["cmp", &a, &b],
        &["cmp", "--all", &a, &b],
        &["find", "--count", "x", &a],
        &["find", "--regex", "--count", "x{3}", &a],
        &["info", &a],
        &["watch", "--once", &a, &b],
        &["residency", "-v", &a],
        &["residency", &a, "--save", &out],
        &["touch", &a],
        &["picture", &a, "--format", "svg", "-o", "/dev/null"],
        &["picture", &a, "--format", "png", "-o", "/dev/null"],
        &["patch", &a, "0x140000000", "text:xx"],
        &["patch", &a, "0x140000000", "text:xx", "--private", "-o", &out],
    ] {
        let output = run_within(PRIVATE_KIB_MAX, args);
        assert_eq!(code(&output), 0, "{args:?}: {}", complaint(&output));
    }
    // The bound is one: with less than it needs the program does fail.
    assert!(!run_within(100, &["hex", &a]).status.success());
}
