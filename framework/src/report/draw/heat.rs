//! Heat map of a study with two axes: the last value of a metric for every pair of settings.

use super::axis::{extent, tick_labels, ticks};
use super::canvas::Canvas;
use super::font::{fit, text_width, wrapped};
use super::theme::{INK, SOFT_INK};
use crate::metric::find;
use crate::report::model::study::{Study, larger_is_better};
use crate::report::model::summary::{ArmSummary, Summary};
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

/// One hue from light to dark (ColorBrewer's "Blues"): lightness alone tells the order, in print and under every
/// colour blindness.
const SHADES: [RGBColor; 6] = [
    RGBColor(0xF7, 0xFB, 0xFF),
    RGBColor(0xD0, 0xE1, 0xF2),
    RGBColor(0x94, 0xC4, 0xDF),
    RGBColor(0x4A, 0x98, 0xC9),
    RGBColor(0x17, 0x64, 0xAB),
    RGBColor(0x08, 0x30, 0x6B),
];
const WHITE: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
const BLACK: RGBColor = RGBColor(0, 0, 0);
const EMPTY: RGBColor = RGBColor(0xEE, 0xEE, 0xEE);
const TITLE: f64 = 17.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 10.0;
const LEFT: f64 = 24.0;
const CELL: (f64, f64) = (84.0, 38.0);
/// Most cells that can be read.
const MOST: usize = 400;

