//! What `bifolio picture --pid` draws of a program that maps a file, reserves more memory than it
//! uses, and holds a heap.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// The program: it says when it is ready and ends with its input.
const PROGRAM: &str = r#"
import mmap, os, random, sys
random.seed(7)
with open("weights.bin", "wb") as file:
    for _ in range(48):
        file.write(os.urandom(1 << 20))
file = open("weights.bin", "rb")
os.fdatasync(file.fileno())
os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
weights = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
weights.madvise(mmap.MADV_RANDOM)
read = sum(weights[at] for at in range(0, 14 << 20, 4096))
read += sum(weights[random.randrange(24 << 20, 40 << 20)] for _ in range(900))
cache = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE)
for at in range(0, 64 << 20, 8 << 20):
    size = random.randrange(1 << 20, 6 << 20)
    cache[at:at + size] = b"x" * size
heap = [bytes(random.randrange(500)) for _ in range(60000)]
print("ready", flush=True)
sys.stdin.read()
"#;

/// Runs the program, and returns the picture of it.
pub(super) fn drawn(program: &Path) -> io::Result<Vec<u8>> {
    let dir = std::env::temp_dir().join(format!("bifolio-picture-pid-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let mut child = Command::new("python3")
        .args(["-c", PROGRAM])
        .current_dir(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    let pid = child.id().to_string();
    let output = Command::new(program)
        .args(["picture", "--pid", &pid, "-o", "-", "--format", "svg"])
        .output();
    drop(child.stdin.take());
    child.wait()?;
    std::fs::remove_dir_all(&dir)?;
    let output = output?;
    if output.status.success() && line == "ready\n" {
        Ok(output.stdout)
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}
