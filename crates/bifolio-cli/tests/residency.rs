//! `bifolio residency`: bars and sums are the cache's, and what nobody tells is unknown.

mod common;

use common::{Dir, attempts, bifolio, code, complaint, hold, run, text};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

fn json(args: &[&str]) -> (i32, Value) {
    let output = bifolio().arg("residency").arg("--json").args(args).output().unwrap();
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(document["schema"], 1);
    (code(&output), document)
}

/// The paths that were looked at, below the directory.
fn paths(dir: &Dir, args: &[&str]) -> Vec<String> {
    let (exit, document) = json(args);
    assert_eq!(exit, 0, "{args:?}");
    let files = document["files"].as_array().unwrap();
    assert_eq!(document["totals"]["files"], files.len() as u64);
    let start = format!("{}/", dir.path().display());
    let path = |file: &Value| file["path"].as_str().unwrap().replace(&start, "");
    files.iter().map(path).collect()
}

/// `a.c`, `b.h`, `.git/c.c`, `sub/d.c`, `sub/deep/e.c`.
fn tree() -> Dir {
    let dir = Dir::new();
    for name in ["sub/deep", ".git"] {
        std::fs::create_dir_all(dir.file(name)).unwrap();
    }
    for name in ["a.c", "b.h", ".git/c.c", "sub/d.c", "sub/deep/e.c"] {
        dir.write(name, &[7; 5000]);
    }
    dir
}

#[test]
fn every_file_has_a_row_and_the_sums_are_those_of_all() {
    let dir = Dir::new();
    let (a, b) = (dir.write("a", &vec![7; 100_000]), dir.write("b", &[7; 5000]));
    let _held = (hold(&a, 0..100_000), hold(&b, 0..5000));
    let output = run(["residency", &a, &b]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let shown = text(&output);
    let rows: Vec<_> = shown.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(rows.len(), 2);
    for (row, (path, size)) in rows.iter().zip([(&a, "97.7 KiB"), (&b, "4.88 KiB")]) {
        assert!(row.contains("100 %") && row.contains(size) && row.ends_with(path), "{row}");
    }
    assert!(shown.contains("2 files: 103 KiB in 27 pages"), "{shown}");
    assert!(shown.contains("in memory       108 KiB in 27 pages (100 %)"), "{shown}");
    assert!(!shown.contains(['\r', '\u{1b}']), "{shown:?}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let summary = text(&run(["residency", "--summary", &a, &b]));
    assert!(summary.starts_with("2 files: ") && !summary.contains('['), "{summary}");
}

#[test]
fn a_bar_shows_what_is_dirty_and_what_is_a_hole() {
    let dir = Dir::new();
    let path = dir.file("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(80 << 20).unwrap();
    file.write_all_at(&[7; 4096], 0).unwrap();
    let _held = hold(&path, 0..4096);
    let cells = |args: &[&str]| {
        let (exit, document) = json(&[args, &["-v", &path]].concat());
        assert_eq!(exit, 0);
        document["files"][0].clone()
    };
    let found = cells(&[]);
    let states: Vec<_> = found["cells"].as_array().unwrap().iter().collect();
    if file.metadata().unwrap().blocks() * 512 > 1 << 20 {
        println!("skipped: the file system of the temporary directory knows no holes");
        return;
    }
    assert_eq!(states.len(), 60);
    assert!(states[1..].iter().all(|&state| state == "hole"), "{states:?}");
    // Whoever writes it back may have done so already.
    let first = states[0].as_str().unwrap();
    assert!(["dirty", "writeback", "few"].contains(&first), "{states:?}");
    file.sync_all().unwrap();
    let found = cells(&["-p", "0-1M"]);
    assert_eq!(found["cells"][0], "few");
    let pages = &found["pages"];
    assert_eq!(
        [&pages["total_pages"], &pages["resident_pages"], &pages["dirty_pages"]],
        [256, 1, 0]
    );
    let shown = text(&run(["residency", &path]));
    assert!(shown.contains("]   0 % of    80 MiB") && shown.contains("blank: a hole"), "{shown}");
}

#[test]
fn ranges_and_sizes_bound_what_is_looked_at() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 50_000]);
    let small = dir.write("small", &[7; 50]);
    for (range, offset, len) in
        [("4k-8k", 4096, 4096), ("4k-", 4096, 45_904), ("5k", 0, 5120), ("1M-2M", 50_000, 0)]
    {
        let (exit, document) = json(&["-p", range, &path]);
        let file = &document["files"][0];
        assert_eq!(exit, 0);
        assert_eq!([&file["offset"], &file["len_bytes"]], [offset, len], "{range}");
        assert_eq!(document["totals"]["len_bytes"], len);
    }
    let (_, document) = json(&["-m", "1000", &path, &small]);
    assert_eq!(document["files"].as_array().unwrap().len(), 1);
    assert_eq!(document["totals"]["left_out"]["larger_files"], 1);
    for range in ["5-4", "x", "4k--"] {
        assert_eq!(code(&run(["residency", "-p", range, &path])), 2, "{range}");
    }
}

