//! `bifolio evict`: what it says is gone is gone, and of what stayed it says why.

mod common;

use bifolio::{Access, FileMap, Pages};
use common::{Dir, attempts, bifolio, code, cold_file, complaint, run, text};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};

const MIB: u64 = 1 << 20;

fn evict(args: &[&str]) -> (i32, Value) {
    let output = bifolio().args(["evict", "--json"]).args(args).output().unwrap();
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(document["schema"], 1);
    (code(&output), document)
}

fn totals(path: &str) -> Value {
    let output = run(["residency", "--json", "-s", path]);
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    document["totals"].clone()
}

/// The reasons of the first file in which something stayed.
fn reasons(answer: &Value) -> Vec<&str> {
    let reasons = answer["stayed"][0]["reasons"].as_array().unwrap();
    reasons.iter().map(|reason| reason["reason"].as_str().unwrap()).collect()
}

#[test]
fn what_is_clean_goes_and_a_part_goes_alone() {
    attempts(|| {
        let dir = Dir::new();
        let Some(path) = cold_file(&dir, "file", 4 * MIB) else { return };
        assert_eq!(code(&run(["touch", "-q", "-p", "0-2M", &path])), 0);
        assert_eq!(code(&run(["touch", "-q", "-p", "2M-", &path])), 0);
        let all = totals(&path)["resident_pages"].as_u64().unwrap();
        let (exit, answer) = evict(&["-p", "2M-", &path]);
        assert_eq!((exit, &answer["evicted_pages"]), (0, &Value::from(all / 2)));
        assert_eq!(totals(&path)["resident_bytes"], 2 * MIB);
        let shown = text(&run(["evict", &path]));
        assert!(shown.starts_with("1 file, 4 MiB: 2 MiB in "), "{shown}");
        assert_eq!(totals(&path)["resident_pages"], 0);
        assert_eq!(text(&run(["evict", "-q", &path])), "");
    });
}

#[test]
fn what_is_newer_than_the_disk_stays_unless_it_is_written_first() {
    let dir = Dir::new();
    let Some(path) = cold_file(&dir, "file", MIB) else { return };
    let file = File::options().write(true).open(&path).unwrap();
    // The kernel begins to write what it finds dirty here, and may be done before it is asked.
    let was_seen = (0..50).any(|_| {
        file.write_all_at(&vec![8; MIB as usize], 0).unwrap();
        let (exit, answer) = evict(&[&path]);
        exit == 1 && reasons(&answer).iter().any(|why| ["dirty", "writing_back"].contains(why))
    });
    assert!(was_seen, "every write was on the disk at once");
    file.write_all_at(&vec![9; MIB as usize], 0).unwrap();
    let (exit, answer) = evict(&["--flush", &path]);
    assert_eq!((exit, &answer["resident_pages"]), (0, &Value::from(0)), "{answer}");
    assert_eq!(std::fs::read(&path).unwrap(), vec![9; MIB as usize]);
}

#[test]
fn who_has_pages_mapped_is_named() {
    attempts(|| {
        let dir = Dir::new();
        let Some(path) = cold_file(&dir, "file", MIB) else { return };
        let map = FileMap::open(&path).unwrap();
        map.populate(0..map.len()).unwrap();
        let output = run(["evict", &path]);
        assert_eq!(code(&output), 1, "{}", complaint(&output));
        let shown = text(&output);
        let holder = format!("mapped by {} (", std::process::id());
        assert!(shown.contains(&holder) && shown.contains(" stayed (100 %)"), "{shown}");
        let (_, answer) = evict(&[&path]);
        let reason = &answer["stayed"][0]["reasons"][0];
        assert_eq!(
            [&reason["reason"], &reason["pid"]],
            [&"mapped".into(), &Value::from(std::process::id())]
        );
        drop(map);
        assert_eq!(code(&run(["evict", "-q", &path])), 0);
    });
}

#[test]
fn of_a_file_of_somebody_else_it_is_unknown_what_stayed() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 100_000]);
    let Some(mut command) = common::as_nobody(&dir) else { return };
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let output = command.args(["evict", &path]).output().unwrap();
    assert_eq!(code(&output), 3, "{}", complaint(&output));
    let shown = text(&output);
    assert!(shown.contains("unknown whether pages of 1 file stayed: the kernel"), "{shown}");
}

#[test]
fn what_has_no_disk_cannot_go_and_what_is_missing_is_said() {
    let dir = Dir::new();
    let missing = dir.file("missing");
    let output = run(["evict", &missing]);
    assert_eq!((code(&output), text(&output)), (2, String::new()));
    assert!(complaint(&output).starts_with(&format!("bifolio: evict {missing}: No such file")));
    let name = format!("/dev/shm/bifolio-evict-{}", std::process::id());
    if std::fs::write(&name, [7; 5000]).is_err() {
        println!("skipped: nothing can be written to /dev/shm");
        return;
    }
    let (exit, answer) = evict(&[&name]);
    std::fs::remove_file(&name).unwrap();
    if answer["resident_pages"] == 0 {
        println!("skipped: /dev/shm has a disk, or swap");
        return;
    }
    assert_eq!((exit, reasons(&answer)), (1, vec!["only_in_memory"]));
}
