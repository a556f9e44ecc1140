//! Lines for people: offset, digits and text in panels, each class of bytes with a colour and,
//! where it is not text, a sign of its own.

use super::dump::{Format, LINE_BYTES_MAX};
use crate::hex;
use anstyle::{AnsiColor, Color, Style};

/// The bytes of a panel.
const PANEL: usize = 8;

/// What bytes are to somebody who looks for structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Null,
    Text,
    Space,
    Control,
    High,
}

impl Class {
    const ALL: [Class; 5] = [Class::Null, Class::Text, Class::Space, Class::Control, Class::High];

    const fn of(byte: u8) -> Class {
        match byte {
            0 => Class::Null,
            b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | b' ' => Class::Space,
            0x21..=0x7e => Class::Text,
            0x01..=0x1f | 0x7f => Class::Control,
            0x80..=0xff => Class::High,
        }
    }

    fn style(self) -> Style {
        let color = match self {
            Class::Null => AnsiColor::BrightBlack,
            Class::Text => AnsiColor::Cyan,
            Class::Space => AnsiColor::Green,
            Class::Control => AnsiColor::Magenta,
            Class::High => AnsiColor::Yellow,
        };
        Style::new().fg_color(Some(Color::Ansi(color)))
    }
}

/// The signs of bytes that are not text, and the lines of the frame.
struct Signs {
    null: &'static str,
    tab: &'static str,
    line_end: &'static str,
    control: &'static str,
    high: &'static str,
    bar: &'static str,
    thin_bar: &'static str,
    dash: &'static str,
    /// Left, middle and right corner.
    top: [&'static str; 3],
    bottom: [&'static str; 3],
}

const UNICODE: Signs = Signs {
    null: "\u{22c4}",     // a diamond
    tab: "\u{21e5}",      // an arrow to a bar
    line_end: "\u{21b5}", // the arrow of the return key
    control: "\u{2022}",  // a bullet
    high: "\u{d7}",       // a cross
    bar: "\u{2502}",
    thin_bar: "\u{250a}",
    dash: "\u{2500}",
    top: ["\u{250c}", "\u{252c}", "\u{2510}"],
    bottom: ["\u{2514}", "\u{2534}", "\u{2518}"],
};

/// Every sign here is a character that text may hold too: the digits tell.
const ASCII: Signs = Signs {
    null: "0",
    tab: ">",
    line_end: "_",
    control: ".",
    high: "x",
    bar: "|",
    thin_bar: ":",
    dash: "-",
    top: ["+", "+", "+"],
    bottom: ["+", "+", "+"],
};

impl Signs {
    /// What stands for a byte in the text panels.
    fn glyph(&self, byte: u8) -> String {
        let sign = match Class::of(byte) {
            Class::Null => self.null,
            Class::Control => self.control,
            Class::High => self.high,
            Class::Space if byte == b'\t' => self.tab,
            Class::Space if byte != b' ' => self.line_end,
            Class::Text | Class::Space => return char::from(byte).into(),
        };
        sign.into()
    }
}

/// The format with panels.
pub(super) struct Panels {
    signs: &'static Signs,
    panels: usize,
    /// Leaves out the bars within the text and the spaces before those within the digits.
    is_tight: bool,
    offset_digits: usize,
    has_color: bool,
    /// What stands for each byte in the text panels.
    glyphs: Vec<String>,
    /// What begins the colour of each class, and what ends it; empty without colours.
    styles: [String; Class::ALL.len()],
    offset_style: String,
    reset: String,
    is_empty: bool,
}

impl Panels {
    /// As many panels as fit in so many columns: one, two or four, so that offsets stay round. The
    /// offsets have the width of `end`, the offset behind the last byte, where it is known.
    pub(super) fn new(columns: usize, end: Option<u64>, has_color: bool, ascii: bool) -> Panels {
        let offset_digits =
            hex::digits_of(end.unwrap_or(0).saturating_sub(1)).max(hex::OFFSET_DIGITS_MIN);
        let fits =
            |&(panels, is_tight): &(usize, bool)| width(offset_digits, panels, is_tight) <= columns;
        let layouts = [(LINE_BYTES_MAX / PANEL, false), (2, false), (2, true)];
        let (panels, is_tight) = layouts.into_iter().find(fits).unwrap_or((1, false));
        let signs = if ascii { &ASCII } else { &UNICODE };
        let code =
            |style: Style| if has_color { style.render().to_string() } else { String::new() };
        Panels {
            signs,
            panels,
            is_tight,
            offset_digits,
            has_color,
            glyphs: (0..=u8::MAX).map(|byte| signs.glyph(byte)).collect(),
            styles: Class::ALL.map(|class| code(class.style())),
            offset_style: code(Class::Null.style()),
            reset: if has_color { anstyle::Reset.render().to_string() } else { String::new() },
            is_empty: true,
        }
    }

    /// The frame's first or last line.
    fn edge(&self, text: &mut Vec<u8>, [left, middle, right]: [&str; 3]) {
        let run = |text: &mut Vec<u8>, len: usize| push(text, &self.signs.dash.repeat(len));
        push(text, left);
        run(text, self.offset_digits);
        for half in [Half::Digits, Half::Text] {
            for panel in 0..self.panels {
                push(text, if self.bar(half, panel).is_empty() { "" } else { middle });
                run(text, half.cell() * PANEL + self.closing(half, panel).len());
            }
        }
        push(text, right);
        text.push(b'\n');
    }

    /// A line with nothing in its panels but a word where the offset stands.
    fn blank(&self, text: &mut Vec<u8>, offset: &str) {
        push(text, self.signs.bar);
        push(text, &self.offset_style);
        push(text, &format!("{offset:width$}", width = self.offset_digits));
        push(text, &self.reset);
        self.half(text, Half::Digits, &[], |_, _| {});
        self.half(text, Half::Text, &[], |_, _| {});
        push(text, self.signs.bar);
        text.push(b'\n');
    }

    /// What stands before a panel.
    fn bar(&self, half: Half, panel: usize) -> &'static str {
        match (half, panel) {
            (_, 0) => self.signs.bar,
            (Half::Text, _) if self.is_tight => "",
            _ => self.signs.thin_bar,
        }
    }

    /// What stands at a panel's end.
    fn closing(&self, half: Half, panel: usize) -> &'static str {
        match half {
            Half::Digits if !self.is_tight || panel + 1 == self.panels => " ",
            _ => "",
        }
    }

