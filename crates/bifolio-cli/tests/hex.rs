//! `bifolio hex`: byte for byte what xxd writes, panels, and the way back.

mod common;

use common::{Dir, Random, bifolio, code, complaint, cut_while_read, run, text};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

/// What xxd writes, or `None` where it is not installed.
fn xxd(args: &[&str]) -> Option<Vec<u8>> {
    match Command::new("xxd").args(args).stdin(Stdio::null()).output() {
        Ok(output) => {
            assert!(output.status.success(), "xxd {args:?}: {output:?}");
            Some(output.stdout)
        }
        Err(_) => {
            println!("skipped: xxd is not here");
            None
        }
    }
}

fn same_as_xxd(ours: &[&str], theirs: &[&str]) -> bool {
    let Some(expected) = xxd(theirs) else { return false };
    let output = bifolio().arg("hex").args(ours).output().unwrap();
    assert_eq!(code(&output), 0, "{ours:?}: {}", complaint(&output));
    if output.stdout != expected {
        let (found, expected) = (text(&output), String::from_utf8_lossy(&expected).into_owned());
        let differs = found.lines().zip(expected.lines()).position(|(a, b)| a != b);
        let at = differs.unwrap_or(usize::MAX).saturating_sub(2);
        let part = |text: &str| text.lines().skip(at).take(6).collect::<Vec<_>>().join("\n");
        panic!("{ours:?} at line {at}\n{}\nxxd:\n{}", part(&found), part(&expected));
    }
    true
}

/// Zero lines, lines that repeat, and others, with an end anywhere in a line.
fn made_of_lines(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(8) {
        let line: Vec<u8> = match random.below(3) {
            0 => vec![0; 16],
            1 => vec![random.next() as u8; 16],
            _ => (0..16).map(|_| random.next() as u8).collect(),
        };
        for _ in 0..=random.below(5) {
            bytes.extend_from_slice(&line);
        }
    }
    if random.below(2) == 0 {
        let byte = if random.below(2) == 0 { 0 } else { b'~' };
        bytes.resize(bytes.len() + random.below(16), byte);
    }
    bytes
}

#[test]
fn plain_is_xxd_for_every_byte_and_every_length() {
    let dir = Dir::new();
    let every: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    let path = dir.write("every", &every);
    if !same_as_xxd(&["--plain", &path], &[&path]) {
        return;
    }
    for len in (0..=33).chain([47, 48, 49, 64, 1023, 300_001]) {
        for byte in [0, b'a'] {
            let path = dir.write("a", &vec![byte; len]);
            same_as_xxd(&["--plain", &path], &[&path]);
            same_as_xxd(&["--plain", "-a", &path], &["-a", &path]);
        }
    }
}

#[test]
fn plain_is_xxd_for_zeros_wherever_they_are() {
    let dir = Dir::new();
    let mut random = Random::new();
    for _ in 0..60 {
        let bytes = made_of_lines(&mut random);
        let path = dir.write("a", &bytes);
        if !same_as_xxd(&["--plain", "-a", &path], &["-a", &path]) {
            return;
        }
        let offset = random.below(bytes.len() + 1).to_string();
        let length = random.below(200).to_string();
        same_as_xxd(
            &["--plain", "-a", &path, "--offset", &offset, "--length", &length],
            &["-a", "-s", &offset, "-l", &length, &path],
        );
    }
}

#[test]
fn plain_is_xxd_for_holes_and_beyond_4_gib() {
    let dir = Dir::new();
    let mut random = Random::new();
    let path = dir.file("sparse");
    let file = File::create(&path).unwrap();
    file.set_len((4 << 20) + random.next() % 40).unwrap();
    for _ in 0..6 {
        let at = random.next() % (4 << 20);
        file.write_all_at(&[1; 5000][..1 + random.below(5000)], at).unwrap();
    }
    if !same_as_xxd(&["--plain", "-a", &path], &["-a", &path]) {
        return;
    }
    same_as_xxd(&["--plain", &path], &[&path]);
    let offset = random.below(4 << 20).to_string();
    same_as_xxd(&["--plain", "-a", &path, "-s", &offset], &["-a", "-s", &offset, &path]);

    let path = dir.file("large");
    let file = File::create(&path).unwrap();
    file.set_len((1 << 36) + 100).unwrap();
    file.write_all_at(b"around the end of 32 bits", (1 << 32) - 10).unwrap();
    for offset in ["0xffffff00", "0x100000000", "0xfffffff8", "0x1000000000"] {
        for flags in [&["-a"][..], &[]] {
            same_as_xxd(
                &[&["--plain", &path, "--offset", offset, "--length", "512"], flags].concat(),
                &[flags, &["-s", offset, "-l", "512", &path]].concat(),
            );
        }
    }
}

