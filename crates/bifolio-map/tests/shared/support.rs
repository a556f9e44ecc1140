//! What these tests share: directories, small file systems, child processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A directory of a test's own, removed when dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("bifolio-shared-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it that holds `bytes`.
    pub(crate) fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.join("data.bin");
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A small file system of a test's own, unmounted when dropped.
pub(crate) struct FileSystem {
    directory: Directory,
    mount: PathBuf,
}

impl FileSystem {
    /// A file system of one MiB in memory, or `None`, with the reason printed.
    pub(crate) fn tmpfs(name: &str) -> Option<Self> {
        let directory = Directory::new(name);
        Self::mounted(directory, &["-t", "tmpfs", "-o", "size=1m", "none"])
    }

    /// A file system of eight MiB on a disk image, made by `mkfs`, or `None`, with the reason
    /// printed.
    pub(crate) fn image(name: &str, mkfs: &str) -> Option<Self> {
        let directory = Directory::new(name);
        let image = directory.path().join("image");
        fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
        let mut command = Command::new(mkfs);
        command.arg("-q").arg("-F").arg(&image).env("PATH", path_with_sbin());
        if !ran(&mut command) {
            println!("skipped: {mkfs} is absent, or cannot make an image");
            return None;
        }
        let image = image.to_str().unwrap().to_owned();
        Self::mounted(directory, &["-o", "loop", &image])
    }

    fn mounted(directory: Directory, arguments: &[&str]) -> Option<Self> {
        let mount = directory.path().join("mount");
        fs::create_dir_all(&mount).unwrap();
        if !ran(Command::new("mount").args(arguments).arg(&mount)) {
            println!("skipped: mounting a small file system is not permitted");
            return None;
        }
        Some(FileSystem { directory, mount })
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.mount.join(name)
    }

    /// Uses all the space that is left.
    pub(crate) fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1 << 12] {
            while file.write_all(&vec![1; size]).is_ok() {}
            // What was only promised is allocated, and may leave some over.
            let _ = file.sync_all();
        }
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        ran(Command::new("umount").arg("-l").arg(&self.mount));
        let _ = &self.directory;
    }
}

fn ran(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where mkfs lives, for users whose PATH leaves it out.
fn path_with_sbin() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// This binary run again, to start in `children::start` with the name of a scenario and a path.
pub(crate) fn child(scenario: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "children::start", "--nocapture", "--test-threads=1"])
        .stdout(Stdio::null())
        .env("BIFOLIO_CHILD", scenario)
        .env("BIFOLIO_CHILD_PATH", path);
    command
}

/// A child that works until it is killed: when this is dropped.
pub(crate) struct Attacker(Child);

impl Attacker {
    pub(crate) fn start(scenario: &str, path: &Path) -> Self {
        Attacker(child(scenario, path).spawn().unwrap())
    }

    /// Waits for something that the child brings about.
    pub(crate) fn wait_until(&mut self, is_so: impl Fn() -> bool) {
        while !is_so() {
            let end = self.0.try_wait().unwrap();
            assert!(end.is_none(), "the child ended: {end:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often to do what is done often: `BIFOLIO_SOAK` multiplies it.
pub(crate) fn rounds(count: usize) -> usize {
    let factor = std::env::var("BIFOLIO_SOAK").ok().and_then(|text| text.parse().ok());
    count * factor.unwrap_or(1)
}

/// Random numbers (xorshift64*), from a seed that is printed and can be given as `BIFOLIO_SEED`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(test: &str) -> Self {
        let given = std::env::var("BIFOLIO_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            now.as_nanos() as u64 | 1
        });
        println!("{test}: BIFOLIO_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}
