//! Learning curves: one panel with names at the ends of the curves, or small multiples with a legend.

use super::axis::{Scale, clip, extent, roomy_ticks, tick_labels, ticks};
use super::canvas::{Canvas, Point};
use super::font::{fit, text_width, wrapped};
use super::layout::{BANDS, Layout, Panel, SHOWN};
use super::legend::{Legend, SAMPLE};
use super::theme::{GRID, INK, Marker, SOFT_INK, Style};
use crate::metric::CEILING;
use crate::metric::find;
use crate::report::model::curve::{CurvePoint, curve_along, within_seeds};
use crate::report::model::study::{Study, larger_is_better};
use crate::report::model::view::View;
use plotters::style::text_anchor::HPos;

const LEFT: f64 = 24.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 84.0;
/// Between the frame of a panel and its first and last points.
const PAD: f64 = 9.0;
/// Sizes of text.
const TITLE: f64 = 17.0;
const AXIS: f64 = 13.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 11.0;

/// The figure of a metric; nothing if no arm has a value.
pub fn draw(study: &Study, view: &View, layout: &Layout, metric: &str) -> Option<Canvas> {
    let mut curves: Vec<Vec<CurvePoint>> = study.arms.iter().map(|arm| curve_along(view, arm, metric)).collect();
    let within = within_seeds(study, metric);
    for (curve, halves) in curves.iter_mut().zip(within.iter().flatten()) {
        curve.iter_mut().zip(halves).for_each(|(p, h)| p.half_width = *h);
    }
    let all: Vec<usize> = (0..curves.len()).collect();
    let span =
        |arms: &[usize]| extent(arms.iter().flat_map(|&i| &curves[i]).filter(|p| p.mean.is_finite()).map(|p| p.x));
    // Panels of different screens have scales of their own.
    let scopes: Vec<&[usize]> = match layout.screens {
        true => layout.panels.iter().map(|p| if span(&p.arms).is_some() { &p.arms[..] } else { &all[..] }).collect(),
        false => vec![&all[..]; layout.panels.len()],
    };
    let spans: Vec<(f64, f64)> = scopes.iter().map(|arms| span(arms)).collect::<Option<_>>()?;
    let one_round = spans.iter().all(|(first, last)| last - first < 1e-9);
    let frames: Vec<Frame> = scopes
        .iter()
        .zip(&spans)
        .map(|(arms, &(first, last))| {
            let x = if last - first < 1e-9 { (first - 1.0, first + 1.0) } else { (first, last) };
            let (y, cut) = y_range(&curves, layout, arms, one_round)?;
            Some(Frame { x, y, cut })
        })
        .collect::<Option<_>>()?;
    let cut = frames.iter().any(|f| f.cut);

    // Sizes.
    let texts = layout.texts.as_ref();
    let shown = |i: &usize| curves[*i].iter().any(|p| p.mean.is_finite());
    let widths = (0..study.arms.len()).filter(shown).map(|i| text_width(&layout.names[i], TEXT, false));
    let narrow = view.narrow && layout.panels.len() == 1;
    let name_width = widths.fold(60.0, f64::max).min(if narrow { 130.0 } else { 240.0 });
    let columns = match layout.panels.len() {
        1 => 1,
        2 | 4 => 2,
        3 | 5 | 6 | 9 => 3,
        7 | 8 | 11 | 12 | 16 => 4,
        _ => 5,
    };
    let rows = layout.panels.len().div_ceil(columns);
    let y_ticks: Vec<Vec<f64>> = frames.iter().map(|f| ticks(f.y, if rows > 1 { 4 } else { 6 }, false)).collect();
    let y_labels: Vec<Vec<String>> = y_ticks.iter().map(|t| tick_labels(t)).collect();
    let label_width = y_labels.iter().flatten().map(|l| text_width(l, SMALL, false)).fold(0.0, f64::max);
    let left = LEFT + 31.0 + label_width;
    let right = SAMPLE + name_width + 14.0;
    let (gap_x, gap_y) = if layout.screens { (30.0 + label_width, 52.0) } else { (18.0, 34.0) };
    let least = match (narrow, columns) {
        (true, _) => 230.0,
        (false, 1) => 500.0,
        _ => (172.0 + gap_x) * columns as f64,
    };
    let width = (left + least + right).max(if narrow { 0.0 } else { 900.0 }).round();
    let definition = find(metric).and_then(|m| m.definition.split(';').next()).unwrap_or_default();
    let definition = texts.map_or(definition, |t| &t.subtitle);
    let subtitle = wrapped(definition, &[' '], TEXT, width - 2.0 * LEFT, if narrow { 4 } else { 2 });
    let top = TOP + if layout.facets { 12.0 } else { 0.0 } + (subtitle.len() as f64 - 1.0) * 1.35 * TEXT;
    let note =
        texts.map_or_else(|| caption(study, layout, &curves, within.is_some(), one_round, cut), |t| t.note.clone());
    let notes = wrapped(&note, &[' '], SMALL, width - 2.0 * LEFT, if narrow { 4 } else { 1 });
    let bottom = BOTTOM + (notes.len() as f64 - 1.0) * 1.35 * SMALL;
    let height = (top + bottom + rows as f64 * 180.0).max(if narrow { 400.0 } else { 560.0 });
    let panel_width = (width - left - right - gap_x * (columns - 1) as f64) / columns as f64;
    let panel_height = (height - top - bottom - gap_y * (rows - 1) as f64) / rows as f64;

    let mut c = Canvas::new(width, height);
    let name = fit(&study.name, TITLE, true, width - 2.0 * LEFT);
    c.text(&name, (LEFT, 33.0), TITLE, HPos::Left, INK, true);
    for (k, text) in subtitle.iter().enumerate() {
        c.text(text, (LEFT, 54.0 + k as f64 * 1.35 * TEXT), TEXT, HPos::Left, SOFT_INK, false);
    }

    let mut legend = Legend::default();
    for (at, panel) in layout.panels.iter().enumerate() {
        let (row, column) = (at / columns, at % columns);
        let x0 = left + column as f64 * (panel_width + gap_x);
        let y0 = top + row as f64 * (panel_height + gap_y);
        let (x1, y1) = (x0 + panel_width, y0 + panel_height);
        let x = Scale { values: frames[at].x, pixels: (x0 + PAD, x1 - PAD) };
        let y = Scale { values: frames[at].y, pixels: (y1, y0) };

        for (value, text) in y_ticks[at].iter().zip(&y_labels[at]) {
            let p = y.at(*value);
            c.line(&[(x0, p), (x1, p)], GRID, 1.0, &[]);
            if column == 0 || layout.screens {
                c.line(&[(x0 - 4.0, p), (x0, p)], INK, 1.0, &[]);
                c.text(text, (x0 - 7.0, p + 0.36 * SMALL), SMALL, HPos::Right, INK, false);
            }
        }
        c.line(&[(x0, y0), (x0, y1), (x1, y1)], INK, 1.0, &[]);
        let x_ticks = if one_round { vec![spans[at].0] } else { roomy_ticks(frames[at].x, panel_width, SMALL) };
        for (value, text) in x_ticks.iter().zip(tick_labels(&x_ticks)) {
            let p = x.at(*value);
            c.line(&[(p, y1), (p, y1 + 4.0)], INK, 1.0, &[]);
            // Only where no panel of the same scale is below.
            if layout.screens || at + columns >= layout.panels.len() {
                c.text(&text, (p, y1 + 17.0), SMALL, HPos::Center, INK, false);
            }
        }
        c.text(&fit(&panel.title, TEXT, true, panel_width), (x0, y0 - 8.0), TEXT, HPos::Left, INK, true);

        noise_ceiling(&mut c, study, view, metric, panel, (x, y));

        // Faint curves lie lowest, then references of other panels, then the panel's own.
        let faint = panel.arms.iter().filter(|&&i| layout.styles[i].is_faint());
        let own = panel.arms.iter().filter(|&&i| !layout.styles[i].is_faint());
        let drawn: Vec<usize> = faint.chain(&panel.guests).chain(own).copied().filter(shown).collect();
        // The points of a single round would hide each other; they stand side by side.
        let step = if one_round { (0.8 * panel_width / drawn.len() as f64).min(40.0) } else { 0.0 };
        let aside = |slot: usize| (slot as f64 - (drawn.len() as f64 - 1.0) / 2.0) * step;
        for (slot, &i) in drawn.iter().enumerate() {
            let x = Scale { pixels: (x.pixels.0 + aside(slot), x.pixels.1 + aside(slot)), ..x };
            if !panel.guests.contains(&i) {
                intervals(&mut c, &curves[i], &layout.styles[i], x, y);
            }
        }
        for (slot, &i) in drawn.iter().enumerate() {
            let x = Scale { pixels: (x.pixels.0 + aside(slot), x.pixels.1 + aside(slot)), ..x };
            let end = curve(&mut c, &curves[i], &layout.styles[i], x, y);
            if !panel.guests.contains(&i) {
                legend.add(&layout.names[i], layout.styles[i], (end.0, end.1 - y0));
            }
        }
    }
    let leaders = (!layout.facets && !one_round).then_some(width - right - PAD);
    legend.draw(&mut c, (width - right, top), height - top - bottom, name_width, leaders);

    let middle = ((left + width - right) / 2.0, (top + height - bottom) / 2.0);
    let x_title = texts.map_or(view.along.title(), |t| &t.x);
    c.text(x_title, (middle.0, height - bottom + 40.0), AXIS, HPos::Center, INK, false);
    let better = if larger_is_better(metric) { "larger" } else { "smaller" };
    let title = texts.map_or(format!("{metric} ({better} is better)"), |t| format!("{} ({better} is better)", t.y));
    let title = fit(&title, AXIS, false, height - top - 14.0);
    c.text_upwards(&title, (LEFT + 11.0, middle.1), AXIS, INK);
    for (k, text) in notes.iter().rev().enumerate() {
        c.text(text, (LEFT, height - 14.0 - k as f64 * 1.35 * SMALL), SMALL, HPos::Left, SOFT_INK, false);
    }
    Some(c)
}

