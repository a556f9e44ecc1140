//! `cargo xtask picture`: what the program prints on a terminal, drawn as `docs/picture.svg`.
//!
//! The program really runs, on the project's own `Cargo.lock` and on a file that is shortened while
//! it is read; its colours become classes of the picture, which follow the reader's light or dark
//! scheme. It draws text and its SGR colours and knows no other escape sequence.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use crate::workspace::Workspace;

const CELL_WIDTH: f32 = 8.4;
const LINE_HEIGHT: f32 = 18.0;
const MARGIN: f32 = 16.0;

/// Runs the program and writes the picture.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    workspace.cargo("build --release --locked -p bifolio-cli")?;
    let metadata = workspace.cargo_output("metadata --format-version 1 --no-deps")?;
    let key = "\"target_directory\":\"";
    let at = metadata.find(key).ok_or("cargo names no target directory")? + key.len();
    let target = metadata[at..].split('"').next().unwrap_or("target");
    let program = format!("{target}/release/bifolio");
    let mut text = String::from("\x1b[1m$ bifolio hex --length 0xa0 Cargo.lock\x1b[0m\n");
    text += &hex(workspace, &program)?;
    text += "\n\x1b[1m$ bifolio cat growing.log | consumer   ";
    text += "# meanwhile: truncate -s 8192 growing.log\x1b[0m\n";
    text += &truncated(&program).map_err(|error| format!("{program}: {error}"))?;
    let path = workspace.root().join("docs/picture.svg");
    std::fs::write(&path, svg(&text)).map_err(|error| format!("{}: {error}", path.display()))
}

fn hex(workspace: &Workspace, program: &str) -> Result<String, String> {
    let output = Command::new(program)
        .args(["--color", "always", "hex", "--length", "0xa0", "Cargo.lock"])
        .current_dir(workspace.root())
        .env("COLUMNS", "80")
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What the program says when its file is shortened while a slow reader holds it up.
fn truncated(program: &str) -> std::io::Result<String> {
    let dir = std::env::temp_dir().join(format!("bifolio-picture-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let path = dir.join("growing.log");
    std::fs::write(&path, vec![b'x'; 8 << 20])?;
    let file = File::options().write(true).open(&path)?;
    let mut child = Command::new(program)
        .args(["--color", "always", "cat", "growing.log"])
        .current_dir(&dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut out = child.stdout.take().ok_or_else(|| std::io::Error::other("no pipe"))?;
    out.read_exact(&mut [0; 4096])?;
    file.set_len(8192)?;
    std::io::copy(&mut out, &mut std::io::sink())?;
    drop(out);
    let output = child.wait_with_output()?;
    std::fs::remove_dir_all(&dir)?;
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    let _ = writeln!(said, "\x1b[2m(exit code {})\x1b[0m", output.status.code().unwrap_or(-1));
    Ok(said)
}

/// A stretch of text in one style.
#[derive(Debug, PartialEq)]
struct Run {
    text: String,
    classes: String,
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
            runs.push(Run { text: text.to_owned(), classes: style.classes() });
        }
    }
    runs
}

/// What SGR sequences have set.
#[derive(Default)]
struct Style {
    bold: bool,
    dim: bool,
    colour: Option<u8>,
}

impl Style {
    fn apply(&mut self, codes: &str) {
        for code in codes.split(';').map(|code| code.parse::<u8>().unwrap_or(0)) {
            match code {
                0 => *self = Style::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                22 => (self.bold, self.dim) = (false, false),
                30..=37 => self.colour = Some(code - 30),
                90..=97 => self.colour = Some(code - 90),
                39 => self.colour = None,
                _ => {}
            }
        }
    }

    fn classes(&self) -> String {
        let mut classes = Vec::new();
        if self.bold {
            classes.push("b".to_owned());
        }
        if self.dim {
            classes.push("d".to_owned());
        }
        classes.extend(self.colour.map(|colour| format!("c{colour}")));
        classes.join(" ")
    }
}

/// The picture of a screen that shows `text`.
fn svg(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let width_of = |line: &str| {
        runs(line, &mut Style::default()).iter().map(|run| run.text.chars().count()).sum::<usize>()
    };
    let columns = lines.iter().map(|line| width_of(line)).max().unwrap_or(0);
    let width = columns as f32 * CELL_WIDTH + 2.0 * MARGIN;
    let height = lines.len() as f32 * LINE_HEIGHT + 2.0 * MARGIN;
    let label = "bifolio hex of a file, and bifolio cat of a file that is shortened meanwhile";
    let mut svg = String::from(r#"<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve""#);
    let _ = write!(svg, r#" viewBox="0 0 {width:.0} {height:.0}""#);
    let _ = writeln!(
        svg,
        r#" width="{width:.0}" height="{height:.0}" role="img" aria-label="{label}">"#
    );
    let _ = writeln!(svg, "<style>\n{}</style>", include_str!("picture.css"));
    svg += "<rect width=\"100%\" height=\"100%\" rx=\"8\"/>\n";
    let mut style = Style::default();
    for (index, line) in lines.iter().enumerate() {
        let y = MARGIN + (index as f32 + 0.75) * LINE_HEIGHT;
        let mut column = 0;
        let _ = write!(svg, r#"<text y="{y:.1}">"#);
        for run in runs(line, &mut style) {
            let x = MARGIN + column as f32 * CELL_WIDTH;
            let cells = run.text.chars().count();
            let length = cells as f32 * CELL_WIDTH;
            let _ = write!(
                svg,
                r#"<tspan x="{x:.1}" textLength="{length:.1}" class="{}">{}</tspan>"#,
                run.classes,
                escape(&run.text)
            );
            column += cells;
        }
        svg += "</text>\n";
    }
    svg + "</svg>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_go_on_over_lines() {
        let mut style = Style::default();
        let first = runs("a\x1b[1;32mb", &mut style);
        assert_eq!(first[0], Run { text: "a".into(), classes: String::new() });
        assert_eq!(first[1], Run { text: "b".into(), classes: "b c2".into() });
        let second = runs("c\x1b[0md", &mut style);
        assert_eq!(second[0].classes, "b c2");
        assert_eq!(second[1].classes, "");
    }

    #[test]
    fn a_picture_escapes_what_the_program_printed() {
        let drawn = svg("<&>\n");
        assert!(drawn.contains("&lt;&amp;&gt;"), "{drawn}");
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
    }
}