/// From 0 (light) to 1 (dark).
pub fn shade(t: f64) -> RGBColor {
    let at = t.clamp(0.0, 1.0) * (SHADES.len() - 1) as f64;
    let (i, part) = ((at as usize).min(SHADES.len() - 2), at - (at as usize).min(SHADES.len() - 2) as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (SHADES[i], SHADES[i + 1]);
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Black or white, whichever stands out more from a colour: by at least 4.58 to 1 in contrast (WCAG 2.1), where 4.5 is
/// asked of small text.
fn ink_on(c: RGBColor) -> RGBColor {
    let linear = |v: u8| {
        let v = f64::from(v) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * linear(c.0) + 0.7152 * linear(c.1) + 0.0722 * linear(c.2);
    if luminance > 0.179 { BLACK } else { WHITE }
}

/// What a setting is called: a list of names without its brackets, nothing as "none".
fn called(label: &str) -> String {
    match label.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
        Some("") => "none".into(),
        Some(inside) => inside.to_string(),
        None => label.to_string(),
    }
}

/// Where labels of settings may be broken.
const BREAKS: [char; 5] = ['_', ',', ' ', '(', '+'];

/// The figure; nothing unless exactly two axes with at least two settings each differ, most pairs of them have an
/// arm, and at least two arms have a value.
pub fn draw(study: &Study, summary: &Summary, metric: &str) -> Option<Canvas> {
    let [first, second] = &study.axes[..] else { return None };
    let m = study.metrics.iter().position(|name| name == metric)?;
    let settings = |axis: usize| {
        let mut seen: Vec<&str> = vec![];
        for arm in &study.arms {
            let label = arm.cell.get(axis)?.as_str();
            if !seen.contains(&label) {
                seen.push(label);
            }
        }
        Some(seen)
    };
    let (a, b) = (settings(0)?, settings(1)?);
    if a.len() < 2 || b.len() < 2 || a.len() * b.len() > MOST || 2 * study.arms.len() < a.len() * b.len() {
        return None;
    }
    // The axis with the longer names goes down the side, where there is room for them.
    let longest = |v: &[&str]| v.iter().map(|l| text_width(&called(l), TEXT, false)).fold(0.0, f64::max);
    let turned = longest(&b) > longest(&a);
    let (down, across) = if turned { (&b, &a) } else { (&a, &b) };
    let (down_name, across_name) = if turned { (second, first) } else { (first, second) };
    let cell = |r: &str, c: &str| {
        let want = if turned { (c, r) } else { (r, c) };
        let arm = study
            .arms
            .iter()
            .position(|arm| arm.cell.len() == 2 && (arm.cell[0].as_str(), arm.cell[1].as_str()) == want)?;
        Some(summary.row(arm, m)).filter(|s| s.final_mean.is_finite())
    };
    let found: Vec<&ArmSummary> = down.iter().flat_map(|r| across.iter().filter_map(|c| cell(r, c))).collect();
    let (low, high) = extent(found.iter().map(|s| s.final_mean))?;
    if found.len() < 2 {
        return None;
    }
    let span = if high > low { high - low } else { low.abs().max(1e-12) };
    // To a hundredth of the range: intervals are wider than any further digit.
    let decimals = (1.0 - span.log10().floor()).clamp(0.0, 6.0) as usize;

    let side = longest(down).clamp(60.0, 330.0);
    let heads: Vec<Vec<String>> =
        across.iter().map(|c| wrapped(&called(c), &BREAKS, TEXT, CELL.0 - 8.0, usize::MAX)).collect();
    let lines = heads.iter().map(Vec::len).max().unwrap_or(1);
    let (x0, y0) = (LEFT + side + 12.0, 104.0 + 15.0 * lines as f64);
    let (x1, y1) = (x0 + CELL.0 * across.len() as f64, y0 + CELL.1 * down.len() as f64);
    let bar_ticks = ticks((low, high), 5, false);
    let bar_labels = tick_labels(&bar_ticks);
    let bar_width = bar_labels.iter().map(|l| text_width(l, SMALL, false)).fold(0.0, f64::max);
    let (width, height) = ((x1 + 54.0 + bar_width + LEFT).max(640.0).round(), y1 + 46.0);
    let mut c = Canvas::new(width, height);
    let line = |text: &str, em: f64, bold: bool| fit(text, em, bold, width - 2.0 * LEFT);

    let better = if larger_is_better(metric) { "larger" } else { "smaller" };
    c.text(&line(&study.name, TITLE, true), (LEFT, 33.0), TITLE, HPos::Left, INK, true);
    let head = format!("{metric} after the last round ({better} is better)");
    c.text(&line(&head, TEXT, false), (LEFT, 54.0), TEXT, HPos::Left, INK, false);
    let definition = find(metric).and_then(|m| m.definition.split(';').next()).unwrap_or_default();
    c.text(&line(definition, SMALL, false), (LEFT, 70.0), SMALL, HPos::Left, SOFT_INK, false);
    c.text(across_name, ((x0 + x1) / 2.0, 94.0), TEXT, HPos::Center, INK, true);
    c.text(&fit(down_name, TEXT, true, side), (x0 - 10.0, y0 - 8.0), TEXT, HPos::Right, INK, true);
    for (j, head) in heads.iter().enumerate() {
        let x = x0 + CELL.0 * (j as f64 + 0.5);
        for (l, text) in head.iter().enumerate() {
            let y = y0 - 8.0 - 15.0 * (head.len() - 1 - l) as f64;
            c.text(text, (x, y), TEXT, HPos::Center, INK, false);
        }
    }
    let box_of = |x: f64, y: f64, w: f64, h: f64| vec![(x, y), (x + w, y), (x + w, y + h), (x, y + h)];
    // Darker is better, whichever way the metric runs.
    let place = |v: f64| {
        let t = if high > low { (v - low) / (high - low) } else { 0.5 };
        if larger_is_better(metric) { t } else { 1.0 - t }
    };
    for (i, r) in down.iter().enumerate() {
        let y = y0 + CELL.1 * i as f64;
        let label = fit(&called(r), TEXT, false, side);
        c.text(&label, (x0 - 10.0, y + CELL.1 / 2.0 + 0.36 * TEXT), TEXT, HPos::Right, INK, false);
        for (j, s) in across.iter().enumerate() {
            let x = x0 + CELL.0 * j as f64;
            let middle = x + CELL.0 / 2.0;
            let Some(s) = cell(r, s) else {
                c.area(box_of(x + 1.0, y + 1.0, CELL.0 - 2.0, CELL.1 - 2.0), EMPTY, 1.0);
                continue;
            };
            let t = place(s.final_mean);
            let ink = ink_on(shade(t));
            c.area(box_of(x + 1.0, y + 1.0, CELL.0 - 2.0, CELL.1 - 2.0), shade(t), 1.0);
            let value = format!("{:.decimals$}", s.final_mean);
            if s.final_half_width.is_finite() {
                c.text(&value, (middle, y + 17.0), TEXT, HPos::Center, ink, false);
                let half = format!("± {:.decimals$}", s.final_half_width);
                c.text(&half, (middle, y + 31.0), SMALL, HPos::Center, ink, false);
            } else {
                c.text(&value, (middle, y + CELL.1 / 2.0 + 0.36 * TEXT), TEXT, HPos::Center, ink, false);
            }
        }
    }
    let (bar, tall) = (x1 + 22.0, (y1 - y0).min(260.0));
    const STRIPS: usize = 64;
    for k in 0..STRIPS {
        let v = high - (high - low) * (k as f64 + 0.5) / STRIPS as f64;
        let y = y0 + tall * k as f64 / STRIPS as f64;
        c.area(box_of(bar, y, 14.0, tall / STRIPS as f64 + 0.3), shade(place(v)), 1.0);
    }
    if high > low {
        for (v, label) in bar_ticks.iter().zip(&bar_labels) {
            let y = y0 + tall * (high - v) / (high - low);
            c.line(&[(bar + 14.0, y), (bar + 18.0, y)], INK, 1.0, &[]);
            c.text(label, (bar + 21.0, y + 0.36 * SMALL), SMALL, HPos::Left, INK, false);
        }
    }
    let (least, most) = (found.iter().map(|s| s.n_seeds).min()?, found.iter().map(|s| s.n_seeds).max()?);
    let n = if least == most { most.to_string() } else { format!("{least} to {most}") };
    let note = format!("Mean over n = {n} seeds; ±: half width of the 95 % t interval of the mean. Darker is better.");
    c.text(&line(&note, 11.0, false), (LEFT, height - 14.0), 11.0, HPos::Left, SOFT_INK, false);
    Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_darken_evenly() {
        let light = |c: RGBColor| 0.2126 * f64::from(c.0) + 0.7152 * f64::from(c.1) + 0.0722 * f64::from(c.2);
        let all: Vec<f64> = (0..=20).map(|i| light(shade(i as f64 / 20.0))).collect();
        assert!(all.windows(2).all(|w| w[1] < w[0]), "{all:?}");
        assert_eq!((shade(-1.0), shade(2.0)), (SHADES[0], SHADES[5]));
    }

    #[test]
    fn labels_are_cleaned_and_wrapped() {
        crate::report::draw::font::register_fonts().unwrap();
        assert_eq!((called("[]"), called("[a, b]"), called("ucb")), ("none".into(), "a, b".into(), "ucb".into()));
        assert_eq!(wrapped("fuse_regression", &BREAKS, TEXT, 76.0, usize::MAX), ["fuse_", "regression"]);
        assert_eq!(wrapped("all but x", &BREAKS, TEXT, 76.0, usize::MAX), ["all but x"]);
    }
}
