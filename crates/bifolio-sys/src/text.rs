//! The kernel's small text files: one number in `/sys`, one line of `/proc/self/status`. Nothing is
//! allocated.

use core::ffi::CStr;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read};

/// The first bytes of the file at `path`, as many as fit into `buf`.
pub(crate) fn read_start<'buf>(path: &CStr, buf: &'buf mut [u8]) -> Result<&'buf [u8], Errno> {
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut len = 0;
    while len < buf.len() {
        match read(&file, &mut buf[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(&buf[..len])
}

/// The one number that the file at `path` consists of; [`Errno::INVAL`] when it does not.
pub(crate) fn read_number(path: &CStr) -> Result<u64, Errno> {
    let mut buf = [0; 32];
    parse_number(read_start(path, &mut buf)?.trim_ascii()).ok_or(Errno::INVAL)
}

/// A decimal number without sign or space; `None` for anything else and beyond 64 bits.
pub(crate) fn parse_number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// A path put together in place: long enough for the files of this crate, and a panic if it were
/// not.
pub(crate) struct Path {
    bytes: [u8; 96],
    len: usize,
}

impl Path {
    /// The path of `arguments`, written as `format!` would.
    ///
    /// # Panics
    ///
    /// When the path has more than 95 bytes or holds a NUL: the callers' paths are short and fixed
    /// but for numbers.
    pub(crate) fn new(arguments: core::fmt::Arguments<'_>) -> Self {
        let mut path = Self { bytes: [0; 96], len: 0 };
        core::fmt::write(&mut path, arguments).expect("a path of /proc or /sys fits in 95 bytes");
        path
    }

    /// The path as the kernel takes it.
    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.bytes[..=self.len]).expect("a path without a NUL")
    }
}

impl core::fmt::Write for Path {
    fn write_str(&mut self, part: &str) -> core::fmt::Result {
        let end = self.len + part.len();
        // One byte stays zero: the terminator.
        let room = self.bytes[..95].get_mut(self.len..end).ok_or(core::fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_and_fit() {
        assert_eq!(parse_number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_number(b"18446744073709551616"), None);
        assert_eq!(parse_number(b""), None);
        assert_eq!(parse_number(b"4 kB"), None);
    }

    #[test]
    fn a_path_that_fits_exactly_is_kept() {
        let path = Path::new(format_args!("{:/<95}", "/proc"));
        assert_eq!(path.as_c_str().count_bytes(), 95);
    }

    #[test]
    #[should_panic(expected = "fits in 95 bytes")]
    fn a_longer_path_panics() {
        Path::new(format_args!("{:/<96}", "/proc"));
    }
}
