//! Names in what people read: in one line, and with nothing that a terminal would obey.
//!
//! Whoever may create a file chooses its name: it may hold line breaks, escape sequences, and marks
//! that show the text behind them in another order. JSON keeps a name as it is.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

/// A name of any bytes; those that are no UTF-8 stand as `\xff`.
pub(crate) fn shown(name: impl AsRef<OsStr>) -> String {
    let mut plain = String::new();
    for chunk in name.as_ref().as_bytes().utf8_chunks() {
        push(chunk.valid(), &mut plain);
        for byte in chunk.invalid() {
            // Nothing fails that writes to a string.
            let _ = write!(plain, r"\x{byte:02x}");
        }
    }
    plain
}

/// Text that may hold a name.
pub(crate) fn harmless(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    push(text, &mut plain);
    plain
}

fn push(text: &str, plain: &mut String) {
    for c in text.chars() {
        if c.is_control() || turns_text(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
}

/// Whether it breaks a line, or turns the order of what stands behind it (Unicode's
/// `Bidi_Control`).
fn turns_text(c: char) -> bool {
    let is_mark = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
    is_mark || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_in_one_line_and_gives_no_orders() {
        for (name, plain) in [
            (&b"a b/\xc3\xa9\xe2\x96\x88"[..], "a b/\u{e9}\u{2588}"),
            (b"two\nlines\t", r"two\nlines\t"),
            (b"\x1b[2J\x07\x7f", r"\u{1b}[2J\u{7}\u{7f}"),
            // CSI in one character of C1.
            (b"\xc2\x9b31m", r"\u{9b}31m"),
            (b"exe.\xe2\x80\xaegpj", r"exe.\u{202e}gpj"),
            (b"\xe2\x80\xa8\xe2\x81\xa6\xd8\x9c", r"\u{2028}\u{2066}\u{61c}"),
            (b"caf\xff\xc3", r"caf\xff\xc3"),
        ] {
            assert_eq!(shown(OsStr::from_bytes(name)), plain);
            assert_eq!(harmless(plain), plain, "once is enough");
        }
    }
}
