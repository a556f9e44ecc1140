//! `bifolio cmp`: what differs, what is a hole, and files that change meanwhile.

mod common;

use common::{Dir, Random, bifolio, code, complaint, run, text};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn the_first_difference_is_told_and_the_exit_code_says_whether_there_is_one() {
    let dir = Dir::new();
    let (a, b) = (dir.write("a", b"hello world"), dir.write("b", b"hellO worLD"));
    let output = run(["cmp", &a, &b]);
    let expected = format!("{a} and {b} differ at offset 4 (0x4): 6f against 4f\n");
    assert_eq!((code(&output), text(&output)), (1, expected));
    let output = run(["cmp", &a, &a]);
    assert_eq!((code(&output), text(&output)), (0, String::new()));
    for flag in ["-s", "--quiet"] {
        let output = run(["cmp", flag, &a, &b]);
        assert_eq!((code(&output), text(&output), complaint(&output)), (1, "".into(), "".into()));
    }
}

#[test]
fn a_file_that_ends_earlier_differs() {
    let dir = Dir::new();
    let (a, b) = (dir.write("a", b"same"), dir.write("b", b"same and more"));
    let empty = dir.write("empty", b"");
    for (first, second) in [(&a, &b), (&b, &a)] {
        let output = run(["cmp", first, second]);
        let expected = format!("{a} ends at offset 4: {b} has 9 bytes more\n");
        assert_eq!((code(&output), text(&output)), (1, expected));
    }
    assert_eq!(code(&run(["cmp", &empty, &a])), 1);
    assert_eq!(code(&run(["cmp", &empty, &empty])), 0);
}

#[test]
fn all_differences_are_listed_up_to_a_bound() {
    let dir = Dir::new();
    let mut other = vec![0; 100_000];
    other[7] = 1;
    other[70_000..70_020].fill(2);
    other[99_999] = 3;
    let (a, b) = (dir.write("a", &[0; 100_000]), dir.write("b", &other));
    let expected = "\
        0x00000007  1 byte: 00 against 01\n\
        0x00011170  20 bytes: 00 00 00 00 00 00 00 00 .. against 02 02 02 02 02 02 02 02 ..\n\
        0x0001869f  1 byte: 00 against 03\n";
    let output = run(["cmp", "--all", &a, &b]);
    assert_eq!((code(&output), text(&output)), (1, expected.into()));
    let output = run(["cmp", "--all", "--max", "2", &a, &b]);
    let lines: Vec<&str> =
        expected.lines().take(2).chain(["there is more: --max 2 was reached"]).collect();
    assert_eq!(text(&output), lines.join("\n") + "\n");
    assert_eq!(text(&run(["cmp", "--all", "--max", "3", &a, &b])), expected);
}

