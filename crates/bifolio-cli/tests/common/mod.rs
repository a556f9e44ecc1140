//! What the tests of the program share: how to run it, and files that go away with their test.
#![allow(dead_code, reason = "each test uses a part")]

use bifolio::{Access, FileMap, Pages, Pattern};
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The program, with nothing of the caller's environment that changes what it prints.
pub(crate) fn bifolio() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bifolio"));
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the program with these arguments.
pub(crate) fn run<const N: usize>(args: [&str; N]) -> Output {
    bifolio().args(args).output().unwrap()
}

/// What it wrote to standard output, as text.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it wrote to standard error, as text.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Its exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal ended it")
}

/// Runs the program on a file that is cut to `new_len` bytes when the first byte of the output has
/// come.
pub(crate) fn cut_while_read(args: &[&str], path: &str, new_len: u64) -> Output {
    let mut child =
        bifolio().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    File::options().write(true).open(path).unwrap().set_len(new_len).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout.insert(0, first[0]);
    output
}

/// A directory that goes away with the value.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Dir {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: the number only has to be unique.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bifolio-cli-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it, as text.
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }

    /// Writes a file, and returns its path.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.file(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// With the seed in `BIFOLIO_SEED`, or one of the clock; it is printed.
    pub(crate) fn new() -> Random {
        let given = std::env::var("BIFOLIO_SEED").ok().and_then(|text| text.parse().ok());
        let clock = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().as_nanos() as u64
        };
        let seed = given.unwrap_or_else(clock);
        println!("BIFOLIO_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// The program as a user without any right (uid 65534), with a copy of it that this user can run;
/// nothing, with a word why, where this process may not change its user.
pub(crate) fn as_nobody(dir: &Dir) -> Option<Command> {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let copy = dir.file("bifolio");
    // By another process: a child of another test that inherits a file open for writing would keep
    // it from being started.
    let copied = Command::new("cp").args([env!("CARGO_BIN_EXE_bifolio"), &copy]).status();
    assert!(copied.unwrap().success());
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(copy);
    command.uid(65534).gid(65534).stdin(Stdio::null()).env_remove("COLUMNS");
    match command.arg("--version").output() {
        Ok(output) if output.status.success() => {
            let mut again = Command::new(command.get_program());
            again.uid(65534).gid(65534).stdin(Stdio::null()).env_remove("COLUMNS");
            Some(again)
        }
        _ => {
            println!("skipped: this process may not run programs as another user");
            None
        }
    }
}

/// A file system of 64 KiB, without a byte to spare, as long as it lives.
pub(crate) struct FullDisk(String);

impl FullDisk {
    /// Nothing, with a word why, where none can be mounted. It has one file, `fill`.
    pub(crate) fn new(dir: &Dir) -> Option<FullDisk> {
        let path = dir.file("full");
        std::fs::create_dir(&path).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=64k", "none", &path];
        let mounted = Command::new("mount").args(options).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            println!("skipped: no file system can be mounted here");
            return None;
        }
        let full = FullDisk(path);
        full.fill();
        Some(full)
    }

    /// Takes what is left.
    pub(crate) fn fill(&self) {
        let mut fill = File::options().append(true).create(true).open(self.file("fill")).unwrap();
        while fill.write_all(&[0; 1024]).is_ok() {}
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    /// The names in it, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(|entry| name(entry).into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        // Lazily: who has a file open there may not be gone yet.
        let _ = Command::new("umount").args(["-l", &self.0]).status();
    }
}

/// How often a test begins anew before it has failed.
const ATTEMPTS: usize = 20;

/// Runs a test that needs what nobody promises: pages that stay where they are, though the kernel
/// takes them back when it likes, or a process that stands still. Where it fails it begins anew,
/// and all that it asserts must hold in one run.
pub(crate) fn attempts(test: impl Fn()) {
    for _ in 1..ATTEMPTS {
        if catch_unwind(AssertUnwindSafe(&test)).is_ok() {
            return;
        }
    }
    test();
}

/// Brings these bytes of a file into memory, and no others, and keeps them there as long as the
/// answer lives and as far as this process may lock.
pub(crate) fn hold(path: &str, bytes: Range<usize>) -> FileMap {
    let map = FileMap::open(path).unwrap();
    // No read-ahead, which would bring in what lies around.
    map.access(0..map.len(), Pattern::Random).unwrap();
    if let Err(error) = map.lock(bytes) {
        println!("pages may leave: {error}");
    }
    map
}

/// A file of so many bytes that is on the disk, and of which no page is in memory; nothing, with a
/// word why, where that cannot be had: what tmpfs holds is in memory.
pub(crate) fn cold_file(dir: &Dir, name: &str, len: u64) -> Option<String> {
    let path = dir.write(name, &vec![7; len as usize]);
    File::open(&path).unwrap().sync_all().unwrap();
    run(["evict", "-q", &path]);
    let answer = run(["residency", "--json", "-s", &path]);
    let totals: serde_json::Value = serde_json::from_str(&text(&answer)).unwrap();
    if totals["totals"]["resident_pages"] != 0 {
        println!("skipped: the pages of {path} cannot be evicted");
        return None;
    }
    Some(path)
}
