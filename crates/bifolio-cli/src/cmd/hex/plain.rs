//! The lines of `xxd`, byte for byte.

use super::dump::Format;
use crate::hex;

const WIDTH: usize = 16;

/// Where the text column begins, counted from behind the offset: a space, eight groups of four
/// digits, two spaces.
const TEXT_START: usize = 43;

/// What stands behind the offset: colon, digits, text, line end.
const REST_LEN: usize = TEXT_START + WIDTH + 1;

/// The plain format.
pub(super) struct Plain;

/// Where the digits of a byte stand, counted from behind the offset.
const fn column(index: usize) -> usize {
    2 + 2 * index + index / 2
}

/// What stands for eight bytes in the text: ASCII from the space to the tilde as it is, and a dot
/// for anything else; all at once in the lanes of a word.
const fn glyphs(bytes: [u8; 8]) -> [u8; 8] {
    const LANES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = LANES * 0x80;
    let word = u64::from_le_bytes(bytes);
    // No sum of these reaches the next lane.
    let low = word & !HIGH;
    let is_from_space = low + LANES * (0x80 - b' ' as u64);
    let is_behind_tilde = low + LANES * (0x80 - b'~' as u64 - 1);
    let is_text = (is_from_space & !is_behind_tilde & !word & HIGH) >> 7;
    let text = is_text * 0xff;
    ((word & text) | ((LANES * b'.' as u64) & !text)).to_le_bytes()
}

/// A line behind its offset, with nothing in it.
const BLANK: [u8; REST_LEN] = {
    let mut blank = [b' '; REST_LEN];
    blank[0] = b':';
    blank[REST_LEN - 1] = b'\n';
    blank
};

/// Fills a blank in.
#[inline]
fn fill(rest: &mut [u8; REST_LEN], bytes: &[u8; WIDTH]) {
    for (quarter, four) in bytes.as_chunks::<4>().0.iter().enumerate() {
        let digits = hex::digits_of_four(*four);
        rest[column(4 * quarter)..][..4].copy_from_slice(&digits[..4]);
        rest[column(4 * quarter + 2)..][..4].copy_from_slice(&digits[4..]);
    }
    for (half, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
        rest[TEXT_START + 8 * half..][..8].copy_from_slice(&glyphs(*eight));
    }
}

impl Format for Plain {
    fn width(&self) -> usize {
        WIDTH
    }

    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn line(&mut self, text: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
        let mut rest = BLANK;
        let mut padded = [0; WIDTH];
        padded[..bytes.len()].copy_from_slice(bytes);
        fill(&mut rest, &padded);
        rest[column(bytes.len())..TEXT_START].fill(b' ');
        rest[TEXT_START + bytes.len()] = b'\n';
        hex::push_offset(text, offset, hex::OFFSET_DIGITS_MIN);
        text.extend_from_slice(&rest[..=TEXT_START + bytes.len()]);
    }

    fn lines(&mut self, text: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
        const LINE: usize = hex::OFFSET_DIGITS_MIN + REST_LEN;
        let (lines, _) = bytes.as_chunks::<WIDTH>();
        let Ok(_) = u32::try_from(offset + bytes.len() as u64) else {
            // Offsets of more digits.
            for (line, at) in lines.iter().zip((offset..).step_by(WIDTH)) {
                self.line(text, at, line);
            }
            return;
        };
        // Filled in where it stands: to make a line elsewhere and copy it takes twice as long.
        let start = text.len();
        text.resize(start + lines.len() * LINE, b' ');
        let (targets, _) = text[start..].as_chunks_mut::<LINE>();
        for ((target, bytes), at) in
            targets.iter_mut().zip(lines).zip((offset as u32..).step_by(WIDTH))
        {
            let Some((digits, rest)) = target.split_first_chunk_mut() else { continue };
            *digits = hex::digits_of_four(at.to_be_bytes());
            let Some(rest) = rest.first_chunk_mut() else { continue };
            rest[0] = b':';
            fill(rest, bytes);
            rest[REST_LEN - 1] = b'\n';
        }
    }

    fn gap(&mut self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"*\n");
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}
