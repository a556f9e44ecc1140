//! `bifolio residency --save` and `--restore`: what was in memory comes back, and nothing else.

mod common;

use common::{Dir, FullDisk, attempts, bifolio, code, cold_file, complaint, hold, run, text};
use serde_json::Value;
use std::fs::File;

const MIB: u64 = 1 << 20;

/// Which of the cells of a file are in memory, 60 or fewer; nothing where the kernel tells nothing.
fn states(path: &str) -> Vec<String> {
    let output = run(["residency", "--json", "-v", path]);
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    let cells = document["files"][0]["cells"].as_array().unwrap();
    cells.iter().map(|cell| cell.as_str().unwrap().to_owned()).collect()
}

/// Brings a part of a file in, and nothing around it.
fn touch(path: &str, part: &str) {
    let output = run(["touch", "-q", "-p", part, path]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
}

fn restore(snapshot: &str) -> (i32, Value, String) {
    let output = run(["residency", "--json", "--restore", snapshot]);
    let document = serde_json::from_str(&text(&output)).unwrap_or_default();
    (code(&output), document, complaint(&output))
}

#[test]
fn what_was_in_memory_comes_back_and_nothing_else() {
    attempts(|| {
        let dir = Dir::new();
        let Some(path) = cold_file(&dir, "file", 60 * MIB) else { return };
        let Some(cold) = cold_file(&dir, "cold", MIB) else { return };
        for part in ["3M-5M", "20M-21M", "59M-"] {
            touch(&path, part);
        }
        let before = states(&path);
        assert_eq!(before.iter().filter(|&state| state == "resident").count(), 4, "{before:?}");
        let snapshot = dir.file("snapshot");
        let output = run(["residency", &path, &cold, "--save", &snapshot]);
        assert!(
            text(&output).contains("saved what is in memory of 1 file to"),
            "{}",
            text(&output)
        );
        let lines = std::fs::read_to_string(&snapshot).unwrap();
        let record: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        let ranges = [[3 * MIB, 2 * MIB], [20 * MIB, MIB], [59 * MIB, MIB]].map(Vec::from);
        assert_eq!(record["ranges"], serde_json::to_value(ranges).unwrap());
        assert_eq!(code(&run(["evict", &path])), 0);
        assert!(states(&path).iter().all(|state| state != "resident"));
        let (exit, answer, said) = restore(&snapshot);
        assert_eq!((exit, &*said), (0, ""));
        assert_eq!([&answer["files"], &answer["read_bytes"]], [1, 4 * MIB]);
        assert_eq!(answer["changed"], Value::Array(vec![]));
        let after = states(&path);
        let hot = |states: &[String]| -> Vec<bool> {
            states.iter().map(|state| state == "resident").collect()
        };
        assert_eq!(hot(&after), hot(&before), "{after:?}");
        // What is there is not read again.
        assert_eq!(restore(&snapshot).1["read_bytes"], 0);
    });
}

#[test]
fn what_changed_since_is_said_and_the_rest_comes_back() {
    attempts(|| {
        let dir = Dir::new();
        let Some(path) = cold_file(&dir, "file", 4 * MIB) else { return };
        let Some(gone) = cold_file(&dir, "gone", MIB) else { return };
        touch(&path, "-");
        touch(&gone, "-");
        let snapshot = dir.file("snapshot");
        assert_eq!(code(&run(["residency", &path, &gone, "--save", &snapshot])), 0);
        std::fs::remove_file(&gone).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(MIB).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        let (exit, answer, said) = restore(&snapshot);
        assert_eq!(exit, 2);
        assert!(said.contains(&format!("{gone}: No such file")), "{said}");
        assert_eq!(
            [&answer["files"], &answer["failed_files"], &answer["snapshot_bytes"]],
            [1, 1, MIB]
        );
        let changed = &answer["changed"][0];
        assert_eq!([&changed["was_bytes"], &changed["is_bytes"]], [4 * MIB, MIB]);
        assert_eq!(changed["is_newer"], true);
        let shown = text(&run(["residency", "--restore", &snapshot]));
        assert!(shown.contains("changed since it was saved, from 4 MiB to 1 MiB: "), "{shown}");
    });
}

#[test]
fn a_snapshot_that_is_cut_damaged_or_newer_is_refused() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 5000]);
    let _held = hold(&path, 0..5000);
    let snapshot = dir.file("snapshot");
    assert_eq!(code(&run(["residency", &path, "--save", &snapshot])), 0);
    let whole = std::fs::read_to_string(&snapshot).unwrap();
    for (bytes, reason) in [
        (whole[..whole.len() - 1].to_owned(), "lacks its end"),
        (whole.replace("5000", "5001"), "was changed since it was written"),
        (whole.replace("\"version\":1", "\"version\":9"), "newer version"),
        ("nonsense".to_owned(), "no snapshot of residency"),
        (String::new(), "no snapshot of residency"),
    ] {
        let other = dir.write("other", bytes.as_bytes());
        let (exit, _, said) = restore(&other);
        let start = format!("bifolio: residency {other}: ");
        assert!(exit == 2 && said.starts_with(&start) && said.contains(reason), "{said}");
    }
    assert_eq!(restore(&dir.file("absent")).0, 2);
    assert_eq!(code(&run(["residency", "--restore", &snapshot, &path])), 2);
}

#[test]
fn saving_on_a_full_disk_is_an_error_and_leaves_the_old_snapshot() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 5000]);
    if File::options().write(true).open("/dev/full").is_ok() {
        let output = run(["residency", &path, "--save", "/dev/full"]);
        assert_eq!(code(&output), 2);
        let said = complaint(&output);
        assert!(said.starts_with("bifolio: residency /dev/full: No space left"), "{said}");
    } else {
        println!("skipped: /dev/full is not here");
    }
    let Some(full) = FullDisk::new(&dir) else { return };
    let snapshot = full.file("snapshot");
    for old in [None, Some("old")] {
        if let Some(old) = old {
            // In the room of the other, of which as much is left as it needs.
            std::fs::remove_file(full.file("fill")).unwrap();
            std::fs::write(&snapshot, old).unwrap();
            full.fill();
        }
        let output = bifolio().args(["residency", &path, "--save", &snapshot]).output().unwrap();
        assert_eq!(code(&output), 2, "{}", text(&output));
        assert!(complaint(&output).contains("No space left"), "{}", complaint(&output));
        let left = std::fs::read_to_string(&snapshot).ok();
        assert_eq!(left.as_deref(), old, "nothing new stands there, and what stood there stays");
        assert_eq!(full.names().len(), 1 + usize::from(old.is_some()), "{:?}", full.names());
    }
}