/// What noise allows, where it is the same for all arms of the panel and in sight.
fn noise_ceiling(c: &mut Canvas, study: &Study, view: &View, metric: &str, panel: &Panel, (x, y): (Scale, Scale)) {
    let (x0, (y1, y0)) = (x.pixels.0 - PAD, y.pixels);
    let ceiling = format!("{CEILING} {metric}");
    let of = |i: usize| -> Vec<(f64, f64)> {
        curve_along(view, &study.arms[i], &ceiling).into_iter().map(|p| (p.x, p.mean)).collect()
    };
    let Some(line) = panel.arms.first().map(|&i| of(i)).filter(|l| l.iter().any(|p| p.1.is_finite())) else { return };
    let same = panel.arms.iter().all(|&i| of(i) == line);
    let points: Vec<Point> = line.iter().filter(|p| p.1.is_finite()).map(|p| (x.at(p.0), y.at(p.1))).collect();
    let inside: Vec<Point> = points.into_iter().filter(|p| p.1 >= y0 && p.1 <= y1).collect();
    if !same || inside.len() < 2 {
        return;
    }
    c.line(&inside, SOFT_INK, 1.2, &[1.5, 3.0]);
    // On the far side of where curves come from, at the end, where the panel is emptiest.
    let end = inside[inside.len() - 1];
    let height = if larger_is_better(metric) { end.1 - 5.0 } else { end.1 + SMALL + 3.0 };
    let height = height.clamp(y0 + SMALL + 2.0, y1 - 4.0);
    let word = if metric == "hit_ratio" { "another replicate" } else { "noise ceiling" };
    // Beside the line where it leaves the panel too early for the word.
    let (at, side) = match end.0 - text_width(word, SMALL, false) < x0 {
        true => (end.0.max(x0) + 8.0, HPos::Left),
        false => (end.0, HPos::Right),
    };
    c.text(word, (at, height), SMALL, side, SOFT_INK, false);
}

