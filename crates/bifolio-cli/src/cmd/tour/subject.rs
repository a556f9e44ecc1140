//! What the tour is made on: the user's file, which is never written, and a copy, which is.
//!
//! The copy has no name: it is gone with the process, however that ends. The second process reaches
//! it through /proc.

use crate::failure::Failure;
use bifolio::{Access, Backend, FileMap, Options, Route};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The size of the file that the tour makes where the user names none, in bytes.
const OWN_BYTES: usize = 32 << 20;

/// The most bytes that are copied of the user's file.
const COPY_BYTES_MAX: u64 = 8 << 20;

/// The fewest bytes that the copy has; what the user's file lacks is zeros.
const COPY_BYTES_MIN: u64 = 1 << 20;

pub(super) struct Subject {
    /// What the user calls it; nothing where the tour made it.
    pub(super) name: Option<PathBuf>,
    /// Where it can be opened, by this process and by another.
    pub(super) path: PathBuf,
    /// The copy, opened to be read and written.
    pub(super) copy: File,
    /// The state of the user's file before the tour.
    before: (u64, i64, i64),
    /// Keeps a file that the tour made.
    _own: Option<File>,
}

impl Subject {
    /// The user's file, or one that is made for the tour.
    pub(super) fn new(name: Option<&Path>) -> Result<Subject, Failure> {
        let own = if name.is_none() { Some(make_own()?) } else { None };
        let path = match (name, &own) {
            (Some(name), _) => std::path::absolute(name).map_err(|e| Failure::file(name, e))?,
            (None, Some(own)) => path_of(own),
            (None, None) => unreachable!("a file was made"),
        };
        // It says clearly what cannot be mapped.
        let map = FileMap::open(&path)?;
        if map.is_empty() || map.backend() == Route::Loaded {
            let name = name.unwrap_or(&path).display();
            return Err(Failure::Message {
                text: format!("{name}: there is nothing in it to map"),
                help: Some("name a file with content, or none: then the tour makes one"),
            });
        }
        let copy = make_copy(&path)?;
        let before = state(&path)?;
        Ok(Subject { name: name.map(Path::to_path_buf), path, copy, before, _own: own })
    }

    /// Maps the user's file, also where the library would rather read it.
    pub(super) fn map(&self) -> Result<FileMap, Failure> {
        Ok(Options::new().backend(Backend::Map).open(&self.path)?)
    }

    /// Where another process can open the copy.
    pub(super) fn copy_path(&self) -> PathBuf {
        path_of(&self.copy)
    }

    /// The copy, opened once more to be read only.
    pub(super) fn copy_read_only(&self) -> Result<File, Failure> {
        let path = self.copy_path();
        File::open(&path).map_err(|error| Failure::file(&path, error))
    }

    /// The length of the copy in bytes.
    pub(super) fn copy_len(&self) -> Result<usize, Failure> {
        let path = self.copy_path();
        let stat = self.copy.metadata().map_err(|error| Failure::file(&path, error))?;
        Ok(stat.len() as usize)
    }

    /// Whether the user's file has the size and the time of change that it had.
    pub(super) fn is_unchanged(&self) -> Result<bool, Failure> {
        Ok(state(&self.path)? == self.before)
    }
}

/// The path by which every process of this user can open a file that has no name.
fn path_of(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

fn state(path: &Path) -> Result<(u64, i64, i64), Failure> {
    let stat = std::fs::metadata(path).map_err(|error| Failure::file(path, error))?;
    Ok((stat.len(), stat.mtime(), stat.mtime_nsec()))
}

/// A new file without a name, in the directory for temporary files.
fn nameless() -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    for attempt in 0..100 {
        let name = format!(".bifolio-tour-{}-{attempt}", std::process::id());
        let path = std::env::temp_dir().join(name);
        match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::file(&path, error)),
            Ok(file) => {
                std::fs::remove_file(&path).map_err(|error| Failure::file(&path, error))?;
                return Ok(file);
            }
        }
    }
    Err(Failure::message("the directory for temporary files has a hundred tours in it"))
}

/// A file of numbered lines.
fn make_own() -> Result<File, Failure> {
    let file = nameless()?;
    let failed = |error| Failure::file(&std::env::temp_dir(), error);
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    for line in 0..OWN_BYTES / 64 {
        writeln!(out, "{line:>16}: a page seen twice is still one page").map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    drop(out);
    Ok(file)
}

fn make_copy(path: &Path) -> Result<File, Failure> {
    let copy = nameless()?;
    let source = File::open(path).map_err(|error| Failure::file(path, error))?;
    let copied = io::copy(&mut source.take(COPY_BYTES_MAX), &mut &copy)
        .and_then(|len| copy.set_len(len.max(COPY_BYTES_MIN)));
    copied.map_err(|error| Failure::file(&std::env::temp_dir(), error))?;
    Ok(copy)
}
