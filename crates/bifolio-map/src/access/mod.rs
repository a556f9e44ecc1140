//! Access to bytes that others may change or take away: the same methods on every mapping.
//!
//! A mapping lends a [`View`], and everything else is built on it. The traits only save the call of
//! `view()`.

mod view;

pub(crate) use view::Via;
pub use view::{View, ViewMut};

use crate::error::Result;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes that can be read by offset, whatever others do to them.
///
/// Every method works on the whole mapping; [`view`](Access::view) and [`View::slice`] narrow it.
pub trait Access {
    /// The window onto all bytes.
    fn view(&self) -> View<'_>;

    /// The length in bytes.
    #[inline]
    fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there are no bytes.
    #[inline]
    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }

    /// As [`View::slice`].
    ///
    /// # Errors
    ///
    /// As [`View::slice`].
    #[inline]
    fn slice(&self, range: Range<usize>) -> Result<View<'_>> {
        self.view().slice(range)
    }

    /// As [`View::read_at`].
    ///
    /// # Errors
    ///
    /// As [`View::read_at`].
    #[inline]
    fn read_at(&self, buf: &mut [u8], offset: usize) -> Result<usize> {
        self.view().read_at(buf, offset)
    }

    /// As [`View::read_exact_at`].
    ///
    /// # Errors
    ///
    /// As [`View::read_exact_at`].
    #[inline]
    fn read_exact_at(&self, buf: &mut [u8], offset: usize) -> Result<()> {
        self.view().read_exact_at(buf, offset)
    }

    /// As [`View::load`].
    ///
    /// # Errors
    ///
    /// As [`View::load`].
    #[inline]
    fn load<T: FromBytes>(&self, offset: usize) -> Result<T> {
        self.view().load(offset)
    }

    /// As [`View::compare`], with all bytes of `other`.
    ///
    /// # Errors
    ///
    /// As [`View::compare`].
    fn compare(&self, other: &impl Access) -> Result<Option<usize>>
    where
        Self: Sized,
    {
        self.view().compare(&other.view())
    }
}

/// Bytes that can be written by offset. Writes take `&self`: others write too, and no reference to
/// the bytes exists.
pub trait AccessMut: Access {
    /// The writable window onto all bytes.
    fn view_mut(&self) -> ViewMut<'_>;

    /// As [`ViewMut::write_at`].
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    #[inline]
    fn write_at(&self, buf: &[u8], offset: usize) -> Result<usize> {
        self.view_mut().write_at(buf, offset)
    }

    /// As [`ViewMut::write_all_at`].
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_all_at`].
    #[inline]
    fn write_all_at(&self, buf: &[u8], offset: usize) -> Result<()> {
        self.view_mut().write_all_at(buf, offset)
    }

    /// As [`ViewMut::store`].
    ///
    /// # Errors
    ///
    /// As [`ViewMut::store`].
    #[inline]
    fn store<T: IntoBytes + Immutable>(&self, value: &T, offset: usize) -> Result<()> {
        self.view_mut().store(value, offset)
    }

    /// As [`ViewMut::fill`].
    ///
    /// # Errors
    ///
    /// As [`ViewMut::fill`].
    fn fill(&self, range: Range<usize>, byte: u8) -> Result<()> {
        self.view_mut().fill(range, byte)
    }
}
