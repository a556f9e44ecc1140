//! The scene of `docs/watch.svg`: `bifolio watch` in a terminal of tmux, while its files are read,
//! written, pushed out, mapped by a process, and one of them belongs to somebody else.
//!
//! As root the program runs as an ordinary user, who is not told everything.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, Result, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const COLUMNS: &str = "110";
const ROWS: &str = "30";

/// How long the screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who runs it where root would.
const NOBODY: u32 = 65_534;

/// Maps a file and reads half of its last tenth, so that these pages cannot go; when it is told to
/// go on, it has its seventh tenth pushed out, as the kernel does it when memory is short.
const HOLDER: &str = "\
import mmap, sys
with open('weights.bin', 'rb') as file:
    pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
tenth = len(pages) // 10
sum(pages[at] for at in range(9 * tenth, 9 * tenth + tenth // 2, 4096))
print('held', flush=True)
sys.stdin.readline()
sum(pages[at] for at in range(6 * tenth, 7 * tenth, 4096))
pages.madvise(21, 6 * tenth, tenth)
print('pushed out', flush=True)
sys.stdin.read()
";

/// What is made for the scene, and goes with it.
struct Scene {
    dir: PathBuf,
    socket: String,
    user: Option<u32>,
}

/// The screen in the middle of it, with its colours.
pub(super) fn screen(program: &Path) -> Result<String> {
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    let dir = std::env::temp_dir().join(format!("bifolio-watch-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755))?;
    let scene = Scene {
        socket: dir.join("tmux").to_string_lossy().into_owned(),
        dir,
        user: is_root.then_some(NOBODY),
    };
    chown(&scene.dir, scene.user, scene.user)?;
    std::fs::copy(program, scene.dir.join("bifolio"))?;
    scene.play()
}

/// The process that holds pages.
struct Holder {
    process: Child,
    says: BufReader<ChildStdout>,
}

impl Holder {
    fn new(mut python: Command) -> Result<Holder> {
        let python = python.args(["-c", HOLDER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = python.spawn()?;
        let says = process.stdout.take().ok_or_else(|| Error::other("no pipe"))?;
        let mut holder = Holder { process, says: BufReader::new(says) };
        holder.says.read_line(&mut String::new())?;
        Ok(holder)
    }

    fn go_on(&mut self) -> Result<()> {
        let told = self.process.stdin.as_mut().ok_or_else(|| Error::other("no pipe"))?;
        told.write_all(b"go on\n")?;
        self.says.read_line(&mut String::new())?;
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Scene {
    fn play(&self) -> Result<String> {
        let weights = self.file("weights.bin", 640 << 20, &[(0, 512), (576, 64)])?;
        let data = self.file("data.mdb", 256 << 20, &[(0, 96), (160, 64)])?;
        let mut holder = Holder::new(self.command("python3"))?;
        self.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", COLUMNS, "-y", ROWS])
            .args(["./bifolio", "watch", "weights.bin", "data.mdb", "/usr/bin/env"])
            .status()?;
        self.until("looks/s")?;
        // All go that can: what the holder uses stays, and the screen says so.
        self.tmux(&["send-keys", "e"]).status()?;
        self.until("could not go")?;
        // One file is read, another written.
        let mut block = vec![0; 1 << 20];
        (0..96).step_by(2).try_for_each(|mib| data.read_exact_at(&mut block, mib << 20))?;
        for mib in 0..300 {
            weights.read_exact_at(&mut block, mib << 20)?;
            // As a program would that does something with it.
            std::thread::sleep(Duration::from_millis(5));
        }
        holder.go_on()?;
        self.until("xxx")?;
        (160..192).try_for_each(|mib| data.write_all_at(&block, mib << 20))?;
        self.until("!!")?;
        let output = self.tmux(&["capture-pane", "-p", "-e"]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// A file with data in these runs, in MiB, all of it on the disk and none in memory.
    fn file(&self, name: &str, len: u64, runs: &[(u64, u64)]) -> Result<File> {
        let path = self.dir.join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        file.set_len(len)?;
        let block = vec![7; 1 << 20];
        for &(start, count) in runs {
            (start..start + count).try_for_each(|mib| file.write_all_at(&block, mib << 20))?;
        }
        file.sync_all()?;
        chown(&path, self.user, self.user)?;
        let dropped = Command::new(self.dir.join("bifolio")).arg("evict").arg(&path).output()?;
        if !dropped.status.success() {
            return Err(Error::other(String::from_utf8_lossy(&dropped.stderr).into_owned()));
        }
        Ok(file)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = self.command("tmux");
        command.args(["-u", "-S", &self.socket]).args(args).env_remove("TMUX");
        command.env("HOME", &self.dir).env("SHELL", "/bin/sh").env_remove("NO_COLOR");
        command
    }

    fn until(&self, text: &str) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let shown = self.tmux(&["capture-pane", "-p"]).output()?.stdout;
            if String::from_utf8_lossy(&shown).contains(text) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Error::other(format!("the screen never showed {text:?}")))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).stderr(Stdio::null()).status();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
