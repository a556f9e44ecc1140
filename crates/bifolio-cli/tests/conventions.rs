//! What every command keeps to: colours, exit codes, closed pipes, full disks, no permission.

mod common;

use common::{Dir, bifolio, code, complaint, run, text};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

const ESCAPE: char = '\u{1b}';

#[test]
fn the_flag_decides_about_colours_then_no_color_then_clicolor_force() {
    let dir = Dir::new();
    let path = dir.write("a", b"bytes");
    let missing = dir.file("missing");
    for (flag, no_color, force, term, expected) in [
        // Not on a terminal.
        ("auto", None, None, "xterm", false),
        ("auto", None, Some("1"), "xterm", true),
        ("auto", None, Some(""), "xterm", false),
        ("auto", None, Some("1"), "dumb", true),
        ("auto", Some("1"), Some("1"), "xterm", false),
        ("auto", Some(""), Some("1"), "xterm", true),
        ("always", Some("1"), None, "dumb", true),
        ("never", None, Some("1"), "xterm", false),
    ] {
        let with = |args: &[&str]| {
            let mut command = bifolio();
            command.args(args).args(["--color", flag]).env("TERM", term);
            for (name, value) in [("NO_COLOR", no_color), ("CLICOLOR_FORCE", force)] {
                if let Some(value) = value {
                    command.env(name, value);
                }
            }
            command.output().unwrap()
        };
        let case = format!("{flag} {no_color:?} {force:?} {term}");
        assert_eq!(text(&with(&["hex", &path])).contains(ESCAPE), expected, "{case}");
        assert_eq!(complaint(&with(&["cat", &missing])).contains(ESCAPE), expected, "{case}");
        assert_eq!(text(&with(&["--help"])).contains(ESCAPE), expected, "{case}: help");
        assert_eq!(complaint(&with(&["--bogus"])).contains(ESCAPE), expected, "{case}: usage");
    }
}

/// Runs a line of shell on a terminal of 200 columns, which script(1) makes, and returns what was
/// written there; `None` where there is no script(1).
fn on_terminal(line: &str, env: &[(&str, &str)]) -> Option<String> {
    let line = format!("stty rows 50 cols 200; {line}");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).env("TERM", "xterm");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    let output = command.envs(env.iter().copied()).output().ok();
    if output.is_none() {
        println!("skipped: script(1) is not here");
    }
    output.map(|output| text(&output))
}

#[test]
fn progress_is_shown_on_a_terminal_when_work_is_long_and_goes_away() {
    let dir = Dir::new();
    let path = dir.write("a", &vec![b'x'; 1 << 20]);
    let program = env!("CARGO_BIN_EXE_bifolio");
    // The reader makes the work long: a pipe holds less than the file.
    for command in ["cat", "hex --plain"] {
        let long = format!("{program} {command} {path} | (sleep 0.6; cat >/dev/null)");
        let Some(shown) = on_terminal(&long, &[]) else { return };
        assert!(shown.contains(&format!(" % of {path}")), "{command}: {shown:?}");
        assert!(shown.ends_with("\r\u{1b}[K"), "{command}: {shown:?}");
    }
    let long = format!("{program} cat {path} 2>{} | (sleep 0.6; cat >/dev/null)", dir.file("err"));
    assert_eq!(on_terminal(&long, &[]), Some(String::new()));
    assert_eq!(std::fs::read(dir.file("err")).unwrap(), b"");
}

#[test]
fn each_stream_has_colours_where_it_is_a_terminal() {
    let dir = Dir::new();
    let path = dir.write("a", b"bytes");
    let missing = dir.file("missing");
    let program = env!("CARGO_BIN_EXE_bifolio");
    let hex = format!("{program} hex {path}");
    let Some(shown) = on_terminal(&hex, &[]) else { return };
    assert!(shown.contains(ESCAPE), "{shown}");
    let width = shown.lines().map(|line| line.trim_end().chars().count()).max();
    assert!(width > Some(150), "four panels fit in 200 columns: {shown}");
    for env in [&[("NO_COLOR", "1")][..], &[("TERM", "dumb")], &[("TERM", "dumb"), ("CI", "true")]]
    {
        let shown = on_terminal(&hex, env).unwrap();
        assert!(!shown.contains(ESCAPE) && shown.contains("62 79 74 65 73"), "{env:?} {shown}");
    }
    // Standard error is the terminal, standard output is not, and the other way round.
    let shown = on_terminal(&format!("{program} cat {missing} | cat"), &[]).unwrap();
    assert!(shown.contains(ESCAPE), "{shown}");
    let shown = on_terminal(&format!("{program} hex {path} | cat"), &[]).unwrap();
    assert!(!shown.contains(ESCAPE), "{shown}");
    let shown = on_terminal(&format!("{program} cat {missing} 2>&1 >/dev/tty | cat"), &[]).unwrap();
    assert!(!shown.contains(ESCAPE), "{shown}");
}

