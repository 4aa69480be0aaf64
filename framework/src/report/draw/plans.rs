//! Figures of plans: recall against cost, and what cells, replicates and rounds change.

use super::axis::{Scale, extent, tick_labels, ticks};
use super::canvas::{Canvas, Point};
use super::figure::{files_of, write_figure};
use super::font::{fit, register_fonts, text_width};
use super::theme::{GRID, INK, REFERENCE, SOFT_INK, Style, style};
use crate::error::{Error, Result};
use crate::power::{Outlook, frontier, recommended};
use plotters::style::text_anchor::HPos;
use std::path::{Path, PathBuf};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 24.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 11.0;
/// Panels of rounds and batches drawn, and columns of them.
const MOST_PANELS: usize = 12;
const COLUMNS: usize = 3;

/// Writes `cost` and `cells` as SVG and PNG; gives the paths.
pub fn write_plans(name: &str, all: &[Outlook], budget: Option<f64>, dir: &Path) -> Result<Vec<PathBuf>> {
    register_fonts()?;
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "making the report's folder"))?;
    let mut paths = vec![];
    for (stem, canvas) in [("cost", cost(name, all, budget)), ("cells", cells(name, all))] {
        if let Some(written) = write_figure(canvas, stem, dir)? {
            paths.extend(files_of(dir, &written));
        }
    }
    Ok(paths)
}

/// Distinct values in ascending order.
fn levels(all: &[Outlook], of: fn(&Outlook) -> usize) -> Vec<usize> {
    let mut v: Vec<usize> = all.iter().map(of).collect();
    v.sort_unstable();
    v.dedup();
    v
}

struct Frame {
    x: Scale,
    y: Scale,
    log: bool,
}

impl Frame {
    fn at(&self, x: f64, y: f64) -> Point {
        (self.x.at(if self.log { x.ln() } else { x }), self.y.at(y))
    }

    /// Axes with ticks; x ticks on a logarithmic axis are at the values given.
    fn draw(&self, c: &mut Canvas, x_values: &[f64], y_numbers: bool) {
        let ((x0, x1), (y1, y0)) = (self.x.pixels, self.y.pixels);
        let y_ticks = ticks(self.y.values, 5, false);
        for (v, label) in y_ticks.iter().zip(tick_labels(&y_ticks)) {
            c.line(&[(x0, self.y.at(*v)), (x1, self.y.at(*v))], GRID, 1.0, &[]);
            if y_numbers {
                c.text(&label, (x0 - 7.0, self.y.at(*v) + 0.36 * SMALL), SMALL, HPos::Right, INK, false);
            }
        }
        let mut last = f64::NEG_INFINITY;
        for (v, label) in x_values.iter().zip(tick_labels(x_values)) {
            let at = self.at(*v, 0.0).0;
            let half = 0.5 * text_width(&label, SMALL, false);
            if at - half < last + 8.0 {
                continue;
            }
            last = at + half;
            c.line(&[(at, y1), (at, y1 + 4.0)], INK, 1.0, &[]);
            c.text(&label, (at, y1 + 17.0), SMALL, HPos::Center, INK, false);
        }
        c.line(&[(x0, y0), (x0, y1), (x1, y1)], INK, 1.0, &[]);
    }
}

/// A row of markers with their names.
fn legend(c: &mut Canvas, y: f64, title: &str, names: &[(String, Style)]) {
    let mut x = LEFT;
    c.text(title, (x, y + 0.36 * TEXT), TEXT, HPos::Left, SOFT_INK, false);
    x += text_width(title, TEXT, false) + 14.0;
    for (name, look) in names {
        if look.width >= 1.0 {
            c.line(&[(x, y), (x + 22.0, y)], look.colour, look.width, look.dash);
        }
        c.marker((x + 11.0, y), look);
        c.text(name, (x + 28.0, y + 0.36 * TEXT), TEXT, HPos::Left, INK, false);
        x += 28.0 + text_width(name, TEXT, false) + 20.0;
    }
}