#[test]
fn a_stream_shows_what_a_file_shows() {
    let dir = Dir::new();
    let mut random = Random::new();
    let bytes = [made_of_lines(&mut random), vec![0; 700_000], made_of_lines(&mut random)].concat();
    let path = dir.write("a", &bytes);
    for flags in [&["--plain"][..], &["--plain", "-a"], &[], &["-s", "5", "-l", "600000"]] {
        let of_file = bifolio().arg("hex").arg(&path).args(flags).output().unwrap();
        let of_stream =
            bifolio().arg("hex").args(flags).stdin(File::open(&path).unwrap()).output().unwrap();
        assert!(of_file.stdout == of_stream.stdout && code(&of_stream) == 0, "{flags:?}");
    }
}

#[test]
fn a_sparse_file_is_shown_without_its_holes_being_read() {
    let dir = Dir::new();
    let path = dir.file("sparse");
    let file = File::create(&path).unwrap();
    // Who reads this needs minutes.
    file.set_len(1 << 42).unwrap();
    file.write_all_at(b"data", 1 << 41).unwrap();
    let output = run(["hex", &path, "--plain", "-a"]);
    let expected = "\
        00000000: 0000 0000 0000 0000 0000 0000 0000 0000  ................\n\
        *\n\
        20000000000: 6461 7461 0000 0000 0000 0000 0000 0000  data............\n\
        20000000010: 0000 0000 0000 0000 0000 0000 0000 0000  ................\n\
        *\n\
        3fffffffff0: 0000 0000 0000 0000 0000 0000 0000 0000  ................\n";
    assert_eq!(text(&output), expected);
}

#[test]
fn panels_squeeze_what_repeats_and_fit_in_80_columns() {
    let dir = Dir::new();
    let bytes = [&[0; 40][..], b"Text\t\x7f\x80\n", &[b'z'; 64], b"end"].concat();
    let path = dir.write("a", &bytes);
    let expected = "\
+--------+-------------------------+-------------------------+--------+--------+
|00000000| 00 00 00 00 00 00 00 00 : 00 00 00 00 00 00 00 00 |00000000:00000000|
|00000010| 00 00 00 00 00 00 00 00 : 00 00 00 00 00 00 00 00 |00000000:00000000|
|00000020| 00 00 00 00 00 00 00 00 : 54 65 78 74 09 7f 80 0a |00000000:Text>.x_|
|00000030| 7a 7a 7a 7a 7a 7a 7a 7a : 7a 7a 7a 7a 7a 7a 7a 7a |zzzzzzzz:zzzzzzzz|
|*       |                         :                         |        :        |
|00000070| 65 6e 64                :                         |end     :        |
+--------+-------------------------+-------------------------+--------+--------+
";
    assert_eq!(text(&run(["hex", "--ascii", &path])), expected);
    let drawn = text(&run(["hex", &path]));
    for (drawn, ascii) in drawn.lines().zip(expected.lines()) {
        assert_eq!((drawn.chars().count(), ascii.len()), (80, 80), "{drawn}");
        assert!(!drawn.is_ascii(), "{drawn}");
    }
    let all = text(&run(["hex", "--ascii", "--no-squeeze", &path]));
    assert_eq!(all.lines().count(), 2 + bytes.len().div_ceil(16));
    let zeros_only = text(&run(["hex", "--ascii", "-a", &path]));
    assert_eq!(zeros_only, all, "two lines of zeros, and four of another byte");
    let empty = dir.write("empty", b"");
    assert!(text(&run(["hex", "--ascii", &empty])).contains("|no bytes|"));
}

#[test]
fn panels_have_the_width_that_columns_gives() {
    let dir = Dir::new();
    let path = dir.write("a", &[1; 100]);
    for (columns, width) in [("40", 45), ("79", 78), ("80", 80), ("149", 80), ("150", 150)] {
        let output =
            bifolio().args(["hex", "--ascii", &path]).env("COLUMNS", columns).output().unwrap();
        for line in text(&output).lines() {
            assert_eq!(line.len(), width, "{columns} columns: {line}");
        }
    }
}