#[test]
fn the_help_lists_the_exit_codes_and_the_way_to_help() {
    for args in [&["--help"][..], &["cat", "--help"], &["hex", "-h"], &["cmp", "-h"]] {
        let output = bifolio().args(args).output().unwrap();
        assert_eq!(code(&output), 0);
        for line in
            ["Exit codes:", "  1    the answer is no", "  130  interrupted", "2 goes before 3"]
        {
            assert!(text(&output).contains(line), "{args:?}: {}", text(&output));
        }
        for line in text(&output).lines() {
            assert!(line.chars().count() <= 100, "{args:?}: {line}");
        }
    }
    for args in [&[][..], &["bogus"], &["cat", "--bogus"], &["hex", "-r", "-a"]] {
        let output = bifolio().args(args).output().unwrap();
        assert_eq!((code(&output), text(&output)), (2, String::new()), "{args:?}");
        assert!(complaint(&output).contains("Usage: bifolio"), "{}", complaint(&output));
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let dir = Dir::new();
    let path = dir.write("a", &vec![b'x'; 4 << 20]);
    for args in [
        &["cat", &path][..],
        &["cat", &path, &path],
        &["hex", &path, "--no-squeeze"],
        &["hex", &path, "--plain"],
    ] {
        let mut child =
            bifolio().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It has begun to write more than the pipe holds when the reader leaves.
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), complaint(&output)), (0, String::new()), "{args:?}");
    }
    // What fits in the buffer is written at the end only. The answer is the same whoever reads it.
    for (args, expected) in [
        (&["cmp", &path, "/proc/version"][..], 1),
        (&["cmp", "--json", &path, "/proc/version"], 1),
        (&["hex", "/proc/version"], 0),
        (&["watch", &path], 0),
        (&["--help"], 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = bifolio().args(args).stdout(writer).output().unwrap();
        assert_eq!((code(&output), complaint(&output)), (expected, String::new()), "{args:?}");
    }
}

