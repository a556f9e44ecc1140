//! `bifolio watch` on a terminal, which tmux(1) makes: what it shows, what its keys do, and that the
//! terminal is as before however it ends. What it prints without one is tested too.

mod common;

use common::{Dir, as_nobody, bifolio, code, complaint, run, text};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long the screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// A terminal of tmux in which a shell waits for lines.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// `None`, with a word why, where there is no tmux.
    fn new(columns: u16, rows: u16, dir: &Dir) -> Option<Terminal> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: the number only has to be unique.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal { socket: format!("bifolio-{}-{count}", std::process::id()) };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let args = ["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows];
        let mut command = terminal.command(&args);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
            command.env_remove(name);
        }
        command.current_dir(dir.path()).env("LC_ALL", "C.UTF-8");
        match command.args(["env", "PS1=ready $? ", "sh"]).output() {
            Ok(output) if output.status.success() => {
                terminal.until("ready");
                Some(terminal)
            }
            Ok(output) => panic!("{}", complaint(&output)),
            Err(error) => {
                println!("skipped: tmux is not here: {error}");
                None
            }
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.socket]).args(args).env_remove("TMUX");
        command
    }

    /// Types a line for the shell.
    fn line(&self, line: &str) {
        self.type_in(&["-l", line]);
        self.type_in(&["Enter"]);
    }

    /// Types a key.
    fn key(&self, key: &str) {
        self.type_in(&[key]);
    }

    fn type_in(&self, keys: &[&str]) {
        let args = [&["send-keys"], keys].concat();
        assert!(self.command(&args).status().unwrap().success());
    }

    fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let args = ["resize-window", "-x", &columns, "-y", &rows];
        assert!(self.command(&args).status().unwrap().success());
    }

    fn shown(&self) -> String {
        text(&self.command(&["capture-pane", "-p"]).output().unwrap())
    }

    /// Waits until the screen is as it should be, and returns it.
    #[track_caller]
    fn wait(&self, is_so: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let shown = self.shown();
            if is_so(&shown) {
                return shown;
            }
            assert!(start.elapsed() < PATIENCE, "it still shows:\n{shown}");
            std::thread::sleep(PAUSE);
        }
    }

    #[track_caller]
    fn until(&self, text: &str) -> String {
        self.wait(|shown| shown.contains(text))
    }

    /// The number of the program that runs in it.
    fn pid(&self) -> String {
        let shell =
            text(&self.command(&["display-message", "-p", "#{pane_pid}"]).output().unwrap());
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        let start = Instant::now();
        loop {
            let pid = std::fs::read_to_string(&children).unwrap();
            if !pid.trim().is_empty() {
                return pid.trim().to_owned();
            }
            assert!(start.elapsed() < PATIENCE, "nothing runs");
        }
    }

    /// Checks that the terminal is as a shell wants it, with what was there before.
    #[track_caller]
    fn assert_restored(&self, expected: &str) {
        let shown = self.until(expected);
        assert!(shown.contains("before"), "the screen from before is gone:\n{shown}");
        assert!(!shown.contains("bifolio watch  "), "{shown}");
        let asked = ["display-message", "-p", "#{alternate_on} #{cursor_flag}"];
        self.wait(|_| text(&self.command(&asked).output().unwrap()).trim() == "0 1");
        self.line("stty -a | tr ' ;' '\\n\\n' | grep -xE -- '-?(echo|icanon|isig)' | tr '\\n' ' '");
        self.wait(|shown| {
            let words: Vec<_> = shown.split_whitespace().collect();
            ["isig", "icanon", "echo"].iter().all(|word| words.contains(word))
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).stderr(Stdio::null()).status();
    }
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_bifolio")
}

/// A file of 4 MiB of which the first MiB is data that is on the disk, the rest a hole.
fn data_and_hole(dir: &Dir, name: &str) -> String {
    let path = dir.file(name);
    let file = File::create(&path).unwrap();
    file.write_all_at(&vec![7; 1 << 20], 0).unwrap();
    file.set_len(4 << 20).unwrap();
    file.sync_all().unwrap();
    path
}

fn resident_pages(path: &str) -> u64 {
    let all: Value =
        serde_json::from_str(&text(&run(["watch", "--once", "--json", path]))).unwrap();
    all["items"][0]["pages"]["resident_pages"].as_u64().unwrap()
}

