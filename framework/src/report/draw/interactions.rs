//! Figures of a test of interaction: the map of scores, the volcano, scores against similarity.

use super::axis::{Scale, extent, tick_labels, ticks};
use super::canvas::Canvas;
use super::figure::{files_of, write_figure};
use super::font::{register_fonts, text_width};
use super::pair_map;
use super::theme::{GRID, INK, Marker, REFERENCE, Style, style};
use crate::error::{Error, Result};
use crate::interactions::{Calls, Row, TestTable};
use crate::plugin::Relation;
use numerics::stats::calls::ErrorControl;
use numerics::stats::spearman;
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;
use std::path::{Path, PathBuf};

const LEFT: f64 = 24.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 11.0;
const WHITE: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// Points that are named in a scatter.
const LABELLED: usize = 10;

/// Writes the figures of one test, `NAME_map`, `NAME_volcano` (where there are p values) and `NAME_similarity` (where the
/// test gives the cosine of the single effects), and gives their paths.
pub fn write_test(test: &TestTable, study: &str, calls: &Calls, dir: &Path) -> Result<Vec<PathBuf>> {
    register_fonts()?;
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "making the folder of results"))?;
    let mut paths = vec![];
    let figures = [
        ("map", pair_map::draw(test, study)),
        ("volcano", volcano(test, study, calls)),
        ("similarity", similarity(test, study)),
    ];
    for (kind, canvas) in figures {
        if let Some(name) = write_figure(canvas, &format!("{}_{kind}", test.name), dir)? {
            paths.extend(files_of(dir, &name));
        }
    }
    Ok(paths)
}

/// p value against score.
fn volcano(test: &TestTable, study: &str, calls: &Calls) -> Option<Canvas> {
    let rows: Vec<&Row> = test.rows.iter().filter(|r| !r.p().is_nan()).collect();
    if rows.len() < 3 {
        return None;
    }
    let points: Vec<(f64, f64)> = rows.iter().map(|r| (r.score(), -r.p().log10())).collect();
    let how = match calls.control {
        ErrorControl::Bh => "Benjamini-Hochberg",
        ErrorControl::By => "Benjamini-Yekutieli",
        ErrorControl::Online => "LORD++",
    };
    let n = rows.iter().filter(|r| r.called).count();
    let subtitle = format!(
        "{} pairs, {n} called at a false discovery rate of {} % ({how}); null: {}",
        rows.len(),
        100.0 * calls.rate,
        test.null.word()
    );
    let least = rows.iter().filter(|r| r.called).map(|r| r.p()).reduce(f64::max);
    let level = least.map(|p| -p.log10());
    let title = format!("{study}: {}", test.name);
    scatter(&title, &subtitle, &Scatter { rows, points, x_name: "score", y_name: "-log10 p", level })
}

/// Score against the squared cosine of the single effects (Jain et al. 2024, figure 4).
fn similarity(test: &TestTable, study: &str) -> Option<Canvas> {
    let rows: Vec<&Row> = test.rows.iter().filter(|r| !r.diagnostic("cosine").is_nan()).collect();
    if rows.len() < 3 || test.name.is_empty() {
        return None;
    }
    let points: Vec<(f64, f64)> = rows.iter().map(|r| (r.diagnostic("cosine"), r.score())).collect();
    let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let subtitle = format!(
        "{} pairs; rank correlation {:.2}: a score that follows similarity tells little that single effects do not",
        rows.len(),
        spearman(&x, &y)
    );
    let x_name = "squared cosine of the single effects";
    let title = format!("{study}: {}", test.name);
    scatter(&title, &subtitle, &Scatter { rows, points, x_name, y_name: "score", level: None })
}

/// Pairs as points in a plane.
struct Scatter<'a> {
    rows: Vec<&'a Row>,
    /// By row.
    points: Vec<(f64, f64)>,
    x_name: &'a str,
    y_name: &'a str,
    /// Height of a dashed line.
    level: Option<f64>,
}

