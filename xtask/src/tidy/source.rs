//! A Rust file split into code and comments, line by line, so that a rule about the one is not
//! fooled by the other.
//!
//! Not a parser: it knows comments (nested ones too), strings (raw ones too), characters and
//! lifetimes, and nothing else of the language.

/// One line of a file, in two disjoint parts of the same columns.
pub(crate) struct Line {
    /// The code, with comments and what stands between quotes replaced by spaces.
    pub(crate) code: String,
    /// The comments, with their slashes.
    pub(crate) comment: String,
}

/// A Rust file, split.
pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    pub(crate) lines: Vec<Line>,
}

/// What the character under the cursor belongs to.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    LineComment,
    /// How many comments are open.
    BlockComment(usize),
    /// Between double quotes.
    Text,
    /// In a raw string that this many hashes close.
    RawText(usize),
    /// Between single quotes.
    Character,
}

impl<'a> Source<'a> {
    /// Splits a file.
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        let mut splitter =
            Splitter { lines: Vec::new(), code: String::new(), comment: String::new() };
        let characters: Vec<char> = text.chars().collect();
        let (mut state, mut at) = (State::Code, 0);
        while at < characters.len() {
            let (next, taken) =
                advance(state, &characters[at..], at.checked_sub(1).map(|i| characters[i]));
            let quoted = matches!(state, State::Text | State::RawText(_) | State::Character);
            let comment = |s| matches!(s, State::LineComment | State::BlockComment(_));
            let commented = comment(state) || comment(next);
            for &character in &characters[at..at + taken] {
                splitter.push(character, commented, quoted && next == state);
            }
            (state, at) = (next, at + taken);
        }
        splitter.end_line();
        Self { path, text, lines: splitter.lines }
    }

    /// The lines with their numbers, counted from 1.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The code alone, with the line breaks of the file.
    pub(crate) fn code(&self) -> String {
        let codes: Vec<&str> = self.lines.iter().map(|line| line.code.as_str()).collect();
        codes.join("\n")
    }

    /// The `//!` lines that open the file, without their marks.
    pub(crate) fn header(&self) -> Vec<&str> {
        let lines = self.text.lines().map_while(|line| line.strip_prefix("//!"));
        lines.map(str::trim).collect()
    }
}

/// Sorts characters into the two parts of a line.
struct Splitter {
    lines: Vec<Line>,
    code: String,
    comment: String,
}

impl Splitter {
    fn push(&mut self, character: char, commented: bool, quoted: bool) {
        if character == '\n' {
            self.end_line();
            return;
        }
        let blank_code = commented || quoted;
        self.code.push(if blank_code { ' ' } else { character });
        self.comment.push(if commented { character } else { ' ' });
    }

    fn end_line(&mut self) {
        let (code, comment) = (std::mem::take(&mut self.code), std::mem::take(&mut self.comment));
        self.lines.push(Line { code: code.trim_end().into(), comment: comment.trim().into() });
    }
}

/// The state after the next piece of text, and how many characters the piece has.
fn advance(state: State, rest: &[char], before: Option<char>) -> (State, usize) {
    match state {
        State::Code => advance_code(rest, before),
        State::LineComment => (if rest[0] == '\n' { State::Code } else { state }, 1),
        State::BlockComment(depth) => match rest {
            ['*', '/', ..] if depth == 1 => (State::Code, 2),
            ['*', '/', ..] => (State::BlockComment(depth - 1), 2),
            ['/', '*', ..] => (State::BlockComment(depth + 1), 2),
            _ => (state, 1),
        },
        State::Text | State::Character => match rest {
            ['\\', _, ..] => (state, 2),
            ['"', ..] if state == State::Text => (State::Code, 1),
            ['\'', ..] if state == State::Character => (State::Code, 1),
            _ => (state, 1),
        },
        State::RawText(hashes) => {
            let closes =
                rest[0] == '"' && rest[1..].iter().take_while(|c| **c == '#').count() >= hashes;
            if closes { (State::Code, 1 + hashes) } else { (state, 1) }
        }
    }
}

fn advance_code(rest: &[char], before: Option<char>) -> (State, usize) {
    match rest {
        ['/', '/', ..] => (State::LineComment, 2),
        ['/', '*', ..] => (State::BlockComment(1), 2),
        ['"', ..] => (State::Text, 1),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => (State::Character, 1),
        ['r', tail @ ..] if raw_prefix(before) => {
            let hashes = tail.iter().take_while(|c| **c == '#').count();
            let opens = tail.get(hashes) == Some(&'"');
            if opens { (State::RawText(hashes), hashes + 2) } else { (State::Code, 1) }
        }
        _ => (State::Code, 1),
    }
}

/// Whether an `r` here can open a raw string: it starts a word, or follows the `b` or `c` of one.
fn raw_prefix(before: Option<char>) -> bool {
    before.is_none_or(|c| matches!(c, 'b' | 'c') || !is_word(c))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The byte offsets at which a word stands whole in a text.
pub(crate) fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Whether a word stands whole in a text.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    words(text, word).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(String, String)> {
        let lines = Source::new("sample.rs", text).lines;
        lines.into_iter().map(|line| (line.code, line.comment)).collect()
    }

    fn code(text: &str) -> String {
        Source::new("sample.rs", text).code()
    }

    #[test]
    fn code_and_comments_part() {
        let lines = split("let a = 1; // why\n/* two\nlines */ b();");
        assert_eq!(lines[0], ("let a = 1;".into(), "// why".into()));
        assert_eq!(lines[1], (String::new(), "/* two".into()));
        assert_eq!(lines[2], ("         b();".into(), "lines */".into()));
    }

    #[test]
    fn strings_hide_comments_and_quotes_hide_strings() {
        assert_eq!(code(r#"f("a // b"); g()"#), r#"f("      "); g()"#);
        assert_eq!(code(r#"f("\"unsafe\""); g()"#), r#"f("          "); g()"#);
        assert_eq!(code("f('\"', '\\'', b'\\\\'); // x"), "f(' ', '  ', b'  ');");
        assert_eq!(
            code("fn f<'a>(x: &'a str) -> &'static str {}"),
            "fn f<'a>(x: &'a str) -> &'static str {}"
        );
    }

    #[test]
    fn raw_strings_end_where_their_hashes_do() {
        assert_eq!(code(r###"f(r#"a " b // c"#); g()"###), r###"f(r#"          "#); g()"###);
        assert_eq!(code(r##"f(br"\"); g()"##), r##"f(br" "); g()"##);
        assert_eq!(code(r##"let r = 1; for_r("x")"##), r##"let r = 1; for_r(" ")"##);
    }

    #[test]
    fn block_comments_nest() {
        assert_eq!(code("/* a /* b */ unsafe */ c").trim(), "c");
    }

    #[test]
    fn the_header_is_what_opens_the_file() {
        let text = "//! One.\n//!\n//! # Safety\nuse x;\n//! not this";
        assert_eq!(Source::new("sample.rs", text).header(), ["One.", "", "# Safety"]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("a unsafe {", "unsafe"));
        assert!(!has_word("forbid(unsafe_code)", "unsafe"));
        assert_eq!(words("x.Relaxed, Relaxed", "Relaxed").collect::<Vec<_>>(), [2, 11]);
    }
}
