//! The file that says which process holds the locks.
//!
//! 1. It names a process that is alive when it is written, and a file that does is not overwritten.
//! 2. It goes away when the process does, also by SIGKILL: a second process waits for the end of a
//!    pipe that the first holds, and removes the file then, if it still holds that number.

use crate::failure::Failure;
use crate::name::shown;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

/// The file, for as long as the value lives.
pub(super) struct PidFile {
    path: PathBuf,
    /// What the second process waits for the end of.
    _alive: Option<ChildStdin>,
}

impl PidFile {
    pub(super) fn create(path: &Path) -> Result<PidFile, Failure> {
        let failed = |error| Failure::file(path, error);
        let pid = std::process::id();
        let mut file = match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if let Some(other) = living(path) {
                    let text = format!("{}: process {other} is alive", shown(path));
                    return Err(Failure::message(text).with_help("end that one first"));
                }
                std::fs::remove_file(path).and_then(|()| File::create_new(path))
            }
            created => created,
        }
        .map_err(failed)?;
        // From anywhere; what fails from here on takes the file with it.
        let path = std::path::absolute(path).map_err(failed)?;
        let mut own = PidFile { path, _alive: None };
        writeln!(file, "{pid}").map_err(failed)?;
        let mut child = Command::new(super::own_program())
            .arg0("bifolio")
            .args(["lock", "--clean-up", &pid.to_string()])
            .arg(&own.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt from the terminal is not meant for it.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        own._alive = child.stdin.take();
        Ok(own)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Else the second process does it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The process that a file names, if there is one with that number.
fn living(path: &Path) -> Option<u32> {
    let pid = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

/// What the second process does.
pub(super) fn clean_up(path: &Path, pid: &str) {
    // It ends when the pipe does, by an error too.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    if text.trim() == pid {
        // Nobody is left to be told.
        let _ = std::fs::remove_file(path);
    }
}
