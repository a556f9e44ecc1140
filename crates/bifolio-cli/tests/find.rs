//! `bifolio find` against naive searches, at the borders of blocks, pieces and threads, in holes
//! and streams, and while the file goes away.

mod common;

use common::{Dir, Random, bifolio, code, complaint, run, text};
use regex::bytes::Regex;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::{Output, Stdio};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The offsets that the program printed, of one file.
fn offsets(output: &Output) -> Vec<usize> {
    assert!(output.stderr.is_empty(), "{}", complaint(output));
    offsets_in(&text(output))
}

fn offsets_in(lines: &str) -> Vec<usize> {
    lines.lines().map(|line| line.rsplit(':').next().unwrap().parse().unwrap()).collect()
}

/// Every place where `needle` stands, each behind the one before, by looking at all of them.
fn naive(hay: &[u8], needle: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (0, Vec::new());
    while at + needle.len() <= hay.len() {
        if hay[at..].starts_with(needle) {
            found.push(at);
            at += needle.len();
        } else {
            at += 1;
        }
    }
    found
}

/// Searches by one, two and three threads, and as a stream; all must find what is expected.
fn check(path: &str, args: &[&str], expected: &[usize]) {
    for threads in ["1", "2", "3"] {
        let mut command = bifolio();
        let output = command.args(["find", "--decimal", "--threads", threads]).args(args).arg(path);
        let output = output.output().unwrap();
        let found = offsets(&output);
        assert!(found == expected, "{args:?}, {threads} threads: {}", difference(&found, expected));
        assert_eq!(code(&output), i32::from(expected.is_empty()));
    }
    let output = bifolio().args(["find", "--count", "-j", "2"]).args(args).arg(path).output();
    assert_eq!(text(&output.unwrap()), format!("{}\n", expected.len()));
    let stdin = File::open(path).unwrap();
    let mut command = bifolio();
    let output = command.args(["find", "--decimal"]).args(args).arg("-").stdin(stdin).output();
    let found = offsets(&output.unwrap());
    assert!(found == expected, "{args:?}, a stream: {}", difference(&found, expected));
}

fn difference(found: &[usize], expected: &[usize]) -> String {
    let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let (found_here, expected_here) = (found.get(at), expected.get(at));
    format!("match {at} is at {found_here:?} and should be at {expected_here:?}")
}

/// Random bytes of a small alphabet, so that beginnings of matches are everywhere.
fn letters(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| b"abcd"[random.below(4)]).collect()
}

/// Puts `needle` across, before and behind every multiple of `step`, by turns.
fn plant(hay: &mut [u8], needle: &[u8], step: usize, random: &mut Random) {
    for border in (step..hay.len()).step_by(step) {
        let start = border - random.below(needle.len() + 1);
        if let Some(target) = hay.get_mut(start..start + needle.len()) {
            target.copy_from_slice(needle);
        }
    }
}

#[test]
fn bytes_are_found_across_every_border() {
    let (dir, mut random) = (Dir::new(), Random::new());
    for needle_len in [1, 2, 13, 64, 300, 20 * KIB] {
        let odd = random.below(5000);
        let mut hay = letters(&mut random, 5 * MIB / 2 + odd);
        let mut needle = letters(&mut random, needle_len);
        if needle_len < 10 || random.below(2) == 0 {
            // A byte that stands nowhere else: the other way to search.
            let index = random.below(needle_len);
            needle[index] = b'!';
        }
        plant(&mut hay, &needle, 64 * KIB, &mut random);
        let path = dir.write("hay", &hay);
        let needle = String::from_utf8(needle).unwrap();
        let expected = naive(&hay, needle.as_bytes());
        assert!(expected.len() > 20, "{} were planted", expected.len());
        check(&path, &[&needle], &expected);
    }
}

#[test]
fn what_looks_like_a_match_does_not_hide_the_one_behind_it() {
    let (dir, mut random) = (Dir::new(), Random::new());
    let mut hay = letters(&mut random, 5 * MIB / 2);
    // Every other time the rare byte comes once more than in the needle.
    plant(&mut hay, b"!!!ab", 100 * KIB, &mut random);
    plant(&mut hay, b"!!ab", 60 * KIB, &mut random);
    // And here it is not rare at all.
    hay[MIB + 5000..MIB + 90_000].fill(b'!');
    let path = dir.write("hay", &hay);
    check(&path, &["!!ab"], &naive(&hay, b"!!ab"));
    check(&path, &["ab!!"], &naive(&hay, b"ab!!"));
}

