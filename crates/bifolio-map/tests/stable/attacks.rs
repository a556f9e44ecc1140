//! What other processes do to a file whose bytes are to stay.
//!
//! Each attack begins with a file of [`LEN`] bytes and leaves something to be attacked again.

use bifolio_map::{Access, AccessMut, SharedMap};
use bifolio_sys::fs::{FallocateFlags, fallocate};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The length of the attacked file: many pages, and a part of one.
pub(crate) const LEN: usize = (2 << 20) + 1234;

/// One thing that another process does to the file.
pub(crate) type Attack = fn(&Path);

/// All of them, by name.
pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("truncate", truncate),
    ("shorten-in-a-page", shorten_in_a_page),
    ("replace-contents", replace_contents),
    ("overwrite", overwrite),
    ("punch", punch),
    ("append", append),
    ("rename-over", rename_over),
    ("map-and-write", map_and_write),
    ("unlink", unlink),
];

/// What the attackers write.
fn poison() -> Vec<u8> {
    vec![0xA5; LEN]
}

fn open(path: &Path) -> File {
    OpenOptions::new().write(true).open(path).unwrap()
}

fn truncate(path: &Path) {
    open(path).set_len(0).unwrap();
}

fn shorten_in_a_page(path: &Path) {
    open(path).set_len(LEN as u64 / 2).unwrap();
}

/// What an editor does that saves in place: `O_TRUNC`, then other bytes.
fn replace_contents(path: &Path) {
    File::create(path).unwrap().write_all(&poison()).unwrap();
}

fn overwrite(path: &Path) {
    open(path).write_all_at(&poison(), 0).unwrap();
}

fn punch(path: &Path) {
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(open(path), hole, 0, LEN as u64).unwrap();
}

fn append(path: &Path) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&poison()[..LEN / 4]).unwrap();
}

fn rename_over(path: &Path) {
    let new = path.with_extension("new");
    fs::write(&new, poison()).unwrap();
    fs::rename(&new, path).unwrap();
}

fn map_and_write(path: &Path) {
    let map = SharedMap::open(path).unwrap();
    map.fill(0..map.len(), 0xA5).unwrap();
}

fn unlink(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::write(path, poison()).unwrap();
}
