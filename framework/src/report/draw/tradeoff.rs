//! Model error against hits: whether the strategy that teaches the model most is the one that finds most.

use super::axis::{Scale, extent, spread, tick_labels, ticks};
use super::canvas::{Canvas, Point};
use super::font::{fit, text_width};
use super::theme::{GRID, INK, Marker, REFERENCE, SOFT_INK, Style, style};
use crate::report::model::groups::GroupSummary;
use crate::report::model::study::Study;
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

/// Metrics that count as the model's error and as what was found, best choice first.
const ERRORS: [&str; 5] = ["mse", "rmse", "mae", "smape", "nll"];
const FOUND: [&str; 4] = ["hit_ratio", "hits", "enrichment", "hit_ratio_all"];

const LEFT: f64 = 24.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 11.0;
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 640.0;
/// More groups than this share their colours by the last word of their label, and markers by the rest.
const ONE_EACH: usize = 12;

/// One point with its intervals.
struct Outcome {
    label: String,
    x: (f64, f64, f64),
    y: (f64, f64, f64),
}

/// The figure, where the study has a metric of each side: changes over the reference in per cent, or values.
pub fn draw(study: &Study, by: &[String], rows: &[GroupSummary]) -> Option<Canvas> {
    let first = |of: &[&'static str]| of.iter().copied().find(|m| study.metrics.iter().any(|n| n == m));
    let (error, found) = (first(&ERRORS)?, first(&FOUND)?);
    let of = |metric: &str| rows.iter().filter(|r| r.metric == metric).collect::<Vec<_>>();
    let relative = rows.iter().any(|r| r.last.is_some());
    let place = |r: &GroupSummary| match (relative, r.last) {
        (true, Some(p)) => (100.0 * p.mean, 100.0 * p.lo, 100.0 * p.hi),
        (true, None) => (0.0, f64::NAN, f64::NAN),
        _ => (r.final_mean, r.final_mean - r.final_half_width, r.final_mean + r.final_half_width),
    };
    let outcomes: Vec<Outcome> = of(error)
        .into_iter()
        .zip(of(found))
        .filter(|(e, h)| e.final_mean.is_finite() && h.final_mean.is_finite())
        .map(|(e, h)| Outcome { label: e.label.clone(), x: place(e), y: place(h) })
        .filter(|s| s.x.0.is_finite() && s.y.0.is_finite())
        .collect();
    if outcomes.len() < 3 {
        return None;
    }
    // Intervals far longer than the points lie apart would squeeze all points together; they end at the frame.
    let range = |of: fn(&Outcome) -> (f64, f64, f64)| {
        let (first, last) = extent(outcomes.iter().map(|s| of(s).0))?;
        let most = if last > first { 0.3 * (last - first) } else { f64::INFINITY };
        let ends = outcomes.iter().flat_map(|s| [of(s).0, of(s).1, of(s).2]).filter(|v| v.is_finite());
        let (lo, hi) = extent(ends.map(|v| v.clamp(first - most, last + most)))?;
        let pad = 0.05 * (hi - lo).max(1e-9 * hi.abs().max(1e-9));
        Some((lo - pad, hi + pad))
    };
    let (xs, ys) = (range(|s| s.x)?, range(|s| s.y)?);
    let styles = styles(&outcomes);
    let names = outcomes.iter().map(|s| text_width(&s.label, TEXT, false)).fold(60.0, f64::max).min(330.0);
    let y_ticks = ticks(ys, 7, false);
    let y_labels = tick_labels(&y_ticks);
    let (x0, y0, x1, y1) = (84.0, 76.0, WIDTH - names - 50.0, HEIGHT - 78.0);
    let (x, y) = (Scale { values: xs, pixels: (x0, x1) }, Scale { values: ys, pixels: (y1, y0) });

    let mut c = Canvas::new(WIDTH, HEIGHT);
    let per = if by.is_empty() { "arm".to_string() } else { by.join(" and ") };
    let subtitle =
        format!("Model error against hits after the last round, a point for each {per}; the best corner is top left");
    c.heading(&study.name, &subtitle);
    for (v, text) in y_ticks.iter().zip(&y_labels) {
        c.line(&[(x0, y.at(*v)), (x1, y.at(*v))], GRID, 1.0, &[]);
        c.text(text, (x0 - 7.0, y.at(*v) + 0.36 * SMALL), SMALL, HPos::Right, INK, false);
    }
    let x_ticks = ticks(xs, 7, false);
    for (v, text) in x_ticks.iter().zip(tick_labels(&x_ticks)) {
        c.line(&[(x.at(*v), y0), (x.at(*v), y1)], GRID, 1.0, &[]);
        c.text(&text, (x.at(*v), y1 + 17.0), SMALL, HPos::Center, INK, false);
    }
    if relative {
        // The reference lies where nothing changes.
        let within = |v: f64, r: (f64, f64)| v > r.0 && v < r.1;
        if within(0.0, xs) {
            c.line(&[(x.at(0.0), y0), (x.at(0.0), y1)], REFERENCE, 1.0, &[4.0, 3.0]);
        }
        if within(0.0, ys) {
            c.line(&[(x0, y.at(0.0)), (x1, y.at(0.0))], REFERENCE, 1.0, &[4.0, 3.0]);
        }
    }
    c.line(&[(x0, y0), (x0, y1), (x1, y1)], INK, 1.0, &[]);
    for (s, style) in outcomes.iter().zip(&styles) {
        let (across, up) = ((s.x.1.max(xs.0), s.x.2.min(xs.1)), (s.y.1.max(ys.0), s.y.2.min(ys.1)));
        if s.x.1.is_finite() {
            c.line(&[(x.at(across.0), y.at(s.y.0)), (x.at(across.1), y.at(s.y.0))], style.colour, 1.0, &[]);
        }
        if s.y.1.is_finite() {
            c.line(&[(x.at(s.x.0), y.at(up.0)), (x.at(s.x.0), y.at(up.1))], style.colour, 1.0, &[]);
        }
    }
    for (s, style) in outcomes.iter().zip(&styles) {
        c.marker((x.at(s.x.0), y.at(s.y.0)), style);
    }
    // Names at the right in the order of the points' heights.
    let mut order: Vec<usize> = (0..outcomes.len()).collect();
    order.sort_by(|&a, &b| outcomes[b].y.0.total_cmp(&outcomes[a].y.0).then(a.cmp(&b)));
    let wanted: Vec<f64> = order.iter().map(|&i| y.at(outcomes[i].y.0)).collect();
    let gap = ((y1 - y0) / outcomes.len() as f64).min(17.0);
    for (&i, at) in order.iter().zip(spread(&wanted, gap, (y0, y1))) {
        let from: Point = (x1 + 16.0, at);
        c.marker(from, &styles[i]);
        let em = TEXT.min(gap * 0.8);
        c.text(&fit(&outcomes[i].label, em, false, names), (from.0 + 10.0, at + 0.36 * em), em, HPos::Left, INK, false);
    }
    let percent = |m: &str, better: &str| match relative {
        true => format!("change of {m} over the reference, % ({better} is better)"),
        false => format!("{m} ({better} is better)"),
    };
    c.text(&percent(error, "smaller"), ((x0 + x1) / 2.0, y1 + 40.0), 13.0, HPos::Center, INK, false);
    c.text_upwards(&percent(found, "larger"), (LEFT + 11.0, (y0 + y1) / 2.0), 13.0, INK);
    let mut note =
        "Bars: 95 % t intervals over seeds, of the mean over all cells of the grid that belong to the point."
            .to_string();
    if outcomes.iter().any(|s| s.x.1 < xs.0 || s.x.2 > xs.1 || s.y.1 < ys.0 || s.y.2 > ys.1) {
        note += " Bars that reach the frame are longer.";
    }
    c.text(&fit(&note, SMALL, false, WIDTH - 2.0 * LEFT), (LEFT, HEIGHT - 12.0), SMALL, HPos::Left, SOFT_INK, false);
    Some(c)
}

/// A colour for each; where they are too many, a colour for each first part of the labels and a marker for each rest.
fn styles(outcomes: &[Outcome]) -> Vec<Style> {
    const MARKERS: [Marker; 5] = [Marker::Disc, Marker::Square, Marker::Up, Marker::Diamond, Marker::Down];
    let big = |s: Style| Style { radius: 5.0, ..s };
    if outcomes.len() <= ONE_EACH {
        return (0..outcomes.len()).map(|k| big(style(k))).collect();
    }
    let parts: Vec<(&str, &str)> =
        outcomes.iter().map(|s| s.label.split_once(" / ").unwrap_or((&s.label, ""))).collect();
    let nth = |all: Vec<&str>, one: &str| {
        let mut seen: Vec<&str> = vec![];
        all.into_iter().for_each(|w| {
            if !seen.contains(&w) {
                seen.push(w)
            }
        });
        seen.iter().position(|w| *w == one).unwrap_or(0)
    };
    parts
        .iter()
        .map(|(a, b)| {
            let colour = nth(parts.iter().map(|p| p.0).collect(), a);
            let marker = nth(parts.iter().map(|p| p.1).collect(), b);
            // Beyond the palette colours repeat, darker.
            let base = style(colour).colour;
            let dim = |v: u8| if colour >= 8 { (f64::from(v) * 0.55) as u8 } else { v };
            let colour = RGBColor(dim(base.0), dim(base.1), dim(base.2));
            big(Style { colour, marker: MARKERS[marker % MARKERS.len()], ..style(0) })
        })
        .collect()
}
