//! Names of curves beside the panels.

use super::axis::spread;
use super::canvas::{Canvas, Point};
use super::font::fit;
use super::theme::{INK, Style};
use plotters::style::text_anchor::HPos;

/// Between the panels and the names: room for leaders and samples of the lines.
pub const SAMPLE: f64 = 58.0;
/// Size of text.
const TEXT: f64 = 12.0;

/// Names of curves, in the order in which the curves end.
#[derive(Default)]
pub struct Legend {
    /// Name, style, and where its curves end below the top of their panel.
    entries: Vec<(String, Style, Vec<Point>)>,
}

impl Legend {
    /// Adds a curve that ends at a point below the top of its panel.
    pub fn add(&mut self, name: &str, style: Style, end: Point) {
        match self.entries.iter_mut().find(|e| e.0 == name) {
            Some(entry) => entry.2.push(end),
            None => self.entries.push((name.to_string(), style, vec![end])),
        }
    }

    /// Draws it right of `x0`. With `leaders`, names stand beside the ends of the curves, and lines lead to
    /// those that reach that x.
    pub fn draw(mut self, c: &mut Canvas, (x0, y0): Point, height: f64, name_width: f64, leaders: Option<f64>) {
        let gap = 18.0;
        let mean_end = |ends: &[Point]| ends.iter().map(|p| p.1).sum::<f64>() / ends.len() as f64;
        self.entries.sort_by(|a, b| mean_end(&a.2).total_cmp(&mean_end(&b.2)));
        let wanted: Vec<f64> = match leaders {
            Some(_) => self.entries.iter().map(|e| mean_end(&e.2)).collect(),
            None => (0..self.entries.len()).map(|i| 6.0 + gap * i as f64).collect(),
        };
        for ((name, style, ends), y) in self.entries.iter().zip(spread(&wanted, gap, (0.0, height))) {
            let y = y0 + y;
            let (from, to) = (x0 + SAMPLE - 31.0, x0 + SAMPLE - 6.0);
            if let ([end], Some(edge)) = (&ends[..], leaders)
                && end.0 > edge - 0.5
            {
                c.line(&[(end.0 + 5.0, y0 + end.1), (from - 3.0, y)], style.colour, 0.8, &[]);
            }
            c.line(&[(from, y), (to, y)], style.colour, style.width, style.dash);
            c.marker(((from + to) / 2.0, y), style);
            let text = fit(name, TEXT, false, name_width + 1.0);
            c.text(&text, (x0 + SAMPLE, y + 0.36 * TEXT), TEXT, HPos::Left, INK, false);
        }
    }
}