#[test]
fn an_error_is_remembered_when_the_reader_leaves() {
    let dir = Dir::new();
    let (path, missing) = (dir.write("a", b"some bytes"), dir.file("missing"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = bifolio().args(["cat", &missing, &path]).stdout(writer).output().unwrap();
    assert_eq!((code(&output), complaint(&output).lines().count()), (2, 1));
}

#[test]
fn the_name_of_a_file_gives_a_terminal_no_orders() {
    let output = run(["cat", "no\u{1b}[2Jsuch\u{7}file"]);
    assert_eq!(code(&output), 2);
    let complaint = complaint(&output);
    assert!(complaint.starts_with("bifolio: cat no\\u{1b}[2Jsuch\\u{7}file: "), "{complaint}");
    let dir = Dir::new();
    let path = dir.write("clear\u{1b}[2J\nbifolio: lies, \u{202e}turned", &[7; 10_000]);
    let (missing, other) = (format!("{path}, missing"), dir.write("other", b"7"));
    let commands: [&[&str]; 10] = [
        &["residency", &path],
        &["residency", "--save", &missing, &other],
        &["touch", &format!("{path}/missing")],
        &["evict", &format!("{path}/missing")],
        &["info", &path],
        &["cmp", &path, &other],
        &["patch", "--dry-run", &path, "0", "00"],
        &["watch", "--once", &path],
        &["picture", &path, "-o", &path],
        &["picture", &path, "--format", "svg", "-o", "-"],
    ];
    for command in commands {
        let output = bifolio().args(command).env("COLUMNS", "400").output().unwrap();
        let said = text(&output) + &common::complaint(&output);
        assert!(
            said.contains(r"clear\u{1b}[2J\n") && said.contains(r"\u{202e}"),
            "{command:?}: {said}"
        );
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{command:?}: {said:?}");
        assert!(!said.contains("\nbifolio: lies"), "{command:?}: {said:?}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_said() {
    let Ok(_) = File::options().write(true).open("/dev/full") else {
        println!("skipped: /dev/full is not here");
        return;
    };
    let dir = Dir::new();
    let (a, b) = (dir.write("a", &vec![1; 1 << 20]), dir.write("b", b"other"));
    for args in [
        &["cat", &a][..],
        &["cat", &b],
        &["hex", &a],
        &["hex", "--plain", &a],
        &["cmp", &a, &b],
        &["cmp", "--json", &a, &b],
        &["residency", &a],
        &["residency", "--json", &a],
        &["touch", &a],
        &["evict", "--json", &b],
        &["patch", "--dry-run", &b, "0", "ff"],
        &["watch", &b],
        &["watch", "--once", "--json", &b],
        &["picture", &a, "--format", "svg", "-o", "-"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = bifolio().args(args).stdout(full).output().unwrap();
        assert_eq!(code(&output), 2, "{args:?}");
        let complaint = complaint(&output);
        let start = format!("bifolio: {} (standard output): No space left", args[0]);
        assert!(complaint.starts_with(&start), "{args:?}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    for args in [&["--help"][..], &["--version"], &["cat", "-h"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = bifolio().args(args).stdout(full).output().unwrap();
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(complaint(&output).contains("(standard output): No space left"), "{args:?}");
    }
}

#[test]
fn what_may_not_be_read_is_an_error_that_says_so() {
    let dir = Dir::new();
    let path = dir.write("secret", b"secret");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    // Root may read everything, so that the program must be somebody else, who may start it.
    let program = dir.file("bifolio");
    // By another process: a child of another test that inherits a file open for writing would keep
    // it from being started.
    let copy = Command::new("cp").args([env!("CARGO_BIN_EXE_bifolio"), &program]).status();
    assert!(copy.unwrap().success());
    for directory in [dir.path(), program.as_ref()] {
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    for args in [
        &["cat", &path][..],
        &["hex", &path],
        &["hex", "-r", &path],
        &["residency", &path],
        &["touch", &path],
        &["evict", &path],
        &["lock", &path],
        &["cmp", &path, &path],
        &["patch", &path, "0", "00"],
        &["watch", &path],
        &["picture", &path, "--format", "svg", "-o", "-"],
    ] {
        let mut command = Command::new(&program);
        command.args(args).stdin(Stdio::null());
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().unwrap();
        assert_eq!((code(&output), text(&output)), (2, String::new()), "{args:?}");
        let complaint = complaint(&output);
        let start = format!("bifolio: {} {path}: ", args[0]);
        assert!(complaint.starts_with(&start), "{args:?}: {complaint}");
        assert!(complaint.contains("Permission denied"), "{args:?}: {complaint}");
    }
}

#[test]
fn missing_files_and_directories_are_errors_of_every_command() {
    let dir = Dir::new();
    let (missing, directory) = (dir.file("missing"), dir.path().to_str().unwrap().to_owned());
    for path in [&missing, &directory] {
        for args in [
            &["cat", path][..],
            &["hex", path],
            &["hex", "-r", path],
            &["cmp", path, path],
            &["patch", path, "0", "00"],
            &["patch", path, "0", "00", "--dry-run"],
            &["watch", path],
            &["picture", path, "--format", "svg", "-o", "-"],
        ] {
            let output = bifolio().args(args).output().unwrap();
            assert_eq!((code(&output), text(&output)), (2, String::new()), "{args:?}");
            let start = format!("bifolio: {} {path}: ", args[0]);
            assert!(complaint(&output).starts_with(&start), "{args:?}: {}", complaint(&output));
        }
    }
}

/// What hides what in the exit code: an error the unknown, and the unknown a no.
#[test]
fn an_error_hides_what_is_unknown_and_that_hides_a_no() {
    let dir = Dir::new();
    let (theirs, missing) = (dir.write("theirs", &[7; 100_000]), dir.file("missing"));
    std::fs::set_permissions(&theirs, PermissionsExt::from_mode(0o644)).unwrap();
    // tmpfs has nowhere to evict to, so that pages stay.
    let memory = format!("/dev/shm/bifolio-conventions-{}", std::process::id());
    let stays = std::fs::write(&memory, [7; 5000])
        .and_then(|()| std::os::unix::fs::chown(&memory, Some(65_534), None))
        .is_ok()
        && code(&run(["evict", "-q", &memory])) == 1;
    let Some(command) = common::as_nobody(&dir) else { return };
    let exit = |command_line: &[&str]| {
        let mut nobody = Command::new(command.get_program());
        nobody.uid(65_534).gid(65_534).stdin(Stdio::null());
        let output = nobody.args(command_line).output().unwrap();
        let said = complaint(&output);
        assert_eq!(said.contains("missing: No such file"), command_line.contains(&&*missing));
        code(&output)
    };
    for name in ["residency", "evict", "info"] {
        assert_eq!(exit(&[name, &theirs]), 3, "{name}");
        assert_eq!(exit(&[name, &theirs, &missing]), 2, "{name}");
        assert_eq!(exit(&[name, &missing, &theirs]), 2, "{name}");
    }
    // What touch is asked to do is done, whoever may hear of it.
    assert_eq!(exit(&["touch", &theirs]), 0);
    assert_eq!(exit(&["touch", &theirs, &missing]), 2);
    if stays {
        assert_eq!(exit(&["evict", &memory]), 1);
        assert_eq!(exit(&["evict", &memory, &theirs]), 3);
        assert_eq!(exit(&["evict", &memory, &missing]), 2);
        std::fs::remove_file(&memory).unwrap();
    } else {
        println!("skipped: no file whose pages stay can be had");
    }
}

#[test]
fn what_has_come_through_a_pipe_is_shown_and_an_interrupt_ends_it() {
    let mut child = bifolio()
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The pipe stays open: who waits for more shows what there is.
    child.stdin.as_mut().unwrap().write_all(b"here").unwrap();
    let mut shown = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut shown).unwrap();
    assert_eq!(&shown, b"here");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    // A shell shows the death by a signal as 128 and its number: 130.
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(2), "{status}");
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = run(["--version"]);
    assert_eq!(text(&output), format!("bifolio {}\n", env!("CARGO_PKG_VERSION")));
}

/// Long work is made by a reader who takes little at a time until the line has come.
#[test]
fn progress_is_shown_on_a_terminal_after_a_while_and_wiped() {
    let dir = Dir::new();
    let (path, pipe) = (dir.write("a", &vec![b'x'; 16 << 20]), dir.file("pipe"));
    let has_tools = Command::new("script").arg("--version").output().is_ok();
    if !has_tools || !Command::new("mkfifo").arg(&pipe).status().is_ok_and(|made| made.success()) {
        println!("skipped: no script(1) to make a terminal, or no mkfifo(1)");
        return;
    }
    let program = env!("CARGO_BIN_EXE_bifolio");
    for is_terminal in [true, false] {
        let errors = if is_terminal { "" } else { "2>&1 | cat" };
        let line = format!("{{ '{program}' cat '{path}' >'{pipe}'; }} {errors}");
        let mut child = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut bytes = File::open(&pipe).unwrap();
        let mut shown = child.stdout.take().unwrap();
        let start = std::time::Instant::now();
        let watch = std::thread::spawn(move || {
            let mut text = String::new();
            shown.read_to_string(&mut text).map(|_| text)
        });
        // Twice as long as the program waits before it shows anything, in which the pipe is never
        // empty for long.
        let mut block = vec![0; 64 << 10];
        while start.elapsed() < std::time::Duration::from_secs(1) {
            bytes.read_exact(&mut block[..4 << 10]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        while bytes.read(&mut block).unwrap() > 0 {}
        assert!(child.wait().unwrap().success());
        let text = watch.join().unwrap().unwrap();
        if is_terminal {
            assert!(text.contains(&format!("% of {path}")), "{text:?}");
            assert!(text.ends_with("\r\u{1b}[K"), "{text:?}");
        } else {
            assert_eq!(text, "");
        }
    }
}
