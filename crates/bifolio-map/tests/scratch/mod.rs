//! What the tests of files share: a directory that goes away, random numbers that can be repeated,
//! and children: this binary run again, under other rights or limits.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod cache;
pub(crate) mod filter;
pub(crate) mod fuse;
pub(crate) mod lease_time;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that names a child's scenario.
const SCENARIO: &str = "BIFOLIO_CHILD";

/// A directory of a test's own, removed with all it holds.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// On the file system of the build, which is a real one, where this user may write there.
    pub(crate) fn new() -> Self {
        Scratch::inside(Path::new(env!("CARGO_TARGET_TMPDIR")))
            .unwrap_or_else(|_| Scratch::for_everyone())
    }

    /// Where every user may go.
    pub(crate) fn for_everyone() -> Self {
        Scratch::inside(&std::env::temp_dir()).unwrap()
    }

    /// In memory (tmpfs); `None` where there is none.
    pub(crate) fn in_memory() -> Option<Self> {
        let path = Path::new("/dev/shm");
        if path.is_dir() { Scratch::inside(path).ok() } else { None }
    }

    fn inside(parent: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only uniqueness matters.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("bifolio-test-{}-{count}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Scratch { path })
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file of this content.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A copy of this program that everybody may start, who may not be allowed to where it lies.
    ///
    /// Another process writes it: a child of another test that inherits a file open for writing
    /// would keep it from being started.
    pub(crate) fn copy_of_this(&self) -> PathBuf {
        let (program, copy) = (std::env::current_exe().unwrap(), self.join("program"));
        let copied = Command::new("cp").arg(program).arg(&copy).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        copy
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Bytes of which no two pages are the same.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// A xorshift generator whose seed is printed, and taken from `BIFOLIO_SEED` where that is set.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(test: &str) -> Self {
        let given = std::env::var("BIFOLIO_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now();
            now.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1
        });
        println!("{test}: BIFOLIO_SEED={seed}");
        Random(seed.max(1))
    }

    /// One of those that another makes, for a thread.
    pub(crate) fn seeded(seed: u64) -> Self {
        Random(seed.max(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// How much longer than usual to attack: `BIFOLIO_SOAK`, or 1.
pub(crate) fn soak() -> u32 {
    std::env::var("BIFOLIO_SOAK").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// The scenario that this process is to play, if it is a child.
pub(crate) fn scenario() -> Option<String> {
    std::env::var(SCENARIO).ok()
}

/// The arguments with which this binary plays a scenario: its test `scenarios` alone.
fn play(command: &mut Command, scenario: &str) {
    command.args(["--exact", "scenarios", "--nocapture", "--test-threads=1"]);
    command.env(SCENARIO, scenario);
}

/// This binary, about to play `scenario`.
pub(crate) fn child(scenario: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    play(&mut command, scenario);
    command
}

/// This binary, about to play `scenario` after a line of shell has set the stage.
pub(crate) fn staged_child(line: &str, scenario: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{line} && exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe().unwrap());
    play(&mut command, scenario);
    command
}

/// Runs a child that must end well, and passes on why it skipped something.
pub(crate) fn assert_plays(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.lines().filter(|line| line.contains("skipped")).for_each(|line| println!("{line}"));
}

/// Whether a child in a mount namespace of its own can be had: root has it.
pub(crate) fn can_mount() -> bool {
    let answer = Command::new("unshare").args(["--mount", "true"]).output();
    let can = answer.is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: this process may not mount");
    }
    can
}

/// This binary in a mount namespace of its own, about to play `scenario`.
pub(crate) fn mounting_child(scenario: &str) -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(std::env::current_exe().unwrap());
    play(&mut command, scenario);
    command
}
