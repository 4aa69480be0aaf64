//! Learning curves: one panel with names at the ends of the curves, or small multiples with a legend.

use super::Study;
use super::axis::{Scale, clip, extent, roomy_ticks, spread, tick_labels, ticks};
use super::canvas::{Canvas, Point, fit, text_width, wrapped};
use super::summary::{CurvePoint, larger_is_better};
use super::theme::{FAINT_STYLE, GRID, INK, Marker, SOFT_INK, Style, reference_style, style};
use crate::metrics::find;
use crate::store::CEILING;
use plotters::style::text_anchor::HPos;
use std::collections::HashMap;

/// More panels than this are too small to read.
const MOST_PANELS: usize = 20;
/// More arms than this are spread over panels.
const ONE_PANEL: usize = 12;
/// More styles than this cannot be told apart in panels; then the best `SHOWN` stay coloured.
const MOST_STYLES: usize = 16;
const SHOWN: usize = 8;

/// More bands than this in one panel hide each other; then the best `BANDS` arms and the references keep theirs.
const MOST_BANDS: usize = 8;
const BANDS: usize = 2;
/// Pairs of ours and published that one panel holds.
const PAIRS_IN_ONE: usize = 4;
const PUBLISHED_DASH: &[f64] = &[5.0, 3.0];

/// Which panels there are and how each arm is drawn; the same in the figures of all metrics.
pub(super) struct Looks {
    panels: Vec<Panel>,
    /// By arm.
    styles: Vec<Style>,
    /// By arm, its line in the legend.
    names: Vec<String>,
    /// Whether each panel has a title and one legend serves all.
    facets: bool,
    /// Whether panels are screens, each with scales of its own.
    screens: bool,
    /// Whether only the best arms and the references have bands.
    few_bands: bool,
    /// What is written beside the curves, where it is not what the metric says.
    words: Option<Words>,
}

/// The texts of a figure that compares other things than arms.
pub(super) struct Words {
    pub subtitle: String,
    pub x: String,
    pub y: String,
    pub note: String,
}

struct Panel {
    title: String,
    /// Its arms.
    arms: Vec<usize>,
    /// References of its arms that belong to another panel.
    guests: Vec<usize>,
}

impl Looks {
    pub fn new(study: &Study, ranking: &[usize]) -> Self {
        let n = study.arms.len();
        let references: Vec<usize> = (0..n).filter(|&i| study.arms.iter().any(|a| a.reference == Some(i))).collect();
        let is_reference = |i: usize| references.contains(&i);
        let by_screen = by_screen(study);
        let screens = by_screen.is_some();
        let split = by_screen.or_else(|| if n > ONE_PANEL { split(study) } else { None });
        let facets = split.is_some();
        let whole = || study.arms.iter().map(|a| (String::new(), a.label.clone())).collect();
        let (titles, methods): (Vec<String>, Vec<String>) = split.unwrap_or_else(whole).into_iter().unzip();

        // Arms of one method share a style; methods that are only references need no colour.
        let own = |order: &[usize]| -> Vec<&str> {
            distinct(order.iter().filter(|i| !is_reference(**i)).map(|&i| methods[i].as_str()))
        };
        let within = if screens { by_mean_place(&titles, &methods, ranking) } else { ranking.to_vec() };
        let ranking = &within[..];
        let best = own(ranking);
        let few = best.len() <= if facets { MOST_STYLES } else { ONE_PANEL };
        let best = if few { &best } else { &best[..SHOWN] };
        let mut coloured = distinct(methods.iter().map(String::as_str));
        coloured.retain(|m| best.contains(m));
        let rounds = study.arms.iter().flat_map(|a| &a.runs).map(|r| r.n_measured.len()).max().unwrap_or(0);
        let few_bands = !facets && rounds > 1 && coloured.len() > MOST_BANDS;
        let banded = own(ranking).into_iter().take(BANDS).collect::<Vec<_>>();
        let reference_methods = distinct(references.iter().map(|&r| methods[r].as_str()));
        let styles: Vec<Style> = (0..n)
            .map(|i| {
                let k = coloured.iter().position(|m| *m == methods[i]);
                let which =
                    |r: usize| if screens { reference_methods.iter().position(|m| *m == methods[i]) } else { Some(r) };
                let s = match references.iter().position(|&r| r == i).and_then(which) {
                    Some(r) => reference_style(r, k.unwrap_or(r)),
                    None => k.map_or(FAINT_STYLE, style),
                };
                let s = if facets { Style { width: s.width.min(1.6), radius: 2.4, ..s } } else { s };
                if few_bands && !is_reference(i) && !banded.contains(&methods[i].as_str()) {
                    Style { band: 0.0, ..s }
                } else {
                    s
                }
            })
            .collect();

        let n_faint = styles.iter().filter(|s| s.is_faint()).count();
        let names = (0..n)
            .map(|i| {
                if styles[i].is_faint() {
                    format!("{n_faint} other arms")
                } else if !is_reference(i) {
                    methods[i].clone()
                } else if !facets || references.len() == 1 {
                    format!("{} (reference)", study.arms[i].label)
                } else if screens || references.iter().all(|&r| methods[r] == methods[i]) {
                    format!("{} (reference)", methods[i])
                } else if references.iter().all(|&r| titles[r] == titles[i]) {
                    format!("{} (reference)", titles[i])
                } else {
                    "reference arms".to_string()
                }
            })
            .collect();

        let panels = distinct(titles.iter().map(String::as_str))
            .into_iter()
            .map(|title| {
                let arms: Vec<usize> = (0..n).filter(|&i| titles[i] == title).collect();
                let needed = |r: &usize| !arms.contains(r) && arms.iter().any(|&i| study.arms[i].reference == Some(*r));
                let guests = references.iter().copied().filter(needed).collect();
                Panel { title: title.to_string(), arms, guests }
            })
            .collect();
        Self { panels, styles, names, facets, screens, few_bands, words: None }
    }