#[test]
fn colours_change_no_character() {
    let dir = Dir::new();
    let path = dir.write("a", &(0..=255).collect::<Vec<u8>>());
    let plain = text(&run(["hex", &path]));
    let coloured = text(&run(["hex", &path, "--color", "always"]));
    let mut stripped = String::new();
    let mut parts = coloured.split('\u{1b}');
    stripped.push_str(parts.next().unwrap());
    for part in parts {
        stripped.push_str(part.split_once('m').unwrap().1);
    }
    assert_eq!(stripped, plain);
    // Null, text, space, control, beyond ASCII.
    for code in ["\u{1b}[90m", "\u{1b}[36m", "\u{1b}[32m", "\u{1b}[35m", "\u{1b}[33m"] {
        assert!(coloured.contains(code), "{code:?}");
    }
}

#[test]
fn of_a_file_that_is_cut_what_there_was_is_shown_before_the_error() {
    let dir = Dir::new();
    let bytes: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8).collect();
    let path = dir.write("a", &bytes);
    let expected = run(["hex", "--plain", &path, "--length", "300000"]).stdout;
    let output = cut_while_read(&["hex", "--plain", &path], &path, 300_000);
    assert_eq!(code(&output), 2);
    assert!(output.stdout == expected);
    let reason = "): the file was truncated to 300000 bytes\nhelp: ";
    assert!(complaint(&output).starts_with(&format!("bifolio: hex {path} [300000..")));
    assert!(complaint(&output).contains(reason), "{}", complaint(&output));
}

#[test]
fn reverse_makes_the_bytes_again() {
    let dir = Dir::new();
    let mut random = Random::new();
    for _ in 0..20 {
        let bytes = made_of_lines(&mut random);
        let path = dir.write("a", &bytes);
        for flags in [&["--plain"][..], &["--plain", "-a"]] {
            let dump = bifolio().arg("hex").arg(&path).args(flags).output().unwrap().stdout;
            let dump = dir.write("dump", &dump);
            let output = run(["hex", "-r", &dump]);
            assert_eq!((code(&output), &output.stdout), (0, &bytes), "{flags:?}");
            let out = dir.file("out");
            let output = run(["hex", "-r", &dump, &out]);
            assert_eq!(code(&output), 0, "{}", complaint(&output));
            assert_eq!(std::fs::read(&out).unwrap(), bytes, "{flags:?}");
            std::fs::remove_file(&out).unwrap();
        }
    }
}

#[test]
fn reverse_reads_dumps_as_xxd_does() {
    let dir = Dir::new();
    for dump in [
        "00000004: 6162 63  abc\n",
        "4:6162\n10: 63\n",
        "0: 61 62 63 64  ffff\n",
        "0: 6162 zz 63\n8: 64\n",
        "0: 61\n\n*\n20: 6\n22: 62",
        "1: 4142 4344 4546 4748 494a 4b4c 4d4e 4f50  ABCDEFGHIJKLMNOP\n",
    ] {
        let path = dir.write("dump", dump.as_bytes());
        let Some(expected) = xxd(&["-r", &path]) else { return };
        let output = run(["hex", "-r", &path]);
        assert_eq!((code(&output), output.stdout), (0, expected), "{dump:?}");
    }
}

#[test]
fn reverse_patches_a_file_and_leaves_the_rest() {
    let dir = Dir::new();
    let target = dir.write("target", b"0123456789abcdef");
    let dump = dir.write("dump", b"0000000c: 5859  XY\n00000002: 5a\n");
    let output = run(["hex", "-r", &dump, &target]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    assert_eq!(std::fs::read(&target).unwrap(), b"01Z3456789abXYef");
    // On standard output there is no way back.
    let output = run(["hex", "-r", &dump]);
    assert_eq!(code(&output), 2);
    let expected = format!("bifolio: hex {dump}: offset 0x2 lies behind 0xe\nhelp: name a file");
    assert!(complaint(&output).starts_with(&expected), "{}", complaint(&output));
    assert_eq!(output.stdout, [&[0; 12][..], b"XY"].concat());
}
