//! Hexadecimal digits.

/// The digits that an offset has at least.
pub(crate) const OFFSET_DIGITS_MIN: usize = 8;

/// The digits of four bytes, all at once in the lanes of a word.
#[inline]
pub(crate) const fn digits_of_four(bytes: [u8; 4]) -> [u8; 8] {
    const LANES: u64 = 0x0101_0101_0101_0101;
    // Two lanes for each byte: b0 0 b1 0 b2 0 b3 0.
    let word = u32::from_le_bytes(bytes) as u64;
    let word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    let word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    // Its high half goes to the first of them, its low half to the second.
    let halves = (word >> 4 | word << 8) & (LANES * 0x0f);
    // Lanes of ten and more become 1, and skip from behind '9' to 'a'.
    let is_letter = (halves + LANES * 6) >> 4 & LANES;
    let skip = (b'a' - b'9' - 1) as u64;
    (halves + LANES * b'0' as u64 + is_letter * skip).to_le_bytes()
}

/// The two digits of a byte.
#[inline]
pub(crate) const fn digits(byte: u8) -> [u8; 2] {
    let [high, low, ..] = digits_of_four([byte, 0, 0, 0]);
    [high, low]
}

/// The value of a digit of either case.
pub(crate) fn value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// How many digits a number needs.
pub(crate) fn digits_of(number: u64) -> usize {
    (u64::BITS - number.leading_zeros()).div_ceil(4).max(1) as usize
}

/// Appends an offset of at least `digits_min` digits.
#[inline]
pub(crate) fn push_offset(text: &mut Vec<u8>, offset: u64, digits_min: usize) {
    let [a, b, c, d, low @ ..] = offset.to_be_bytes();
    let high = digits_of_four([a, b, c, d]);
    let wanted = digits_of(offset).max(digits_min);
    if wanted != 8 {
        let all = [high, digits_of_four(low)];
        let skipped = all.as_flattened().len().saturating_sub(wanted);
        return text.extend_from_slice(&all.as_flattened()[skipped..]);
    }
    text.extend_from_slice(&digits_of_four(low));
}

/// Bytes as a string of two digits each.
pub(crate) fn string(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|&byte| digits(byte)).map(char::from).collect()
}

/// Bytes as a string of two digits each, with spaces between them.
pub(crate) fn spaced(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| string(&[byte])).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_as_many_digits_as_they_need_and_no_fewer_than_asked() {
        for (offset, min, text) in [
            (0, 8, "00000000"),
            (0xffff_ffff, 8, "ffffffff"),
            (0x1_0000_0000, 8, "100000000"),
            (u64::MAX, 8, "ffffffffffffffff"),
            (0x12, 10, "0000000012"),
            (0, 0, "0"),
        ] {
            let mut found = Vec::new();
            push_offset(&mut found, offset, min);
            assert_eq!(String::from_utf8(found).unwrap(), text);
        }
    }

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for byte in 0..=u8::MAX {
            assert_eq!(string(&[byte]), format!("{byte:02x}"));
            assert_eq!(value(digits(byte)[1]), Some(byte & 15));
            assert_eq!(value(byte).is_some(), byte.is_ascii_hexdigit());
        }
    }
}