    /// For arms that come in pairs of ours and a published one: ours solid, the other dashed in the same colour; few
    /// pairs in one panel, many in one each, with the reference pair in all.
    pub fn of_pairs(labels: &[String], reference: Option<usize>, words: Words) -> Self {
        let facets = labels.len() > PAIRS_IN_ONE;
        let mut next = 0;
        let mut pick = |k: usize| {
            if reference == Some(k) {
                return reference_style(0, k);
            }
            next += 1;
            // Panels of one pair each need one colour only.
            style(if facets { 0 } else { next - 1 })
        };
        let (mut styles, mut names) = (vec![], vec![]);
        for (k, label) in labels.iter().enumerate() {
            let ours = Style { dash: &[], ..pick(k) };
            styles.extend([ours, Style { dash: PUBLISHED_DASH, width: 1.6, radius: 2.4, ..ours }]);
            let who = match (facets, reference == Some(k)) {
                (true, false) => String::new(),
                _ => format!("{label}, "),
            };
            names.extend([format!("{who}ours"), format!("{who}published")]);
        }
        let pair = |k: usize| vec![2 * k, 2 * k + 1];
        let panels = if facets {
            let guests = |k: usize| reference.filter(|&r| r != k).map_or(vec![], pair);
            let panel = |(k, label): (usize, &String)| Panel { title: label.clone(), arms: pair(k), guests: guests(k) };
            labels.iter().enumerate().map(panel).collect()
        } else {
            vec![Panel { title: String::new(), arms: (0..styles.len()).collect(), guests: vec![] }]
        };
        Self { panels, styles, names, facets, screens: false, few_bands: false, words: Some(words) }
    }
}

impl Looks {
    /// By arm.
    pub fn styles(&self) -> &[Style] {
        &self.styles
    }

    #[cfg(test)]
    pub fn titles(&self) -> Vec<&str> {
        self.panels.iter().map(|p| p.title.as_str()).collect()
    }
}

/// A panel for each screen, and what is left of the arm's cell as its method; nothing where there is one screen, or too
/// many, or nothing else than the screen differs.
fn by_screen(study: &Study) -> Option<Vec<(String, String)>> {
    let at = study.axes.iter().position(|a| Some(a) == study.screens.as_ref())?;
    if study.axes.len() < 2 {
        return None;
    }
    // A bare number says nothing without the name of its axis.
    let axis = study.axes[at].rsplit('.').next().unwrap_or_default();
    let title = |value: String| if value.parse::<f64>().is_ok() { format!("{axis} = {value}") } else { value };
    let of = |arm: &super::StudyArm| {
        let mut rest = arm.cell.clone();
        (at < rest.len()).then(|| (title(rest.remove(at)), rest.join(" / ")))
    };
    let parts: Vec<(String, String)> = study.arms.iter().map(of).collect::<Option<_>>()?;
    (2..=MOST_PANELS).contains(&distinct(parts.iter().map(|p| p.0.as_str())).len()).then_some(parts)
}