fn scatter(title: &str, subtitle: &str, of: &Scatter) -> Option<Canvas> {
    let Scatter { rows, points, x_name, y_name, level } = of;
    let (width, height) = (860.0, 560.0);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (lo, hi) = extent(values)?;
        let pad = 0.04 * (hi - lo).max(1e-9 * hi.abs().max(1e-9));
        Some((lo - pad, hi + pad))
    };
    let (xs, ys) = (range(&mut points.iter().map(|p| p.0))?, range(&mut points.iter().map(|p| p.1))?);
    let known = rows.iter().any(|r| r.relation.is_some());
    let (x0, y0, x1, y1) = (76.0, 104.0, width - 30.0, height - 64.0);
    let (x, y) = (Scale { values: xs, pixels: (x0, x1) }, Scale { values: ys, pixels: (y1, y0) });
    let mut c = Canvas::new(width, height);
    c.heading(title, subtitle);
    let (xt, yt) = (ticks(xs, 7, false), ticks(ys, 6, false));
    for (v, text) in yt.iter().zip(tick_labels(&yt)) {
        c.line(&[(x0, y.at(*v)), (x1, y.at(*v))], GRID, 1.0, &[]);
        c.text(&text, (x0 - 7.0, y.at(*v) + 0.36 * SMALL), SMALL, HPos::Right, INK, false);
    }
    for (v, text) in xt.iter().zip(tick_labels(&xt)) {
        c.line(&[(x.at(*v), y0), (x.at(*v), y1)], GRID, 1.0, &[]);
        c.text(&text, (x.at(*v), y1 + 17.0), SMALL, HPos::Center, INK, false);
    }
    c.line(&[(x0, y0), (x0, y1), (x1, y1)], INK, 1.0, &[]);
    if let Some(level) = level.filter(|l| *l > ys.0 && *l < ys.1) {
        c.line(&[(x0, y.at(level)), (x1, y.at(level))], REFERENCE, 1.0, &[4.0, 3.0]);
    }
    let radius = (400.0 / rows.len() as f64).sqrt().clamp(1.8, 4.0);
    let plain = Style { colour: RGBColor(0x9A, 0x9A, 0x9A), marker: Marker::Disc, radius, ..style(0) };
    let called = Style { colour: RGBColor(0x00, 0x72, 0xB2), marker: Marker::Disc, radius: radius + 0.6, ..style(0) };
    let real = Style { colour: RGBColor(0xD5, 0x5E, 0x00), marker: Marker::Diamond, radius: radius + 0.8, ..style(0) };
    let look = |r: &Row| match (r.relation == Some(Relation::Interacting), r.called) {
        (true, _) => 2,
        (_, true) => 1,
        _ => 0,
    };
    let looks = [plain, called, real];
    for (kind, style) in looks.iter().enumerate() {
        for (_, p) in rows.iter().zip(points).filter(|(r, _)| look(r) == kind) {
            c.marker((x.at(p.0), y.at(p.1)), style);
        }
    }
    let mut legend = x0;
    let words = ["not called", "called", "interacts in truth"];
    for (kind, (style, word)) in looks.iter().zip(words).enumerate() {
        if rows.iter().any(|r| look(r) == kind) && (kind < 2 || known) {
            c.marker((legend + 6.0, 80.0), style);
            c.text(word, (legend + 16.0, 80.0 + 0.36 * TEXT), TEXT, HPos::Left, INK, false);
            legend += 44.0 + text_width(word, TEXT, false);
        }
    }
    // Names of the strongest, where they do not run into each other.
    if rows.chunk_by(|a, b| a.seed == b.seed).count() == 1 {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|&a, &b| rows[b].score().total_cmp(&rows[a].score()).then(a.cmp(&b)));
        let mut taken: Vec<(f64, f64, f64)> = vec![];
        for &i in order.iter().take(LABELLED) {
            let (px, w) = (x.at(points[i].0), text_width(&rows[i].pair, SMALL, false));
            // Above the point, on a light ground, so that neighbours do not run through it.
            let (left, base) = ((px - 0.5 * w).clamp(x0 + 2.0, x1 - w), y.at(points[i].1) - radius - 5.0);
            if taken.iter().any(|t| (t.1 - base).abs() < 13.0 && left < t.0 + t.2 + 6.0 && t.0 < left + w + 6.0) {
                continue;
            }
            taken.push((left, base, w));
            let ground = [(-2.0, 2.5), (w + 2.0, 2.5), (w + 2.0, -10.0), (-2.0, -10.0)];
            c.area(ground.iter().map(|(dx, dy)| (left + dx, base + dy)).collect(), WHITE, 0.85);
            c.text(&rows[i].pair, (left, base), SMALL, HPos::Left, INK, false);
        }
    }
    c.text(x_name, ((x0 + x1) / 2.0, y1 + 42.0), 13.0, HPos::Center, INK, false);
    c.text_upwards(y_name, (LEFT + 4.0, (y0 + y1) / 2.0), 13.0, INK);
    Some(c)
}