/// Every plan as a point, the best for their price joined.
fn cost(name: &str, all: &[Outlook], budget: Option<f64>) -> Option<Canvas> {
    let shown: Vec<&Outlook> = all.iter().filter(|o| o.recall.is_finite() && o.cost > 0.0).collect();
    if shown.len() < 2 {
        return None;
    }
    let (low, high) = extent(shown.iter().map(|o| o.cost))?;
    let (_, top) = extent(shown.iter().map(|o| o.recall))?;
    let log = high > 8.0 * low;
    let place = |v: f64| if log { v.ln() } else { v };
    let (a, b) = (place(low), place(high));
    let pad = (0.04 * (b - a)).max(1e-6);
    let height = 600.0;
    let frame = Frame {
        x: Scale { values: (a - pad, b + pad), pixels: (84.0, WIDTH - 40.0) },
        y: Scale { values: (0.0, (1.08 * top).max(0.05)), pixels: (height - 100.0, 104.0) },
        log,
    };
    let mut c = Canvas::new(WIDTH, height);
    c.heading(name, "Share of all hits that are called, against what a plan costs; a point for each plan");
    let rounds = levels(all, |o| o.plan.rounds);
    let look = |o: &Outlook| {
        let k = rounds.iter().position(|r| *r == o.plan.rounds).unwrap_or(0);
        Style { radius: 4.0, ..style(k) }
    };
    let names: Vec<(String, Style)> = rounds
        .iter()
        .enumerate()
        .map(|(k, r)| {
            (
                if *r == 1 { "1 round".into() } else { format!("{r} rounds") },
                Style { radius: 4.0, dash: &[], width: 0.0, ..style(k) },
            )
        })
        .collect();
    legend(&mut c, 80.0, "rounds", &names);
    let x_ticks = match log {
        true => round_values(low, high),
        false => ticks(frame.x.values, 7, false),
    };
    frame.draw(&mut c, &x_ticks, true);
    let best: Vec<Point> = frontier(all).into_iter().map(|i| frame.at(all[i].cost, all[i].recall)).collect();
    c.line(&best, REFERENCE, 1.4, &[]);
    for o in &shown {
        let (x, y0) = frame.at(o.cost, o.recall - o.recall_half_width);
        let y1 = frame.at(o.cost, o.recall + o.recall_half_width).1;
        c.line(&[(x, y0), (x, y1)], look(o).colour, 1.0, &[]);
        c.marker(frame.at(o.cost, o.recall), &look(o));
    }
    let mut note =
        "The line joins plans that no other beats in both. Bars: 95 % intervals over simulated worlds.".to_string();
    if let Some(budget) = budget {
        let ((_, y1), x) = ((frame.y.pixels.1, frame.y.pixels.0), frame.at(budget.clamp(low, high), 0.0).0);
        if budget >= low && budget <= high {
            c.line(&[(x, frame.y.pixels.1), (x, y1)], REFERENCE, 1.0, &[4.0, 3.0]);
            let (side, align) = if x > 0.6 * WIDTH { (x - 6.0, HPos::Right) } else { (x + 6.0, HPos::Left) };
            c.text("budget", (side, frame.y.pixels.1 + 11.0), SMALL, align, SOFT_INK, false);
        }
        if let Some(i) = recommended(all, budget) {
            let o = &all[i];
            let at = frame.at(o.cost, o.recall);
            let ring: Vec<Point> = (0..=40)
                .map(|k| f64::from(k) * std::f64::consts::TAU / 40.0)
                .map(|t| (at.0 + 9.0 * t.cos(), at.1 + 9.0 * t.sin()))
                .collect();
            c.line(&ring, INK, 1.6, &[]);
            note = format!("Ring: the best that the budget pays for, {}. {note}", o.plan.words());
        }
    }
    c.text("cost (USD)", ((84.0 + WIDTH - 40.0) / 2.0, height - 58.0), 13.0, HPos::Center, INK, false);
    c.text_upwards("recall: share of hits called", (LEFT + 11.0, (104.0 + height - 100.0) / 2.0), 13.0, INK);
    c.text(&fit(&note, SMALL, false, WIDTH - 2.0 * LEFT), (LEFT, height - 16.0), SMALL, HPos::Left, SOFT_INK, false);
    Some(c)
}

/// 1, 2 and 5 times powers of ten in a range.
fn round_values(low: f64, high: f64) -> Vec<f64> {
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let all = (first..=last).flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p)));
    all.filter(|v| *v >= low * 0.999 && *v <= high * 1.001).collect()
}