/// Arms by the mean place of their method among the arms of one panel.
fn by_mean_place(titles: &[String], methods: &[String], ranking: &[usize]) -> Vec<usize> {
    let (mut so_far, mut sums) = (HashMap::new(), HashMap::<&str, (f64, f64)>::new());
    for &i in ranking {
        let place = so_far.entry(titles[i].as_str()).or_insert(0.0);
        *place += 1.0;
        let sum = sums.entry(&methods[i]).or_default();
        *sum = (sum.0 + *place, sum.1 + 1.0);
    }
    let mean = |i: usize| sums.get(methods[i].as_str()).map_or(f64::INFINITY, |s| s.0 / s.1);
    let mut order = ranking.to_vec();
    order.sort_by(|&a, &b| mean(a).total_cmp(&mean(b)));
    order
}

/// Panel and method of each arm: by the first part of the labels or, if that gives one panel or too many,
/// by the last.
fn split(study: &Study) -> Option<Vec<(String, String)>> {
    let by = |cut: fn(&str) -> Option<(&str, &str)>| {
        let pairs: Vec<(&str, &str)> = study.arms.iter().map(|a| cut(&a.label)).collect::<Option<_>>()?;
        let titles = distinct(pairs.iter().map(|p| p.0)).len();
        (2..=MOST_PANELS).contains(&titles).then(|| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect())
    };
    by(|l| l.split_once(" / ")).or_else(|| by(|l| l.rsplit_once(" / ").map(|(rest, last)| (last, rest))))
}

/// Each word once, in order of first appearance.
fn distinct<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    words.filter(|w| seen.insert(*w)).collect()
}

const LEFT: f64 = 24.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 84.0;
/// Between the panels and the names of the legend: room for leaders and samples of the lines.
const SAMPLE: f64 = 58.0;
/// Sizes of text.
const TITLE: f64 = 17.0;
const AXIS: f64 = 13.0;
const TEXT: f64 = 12.0;
const SMALL: f64 = 11.0;

