//! `bifolio lock`: what is locked stays in memory as long as was said, and no longer.

mod common;

use common::{Dir, bifolio, code, cold_file, complaint, run, text};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// What the kernel counts as locked by a process, in bytes (proc_pid_status(5)).
fn locked_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmLck:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

fn resident_pages(path: &str) -> Value {
    let output = run(["residency", "--json", "-s", path]);
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    document["totals"].clone()
}

/// A process that holds locks in the foreground, and ends with the value.
struct Holder(Child);

impl Holder {
    /// Starts it, and returns when it says what it locked.
    fn start(args: &[&str]) -> (Holder, String) {
        let mut child = bifolio()
            .arg("lock")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Holder(child), line)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The next line that it complains in.
    fn next_complaint(&mut self) -> String {
        let mut line = vec![];
        let mut byte = [0];
        while byte != *b"\n" && self.0.stderr.as_mut().unwrap().read(&mut byte).unwrap() == 1 {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so; not for ever.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} does not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Whether so much may be locked here.
fn may_lock() -> bool {
    let limit = Command::new("sh").args(["-c", "ulimit -l"]).output().unwrap();
    let is_enough = match text(&limit).trim().parse::<u64>() {
        Ok(kib) => kib << 10 >= 8 * MIB,
        Err(_) => text(&limit).trim() == "unlimited",
    };
    // Root may lock more than its limit.
    let is_root = text(&Command::new("id").arg("-u").output().unwrap()).trim() == "0";
    if !is_enough && !is_root {
        println!("skipped: this process may not lock 8 MiB");
    }
    is_enough || is_root
}

#[test]
fn locked_files_are_in_memory_and_cannot_be_evicted_until_it_ends() {
    if !may_lock() {
        return;
    }
    let dir = Dir::new();
    let Some(a) = cold_file(&dir, "a", 2 * MIB) else { return };
    let Some(b) = cold_file(&dir, "b", 4 * MIB) else { return };
    let (holder, line) = Holder::start(&[&a, "-p", "1M-3M", &b]);
    assert!(line.starts_with("2 files locked in memory: 3 MiB in "), "{line}");
    assert!(line.ends_with(&format!("by process {}\n", holder.pid())), "{line}");
    assert_eq!(locked_bytes(holder.pid()), Some(3 * MIB));
    let output = run(["evict", &b]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    let said = text(&output);
    assert!(said.contains(&format!("locked by {} (bifolio)", holder.pid())), "{said}");
    let totals = resident_pages(&b);
    assert!(totals["resident_bytes"].as_u64().unwrap() >= 2 * MIB, "{totals}");
    kill(holder.pid(), "-INT");
    drop(holder);
    assert_eq!(code(&run(["evict", &a, &b])), 0);
    assert_eq!(resident_pages(&b)["resident_pages"], 0);
}

#[test]
fn the_locks_last_as_long_as_a_command_and_its_exit_code_counts() {
    if !may_lock() {
        return;
    }
    let dir = Dir::new();
    let path = dir.write("file", &[7; 100_000]);
    let script = "grep VmLck: /proc/$PPID/status; exit 7";
    let output = run(["lock", &path, "--", "sh", "-c", script]);
    let locked = text(&output).split_whitespace().nth(1).map(|kib| kib.parse::<u64>().unwrap());
    assert_eq!(code(&output), 7, "{}", complaint(&output));
    assert!(locked.is_some_and(|kib| kib << 10 >= 100_000), "{}", text(&output));
    for (script, expected) in [("exit 0", 0), ("kill -KILL $$", 137), ("exit 255", 255)] {
        assert_eq!(code(&run(["lock", &path, "--", "sh", "-c", script])), expected, "{script}");
    }
    let output = run(["lock", &path, "--", "/no/such/program"]);
    assert_eq!((code(&output), text(&output)), (2, String::new()));
    assert!(complaint(&output).starts_with("bifolio: lock /no/such/program: No such file"));
    // Its input is the command's.
    let mut child = bifolio()
        .args(["lock", &path, "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap()), "through");
}

#[test]
fn all_is_locked_or_nothing() {
    let dir = Dir::new();
    let (path, missing) = (dir.write("file", &[7; 5000]), dir.file("missing"));
    let output = run(["lock", &path, &missing, "--", "echo", "ran"]);
    assert_eq!((code(&output), text(&output)), (2, String::new()));
    assert!(complaint(&output).starts_with(&format!("bifolio: lock {missing}: No such file")));
    for args in [&["lock"][..], &["lock", "--", "true"], &["lock", "-d", &path, "--", "true"]] {
        assert_eq!(code(&bifolio().args(args).output().unwrap()), 2, "{args:?}");
    }
}

#[test]
fn a_limit_that_is_too_low_is_named_with_what_to_do() {
    let dir = Dir::new();
    let path = dir.write("file", &vec![7; 1 << 20]);
    let Some(command) = common::as_nobody(&dir) else { return };
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let line = "ulimit -l 64 && exec \"$0\" lock \"$1\" -- echo ran";
    let output = Command::new("sh")
        .args(["-c", line, command.get_program().to_str().unwrap(), &path])
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert_eq!((code(&output), text(&output)), (2, String::new()));
    let said = complaint(&output);
    assert!(
        said.contains("this process may lock 64 KiB\nhelp: raise the limit: `ulimit -l`"),
        "{said}"
    );
    // Each file that is locked is open.
    for index in 0..40 {
        dir.write(&format!("many-{index}"), b"7");
    }
    let line = "ulimit -n 30 && exec \"$0\" lock \"$1\" -- echo ran";
    let output = Command::new("sh")
        .args(["-c", line, env!("CARGO_BIN_EXE_bifolio"), dir.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!((code(&output), text(&output)), (2, String::new()));
    assert!(complaint(&output).contains("help: raise the limit of open files"), "{output:?}");
}

#[test]
fn what_happens_to_a_locked_file_is_said_once() {
    let dir = Dir::new();
    let (a, b) = (dir.write("a", &[7; 5000]), dir.write("b", &[7; 5000]));
    let (mut holder, _) = Holder::start(&[&a, &b]);
    let mut file = File::options().append(true).open(&a).unwrap();
    file.write_all(&[7; 5240]).unwrap();
    assert_eq!(
        holder.next_complaint(),
        format!("bifolio: lock {a}: it grew from 4.88 KiB to 10 KiB: what was added is not locked")
    );
    std::fs::rename(dir.write("new", &[8; 100]), &b).unwrap();
    let said = holder.next_complaint();
    assert!(said.starts_with(&format!("bifolio: lock {b}: it was replaced: ")), "{said}");
    file.set_len(100).unwrap();
    let said = holder.next_complaint();
    assert!(said.ends_with(": it was cut to 100 B: the rest is gone"), "{said}");
    std::fs::remove_file(&a).unwrap();
    let said = holder.next_complaint();
    assert!(said.ends_with(": it was removed or renamed, and stays locked"), "{said}");
}

#[test]
fn a_daemon_gives_the_caller_back_and_its_pid_file_goes_with_it() {
    let dir = Dir::new();
    let (path, pid_file) = (dir.write("file", &[7; 5000]), dir.file("pid"));
    // The output ends although the daemon lives: it has none of the caller's streams.
    let output = run(["lock", "--daemon", "-P", &pid_file, &path]);
    assert_eq!((code(&output), complaint(&output)), (0, String::new()));
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    assert!(text(&output).ends_with(&format!("by process {pid}\n")), "{}", text(&output));
    assert!(locked_bytes(pid).unwrap() >= 5000);
    let again = run(["lock", "-d", "-P", &pid_file, &path]);
    assert_eq!((code(&again), text(&again)), (2, String::new()));
    assert!(complaint(&again).contains(&format!("process {pid} is alive")));
    // By a signal that nobody can handle.
    kill(pid, "-KILL");
    until("the PID file goes", || !Path::new(&pid_file).exists());
    let failed = run(["lock", "-d", "-P", &pid_file, &dir.file("missing")]);
    assert_eq!((code(&failed), text(&failed)), (2, String::new()));
    assert!(complaint(&failed).contains("No such file") && !Path::new(&pid_file).exists());
    // A file that is left over by a machine that lost its power names nobody.
    std::fs::write(&pid_file, "4194999\n").unwrap();
    let output = run(["lock", "-d", "-q", "-P", &pid_file, &path]);
    assert_eq!((code(&output), text(&output)), (0, String::new()), "{}", complaint(&output));
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    kill(pid, "-TERM");
    until("the PID file goes", || !Path::new(&pid_file).exists());
}

#[test]
fn a_pid_file_that_cannot_be_written_is_not_left_behind() {
    let dir = Dir::new();
    let (path, pid_file) = (dir.write("file", &[7; 5000]), dir.file("pid"));
    // No file may grow, as on a full disk.
    let script = r#"ulimit -f 0; trap "" XFSZ; exec "$0" lock -P "$1" "$2" -- true"#;
    let mut sh = Command::new("sh");
    sh.args(["-c", script, env!("CARGO_BIN_EXE_bifolio"), &pid_file, &path]);
    let output = sh.output().unwrap();
    assert_eq!(code(&output), 2, "{}", complaint(&output));
    assert!(complaint(&output).starts_with(&format!("bifolio: lock {pid_file}: ")));
    assert!(!Path::new(&pid_file).exists());
}
