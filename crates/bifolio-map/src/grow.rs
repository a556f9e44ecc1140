//! Growth of shared mappings without moving: addresses are reserved once, the file grows under
//! them, and every pointer, view and offset stays what it was.
//!
//! The reservation is the mapping itself, longer than the file: pages beyond the file's end fault,
//! which guarded access takes for an error, and become usable the moment the file has grown,
//! whoever grew it. So nothing is ever mapped again, and the length is one atomic number.
//!
//! It does not shrink anything.

use crate::access::Access;
use crate::allocate::allocate;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::shared::SharedMap;
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, fd::AsFd};

impl SharedMap {
    /// The bytes that the mapping can [`grow`](SharedMap::grow) to without moving: what
    /// [`Options::reserve`](crate::Options::reserve) asked for, or the length.
    pub fn capacity(&self) -> usize {
        self.body.len()
    }

    /// Makes the mapping `new_len` bytes long, and the file as long as that needs; does nothing
    /// where it is as long already. Nothing moves, and the views that are lent stay valid.
    ///
    /// Space for the new bytes is allocated first, so that writing them cannot meet a full disk.
    /// Any number of threads and processes may grow the same file at once: it becomes as long as
    /// the longest asked for. Other mappings show the new length after their
    /// [`refresh`](SharedMap::refresh).
    ///
    /// Where it fails, this mapping is as it was. The file is not shorter than before, but may be
    /// longer, by what could be allocated: others may be using that already, so it is not given
    /// back; a later call starts from there.
    ///
    /// The new length is durable after a [`flush`](SharedMap::flush) of a range in the new bytes.
    ///
    /// # Errors
    ///
    /// [`BeyondReservation`](ErrorKind::BeyondReservation) where `new_len` is more than
    /// [`capacity`](SharedMap::capacity); [`NoSpace`](ErrorKind::NoSpace);
    /// [`TooLarge`](ErrorKind::TooLarge) beyond the limits of the file system and of the process
    /// (`RLIMIT_FSIZE`, here without its signal); [`NotPermitted`](ErrorKind::NotPermitted) for a
    /// memory file that is sealed against it.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, AccessMut, Options};
    ///
    /// let map = Options::new().reserve(1 << 40).memfd("journal", 4096)?;
    /// map.grow(1 << 20)?;
    /// map.write_all_at(b"far out", (1 << 20) - 7)?;
    /// assert_eq!(map.len(), 1 << 20);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// fallocate(2), Linux 2.6.23. Where the file system cannot do it, zeros are appended and
    /// written back.
    pub fn grow(&self, new_len: usize) -> Result<()> {
        let len = self.len();
        if new_len <= len {
            return Ok(());
        }
        let refused = |errno| self.body.refused(Operation::Grow, &(len..new_len), errno);
        // Without a file there was no reservation either: `Options` puts a memory file under one.
        let (true, Some(fd)) = (new_len <= self.capacity(), self.fd()) else {
            let kind = ErrorKind::BeyondReservation { reserved_bytes: self.capacity() as u64 };
            return Err(self.body.origin.error(Operation::Grow, kind, len, new_len - len));
        };
        let offset = self.body.origin.file_offset;
        let end = offset.checked_add(new_len as u64).ok_or_else(|| refused(Errno::FBIG))?;
        let file_len = fs::fstat(fd).map_err(refused)?.st_size as u64;
        // From the file's end where the mapping reaches beyond it: no hole is left between.
        let start = file_len.min(offset + len as u64);
        allocate(fd, start..end).map_err(refused)?;
        self.show(new_len);
        Ok(())
    }

    /// Shows what the file has grown by, through whomever, as far as addresses are reserved;
    /// returns the new length.
    ///
    /// A file that became shorter leaves the length as it is: what is beyond its end is an error
    /// to access.
    ///
    /// # Errors
    ///
    /// What fstat(2) reports.
    pub fn refresh(&self) -> Result<usize> {
        let Some(fd) = self.fd() else { return Ok(self.len()) };
        let origin = &self.body.origin;
        let stat = fs::fstat(fd.as_fd())
            .map_err(|errno| Error::from_errno(Operation::Stat, &origin.object, errno))?;
        let rest = (stat.st_size as u64).saturating_sub(origin.file_offset);
        self.show(usize::try_from(rest).unwrap_or(usize::MAX).min(self.capacity()));
        Ok(self.len())
    }
}
