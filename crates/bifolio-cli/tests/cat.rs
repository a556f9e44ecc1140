//! `bifolio cat`: every kind of file, and files that are cut while they are read.

mod common;

use common::{Dir, bifolio, code, complaint, cut_while_read, run, text};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

#[test]
fn files_follow_each_other_as_they_are() {
    let dir = Dir::new();
    let long: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect();
    let (a, b) = (dir.write("a", &long), dir.write("b", b"\0\xff end"));
    let output = run(["cat", &a, &b, &a]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    assert_eq!(output.stdout, [&long[..], b"\0\xff end", &long[..]].concat());
}

#[test]
fn a_part_is_taken_by_offset_and_length_in_any_unit() {
    let dir = Dir::new();
    let bytes: Vec<u8> = (0..20_000_u32).map(|n| (n % 241) as u8).collect();
    let path = dir.write("a", &bytes);
    for (offset, length, expected) in [
        ("0", "10", &bytes[..10]),
        ("0x10", "4KiB", &bytes[16..16 + 4096]),
        ("4kB", "1", &bytes[4000..4001]),
        ("19990", "1GiB", &bytes[19_990..]),
        ("20000", "1", &[]),
        ("1TiB", "1", &[]),
    ] {
        let output = run(["cat", &path, "--offset", offset, "--length", length]);
        assert_eq!((code(&output), &output.stdout[..]), (0, expected), "{offset} {length}");
        let piped = bifolio()
            .args(["cat", "--offset", offset, "--length", length])
            .stdin(File::open(&path).unwrap())
            .output()
            .unwrap();
        assert_eq!((code(&piped), &piped.stdout[..]), (0, expected), "{offset} {length}, piped");
    }
    let output = run(["cat", &path, "--length", "4 parsecs"]);
    assert_eq!(code(&output), 2);
    assert!(complaint(&output).contains("no unit `parsecs`"), "{}", complaint(&output));
}

#[test]
fn holes_are_zeros() {
    let dir = Dir::new();
    let path = dir.file("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(3 << 20).unwrap();
    file.write_all_at(b"data", (1 << 20) + 77).unwrap();
    let output = run(["cat", &path]);
    assert_eq!(code(&output), 0);
    assert!(output.stdout == std::fs::read(&path).unwrap());
    let output = run(["cat", &path, "--offset", "0x10004b", "--length", "8"]);
    assert_eq!(output.stdout, b"\0\0data\0\0");
}

#[test]
fn files_without_length_pipes_and_devices_are_read() {
    let output = run(["cat", "/proc/version"]);
    assert_eq!(output.stdout, std::fs::read("/proc/version").unwrap());
    let output = run(["cat", "/dev/zero", "--length", "100000"]);
    assert_eq!((code(&output), output.stdout), (0, vec![0; 100_000]));
    for args in [&["cat"][..], &["cat", "-"], &["cat", "/dev/stdin"]] {
        let mut child = bifolio()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"through a pipe").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), text(&output)), (0, "through a pipe".into()), "{args:?}");
    }
    let dir = Dir::new();
    let empty = dir.write("empty", b"");
    let output = run(["cat", &empty]);
    assert_eq!((code(&output), output.stdout), (0, vec![]));
}

#[test]
fn a_file_that_cannot_be_read_does_not_keep_the_others_back() {
    let dir = Dir::new();
    let (a, b) = (dir.write("a", b"first "), dir.write("b", b"last"));
    let missing = dir.file("missing");
    let output = run(["cat", &a, &missing, dir.path().to_str().unwrap(), &b]);
    assert_eq!((code(&output), text(&output)), (2, "first last".into()));
    let complaint = complaint(&output);
    let lines: Vec<&str> = complaint.lines().collect();
    assert!(lines[0].starts_with(&format!("bifolio: cat {missing}: No such file")), "{complaint}");
    let directory = format!("bifolio: cat {}: it is a directory", dir.path().display());
    assert_eq!(lines[1], directory, "{complaint}");
    assert!(lines[2].starts_with("help: name a file"), "{complaint}");
}

