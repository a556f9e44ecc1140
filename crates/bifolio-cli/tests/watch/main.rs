//! `bifolio watch`: on terminals, in pipes, on what cannot be watched.

#[path = "../common/mod.rs"]
mod common;
mod live;
mod once;
mod terminal;

use common::{Dir, run, text};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A file of 4 MiB of which the first MiB is data that is on the disk, the rest a hole.
pub(crate) fn data_and_hole(dir: &Dir, name: &str) -> String {
    let path = dir.file(name);
    let file = File::create(&path).unwrap();
    file.write_all_at(&vec![7; 1 << 20], 0).unwrap();
    file.set_len(4 << 20).unwrap();
    file.sync_all().unwrap();
    path
}

pub(crate) fn resident_pages(path: &str) -> u64 {
    let all: Value =
        serde_json::from_str(&text(&run(["watch", "--once", "--json", path]))).unwrap();
    all["items"][0]["pages"]["resident_pages"].as_u64().unwrap()
}