#[test]
fn directories_are_gone_through_in_order_and_patterns_choose() {
    let dir = tree();
    let root = dir.path().to_str().unwrap();
    let all = [".git/c.c", "a.c", "b.h", "sub/d.c", "sub/deep/e.c"];
    assert_eq!(paths(&dir, &[root]), all);
    assert_eq!(paths(&dir, &["-i", ".git", root]), all[1..]);
    assert_eq!(paths(&dir, &["-i", "d*", root]), all[..3]);
    assert_eq!(paths(&dir, &["-I", "*.h", root]), ["b.h"]);
    assert_eq!(
        paths(&dir, &["-I", "*.h", "-I", "[de].c", root]),
        ["b.h", "sub/d.c", "sub/deep/e.c"]
    );
    assert_eq!(paths(&dir, &["-i", "sub", "-I", "*.c", root]), [".git/c.c", "a.c"]);
    assert_eq!(code(&run(["residency", "-i", "[a", root])), 2);
}

#[test]
fn a_file_is_counted_once_however_it_is_reached() {
    let dir = tree();
    let root = dir.path().to_str().unwrap();
    std::fs::hard_link(dir.file("a.c"), dir.file("sub/also-a.c")).unwrap();
    let (_, document) = json(&[root]);
    assert_eq!(document["totals"]["files"], 5);
    assert_eq!(document["totals"]["left_out"]["more_names"], 1);
    let (_, document) = json(&["--count-links", root]);
    assert_eq!(document["totals"]["files"], 6);
    let (_, document) = json(&[root, &dir.file("sub"), &dir.file("b.h")]);
    assert_eq!(document["totals"]["files"], 5);
}

#[test]
fn links_are_followed_when_asked_and_loops_end() {
    let dir = tree();
    let root = dir.path().to_str().unwrap();
    symlink("..", dir.file("sub/up")).unwrap();
    symlink("d.c", dir.file("sub/link.c")).unwrap();
    let other = tree();
    symlink(other.path(), dir.file("other")).unwrap();
    let (_, document) = json(&[root]);
    assert_eq!(document["totals"]["files"], 5);
    assert_eq!(document["totals"]["left_out"]["symbolic_links"], 3);
    let (exit, document) = json(&["-f", root]);
    assert_eq!((exit, &document["totals"]["files"]), (0, &Value::from(10)));
    // A link that is named is what it leads to.
    let (_, document) = json(&[&dir.file("other"), &dir.file("sub/link.c")]);
    assert_eq!(document["totals"]["files"], 6);
    // A dangling one that is to be followed leads nowhere.
    symlink("nowhere", dir.file("dangling")).unwrap();
    let (exit, document) = json(&["-f", root]);
    assert_eq!((exit, &document["totals"]["failed_files"]), (2, &Value::from(1)));
    assert_eq!(document["totals"]["files"], 10);
}

