//! A figure as a list of marks, written as SVG and as PNG. Lengths are in pixels of the nominal size.

use super::font::{FONT_HEIGHT, fit, font, letters, text_width};
use super::theme::{INK, Marker, SOFT_INK, Style};
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, RGBColor, ShapeStyle, TextStyle, WHITE};
use std::io;

pub type Point = (f64, f64);

enum Mark {
    Line {
        points: Vec<Point>,
        colour: RGBColor,
        width: f64,
    },
    Area {
        points: Vec<Point>,
        colour: RGBColor,
        opacity: f64,
    },
    Disc {
        at: Point,
        radius: f64,
        colour: RGBColor,
    },
    /// Pixels of red, green and blue, row by row.
    Image {
        at: Point,
        size: f64,
        side: usize,
        rgb: Vec<u8>,
    },
    Text {
        text: String,
        at: Point,
        em: f64,
        align: HPos,
        colour: RGBColor,
        bold: bool,
        upwards: bool,
    },
}

/// What the two file formats do differently.
struct Format {
    /// Device units per pixel; coordinates are whole device units.
    scale: f64,
    /// The backend's font size over the em.
    font: f64,
    /// How far below its anchor the backend puts the baseline, in em.
    drop: f64,
    /// Whether the joints of lines and the letters of texts are placed one by one: the bitmap backend spoils sharp
    /// bends and the spaces between letters.
    piecewise: bool,
}

const SVG: Format = Format { scale: 10.0, font: 1.24, drop: 0.76, piecewise: false };
const BITMAP: Format = Format { scale: 4.0, font: FONT_HEIGHT, drop: FONT_HEIGHT / 2.0, piecewise: true };

/// Free space left and right of all figures.
const MARGIN: f64 = 24.0;

pub struct Canvas {
    width: f64,
    height: f64,
    marks: Vec<Mark>,
}

