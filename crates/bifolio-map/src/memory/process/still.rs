//! A process that stands still, for tests: it has read its input, and waits for more.

use super::folder::{Folder, Process};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

pub(super) struct Still(Child);

impl Still {
    pub(super) fn new() -> Still {
        let mut cat = Command::new("cat");
        let child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut still = Still(child);
        still.0.stdin.as_mut().unwrap().write_all(b"ready").unwrap();
        still.0.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        still
    }

    pub(super) fn folder(&self) -> Folder {
        Folder::open(Process::from(self.0.id())).unwrap()
    }

    /// Ends it, and waits for its end.
    pub(super) fn end(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.finish();
    }
}
