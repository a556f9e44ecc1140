//! A file put in the place of another in one step: complete and durable before anyone can see it
//! under its name.
//!
//! The file has no name while it is written (`O_TMPFILE`), so that a process killed meanwhile
//! leaves nothing behind. rename(2) wants a name: it gets a random one in the same directory, for
//! the moment between two system calls. Where the file system has no files without names, it has
//! that name from the start.

use bifolio_sys::Errno;
use bifolio_sys::fs::{self, AtFlags, CWD, DescriptorPath, OFlags};
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// How many random names are tried before something else must be wrong.
const NAMES_MAX: u32 = 16;

/// A file that is to replace another.
pub(crate) struct Replacement {
    pub(crate) file: File,
    directory: PathBuf,
    /// Its name, where it has one that nobody should see.
    name: Option<PathBuf>,
}

impl Replacement {
    /// Creates an empty file in `directory` that only its owner may read.
    pub(crate) fn create(directory: &Path) -> io::Result<Self> {
        let is_here = directory.as_os_str().is_empty();
        let directory = if is_here { Path::new(".") } else { directory };
        // What names it later is in /proc.
        match Self::create_unnamed(directory) {
            Ok(unnamed) if Path::new("/proc/self/fd").exists() => Ok(unnamed),
            _ => Self::create_named(directory),
        }
    }

    fn create_unnamed(directory: &Path) -> io::Result<Self> {
        let file = options().custom_flags(OFlags::TMPFILE.bits() as i32).open(directory)?;
        Ok(Replacement { file, directory: directory.to_path_buf(), name: None })
    }

    fn create_named(directory: &Path) -> io::Result<Self> {
        let (file, name) =
            with_random_name(directory, |name| options().create_new(true).open(name))?;
        Ok(Replacement { file, directory: directory.to_path_buf(), name: Some(name) })
    }

    /// Gives it the owner, group and mode of `model`: the mode without the bits that change users
    /// where the owner may not be given.
    pub(crate) fn take_after(&self, model: &Metadata) -> io::Result<()> {
        let own = self.file.metadata()?;
        let is_same = (own.uid(), own.gid()) == (model.uid(), model.gid());
        let is_kept = is_same || fchown(&self.file, Some(model.uid()), Some(model.gid())).is_ok();
        let mode = model.mode() & if is_kept { 0o7777 } else { 0o1777 };
        self.file.set_permissions(Permissions::from_mode(mode))
    }

    /// Makes it durable, and puts it at `path`, which lies in its directory.
    pub(crate) fn publish(mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        if self.name.is_none() {
            let link = |name: &Path| link_open_file(&self.file, name);
            match link(path) {
                Ok(()) => return self.sync_directory(),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let ((), name) = with_random_name(&self.directory, link)?;
            self.name = Some(name);
        }
        if let Some(name) = &self.name {
            std::fs::rename(name, path)?;
        }
        self.name = None;
        self.sync_directory()
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = std::fs::remove_file(name);
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Names a file that has no name; never in the place of another.
fn link_open_file(file: &File, name: &Path) -> io::Result<()> {
    let source = DescriptorPath::of(file);
    fs::linkat(CWD, source.as_c_str(), CWD, name, AtFlags::SYMLINK_FOLLOW)
        .map_err(|errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error()))
}

/// Does it with a new name in `directory`, and with another where that is taken.
fn with_random_name<T>(
    directory: &Path,
    mut make: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let random = RandomState::new().hash_one((std::process::id(), tries));
        let name = directory.join(std::format!(".bifolio-{random:016x}.tmp"));
        match make(&name) {
            Ok(made) => return Ok((made, name)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < NAMES_MAX => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Replaces a file, and creates one, by what `create` makes; and gives one up.
    fn try_out(name: &str, create: fn(&Path) -> io::Result<Replacement>) {
        let name = std::format!("bifolio-replace-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for path in [directory.join("old"), directory.join("new")] {
            if path.ends_with("old") {
                std::fs::write(&path, "old").unwrap();
            }
            let new = match create(&directory) {
                Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
                    std::println!("skipped: no files without names here");
                    return;
                }
                answer => answer.unwrap(),
            };
            (&new.file).write_all(b"written").unwrap();
            new.publish(&path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"written");
            drop(create(&directory).unwrap());
        }
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_without_a_name_takes_the_place() {
        try_out("unnamed", Replacement::create_unnamed);
    }

    #[test]
    fn a_file_with_another_name_takes_the_place() {
        try_out("named", Replacement::create_named);
    }
}