#[test]
fn other_file_systems_are_left_out_when_asked() {
    if !std::path::Path::new("/dev/shm").is_dir() {
        println!("skipped: there is no /dev/shm");
        return;
    }
    let name = format!("/dev/shm/bifolio-residency-{}", std::process::id());
    std::fs::write(&name, [7; 5000]).unwrap();
    let base = name.rsplit('/').next().unwrap();
    let count = |args: &[&str]| {
        let args = [args, &["-I", base, "/dev"]].concat();
        let output = bifolio().args(["residency", "-s", "--json"]).args(args).output().unwrap();
        let document: Value = serde_json::from_str(&text(&output)).unwrap();
        document["totals"].clone()
    };
    let (all, one) = (count(&[]), count(&["-F"]));
    std::fs::remove_file(&name).unwrap();
    if all["files"] == 0 {
        println!("skipped: /dev/shm cannot be reached below /dev");
        return;
    }
    assert_eq!([&all["files"], &one["files"]], [1, 0]);
    assert!(one["left_out"]["other_file_systems"].as_u64().unwrap() >= 1, "{one}");
}

#[test]
fn paths_come_from_lists_too() {
    let dir = tree();
    let strange = dir.write("new\nline", &[7; 5000]);
    let list = dir.write("list", format!("{}\n{}\n", dir.file("a.c"), dir.file("sub")).as_bytes());
    assert_eq!(paths(&dir, &["-b", &list]), ["a.c", "sub/d.c", "sub/deep/e.c"]);
    let zeros = dir.write("zeros", format!("{strange}\0{}", dir.file("a.c")).as_bytes());
    assert_eq!(paths(&dir, &["-0", "-b", &zeros]), ["new\nline", "a.c"]);
    let output = bifolio()
        .args(["residency", "-b", "-"])
        .stdin(File::open(&list).unwrap())
        .output()
        .unwrap();
    assert_eq!((code(&output), text(&output).matches('[').count()), (0, 3));
    // A name gives a terminal no orders, nor does it make a line of its own.
    let shown = text(&run(["residency", &strange]));
    assert!(shown.contains("new\\nline"), "{shown}");
    assert_eq!(code(&run(["residency", "-b", &dir.file("absent")])), 2);
    assert_eq!(code(&run(["residency"])), 2);
    assert_eq!(code(&run(["residency", "-0", &strange])), 2);
}

#[test]
fn many_files_keep_their_order_and_their_sums() {
    let dir = Dir::new();
    let write_all = || {
        for index in 0..1200 {
            dir.write(&format!("{index:04}"), &vec![7; 4096 * (1 + index % 3)]);
        }
    };
    write_all();
    let root = dir.path().to_str().unwrap();
    let found = paths(&dir, &[root]);
    assert!(found.len() == 1200 && found.is_sorted());
    attempts(|| {
        write_all();
        let (_, document) = json(&["-s", root]);
        let totals = &document["totals"];
        assert_eq!([&totals["files"], &totals["total_pages"]], [1200, 2400]);
        assert_eq!(totals["resident_pages"], 2400);
    });
    // By facts alone, by bars, and a part of each file.
    let (_, bars) = json(&["-v", root]);
    let (_, plain) = json(&[root]);
    let places = |document: &Value| -> Vec<_> {
        let files = document["files"].as_array().unwrap().iter();
        files.map(|file| ["path", "size_bytes", "len_bytes"].map(|key| file[key].clone())).collect()
    };
    assert_eq!(places(&plain), places(&bars));
    let (_, part) = json(&["-s", "-p", "4k-8k", "-m", "8k", root]);
    let part = &part["totals"];
    assert_eq!([&part["files"], &part["total_pages"]], [800, 400]);
    assert_eq!(part["left_out"]["larger_files"], 400);
    // Who stops reading is served no longer, and the answer is as it was.
    let mut child = bifolio()
        .args(["residency", root, root])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), complaint(&output)), (0, String::new()));
}

