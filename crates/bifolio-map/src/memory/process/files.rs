//! The files behind mappings: whether they still have a name, and whether they lie in memory.
//!
//! The kernel writes ` (deleted)` behind the path of a file that has lost its name, and a file may
//! be called so: only a look at that path can tell, where the file has its inode.

use super::folder::Folder;
use super::maps::{Backing, Region};
use super::purpose::Purpose;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::vec::Vec;

use bifolio_sys::fs::{major, minor};

/// What the process sees mounted, by device.
pub(super) struct Files {
    memory: BTreeSet<(u32, u32)>,
    all: BTreeSet<(u32, u32)>,
    /// Where paths may be meant from: the directory that the process calls `/`, and ours.
    roots: [PathBuf; 2],
}

/// The kernel's names of file systems whose files lie in memory.
const IN_MEMORY: [&[u8]; 4] = [b"tmpfs", b"ramfs", b"devtmpfs", b"hugetlbfs"];

const DELETED: &[u8] = b" (deleted)";

impl Files {
    pub(super) fn of(folder: &Folder) -> Files {
        let table = folder.read(c"mountinfo").unwrap_or_default();
        let mut files = Files {
            memory: BTreeSet::new(),
            all: BTreeSet::new(),
            roots: [folder.path("root"), PathBuf::from("/")],
        };
        for (device, kind) in table.split(|&byte| byte == b'\n').filter_map(parse) {
            files.all.insert(device);
            if IN_MEMORY.contains(&kind) {
                files.memory.insert(device);
            }
        }
        files
    }

    pub(super) fn backing(&self, region: &Region) -> Backing {
        match region.purpose {
            Purpose::SharedAnonymous
            | Purpose::SharedMemory
            | Purpose::MemoryFile
            | Purpose::SystemV
            | Purpose::Secret
            | Purpose::HugePages
            | Purpose::Kernel => Backing::Memory,
            Purpose::Device | Purpose::Unknown => Backing::Unknown,
            _ if region.inode == 0 || &*region.name == b"/dev/zero" => Backing::None,
            _ if self.memory.contains(&region.device) => Backing::Memory,
            _ if self.all.contains(&region.device) => Backing::Storage,
            _ => Backing::Unknown,
        }
    }

    pub(super) fn is_deleted(&self, region: &Region) -> Option<bool> {
        let has_no_path = matches!(
            region.purpose,
            Purpose::SharedAnonymous
                | Purpose::MemoryFile
                | Purpose::SystemV
                | Purpose::Secret
                | Purpose::HugePages
        );
        if !region.name.starts_with(b"/") {
            return None;
        }
        if has_no_path {
            return Some(true);
        }
        if !region.name.ends_with(DELETED) {
            return Some(false);
        }
        // If the file lies under this very name, that ends so by itself.
        let name = Path::new(OsStr::from_bytes(&region.name[1..]));
        let found: Vec<_> = self
            .roots
            .iter()
            .filter_map(|root| std::fs::symlink_metadata(root.join(name)).ok())
            .filter(|stat| stat.ino() == region.inode)
            .map(|stat| (major(stat.dev()), minor(stat.dev())))
            .collect();
        match &found[..] {
            [] => Some(true),
            devices if devices.contains(&region.device) => Some(false),
            // Some file systems tell another device here than there.
            _ => None,
        }
    }
}

/// Device and type of a line of proc_pid_mountinfo(5):
/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS`.
fn parse(line: &[u8]) -> Option<((u32, u32), &[u8])> {
    let mut words = line.split(|&byte| byte == b' ');
    let (major, minor) = str::from_utf8(words.nth(2)?).ok()?.split_once(':')?;
    let kind = words.skip_while(|&word| word != b"-").nth(1)?;
    Some(((major.parse().ok()?, minor.parse().ok()?), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_tells_device_and_type() {
        let line = b"30 22 0:25 / /mnt rw master:2 propagate_from:1 - tmpfs none rw";
        assert_eq!(parse(line), Some(((0, 25), &b"tmpfs"[..])));
        assert_eq!(parse(b"31 30 254:1 / / rw - ext4 a b"), Some(((254, 1), &b"ext4"[..])));
        assert_eq!(parse(b"nonsense"), None);
    }
}