#[test]
fn the_keys_touch_and_evict_pages_and_the_screen_shows_it() {
    let dir = Dir::new();
    let path = data_and_hole(&dir, "data");
    let other = dir.write("other", b"other");
    let Some(terminal) = Terminal::new(100, 30, &dir) else { return };
    terminal.line("echo before");
    terminal.line(&format!("{} watch {path} {other}; echo \"code $?\"", program()));
    terminal.until("1 MiB in memory");
    terminal.key("e");
    let said = terminal.wait(|shown| shown.contains("evicted 1 MiB"));
    if said.contains("stayed") && !said.contains("0 B stayed") {
        println!("skipped: the file system of the temporary directory keeps its pages in memory");
        return;
    }
    terminal.until("> ");
    terminal.until(" 0 B in memory");
    assert_eq!(resident_pages(&path), 0);
    terminal.key("t");
    let shown = terminal
        .wait(|shown| shown.contains("touched 1 MiB") && shown.contains(" 1 MiB in memory"));
    assert!(shown.contains("blank: a hole"), "{shown}");
    // The hole got no pages.
    assert_eq!(resident_pages(&path) * 4096, 1 << 20);
    terminal.key("j");
    terminal.until("> ");
    terminal
        .wait(|shown| shown.lines().any(|line| line.starts_with("> ") && line.contains("other")));
    terminal.key("q");
    terminal.assert_restored("code 0");
}

#[test]
fn the_terminal_is_restored_after_interrupts_and_signals() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 10_000]);
    let Some(terminal) = Terminal::new(80, 24, &dir) else { return };
    // The shell's numbers for programs that SIGINT and SIGTERM ended, in its prompt.
    for (end, status) in [("C-c", "ready 130"), ("-INT", "ready 130"), ("-TERM", "ready 143")] {
        terminal.line("clear; echo before");
        terminal.line(&format!("{} watch {path}", program()));
        terminal.until("looks/s");
        if end.starts_with('-') {
            assert!(Command::new("kill").args([end, &terminal.pid()]).status().unwrap().success());
        } else {
            terminal.key(end);
        }
        terminal.assert_restored(status);
    }
}

#[test]
fn it_stops_and_goes_on_as_programs_do() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 10_000]);
    let Some(terminal) = Terminal::new(80, 24, &dir) else { return };
    terminal.line("set -m; echo before");
    terminal.line(&format!("{} watch {path}", program()));
    for stop in ["C-z", "-TSTP"] {
        terminal.until("looks/s");
        match stop {
            "C-z" => terminal.key(stop),
            _ => {
                let pid = terminal.pid();
                assert!(Command::new("kill").args([stop, &pid]).status().unwrap().success());
            }
        }
        terminal.assert_restored("Stopped");
        terminal.line("clear; echo before; fg");
    }
    terminal.until("looks/s");
    terminal.key("q");
    terminal.assert_restored("before");
}

#[test]
fn any_size_of_the_terminal_will_do() {
    let dir = Dir::new();
    let path = data_and_hole(&dir, "data");
    File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    let Some(terminal) = Terminal::new(20, 5, &dir) else { return };
    terminal.line(&format!("{} watch {path}", program()));
    terminal.wait(|shown| shown.starts_with("bifolio watch") && shown.contains('\u{2591}'));
    terminal.resize(120, 40);
    terminal.until("machine: faults");
    terminal.resize(3, 2);
    terminal.wait(|shown| shown.lines().all(|line| line.chars().count() <= 3));
    terminal.resize(80, 24);
    terminal.until("looks/s");
    terminal.key("?");
    terminal.until("q quit");
    for key in ["+", "+", "+"] {
        terminal.key(key);
    }
    terminal.until("x8");
    for key in ["NPage", "PPage", "-", "-", "-", "g", "o", "Home", "End"] {
        terminal.key(key);
    }
    terminal.wait(|shown| !shown.contains("x8") && shown.contains("0 B to 1 GiB"));
}

#[test]
fn without_colours_the_glyphs_say_all() {
    let dir = Dir::new();
    let path = data_and_hole(&dir, "data");
    let Some(terminal) = Terminal::new(80, 24, &dir) else { return };
    terminal.line(&format!("NO_COLOR=1 {} watch {path}", program()));
    terminal.until("looks/s");
    let shown = text(&terminal.command(&["capture-pane", "-p", "-e"]).output().unwrap());
    // Of the sequences only those that go back to no colour: 39 and 49.
    let mut codes = shown.split("\u{1b}[").skip(1).filter_map(|part| part.split('m').next());
    let is_color = |code: &str| code.len() == 2 && code.starts_with(['3', '4', '9']);
    let is_plain = |code: &str| !is_color(code) || ["39", "49"].contains(&code);
    assert!(codes.all(|codes| codes.split(';').all(is_plain)), "{shown:?}");
    assert!(shown.contains('\u{2588}') && !shown.contains('\u{2580}'), "{shown}");
    terminal.key("q");
    // Nothing can be drawn where the terminal is dumb: it is printed once.
    terminal.line(&format!("clear; TERM=dumb {} watch {path}; echo \"code $?\"", program()));
    terminal.until("code 0");
}

