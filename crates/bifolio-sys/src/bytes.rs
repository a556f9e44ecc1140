//! Searching private bytes: the C library's routine, which is tuned for every CPU.
//!
//! It takes slices, so nothing here is for memory that others can change.
//!
//! # Safety
//!
//! The one call reads the two slices that it is handed.
#![allow(unsafe_code, reason = "a function of the C library")]

use core::ptr::NonNull;

/// The offset of the first occurrence of `needle` in `haystack`; an empty needle occurs at 0.
///
/// ```
/// use bifolio_sys::bytes::find_bytes;
///
/// assert_eq!(find_bytes(b"one sheet folded once", b"once"), Some(17));
/// assert_eq!(find_bytes(b"one sheet", b"two"), None);
/// ```
///
/// # References
///
/// [memmem(3)](https://man7.org/linux/man-pages/man3/memmem.3.html).
#[must_use]
pub fn find_bytes(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let start = haystack.as_ptr();
    // SAFETY: memmem(3) reads `haystack.len()` and `needle.len()` bytes: those of the slices.
    let found =
        unsafe { libc::memmem(start.cast(), haystack.len(), needle.as_ptr().cast(), needle.len()) };
    // What is found lies within the haystack, at or after its start.
    NonNull::new(found).map(|found| found.as_ptr().addr() - start.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every needle and haystack of up to 4 and 9 letters of an alphabet of two, against the
    /// definition.
    #[test]
    fn it_agrees_with_comparing_every_window() {
        let word = |len: usize, bits: usize| {
            let mut word = [0; 9];
            for (at, letter) in word[..len].iter_mut().enumerate() {
                *letter = b'a' + (bits >> at & 1) as u8;
            }
            word
        };
        for (haystack_len, needle_len) in (0..10).flat_map(|h| (1..5).map(move |n| (h, n))) {
            for bits in 0..1 << haystack_len {
                let haystack = word(haystack_len, bits);
                let haystack = &haystack[..haystack_len];
                for bits in 0..1 << needle_len {
                    let needle = word(needle_len, bits);
                    let needle = &needle[..needle_len];
                    let expected = haystack.windows(needle_len).position(|window| window == needle);
                    assert_eq!(find_bytes(haystack, needle), expected);
                }
            }
        }
    }

    #[test]
    fn an_empty_needle_is_at_the_start() {
        assert_eq!(find_bytes(b"", b""), Some(0));
        assert_eq!(find_bytes(b"a", b""), Some(0));
    }
}
