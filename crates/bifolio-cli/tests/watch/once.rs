//! Without a terminal: one picture as text or as JSON, and recordings from anywhere.

use crate::common::{Dir, as_nobody, bifolio, code, complaint, hold, run, text};
use crate::data_and_hole;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

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
        let start = "{\"id\":0,\"name\":\"a\",\"start\":0,\"end\":9,\"note\":\"\"";
        let totals = "\"totals\":{\"Err\":\"x\"}";
        let cells = format!("\"cell_bytes\":{cell_bytes},\"cells\":\"{cells}\"");
        frame(&format!("{start},{totals},{cells}}}"))
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
    let _held = hold(&path, 0..1 << 20);
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
    let _held = hold(&path, 0..1 << 20);
    let output = run(["watch", "--json", &path, &other]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let all: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(all["schema"], 1);
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["path"], path);
    assert_eq!(items[0]["pages"]["swapped_pages"], Value::Null, "nobody was asked");
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
        (&["watch", "--json", "--record", &missing, &path], "cannot be used"),
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
fn thousands_of_mappings_are_all_in_the_list() {
    // Every other one is read-only, so that the kernel does not join them.
    let mut kept = (vec![], vec![]);
    for _ in 0..2500 {
        kept.0.push(bifolio::AnonMap::new(1).unwrap());
        kept.1.push(bifolio::AnonMap::new(1).unwrap().into_read_only().unwrap());
    }
    let own = std::process::id().to_string();
    let output = run(["watch", "--once", "--json", "--pid", &own]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let all: Value = serde_json::from_str(&text(&output)).unwrap();
    let items = all["items"].as_array().unwrap();
    for map in &kept.0 {
        let at = map.as_ptr().addr() as u64;
        let is_there = |item: &Value| {
            let start = item["start"].as_u64().unwrap();
            (start..start + item["len_bytes"].as_u64().unwrap()).contains(&at)
        };
        assert!(items.iter().any(is_there), "{at:x}");
    }
    assert!(items.len() >= 5000, "{}", items.len());
}
