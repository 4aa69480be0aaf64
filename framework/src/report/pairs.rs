//! Figures of a study of interactions: the map of scores, the volcano, scores against similarity, the samples.

use super::axis::{Scale, extent, tick_labels, ticks};
use super::canvas::{Canvas, fit, text_width};
use super::heat::shade;
use super::theme::{self, GRID, INK, Marker, REFERENCE, SOFT_INK, Style, style};
use super::write_figure;
use crate::domain::Samples;
use crate::error::{Error, Result};
use crate::interactions::{Calls, Row, TestTable};
use crate::plugin::Relation;
use numerics::stats::calls::ErrorControl;
use numerics::stats::{quantile, spearman};
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const LEFT: f64 = 24.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 11.0;
const WHITE: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
const EMPTY: RGBColor = RGBColor(0xEE, 0xEE, 0xEE);
/// Most genes that a map can name; with more, those of the strongest pairs are shown.
const NAMED: usize = 60;
/// Up to so many genes a cell has room for its number.
const NUMBERED: usize = 14;
/// Points that are named in a scatter.
const LABELLED: usize = 10;

impl TestTable {
    /// Writes the figures of one test, `NAME_map`, `NAME_volcano` (where there are p values) and `NAME_similarity`
    /// (where the test gives the cosine of the single effects), and gives their paths.
    pub fn write_figures(&self, study: &str, calls: &Calls, dir: &Path) -> Result<Vec<PathBuf>> {
        theme::register_fonts()?;
        std::fs::create_dir_all(dir).map_err(Error::io(dir, "making the folder of results"))?;
        let mut paths = vec![];
        let figures =
            [("map", self.map(study)), ("volcano", self.volcano(study, calls)), ("similarity", self.similarity(study))];
        for (kind, canvas) in figures {
            if let Some(name) = write_figure(canvas, &format!("{}_{kind}", self.name), dir)? {
                paths.extend([dir.join(format!("{name}.svg")), dir.join(format!("{name}.png"))]);
            }
        }
        Ok(paths)
    }

    fn head(&self, c: &mut Canvas, width: f64, study: &str, subtitle: &str) {
        let line = |text: &str, em: f64, bold: bool| fit(text, em, bold, width - 2.0 * LEFT);
        let title = format!("{study}: {}", self.name);
        c.text(&line(&title, 17.0, true), (LEFT, 33.0), 17.0, HPos::Left, INK, true);
        c.text(&line(subtitle, TEXT, false), (LEFT, 54.0), TEXT, HPos::Left, SOFT_INK, false);
    }

    /// Genes against genes, shaded by the score (mean over seeds).
    fn map(&self, study: &str) -> Option<Canvas> {
        let pairs = self.by_pair();
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
        let all = pairs.iter().flat_map(|p| &p.1).collect::<std::collections::HashSet<_>>().len();
        genes.sort_unstable();
        let place: HashMap<&str, usize> = genes.iter().enumerate().map(|(i, g)| (*g, i)).collect();
        let shown: Vec<(usize, usize, f64, f64)> = pairs
            .iter()
            .filter_map(|(_, g, m, sd, _)| {
                let (a, b) = (*place.get(g[0].as_str())?, *place.get(g[1].as_str())?);
                Some((a.min(b), a.max(b), *m, *sd))
            })
            .collect();
        let called: std::collections::HashSet<&str> =
            self.rows.iter().filter(|r| r.called).map(|r| r.pair.as_str()).collect();
        let planted: std::collections::HashSet<&str> =
            self.rows.iter().filter(|r| r.relation == Some(Relation::Interacting)).map(|r| r.pair.as_str()).collect();
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
        self.head(&mut c, width, study, &format!("score ({} null); {over}{some}{marks}", self.null.word()));
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
                c.text_upwards(
                    &text,
                    (x0 + middle + 0.36 * em, y1 + 8.0 + 0.5 * text_width(&text, em, false)),
                    em,
                    INK,
                );
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

    /// p value against score.
    fn volcano(&self, study: &str, calls: &Calls) -> Option<Canvas> {
        let rows: Vec<&Row> = self.rows.iter().filter(|r| !r.p().is_nan()).collect();
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
            self.null.word()
        );
        let least = rows.iter().filter(|r| r.called).map(|r| r.p()).reduce(f64::max);
        self.scatter(study, &subtitle, &rows, &points, "score", "-log10 p", least.map(|p| -p.log10()))
    }

