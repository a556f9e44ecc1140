//! A file, read only.
//!
//! It does not promise that the file stays as it is: every access says what it found.

use crate::access::{Access, View};
use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::object::Object;
use crate::options::Options;
use crate::origin::Origin;
use crate::pages::sealed::HasBody;
use crate::span::Request;
use bifolio_sys::fs;
use bifolio_sys::mm::{MapFlags, ProtFlags};
use core::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// A file, read through page faults; nothing is loaded before it is used.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, FileMap};
///
/// let map = FileMap::open("Cargo.toml")?;
/// let mut start = [0; 9];
/// map.read_exact_at(&mut start, 0)?;
/// assert_eq!(&start, b"[package]");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub struct FileMap {
    body: Body,
}

impl Options {
    /// Opens a file and maps it, read only.
    ///
    /// # Errors
    ///
    /// What open(2), fstat(2) and mmap(2) report;
    /// [`NotMappable`](crate::ErrorKind::NotMappable) for what is not a run of bytes.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<FileMap> {
        let path = path.as_ref();
        let object = Object::File(Arc::from(path));
        let file = File::open(path).map_err(|error| {
            let errno =
                bifolio_sys::Errno::from_io_error(&error).unwrap_or(bifolio_sys::Errno::INVAL);
            Error::from_errno(Operation::Open, &object, errno)
        })?;
        self.map_file(file.into(), object)
    }

    fn map_file(&self, file: OwnedFd, object: Object) -> Result<FileMap> {
        let stat =
            fs::fstat(&file).map_err(|errno| Error::from_errno(Operation::Stat, &object, errno))?;
        let rest = (stat.st_size as u64).saturating_sub(self.offset);
        let len = match self.len {
            Some(len) => len,
            None => usize::try_from(rest)
                .map_err(|_| Error::new(Operation::Map, &object, ErrorKind::TooLarge))?,
        };
        let request = Request {
            len,
            protection: ProtFlags::READ,
            flags: MapFlags::SHARED | self.flags(),
            placement: self.placement,
        };
        let origin = Origin { object, file: Some(file), file_offset: self.offset, is_file_s: true };
        Ok(FileMap { body: Body::map(request, origin)? })
    }
}

impl FileMap {
    /// Opens a file and maps all of it.
    ///
    /// # Errors
    ///
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<FileMap> {
        Options::new().open(path)
    }
}

impl Access for FileMap {
    fn view(&self) -> View<'_> {
        self.body.view()
    }
}

impl HasBody for FileMap {
    #[allow(private_interfaces, reason = "sealed")]
    fn body(&self) -> &Body {
        &self.body
    }
}

impl fmt::Debug for FileMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileMap")
            .field("object", &self.body.origin.object)
            .field("len", &self.body.len())
            .finish()
    }
}
