//! A screen whose terminal goes away ends, and does not wait for keys for ever.

mod common;

use common::Dir;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The only child of a process, once it has one.
fn child_of(pid: u32) -> Option<String> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next().map(str::to_owned)
}

#[test]
fn a_terminal_that_hangs_up_ends_the_screen() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 100_000]);
    // The shell that script(1) starts ignores the signal, as nohup(1) makes programs do.
    let program = env!("CARGO_BIN_EXE_bifolio");
    let line = format!("trap '' HUP; stty rows 24 cols 80; exec {program} watch {path}");
    let script = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut script) = script else {
        println!("skipped: script(1) is not here");
        return;
    };
    // It has drawn: it has the terminal.
    script.stdout.as_mut().unwrap().read_exact(&mut [0; 500]).unwrap();
    let pid = child_of(script.id()).expect("script(1) runs the program");
    script.kill().unwrap();
    script.wait().unwrap();
    // Whoever inherits it may be slow to take note of its end.
    let gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    };
    let start = Instant::now();
    while !gone() && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(20));
    }
    if !gone() {
        let _ = Command::new("kill").args(["-9", &pid]).status();
        panic!("it goes on without a terminal");
    }
}
