//! From bytes in pieces to lines, with the lines that say nothing new left out.
//!
//! What a line looks like is the [`Format`]'s matter.

use std::io::{self, Write};

/// The most bytes that a line may show.
pub(super) const LINE_BYTES_MAX: usize = 32;

/// Formatted text is handed on in pieces of this size or a little more.
const FLUSH_BYTES: usize = 256 << 10;

/// Lines that are formatted together where none is left out.
const BATCH_LINES: usize = 512;

/// How lines look.
pub(super) trait Format {
    /// The bytes of a full line: at most [`LINE_BYTES_MAX`].
    fn width(&self) -> usize;

    /// Appends what stands before all lines.
    fn begin(&mut self, text: &mut Vec<u8>);

    /// Appends a line; only the last one may be shorter than the width.
    fn line(&mut self, text: &mut Vec<u8>, offset: u64, bytes: &[u8]);

    /// Appends full lines.
    fn lines(&mut self, text: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
        let width = self.width();
        for (line, index) in bytes.chunks_exact(width).zip(0..) {
            self.line(text, offset + index * width as u64, line);
        }
    }

    /// Appends what stands for lines left out.
    fn gap(&mut self, text: &mut Vec<u8>);

    /// Appends what stands after all lines.
    fn end(&mut self, text: &mut Vec<u8>);
}

/// Which lines are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Squeeze {
    /// None.
    Nothing,
    /// Lines of zeros after a line of zeros.
    Zeros,
    /// Lines that repeat the one before.
    Repeats,
}

/// The lines being made.
///
/// Of a run of equal lines the first is shown, and the others as a gap; a single other one is shown
/// too, since a gap would not be shorter. The last line of all is always shown. This is how
/// `xxd -a` treats lines of zeros.
pub(super) struct Dump<F> {
    format: F,
    squeeze: Squeeze,
    text: Vec<u8>,
    /// The offset of the line that is being gathered.
    offset: u64,
    line: [u8; LINE_BYTES_MAX],
    gathered: usize,
    /// The line before, where the next one may be left out for being equal.
    previous: Option<[u8; LINE_BYTES_MAX]>,
    /// Lines equal to the previous one that were neither shown nor given up yet.
    repeats: u64,
}

impl<F: Format> Dump<F> {
    /// A dump whose first byte has this offset.
    pub(super) fn new(mut format: F, squeeze: Squeeze, offset: u64) -> Self {
        let mut text = Vec::with_capacity(FLUSH_BYTES + (FLUSH_BYTES >> 2));
        format.begin(&mut text);
        let line = [0; LINE_BYTES_MAX];
        Dump { format, squeeze, text, offset, line, gathered: 0, previous: None, repeats: 0 }
    }

    /// Adds bytes.
    pub(super) fn data(&mut self, mut bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        let width = self.format.width();
        if self.gathered != 0 {
            let taken = bytes.len().min(width - self.gathered);
            self.line[self.gathered..][..taken].copy_from_slice(&bytes[..taken]);
            self.gathered += taken;
            bytes = &bytes[taken..];
            if self.gathered < width {
                return Ok(());
            }
            self.gathered = 0;
            let line = self.line;
            self.full_line(&line[..width], out)?;
        }
        let lines = bytes.chunks_exact(width);
        let rest = lines.remainder();
        if self.squeeze == Squeeze::Nothing {
            let full = &bytes[..bytes.len() - rest.len()];
            for block in full.chunks(BATCH_LINES * width) {
                self.format.lines(&mut self.text, self.offset, block);
                self.offset += block.len() as u64;
                if self.text.len() >= FLUSH_BYTES {
                    self.flush(out)?;
                }
            }
        } else {
            for line in lines {
                self.full_line(line, out)?;
            }
        }
        self.line[..rest.len()].copy_from_slice(rest);
        self.gathered = rest.len();
        Ok(())
    }

    /// Adds zeros, in constant time where lines of zeros are left out.
    pub(super) fn hole(&mut self, mut len: u64, out: &mut impl Write) -> io::Result<()> {
        const ZEROS: [u8; LINE_BYTES_MAX] = [0; LINE_BYTES_MAX];
        let width = self.format.width() as u64;
        while len > 0 {
            let is_repeated = self.gathered == 0 && self.previous == Some(ZEROS);
            let count = if is_repeated && len >= width {
                let lines = len / width;
                self.repeats += lines;
                self.offset += lines * width;
                lines * width
            } else {
                let count = len.min(width - self.gathered as u64);
                self.data(&ZEROS[..count as usize], out)?;
                count
            };
            len -= count;
        }
        Ok(())
    }

    /// Hands on what is formatted.
    pub(super) fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }

    /// Shows what is left, and the end.
    pub(super) fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        if self.gathered > 0 {
            self.show_repeats();
            let Dump { format, text, offset, line, gathered, .. } = &mut self;
            format.line(text, *offset, &line[..*gathered]);
        } else if let (Some(last), 1..) = (self.previous, self.repeats) {
            self.repeats -= 1;
            let width = self.format.width();
            let offset = self.offset - width as u64;
            self.offset = offset;
            self.show_repeats();
            self.format.line(&mut self.text, offset, &last[..width]);
        }
        self.format.end(&mut self.text);
        self.flush(out)
    }

    #[inline]
    fn full_line(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        let width = bytes.len();
        if self.squeeze != Squeeze::Nothing {
            if self.previous.is_some_and(|previous| previous[..width] == *bytes) {
                self.repeats += 1;
                self.offset += width as u64;
                return Ok(());
            }
            self.show_repeats();
            let mut line = [0; LINE_BYTES_MAX];
            line[..width].copy_from_slice(bytes);
            let may_repeat = self.squeeze == Squeeze::Repeats || line == [0; LINE_BYTES_MAX];
            self.previous = may_repeat.then_some(line);
        }
        self.format.line(&mut self.text, self.offset, bytes);
        self.offset += width as u64;
        if self.text.len() >= FLUSH_BYTES {
            self.flush(out)?;
        }
        Ok(())
    }

    /// Shows the lines that were held back, which end at `self.offset`.
    fn show_repeats(&mut self) {
        let width = self.format.width();
        match (self.repeats, self.previous) {
            (1, Some(line)) => {
                let offset = self.offset - width as u64;
                self.format.line(&mut self.text, offset, &line[..width]);
            }
            (1.., _) => self.format.gap(&mut self.text),
            (0, _) => {}
        }
        self.repeats = 0;
    }
}