/// The values that a panel shows.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    /// Whether an interval reaches beyond.
    cut: bool,
}

/// The values shown: all means and, unless they would dwarf them, all intervals. Tells whether any is cut.
fn y_range(curves: &[Vec<CurvePoint>], layout: &Layout, arms: &[usize], one_round: bool) -> Option<((f64, f64), bool)> {
    let (lo, hi) = extent(arms.iter().flat_map(|&i| &curves[i]).map(|p| p.mean).filter(|m| m.is_finite()))?;
    let banded = arms.iter().filter(|&&i| layout.styles[i].band > 0.0).flat_map(|&i| &curves[i]);
    let banded: Vec<&CurvePoint> = banded.filter(|p| p.half_width.is_finite()).collect();
    let mut halves: Vec<f64> = banded.iter().map(|p| p.half_width).collect();
    halves.sort_by(f64::total_cmp);
    let most = if one_round {
        f64::INFINITY
    } else {
        (0.6 * (hi - lo)).max(2.0 * halves.get(halves.len() / 2).copied().unwrap_or(0.0))
    };
    let (low, high) =
        extent(banded.iter().flat_map(|p| [p.mean - p.half_width, p.mean + p.half_width])).unwrap_or((lo, hi));
    let (low, high) = (low.min(lo), high.max(hi));
    let (bottom, top) = (low.max(lo - most), high.min(hi + most));
    let span = top - bottom;
    let size = top.abs().max(bottom.abs());
    let pad = if span > 1e-9 * size {
        0.04 * span
    } else if size > 0.0 {
        0.1 * size
    } else {
        0.5
    };
    Some(((bottom - pad, top + pad), low < bottom || high > top))
}

/// Stretches of a curve without gaps.
fn stretches(curve: &[CurvePoint], there: fn(&CurvePoint) -> bool) -> Vec<&[CurvePoint]> {
    curve.split(|p| !there(p)).filter(|s| !s.is_empty()).collect()
}

