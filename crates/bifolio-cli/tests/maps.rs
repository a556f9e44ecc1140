//! `bifolio maps`: the numbers are the process's, and what cannot be told is said.

mod common;

use common::{Dir, as_nobody, attempts, bifolio, code, complaint, run, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Output, Stdio};

/// A process that stands still: it has read its input, and waits for more.
struct Still(Child);

impl Still {
    fn new() -> Still {
        let mut cat = Command::new("cat");
        let child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut still = Still(child);
        still.0.stdin.as_mut().unwrap().write_all(b"ready").unwrap();
        still.0.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        still
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn document(output: &Output) -> Value {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    document
}

/// `--json` of a process that stands still.
fn look(process: &str) -> Value {
    let output = run(["maps", "--json", process]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    document(&output)
}

fn address(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

#[test]
fn every_mapping_is_there_and_the_sums_are_theirs() {
    let still = Still::new();
    let found = look(&still.id());
    let regions = found["regions"].as_array().unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", still.id())).unwrap();
    let lines: Vec<_> = maps.lines().filter(|line| !line.ends_with("[vsyscall]")).collect();
    assert_eq!(regions.len(), lines.len());
    for (region, line) in regions.iter().zip(lines) {
        let (start, end) = (address(&region["start"]), address(&region["end"]));
        let sharing = if region["shared"] == true { 's' } else { 'p' };
        let permissions = region["permissions"].as_str().unwrap();
        let expected = format!("{start:08x}-{end:08x} {permissions}{sharing} ");
        assert!(line.starts_with(&expected), "{region} is not {line}");
        assert!(line.ends_with(region["name"].as_str().unwrap_or("0 ")), "{region} is not {line}");
        assert_eq!(region["mapped_bytes"], end - start);
        assert!(region["resident_bytes"].as_u64() <= region["mapped_bytes"].as_u64());
    }
    for key in ["mapped_bytes", "resident_bytes", "dirty_bytes", "reclaimable_bytes"] {
        let sum = |list: &Value| -> u64 {
            list.as_array().unwrap().iter().map(|one| one[key].as_u64().unwrap()).sum()
        };
        let total = found["total"][key].as_u64().unwrap();
        assert_eq!((sum(&found["regions"]), sum(&found["kinds"])), (total, total), "{key}");
    }
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", still.id())).unwrap();
    let rss = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    let rss: u64 = rss.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    assert_eq!(found["total"]["resident_bytes"], rss * 1024);
    let parts = ["anonymous_bytes", "file_bytes", "shared_memory_bytes"];
    let parts: u64 = parts.map(|key| found["total"][key].as_u64().unwrap()).iter().sum();
    assert_eq!(parts, rss * 1024, "anonymous, files and shared memory are all that is resident");
    assert_eq!(found["command"], serde_json::json!(["cat"]));
    let kinds: BTreeSet<_> =
        regions.iter().map(|region| region["kind"].as_str().unwrap()).collect();
    for kind in ["program", "libraries", "heap", "stacks", "anonymous", "kernel"] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
}

#[test]
fn the_tables_fit_the_page() {
    let still = Still::new();
    for columns in [80, 100, 120, 150, 200] {
        let output = bifolio()
            .args(["maps", &still.id()])
            .env("COLUMNS", columns.to_string())
            .output()
            .unwrap();
        assert_eq!(code(&output), 0, "{}", complaint(&output));
        let shown = text(&output);
        for line in shown.lines() {
            assert!(line.chars().count() <= columns, "{columns} columns: {line}");
        }
        assert!(shown.starts_with(&format!("process {}: cat\n\nADDRESSES ", still.id())));
        for word in ["MAPPED", "RESID", "PROP", "DIRTY", "SWAP", "[heap]", "[stack]", "libc.so.6"] {
            assert!(shown.contains(word), "{columns} columns, {word}: {shown}");
        }
        assert!(shown.contains("Mapped is not resident, and resident is not its own"));
        assert_eq!(shown.contains("library code"), columns >= 120, "{columns} columns: {shown}");
        assert_eq!(shown.contains("LOCKED"), columns >= 150, "{columns} columns: {shown}");
    }
    let whole = text(&run(["maps", &still.id()]));
    let summary = text(&run(["maps", "--summary", &still.id()]));
    assert!(!summary.contains("ADDRESSES") && summary.contains("KIND"), "{summary}");
    // Every line of the summary is one of the whole, where no other process came or went.
    let kinds: Vec<_> = summary.lines().filter(|line| line.starts_with("stacks")).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|line| whole.contains(line)), "{whole}{summary}");
}

#[test]
fn mappings_are_chosen_and_ordered() {
    let still = Still::new();
    let output = run(["maps", "--json", "--only", "heap,stacks", &still.id()]);
    let found = document(&output);
    let regions = found["regions"].as_array().unwrap();
    assert!(regions.len() >= 2);
    assert!(regions.iter().all(|region| region["kind"] == "heap" || region["kind"] == "stacks"));
    let output = run(["maps", "--json", "--name", "libc.so", &still.id()]);
    let found = document(&output);
    let regions = found["regions"].as_array().unwrap();
    assert!(regions.len() > 2);
    assert!(regions.iter().all(|region| region["name"].as_str().unwrap().contains("libc.so")));
    let found = document(&run(["maps", "--json", "--summary", &still.id()]));
    assert_eq!(found["regions"], Value::Null);
    assert!(found["kinds"].as_array().unwrap().len() > 3);
    let output = run(["maps", "--sort", "mapped", "--only", "libraries", &still.id()]);
    let shown = text(&output);
    let sizes: Vec<u64> = shown
        .lines()
        .filter_map(|line| line.split_once(' ')?.0.split_once('-'))
        .filter_map(|(start, end)| {
            let number = |digits| u64::from_str_radix(digits, 16).ok();
            Some(number(end)? - number(start)?)
        })
        .collect();
    assert!(sizes.len() > 4 && sizes.is_sorted_by(|one, other| one >= other), "{shown}");
}

#[test]
fn names_that_are_no_text_keep_their_bytes() {
    let dir = Dir::new();
    let path = dir.path().join(OsStr::from_bytes(b"\xff\x1b"));
    std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    // It cannot write more than the pipe holds, and keeps its mapping.
    let mut cat = bifolio().arg("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
    cat.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let id = cat.id().to_string();
    let output = run(["maps", "--json", "--only", "files", &id]);
    let shown = text(&run(["maps", "--only", "files", &id]));
    cat.kill().unwrap();
    cat.wait().unwrap();
    let found = document(&output);
    let name = path.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}"));
    let region =
        found["regions"].as_array().unwrap().iter().find(|region| {
            region["name"]["hex"].as_str() == Some(&name.clone().collect::<String>())
        });
    assert!(region.is_some(), "{found}");
    assert!(shown.contains(r"\xff\u{1b}") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn whom_one_may_not_look_at_is_an_error_that_says_what_to_do() {
    let dir = Dir::new();
    let still = Still::new();
    if let Some(mut nobody) = as_nobody(&dir) {
        let output = nobody.args(["maps", &still.id()]).output().unwrap();
        assert_eq!((code(&output), text(&output)), (2, String::new()));
        let said = complaint(&output);
        let start = format!("bifolio: maps process {}: not permitted", still.id());
        assert!(said.starts_with(&start) && said.contains("\nhelp: "), "{said}");
        assert!(said.contains("root") && said.contains("CAP_SYS_PTRACE"), "{said}");
    }
    let id = still.id();
    drop(still);
    let output = run(["maps", &id]);
    assert_eq!((code(&output), text(&output)), (2, String::new()));
    assert!(complaint(&output).contains("it has ended"), "{}", complaint(&output));
    let output = run(["maps", "99999999999"]);
    assert_eq!(code(&output), 2);
    assert!(complaint(&output).contains("no process has so large a number"));
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
        let output = run(["maps", "2"]);
        assert_eq!(code(&output), 2);
        assert!(complaint(&output).contains("thread of the kernel"), "{}", complaint(&output));
    }
}

/// A line of shell that goes on until the program, its parent, has looked at it a few times: it
/// reads more with every look.
const UNTIL_SEEN: &str = "read -r _ start < /proc/$PPID/io || exit 9
until [ \"$now\" -gt $((start + 100000)) ] 2>/dev/null; do read -r _ now < /proc/$PPID/io; done";

#[test]
fn a_command_is_looked_at_until_it_ends() {
    if File::open("/proc/self/io").is_err() {
        return println!("skipped: the kernel counts no reads");
    }
    // A look at a command that does not stand still is told to be none, by exit code 3.
    attempts(|| {
        let line = format!("echo from the command\n{UNTIL_SEEN}\nexit 3");
        let output = run(["maps", "--json", "--", "sh", "-c", &line]);
        assert_eq!(code(&output), 0, "{}", complaint(&output));
        let said = complaint(&output);
        assert!(said.contains("from the command\n"), "{said}");
        assert!(said.ends_with("bifolio: maps sh ended with exit status: 3\n"), "{said}");
        let found = document(&output);
        assert_eq!(found["command"][0], "sh");
        let moment = &found["moment"];
        let (after, before) = (&moment["after_start_seconds"], &moment["before_end_seconds"]);
        assert!(after.as_f64().unwrap() > 0.0 && before.as_f64().unwrap() > 0.0, "{moment}");
        let output = run(["maps", "-s", "sh", "--", "-c", UNTIL_SEEN]);
        assert_eq!(code(&output), 2, "either way of naming a command, not both: {}", text(&output));
        let output = run(["maps", "-s", "--", "sh", "-c", UNTIL_SEEN]);
        assert_eq!((code(&output), complaint(&output)), (0, String::new()));
        let shown = text(&output);
        assert!(shown.contains(" s before its end\n"), "{shown}");
        assert!(shown.contains("Most in memory in ") && shown.contains("(--at peak)"), "{shown}");
        let output = run(["maps", "-s", "--at", "peak", "--", "sh", "-c", UNTIL_SEEN]);
        assert_eq!(code(&output), 0);
        assert!(!text(&output).contains("--at peak"), "{}", text(&output));
    });
}

#[test]
fn a_command_is_shown_at_a_time_and_goes_on() {
    let mut program = bifolio()
        .args(["maps", "--at", "0s", "--json", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The whole document comes while the command still waits for its input.
    let mut shown = Vec::new();
    while !shown.ends_with(b"\n}\n") {
        let mut byte = [0];
        program.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        shown.push(byte[0]);
    }
    program.stdin.as_mut().unwrap().write_all(b"late words").unwrap();
    drop(program.stdin.take());
    let output = program.wait_with_output().unwrap();
    assert_eq!((code(&output), complaint(&output)), (0, "late words".to_owned()));
    let found: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(found["command"][0], "cat");
    assert_eq!(found["moment"]["before_end_seconds"], Value::Null);
    let output = run(["maps", "--at", "1h", "cat"]);
    assert_eq!(code(&output), 2);
    assert!(complaint(&output).contains("a time is like"), "{}", complaint(&output));
    let output = run(["maps", "/no/such/command"]);
    assert_eq!(code(&output), 2);
    assert!(complaint(&output).starts_with("bifolio: maps /no/such/command: No such file"));
}

#[test]
fn what_changed_between_two_moments_is_shown() {
    let dir = Dir::new();
    let still = Still::new();
    let before = look(&still.id());
    let path = |name: &str, document: &Value| dir.write(name, document.to_string().as_bytes());
    let old = path("old", &before);
    let output = run(["maps", "--diff", &old, &old]);
    assert_eq!((code(&output), text(&output)), (0, "nothing changed\n".to_owned()));

    let mut after = before.clone();
    let regions = after["regions"].as_array_mut().unwrap();
    let heap = regions.iter_mut().find(|region| region["kind"] == "heap").unwrap();
    let end = address(&heap["end"]) + (1 << 20);
    heap["end"] = format!("{end:#x}").into();
    heap["mapped_bytes"] = (end - address(&heap["start"])).into();
    heap["resident_bytes"] = (heap["resident_bytes"].as_u64().unwrap() + (1 << 19)).into();
    let stack = regions.iter().position(|region| region["kind"] == "stacks").unwrap();
    let mut extra = regions.remove(stack);
    extra["start"] = "0x10000".into();
    extra["end"] = "0x12000".into();
    extra["mapped_bytes"] = 8192.into();
    extra["kind"] = "files".into();
    extra["name"] = "/new".into();
    regions.insert(0, extra);
    let new = path("new", &after);
    let output = run(["maps", "--diff", &old, &new]);
    assert_eq!(code(&output), 1, "{}", complaint(&output));
    let shown = text(&output);
    for (sign, words) in [("~", "+1M   +512K"), ("-", "[stack]"), ("+", "/new")] {
        let is_it = |line: &str| line.starts_with(&format!("{sign} ")) && line.contains(words);
        assert_eq!(shown.lines().filter(|line| is_it(line)).count(), 1, "{sign}{words}: {shown}");
    }
    assert_eq!(shown.lines().filter(|line| line.starts_with(['~', '-', '+'])).count(), 3);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let output = run(["maps", "--json", "--diff", &old, &new]);
    assert_eq!(document(&output)["changes"].as_array().unwrap().len(), 3);

    // Another process of the same program lies elsewhere, and is the same all the same.
    let mut moved = before.clone();
    moved["process"] = 1.into();
    for region in moved["regions"].as_array_mut().unwrap() {
        for key in ["start", "end"] {
            region[key] = format!("{:#x}", address(&region[key]) + 0x1000).into();
        }
    }
    let output = run(["maps", "--diff", &old, &path("moved", &moved)]);
    assert_eq!((code(&output), text(&output)), (0, "nothing changed\n".to_owned()));
    // The kernel may take pages from it at any time.
    let output = run(["maps", "--interval", "1ms", &still.id()]);
    assert!([0, 1].contains(&code(&output)), "{}", complaint(&output));
}

#[test]
fn what_is_no_moment_is_refused() {
    let dir = Dir::new();
    let still = Still::new();
    let good = look(&still.id());
    let old = dir.write("old", good.to_string().as_bytes());
    let mut newer = good.clone();
    newer["schema"] = 2.into();
    let mut long = good;
    long["regions"][0]["mapped_bytes"] = 7.into();
    for (wrong, said) in [
        (newer.to_string(), "schema 2 is newer"),
        (long.to_string(), "has another length"),
        ("{}".to_owned(), "names no schema"),
        ("nonsense".to_owned(), "expected"),
        (r#"{"schema":1}"#.to_owned(), "missing field"),
    ] {
        let new = dir.write("new", wrong.as_bytes());
        let output = run(["maps", "--diff", &old, &new]);
        assert_eq!((code(&output), text(&output)), (2, String::new()), "{said}");
        assert!(complaint(&output).contains(said), "{said}: {}", complaint(&output));
    }
    for args in [&["--interval", "1s", "cat"][..], &["--diff", &old], &["--diff", &old, &old, "1"]]
    {
        let output = bifolio().arg("maps").args(args).output().unwrap();
        assert_eq!((code(&output), text(&output)), (2, String::new()), "{args:?}");
    }
}

#[test]
fn a_reader_that_leaves_and_a_full_disk_are_met_as_everywhere() {
    let still = Still::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = bifolio().args(["maps", &still.id()]).stdout(writer).output().unwrap();
    assert_eq!((code(&output), complaint(&output)), (0, String::new()));
    if let Ok(full) = File::options().write(true).open("/dev/full") {
        let output = bifolio().args(["maps", &still.id()]).stdout(full).output().unwrap();
        assert_eq!(code(&output), 2);
        assert!(complaint(&output).contains("(standard output): No space left"));
    }
}