#[test]
fn json_has_a_schema_and_all_that_the_text_has() {
    let dir = Dir::new();
    let (a, b) = (dir.write("a", b"hello world"), dir.write("b", b"hellO worLD!"));
    let document = |args: &[&str]| -> serde_json::Value {
        let output = bifolio().arg("cmp").args(args).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let expected = serde_json::json!({
        "schema": 1,
        "equal": false,
        "a": {"path": a, "len_bytes": 11},
        "b": {"path": b, "len_bytes": 12},
        "differences": [
            {"offset": 4, "len_bytes": 1, "a": "6f", "b": "4f"},
            {"offset": 9, "len_bytes": 2, "a": "6c64", "b": "4c44"},
        ],
        "more": false,
    });
    assert_eq!(document(&["--json", "--all", &a, &b]), expected);
    let first = document(&["--json", &a, &b]);
    assert_eq!(first["differences"].as_array().unwrap().len(), 1);
    assert_eq!(first["more"], true);
    let same = document(&["--json", &a, &a]);
    assert_eq!((&same["equal"], &same["more"]), (&true.into(), &false.into()));
}

/// Files of data, zeros and holes: the list is that of a plain loop over the bytes.
#[test]
fn holes_and_zeros_are_equal_and_differences_are_found_wherever_they_are() {
    const LEN: usize = 3 << 20;
    let dir = Dir::new();
    let mut random = Random::new();
    for _ in 0..12 {
        let mut contents = [vec![0; LEN], vec![0; LEN]];
        let paths = [dir.file("a"), dir.file("b")];
        let files = paths.each_ref().map(|path| File::create(path).unwrap());
        for (file, bytes) in files.iter().zip(&mut contents) {
            file.set_len(LEN as u64).unwrap();
            for _ in 0..random.below(5) {
                let (start, byte) = (random.below(LEN), random.below(2) as u8);
                let len = (1 + random.below(200_000)).min(LEN - start);
                bytes[start..start + len].fill(byte);
                file.write_all_at(&bytes[start..start + len], start as u64).unwrap();
            }
        }
        let mut expected: Vec<(usize, usize)> = Vec::new();
        for at in (0..LEN).filter(|&at| contents[0][at] != contents[1][at]) {
            match expected.last_mut() {
                Some((start, len)) if *start + *len == at => *len += 1,
                _ => expected.push((at, 1)),
            }
        }
        let output = run(["cmp", "--all", "--json", &paths[0], &paths[1]]);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
        let runs = document["differences"].as_array().unwrap().iter();
        let found: Vec<_> = runs.map(|d| (number(&d["offset"]), number(&d["len_bytes"]))).collect();
        assert_eq!(found, expected);
        assert_eq!(code(&output), i32::from(!expected.is_empty()));
    }
}

#[test]
fn sparse_files_of_terabytes_are_compared_by_their_data() {
    let dir = Dir::new();
    let paths = [dir.file("a"), dir.file("b")];
    for (path, byte) in paths.iter().zip([1, 2]) {
        let file = File::create(path).unwrap();
        file.set_len(1 << 42).unwrap();
        file.write_all_at(&[byte], 1 << 41).unwrap();
    }
    let output = run(["cmp", &paths[0], &paths[1]]);
    assert!(text(&output).contains("at offset 2199023255552 (0x20000000000): 01 against 02"));
}

#[test]
fn a_file_that_shrinks_and_grows_meanwhile_ends_no_comparison_by_a_signal() {
    let dir = Dir::new();
    let (a, b) = (dir.write("a", &vec![0; 4 << 20]), dir.write("b", &vec![0; 4 << 20]));
    let file = File::options().write(true).open(&b).unwrap();
    let is_done = AtomicBool::new(false);
    let mut errors = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                file.set_len(100_001).unwrap();
                file.set_len(4 << 20).unwrap();
            }
        });
        for _ in 0..60 {
            let output = run(["cmp", &a, &b]);
            match code(&output) {
                0 | 1 => {}
                2 => {
                    errors += 1;
                    assert!(complaint(&output).contains("truncated"), "{}", complaint(&output));
                }
                other => panic!("exit code {other}"),
            }
        }
        is_done.store(true, Ordering::SeqCst);
    });
    println!("{errors} of 60 comparisons met the cut");
}

#[test]
fn a_dash_is_the_file_that_standard_input_comes_from() {
    let dir = Dir::new();
    let (a, b) = (dir.write("a", b"folio"), dir.write("b", b"fol-o"));
    for (args, expected) in
        [(&["cmp", "-", &a][..], 0), (&["cmp", &b, "-"], 1), (&["info", "-"], 0)]
    {
        let output = bifolio().args(args).stdin(std::fs::File::open(&a).unwrap()).output().unwrap();
        assert_eq!(code(&output), expected, "{args:?}: {}", complaint(&output));
    }
    let (reader, _writer) = std::io::pipe().unwrap();
    let output = bifolio().args(["cmp", "-", &a]).stdin(reader).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(complaint(&output).contains("it is a pipe\nhelp: save the stream"));
}
