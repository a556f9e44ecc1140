//! `bifolio picture`: what is drawn is so, the same state gives the same bytes, and what the kernel
//! does not tell is drawn as unknown.

mod common;

use bifolio::FileMap;
use common::{Dir, as_nobody, bifolio, code, complaint, hold, run, text};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

/// A sparse file of 4 MiB with data in its second MiB, which is on the disk, and in memory as long
/// as the map lives.
fn quarter(dir: &Dir) -> (String, FileMap) {
    let path = dir.file("quarter");
    let file = File::create(&path).unwrap();
    file.set_len(4 << 20).unwrap();
    file.write_all_at(&vec![1; 1 << 20], 1 << 20).unwrap();
    file.sync_all().unwrap();
    let held = hold(&path, 1 << 20..2 << 20);
    (path, held)
}

/// The runs of the first area of a document, as cells and pages in memory.
fn runs(document: &Value) -> Vec<(u64, Option<u64>, bool)> {
    let runs = document["picture"]["areas"][0]["runs"].as_array().unwrap();
    let pages = |run: &Value| run["pages"]["resident_pages"].as_u64();
    runs.iter()
        .map(|run| (run["cells"].as_u64().unwrap(), pages(run), run["hole"].as_bool().unwrap()))
        .collect()
}

#[test]
fn the_state_of_a_file_is_kept_and_drawn() {
    let dir = Dir::new();
    let (path, _held) = quarter(&dir);
    let (json, svg, png) = (dir.file("a.json"), dir.file("a.svg"), dir.file("a.png"));
    for out in [&json, &svg, &png] {
        let output = run(["picture", "--order", "5", &path, "-o", out]);
        assert_eq!((code(&output), text(&output)), (0, String::new()), "{}", complaint(&output));
    }
    let document: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(document["schema"], 1);
    let page = document["picture"]["page_bytes"].as_u64().unwrap();
    let cell = document["picture"]["cell_bytes"].as_u64().unwrap();
    assert_eq!(cell, page.max(4096), "1,024 cells");
    let cells = (1 << 20) / cell;
    let per_cell = cell / page;
    let found = runs(&document);
    if found.iter().all(|run| !run.2) {
        println!("skipped: the file system of the temporary directory knows no holes");
        return;
    }
    let hole = Some(0);
    let all = Some(per_cell);
    assert_eq!(found, [(cells, hole, true), (cells, all, false), (2 * cells, hole, true)]);
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(drawn.contains("25.0 % in memory") && drawn.contains("75.0 % a hole"), "{drawn}");
    assert!(drawn.contains("0x100000..0x200000, 1 MiB: in memory"), "{drawn}");
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn the_same_state_gives_the_same_bytes_by_every_way_out() {
    let dir = Dir::new();
    let (path, _held) = quarter(&dir);
    for format in ["svg", "png", "json"] {
        let (one, other) = (dir.file("one"), dir.file("other"));
        for out in [&one, &other] {
            let output = run(["picture", &path, "--format", format, "-o", out]);
            assert_eq!(code(&output), 0, "{}", complaint(&output));
        }
        let piped = run(["picture", &path, "--format", format, "-o", "-"]);
        let one = std::fs::read(one).unwrap();
        assert!(one == std::fs::read(other).unwrap() && one == piped.stdout, "{format}");
    }
}

#[test]
fn two_moments_are_compared() {
    let dir = Dir::new();
    let (before, after) = (dir.file("before.json"), dir.file("after.json"));
    let (path, _held) = quarter(&dir);
    assert_eq!(code(&run(["picture", &path, "-o", &before])), 0);
    // Half of the data goes, and a page comes where nothing was.
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(3 << 19).unwrap();
    file.set_len(4 << 20).unwrap();
    file.write_all_at(b"new", 3 << 20).unwrap();
    file.sync_all().unwrap();
    let _held = hold(&path, 3 << 20..(3 << 20) + 3);
    assert_eq!(code(&run(["picture", &path, "-o", &after])), 0);
    let output = run(["picture", "--diff", &before, &after, "--format", "svg", "-o", "-"]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let drawn = text(&output);
    assert!(drawn.contains("0x180000..0x200000, 512 KiB: lost"), "{drawn}");
    assert!(drawn.contains("0x300000..0x301000, 4 KiB: gained"), "{drawn}");
    assert!(drawn.contains("lost   512 KiB"), "{drawn}");
    let itself = run(["picture", "--diff", &after, &after, "--format", "svg", "-o", "-"]);
    let drawn = text(&itself);
    assert!(!drawn.contains(": lost") && !drawn.contains(": gained"), "{drawn}");
}

#[test]
fn what_the_kernel_does_not_tell_is_unknown() {
    let dir = Dir::new();
    let (path, _held) = quarter(&dir);
    let Some(mut nobody) = as_nobody(&dir) else { return };
    let output = nobody.args(["picture", &path, "--format", "json", "-o", "-"]).output().unwrap();
    assert_eq!(code(&output), 3, "{}", complaint(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(runs(&document).iter().all(|run| run.1.is_none()), "{document}");
}

#[test]
fn a_process_is_drawn_region_by_region() {
    let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let pid = child.id().to_string();
    let dir = Dir::new();
    // The child is this program until it has become the other.
    let exe = format!("/proc/{pid}/comm");
    while std::fs::read_to_string(&exe).unwrap() != "sleep\n" {
        std::thread::yield_now();
    }
    let output = run(["picture", "--pid", &pid, "--format", "svg", "-o", "-"]);
    let with_all = run(["picture", "--pid", &pid, "--all", "--format", "json", "-o", "-"]);
    let stranger = as_nobody(&dir).map(|mut nobody| {
        nobody.args(["picture", "--pid", &pid, "--format", "svg", "-o", "-"]).output().unwrap()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let drawn = text(&output);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    assert!(drawn.contains(&format!("sleep ({pid})")) && drawn.contains("main stack"), "{drawn}");
    let document: Value = serde_json::from_slice(&with_all.stdout).unwrap();
    let areas = document["picture"]["areas"].as_array().unwrap();
    assert!(areas.iter().any(|area| area["label"] == "sleep"), "{document}");
    if let Some(stranger) = stranger {
        assert_eq!((code(&stranger), text(&stranger)), (2, String::new()));
        let said = complaint(&stranger);
        assert!(said.contains(&pid) && said.to_lowercase().contains("permi"), "{said}");
    }
    let gone = run(["picture", "--pid", &pid, "--format", "svg", "-o", "-"]);
    assert_eq!(code(&gone), 2);
    assert!(complaint(&gone).contains("it has ended"), "{}", complaint(&gone));
}

#[test]
fn what_cannot_be_drawn_or_written_is_an_error_and_leaves_what_was_there() {
    let dir = Dir::new();
    let (path, _held) = quarter(&dir);
    let out = dir.write("out.svg", b"before");
    let missing = dir.file("missing");
    let broken = dir.write("broken.json", b"{\"schema\": 1, \"picture\": {}}");
    let (file, process) = (dir.file("file.json"), dir.file("process.json"));
    assert_eq!(code(&run(["picture", &path, "-o", &file])), 0);
    let pid = std::process::id().to_string();
    let taken = run(["picture", "--pid", &pid, "-o", &process]);
    assert!([0, 3].contains(&code(&taken)), "{}", complaint(&taken));
    for (args, said) in [
        (&["picture", &path, "-o", "picture"][..], "its name does not say"),
        (&["picture", &missing, "-o", &out], "No such file"),
        (&["picture", "--diff", &broken, &broken, "-o", &out], "missing field"),
        (&["picture", "--diff", &path, &path, "-o", &out], "line 1"),
        (&["picture", "--diff", &file, &process, "-o", &out], "of a file, AFTER of a process"),
        (&["picture", &path, "--format", "svg", "-o", "/dev/full"], "No space left"),
        (&["picture", "-o", &out], "required"),
        (&["picture", &path, "--pid", "1", "-o", &out], "cannot be used with"),
        (&["picture", &path, "--all", "-o", &out], "cannot be used with"),
    ] {
        let output = bifolio().args(args).output().unwrap();
        assert_eq!((code(&output), text(&output)), (2, String::new()), "{args:?}");
        assert!(complaint(&output).contains(said), "{args:?}: {}", complaint(&output));
    }
    assert_eq!(std::fs::read(&out).unwrap(), b"before");
}

#[test]
fn a_huge_or_empty_file_is_drawn_as_any_other() {
    let dir = Dir::new();
    let (empty, huge) = (dir.write("empty", b""), dir.file("huge"));
    File::create(&huge).unwrap().set_len(10 << 40).unwrap();
    for (path, cell) in [(&empty, 4096), (&huge, 1_u64 << 30)] {
        let output = run(["picture", path, "--format", "json", "-o", "-"]);
        assert_eq!(code(&output), 0, "{}", complaint(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(document["picture"]["cell_bytes"].as_u64().unwrap() >= cell);
        let svg = run(["picture", path, "--format", "svg", "-o", "-"]);
        assert!(text(&svg).ends_with("</svg>\n"));
    }
}
