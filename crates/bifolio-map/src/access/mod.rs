//! Access to bytes that others may change or take away: the same methods on every mapping.
//!
//! A mapping lends a [`View`], and everything else is built on it. The traits only save the call of
//! `view()`.
//!
//! # Safety
//!
//! The methods that lend plain slices are unsafe, under their callers' promise.
#![allow(unsafe_code, reason = "declares unsafe methods")]

mod atomic;
mod attempt;
mod chunks;
mod pairs;
#[cfg(feature = "std")]
mod reader;
mod search;
mod syscall;
mod view;
mod view_mut;
mod words;
#[cfg(feature = "std")]
mod writer;

pub use atomic::{AtomicInteger, SharedAtomic, StoreOrder};
pub use chunks::{Chunk, Chunks};
#[cfg(feature = "std")]
pub use reader::Reader;
pub(crate) use view::Via;
pub use view::View;
pub use view_mut::ViewMut;
#[cfg(feature = "std")]
pub use writer::Writer;

use crate::error::Result;
use bifolio_sys::guard::Pair;
use core::hash::Hasher;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes that can be read by offset, whatever others do to them.
///
/// Every method works on the whole mapping; [`view`](Access::view) and [`View::slice`] narrow it.
/// A `dyn Access` has those that are not generic; the others it has through `view()`.
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

    /// As [`View::by_syscall`].
    fn by_syscall(&self) -> View<'_> {
        self.view().by_syscall()
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

    /// As [`View::read_to_vec`].
    ///
    /// # Errors
    ///
    /// As [`View::read_to_vec`].
    #[cfg(feature = "std")]
    fn read_to_vec(&self, range: Range<usize>) -> Result<std::vec::Vec<u8>> {
        self.view().read_to_vec(range)
    }

    /// As [`View::load`].
    ///
    /// # Errors
    ///
    /// As [`View::load`].
    #[inline]
    fn load<T: FromBytes>(&self, offset: usize) -> Result<T>
    where
        Self: Sized,
    {
        self.view().load(offset)
    }

    /// As [`View::chunks`].
    ///
    /// # Panics
    ///
    /// As [`View::chunks`].
    fn chunks<B: AsMut<[u8]>>(&self, buf: B) -> Chunks<'_, B>
    where
        Self: Sized,
    {
        self.view().chunks(buf)
    }

    /// As [`View::reader`].
    #[cfg(feature = "std")]
    fn reader(&self) -> Reader<'_> {
        self.view().reader()
    }

    /// As [`View::lines`].
    #[cfg(feature = "std")]
    fn lines(&self) -> std::io::Lines<Reader<'_>> {
        self.view().lines()
    }

    /// As [`View::find`].
    ///
    /// # Errors
    ///
    /// As [`View::find`].
    fn find(&self, needle: &[u8], from: usize) -> Result<Option<usize>> {
        self.view().find(needle, from)
    }

    /// As [`View::find_pair`].
    ///
    /// # Errors
    ///
    /// As [`View::find_pair`].
    fn find_pair(&self, pair: Pair, from: usize) -> Result<Option<usize>> {
        self.view().find_pair(pair, from)
    }

    /// As [`View::find_byte`].
    ///
    /// # Errors
    ///
    /// As [`View::find_byte`].
    fn find_byte(&self, byte: u8, from: usize) -> Result<Option<usize>> {
        self.view().find_byte(byte, from)
    }

    /// As [`View::hash`].
    ///
    /// # Errors
    ///
    /// As [`View::hash`].
    fn hash(&self, range: Range<usize>, hasher: &mut impl Hasher) -> Result<()>
    where
        Self: Sized,
    {
        self.view().hash(range, hasher)
    }

    /// As [`View::copy_to`].
    ///
    /// # Errors
    ///
    /// As [`View::copy_to`].
    #[cfg(feature = "std")]
    fn copy_to(&self, range: Range<usize>, sink: &mut dyn std::io::Write) -> std::io::Result<()> {
        self.view().copy_to(range, sink)
    }

    /// As [`View::copy_to_view`].
    ///
    /// # Errors
    ///
    /// As [`View::copy_to_view`].
    fn copy_to_view(&self, target: &ViewMut<'_>) -> Result<usize> {
        self.view().copy_to_view(target)
    }

    /// As [`View::as_slice`].
    ///
    /// # Errors
    ///
    /// As [`View::as_slice`].
    ///
    /// # Safety
    ///
    /// As [`View::as_slice`].
    unsafe fn as_slice(&self) -> Result<&[u8]> {
        // SAFETY: the caller's promise.
        unsafe { self.view().as_slice() }
    }

    /// As [`View::compare`], with all bytes of `other`.
    ///
    /// # Errors
    ///
    /// As [`View::compare`].
    fn compare(&self, other: &dyn Access) -> Result<Option<usize>> {
        self.view().compare(&other.view())
    }
}

/// Bytes that can be written by offset. Writes take `&self`: others write too, and no reference to
/// the bytes exists.
///
/// What dereferences to its bytes does not have it: a reference must not change under its holder.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AccessMut, SharedMap};
///
/// let map = SharedMap::anon(4096)?;
/// map.write_all_at(b"folio", 10)?;
/// map.store(&2026_u32, 16)?;
/// assert_eq!(map.find(b"folio", 0)?, Some(10));
/// assert_eq!(map.load::<u32>(16)?, 2026);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// ```compile_fail,E0599
/// use bifolio_map::{AccessMut, AnonMap};
///
/// let map = AnonMap::new(4096).unwrap();
/// map.view_mut();
/// ```
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
    fn store<T: IntoBytes + Immutable>(&self, value: &T, offset: usize) -> Result<()>
    where
        Self: Sized,
    {
        self.view_mut().store(value, offset)
    }

    /// As [`ViewMut::atomic`].
    ///
    /// # Errors
    ///
    /// As [`ViewMut::atomic`].
    fn atomic<A: AtomicInteger>(&self, offset: usize) -> Result<SharedAtomic<'_, A>>
    where
        Self: Sized,
    {
        self.view_mut().atomic(offset)
    }

    /// As [`ViewMut::writer`].
    #[cfg(feature = "std")]
    fn writer(&self) -> Writer<'_> {
        self.view_mut().writer()
    }

    /// As [`ViewMut::as_mut_slice`].
    ///
    /// # Errors
    ///
    /// As [`ViewMut::as_mut_slice`].
    ///
    /// # Safety
    ///
    /// As [`ViewMut::as_mut_slice`].
    #[allow(clippy::mut_from_ref, reason = "the exclusiveness is the caller's promise")]
    unsafe fn as_mut_slice(&self) -> Result<&mut [u8]> {
        // SAFETY: the caller's promise.
        unsafe { self.view_mut().as_mut_slice() }
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

impl Access for View<'_> {
    fn view(&self) -> View<'_> {
        *self
    }
}

impl Access for ViewMut<'_> {
    fn view(&self) -> View<'_> {
        self.as_view()
    }
}

impl AccessMut for ViewMut<'_> {
    fn view_mut(&self) -> ViewMut<'_> {
        *self
    }
}
