//! `bifolio tour`: it runs to its end, for everybody and everywhere, and leaves nothing behind.

mod common;

use common::{Dir, bifolio, code, complaint, text};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const STEPS: usize = 9;

/// A directory for temporary files that everybody may write.
fn temporary(dir: &Dir) -> String {
    let path = dir.file("tmp");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    path
}

fn is_empty(dir: &str) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

fn check_text(output: &Output) {
    let shown = text(output);
    assert_eq!(code(output), 0, "{shown}{}", complaint(output));
    assert!(output.stderr.is_empty(), "{}", complaint(output));
    for number in 1..=STEPS {
        assert!(shown.lines().any(|line| line.starts_with(&format!("{number} "))), "{shown}");
    }
    assert!(!shown.contains("could not be done"), "{shown}");
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "{line:?} is too long");
    }
}

/// The facts of a step.
fn facts<'a>(all: &'a Value, name: &str) -> &'a Value {
    let steps = all["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["name"] == name).unwrap();
    assert_eq!(step["failure"], Value::Null, "{step}");
    &step["facts"]
}

fn check_facts(all: &Value, len: u64) {
    assert_eq!(all["schema"], 1);
    assert_eq!(all["is_unchanged"], true);
    assert_eq!(all["steps"].as_array().unwrap().len(), STEPS);
    let page = bifolio::page::page_size().bytes() as u64;
    assert_eq!(facts(all, "map")["len_bytes"], len);
    assert_eq!(facts(all, "map")["pages"], len.div_ceil(page));
    let demand = facts(all, "demand");
    let faults = |when: &str| {
        demand[when]["minor_faults"].as_u64().unwrap()
            + demand[when]["major_faults"].as_u64().unwrap()
    };
    // Counting faults may itself raise a few.
    assert!(faults("first") > 0 && faults("again") < demand["pages"].as_u64().unwrap() + 3);
    assert_eq!(facts(all, "random")["same_bytes"], true);
    assert_eq!(facts(all, "offset")["same_byte"], true);
    let private = facts(all, "private");
    assert_eq!((&private["seen_here"], &private["seen_by_others"]), (&true.into(), &false.into()));
    let (at, bytes) = (private["offset"].as_u64().unwrap(), private["len_bytes"].as_u64().unwrap());
    let copied = private["copied"].as_array().unwrap();
    assert_eq!(copied.len(), 1, "{private}");
    assert_eq!(copied[0][0], at / page * page);
    assert_eq!(copied[0][1], ((at + bytes).div_ceil(page) * page).min(len));
    let shared = facts(all, "shared");
    for who in ["seen_by_process", "seen_by_read", "seen_back"] {
        assert_eq!(shared[who], true, "{shared}");
    }
    assert_eq!(facts(all, "refused")["errno"], bifolio::Errno::ACCESS.raw_os_error());
    let cut = facts(all, "truncated");
    let expected = format!("the file was truncated to {} bytes", cut["cut_to_bytes"]);
    assert!(cut["error"].as_str().unwrap().contains(&expected), "{cut}");
    let grown = &facts(all, "anonymous")["grown"];
    assert!(grown["addresses_bytes"].as_u64().unwrap() >= 1 << 40, "{grown}");
    let memory = grown["memory_bytes"].as_u64().unwrap();
    assert!(((1 << 20)..(8 << 20)).contains(&memory), "{grown}");
}

#[test]
fn without_a_file_it_makes_one_and_takes_it_away() {
    let dir = Dir::new();
    let tmp = temporary(&dir);
    check_text(&bifolio().arg("tour").env("TMPDIR", &tmp).output().unwrap());
    assert!(is_empty(&tmp));
}

#[test]
fn the_file_is_looked_at_and_never_changed() {
    let dir = Dir::new();
    let tmp = temporary(&dir);
    for len in [1, 24, 4096, 5000, 300_000, 20 << 20] {
        let content: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
        let path = dir.write("file", &content);
        let before = std::fs::metadata(&path).unwrap();
        let output = bifolio().args(["tour", "--json", &path]).env("TMPDIR", &tmp).output();
        let output = output.unwrap();
        assert_eq!(code(&output), 0, "{}{}", text(&output), complaint(&output));
        check_facts(&serde_json::from_str(&text(&output)).unwrap(), len as u64);
        let after = std::fs::metadata(&path).unwrap();
        assert!(std::fs::read(&path).unwrap() == content, "{len}");
        assert_eq!((before.mtime_nsec(), before.ino()), (after.mtime_nsec(), after.ino()));
        assert!(is_empty(&tmp));
    }
}

#[test]
fn a_user_without_any_right_sees_all_of_it() {
    let dir = Dir::new();
    let Some(mut command) = common::as_nobody(&dir) else { return };
    let (tmp, path) = (temporary(&dir), dir.write("file", &[b'x'; 100_000]));
    std::fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    command.args(["tour", &path]).env("TMPDIR", &tmp);
    let output = command.output().unwrap();
    check_text(&output);
    // The file is somebody else's.
    assert!(text(&output).contains("an unknown number were in memory"), "{}", text(&output));
    let output = command.arg("--json").output().unwrap();
    let all: Value = serde_json::from_str(&text(&output)).unwrap();
    check_facts(&all, 100_000);
    assert_eq!(facts(&all, "demand")["resident_before"], Value::Null);
    assert!(std::fs::read(&path).unwrap() == [b'x'; 100_000]);
    assert!(is_empty(&tmp));
}

#[test]
fn it_works_where_temporary_files_are_memory() {
    let tmpfs = Path::new("/dev/shm");
    if !tmpfs.is_dir() {
        println!("skipped: there is no /dev/shm");
        return;
    }
    check_text(&bifolio().arg("tour").env("TMPDIR", tmpfs).output().unwrap());
}

#[test]
fn a_step_that_is_impossible_here_does_not_end_the_tour() {
    // No process with so few addresses gets a tebibyte of them.
    let line = "ulimit -v 2000000; exec \"$0\" tour --json";
    let output = Command::new("sh").args(["-c", line, env!("CARGO_BIN_EXE_bifolio")]).output();
    let output = output.unwrap();
    assert_eq!(code(&output), 3, "{}", complaint(&output));
    let all: Value = serde_json::from_str(&text(&output)).unwrap();
    for step in all["steps"].as_array().unwrap() {
        assert_eq!(step["failure"].is_string(), step["name"] == "anonymous", "{step}");
    }
}

#[test]
fn what_cannot_be_mapped_is_refused_at_once() {
    let dir = Dir::new();
    let (empty, absent) = (dir.write("empty", b""), dir.file("absent"));
    for path in [&empty, &absent, dir.path().to_str().unwrap(), "/dev/null", "/proc/version"] {
        let output = bifolio().args(["tour", path]).output().unwrap();
        assert_eq!(code(&output), 2, "{path}");
        assert!(output.stdout.is_empty() && complaint(&output).contains(path), "{output:?}");
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut command = bifolio();
    command.arg("tour").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), complaint(&output).as_str()), (0, ""));
}
