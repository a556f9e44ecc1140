//! What the tests of mappings share: seeded random numbers, files of their own, and the suite that
//! every kind of mapping passes.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod conformance;
pub(crate) mod random;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file of a test's own, removed when dropped.
pub(crate) struct TempFile(pub(crate) PathBuf);

impl TempFile {
    /// A file that holds `bytes`.
    pub(crate) fn with(bytes: &[u8]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("bifolio-map-{}-{count}.bin", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        TempFile(path)
    }

    /// Makes the file longer, by zeros, or shorter.
    pub(crate) fn set_len(&self, len: u64) {
        fs::OpenOptions::new().write(true).open(&self.0).unwrap().set_len(len).unwrap();
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
