//! Writing a whole file: it is the old one or the new one, never a part.

use crate::failure::Failure;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `bytes` to a file beside `path` and renames it to that; what is no regular file, such as
/// `/dev/stdout`, is written as it is. Who may read a file stays as it was.
///
/// A failure leaves what was there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error| Failure::file(path, error);
    if std::fs::metadata(path).is_ok_and(|stat| !stat.is_file()) {
        let open = OpenOptions::new().write(true).open(path);
        return open.and_then(|mut file| file.write_all(bytes)).map_err(failed);
    }
    // Through a symbolic link, so that it stays one.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let (beside, file) = create_beside(&target).map_err(failed)?;
    let keep =
        std::fs::metadata(&target).map_or(Ok(()), |stat| file.set_permissions(stat.permissions()));
    let written = keep.and_then(|()| write_through(file, bytes));
    written.and_then(|()| std::fs::rename(&beside, &target)).map_err(|error| {
        // It has done no harm if it cannot be removed.
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

/// A new file in the directory of `target`.
fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    let name = target.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    for attempt in 0..100 {
        let mut beside = OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}-{attempt}", std::process::id()));
        let path = target.with_file_name(beside);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (path, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn write_through(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_a_failure_leaves_it() {
        let dir = std::env::temp_dir().join(format!("bifolio-save-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let (path, link) = (dir.join("file"), dir.join("link"));
        replace(&path, b"one").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(replace(&dir.join("no/file"), b"three").is_err());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "nothing else is left");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