#[test]
fn what_happens_to_a_file_is_followed() {
    let dir = Dir::new();
    let path = dir.write("file", &vec![7; 1 << 20]);
    let Some(terminal) = Terminal::new(100, 24, &dir) else { return };
    terminal.line(&format!("{} watch {path}", program()));
    terminal.until("0 B to 1 MiB");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 12).unwrap();
    terminal.wait(|shown| shown.contains("0 B to 4 KiB") && shown.contains("was cut"));
    file.set_len(3 << 20).unwrap();
    terminal.until("0 B to 3 MiB");
    file.set_len(0).unwrap();
    terminal.until("empty");
    std::fs::write(dir.file("new"), vec![8; 8192]).unwrap();
    std::fs::rename(dir.file("new"), &path).unwrap();
    terminal.wait(|shown| shown.contains("0 B to 8 KiB") && shown.contains("replaced"));
    std::fs::remove_file(&path).unwrap();
    terminal.until("deleted, still open here");
}

#[test]
fn what_is_recorded_can_be_shown_and_wound() {
    let dir = Dir::new();
    let path = data_and_hole(&dir, "data");
    let record = dir.file("record");
    let Some(terminal) = Terminal::new(100, 24, &dir) else { return };
    terminal.line(&format!("{} watch --record {record} {path}", program()));
    terminal.until("REC");
    terminal.key("e");
    terminal.until("evicted");
    terminal.key("t");
    terminal.until("touched 1 MiB");
    // So that the last look is in it.
    terminal.wait(|shown| shown.contains(" 1 MiB in memory"));
    terminal.key("q");
    terminal.wait(|shown| !shown.contains("REC"));
    terminal.line(&format!("clear; {} watch --replay {record}; echo \"code $?\"", program()));
    terminal.until("replay");
    // It plays to its end by itself.
    terminal.wait(|shown| {
        let words: Vec<_> = shown.split_whitespace().collect();
        let at = words.iter().position(|&word| word == "frame");
        at.is_some_and(|at| words.get(at + 1) == words.get(at + 3))
    });
    for _ in 0..100 {
        terminal.key("{");
    }
    terminal.wait(|shown| shown.contains("frame 1 of") && shown.contains("PAUSED"));
    terminal.key(">");
    terminal.until("frame 2 of");
    terminal.key("q");
    terminal.until("code 0");
    // It is not overwritten, and what is none is not shown.
    let again = format!("clear; {} watch --record {record} {path}; echo \"code $?\"", program());
    terminal.line(&again);
    terminal.wait(|shown| shown.contains("exists") && shown.contains("code 2"));
    let output = run(["watch", "--once", "--replay", &record]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    assert!(text(&output).contains("data"), "{}", text(&output));
}

#[test]
fn a_recording_that_is_none_is_refused_with_its_line() {
    let dir = Dir::new();
    let head = "{\"schema\":1,\"type\":\"watch\",\"of\":\"files\",\"page_bytes\":4096}\n";
    let frame = |item: &str| {
        format!(
            "{{\"schema\":1,\"type\":\"frame\",\"at_ms\":0,\"counters\":null,\"items\":[{item}]}}\n"
        )
    };
    let item = |cell_bytes: u64, cells: &str| {
        frame(&format!(
            "{{\"id\":0,\"name\":\"a\",\"start\":0,\"end\":9,\"note\":\"\",\"totals\":{{\"Err\":\"x\"}},\
             \"cell_bytes\":{cell_bytes},\"cells\":\"{cells}\"}}"
        ))
    };
    for (bytes, line, said) in [
        (String::new(), 1, "empty"),
        ("hello\n".to_owned(), 1, "not a recording"),
        (head.replace(":1,", ":2,"), 1, "schema 2"),
        (head.replace("4096", "0"), 1, "page"),
        (head.to_owned(), 2, "no moment"),
        (format!("{head}{head}"), 2, "`watch` where `frame` stands"),
        (format!("{head}{}", item(0, "!1")), 2, "place"),
        (format!("{head}{}", item(1, "!99999999999")), 2, "cells"),
        (format!("{head}{}{}", item(1, "!1"), frame("7")), 3, "not a recording"),
    ] {
        let path = dir.write("record", bytes.as_bytes());
        let output = run(["watch", "--once", "--replay", &path]);
        assert_eq!((code(&output), text(&output)), (2, String::new()), "{bytes}");
        let complaint = complaint(&output);
        assert!(complaint.contains(&format!("line {line}: ")), "{bytes} {complaint}");
        assert!(complaint.contains(said), "{bytes} {complaint}");
    }
    // The writer was killed in the middle of the last line.
    let path = dir.write("record", format!("{head}{}{{\"sche", item(1, "!9")).as_bytes());
    let output = run(["watch", "--once", "--replay", &path]);
    assert_eq!(code(&output), 3, "{}", complaint(&output));
    assert!(text(&output).contains("!!!!!!!!!"), "{}", text(&output));
}

#[test]
fn in_a_pipe_one_picture_is_printed() {
    let dir = Dir::new();
    let path = data_and_hole(&dir, "data");
    let asked = run(["watch", "--once", &path]);
    let piped = run(["watch", &path]);
    for output in [&asked, &piped] {
        assert_eq!((code(output), complaint(output)), (0, String::new()));
        let text = text(output);
        assert!(text.starts_with("bifolio watch  1 file\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("\u{2588} in memory"), "{text}");
    }
    let output = run(["watch", "--record", &dir.file("record"), &path]);
    assert_eq!(code(&output), 2);
    assert!(complaint(&output).contains("needs a terminal"), "{}", complaint(&output));
    assert!(!dir.path().join("record").exists());
    let colored = run(["watch", "--once", "--color", "always", &path]);
    assert!(text(&colored).contains('\u{1b}'));
}

#[test]
fn the_json_has_the_runs_of_every_file() {
    let dir = Dir::new();
    let (path, other) = (data_and_hole(&dir, "data"), dir.write("other", b""));
    let output = run(["watch", "--once", "--json", &path, &other]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let all: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(all["schema"], 1);
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["path"], path);
    let runs = items[0]["runs"].as_array().unwrap();
    assert_eq!(runs[0]["start"], 0);
    assert_eq!(runs[0]["state"], "resident");
    let lens = runs.iter().map(|run| run["len_bytes"].as_u64().unwrap());
    assert_eq!(lens.sum::<u64>(), 4 << 20);
    assert_eq!(items[1]["runs"].as_array().unwrap().len(), 0);
    assert!(all["counters"]["minor_faults"].as_u64().unwrap() > 0);
}

#[test]
fn what_cannot_be_watched_is_an_error_and_hides_nothing_else() {
    let dir = Dir::new();
    let path = dir.write("file", b"file");
    let missing = dir.file("missing");
    let output = run(["watch", "--once", &missing, &path]);
    assert_eq!(code(&output), 2);
    assert!(complaint(&output).contains("missing: No such file"), "{}", complaint(&output));
    assert!(text(&output).contains("1 file"), "{}", text(&output));
    for (args, said) in [
        (&["watch", &missing][..], "No such file"),
        (&["watch", "/"], "directory"),
        (&["watch", "/proc/self/status"], "no pages"),
        (&["watch", "--pid", "4194305"], "has ended, or was never there"),
        (&["watch"], "required"),
        (&["watch", "--json", &path], "--once"),
        (&["watch", "--pid", "1", &path], "cannot be used"),
    ] {
        let output = bifolio().args(args).output().unwrap();
        assert_eq!((code(&output), text(&output)), (2, String::new()), "{args:?}");
        let complaint = complaint(&output).to_lowercase();
        assert!(complaint.contains(&said.to_lowercase()), "{args:?}: {complaint}");
    }
}

#[test]
fn what_the_kernel_does_not_tell_is_unknown() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 100_000]);
    let Some(mut command) = as_nobody(&dir) else { return };
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let output = command.args(["watch", "--once", &path]).output().unwrap();
    assert_eq!(code(&output), 3, "{}", complaint(&output));
    let shown = text(&output);
    assert!(shown.contains("unknown: the kernel tells only the owner"), "{shown}");
    assert!(shown.contains("????") && !shown.contains('%'), "{shown}");
    assert!(!shown.contains('\u{2588}'), "{shown}");
    // Of a process of somebody else nothing at all.
    let mut command = Command::new(command.get_program());
    std::os::unix::process::CommandExt::uid(&mut command, 65534);
    let own = std::process::id().to_string();
    let output = command.args(["watch", "--once", "--pid", &own]).output().unwrap();
    assert_eq!((code(&output), text(&output)), (2, String::new()));
    assert!(complaint(&output).contains("ermission"), "{}", complaint(&output));
}

#[test]
fn a_process_is_watched_until_it_ends() {
    let dir = Dir::new();
    let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let pid = child.id().to_string();
    let output = run(["watch", "--once", "--pid", &pid]);
    let shown = text(&output);
    assert!(shown.contains(&format!("process {pid}")) && shown.contains("[stack]"), "{shown}");
    assert!(shown.contains("anonymous ") && shown.contains("faults "), "{shown}");
    let Some(terminal) = Terminal::new(100, 30, &dir) else {
        child.kill().unwrap();
        child.wait().unwrap();
        return;
    };
    terminal.line("echo before");
    terminal.line(&format!("{} watch --pid {pid}; echo \"code $?\"", program()));
    terminal.until("looks/s");
    child.kill().unwrap();
    child.wait().unwrap();
    terminal.until("has ended");
    terminal.key("q");
    terminal.assert_restored("code 0");
}
