//! A scene as SVG: text that any browser shows, the same bytes for the same scene.
//!
//! Every run of cells is one path with a title, which a browser shows where the pointer rests;
//! where there are more runs than [`RUNS_MAX`], those of one state share a path in each area. The
//! colours follow the reader's light or dark scheme by a style sheet inside the picture.

use super::hilbert;
use super::outline::{Grid, outline};
use super::scene::{Run, Scene};
use super::tint::{Theme, Tint};
use crate::bytes::human;
use std::fmt::Write as _;

/// So many titles a picture has at most, else it takes too long to show.
const RUNS_MAX: usize = 20_000;

/// The side of the square, in the units of the picture.
const SIDE: f64 = 512.0;
const MARGIN: f64 = 16.0;
/// The place for the legend, beside the square.
const BESIDE: f64 = 312.0;
const LINE: f64 = 18.0;
/// The width of a character of a label, a little more than most fonts have.
const LABEL_CHAR: f64 = 7.0;
/// An area is labelled where it has this part of all cells.
const LABELLED: f64 = 0.02;

/// Draws it.
pub(super) fn draw(scene: &Scene) -> String {
    let census = scene.census();
    let lines = 4 + census.len() + scene.notes.len();
    let height = (SIDE + 2.0 * MARGIN).max(lines as f64 * LINE + 2.0 * MARGIN);
    let width = SIDE + BESIDE + 3.0 * MARGIN;
    let mut svg = String::new();
    let title = escape(&scene.title);
    let _ = write!(svg, r#"<svg xmlns="http://www.w3.org/2000/svg" role="img""#);
    let _ = write!(svg, r#" viewBox="0 0 {width} {height}" width="{width}" height="{height}""#);
    let _ = writeln!(svg, r#" aria-label="{title}">"#);
    let _ = writeln!(svg, "<style>\n{}</style>", style(&census));
    svg.push_str("<rect class=\"back\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n");
    let order = scene.order();
    let scale = SIDE / f64::from(1_u32 << order);
    let _ = writeln!(
        svg,
        r#"<g transform="translate({MARGIN} {MARGIN}) scale({scale})" stroke-width="{}">"#,
        1.0 / scale
    );
    cells(&mut svg, scene, order);
    let _ = writeln!(svg, r#"<path class="line" d="{}"/>"#, outline(&Grid::of(scene)));
    svg.push_str("</g>\n");
    labels(&mut svg, scene, order, scale);
    legend(&mut svg, scene, &census);
    svg + "</svg>\n"
}

/// The style sheet, with the states that are there.
fn style(census: &[(Tint, u64)]) -> String {
    let mut css = String::from(
        "text { font: 13px ui-monospace, \"DejaVu Sans Mono\", Menlo, Consolas, monospace; }\n\
         .line { fill: none; }\n\
         .label { font-size: 11px; text-anchor: middle; paint-order: stroke; stroke-width: 3px; }\n\
         .title { font-weight: bold; }\n\
         .swatch { stroke-width: .5px; }\n",
    );
    css += &theme_css(Theme::Light, census);
    css.push_str("@media (prefers-color-scheme: dark) {\n");
    css += &theme_css(Theme::Dark, census);
    css.push_str("}\n");
    css
}

fn theme_css(theme: Theme, census: &[(Tint, u64)]) -> String {
    let (ink, back) = (hex(theme.ink()), hex(theme.background()));
    let mut css = format!(
        "text {{ fill: {ink}; }} .line, .swatch {{ stroke: {ink}; }} .back {{ fill: {back}; }} \
         .label {{ stroke: {back}; }}\n"
    );
    for (tint, _) in census {
        let _ = writeln!(css, ".{} {{ fill: {}; }}", tint.class(), hex(tint.rgb(theme)));
    }
    css
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The cells, area by area.
fn cells(svg: &mut String, scene: &Scene, order: u32) {
    let areas: Vec<_> = scene
        .placed()
        .map(|(area, points)| (area, area.runs(points.start, scene.cell_bytes)))
        .collect();
    let has_titles = areas.iter().map(|(_, runs)| runs.len()).sum::<usize>() <= RUNS_MAX;
    for (area, runs) in areas {
        let _ = writeln!(
            svg,
            "<g shape-rendering=\"crispEdges\"><title>{}</title>",
            escape(&area.title)
        );
        if has_titles {
            for run in &runs {
                let title = format!("{}\n{}", area.title, said(run));
                path(svg, run.tint, Some(&title), order, std::slice::from_ref(run));
            }
        } else {
            for tint in Tint::ALL {
                let same: Vec<_> = runs.iter().filter(|run| run.tint == tint).collect();
                path(svg, tint, None, order, same);
            }
        }
        svg.push_str("</g>\n");
    }
}

/// What the title of a run says.
fn said(run: &Run) -> String {
    let len = human(run.bytes.end - run.bytes.start);
    format!("{:#x}..{:#x}, {len}: {}", run.bytes.start, run.bytes.end, run.tint.meaning())
}

/// One path of all cells of `runs`.
fn path<'a>(
    svg: &mut String,
    tint: Tint,
    title: Option<&str>,
    order: u32,
    runs: impl IntoIterator<Item = &'a Run>,
) {
    let mut points: Vec<_> = runs
        .into_iter()
        .flat_map(|run| run.points.clone())
        .map(|index| hilbert::point(order, index))
        .map(|(x, y)| (y, x))
        .collect();
    if points.is_empty() {
        return;
    }
    points.sort_unstable();
    let _ = write!(svg, r#"<path class="{}" d=""#, tint.class());
    for row in points.chunk_by(|one, next| one.0 == next.0 && one.1 + 1 == next.1) {
        let ((y, x), len) = (row[0], row.len());
        let _ = write!(svg, "M{x} {y}h{len}v1h-{len}z");
    }
    match title {
        Some(title) => {
            let _ = writeln!(svg, r#""><title>{}</title></path>"#, escape(title));
        }
        None => svg.push_str("\"/>\n"),
    }
}

/// The names of the larger areas, where there is more than one.
fn labels(svg: &mut String, scene: &Scene, order: u32, scale: f64) {
    if scene.areas.len() < 2 {
        return;
    }
    let least = scene.cell_count() as f64 * LABELLED;
    for (area, points) in scene.placed() {
        if area.label.is_empty() || (area.cells.len() as f64) < least {
            continue;
        }
        let (x, y) = hilbert::point(order, points.start + (points.end - points.start) / 2);
        let at = |cell: u32| (f64::from(cell) + 0.5) * scale;
        // Text that begins or ends outside of the square is moved in.
        let half = (area.label.chars().count() as f64 * LABEL_CHAR / 2.0).min(SIDE / 2.0);
        let x = MARGIN + at(x).clamp(half, SIDE - half);
        let y = MARGIN + at(y).clamp(LABEL_CHAR, SIDE - LABEL_CHAR) + 4.0;
        let label = escape(&area.label);
        let _ = writeln!(svg, r#"<text class="label" x="{x:.1}" y="{y:.1}">{label}</text>"#);
    }
}

/// What stands beside: the title, the colours with their parts, and the notes.
fn legend(svg: &mut String, scene: &Scene, census: &[(Tint, u64)]) {
    let x = SIDE + 2.0 * MARGIN;
    let mut y = MARGIN + 12.0;
    let _ = writeln!(svg, r#"<text class="title" x="{x}" y="{y}">{}</text>"#, escape(&scene.title));
    y += LINE;
    let cell = human(scene.cell_bytes);
    let _ = writeln!(svg, r#"<text x="{x}" y="{y}">a cell is {cell}</text>"#);
    y += 1.5 * LINE;
    let all = scene.cell_count().max(1) as f64;
    for (tint, count) in census {
        let part = *count as f64 / all * 100.0;
        let (top, text) = (y - 11.0, x + 20.0);
        let _ = writeln!(
            svg,
            r#"<rect class="{} swatch" x="{x}" y="{top}" width="12" height="12"/>"#,
            tint.class(),
        );
        let _ = writeln!(svg, r#"<text x="{text}" y="{y}">{part:.1} % {}</text>"#, tint.meaning());
        y += LINE;
    }
    y += 0.5 * LINE;
    for note in &scene.notes {
        let _ =
            writeln!(svg, r#"<text x="{x}" y="{y}" xml:space="preserve">{}</text>"#, escape(note));
        y += LINE;
    }
}

/// Text inside XML; what XML cannot hold becomes a replacement character.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::example;
    use super::*;
    use crate::cell::Cell;

    #[test]
    fn every_run_is_a_path_that_says_its_bytes() {
        let svg = draw(&example());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(svg.matches("<path class=\"resident\"").count(), 2, "{svg}");
        assert!(svg.contains("0x2000..0x2710, 1.77 KiB: not in memory"), "{svg}");
        assert!(svg.contains("first &lt;0&gt;") && !svg.contains("<0>"), "{svg}");
        assert!(svg.contains("75.0 % in memory") && svg.contains("a note"), "{svg}");
        assert_eq!(svg, draw(&example()));
        let (light, dark) = svg.split_once("@media (prefers-color-scheme: dark)").unwrap();
        assert!(light.contains(".resident {") && dark.contains(".resident {"), "{svg}");
    }

    #[test]
    fn too_many_runs_share_paths() {
        let mut scene = example();
        let cells =
            (0..RUNS_MAX + 2).map(|at| [Tint::Is(Cell::Resident), Tint::Is(Cell::Absent)][at % 2]);
        scene.areas[0].cells = cells.collect();
        let svg = draw(&scene);
        assert_eq!(svg.matches("<path").count(), 4, "resident, absent, resident, and the lines");
    }

    #[test]
    fn a_name_cannot_break_the_text() {
        assert_eq!(escape("a<b>&\"\u{1b}[31m\u{0}"), "a&lt;b&gt;&amp;&quot;\u{fffd}[31m\u{fffd}");
    }
}