    /// Score against the squared cosine of the single effects (Jain et al. 2024, figure 4).
    fn similarity(&self, study: &str) -> Option<Canvas> {
        let rows: Vec<&Row> = self.rows.iter().filter(|r| !r.diagnostic("cosine").is_nan()).collect();
        if rows.len() < 3 || self.name.is_empty() {
            return None;
        }
        let points: Vec<(f64, f64)> = rows.iter().map(|r| (r.diagnostic("cosine"), r.score())).collect();
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let subtitle = format!(
            "{} pairs; rank correlation {:.2}: a score that follows similarity tells little that single effects do not",
            rows.len(),
            spearman(&x, &y)
        );
        self.scatter(study, &subtitle, &rows, &points, "squared cosine of the single effects", "score", None)
    }

    #[allow(clippy::too_many_arguments)]
    fn scatter(
        &self,
        study: &str,
        subtitle: &str,
        rows: &[&Row],
        points: &[(f64, f64)],
        x_name: &str,
        y_name: &str,
        level: Option<f64>,
    ) -> Option<Canvas> {
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
        self.head(&mut c, width, study, subtitle);
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
        let called =
            Style { colour: RGBColor(0x00, 0x72, 0xB2), marker: Marker::Disc, radius: radius + 0.6, ..style(0) };
        let real =
            Style { colour: RGBColor(0xD5, 0x5E, 0x00), marker: Marker::Diamond, radius: radius + 0.8, ..style(0) };
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
}

/// Draws the first pictures of every class (control, singles, pairs) side by side as `samples.png`; nothing where
/// samples are no square pictures.
pub fn write_contact_sheet(samples: &Samples, study: &str, dir: &Path) -> Result<Option<PathBuf>> {
    const EACH: usize = 8;
    const MOST: usize = 24;
    const SIZE: f64 = 80.0;
    let Some([channels, side, columns]) = samples.image.filter(|i| i[1] == i[2] && (i[0] == 3 || i[0] == 1)) else {
        return Ok(None);
    };
    theme::register_fonts()?;
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "making the folder of results"))?;
    let n = samples.n_classes().min(MOST);
    let width = LEFT + 90.0 + EACH as f64 * (SIZE + 4.0) + LEFT;
    let mut c = Canvas::new(width, 76.0 + n as f64 * (SIZE + 4.0) + 12.0);
    c.text(&fit(study, 17.0, true, width - 2.0 * LEFT), (LEFT, 33.0), 17.0, HPos::Left, INK, true);
    let subtitle = format!("The first {EACH} samples of each class, {side} x {columns} pixels");
    c.text(&subtitle, (LEFT, 54.0), TEXT, HPos::Left, SOFT_INK, false);
    for class in 0..n {
        let y = 70.0 + class as f64 * (SIZE + 4.0);
        c.text(
            &fit(&samples.name(class), TEXT, false, 84.0),
            (LEFT + 80.0, y + SIZE / 2.0),
            TEXT,
            HPos::Right,
            INK,
            false,
        );
        let at: Vec<usize> = (0..samples.class(class).len().min(EACH)).collect();
        let x = samples.class(class).rows(&at)?;
        // Pictures with values from 0 to 1 are shown as they are, others from their 1st to their 99th percentile.
        let values: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        let plain = values.iter().all(|v| (0.0..=1.0).contains(v));
        let (lo, hi) = if plain { (0.0, 1.0) } else { (quantile(&values, 0.01), quantile(&values, 0.99)) };
        for (k, picture) in x.outer_iter().enumerate() {
            let mut rgb = Vec::with_capacity(3 * side * side);
            for p in 0..side * side {
                for colour in 0..3 {
                    let v = f64::from(picture[(colour % channels) * side * side + p]);
                    rgb.push((255.0 * ((v - lo) / (hi - lo).max(1e-12)).clamp(0.0, 1.0)).round() as u8);
                }
            }
            c.image((LEFT + 90.0 + k as f64 * (SIZE + 4.0), y), SIZE, side, rgb);
        }
    }
    let path = dir.join("samples.png");
    super::put(&path, |part| c.write_png(part))?;
    Ok(Some(path))
}
