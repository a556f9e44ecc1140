//! Cutting a shared mapping in two at a page, and putting two neighbours together.
//!
//! Only what one knows of the addresses changes, and each half keeps the file open for itself.

use crate::access::Access;
use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::origin::Origin;
use crate::shared::{Lasting, SharedMap};
use bifolio_sys::Errno;
use bifolio_sys::fs;

impl SharedMap {
    /// Cuts it in two at `at` bytes, where a page begins; what is reserved for growth goes with the
    /// second.
    ///
    /// # Errors
    ///
    /// With the mapping: [`OutOfBounds`](ErrorKind::OutOfBounds) unless both halves have bytes,
    /// [`Misaligned`](ErrorKind::Misaligned) within a page, and what duplicating the descriptor
    /// reports.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, AccessMut, SharedMap};
    ///
    /// let map = SharedMap::anon(1 << 20)?;
    /// let (front, back) = map.split_at(1 << 19).map_err(|(_, error)| error)?;
    /// front.fill(0..1 << 19, 1)?;
    /// let map = front.join(back).map_err(|(_, _, error)| error)?;
    /// assert_eq!(map.len(), 1 << 20);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn split_at(self, at: usize) -> Result<(SharedMap, SharedMap), (SharedMap, Error)> {
        let (len, page, delta) = (self.len(), self.body.page(), self.body.delta());
        let kind = if at == 0 || at >= len {
            Some(ErrorKind::OutOfBounds { len_bytes: len as u64 })
        } else if !page.is_aligned(delta + at) {
            Some(ErrorKind::Misaligned { align_bytes: page.bytes() })
        } else {
            None
        };
        if let Some(kind) = kind {
            let error = self.body.origin.error(Operation::Split, kind, at, 0);
            return Err((self, error));
        }
        let file = match self.fd().map(|fd| fs::fcntl_dupfd_cloexec(fd, 0)).transpose() {
            Ok(file) => file,
            Err(errno) => {
                let error = self.body.refused(Operation::Split, &(at..len), errno);
                return Err((self, error));
            }
        };
        let SharedMap { body, lasting, .. } = self;
        let rest = body.len() - at;
        let (span, origin) = body.into_parts();
        let behind = Origin {
            object: origin.object.clone(),
            // Without a file, offsets count from the start of each mapping.
            file_offset: if file.is_some() { origin.file_offset + at as u64 } else { 0 },
            file,
            is_file_s: origin.is_file_s,
        };
        let (front, back) = span.map(|span| span.split(delta + at)).unzip();
        let front = Body::from_parts(front, delta, at, page, origin);
        let back = Body::from_parts(back, 0, rest, page, behind);
        Ok((
            SharedMap::from_body(front, at, lasting),
            SharedMap::from_body(back, len - at, lasting),
        ))
    }

    /// Puts `back` behind it: the inverse of [`split_at`](SharedMap::split_at).
    ///
    /// # Errors
    ///
    /// With both: [`Invalid`](ErrorKind::Invalid) unless `back` begins where this one ends, in
    /// memory and in the same file.
    pub fn join(self, back: SharedMap) -> Result<SharedMap, (SharedMap, SharedMap, Error)> {
        let (len, back_len) = (self.len(), back.len());
        // A reservation between them would be bytes that cannot be told from the file's.
        if len != self.capacity() || !self.is_continued_by(&back).unwrap_or(false) {
            let error = self.body.origin.error(Operation::Join, ErrorKind::Invalid, len, back_len);
            return Err((self, back, error));
        }
        let lasting = [self.lasting, back.lasting];
        let joined = if lasting[0] == lasting[1] { lasting[0] } else { Lasting::Never };
        match self.body.join(back.body) {
            Ok(body) => Ok(SharedMap::from_body(body, len + back_len, joined)),
            Err((front, back, error)) => Err((
                SharedMap::from_body(front, len, lasting[0]),
                SharedMap::from_body(back, back_len, lasting[1]),
                error,
            )),
        }
    }

    /// Whether the bytes of `back` follow in the same file, or both have none.
    fn is_continued_by(&self, back: &SharedMap) -> Result<bool, Errno> {
        let (Some(one), Some(other)) = (self.fd(), back.fd()) else {
            return Ok(self.fd().is_none() && back.fd().is_none());
        };
        let (first, second) = (fs::fstat(one)?, fs::fstat(other)?);
        let end = self.body.origin.file_offset + self.len() as u64;
        Ok((first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
            && end == back.body.origin.file_offset)
    }
}
