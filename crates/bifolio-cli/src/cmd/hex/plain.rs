//! The lines of `xxd`, byte for byte.

use super::dump::Format;
use crate::hex;

const WIDTH: usize = 16;

/// Where the text column begins, counted from behind the offset: a space, eight groups of four
/// digits, two spaces.
const TEXT_START: usize = 42;

/// What stands behind the offset: colon, digits, text, line end.
const REST_LEN: usize = TEXT_START + WIDTH + 1;

/// The plain format.
pub(super) struct Plain;

/// Where the digits of a byte stand, counted from behind the offset.
const fn column(index: usize) -> usize {
    2 + 2 * index + index / 2
}

const fn glyph(byte: u8) -> u8 {
    if byte >= 0x20 && byte < 0x7f { byte } else { b'.' }
}

impl Format for Plain {
    fn width(&self) -> usize {
        WIDTH
    }

    fn begin(&mut self, _: &mut Vec<u8>) {}

    #[inline]
    fn line(&mut self, text: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
        let mut rest = [b' '; REST_LEN];
        rest[0] = b':';
        let end = if let Ok(bytes) = <&[u8; WIDTH]>::try_from(bytes) {
            // The common case has a length that the compiler knows.
            for (index, &byte) in bytes.iter().enumerate() {
                rest[column(index)..][..2].copy_from_slice(&hex::digits(byte));
                rest[TEXT_START + index] = glyph(byte);
            }
            TEXT_START + WIDTH
        } else {
            for (index, &byte) in bytes.iter().enumerate() {
                rest[column(index)..][..2].copy_from_slice(&hex::digits(byte));
                rest[TEXT_START + index] = glyph(byte);
            }
            TEXT_START + bytes.len()
        };
        rest[end] = b'\n';
        hex::push_offset(text, offset, hex::OFFSET_DIGITS_MIN);
        text.extend_from_slice(&rest[..=end]);
    }

    fn gap(&mut self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"*\n");
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}
