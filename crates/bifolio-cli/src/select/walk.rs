//! Going through what a selection names, in one order: that of the arguments, and in a directory
//! that of the names, unless nobody sees it.
//!
//! 1. A directory is entered once, so that links make no loop.
//! 2. Nothing is opened here but directories. What a name leads to is known when it is opened.
//!
//! It does not look for hard links: whoever counts does.

use super::Selection;
use crate::failure::Failure;
use bifolio::memory::CachedFile;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, FileType, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file, as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// What it was found in; none for an argument.
    directory: Option<Arc<Directory>>,
    name: OsString,
}

/// A directory that is open.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    file: File,
}

impl Found {
    /// A file that somebody named.
    pub(crate) fn named(path: PathBuf) -> Found {
        Found { directory: None, name: path.into_os_string() }
    }

    /// Its path, as the arguments lead to it.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.directory {
            Some(directory) => directory.path.join(&self.name),
            None => PathBuf::from(&self.name),
        }
    }

    /// The path of the directory that it was found in, and its name there; none for an argument.
    pub(crate) fn in_directory(&self) -> Option<(&Path, &OsStr)> {
        self.directory.as_ref().map(|directory| (&*directory.path, &*self.name))
    }

    /// Whether it was named, and not only found in a directory.
    pub(crate) fn is_argument(&self) -> bool {
        self.directory.is_none()
    }

    /// Opens it for reading; nothing is read.
    pub(crate) fn open(&self) -> Result<CachedFile, Failure> {
        let directory = self.directory.as_ref().map(|directory| directory.file.as_fd());
        CachedFile::open(directory, Path::new(&self.name))
            .map_err(|error| self.failed(error.into()))
    }

    /// What went wrong with it.
    pub(crate) fn failed(&self, error: std::io::Error) -> Failure {
        Failure::file(&self.path(), error)
    }
}

/// What was passed over, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Symbolic links in directories.
    pub(crate) links: u64,
    /// Pipes, sockets and devices in directories.
    pub(crate) special: u64,
    /// Directories of other file systems.
    pub(crate) mounts: u64,
}

/// A device and a file on it.
pub(crate) type Identity = (u64, u64);

pub(crate) fn identity(stat: &Metadata) -> Identity {
    (stat.dev(), stat.ino())
}

/// Goes through a selection.
pub(crate) struct Walk<'a> {
    selection: &'a Selection,
    arguments: std::vec::IntoIter<PathBuf>,
    /// The directories that are not at their end, the innermost last.
    open: Vec<Level>,
    entered: HashSet<Identity>,
    /// Whether the order within a directory is that of the names; else it is the file system's.
    pub(crate) is_sorted: bool,
    pub(crate) left_out: LeftOut,
    pub(crate) directories: u64,
}

/// A directory.
struct Level {
    directory: Arc<Directory>,
    /// The device of the argument that it lies below.
    device: u64,
    entries: std::vec::IntoIter<(OsString, Kind)>,
}

/// What an entry of a directory is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link,
    Special,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Kind {
        match kind {
            _ if kind.is_file() => Kind::File,
            _ if kind.is_dir() => Kind::Directory,
            _ if kind.is_symlink() => Kind::Link,
            _ => Kind::Special,
        }
    }
}

impl<'a> Walk<'a> {
    pub(crate) fn new(selection: &'a Selection) -> Result<Walk<'a>, Failure> {
        Ok(Walk {
            selection,
            arguments: selection.all_paths()?.into_iter(),
            open: vec![],
            entered: HashSet::new(),
            is_sorted: true,
            left_out: LeftOut::default(),
            directories: 0,
        })
    }

    /// Begins with an argument: it is a file, or a directory to go through.
    fn argument(&mut self, path: PathBuf) -> Option<Result<Found, Failure>> {
        let stat = match std::fs::metadata(&path) {
            Ok(stat) => stat,
            Err(error) => return Some(Err(Failure::file(&path, error))),
        };
        if path.file_name().is_some_and(|name| self.selection.leaves_out(name, stat.is_dir())) {
            return None;
        }
        if stat.is_dir() {
            return self.enter(path, &stat, stat.dev()).err().map(Err);
        }
        Some(Ok(Found::named(path)))
    }

    /// Begins with a directory that was not entered yet.
    fn enter(&mut self, path: PathBuf, stat: &Metadata, device: u64) -> Result<(), Failure> {
        if self.selection.one_file_system && stat.dev() != device {
            self.left_out.mounts += 1;
            return Ok(());
        }
        if !self.entered.insert(identity(stat)) {
            return Ok(());
        }
        let failed = |error| Failure::file(&path, error);
        let file = File::open(&path).map_err(failed)?;
        let mut entries = vec![];
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Of what is gone since there is nothing to say.
            let Ok(kind) = entry.file_type() else { continue };
            entries.push((entry.file_name(), Kind::from(kind)));
        }
        if self.is_sorted {
            entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
        self.directories += 1;
        let directory = Arc::new(Directory { path, file });
        self.open.push(Level { directory, device, entries: entries.into_iter() });
        Ok(())
    }

    /// What an entry of the innermost directory is good for.
    fn entry(&mut self, name: OsString, kind: Kind) -> Option<Result<Found, Failure>> {
        let level = self.open.last()?;
        let file = |name: OsString| {
            let is_wanted = !self.selection.leaves_out(&name, false);
            let directory = Some(Arc::clone(&level.directory));
            is_wanted.then(|| Ok(Found { directory, name }))
        };
        if kind == Kind::File {
            return file(name);
        }
        // Of a link it is not known yet what it leads to.
        if self.selection.leaves_out(&name, true) {
            return None;
        }
        if kind == Kind::Special || (kind == Kind::Link && !self.selection.follow) {
            let count = &mut self.left_out;
            *(if kind == Kind::Link { &mut count.links } else { &mut count.special }) += 1;
            return None;
        }
        let (path, device) = (level.directory.path.join(&name), level.device);
        let stat = match std::fs::metadata(&path) {
            Ok(stat) => stat,
            Err(error) => return Some(Err(Failure::file(&path, error))),
        };
        match stat.file_type().into() {
            Kind::Directory => self.enter(path, &stat, device).err().map(Err),
            Kind::File => file(name),
            _ => {
                self.left_out.special += 1;
                None
            }
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Found, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = match self.open.last_mut() {
                Some(level) => match level.entries.next() {
                    Some((name, kind)) => self.entry(name, kind),
                    None => {
                        self.open.pop();
                        None
                    }
                },
                None => {
                    let path = self.arguments.next()?;
                    self.argument(path)
                }
            };
            if next.is_some() {
                return next;
            }
        }
    }
}
