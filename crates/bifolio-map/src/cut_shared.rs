//! Cutting a shared mapping in two at a page, and putting two neighbours together.
//!
//! Only what one knows of the addresses changes, and each half keeps the file open for itself.

use crate::access::Access;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::shared::{Lasting, SharedMap};

impl SharedMap {
    /// Splits it before the byte at `at`: 0, the length, or the start of a page. Neither part
    /// moves; what is reserved for growth goes with the second, and each has the file for itself.
    ///
    /// # Errors
    ///
    /// With the mapping: [`OutOfBounds`](ErrorKind::OutOfBounds),
    /// [`Misaligned`](ErrorKind::Misaligned), and what duplicating the descriptor reports.
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
        let len = self.len();
        if at > len {
            let error = self.out_of_bounds(Operation::Split, &(at..at), len);
            return Err((self, error));
        }
        let SharedMap { body, lasting, .. } = self;
        match body.split(at) {
            Ok((front, back)) => Ok((
                SharedMap::from_body(front, at, lasting),
                SharedMap::from_body(back, len - at, lasting),
            )),
            Err((body, error)) => Err((SharedMap::from_body(body, len, lasting), error)),
        }
    }

    /// Puts `back` behind it: the inverse of [`split_at`](SharedMap::split_at).
    ///
    /// # Errors
    ///
    /// With both: [`Invalid`](ErrorKind::Invalid) unless `back` begins where this one ends, in
    /// memory and in the same file, and both are tracked in the same way
    /// ([`Tracking`](crate::Tracking)) or neither is.
    pub fn join(self, back: SharedMap) -> Result<SharedMap, (SharedMap, SharedMap, Error)> {
        let (len, back_len) = (self.len(), back.len());
        // A reservation between them would be bytes that cannot be told from the file's.
        if len != self.capacity() {
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
}
