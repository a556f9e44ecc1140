//! On a terminal: what the screen shows, what the keys do, and that the terminal is as before,
//! however it ends.

use crate::common::{Dir, FullDisk, code, complaint, hold, run, text};
use crate::terminal::Terminal;
use crate::{data_and_hole, resident_pages};
use std::fs::File;
use std::process::{Command, Stdio};

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_bifolio")
}

/// Touches what is selected, which has 1 MiB of data: where memory is short pages leave again, so
/// that it is asked for until all are there at once.
#[track_caller]
fn touch_all(terminal: &Terminal) -> String {
    terminal.key("t");
    terminal.wait(|shown| {
        let (is_done, is_there) = (shown.contains("touched "), shown.contains(" 1 MiB in memory"));
        if is_done && !is_there {
            terminal.key("t");
        }
        is_done && is_there
    })
}

#[test]
fn the_keys_touch_and_evict_pages_and_the_screen_shows_it() {
    let dir = Dir::new();
    let path = data_and_hole(&dir, "data");
    let other = dir.write("other", b"other");
    let Some(terminal) = Terminal::new(100, 30, &dir) else { return };
    let held = hold(&path, 0..1 << 20);
    terminal.line("echo before");
    terminal.line(&format!("{} watch {path} {other}; echo \"code $?\"", program()));
    terminal.until("1 MiB in memory");
    drop(held);
    terminal.key("e");
    let said = terminal.wait(|shown| {
        if shown.contains("evicted ") && !shown.contains("evicted 1 MiB") {
            // Some left by themselves before.
            drop(hold(&path, 0..1 << 20));
            terminal.key("e");
        }
        shown.contains("evicted 1 MiB")
    });
    if said.contains("could not go: no disk") {
        println!("skipped: the file system of the temporary directory keeps its pages in memory");
        return;
    }
    terminal.until(" 0 B in memory");
    assert_eq!(resident_pages(&path), 0);
    let shown = touch_all(&terminal);
    assert!(shown.contains("blank: a hole"), "{shown}");
    // The hole got no pages.
    assert!(resident_pages(&path) * 4096 <= 1 << 20);
    // What is mapped and used somewhere stays, and it is said by whom.
    let held = bifolio::FileMap::open(&path).unwrap();
    bifolio::Pages::populate(&held, 0..1 << 20).unwrap();
    terminal.key("e");
    terminal.wait(|shown| {
        shown.contains("could not go: mapped by")
            && shown.contains(&format!("PID {}", std::process::id()))
    });
    drop(held);
    // The snapshot is what `residency --restore` reads.
    terminal.key("s");
    terminal.until("saved 2 files to residency-1.snapshot");
    assert_eq!(code(&run(["residency", "--restore", &dir.file("residency-1.snapshot")])), 0);
    terminal.key("j");
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
    let _held = hold(&path, 0..1 << 20);
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
    let _held = hold(&path, 0..1 << 20);
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
    terminal.quit();
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
    // So that the last look is in it.
    touch_all(&terminal);
    terminal.quit();
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
    terminal.quit();
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
fn a_key_begins_a_recording_and_ends_it() {
    let dir = Dir::new();
    let path = data_and_hole(&dir, "data");
    let Some(terminal) = Terminal::new(100, 24, &dir) else { return };
    terminal.line(&format!("{} watch {path}; echo \"code $?\"", program()));
    terminal.until("looks/s");
    for name in ["watch-1.jsonl", "watch-2.jsonl"] {
        terminal.key("r");
        terminal
            .wait(|shown| shown.contains(&format!("recording to {name}")) && shown.contains("REC"));
        // So that there is a look in it.
        terminal.wait(|_| std::fs::read_to_string(dir.file(name)).unwrap().lines().count() > 1);
        terminal.key("r");
        terminal.wait(|shown| {
            let is_said = shown.contains("recorded ") && shown.contains(&format!(" to {name}"));
            is_said && !shown.contains("REC")
        });
        let output = run(["watch", "--once", "--replay", &dir.file(name)]);
        assert_eq!(code(&output), 0, "{}", complaint(&output));
        assert!(text(&output).contains("data"), "{}", text(&output));
    }
    // One that is going on is whole when the screen is left.
    terminal.key("r");
    terminal.until("recording to watch-3.jsonl");
    terminal.key("q");
    terminal.until("code 0");
    let recorded = std::fs::read_to_string(dir.file("watch-3.jsonl")).unwrap();
    assert!(recorded.ends_with('\n'), "{recorded}");
}

#[test]
fn a_recording_that_fills_the_disk_is_said_and_the_screen_goes_on() {
    let dir = Dir::new();
    let path = data_and_hole(&dir, "data");
    let Some(small) = FullDisk::new(&dir) else { return };
    let Some(terminal) = Terminal::new(100, 24, &dir) else { return };
    let record = small.file("record");
    terminal.line("echo before");
    terminal.line(&format!("{} watch --record {record} {path}; echo \"code $?\"", program()));
    let shown = terminal.until("recorded no more");
    assert!(shown.contains("No space left") && !shown.contains("REC"), "{shown}");
    // It still follows the file.
    File::options().write(true).open(&path).unwrap().set_len(3 << 20).unwrap();
    terminal.until("0 B to 3 MiB");
    terminal.key("q");
    terminal.assert_restored("code 0");
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
    let shown = text(&run(["watch", "--json", "--pid", &pid]));
    assert!(shown.contains(r#""dirty_pages": null"#), "page tables do not tell: {shown}");
    assert!(!shown.contains(r#""dirty_pages": 0"#), "{shown}");
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
    // Nothing is told of it any more, and of no process that gets its number.
    let shown = terminal.wait(|shown| shown.contains("ENDED") && !shown.contains('%'));
    assert!(!shown.contains("looks/s") && !shown.contains(" in memory"), "{shown}");
    terminal.key("j");
    terminal.key("s");
    let shown = terminal.until("saved");
    assert!(shown.contains("ENDED") && !shown.contains('%'), "{shown}");
    terminal.key("q");
    terminal.assert_restored("code 0");
}