/// Bands, and bars at points without neighbours.
fn intervals(c: &mut Canvas, curve: &[CurvePoint], style: &Style, x: Scale, y: Scale) {
    let (bottom, top) = y.pixels;
    for part in stretches(curve, |p| p.mean.is_finite() && p.half_width.is_finite()) {
        let edge = |sign: f64| part.iter().map(move |p| (x.at(p.x), y.at(p.mean + sign * p.half_width)));
        if let [_] = part {
            let (high, low) = (edge(1.0).next(), edge(-1.0).next());
            if let (true, Some((x, high)), Some((_, low))) = (style.band > 0.0, high, low) {
                let (high, low) = (high.max(top), low.min(bottom));
                c.line(&[(x, high), (x, low)], style.colour, 1.2, &[]);
                for y in [high, low] {
                    c.line(&[(x - 3.5, y), (x + 3.5, y)], style.colour, 1.2, &[]);
                }
            }
        } else {
            let outline = edge(1.0).chain(edge(-1.0).rev()).collect();
            c.area(clip(outline, top, bottom), style.colour, style.band);
        }
    }
}

/// Lines and markers; gives the end of the curve.
fn curve(c: &mut Canvas, curve: &[CurvePoint], style: &Style, x: Scale, y: Scale) -> Point {
    let parts: Vec<Vec<Point>> = stretches(curve, |p| p.mean.is_finite())
        .iter()
        .map(|part| part.iter().map(|p| (x.at(p.x), y.at(p.mean))).collect())
        .collect();
    let n = parts.iter().map(Vec::len).sum::<usize>();
    // Markers keep their distance, counted from the last one.
    let every = (13.0 * n as f64 / (x.pixels.1 - x.pixels.0)).ceil().max(1.0) as usize;
    for part in &parts {
        c.line(part, style.colour, style.width, style.dash);
    }
    for p in parts.concat().iter().rev().step_by(every) {
        c.marker(*p, style);
    }
    // A point without neighbours has no line to show it.
    let dot = Style { marker: if style.is_faint() { Marker::Disc } else { style.marker }, ..*style };
    for part in parts.iter().filter(|p| p.len() == 1) {
        c.marker(part[0], &dot);
    }
    parts.concat().last().copied().unwrap_or_default()
}

/// What is shown, over how many seeds.
fn caption(
    study: &Study,
    layout: &Layout,
    curves: &[Vec<CurvePoint>],
    within: bool,
    one_round: bool,
    cut: bool,
) -> String {
    let seeds = |c: &Vec<CurvePoint>| c.iter().map(|p| p.n).max().filter(|n| *n > 0);
    let n: Vec<usize> = curves.iter().filter_map(seeds).collect();
    let (least, most) = (n.iter().min().copied().unwrap_or(0), n.iter().max().copied().unwrap_or(0));
    let mut text = match (least, most) {
        (1, 1) => "n = 1 seed, so there is no interval.".to_string(),
        (a, b) => {
            let n = if a == b { a.to_string() } else { format!("{a} to {b}") };
            let sign = if one_round { "bars" } else { "bands" };
            format!(
                "Mean over n = {n} seeds; {sign}: 95 % t interval {}{}.",
                if within { "within seeds (what arms share of a seed taken out)" } else { "of the mean" },
                if cut { ", cut at the frame" } else { "" }
            )
        }
    };
    if layout.few_bands {
        text += &format!(" Bands only of the {BANDS} best by AULC of {} and of references.", study.metrics[0]);
    }
    if layout.panels.iter().any(|p| !p.guests.is_empty()) {
        text += " Dark grey: the reference of the panel's arms.";
    }
    if layout.styles.iter().any(Style::is_faint) {
        let by = if layout.screens { "mean place over panels by AULC" } else { "AULC" };
        text += &format!(" Coloured: the {SHOWN} best by {by} of {}.", study.metrics[0]);
    }
    if layout.screens {
        text += " Each panel has its own scale.";
    }
    let missing = curves.iter().filter(|c| seeds(c).is_none()).count();
    if missing > 0 {
        text += &format!(" Without values: {missing} of {} arms.", curves.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::draw::font::register_fonts;
    use crate::report::model::fixtures::tiny;

    #[test]
    fn svg_escapes_labels() {
        register_fonts().unwrap();
        let mut study = tiny([&[(1, 4.0)], &[(1, 2.0)], &[(1, 3.0)]]);
        study.arms[1].label = "a<b> & \"c\"\u{1}".into();
        let layout = Layout::new(&study, &[0, 1, 2]);
        let svg = draw(&study, &View::default(), &layout, "mse").unwrap().svg().unwrap();
        assert!(svg.contains("a&lt;b&gt; &amp; &quot;c&quot; "), "{svg}");
        assert!(!svg.contains('\u{1}'));
    }
}