    /// One half of a line: `cell` appends what stands for a byte.
    #[inline]
    fn half(&self, text: &mut Vec<u8>, half: Half, bytes: &[u8], cell: impl Fn(&mut Vec<u8>, u8)) {
        for panel in 0..self.panels {
            push(text, self.bar(half, panel));
            let start = bytes.len().min(panel * PANEL);
            let shown = &bytes[start..bytes.len().min(start + PANEL)];
            let mut current = None;
            for &byte in shown {
                if self.has_color {
                    let class = Class::of(byte);
                    if current != Some(class) {
                        push(text, &self.styles[class as usize]);
                        current = Some(class);
                    }
                }
                cell(text, byte);
            }
            if current.is_some() {
                push(text, &self.reset);
            }
            text.resize(text.len() + (PANEL - shown.len()) * half.cell(), b' ');
            push(text, self.closing(half, panel));
        }
    }
}

/// The two halves of a line's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Digits,
    Text,
}

impl Half {
    /// The columns of a byte.
    fn cell(self) -> usize {
        match self {
            Half::Digits => 3,
            Half::Text => 1,
        }
    }
}

/// The columns of a line.
fn width(offset_digits: usize, panels: usize, is_tight: bool) -> usize {
    let frame = 1 + offset_digits + 1 + panels + 1 + panels;
    let left_out = if is_tight { 2 * (panels - 1) } else { 0 };
    frame + panels * PANEL * (Half::Digits.cell() + Half::Text.cell()) + panels - 1 - left_out
}

fn push(text: &mut Vec<u8>, what: &str) {
    text.extend_from_slice(what.as_bytes());
}

impl Format for Panels {
    fn width(&self) -> usize {
        self.panels * PANEL
    }

    fn begin(&mut self, text: &mut Vec<u8>) {
        self.edge(text, self.signs.top);
    }

    fn line(&mut self, text: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
        self.is_empty = false;
        push(text, self.signs.bar);
        push(text, &self.offset_style);
        hex::push_offset(text, offset, self.offset_digits);
        push(text, &self.reset);
        self.half(text, Half::Digits, bytes, |text, byte| {
            let [high, low] = hex::digits(byte);
            text.extend_from_slice(&[b' ', high, low]);
        });
        self.half(text, Half::Text, bytes, |text, byte| {
            push(text, &self.glyphs[usize::from(byte)]);
        });
        push(text, self.signs.bar);
        text.push(b'\n');
    }

    fn gap(&mut self, text: &mut Vec<u8>) {
        self.blank(text, "*");
    }

    fn end(&mut self, text: &mut Vec<u8>) {
        if self.is_empty {
            self.blank(text, "no bytes");
        }
        self.edge(text, self.signs.bottom);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_in_the_columns_and_use_them() {
        for (columns, end, panels, len) in [
            (80, 100, 2, 80),
            (79, 100, 2, 78),
            (77, 100, 1, 45),
            (20, 100, 1, 45),
            (149, 100, 2, 80),
            (150, 100, 4, 150),
            (80, 1 << 32, 2, 80),
            (80, (1 << 32) + 1, 2, 79),
            (80, 1 << 40, 2, 80),
            (80, (1 << 40) + 1, 1, 48),
        ] {
            let mut format = Panels::new(columns, Some(end), false, true);
            let mut text = Vec::new();
            format.begin(&mut text);
            format.line(&mut text, end - 1, &[0x41; LINE_BYTES_MAX][..panels * PANEL]);
            format.line(&mut text, end - 1, &[0x41]);
            format.gap(&mut text);
            format.end(&mut text);
            let text = String::from_utf8(text).unwrap();
            for line in text.lines() {
                assert_eq!(line.len(), len, "{columns} columns, {end} bytes: {line}");
            }
        }
    }

    #[test]
    fn each_class_has_its_own_colour_and_its_own_sign() {
        for first in Class::ALL {
            for second in Class::ALL {
                assert_eq!(first == second, first.style() == second.style());
            }
        }
        // A sign that is not the character itself stands for one class only, and is no text.
        let signs: Vec<(Class, String)> = (0..=u8::MAX)
            .map(|byte| (Class::of(byte), UNICODE.glyph(byte)))
            .filter(|(class, _)| *class != Class::Text)
            .collect();
        for (class, sign) in &signs {
            assert!(signs.iter().all(|(other, same)| sign != same || class == other), "{sign}");
            assert!(sign == " " || !sign.is_ascii(), "{sign}");
        }
    }
}