/// The figure of a metric; nothing if no arm has a value.
pub(super) fn draw(study: &Study, looks: &Looks, metric: &str) -> Option<Canvas> {
    let mut curves: Vec<Vec<CurvePoint>> = (0..study.arms.len()).map(|a| study.curve(a, metric)).collect();
    let within = study.within_seeds(metric);
    for (curve, halves) in curves.iter_mut().zip(within.iter().flatten()) {
        curve.iter_mut().zip(halves).for_each(|(p, h)| p.half_width = *h);
    }
    let all: Vec<usize> = (0..curves.len()).collect();
    let span =
        |arms: &[usize]| extent(arms.iter().flat_map(|&i| &curves[i]).filter(|p| p.mean.is_finite()).map(|p| p.x));
    // Panels of different screens have scales of their own.
    let scopes: Vec<&[usize]> = match looks.screens {
        true => looks.panels.iter().map(|p| if span(&p.arms).is_some() { &p.arms[..] } else { &all[..] }).collect(),
        false => vec![&all[..]; looks.panels.len()],
    };
    let spans: Vec<(f64, f64)> = scopes.iter().map(|arms| span(arms)).collect::<Option<_>>()?;
    let one_round = spans.iter().all(|(first, last)| last - first < 1e-9);
    let frames: Vec<Frame> = scopes
        .iter()
        .zip(&spans)
        .map(|(arms, &(first, last))| {
            let x = if last - first < 1e-9 { (first - 1.0, first + 1.0) } else { (first, last) };
            let (y, cut) = y_range(&curves, looks, arms, one_round)?;
            Some(Frame { x, y, cut })
        })
        .collect::<Option<_>>()?;
    let cut = frames.iter().any(|f| f.cut);

    // Sizes.
    let words = looks.words.as_ref();
    let shown = |i: &usize| curves[*i].iter().any(|p| p.mean.is_finite());
    let widths = (0..study.arms.len()).filter(shown).map(|i| text_width(&looks.names[i], TEXT, false));
    let narrow = study.narrow && looks.panels.len() == 1;
    let name_width = widths.fold(60.0, f64::max).min(if narrow { 130.0 } else { 240.0 });
    let columns = match looks.panels.len() {
        1 => 1,
        2 | 4 => 2,
        3 | 5 | 6 | 9 => 3,
        7 | 8 | 11 | 12 | 16 => 4,
        _ => 5,
    };
    let rows = looks.panels.len().div_ceil(columns);
    let y_ticks: Vec<Vec<f64>> = frames.iter().map(|f| ticks(f.y, if rows > 1 { 4 } else { 6 }, false)).collect();
    let y_labels: Vec<Vec<String>> = y_ticks.iter().map(|t| tick_labels(t)).collect();
    let label_width = y_labels.iter().flatten().map(|l| text_width(l, SMALL, false)).fold(0.0, f64::max);
    let left = LEFT + 31.0 + label_width;
    let right = SAMPLE + name_width + 14.0;
    let (gap_x, gap_y) = if looks.screens { (30.0 + label_width, 52.0) } else { (18.0, 34.0) };
    let least = match (narrow, columns) {
        (true, _) => 230.0,
        (false, 1) => 500.0,
        _ => (172.0 + gap_x) * columns as f64,
    };
    let width = (left + least + right).max(if narrow { 0.0 } else { 900.0 }).round();
    let definition = find(metric).and_then(|m| m.definition.split(';').next()).unwrap_or_default();
    let definition = words.map_or(definition, |w| &w.subtitle);
    let subtitle = wrapped(definition, &[' '], TEXT, width - 2.0 * LEFT, if narrow { 4 } else { 2 });
    let top = TOP + if looks.facets { 12.0 } else { 0.0 } + (subtitle.len() as f64 - 1.0) * 1.35 * TEXT;
    let note =
        words.map_or_else(|| caption(study, looks, &curves, within.is_some(), one_round, cut), |w| w.note.clone());
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
    for (at, panel) in looks.panels.iter().enumerate() {
        let (row, column) = (at / columns, at % columns);
        let x0 = left + column as f64 * (panel_width + gap_x);
        let y0 = top + row as f64 * (panel_height + gap_y);
        let (x1, y1) = (x0 + panel_width, y0 + panel_height);
        let x = Scale { values: frames[at].x, pixels: (x0 + 9.0, x1 - 9.0) };
        let y = Scale { values: frames[at].y, pixels: (y1, y0) };

        for (value, text) in y_ticks[at].iter().zip(&y_labels[at]) {
            let p = y.at(*value);
            c.line(&[(x0, p), (x1, p)], GRID, 1.0, &[]);
            if column == 0 || looks.screens {
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
            if looks.screens || at + columns >= looks.panels.len() {
                c.text(&text, (p, y1 + 17.0), SMALL, HPos::Center, INK, false);
            }
        }
        c.text(&fit(&panel.title, TEXT, true, panel_width), (x0, y0 - 8.0), TEXT, HPos::Left, INK, true);

        // What noise allows, where it is the same for all arms of the panel and in sight.
        let ceiling = format!("{CEILING} {metric}");
        let of = |i: usize| study.curve(i, &ceiling).into_iter().map(|p| (p.x, p.mean)).collect::<Vec<_>>();
        if let Some(line) = panel.arms.first().map(|&i| of(i)).filter(|l| l.iter().any(|p| p.1.is_finite())) {
            let same = panel.arms.iter().all(|&i| of(i) == line);
            let points: Vec<Point> = line.iter().filter(|p| p.1.is_finite()).map(|p| (x.at(p.0), y.at(p.1))).collect();
            let inside: Vec<Point> = points.into_iter().filter(|p| p.1 >= y0 && p.1 <= y1).collect();
            if same && inside.len() > 1 {
                c.line(&inside, SOFT_INK, 1.2, &[1.5, 3.0]);
                // On the far side of where curves come from, at the end, where the panel is emptiest.
                let end = inside[inside.len() - 1];
                let y = if larger_is_better(metric) { end.1 - 5.0 } else { end.1 + SMALL + 3.0 };
                let y = y.clamp(y0 + SMALL + 2.0, y1 - 4.0);
                let word = if metric == "hit_ratio" { "another replicate" } else { "noise ceiling" };
                // Beside the line where it leaves the panel too early for the word.
                let (at, side) = match end.0 - text_width(word, SMALL, false) < x0 {
                    true => (end.0.max(x0) + 8.0, HPos::Left),
                    false => (end.0, HPos::Right),
                };
                c.text(word, (at, y), SMALL, side, SOFT_INK, false);
            }
        }

        // Faint curves lie lowest, then references of other panels, then the panel's own.
        let faint = panel.arms.iter().filter(|&&i| looks.styles[i].is_faint());
        let own = panel.arms.iter().filter(|&&i| !looks.styles[i].is_faint());
        let drawn: Vec<usize> = faint.chain(&panel.guests).chain(own).copied().filter(shown).collect();
        // The points of a single round would hide each other; they stand side by side.
        let step = if one_round { (0.8 * panel_width / drawn.len() as f64).min(40.0) } else { 0.0 };
        let aside = |slot: usize| (slot as f64 - (drawn.len() as f64 - 1.0) / 2.0) * step;
        for (slot, &i) in drawn.iter().enumerate() {
            let x = Scale { pixels: (x.pixels.0 + aside(slot), x.pixels.1 + aside(slot)), ..x };
            if !panel.guests.contains(&i) {
                intervals(&mut c, &curves[i], &looks.styles[i], x, y);
            }
        }
        for (slot, &i) in drawn.iter().enumerate() {
            let x = Scale { pixels: (x.pixels.0 + aside(slot), x.pixels.1 + aside(slot)), ..x };
            let end = curve(&mut c, &curves[i], &looks.styles[i], x, y);
            if !panel.guests.contains(&i) {
                legend.add(&looks.names[i], looks.styles[i], (end.0, end.1 - y0));
            }
        }
    }
    let leaders = (!looks.facets && !one_round).then_some(width - right - 9.0);
    legend.draw(&mut c, (width - right, top), height - top - bottom, name_width, leaders);

    let middle = ((left + width - right) / 2.0, (top + height - bottom) / 2.0);
    let x_title = words.map_or(study.along.title(), |w| &w.x);
    c.text(x_title, (middle.0, height - bottom + 40.0), AXIS, HPos::Center, INK, false);
    let better = if larger_is_better(metric) { "larger" } else { "smaller" };
    let title = words.map_or(format!("{metric} ({better} is better)"), |w| format!("{} ({better} is better)", w.y));
    let title = fit(&title, AXIS, false, height - top - 14.0);
    c.text_upwards(&title, (LEFT + 11.0, middle.1), AXIS, INK);
    for (k, text) in notes.iter().rev().enumerate() {
        c.text(text, (LEFT, height - 14.0 - k as f64 * 1.35 * SMALL), SMALL, HPos::Left, SOFT_INK, false);
    }
    Some(c)
}

/// The values that a panel shows.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    /// Whether an interval reaches beyond.
    cut: bool,
}

