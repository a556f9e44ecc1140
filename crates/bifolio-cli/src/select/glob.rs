//! Patterns for the names of files, as a shell has them: `*`, `?`, `[a-z]`, `[!a-z]`, `\*`.
//!
//! A pattern is compared with a name, never with a path; names are bytes, and need not be text.

use std::ffi::OsStr;

/// One of the patterns that a name is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// This byte.
    Byte(u8),
    /// Any byte.
    One,
    /// Any bytes, also none.
    Many,
    /// A byte in one of the ranges, or in none of them.
    Set { ranges: Vec<(u8, u8)>, is_negated: bool },
}

impl Glob {
    /// Reads a pattern, for clap's `value_parser`.
    pub(crate) fn parse(text: &str) -> Result<Glob, String> {
        if text.trim_end_matches('/').contains('/') {
            return Err(String::from("a pattern is compared with names, which have no `/`"));
        }
        let mut bytes = text.trim_end_matches('/').bytes().peekable();
        let mut parts = vec![];
        while let Some(byte) = bytes.next() {
            parts.push(match byte {
                b'*' => Part::Many,
                b'?' => Part::One,
                b'[' => parse_set(&mut bytes)?,
                b'\\' => Part::Byte(bytes.next().ok_or("a `\\` stands before nothing")?),
                byte => Part::Byte(byte),
            });
        }
        Ok(Glob(parts))
    }

    /// Whether the whole name is as the pattern says.
    pub(crate) fn matches(&self, name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        let (mut part, mut at) = (0, 0);
        // Where the last `*` stands, and what is tried behind the bytes that it stands for.
        let mut again: Option<(usize, usize)> = None;
        loop {
            match self.0.get(part) {
                Some(Part::Many) => {
                    again = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(one) if name.get(at).is_some_and(|&byte| one.takes(byte)) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                None if at == name.len() => return true,
                _ => {}
            }
            // One byte more for the last `*`; the ones before it need none.
            let Some((star, from)) = again.filter(|&(_, from)| from < name.len()) else {
                return false;
            };
            again = Some((star, from + 1));
            (part, at) = (star + 1, from + 1);
        }
    }
}

impl Part {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Part::Byte(own) => *own == byte,
            Part::One => true,
            Part::Many => false,
            Part::Set { ranges, is_negated } => {
                ranges.iter().any(|&(first, last)| (first..=last).contains(&byte)) != *is_negated
            }
        }
    }
}

/// What stands between `[` and `]`: a `]` at the beginning is one of the bytes.
fn parse_set(bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>) -> Result<Part, String> {
    let mut next = || bytes.next().ok_or_else(|| String::from("a `[` has no `]`"));
    let mut byte = next()?;
    let is_negated = matches!(byte, b'!' | b'^');
    if is_negated {
        byte = next()?;
    }
    let mut ranges: Vec<(u8, u8)> = vec![];
    let mut is_range = false;
    loop {
        match byte {
            b']' if !ranges.is_empty() => break,
            b'-' if !ranges.is_empty() && !is_range => is_range = true,
            mut byte => {
                if byte == b'\\' {
                    byte = next()?;
                }
                match ranges.last_mut().filter(|_| is_range) {
                    Some(range) => range.1 = byte,
                    None => ranges.push((byte, byte)),
                }
                is_range = false;
            }
        }
        byte = next()?;
    }
    if is_range {
        ranges.push((b'-', b'-'));
    }
    Ok(Part::Set { ranges, is_negated })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn matches(pattern: &str, name: &[u8]) -> bool {
        Glob::parse(pattern).unwrap().matches(OsStr::from_bytes(name))
    }

    #[test]
    fn a_pattern_is_that_of_a_shell() {
        for (pattern, name, expected) in [
            ("*.c", "main.c", true),
            ("*.c", "main.cc", false),
            ("*.c", ".c", true),
            ("*", "", true),
            ("?", "", false),
            ("?", "a", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-c-", false),
            ("*aab", "aaaaab", true),
            ("[a-cx]1", "b1", true),
            ("[a-cx]1", "x1", true),
            ("[a-cx]1", "d1", false),
            ("[!a-c]", "d", true),
            ("[^a-c]", "a", false),
            ("[]]", "]", true),
            ("[a-]", "-", true),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            (".git/", ".git", true),
            (".git", ".github", false),
        ] {
            assert_eq!(matches(pattern, name.as_bytes()), expected, "{pattern} {name}");
        }
        assert!(matches("a*z", b"a\xff\xfez") && matches("a?", b"a\xff"));
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let pattern = "*a".repeat(30) + "b";
        assert!(!matches(&pattern, &[b'a'; 4096]));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for pattern in ["[", "[a", "[]", "a\\", "a/b"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
    }
}
