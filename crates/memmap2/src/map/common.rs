//! What the three types say in the same words.
//!
//! # Safety
//!
//! The emulated calls that are unsafe hand their callers' promises on; slices are made of bytes for
//! which the caller of an unsafe constructor answers, or the kernel.
#![allow(unsafe_code, reason = "the emulated interface is unsafe in parts, and makes slices")]

/// Gives a type with the one field `inner` the methods and implementations of all three.
macro_rules! common {
    ($map:ident) => {
        impl $map {
            pub(super) fn from_inner(inner: $crate::map::inner::Inner) -> Self {
                $map { inner }
            }

            /// Tells the kernel how the map will be used.
            ///
            /// # Errors
            ///
            /// What madvise(2) reports.
            pub fn advise(&self, advice: $crate::Advice) -> std::io::Result<()> {
                self.advise_range(advice, 0, self.inner.len())
            }

            /// Tells the kernel how `len` bytes from `offset` on will be used: the pages that hold
            /// them.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a range that is not the map's, and what madvise(2) reports.
            pub fn advise_range(
                &self,
                advice: $crate::Advice,
                offset: usize,
                len: usize,
            ) -> std::io::Result<()> {
                // SAFETY: none of `Advice` changes a byte.
                unsafe { self.inner.advise(advice as i32, offset, len) }
            }

            /// Gives the kernel advice that changes bytes.
            ///
            /// # Errors
            ///
            /// What madvise(2) reports.
            ///
            /// # Safety
            ///
            /// To a reference to the bytes it is a write.
            pub unsafe fn unchecked_advise(
                &self,
                advice: $crate::UncheckedAdvice,
            ) -> std::io::Result<()> {
                // SAFETY: the caller's promise.
                unsafe { self.inner.advise(advice as i32, 0, self.inner.len()) }
            }

            /// Gives the kernel advice that changes bytes, on the pages that hold `len` bytes from
            /// `offset` on.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a range that is not the map's, and what madvise(2) reports.
            ///
            /// # Safety
            ///
            /// To a reference to the bytes of those pages it is a write.
            pub unsafe fn unchecked_advise_range(
                &self,
                advice: $crate::UncheckedAdvice,
                offset: usize,
                len: usize,
            ) -> std::io::Result<()> {
                // SAFETY: the caller's promise.
                unsafe { self.inner.advise(advice as i32, offset, len) }
            }

            /// Keeps the pages in memory.
            ///
            /// # Errors
            ///
            /// What mlock(2) reports.
            pub fn lock(&self) -> std::io::Result<()> {
                self.inner.lock()
            }

            /// Lets the pages be reclaimed again.
            ///
            /// # Errors
            ///
            /// What munlock(2) reports.
            pub fn unlock(&self) -> std::io::Result<()> {
                self.inner.unlock()
            }

            /// Changes the length, in place or where [`RemapOptions`](crate::RemapOptions) permits.
            ///
            /// # Errors
            ///
            /// What mremap(2) reports: `ENOMEM` where there is no room.
            ///
            /// # Safety
            ///
            /// Bytes beyond the end of the file cannot be used, and no pointer to where the bytes
            /// were may be used when they have moved.
            pub unsafe fn remap(
                &mut self,
                new_len: usize,
                options: $crate::RemapOptions,
            ) -> std::io::Result<()> {
                // SAFETY: the caller's promise; `&mut self` ends every borrow of the bytes.
                unsafe { self.inner.remap(new_len, options) }
            }
        }

        impl std::fmt::Debug for $map {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($map))
                    .field("ptr", &self.inner.ptr().cast_const())
                    .field("len", &self.inner.len())
                    .finish()
            }
        }
    };
}

/// Gives a type that can be written back the calls for it.
macro_rules! flushes {
    ($map:ident) => {
        impl $map {
            /// Writes all that was changed back to the file, and waits for it.
            ///
            /// # Errors
            ///
            /// What msync(2) reports.
            pub fn flush(&self) -> std::io::Result<()> {
                self.inner.flush(0, self.inner.len())
            }

            /// Asks for the same without waiting; today's kernels do nothing for it.
            ///
            /// # Errors
            ///
            /// What msync(2) reports.
            pub fn flush_async(&self) -> std::io::Result<()> {
                self.inner.flush_async(0, self.inner.len())
            }

            /// Writes the pages that hold `len` bytes from `offset` on back to the file, and waits
            /// for it.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a range that is not the map's, and what msync(2) reports.
            pub fn flush_range(&self, offset: usize, len: usize) -> std::io::Result<()> {
                self.inner.flush(offset, len)
            }

            /// Asks for the same without waiting; today's kernels do nothing for it.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a range that is not the map's, and what msync(2) reports.
            pub fn flush_async_range(&self, offset: usize, len: usize) -> std::io::Result<()> {
                self.inner.flush_async(offset, len)
            }
        }
    };
}

/// Gives a type its bytes as a slice.
macro_rules! slice {
    ($map:ident) => {
        impl std::ops::Deref for $map {
            type Target = [u8];

            #[inline]
            fn deref(&self) -> &[u8] {
                // SAFETY: the pages are mapped to be read as long as `self` is borrowed, and there
                // are at most `isize::MAX` bytes. That they do not change is what whoever called
                // the constructor has promised, or the kernel for memory and sealed files.
                unsafe { std::slice::from_raw_parts(self.inner.ptr(), self.inner.len()) }
            }
        }

        impl AsRef<[u8]> for $map {
            #[inline]
            fn as_ref(&self) -> &[u8] {
                self
            }
        }

        #[cfg(feature = "stable_deref_trait")]
        // SAFETY: the pages stay where they are when the value moves; `remap`, which may move them,
        // is unsafe and says so.
        unsafe impl stable_deref_trait::StableDeref for $map {}
    };
}

pub(super) use {common, flushes, slice};
