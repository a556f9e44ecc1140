//! A scene as PNG: the cells and the lines around areas, without text; what the legend of the SVG
//! says stands in the text chunks `Title` and `Description`.

use super::hilbert;
use super::outline::Grid;
use super::scene::Scene;
use super::tint::Theme;
use crate::bytes::human;

/// The side of a picture in pixels, where its cells are not too many for that.
const SIDE: usize = 1024;

/// Draws it: the same bytes for the same scene and theme.
pub(super) fn draw(scene: &Scene, theme: Theme) -> Result<Vec<u8>, png::EncodingError> {
    let grid = Grid::of(scene);
    let scale = (SIDE / grid.side()).max(1);
    // A pixel more, for the last line.
    let side = grid.side() * scale + 1;
    let mut canvas = Canvas { side, pixels: vec![0; side * side * 3] };
    canvas.fill(0..side, 0..side, theme.background());
    let order = scene.order();
    for (area, points) in scene.placed() {
        for (index, tint) in points.zip(&area.cells) {
            let (x, y) = hilbert::point(order, index);
            let span = |at: u32| at as usize * scale..(at as usize + 1) * scale;
            canvas.fill(span(x), span(y), tint.rgb(theme));
        }
    }
    // Cells of less than three pixels would be nothing but lines.
    if scale > 2 {
        draw_lines(&mut canvas, &grid, scale, theme.ink());
    }
    encode(scene, side, &canvas.pixels)
}

fn draw_lines(canvas: &mut Canvas, grid: &Grid, scale: usize, ink: [u8; 3]) {
    let side = grid.side();
    for y in 0..=side {
        for x in 0..=side {
            let (left, top) = (x * scale, y * scale);
            if x < side && grid.is_cut_above(x, y) {
                canvas.fill(left..left + scale + 1, top..top + 1, ink);
            }
            if y < side && grid.is_cut_left(x, y) {
                canvas.fill(left..left + 1, top..top + scale + 1, ink);
            }
        }
    }
}

fn encode(scene: &Scene, side: usize, pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    // A side is 1025 pixels, or one more than the cells of a curve of order 15 at most.
    let mut encoder = png::Encoder::new(&mut bytes, side as u32, side as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.add_itxt_chunk("Title".to_owned(), scene.title.clone())?;
    encoder.add_itxt_chunk("Description".to_owned(), description(scene))?;
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}

/// What the legend says.
fn description(scene: &Scene) -> String {
    let all = scene.cell_count().max(1) as f64;
    let mut lines = vec![format!("a cell is {}", human(scene.cell_bytes))];
    for (tint, count) in scene.census() {
        lines.push(format!("{:.1} % {}", count as f64 / all * 100.0, tint.meaning()));
    }
    lines.extend(scene.notes.iter().cloned());
    lines.join("\n")
}

/// Rows of red, green and blue.
struct Canvas {
    side: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn fill(&mut self, xs: std::ops::Range<usize>, ys: std::ops::Range<usize>, rgb: [u8; 3]) {
        for y in ys {
            let row = (y * self.side + xs.start) * 3..(y * self.side + xs.end) * 3;
            for pixel in self.pixels[row].chunks_exact_mut(3) {
                pixel.copy_from_slice(&rgb);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::example;
    use super::super::tint::Tint;
    use super::*;
    use crate::cell::Cell;

    #[test]
    fn pixels_have_the_colours_of_their_cells() {
        for theme in [Theme::Light, Theme::Dark] {
            let bytes = draw(&example(), theme).unwrap();
            assert_eq!(bytes, draw(&example(), theme).unwrap());
            let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.height), (1025, 1025));
            let at = |x: usize, y: usize| &pixels[(y * 1025 + x) * 3..][..3];
            let (resident, absent) =
                (Tint::Is(Cell::Resident).rgb(theme), Tint::Is(Cell::Absent).rgb(theme));
            for (x, y, rgb) in [(250, 250, resident), (250, 750, resident), (750, 750, absent)] {
                assert_eq!(at(x, y), rgb, "{x} {y}");
            }
            // The lines: around all, and between the areas only.
            for (x, y) in [(0, 300), (1024, 300), (512, 100), (900, 512)] {
                assert_eq!(at(x, y), theme.ink(), "{x} {y}");
            }
            assert_eq!(at(512, 700), absent);
            let text = &reader.info().utf8_text;
            assert_eq!(text[0].get_text().unwrap(), "an example");
            assert!(text[1].get_text().unwrap().contains("75.0 % in memory"));
        }
    }
}