/// Recall by cells, a line for each number of replicates, a panel for each batch and number of rounds; then the effect
/// that can be detected.
fn cells(name: &str, all: &[Outlook]) -> Option<Canvas> {
    let counts = levels(all, |o| o.plan.cells);
    let replicates = levels(all, |o| o.plan.replicates);
    let mut panels: Vec<(usize, usize)> = all.iter().map(|o| (o.plan.rounds, o.plan.batch)).collect();
    panels.sort_unstable();
    panels.dedup();
    if counts.len() < 2 || replicates.len() > 12 {
        return None;
    }
    let hidden = panels.len().saturating_sub(MOST_PANELS - 1);
    panels.truncate(MOST_PANELS - 1);
    let n = panels.len() + 1;
    let columns = n.min(COLUMNS);
    let (panel_width, panel_height) = ((WIDTH - 70.0) / columns as f64, 250.0);
    let height = 100.0 + n.div_ceil(columns) as f64 * panel_height + 26.0;
    let mut c = Canvas::new(WIDTH, height);
    c.heading(
        name,
        "What cells of each perturbation and replicates change: share of hits called, and the effect that can be detected",
    );
    let look = |k: usize| Style { radius: 3.4, ..style(k) };
    let names: Vec<(String, Style)> = replicates
        .iter()
        .enumerate()
        .map(|(k, r)| (if *r == 1 { "1 replicate".into() } else { format!("{r} replicates") }, look(k)))
        .collect();
    legend(&mut c, 80.0, "lines", &names);
    let (_, top) = extent(all.iter().map(|o| o.recall).filter(|r| r.is_finite()))?;
    let (_, largest) = extent(all.iter().map(|o| o.detectable).filter(|r| r.is_finite()))?;
    let x_values: Vec<f64> = counts.iter().map(|v| *v as f64).collect();
    let (a, b) = (x_values[0].ln(), x_values[x_values.len() - 1].ln());
    let pad = 0.06 * (b - a);
    for k in 0..n {
        let (column, row) = (k % columns, k / columns);
        let x0 = 64.0 + column as f64 * panel_width;
        let y0 = 124.0 + row as f64 * panel_height;
        let effect = k == panels.len();
        let most = if effect { 1.08 * largest } else { (1.08 * top).max(0.05) };
        let frame = Frame {
            x: Scale { values: (a - pad, b + pad), pixels: (x0, x0 + panel_width - 46.0) },
            y: Scale { values: (0.0, most), pixels: (y0 + panel_height - 86.0, y0) },
            log: true,
        };
        let title = match panels.get(k) {
            Some((1, batch)) => format!("recall: 1 round of {batch}"),
            Some((rounds, batch)) => format!("recall: {rounds} rounds of {batch}"),
            None => "effect detected with 80 % power".to_string(),
        };
        c.text(&title, (x0, y0 - 9.0), TEXT, HPos::Left, INK, true);
        frame.draw(&mut c, &x_values, true);
        for (r, count) in replicates.iter().enumerate() {
            let mut of: Vec<&Outlook> = all
                .iter()
                .filter(|o| o.plan.replicates == *count)
                .filter(|o| match panels.get(k) {
                    Some(p) => (o.plan.rounds, o.plan.batch) == *p,
                    None => Some((o.plan.rounds, o.plan.batch)) == panels.last().copied(),
                })
                .filter(|o| if effect { o.detectable.is_finite() } else { o.recall.is_finite() })
                .collect();
            of.sort_by_key(|o| o.plan.cells);
            let value = |o: &Outlook| if effect { o.detectable } else { o.recall };
            let s = look(r);
            if !effect {
                let up = of.iter().map(|o| frame.at(o.plan.cells as f64, o.recall + o.recall_half_width));
                let down = of.iter().rev().map(|o| frame.at(o.plan.cells as f64, o.recall - o.recall_half_width));
                c.area(up.chain(down).collect(), s.colour, s.band);
            }
            let points: Vec<Point> = of.iter().map(|o| frame.at(o.plan.cells as f64, value(o))).collect();
            c.line(&points, s.colour, s.width, s.dash);
            points.iter().for_each(|p| c.marker(*p, &s));
        }
        c.text(
            "cells of a perturbation and replicate",
            (x0 + 0.5 * (panel_width - 46.0), y0 + panel_height - 50.0),
            SMALL,
            HPos::Center,
            SOFT_INK,
            false,
        );
    }
    let mut note =
        "Bands: 95 % intervals over simulated worlds. The detectable effect is that of the last panel's plans."
            .to_string();
    if hidden > 0 {
        note += &format!(" {hidden} more combinations of rounds and batch are in plans.csv.");
    }
    c.text(&fit(&note, SMALL, false, WIDTH - 2.0 * LEFT), (LEFT, height - 12.0), SMALL, HPos::Left, SOFT_INK, false);
    Some(c)
}
