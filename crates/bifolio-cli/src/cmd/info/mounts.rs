//! Which file system a file lies on, by the table of mounts that the process sees.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A file system, where it is mounted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) point: PathBuf,
    /// The kernel's name of its type: `ext4`, `tmpfs`, `nfs4`.
    pub(super) kind: String,
}

/// The mount that holds a path; nothing where that cannot be known.
pub(super) fn holding(path: &Path) -> Option<Mount> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    find(&table, &std::fs::canonicalize(path).ok()?)
}

/// The mount of `table` (proc_pid_mountinfo(5)) with the longest point that leads to `path`; of two
/// at one point the later lies above.
fn find(table: &[u8], path: &Path) -> Option<Mount> {
    let mounts = table.split(|&byte| byte == b'\n').filter_map(parse);
    mounts
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len())
}

/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS`.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&byte| byte == b' ');
    let point = unescape(words.nth(4)?);
    let kind = words.skip_while(|&word| word != b"-").nth(1)?;
    Some(Mount {
        point: std::ffi::OsString::from_vec(point).into(),
        kind: std::ffi::OsStr::from_bytes(kind).to_string_lossy().into_owned(),
    })
}

/// Undoes the octal escapes of blanks and backslashes: `\040`.
fn unescape(word: &[u8]) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < word.len() {
        let escaped = word.get(at..at + 4).filter(|text| text[0] == b'\\').and_then(|text| {
            let digits = std::str::from_utf8(&text[1..]).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        bytes.push(escaped.unwrap_or(word[at]));
        at += if escaped.is_some() { 4 } else { 1 };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        30 22 0:25 / /mnt rw master:2 propagate_from:1 - tmpfs none rw\n\
        31 30 0:26 / /mnt/a\\040b rw - nfs4 host:/x rw\n\
        32 22 0:27 / /mnt rw - xfs /dev/vdb rw\n";

    #[test]
    fn the_longest_and_last_mount_counts() {
        for (path, kind) in [
            ("/etc/passwd", "ext4"),
            ("/mnt/file", "xfs"),
            ("/mntfile", "ext4"),
            ("/mnt/a b/file", "nfs4"),
        ] {
            assert_eq!(find(TABLE, Path::new(path)).unwrap().kind, kind, "{path}");
        }
        assert_eq!(find(b"nonsense\n1 2 3 4\n", Path::new("/")), None);
    }
}
