//! A window as a sink of bytes: `Write` and `Seek`.

use super::ViewMut;
use super::reader::seek;
use core::fmt;
use std::io::{self, Seek, SeekFrom, Write};

/// Writes a [`ViewMut`] from front to back, or from wherever it was sought to: made by
/// [`ViewMut::writer`].
///
/// It is not buffered: others see each write at once. `flush` does nothing; what makes bytes
/// durable is the mapping's matter. At its end [`Write::write`] returns 0, and
/// [`Write::write_all`] an error of the kind [`WriteZero`](io::ErrorKind::WriteZero).
pub struct Writer<'a> {
    window: ViewMut<'a>,
    /// Where the next byte goes; it may be sought beyond the end.
    position: u64,
}

impl<'a> ViewMut<'a> {
    /// The window as a sink of bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, AccessMut, SharedMap};
    /// use std::io::Write;
    ///
    /// let map = SharedMap::anon(16)?;
    /// let mut writer = map.view_mut().writer();
    /// write!(writer, "{} + {}", 1, 2)?;
    /// assert_eq!(map.read_to_vec(0..5)?, b"1 + 2");
    /// assert_eq!(writer.write(&[b'.'; 100])?, 11);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn writer(&self) -> Writer<'a> {
        Writer { window: *self, position: 0 }
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let end = self.window.len();
        let offset = usize::try_from(self.position).map_or(end, |at| at.min(end));
        let len = match self.window.write_at(buf, offset) {
            // An error would say that nothing was written; it comes with the next call.
            Err(error) if error.done_bytes() != 0 => error.done_bytes(),
            answer => answer?,
        };
        self.position += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Writer<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek(self.position, self.window.len(), to)?;
        Ok(self.position)
    }
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("window", &self.window)
            .field("position", &self.position)
            .finish()
    }
}
