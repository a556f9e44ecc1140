//! `cargo xtask picture`: what the program shows on a terminal, drawn as `docs/picture.svg` and
//! `docs/watch.svg`, and a picture that it draws itself, `docs/memory.svg`.
//!
//! The program really runs, on the project's own `Cargo.lock`, on a file that is shortened while it
//! is read, in a terminal of tmux, and on a process of Python.

mod drawing;
mod process;
mod watch;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::workspace::Workspace;

/// Runs the program and writes the pictures.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    workspace.cargo("build --release --locked -p bifolio-cli")?;
    let metadata = workspace.cargo_output("metadata --format-version 1 --no-deps")?;
    let key = "\"target_directory\":\"";
    let at = metadata.find(key).ok_or("cargo names no target directory")? + key.len();
    let target = metadata[at..].split('"').next().unwrap_or("target");
    let program = format!("{target}/release/bifolio");
    let mut text = String::from("\x1b[1m$ bifolio hex --length 0xa0 Cargo.lock\x1b[0m\n");
    text += &hex(workspace, &program)?;
    text += "\n\x1b[1m$ bifolio cat growing.log | consumer   ";
    text += "# meanwhile: truncate -s 8192 growing.log\x1b[0m\n";
    text += &truncated(&program).map_err(|error| format!("{program}: {error}"))?;
    let label = "bifolio hex of a file, and bifolio cat of a file that is shortened meanwhile";
    write(&workspace.root().join("docs/picture.svg"), &drawing::svg(&text, label))?;
    let text = watch::screen(Path::new(&program)).map_err(|error| format!("watch: {error}"))?;
    let label = "bifolio watch: the pages of files while one is read, with what the kernel hides";
    write(&workspace.root().join("docs/watch.svg"), &drawing::svg(&text, label))?;
    let svg = process::drawn(Path::new(&program)).map_err(|error| format!("picture: {error}"))?;
    write(&workspace.root().join("docs/memory.svg"), &String::from_utf8_lossy(&svg))
}

fn write(path: &Path, svg: &str) -> Result<(), String> {
    std::fs::write(path, svg).map_err(|error| format!("{}: {error}", path.display()))
}

fn hex(workspace: &Workspace, program: &str) -> Result<String, String> {
    let output = Command::new(program)
        .args(["--color", "always", "hex", "--length", "0xa0", "Cargo.lock"])
        .current_dir(workspace.root())
        .env("COLUMNS", "80")
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What the program says when its file is shortened while a slow reader holds it up.
fn truncated(program: &str) -> std::io::Result<String> {
    let dir = std::env::temp_dir().join(format!("bifolio-picture-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let path = dir.join("growing.log");
    std::fs::write(&path, vec![b'x'; 8 << 20])?;
    let file = File::options().write(true).open(&path)?;
    let mut child = Command::new(program)
        .args(["--color", "always", "cat", "growing.log"])
        .current_dir(&dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut out = child.stdout.take().ok_or_else(|| std::io::Error::other("no pipe"))?;
    out.read_exact(&mut [0; 4096])?;
    file.set_len(8192)?;
    std::io::copy(&mut out, &mut std::io::sink())?;
    drop(out);
    let output = child.wait_with_output()?;
    std::fs::remove_dir_all(&dir)?;
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    let _ = writeln!(said, "\x1b[2m(exit code {})\x1b[0m", output.status.code().unwrap_or(-1));
    Ok(said)
}