#[test]
fn a_file_of_somebody_else_is_unknown_and_never_all_there() {
    let dir = Dir::new();
    let path = dir.write("file", &[7; 100_000]);
    let Some(mut command) = common::as_nobody(&dir) else { return };
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let output = command.args(["residency", "-v", &path]).output().unwrap();
    assert_eq!(code(&output), 3, "{}", complaint(&output));
    let shown = text(&output);
    assert!(shown.starts_with("[??????????"), "{shown}");
    assert_eq!(shown.matches("the kernel tells only the owner").count(), 2, "{shown}");
    assert!(shown.contains("  ? % of  97.7 KiB") && !shown.contains("100 %"), "{shown}");
    assert!(shown.contains("unknown         97.7 KiB of 1 file:"), "{shown}");
    let output = command.arg("--json").output().unwrap();
    assert_eq!(code(&output), 3);
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    let pages = document["files"][0]["pages"].as_object().unwrap();
    assert_eq!(pages.keys().collect::<Vec<_>>(), ["unknown"]);
    assert_eq!(document["totals"]["resident_pages"], 0);
    assert_eq!(document["totals"]["unknown_files"], 1);
}

#[test]
fn who_wants_to_hear_nothing_hears_what_went_wrong() {
    let dir = Dir::new();
    let (path, missing) = (dir.write("file", &[7; 100_000]), dir.file("missing"));
    let silent = |output: &std::process::Output| (code(output), text(output), complaint(output));
    assert_eq!(silent(&run(["residency", "-q", &path])), (0, String::new(), String::new()));
    let output = run(["residency", "--quiet", &missing, &path]);
    assert_eq!((code(&output), text(&output)), (2, String::new()));
    let said = complaint(&output);
    assert!(said.starts_with(&format!("bifolio: residency {missing}: ")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for other in ["--json", "-v", "-s"] {
        assert_eq!(code(&run(["residency", "-q", other, &path])), 2, "{other}");
    }
    // It does what it is asked to do all the same.
    let snapshot = dir.file("snapshot");
    let saved = run(["residency", "-q", "--save", &snapshot, &path]);
    assert_eq!(silent(&saved), (0, String::new(), String::new()));
    assert!(std::fs::read_to_string(&snapshot).unwrap().starts_with('{'));
    let restored = run(["residency", "-q", "--restore", &snapshot]);
    assert_eq!(silent(&restored), (0, String::new(), String::new()));
    let Some(mut nobody) = common::as_nobody(&dir) else { return };
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let unknown = nobody.args(["residency", "-q", &path]).output().unwrap();
    assert_eq!(silent(&unknown), (3, String::new(), String::new()));
}

/// On overlayfs cachestat(2) knows nothing, and who knows nothing does not say zero.
#[test]
fn sums_of_which_a_part_is_not_told_are_unknown() {
    let dir = Dir::new();
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(dir.file(name)).unwrap();
    }
    let path = dir.write("lower/file", &[7; 100_000]);
    let line = "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged && \
                exec \"$0\" \"$@\"";
    let in_layers = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", line, env!("CARGO_BIN_EXE_bifolio"), "residency"]);
        command.args(args).current_dir(dir.path()).output().unwrap()
    };
    let output = in_layers(&["--json", "-s", "merged", &path]);
    if output.stdout.is_empty() {
        return println!("skipped: no overlayfs can be mounted: {}", complaint(&output));
    }
    let document: Value = serde_json::from_str(&text(&output)).unwrap();
    let totals = &document["totals"];
    assert_eq!([&totals["files"], &totals["total_pages"]], [2, 50]);
    for key in ["dirty_pages", "writeback_pages", "evicted_pages"] {
        assert_eq!(totals[key], Value::Null, "{key}");
    }
    let shown = text(&in_layers(&["-s", "merged"]));
    assert!(shown.contains("  newer than disk unknown\n"), "{shown}");
    // An empty file has no page of which anything is unknown.
    let empty = dir.write("empty", b"");
    let (_, document) = json(&["-s", &path, &empty]);
    assert!(document["totals"]["dirty_pages"].is_u64(), "{document}");
}

