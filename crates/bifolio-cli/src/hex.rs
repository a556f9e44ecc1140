//! Hexadecimal digits, by table.

/// The digits that an offset has at least.
pub(crate) const OFFSET_DIGITS_MIN: usize = 8;

/// The two digits of every byte.
const TABLE: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

/// The two digits of a byte.
#[inline]
pub(crate) const fn digits(byte: u8) -> [u8; 2] {
    TABLE[byte as usize]
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
    let mut all = [0; 16];
    for (pair, byte) in all.chunks_exact_mut(2).zip(offset.to_be_bytes()) {
        pair.copy_from_slice(&digits(byte));
    }
    let digits = digits_of(offset).max(digits_min).min(all.len());
    text.extend_from_slice(&all[all.len() - digits..]);
}

/// Bytes as a string of two digits each.
pub(crate) fn string(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|&byte| digits(byte)).map(char::from).collect()
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
