//! `bifolio info`: what it says is so, and what the kernel does not tell is unknown.

mod common;

use common::{Dir, bifolio, code, complaint, hold, run, text};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

fn document(path: &str) -> Value {
    let output = run(["info", "--json", path]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let all: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(all["schema"], 1);
    all["files"][0].clone()
}

#[test]
fn sizes_and_holes_are_those_of_the_file() {
    let dir = Dir::new();
    let path = dir.file("sparse");
    let file = File::create(&path).unwrap();
    file.set_len((10 << 30) + 5).unwrap();
    for at in [1 << 20, 5 << 30] {
        file.write_all_at(&[1; 65536], at).unwrap();
    }
    let found = document(&path);
    let stat = file.metadata().unwrap();
    assert_eq!(found["path"], path);
    assert_eq!(found["size_bytes"], stat.len());
    assert_eq!(found["allocated_bytes"], stat.blocks() * 512);
    assert_eq!(found["route"], "mapped");
    if stat.blocks() * 512 > 1 << 20 {
        println!("skipped: the file system of the temporary directory knows no holes");
        return;
    }
    let counts = ["data_runs", "data_bytes", "holes", "hole_bytes"].map(|key| found[key].as_u64());
    assert_eq!(counts, [Some(2), Some(131_072), Some(3), Some((10 << 30) + 5 - 131_072)]);
    let shown = text(&run(["info", &path]));
    assert!(shown.contains("10,737,418,245 bytes"), "{shown}");
    assert!(shown.contains("128 KiB in 2 runs") && shown.contains("in 3 holes"), "{shown}");
    let states: Vec<_> =
        found["pages"]["cells"].as_array().unwrap().iter().map(|cell| &cell["state"]).collect();
    assert_eq!(states.iter().filter(|&&state| state == "hole").count(), 58, "{states:?}");
    assert!(shown.contains("  blank: a hole\n"), "{shown}");
}

#[test]
fn the_cells_are_the_file_and_their_pages_are_all_its_pages() {
    let dir = Dir::new();
    for len in [1, 4096, 100_000, 3_000_001] {
        let path = dir.write("file", &vec![7; len]);
        let _held = hold(&path, 0..len);
        let found = document(&path);
        let pages = &found["pages"];
        let page = found["page_bytes"].as_u64().unwrap();
        assert_eq!(pages["total_pages"], (len as u64).div_ceil(page));
        assert_eq!(pages["resident_pages"], pages["total_pages"]);
        let cells = pages["cells"].as_array().unwrap();
        assert_eq!(cells.len() as u64, (len as u64).div_ceil(page).min(60));
        let sum = |key: &str| cells.iter().map(|cell| cell[key].as_u64().unwrap()).sum::<u64>();
        assert_eq!(sum("len_bytes"), len as u64);
        assert_eq!(sum("total_pages"), (len as u64).div_ceil(page));
        let mut at = 0;
        for cell in cells {
            assert_eq!(cell["offset"], at);
            at += cell["len_bytes"].as_u64().unwrap();
        }
        let shown = text(&run(["info", &path]));
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }
}

#[test]
fn a_file_of_somebody_else_has_unknown_pages_and_never_all() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 100_000]);
    let Some(mut command) = common::as_nobody(&dir) else { return };
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let output = command.args(["info", &path]).output().unwrap();
    assert_eq!(code(&output), 3, "{}", complaint(&output));
    let shown = text(&output);
    assert!(shown.contains("unknown: the kernel tells only the owner"), "{shown}");
    assert!(!shown.contains('%') && !shown.contains('\u{2588}'), "{shown}");
    // Whoever reads it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let unread = command.stdout(writer).output().unwrap();
    assert_eq!((code(&unread), complaint(&unread)), (3, String::new()));
    command.stdout(std::process::Stdio::piped());
    let output = command.arg("--json").output().unwrap();
    assert_eq!(code(&output), 3);
    let all: Value = serde_json::from_str(&text(&output)).unwrap();
    let pages = all["files"][0]["pages"].as_object().unwrap();
    assert_eq!(pages.keys().collect::<Vec<_>>(), ["unknown"]);
}

#[test]
fn what_has_no_pages_is_said_to_be_what_it_is() {
    let dir = Dir::new();
    let output = run(["info", dir.path().to_str().unwrap()]);
    assert_eq!(code(&output), 2);
    assert!(complaint(&output).contains("it is a directory"), "{}", complaint(&output));
    let output = run(["info", "/dev/null"]);
    assert!(code(&output) == 2 && complaint(&output).contains("it is a device"));
    let output = run(["info", "/proc/self/status"]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    assert!(text(&output).contains("file system proc"), "{}", text(&output));
    assert!(text(&output).contains("tells no true size"), "{}", text(&output));
    let empty = dir.write("empty", b"");
    assert!(text(&run(["info", &empty])).contains("0 of 0 pages"));
}

#[test]
fn a_file_that_is_missing_does_not_hide_the_others() {
    let dir = Dir::new();
    let path = dir.write("file", b"7");
    let output = bifolio().args(["info", "--json", &dir.file("absent"), &path]).output().unwrap();
    assert_eq!(code(&output), 2);
    let all: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(all["files"].as_array().unwrap().len(), 1);
    assert_eq!(all["files"][0]["path"], path);
}