#[test]
fn a_name_that_is_no_text_is_no_obstacle() {
    let dir = Dir::new();
    let path = dir.path().join(OsStr::from_bytes(b"\xff\xfe"));
    std::fs::write(&path, b"here").unwrap();
    let output = bifolio().arg("cat").arg(&path).output().unwrap();
    assert_eq!((code(&output), text(&output)), (0, "here".into()));
}

/// The program reads 256 KiB at once and a pipe holds 64 KiB: when the first byte has come, the
/// first block was read and the second was not.
#[test]
fn of_a_file_that_is_cut_what_there_was_is_written_before_the_error() {
    let dir = Dir::new();
    let bytes: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8 | 1).collect();
    // At the end of a block, of a page, within a page, and within the last page of all, where no
    // access faults.
    for new_len in [262_144, 266_240, 300_000, (1 << 20) - 5] {
        let path = dir.write("data.bin", &bytes);
        let output = cut_while_read(&["cat", &path], &path, new_len as u64);
        assert_eq!(code(&output), 2, "cut to {new_len}");
        assert!(output.stdout == bytes[..new_len], "{} of {new_len}", output.stdout.len());
        let complaint = complaint(&output);

        let start = format!("bifolio: cat {path} [{new_len}..");
        let reason = format!("): the file was truncated to {new_len} bytes\nhelp: another process");
        assert!(complaint.starts_with(&start), "{complaint}");
        assert!(complaint.contains(&reason), "{complaint}");
    }
}

#[test]
fn a_file_cut_to_nothing_shows_no_more_than_was_read() {
    let dir = Dir::new();
    let path = dir.write("data.bin", &vec![7; 1 << 20]);
    let output = cut_while_read(&["cat", &path], &path, 0);
    assert_eq!((code(&output), output.stdout.len()), (2, 262_144));
}

/// Nobody reads a hole, so no access tells that it has gone: with a slow reader, zeros would go on
/// to where the file once ended.
#[test]
fn a_hole_ends_where_the_file_is_cut() {
    let dir = Dir::new();
    let path = dir.file("sparse");
    let hole = |len: u64| File::create(&path).unwrap().set_len(len).unwrap();
    for new_len in [8192, (4 << 20) + 77] {
        hole(64 << 20);
        let output = cut_while_read(&["cat", &path], &path, new_len);
        let complaint = complaint(&output);
        assert_eq!(code(&output), 2, "cut to {new_len}: {complaint}");
        // The pipe holds 64 KiB, and the program has as much in its hands.
        let written = output.stdout.len() as u64;
        assert!(written == new_len || written < 512 << 10, "{written} of {new_len}");
        let reason = format!("the file was truncated to {new_len} bytes");
        assert!(complaint.contains(&reason), "{complaint}");

        hole(64 << 20);
        let output = cut_while_read(&["hex", "--plain", &path], &path, new_len);
        let lines = output.stdout.iter().filter(|&&byte| byte == b'\n').count() as u64;
        assert_eq!(code(&output), 2, "cut to {new_len}");
        let written = lines == new_len.div_ceil(16) || lines * 16 < 512 << 10;
        assert!(written, "{lines} lines of {new_len} bytes");
    }
    // Data, and behind it a hole that is cut while the data is written.
    hole(64 << 20);
    let bytes = vec![7; 1 << 20];
    File::options().write(true).open(&path).unwrap().write_all_at(&bytes, 0).unwrap();
    let output = cut_while_read(&["cat", &path], &path, (4 << 20) + 77);
    assert_eq!((code(&output), output.stdout.len()), (2, (4 << 20) + 77));
    assert!(output.stdout[..1 << 20] == bytes);
    let start = format!("bifolio: cat {path} [4194381..67108864): the file was truncated to");
    assert!(complaint(&output).starts_with(&start), "{}", complaint(&output));
}
