//! A view in pieces: each is copied into one buffer, used, and overwritten by the next.
//!
//! It allocates nothing: the buffer is the caller's.

use super::View;
use crate::error::Result;
use core::fmt;
use core::hash::Hasher;
use core::ops::Range;

/// The bytes of a [`View`] in order, each piece with its offset: made by [`View::chunks`].
///
/// It is no [`Iterator`], since a piece lives in the buffer only until the next one.
pub struct Chunks<'a, B> {
    view: View<'a>,
    buf: B,
    offset: usize,
}

/// A piece of a view: a private copy, so that it is a slice like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'b> {
    /// Where the piece lies in the view, in bytes.
    pub offset: usize,
    /// What memory held there at some moment; never empty.
    pub bytes: &'b [u8],
}

impl<'a> View<'a> {
    /// The bytes in order, in pieces as long as `buf`: an array, a slice, a `Vec`.
    ///
    /// With a buffer of 4 KiB, which stays in the first-level cache, work on the pieces is as fast
    /// as on a slice of the mapping; above 8 KiB it is slower.
    ///
    /// # Panics
    ///
    /// Where `buf` is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// let mut chunks = map.view().chunks([0; 4096]);
    /// let mut lines = 0;
    /// while let Some(chunk) = chunks.next_chunk()? {
    ///     lines += chunk.bytes.iter().filter(|&&byte| byte == b'\n').count();
    /// }
    /// assert_eq!(lines, std::fs::read_to_string("Cargo.toml").unwrap().lines().count());
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn chunks<B: AsMut<[u8]>>(&self, mut buf: B) -> Chunks<'a, B> {
        assert!(!buf.as_mut().is_empty(), "a buffer of no bytes");
        Chunks { view: *self, buf, offset: 0 }
    }

    /// Feeds the bytes of `range` to `hasher`, in pieces of a length that is not promised: of a
    /// hasher that tells them apart, the result may change.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds) where `range` reaches beyond the view or ends
    /// before it starts, and as [`read_at`](Self::read_at); the bytes before one that cannot be had
    /// were fed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    /// use std::hash::{DefaultHasher, Hasher};
    ///
    /// let (map, mut hasher) = (FileMap::open("Cargo.toml")?, DefaultHasher::new());
    /// map.view().hash(0..map.len(), &mut hasher)?;
    /// println!("{:x}", hasher.finish());
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn hash(&self, range: Range<usize>, hasher: &mut impl Hasher) -> Result<()> {
        let part = self.slice(range)?;
        let mut chunks = part.chunks([0; 4096]);
        while let Some(chunk) = chunks.next_of_whole()? {
            hasher.write(chunk.bytes);
        }
        Ok(())
    }
}

impl<B: AsMut<[u8]>> Chunks<'_, B> {
    /// The next piece; `None` at the end of the view.
    ///
    /// # Errors
    ///
    /// As [`View::read_at`], where the first byte of the piece cannot be had: the bytes before it
    /// were a shorter piece. The next call tries the same byte again.
    #[inline]
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>> {
        let buf = self.buf.as_mut();
        let len = self.view.read_on(buf, self.offset)?;
        let offset = self.offset;
        self.offset += len;
        Ok((len != 0).then(|| Chunk { offset, bytes: &buf[..len] }))
    }

    /// As [`next_chunk`](Self::next_chunk), with errors as of one access to the whole view.
    pub(super) fn next_of_whole(&mut self) -> Result<Option<Chunk<'_>>> {
        let (view, done) = (self.view, self.offset);
        self.next_chunk().map_err(|error| view.of_whole(error, 0, view.len(), done))
    }
}

impl<B> fmt::Debug for Chunks<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("view", &self.view).field("offset", &self.offset).finish()
    }
}
