//! Clones that nobody else can open: no descriptor is left, and no path leads there.

use crate::scratch::pattern;
use bifolio_map::{FileMap, FileSystem, Policy, Rung};
use bifolio_sys::fs::file_system;
use bifolio_sys::process::geteuid;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

/// Whether files of the file system that holds `path` can share blocks.
pub(crate) fn clones(path: &Path) -> bool {
    let system = file_system(File::open(path).unwrap());
    matches!(system, Ok(FileSystem::Xfs | FileSystem::Btrfs))
}

/// What the links in a directory of `/proc` lead to, where they can be read.
fn links(directory: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let target = |link: &Path| fs::read_link(link).ok()?.into_os_string().into_string().ok();
    entries
        .filter_map(|link| Some((link.display().to_string(), target(&link)?)))
        .filter(|(_, target)| target.ends_with("(deleted)"))
        .collect()
}

pub(crate) fn a_clone_has_no_way_in(path: &Path) {
    fs::write(path, pattern(100_000)).unwrap();
    if !clones(path) {
        return;
    }
    let policy = Policy::new().pages_on_demand().without_copy();
    let stable = FileMap::open(path).unwrap().stable(&policy).unwrap();
    assert_eq!(stable.rung(), Rung::Reflink);
    assert_eq!(links("/proc/self/fd"), []);
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let start = format!("{:x}-", stable.as_ptr().addr());
    let line = maps.lines().find(|line| line.starts_with(&start)).expect("its mapping");
    assert!(line.contains("r--p") && line.ends_with("(deleted)"), "{line}");
    // What is left is a path for whoever may inspect every process of the machine.
    let range = line.split(' ').next().unwrap();
    let opened = File::options().write(true).open(format!("/proc/self/map_files/{range}"));
    match opened {
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}"),
        Ok(_) => assert!(geteuid().is_root(), "an ordinary user opened the clone"),
    }
    assert!(*stable == pattern(100_000));
}
