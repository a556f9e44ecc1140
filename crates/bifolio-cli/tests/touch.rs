//! `bifolio touch`: what is absent comes into memory, and what it says about it is so.

mod common;

use common::{Dir, attempts, bifolio, code, cold_file, complaint, run, text};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

const MIB: u64 = 1 << 20;

fn touch(args: &[&str]) -> (i32, Value) {
    let output = bifolio().args(["touch", "--json"]).args(args).output().unwrap();
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(document["schema"], 1);
    (code(&output), document)
}

fn resident_pages(args: &[&str]) -> u64 {
    let output = bifolio().args(["residency", "--json", "-s"]).args(args).output().unwrap();
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    document["totals"]["resident_pages"].as_u64().unwrap()
}

#[test]
fn what_is_absent_is_read_and_no_more() {
    attempts(|| {
        let dir = Dir::new();
        let Some(path) = cold_file(&dir, "file", 10 * MIB) else { return };
        let page = bifolio_page_bytes(&path);
        let (exit, answer) = touch(&["-p", "3M-5M", &path]);
        assert_eq!((exit, &answer["read_bytes"]), (0, &Value::from(2 * MIB)));
        assert_eq!(resident_pages(&[&path]), 2 * MIB / page);
        let (exit, answer) = touch(&[&path]);
        assert_eq!((exit, &answer["read_bytes"]), (0, &Value::from(8 * MIB)));
        assert_eq!(answer["resident_pages"], 10 * MIB / page);
        let (_, answer) = touch(&[&path]);
        assert_eq!(answer["read_bytes"], 0);
        assert_eq!(text(&run(["touch", "-q", &path])), "");
        let shown = text(&run(["touch", &path]));
        assert!(shown.starts_with("1 file, 10 MiB: 0 B read in "), "{shown}");
        assert!(shown.contains("in memory now   10 MiB in "), "{shown}");
    });
}

fn bifolio_page_bytes(path: &str) -> u64 {
    let output = run(["residency", "--json", path]);
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    document["page_bytes"].as_u64().unwrap()
}

#[test]
fn holes_take_no_memory_unless_they_are_asked_for() {
    attempts(|| {
        let dir = Dir::new();
        let path = dir.file("sparse");
        let file = File::create(&path).unwrap();
        file.set_len(8 * MIB).unwrap();
        file.write_all_at(&[7; 4096], 4 * MIB).unwrap();
        file.sync_all().unwrap();
        if file.metadata().unwrap().blocks() * 512 > MIB {
            println!("skipped: the file system of the temporary directory knows no holes");
            return;
        }
        let (exit, answer) = touch(&[&path]);
        assert!(answer["hole_bytes"].as_u64().unwrap() >= 7 * MIB, "{answer}");
        assert_eq!((exit, &answer["lost_pages"]), (0, &Value::from(0)));
        let page = bifolio_page_bytes(&path);
        assert!(resident_pages(&[&path]) <= 4096_u64.div_ceil(page));
        assert!(text(&run(["touch", &path])).contains(" of holes (--holes brings them in)"));
        let (_, answer) = touch(&["--holes", &path]);
        assert!(answer["read_bytes"].as_u64().unwrap() >= 7 * MIB, "{answer}");
        assert_eq!(resident_pages(&[&path]), 8 * MIB / page);
    });
}

#[test]
fn many_files_come_in_and_one_that_cannot_is_said() {
    attempts(|| {
        let dir = Dir::new();
        let names: Vec<_> = (0..40).map(|index| format!("{index}")).collect();
        for name in &names {
            let Some(_) = cold_file(&dir, name, 9000) else { return };
        }
        std::fs::hard_link(dir.file("0"), dir.file("also-0")).unwrap();
        let (root, missing) = (dir.path().to_str().unwrap().to_owned(), dir.file("missing"));
        let (exit, answer) = touch(&[&root, &missing, &dir.file("1")]);
        assert_eq!((exit, &answer["files"], &answer["failed_files"]), (2, &40.into(), &1.into()));
        assert_eq!(answer["read_bytes"], 40 * 9000);
        assert_eq!(answer["lost_pages"], 0);
        let output = run(["touch", &missing]);
        assert_eq!((code(&output), text(&output)), (2, String::new()));
        assert!(complaint(&output).starts_with(&format!("bifolio: touch {missing}: ")));
    });
}

#[test]
fn of_a_file_of_somebody_else_it_is_not_known_what_was_there() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 100_000]);
    let Some(mut command) = common::as_nobody(&dir) else { return };
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let output = command.args(["touch", &path]).output().unwrap();
    // It was read all the same.
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let shown = text(&output);
    assert!(shown.starts_with("1 file, 97.7 KiB: 97.7 KiB read in "), "{shown}");
    assert!(shown.contains("the kernel tells only the owner"), "{shown}");
    assert!(!shown.contains("in memory now"), "{shown}");
}
