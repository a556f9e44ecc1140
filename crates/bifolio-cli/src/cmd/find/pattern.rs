//! What is looked for: bytes, or a regular expression; and the matches of it in a slice.
//!
//! Matches are those of a reader from front to back: each begins at or after the end of the one
//! before, and none is empty.

use crate::failure::Failure;
use crate::hex;
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use std::ops::Range;

/// The longest match of a regular expression that is surely found, in bytes.
pub(super) const REGEX_MATCH_BYTES_MAX: usize = 64 << 10;

/// How far a regular expression looks back: `\b` and `(?m:^)` ask for the character before.
const REGEX_LOOK_BEHIND_BYTES: usize = 4;

/// A pattern, made once and used by all threads.
pub(super) enum Pattern {
    Bytes(Box<Finder<'static>>),
    Regex(Box<Regex>),
}

impl Pattern {
    /// These bytes themselves.
    pub(super) fn bytes(bytes: &[u8]) -> Result<Pattern, Failure> {
        if bytes.is_empty() {
            return Err(Failure::message("an empty pattern stands everywhere and nowhere"));
        }
        Ok(Pattern::Bytes(Box::new(Finder::new(bytes).into_owned())))
    }

    /// The bytes that are written in hexadecimal, as in `7f 45 4c46`; `0x` before them and white
    /// space, commas and colons between them do not matter.
    pub(super) fn hex(text: &str) -> Result<Pattern, Failure> {
        let wrong = |what: String| Failure::message(format!("--hex {text:?}: {what}"));
        let mut bytes = Vec::new();
        for word in text.split(|c: char| c.is_ascii_whitespace() || c == ',' || c == ':') {
            let word = word.strip_prefix("0x").unwrap_or(word).as_bytes();
            if word.len() % 2 != 0 {
                return Err(wrong("a byte has two digits, one is left over".into()));
            }
            for pair in word.chunks_exact(2) {
                let value = |digit: u8| {
                    hex::value(digit).ok_or_else(|| {
                        wrong(format!("`{}` is no digit", char::from(digit).escape_default()))
                    })
                };
                bytes.push(value(pair[0])? << 4 | value(pair[1])?);
            }
        }
        Pattern::bytes(&bytes)
    }

    /// A regular expression over bytes, without Unicode classes unless it asks for them by `(?u)`.
    pub(super) fn regex(text: &str) -> Result<Pattern, Failure> {
        let regex = RegexBuilder::new(text).unicode(false).build();
        let regex = regex.map_err(|error| Failure::message(format!("--regex: {error}")))?;
        Ok(Pattern::Regex(Box::new(regex)))
    }

    /// How many bytes behind the last place where a match may begin must be known.
    pub(super) fn look_ahead_bytes(&self) -> usize {
        match self {
            Pattern::Bytes(finder) => finder.needle().len() - 1,
            Pattern::Regex(_) => REGEX_MATCH_BYTES_MAX,
        }
    }

    /// How many bytes before the first place where a match may begin must be known.
    pub(super) fn look_behind_bytes(&self) -> usize {
        match self {
            Pattern::Bytes(_) => 0,
            Pattern::Regex(_) => REGEX_LOOK_BEHIND_BYTES,
        }
    }

    /// Whether a match may lie among zeros alone, so that holes of a file must be looked at.
    pub(super) fn matches_zeros(&self) -> bool {
        match self {
            Pattern::Bytes(finder) => finder.needle().iter().all(|&byte| byte == 0),
            // Not from their start, which only the start of a file is like; but to their end, since
            // a file may end in a hole.
            Pattern::Regex(_) => {
                let zeros = vec![0; REGEX_LOOK_BEHIND_BYTES + 2 * REGEX_MATCH_BYTES_MAX];
                self.find(&zeros, REGEX_LOOK_BEHIND_BYTES).is_some()
            }
        }
    }

    /// The first match in `hay` that begins at or after `from`.
    pub(super) fn find(&self, hay: &[u8], from: usize) -> Option<Range<usize>> {
        match self {
            Pattern::Bytes(finder) => {
                let start = from + finder.find(hay.get(from..)?)?;
                Some(start..start + finder.needle().len())
            }
            Pattern::Regex(regex) => {
                let mut at = from;
                while at <= hay.len() {
                    let found = regex.find_at(hay, at)?.range();
                    if !found.is_empty() {
                        return Some(found);
                    }
                    at = found.end + 1;
                }
                None
            }
        }
    }
}