/// What the README says of vmtouch(8) and fincore(1), so that it is looked at again when they
/// change.
#[test]
fn of_a_file_of_somebody_else_others_tell_that_evicted_pages_are_there() {
    let dir = Dir::new();
    let Some(path) = common::cold_file(&dir, "file", 100_000) else { return };
    let Some(mut nobody) = common::as_nobody(&dir) else { return };
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let output = nobody.args(["residency", &path]).output().unwrap();
    assert_eq!(code(&output), 3, "{}", complaint(&output));
    for (tool, args, pages) in
        [("vmtouch", &[][..], "25/25"), ("fincore", &["--noheadings", "--output", "PAGES"], "25")]
    {
        let output = Command::new(tool).args(args).arg(&path).uid(65_534).gid(65_534).output();
        match output {
            Ok(output) => assert!(text(&output).contains(pages), "{output:?}"),
            Err(error) => println!("skipped: {tool} does not run: {error}"),
        }
    }
}

#[test]
fn nothing_is_no_part_of_nothing() {
    let dir = Dir::new();
    let (path, empty) = (dir.write("file", &[7; 5000]), dir.write("empty", b""));
    for command in ["residency", "touch"] {
        let shown = text(&run([command, &empty]));
        assert!(shown.contains("0 B in 0 pages\n") && !shown.contains("100 %"), "{shown}");
    }
    for command in ["residency", "touch"] {
        let Some(mut nobody) = common::as_nobody(&dir) else { return };
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let shown = text(&nobody.args([command, &path, &empty]).output().unwrap());
        // The empty file is known, and says nothing of the other.
        assert!(shown.contains("unknown  ") && !shown.contains(" in memory  "), "{shown}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_said_and_does_not_hide_the_rest() {
    let dir = Dir::new();
    let (path, pipe) = (dir.write("file", &[7; 5000]), dir.file("pipe"));
    let (missing, root) = (dir.file("missing"), dir.path().to_str().unwrap());
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (subject, reason) in
        [(&*missing, "No such file"), (&*pipe, "it is a pipe"), ("/dev/null", "it is a device")]
    {
        let output = run(["residency", subject, &path]);
        assert_eq!(code(&output), 2, "{subject}");
        let start = format!("bifolio: residency {subject}: ");
        let said = complaint(&output);
        assert!(said.starts_with(&start) && said.contains(reason), "{said}");
        assert!(text(&output).contains("1 file: 4.88 KiB in 2 pages"), "{}", text(&output));
    }
    // In a directory a pipe is nothing to look at.
    let (exit, document) = json(&[root]);
    assert_eq!((exit, &document["totals"]["left_out"]["special_files"]), (0, &Value::from(1)));
    let Some(mut command) = common::as_nobody(&dir) else { return };
    std::fs::create_dir(dir.file("closed")).unwrap();
    std::fs::set_permissions(dir.file("closed"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let output = command.args(["residency", "-I", "file", root]).output().unwrap();
    assert_eq!(code(&output), 2);
    let said = complaint(&output);
    assert_eq!(said.matches("Permission denied").count(), 2, "{said}");
}

#[test]
fn files_of_the_kernel_have_no_pages_and_do_no_harm() {
    for path in
        ["/proc/self/status", "/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"]
    {
        let (exit, document) = json(&[path]);
        assert!(exit == 0 || exit == 3, "{path}");
        assert_eq!(document["totals"]["files"], 1, "{path}");
        assert_eq!(document["totals"]["resident_pages"], 0, "{path}: {document}");
    }
}
