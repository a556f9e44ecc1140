//! What is said of a fault, in the handler and afterwards.
//!
//! Nothing is allocated: the text goes to memory that the caller has, and what does not fit is cut.

use bifolio_map::fault::Cause;
use std::fmt;
use std::ops::Range;

/// What the kernel calls memory of the hugetlb pool, as if it were a file.
const POOL: &[u8] = b"/anon_hugepage (deleted)";

/// One fault.
pub(super) struct Report<'a> {
    /// The path of the file, or the kernel's name of the memory, empty without one; `None` where
    /// the kernel could not be asked.
    pub(super) name: Option<&'a [u8]>,
    /// The bytes of the file that the page shows; `None` for memory.
    pub(super) file_range: Option<Range<u64>>,
    /// The length of the file when it was asked, where it was found by its name.
    pub(super) file_len: Option<u64>,
    /// Whether the access was a write, where the CPU says so.
    pub(super) is_write: Option<bool>,
    pub(super) cause: Cause,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_write {
            Some(true) => "cannot write ",
            Some(false) => "cannot read ",
            None => "cannot access ",
        })?;
        let is_pool = self.name == Some(POOL);
        match self.name {
            None => f.write_str("a map")?,
            Some([]) => f.write_str("memory")?,
            Some(_) if is_pool => f.write_str("huge pages")?,
            Some(name) => Name(name).fmt(f)?,
        }
        if let Some(range) = self.file_range.as_ref().filter(|_| !is_pool) {
            write!(f, " [{}..{})", range.start, range.end)?;
        }
        f.write_str(": ")?;
        let start = self.file_range.as_ref().map(|range| range.start);
        f.write_str(match (self.cause, start, self.file_len) {
            (Cause::Unbacked, ..) if is_pool => "their pool is empty",
            (Cause::Unbacked, Some(start), Some(len)) if start >= len => {
                return write!(f, "the file has {len} bytes now");
            }
            (Cause::Unbacked, Some(_), Some(_)) => {
                "the file system has no page there: its medium fails, or it is full"
            }
            (Cause::Unbacked, None, _) if self.name.is_some() => "the system has no page for it",
            (Cause::Unbacked, ..) => {
                "the page is gone: the file was shortened, its medium fails, or it is full"
            }
            (Cause::NoPermission, ..) => "the map does not permit that: an error of the program",
            (Cause::NotMapped, ..) => {
                "somebody else has unmapped a part of the map: an error of the program"
            }
            (Cause::HardwarePoison, ..) => "a memory module has lost the page",
            _ => "the access was refused",
        })
    }
}

/// A name as bytes, with what a terminal would obey left out.
struct Name<'a>(&'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                fmt::Write::write_char(f, if character.is_control() { '?' } else { character })?;
            }
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

/// Text in memory that somebody else has.
pub(super) struct Text<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl<'a> Text<'a> {
    pub(super) fn new(room: &'a mut [u8]) -> Self {
        Text { room, len: 0 }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let count = part.len().min(self.room.len() - self.len);
        self.room[self.len..][..count].copy_from_slice(&part.as_bytes()[..count]);
        self.len += count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn report(cause: Cause) -> Report<'static> {
        let (file_range, file_len) = (Some(8192..12288), Some(4096));
        Report { name: Some(b"/data/a.bin"), file_range, file_len, is_write: Some(false), cause }
    }

    #[test]
    fn a_report_names_the_file_the_bytes_and_the_reason() {
        assert_eq!(
            report(Cause::Unbacked).to_string(),
            "cannot read /data/a.bin [8192..12288): the file has 4096 bytes now"
        );
        let full =
            Report { file_len: Some(1 << 20), is_write: Some(true), ..report(Cause::Unbacked) };
        assert_eq!(
            full.to_string(),
            "cannot write /data/a.bin [8192..12288): the file system has no page there: its medium \
             fails, or it is full"
        );
        let memory =
            Report { name: Some(b""), file_range: None, is_write: None, ..report(Cause::Unbacked) };
        assert_eq!(memory.to_string(), "cannot access memory: the system has no page for it");
        let unknown = Report { name: None, ..memory };
        assert!(unknown.to_string().starts_with("cannot access a map: the page is gone: "));
    }

    #[test]
    fn a_terminal_is_not_given_orders() {
        let name = b"a\x1b[2Jb\n\xffc";
        assert_eq!(Name(name).to_string(), "a?[2Jb?\u{fffd}c");
    }

    #[test]
    fn text_that_does_not_fit_is_cut() {
        let mut room = [0; 10];
        let mut text = Text::new(&mut room);
        write!(text, "{}", report(Cause::Other)).unwrap();
        assert_eq!(text.as_bytes(), b"cannot rea");
    }
}
