//! The map of a test of interaction: genes against genes, shaded by the score (mean over seeds).

use super::axis::{tick_labels, ticks};
use super::canvas::Canvas;
use super::font::{fit, text_width};
use super::heat::shade;
use super::theme::{INK, Marker, Style, style};
use crate::interactions::TestTable;
use crate::plugin::Relation;
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;
use std::collections::{HashMap, HashSet};

const LEFT: f64 = 24.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 11.0;
const WHITE: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
const EMPTY: RGBColor = RGBColor(0xEE, 0xEE, 0xEE);
/// Most genes that a map can name; with more, those of the strongest pairs are shown.
const NAMED: usize = 60;
/// Up to so many genes a cell has room for its number.
const NUMBERED: usize = 14;

/// The figure; nothing where no pair was tested.
pub fn draw(test: &TestTable, study: &str) -> Option<Canvas> {
    let pairs = test.by_pair();
    if pairs.is_empty() {
        return None;
    }
    let seeds = pairs.iter().map(|p| p.4).max()?;
    let mut strongest: Vec<usize> = (0..pairs.len()).collect();
    strongest.sort_by(|&a, &b| pairs[b].2.total_cmp(&pairs[a].2).then(a.cmp(&b)));
    let mut genes: Vec<&str> = vec![];
    for &p in &strongest {
        for g in &pairs[p].1 {
            if genes.len() < NAMED && !genes.contains(&g.as_str()) {
                genes.push(g);
            }
        }
    }
    let all = pairs.iter().flat_map(|p| &p.1).collect::<HashSet<_>>().len();
    genes.sort_unstable();
    let place: HashMap<&str, usize> = genes.iter().enumerate().map(|(i, g)| (*g, i)).collect();
    let shown: Vec<(usize, usize, f64, f64)> = pairs
        .iter()
        .filter_map(|(_, g, m, sd, _)| {
            let (a, b) = (*place.get(g[0].as_str())?, *place.get(g[1].as_str())?);
            Some((a.min(b), a.max(b), *m, *sd))
        })
        .collect();
    let called: HashSet<&str> = test.rows.iter().filter(|r| r.called).map(|r| r.pair.as_str()).collect();
    let planted: HashSet<&str> =
        test.rows.iter().filter(|r| r.relation == Some(Relation::Interacting)).map(|r| r.pair.as_str()).collect();
    // A score below 0 is no interaction: shades begin at 0.
    let high = shown.iter().map(|s| s.2).fold(f64::MIN_POSITIVE, f64::max);
    let n = genes.len();
    let cell = (700.0 / n as f64).clamp(12.0, 64.0);
    let em = (cell * 0.8).min(TEXT);
    let side = genes.iter().map(|g| text_width(g, em, false)).fold(30.0, f64::max).min(150.0);
    let (x0, y0) = (LEFT + side + 8.0, 78.0);
    let (x1, y1) = (x0 + cell * n as f64, y0 + cell * n as f64);
    let head_room = side * 0.72 + 14.0;
    let (width, height) = ((x1 + 120.0).max(520.0), y1 + head_room + 30.0);
    let mut c = Canvas::new(width.round(), height.round());
    let some = if all > n { format!("the {n} genes of the strongest pairs, of {all}; ") } else { String::new() };
    let over = if seeds > 1 { format!("mean over {seeds} seeds; ") } else { String::new() };
    let marks = match (seeds, planted.is_empty()) {
        (1, true) => "framed: called",
        (1, false) => "framed: called; dot: interacts in truth",
        (_, true) => "larger is further from the null",
        (_, false) => "dot: interacts in truth",
    };
    let subtitle = format!("score ({} null); {over}{some}{marks}", test.null.word());
    c.heading(&format!("{study}: {}", test.name), &subtitle);
    let square = |a: usize, b: usize, inset: f64| {
        let (x, y) = (x0 + cell * a as f64 + inset, y0 + cell * b as f64 + inset);
        let s = cell - 2.0 * inset;
        vec![(x, y), (x + s, y), (x + s, y + s), (x, y + s)]
    };
    for i in 0..n {
        for j in 0..i {
            c.area(square(j, i, 0.5), EMPTY, 1.0);
        }
    }
    let spread = (high / 100.0).log10().floor();
    let decimals = (-spread).clamp(0.0, 6.0) as usize;
    for &(a, b, score, sd) in &shown {
        let t = score / high;
        c.area(square(a, b, 0.5), shade(t), 1.0);
        if n <= NUMBERED {
            let ink = if t > 0.55 { WHITE } else { INK };
            let (x, y) = (x0 + cell * (a as f64 + 0.5), y0 + cell * (b as f64 + 0.5));
            let small = (cell / 5.0).min(SMALL);
            // No "-0.00".
            let score = if score.abs() * 10f64.powi(decimals as i32) < 0.5 { 0.0 } else { score };
            c.text(&format!("{score:.decimals$}"), (x, y + 0.1 * cell), small, HPos::Center, ink, true);
            if seeds > 1 {
                let text = format!("± {sd:.decimals$}");
                c.text(&text, (x, y + 0.1 * cell + 1.25 * small), small * 0.9, HPos::Center, ink, false);
            }
        }
    }
    let disc = Style {
        colour: RGBColor(0xE6, 0x9F, 0x00),
        marker: Marker::Disc,
        radius: (cell / 9.0).clamp(1.5, 4.0),
        ..style(0)
    };
    for (pair, g, ..) in &pairs {
        let (Some(&a), Some(&b)) = (place.get(g[0].as_str()), place.get(g[1].as_str())) else { continue };
        let (a, b) = (a.min(b), a.max(b));
        if called.contains(pair.as_str()) && seeds == 1 {
            let mut frame = square(a, b, 1.2);
            frame.push(frame[0]);
            c.line(&frame, INK, 1.4, &[]);
        }
        if planted.contains(pair.as_str()) {
            let at = (x0 + cell * (a as f64 + 0.85), y0 + cell * (b as f64 + 0.15));
            c.marker(at, &disc);
        }
    }
    for (i, g) in genes.iter().enumerate() {
        let middle = cell * (i as f64 + 0.5);
        let text = fit(g, em, false, side);
        c.text(&text, (x0 - 6.0, y0 + middle + 0.36 * em), em, HPos::Right, INK, false);
        if cell >= 30.0 {
            c.text(&text, (x0 + middle, y1 + 1.3 * em), em, HPos::Center, INK, false);
        } else {
            c.text_upwards(&text, (x0 + middle + 0.36 * em, y1 + 8.0 + 0.5 * text_width(&text, em, false)), em, INK);
        }
    }
    // The scale of shades.
    let (bx, steps) = (x1 + 24.0, 60);
    let tall = (y1 - y0).min(260.0);
    for k in 0..steps {
        let (top, bottom) = (y0 + tall * k as f64 / steps as f64, y0 + tall * (k + 1) as f64 / steps as f64 + 0.3);
        c.area(
            vec![(bx, top), (bx + 16.0, top), (bx + 16.0, bottom), (bx, bottom)],
            shade(1.0 - (k as f64 + 0.5) / steps as f64),
            1.0,
        );
    }
    let marks = ticks((0.0, high), 5, false);
    for (v, text) in marks.iter().zip(tick_labels(&marks)) {
        let y = y0 + tall * (1.0 - v / high);
        c.text(&text, (bx + 22.0, y + 0.36 * SMALL), SMALL, HPos::Left, INK, false);
    }
    Some(c)
}
