//! A terminal's screen as an SVG picture: text, its SGR colours, and the block elements as boxes.
//!
//! Colours are classes, which follow the reader's light or dark scheme. It knows no other escape
//! sequence.

use std::fmt::Write as _;

const CELL_WIDTH: f32 = 8.4;
const LINE_HEIGHT: f32 = 18.0;
const MARGIN: f32 = 16.0;

/// A stretch of text in one style.
#[derive(Debug, PartialEq)]
struct Run {
    text: String,
    style: Style,
}

/// Cuts a line of terminal output at its SGR sequences; the style goes on in the next line.
fn runs(line: &str, style: &mut Style) -> Vec<Run> {
    let mut runs = Vec::new();
    for (index, part) in line.split("\x1b[").enumerate() {
        let text = match part.split_once('m') {
            Some((codes, rest)) if index > 0 => {
                style.apply(codes);
                rest
            }
            _ => part,
        };
        if !text.is_empty() {
            runs.push(Run { text: text.to_owned(), style: *style });
        }
    }
    runs
}

/// What SGR sequences have set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Style {
    bold: bool,
    dim: bool,
    reversed: bool,
    colour: Option<u8>,
    ground: Option<u8>,
}

impl Style {
    fn apply(&mut self, codes: &str) {
        let mut codes = codes.split(';').map(|code| code.parse::<u8>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Style::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                7 => self.reversed = true,
                22 => (self.bold, self.dim) = (false, false),
                27 => self.reversed = false,
                30..=37 => self.colour = Some(code - 30),
                90..=97 => self.colour = Some(code - 90 + 8),
                40..=47 => self.ground = Some(code - 40),
                100..=107 => self.ground = Some(code - 100 + 8),
                // One of the 256 colours: the first 16 are those above.
                38 | 48 if codes.next() == Some(5) => {
                    let number = codes.next().filter(|&number| number < 16);
                    *if code == 38 { &mut self.colour } else { &mut self.ground } = number;
                }
                39 => self.colour = None,
                49 => self.ground = None,
                _ => {}
            }
        }
    }

    /// The class of a colour, of the text where there is none.
    fn colour_class(self) -> String {
        let colour = if self.reversed { self.ground } else { self.colour };
        match colour {
            None if self.reversed => "bg".to_owned(),
            None => "fg".to_owned(),
            Some(colour) => format!("c{colour}"),
        }
    }

    /// The class of what lies behind, where that is not the ground of all.
    fn ground_class(self) -> Option<String> {
        match (self.reversed, self.colour, self.ground) {
            (true, None, _) => Some("fg".to_owned()),
            (true, Some(colour), _) | (false, _, Some(colour)) => Some(format!("c{colour}")),
            (false, _, None) => None,
        }
    }

    fn classes(self) -> String {
        let mut classes = Vec::new();
        if self.bold {
            classes.push("b".to_owned());
        }
        if self.dim {
            classes.push("d".to_owned());
        }
        classes.push(self.colour_class());
        classes.join(" ")
    }
}

/// The part of its cell that a block element fills, from its top to its bottom, and how much of
/// the ground it hides.
fn block(glyph: char) -> Option<(f32, f32, f32)> {
    match glyph {
        '\u{2580}' => Some((0.0, 0.5, 1.0)),
        '\u{2581}'..='\u{2588}' => {
            let eighths = glyph as u32 - 0x2580;
            Some((1.0 - eighths as f32 / 8.0, 1.0, 1.0))
        }
        '\u{2591}'..='\u{2593}' => Some((0.0, 1.0, (glyph as u32 - 0x2590) as f32 / 4.0)),
        _ => None,
    }
}