#[test]
fn matches_that_could_overlap_are_those_of_one_reader() {
    let dir = Dir::new();
    let mut hay = vec![b'a'; 5 * MIB / 2];
    // The rhythm of the matches is different in every piece.
    for at in (0..hay.len()).step_by(700_001) {
        hay[at] = b'-';
    }
    let path = dir.write("hay", &hay);
    check(&path, &["aaaaaaaaaaaaa"], &naive(&hay, b"aaaaaaaaaaaaa"));
    let expected: Vec<_> =
        Regex::new("a{11,13}").unwrap().find_iter(&hay).map(|m| m.start()).collect();
    check(&path, &["--regex", "a{11,13}"], &expected);
}

#[test]
fn regular_expressions_are_found_across_every_border() {
    let (dir, mut random) = (Dir::new(), Random::new());
    let mut hay = letters(&mut random, 5 * MIB / 2);
    let mut long = vec![b'.'; 50_000];
    (long[0], long[49_999]) = (b'<', b'>');
    plant(&mut hay, b"<123 456>", 64 * KIB, &mut random);
    plant(&mut hay, &long, MIB, &mut random);
    plant(&mut hay, b" ab ", 96 * KIB, &mut random);
    plant(&mut hay, b"\nabc\n", 160 * KIB, &mut random);
    plant(&mut hay, b"\xff\x00\xfe", 112 * KIB, &mut random);
    let path = dir.write("hay", &hay);
    for pattern in [
        r"<[0-9 .]+>",
        r"\bab\b",
        r"(?m)^abc$",
        r"\xff\x00.",
        r"\A[a-d]{3}",
        r"[a-d]{3}\z",
        r"(?:<|\n)[^>]{0,300}",
        r"x*",
    ] {
        let regex = regex::bytes::RegexBuilder::new(pattern).unicode(false).build().unwrap();
        let found =
            regex.find_iter(&hay).filter(|found| !found.is_empty() && found.len() <= 64 * KIB);
        check(&path, &["--regex", pattern], &found.map(|found| found.start()).collect::<Vec<_>>());
    }
}

