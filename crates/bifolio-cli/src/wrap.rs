//! Text in lines that fit.

/// Breaks `text` between words into lines of at most `width` columns, of which all but the first
/// are indented.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if used > 0 && used + 1 + len > width {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            used = 0;
        } else if used > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += len;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_never_within() {
        assert_eq!(wrap("a page and its twin", 10, 2), "a page and\n  its twin");
        assert_eq!(wrap("immeasurably long", 5, 0), "immeasurably\nlong");
        assert_eq!(wrap("", 5, 0), "");
    }
}