/// The picture of a screen that shows `text`.
pub(super) fn svg(text: &str, label: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let width_of = |line: &str| {
        runs(line, &mut Style::default()).iter().map(|run| run.text.chars().count()).sum::<usize>()
    };
    let columns = lines.iter().map(|line| width_of(line)).max().unwrap_or(0);
    let width = columns as f32 * CELL_WIDTH + 2.0 * MARGIN;
    let height = lines.len() as f32 * LINE_HEIGHT + 2.0 * MARGIN;
    let mut svg = String::from(r#"<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve""#);
    let _ = write!(svg, r#" viewBox="0 0 {width:.0} {height:.0}""#);
    let _ = writeln!(
        svg,
        r#" width="{width:.0}" height="{height:.0}" role="img" aria-label="{}">"#,
        escape(label)
    );
    let _ = writeln!(svg, "<style>\n{}</style>", include_str!("../picture.css"));
    svg += "<rect width=\"100%\" height=\"100%\" rx=\"8\"/>\n";
    let mut style = Style::default();
    for (index, line) in lines.iter().enumerate() {
        draw_line(&mut svg, MARGIN + index as f32 * LINE_HEIGHT, &runs(line, &mut style));
    }
    svg + "</svg>\n"
}

/// Draws a line of which the top is at `top`.
fn draw_line(svg: &mut String, top: f32, runs: &[Run]) {
    let mut column = 0;
    let mut text = String::new();
    for run in runs {
        // Of blocks each has its own shape; all else is text.
        let chars: Vec<char> = run.text.chars().collect();
        for same in chars.chunk_by(|&a, &b| a == b || block(a).is_none() && block(b).is_none()) {
            let x = MARGIN + column as f32 * CELL_WIDTH;
            let width = same.len() as f32 * CELL_WIDTH;
            column += same.len();
            let mut fill = |(from, to, opacity): (f32, f32, f32), class: &str| {
                let (y, height) = (top + from * LINE_HEIGHT, (to - from) * LINE_HEIGHT);
                let _ = write!(svg, r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}""#);
                let _ = write!(svg, r#" height="{height:.1}" class="{class}""#);
                if opacity < 1.0 {
                    let _ = write!(svg, r#" fill-opacity="{opacity}""#);
                }
                *svg += "/>\n";
            };
            if let Some(class) = run.style.ground_class() {
                fill((0.0, 1.0, 1.0), &class);
            }
            if let Some(shape) = block(same[0]) {
                fill(shape, &run.style.colour_class());
                continue;
            }
            let words: String = same.iter().collect();
            if !words.trim().is_empty() {
                let _ = write!(
                    text,
                    r#"<tspan x="{x:.1}" textLength="{width:.1}" class="{}">{}</tspan>"#,
                    run.style.classes(),
                    escape(&words)
                );
            }
        }
    }
    if !text.is_empty() {
        let _ = writeln!(svg, r#"<text y="{:.1}">{text}</text>"#, top + 0.75 * LINE_HEIGHT);
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_go_on_over_lines() {
        let mut style = Style::default();
        let first = runs("a\x1b[1;32mb", &mut style);
        assert_eq!((first[0].text.as_str(), first[0].style.classes()), ("a", "fg".into()));
        assert_eq!((first[1].text.as_str(), first[1].style.classes()), ("b", "b c2".into()));
        let second = runs("c\x1b[0md\x1b[38;5;14;48;5;1me\x1b[7mf", &mut style);
        let classes: Vec<_> = second.iter().map(|run| run.style.classes()).collect();
        assert_eq!(classes, ["b c2", "fg", "c14", "c1"]);
        let grounds: Vec<_> = second.iter().map(|run| run.style.ground_class()).collect();
        assert_eq!(grounds, [None, None, Some("c1".into()), Some("c14".into())]);
    }

    #[test]
    fn a_picture_escapes_what_the_program_printed() {
        let drawn = svg("<&>\n", "a \"label\"");
        assert!(
            drawn.contains("&lt;&amp;&gt;") && drawn.contains("a &quot;label&quot;"),
            "{drawn}"
        );
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
    }

    #[test]
    fn blocks_are_boxes_of_their_shape() {
        let drawn = svg("\u{2588}\u{2588}\u{2580}x\u{2592}\u{2581}\n", "");
        let count = |text: &str| drawn.matches(text).count();
        assert_eq!(count("<rect x="), 4, "{drawn}");
        assert_eq!((count("width=\"16.8\""), count("height=\"9.0\"")), (1, 1), "{drawn}");
        assert_eq!((count("fill-opacity=\"0.5\""), count("height=\"2.2\"")), (1, 1), "{drawn}");
        assert_eq!(count(">x</tspan>"), 1, "{drawn}");
    }
}