/// A file with data in these ranges and holes elsewhere, where the file system has holes.
fn sparse(dir: &Dir, len: usize, data: &[(usize, Vec<u8>)]) -> (String, Vec<u8>) {
    let path = dir.file("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(len as u64).unwrap();
    let mut all = vec![0; len];
    for (at, bytes) in data {
        file.write_all_at(bytes, *at as u64).unwrap();
        all[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    (path, all)
}

#[test]
fn holes_are_zeros_that_match_zeros_and_what_reaches_into_data() {
    let (dir, mut random) = (Dir::new(), Random::new());
    for _ in 0..3 {
        let mut data = Vec::new();
        let mut at = random.below(2) * 4096 * random.below(200);
        while at + 3 * MIB / 2 < 5 * MIB {
            let len = 4096 * (1 + random.below(60));
            let mut bytes = letters(&mut random, len);
            bytes[len - 1] = b'\n';
            data.push((at, bytes));
            at += len + 4096 * random.below(300);
        }
        let (path, all) = sparse(&dir, 5 * MIB + random.below(2) * 77, &data);
        let last = &data[data.len() - 1];
        let end = last.0 + last.1.len();
        let edges: [Range<usize>; 3] =
            [end - 3..end + 5, end - 1..end + 1, last.0.saturating_sub(9)..last.0 + 2];
        for edge in edges {
            let needle = &all[edge];
            let hex: String = needle.iter().map(|byte| format!("{byte:02x} ")).collect();
            check(&path, &["--hex", &hex], &naive(&all, needle));
        }
        let zeros = format!("{:0>1$}", "", 2 * 5000);
        check(&path, &["--hex", &zeros], &naive(&all, &[0; 5000]));
        for pattern in [
            r"\x00{30}[a-d]",
            r"[a-d]\x00{9}",
            r"\x00{40}",
            r"\A\x00{5}",
            r"\x00{5}\z",
            r"\x00$",
            r"(?m)^\x00{3}[^x]",
            r"(?m)\x00{2}$",
        ] {
            let regex = regex::bytes::RegexBuilder::new(pattern).unicode(false).build().unwrap();
            let expected: Vec<_> = regex.find_iter(&all).map(|found| found.start()).collect();
            check(&path, &["--regex", pattern], &expected);
        }
    }
}

#[test]
fn a_hole_is_not_read() {
    let dir = Dir::new();
    let (path, _) = sparse(&dir, 8192, &[(4096, b"folio".to_vec())]);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 42).unwrap();
    file.write_all_at(b"folio", (1 << 41) - 2).unwrap();
    // Four tebibytes of zeros would take minutes.
    let output = run(["find", "--decimal", "folio", &path]);
    assert_eq!(offsets(&output), [4096, (1 << 41) - 2]);
    assert_eq!(code(&run(["find", "--regex", "[f-g]oliO", &path])), 1);
}

#[test]
fn what_was_found_before_the_file_was_cut_is_printed_before_the_error() {
    let (dir, cut) = (Dir::new(), 40 * MIB + 100);
    let line = b"a quire of sixty-four bytes a line, so that many lines are made\n";
    let path = dir.write("file", &line.repeat(64 * MIB / 64));
    for threads in ["1", "2"] {
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(64 * MIB as u64).unwrap();
        for at in (40 * MIB..64 * MIB).step_by(64) {
            if threads == "2" {
                file.write_all_at(line, at as u64).unwrap();
            }
        }
        let mut command = bifolio();
        command.args(["find", "-d", "-j", threads, "quire", &path]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut printed = vec![0; 1000];
        out.read_exact(&mut printed).unwrap();
        // Its output is full after a few mebibytes, and it waits for us.
        file.set_len(cut as u64).unwrap();
        out.read_to_end(&mut printed).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = complaint(&output);
        assert_eq!(code(&output), 2, "{said}");
        assert!(said.contains(&format!("truncated to {cut} bytes")), "{said}");
        assert!(said.contains(&format!("{path} [")), "{said}");
        let printed = String::from_utf8(printed).unwrap();
        let expected: Vec<_> = (0..cut - 7).step_by(64).map(|at| at + 2).collect();
        let found = offsets_in(&printed);
        assert!(found == expected, "{}", difference(&found, &expected));
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let dir = Dir::new();
    let path = dir.write("file", &b"folio\n".repeat(MIB));
    let mut command = bifolio();
    command.args(["find", "folio", &path]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), complaint(&output).as_str()), (0, ""));
}

#[test]
fn a_stream_is_searched_while_it_arrives() {
    let mut command = bifolio();
    command.args(["find", "--decimal", "folio", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for part in ["a bi", "fo", "l", "io and ano", "ther folio", ""] {
        stdin.write_all(part.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }
    drop(stdin);
    assert_eq!(text(&child.wait_with_output().unwrap()), "-:4\n-:22\n");
}

#[test]
fn exit_codes_and_counts_say_what_was_found_where() {
    let dir = Dir::new();
    let (some, none) = (dir.write("some", b"folio folio"), dir.write("none", b"paper"));
    let (empty, absent) = (dir.write("empty", b""), dir.file("absent"));
    let answer = |args: &[&str]| {
        let output = bifolio().arg("find").args(args).output().unwrap();
        (code(&output), text(&output))
    };
    assert_eq!(answer(&["folio", &some]), (0, format!("{some}:0x0\n{some}:0x6\n")));
    assert_eq!(answer(&["folio", &none, &empty]), (1, String::new()));
    assert_eq!(answer(&["-c", "folio", &some]), (0, "2\n".into()));
    assert_eq!(answer(&["-c", "folio", &some, &none]), (0, format!("{some}:2\n{none}:0\n")),);
    assert_eq!(answer(&["folio", &absent]).0, 2);
    // As grep(1): what was found is printed, and who asks hears of the rest.
    assert_eq!(answer(&["folio", &some, &absent]), (2, format!("{some}:0x0\n{some}:0x6\n")));
    assert_eq!(answer(&["folio", &none, &absent]).0, 2);
    assert_eq!(answer(&["folio", dir.path().to_str().unwrap()]).0, 2);
    assert_eq!(answer(&["", &some]).0, 2);
    assert_eq!(answer(&["--first", "folio", &some]), (0, format!("{some}:0x0\n")));
    assert_eq!(answer(&["--max", "0", "folio", &some]), (1, String::new()));
    assert_eq!(answer(&["--max", "1", "-c", "o", &some]), (0, "1\n".into()));
    assert_eq!(answer(&["MemTotal", "/proc/meminfo"]).0, 0);
}

#[test]
fn a_file_that_may_not_be_read_is_an_error_that_names_it() {
    let dir = Dir::new();
    let path = dir.write("secret", b"folio");
    let Some(mut command) = common::as_nobody(&dir) else { return };
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    let output = command.args(["find", "folio", &path]).output().unwrap();
    let said = complaint(&output);
    assert_eq!(code(&output), 2, "{said}");
    assert!(said.starts_with("bifolio: find ") && said.contains("secret"), "{said}");
}

#[test]
fn patterns_are_read_strictly() {
    let dir = Dir::new();
    let path = dir.write("elf", b"..\x7fELF\x02");
    for hex in ["7f 45 4c 46", "7f454c46", "0x7f,0x45:4C46"] {
        assert_eq!(text(&run(["find", "-x", hex, &path])), format!("{path}:0x2\n"), "{hex}");
    }
    for (option, pattern) in
        [("-x", "7f4"), ("-x", "zz"), ("-x", "\u{e9}1"), ("-e", "("), ("-x", " ")]
    {
        let output = run(["find", option, pattern, &path]);
        assert_eq!(code(&output), 2, "{pattern}");
        assert!(!complaint(&output).contains("panicked"), "{}", complaint(&output));
    }
}

#[test]
fn json_is_a_document_for_each_match() {
    let dir = Dir::new();
    let path = dir.write("file", b"one folio, two folios");
    let output = run(["find", "--json", "--context", "4", "folio", &path]);
    let found: Vec<serde_json::Value> =
        text(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[1],
        serde_json::json!({
            "schema": 1, "type": "match", "path": path, "offset": 15, "length": 5,
            "bytes": "666f6c696f", "before": "74776f20", "after": "73",
        })
    );
    let output = run(["find", "--json", "--count", "folio", &path]);
    let count: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(count, serde_json::json!({"schema": 1, "type": "count", "path": path, "count": 2}));
}

#[test]
fn context_shows_what_is_around_a_match() {
    let dir = Dir::new();
    let path = dir.write("file", b"\x00one folio");
    let expected = format!("{path}:0x5  6e6520[666f6c696f]  ne [folio]\n");
    assert_eq!(text(&run(["find", "-C", "3", "folio", &path])), expected);
    let mut command = bifolio();
    command.args(["find", "-C", "3", "folio", "-"]).stdin(File::open(&path).unwrap());
    let output = command.output().unwrap();
    assert_eq!(text(&output), expected.replace(&path, "-"));
}

/// Nobody reads a hole, so no access tells that it has gone.
#[test]
fn in_a_hole_nothing_is_found_behind_a_cut() {
    let dir = Dir::new();
    let path = dir.file("sparse");
    for pattern in [&["--hex", "00000000"][..], &["--regex", r"\x00{4}"]] {
        for new_len in [8192, (2 << 20) + 78] {
            std::fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
            let args = [&["find", "--decimal"], pattern, &[&path]].concat();
            let output = common::cut_while_read(&args, &path, new_len);
            let complaint = complaint(&output);
            assert_eq!(code(&output), 2, "{pattern:?} cut to {new_len}");
            let reason = format!("the file was truncated to {new_len} bytes");
            assert!(complaint.contains(&reason), "{complaint}");
            let printed = text(&output);
            let last = printed.lines().last().unwrap().rsplit(':').next().unwrap();
            let last: u64 = last.parse().unwrap();
            // What was found before the cut may be printed: at most a piece of 1 MiB.
            assert!(last + 4 <= new_len.max(1 << 20), "{last} behind {new_len}");
            assert!(new_len < 1 << 20 || new_len - last < 8, "{last} before {new_len}");
        }
    }
}
