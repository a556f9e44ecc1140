//! Files that vanish, for the tests of this crate.
#![allow(dead_code, reason = "each test uses its part")]

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A file that is removed with this value.
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
    /// Open to read and write.
    pub(crate) file: File,
}

impl Scratch {
    /// A file with these bytes.
    pub(crate) fn with(bytes: &[u8]) -> Scratch {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("bifolio-memmap2-{}-{number}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        std::fs::write(&path, bytes).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Scratch { path, file }
    }

    /// The same, open to be read only.
    pub(crate) fn read_only(&self) -> File {
        File::open(&self.path).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Bytes that no page repeats.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 ^ (at / 4096) as u8).collect()
}

/// The size of a page in bytes.
pub(crate) fn page() -> usize {
    bifolio_map::page::page_size().bytes()
}