impl Canvas {
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, marks: vec![] }
    }

    /// A path, dashed where `dash` gives lengths of dash and gap.
    pub fn line(&mut self, points: &[Point], colour: RGBColor, width: f64, dash: &[f64]) {
        for points in dashes(points, dash) {
            self.marks.push(Mark::Line { points, colour, width });
        }
    }

    pub fn area(&mut self, points: Vec<Point>, colour: RGBColor, opacity: f64) {
        if points.len() > 2 && opacity > 0.0 {
            self.marks.push(Mark::Area { points, colour, opacity });
        }
    }

    pub fn marker(&mut self, (x, y): Point, style: &Style) {
        let r = style.radius;
        let corners: &[Point] = match style.marker {
            Marker::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Marker::Up => &[(0.0, -1.3), (1.15, 0.8), (-1.15, 0.8)],
            Marker::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Marker::Down => &[(0.0, 1.3), (1.15, -0.8), (-1.15, -0.8)],
            Marker::Disc => return self.marks.push(Mark::Disc { at: (x, y), radius: r, colour: style.colour }),
            Marker::None => return,
        };
        self.area(corners.iter().map(|c| (x + r * c.0, y + r * c.1)).collect(), style.colour, 1.0);
    }

    /// A square picture of `side` x `side` pixels, drawn at a size; only in PNG files.
    pub fn image(&mut self, at: Point, size: f64, side: usize, rgb: Vec<u8>) {
        self.marks.push(Mark::Image { at, size, side, rgb });
    }

    /// Text whose baseline stands at the point.
    pub fn text(&mut self, text: &str, at: Point, em: f64, align: HPos, colour: RGBColor, bold: bool) {
        if !text.is_empty() {
            self.marks.push(Mark::Text { text: clean(text), at, em, align, colour, bold, upwards: false });
        }
    }

    /// Text that runs upwards, with its middle at the point.
    pub fn text_upwards(&mut self, text: &str, at: Point, em: f64, colour: RGBColor) {
        let align = HPos::Center;
        self.marks.push(Mark::Text { text: clean(text), at, em, align, colour, bold: false, upwards: true });
    }

    /// The title and a line below it, each shortened to the width.
    pub fn heading(&mut self, title: &str, subtitle: &str) {
        let width = self.width - 2.0 * MARGIN;
        self.text(&fit(title, 17.0, true, width), (MARGIN, 33.0), 17.0, HPos::Left, INK, true);
        self.text(&fit(subtitle, 12.0, false, width), (MARGIN, 54.0), 12.0, HPos::Left, SOFT_INK, false);
    }

    pub fn svg(&self) -> Result<String, io::Error> {
        let mut out = String::new();
        let size = self.size(SVG.scale);
        let mut backend = SVGBackend::with_string(&mut out, size);
        self.render(&mut backend, &SVG)?;
        drop(backend);
        // Drawn in tenths of a pixel, shown at the nominal size.
        let (w, h) = (self.width, self.height);
        Ok(out.replacen(
            &format!("width=\"{}\" height=\"{}\"", size.0, size.1),
            &format!("width=\"{w}\" height=\"{h}\" stroke-linejoin=\"round\""),
            1,
        ))
    }

    /// RGB pixels at twice the nominal size, each the mean of four drawn ones.
    fn pixels(&self) -> Result<((u32, u32), Vec<u8>), io::Error> {
        let (w, h) = self.size(BITMAP.scale);
        let row = 3 * w as usize;
        let mut fine = vec![255; row * h as usize];
        self.render(&mut BitMapBackend::with_buffer(&mut fine, (w, h)), &BITMAP)?;
        let mut out = Vec::with_capacity(fine.len() / 4);
        for two in fine.chunks_exact(2 * row) {
            for x in 0..w as usize / 2 {
                for c in 0..3 {
                    let at = 6 * x + c;
                    let sum: u32 = [at, at + 3, row + at, row + at + 3].iter().map(|&i| u32::from(two[i])).sum();
                    out.push(((sum + 2) / 4) as u8);
                }
            }
        }
        Ok(((w / 2, h / 2), out))
    }

    /// Writes a PNG; the path must end in `.png`.
    pub fn write_png(&self, path: &std::path::Path) -> Result<(), io::Error> {
        let (size, pixels) = self.pixels()?;
        let mut backend = BitMapBackend::new(path, size);
        backend.blit_bitmap((0, 0), size, &pixels).map_err(io::Error::other)?;
        backend.present().map_err(io::Error::other)
    }

    fn size(&self, scale: f64) -> (u32, u32) {
        ((self.width * scale) as u32, (self.height * scale) as u32)
    }

    fn render<B: DrawingBackend>(&self, b: &mut B, format: &Format) -> Result<(), io::Error> {
        let failed = |e| io::Error::other(format!("{e}"));
        let put = |(x, y): Point| ((x * format.scale).round() as i32, (y * format.scale).round() as i32);
        let (w, h) = self.size(format.scale);
        b.draw_rect((0, 0), (w as i32, h as i32), &WHITE, true).map_err(failed)?;
        for mark in &self.marks {
            match mark {
                Mark::Line { points, colour, width } => {
                    let thick = (width * format.scale).round().max(1.0) as u32;
                    let style = colour.stroke_width(thick);
                    if !format.piecewise {
                        b.draw_path(points.iter().map(|p| put(*p)), &style).map_err(failed)?;
                        continue;
                    }
                    for ends in points.windows(2) {
                        b.draw_line(put(ends[0]), put(ends[1]), &style).map_err(failed)?;
                    }
                    for p in points.iter().skip(1).take(points.len().saturating_sub(2)) {
                        b.draw_circle(put(*p), thick / 2, &colour.filled(), true).map_err(failed)?;
                    }
                }
                Mark::Area { points, colour, opacity } => {
                    let style = ShapeStyle::from(colour.mix(*opacity)).filled();
                    b.fill_polygon(points.iter().map(|p| put(*p)), &style).map_err(failed)?;
                }
                Mark::Disc { at, radius, colour } => {
                    b.draw_circle(put(*at), (radius * format.scale).round() as u32, &colour.filled(), true)
                        .map_err(failed)?;
                }
                Mark::Image { at, size, side, rgb } => {
                    let n = (size * format.scale).round() as usize;
                    let pixel = |i: usize| (i * side / n).min(side - 1);
                    let mut large = Vec::with_capacity(3 * n * n);
                    for row in 0..n {
                        for column in 0..n {
                            let from = 3 * (pixel(row) * side + pixel(column));
                            large.extend_from_slice(&rgb[from..from + 3]);
                        }
                    }
                    b.blit_bitmap(put(*at), (n as u32, n as u32), &large).map_err(failed)?;
                }
                Mark::Text { text, at: (x, y), em, align, colour, bold, upwards } => {
                    let turn = if *upwards { FontTransform::Rotate270 } else { FontTransform::None };
                    let font = font(em * format.scale * format.font, *bold).transform(turn);
                    let drop = format.drop * em;
                    // A point so far along the text.
                    let place = |along: f64| put(if *upwards { (x - drop, y - along) } else { (x + along, y - drop) });
                    if !format.piecewise {
                        let style = TextStyle::from(font).color(colour).pos(Pos::new(*align, VPos::Top));
                        b.draw_text(text, &style, place(0.0)).map_err(failed)?;
                        continue;
                    }
                    let style = TextStyle::from(font).color(colour).pos(Pos::new(HPos::Left, VPos::Top));
                    let start = match align {
                        HPos::Left => 0.0,
                        HPos::Center => -0.5 * text_width(text, *em, *bold),
                        HPos::Right => -text_width(text, *em, *bold),
                    };
                    for (along, letter) in letters(text, *bold) {
                        b.draw_text(&letter.to_string(), &style, place(start + em * along)).map_err(failed)?;
                    }
                }
            }
        }
        b.present().map_err(failed)
    }
}

/// Without control characters, which XML forbids.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { ' ' } else { c }).collect()
}

/// Cuts a path into its dashes; without lengths it stays whole.
fn dashes(points: &[Point], lengths: &[f64]) -> Vec<Vec<Point>> {
    if lengths.is_empty() || points.len() < 2 {
        return if points.len() < 2 { vec![] } else { vec![points.to_vec()] };
    }
    let (mut out, mut current, mut at, mut left) = (vec![], vec![points[0]], 0, lengths[0]);
    for ends in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
        let (length, mut done) = ((x1 - x0).hypot(y1 - y0), 0.0);
        while length - done > left {
            done += left;
            let p = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length);
            if at % 2 == 0 {
                current.push(p);
                out.push(std::mem::take(&mut current));
            } else {
                current = vec![p];
            }
            at += 1;
            left = lengths[at % lengths.len()];
        }
        left -= length - done;
        if at % 2 == 0 {
            current.push((x1, y1));
        }
    }
    if current.len() > 1 {
        out.push(current);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_across_bends() {
        let path = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)];
        let cut = dashes(&path, &[6.0, 2.0]);
        // 20 long: drawn 0-6, 8-14 (round the bend) and 16-20.
        assert_eq!(cut.len(), 3);
        assert_eq!(cut[1], [(8.0, 0.0), (10.0, 0.0), (10.0, 4.0)]);
        assert_eq!(cut[2], [(10.0, 6.0), (10.0, 10.0)]);
        assert_eq!(dashes(&path, &[]), [path.to_vec()]);
        assert!(dashes(&path[..1], &[]).is_empty());
    }
}