/// The values shown: all means and, unless they would dwarf them, all intervals. Tells whether any is cut.
fn y_range(curves: &[Vec<CurvePoint>], looks: &Looks, arms: &[usize], one_round: bool) -> Option<((f64, f64), bool)> {
    let (lo, hi) = extent(arms.iter().flat_map(|&i| &curves[i]).map(|p| p.mean).filter(|m| m.is_finite()))?;
    let banded = arms.iter().filter(|&&i| looks.styles[i].band > 0.0).flat_map(|&i| &curves[i]);
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

/// Names of curves beside the panels, in the order in which the curves end.
#[derive(Default)]
struct Legend {
    /// Name, style, and where its curves end below the top of their panel.
    entries: Vec<(String, Style, Vec<Point>)>,
}

impl Legend {
    fn add(&mut self, name: &str, style: Style, end: Point) {
        match self.entries.iter_mut().find(|e| e.0 == name) {
            Some(entry) => entry.2.push(end),
            None => self.entries.push((name.to_string(), style, vec![end])),
        }
    }

    /// Draws it right of `x0`. With `leaders`, names stand beside the ends of the curves, and lines lead to
    /// those that reach that x.
    fn draw(mut self, c: &mut Canvas, (x0, y0): Point, height: f64, name_width: f64, leaders: Option<f64>) {
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

/// What is shown, over how many seeds.
fn caption(
    study: &Study,
    looks: &Looks,
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
    if looks.few_bands {
        text += &format!(" Bands only of the {BANDS} best by AULC of {} and of references.", study.metrics[0]);
    }
    if looks.panels.iter().any(|p| !p.guests.is_empty()) {
        text += " Dark grey: the reference of the panel's arms.";
    }
    if looks.styles.iter().any(Style::is_faint) {
        let by = if looks.screens { "mean place over panels by AULC" } else { "AULC" };
        text += &format!(" Coloured: the {SHOWN} best by {by} of {}.", study.metrics[0]);
    }
    if looks.screens {
        text += " Each panel has its own scale.";
    }
    let missing = curves.iter().filter(|c| seeds(c).is_none()).count();
    if missing > 0 {
        text += &format!(" Without values: {missing} of {} arms.", curves.len());
    }
    text
}
