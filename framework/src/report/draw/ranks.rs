//! Critical-difference diagram: mean ranks of methods on a line, bars over those that do not differ (Demsar 2006).

use super::axis::Scale;
use super::canvas::Canvas;
use super::font::{fit, text_width};
use super::theme::{INK, SOFT_INK, Style, style};
use crate::report::model::ranking::Ranking;
use plotters::style::text_anchor::HPos;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 24.0;
const TEXT: f64 = 12.5;
const SMALL: f64 = 11.0;
const ROW: f64 = 20.0;
const BAR: f64 = 9.0;
/// More methods than these: the best of them are drawn.
const MOST: usize = 30;

/// The figure, with the styles of all arms of the study; nothing where methods are fewer than two.
pub fn draw(name: &str, r: &Ranking, styles: &[Style]) -> Option<Canvas> {
    let shown = r.methods.len().min(MOST);
    if shown < 2 {
        return None;
    }
    let methods = &r.methods[..shown];
    let cliques: Vec<(usize, usize)> =
        r.cliques.iter().filter(|c| c.0 < shown).map(|c| (c.0, c.1.min(shown - 1))).filter(|c| c.1 > c.0).collect();
    let n_left = shown.div_ceil(2);
    let names = methods.iter().map(|m| text_width(&m.0, TEXT, false)).fold(60.0, f64::max).min(300.0);
    let (x0, x1) = (LEFT + names + 60.0, WIDTH - LEFT - names - 60.0);
    let line = 118.0;
    let first = line + 18.0 + BAR * cliques.len() as f64 + 14.0;
    let height = first + ROW * n_left as f64 + 42.0;
    let mut c = Canvas::new(WIDTH, height);
    let cut = |text: &str, em: f64, bold: bool| fit(text, em, bold, WIDTH - 2.0 * LEFT);
    c.text(&cut(name, 17.0, true), (LEFT, 33.0), 17.0, HPos::Left, INK, true);
    let more =
        if shown < r.methods.len() { format!("; the best {shown} of {}", r.methods.len()) } else { String::new() };
    let p = if r.ranks.p <= 1e-4 { "p = 0.0001 or less".to_string() } else { format!("p = {:.4}", r.ranks.p) };
    let subtitle = format!(
        "Mean rank by AULC of {}, 1 is best, over {} blocks ({}){more}. Friedman's test: chi2 = {:.1}, {p}",
        r.metric, r.n_blocks, r.blocks, r.ranks.chi2
    );
    c.text(&cut(&subtitle, TEXT, false), (LEFT, 54.0), TEXT, HPos::Left, SOFT_INK, false);

    let last = (r.methods[shown - 1].1.ceil()).max(2.0);
    let x = Scale { values: (1.0, last), pixels: (x0, x1) };
    c.line(&[(x0, line), (x1, line)], INK, 1.2, &[]);
    let step = ((last - 1.0) / 14.0).ceil().max(1.0);
    let mut tick = 1.0;
    while tick <= last + 1e-9 {
        c.line(&[(x.at(tick), line - 6.0), (x.at(tick), line)], INK, 1.2, &[]);
        c.text(&format!("{tick:.0}"), (x.at(tick), line - 10.0), SMALL, HPos::Center, INK, false);
        tick += step;
    }
    // The critical difference, as long as it fits.
    let cd = r.ranks.critical_difference;
    let end = x.at((1.0 + cd).min(last));
    let y = 78.0;
    c.line(&[(x0, y), (end, y)], INK, 1.6, &[]);
    for at in [x0, end] {
        c.line(&[(at, y - 4.0), (at, y + 4.0)], INK, 1.2, &[]);
    }
    let long = if 1.0 + cd > last { " (longer than the axis)" } else { "" };
    c.text(&format!("critical difference {cd:.2}{long}"), (end + 8.0, y + 4.0), SMALL, HPos::Left, INK, false);

    for (i, (a, b)) in cliques.iter().enumerate() {
        let y = line + 12.0 + BAR * i as f64;
        c.line(&[(x.at(methods[*a].1) - 3.0, y), (x.at(methods[*b].1) + 3.0, y)], INK, 3.5, &[]);
    }
    for (i, (label, rank, arm)) in methods.iter().enumerate() {
        let left = i < n_left;
        let row = if left { i } else { shown - 1 - i };
        let y = first + ROW * row as f64;
        let side = if left { x0 - 22.0 } else { x1 + 22.0 };
        let look = styles.get(*arm).copied().unwrap_or_else(|| style(i));
        c.line(&[(x.at(*rank), line), (x.at(*rank), y), (side, y)], SOFT_INK, 1.0, &[]);
        let (from, align) = if left { (side - 12.0, HPos::Right) } else { (side + 12.0, HPos::Left) };
        c.marker((side, y), &Style { radius: 4.0, ..look });
        c.text(&fit(label, TEXT, false, names), (from, y + 0.36 * TEXT), TEXT, align, INK, false);
        let value = format!("{rank:.2}");
        let (at, align) = if left { (side + 8.0, HPos::Left) } else { (side - 8.0, HPos::Right) };
        c.text(&value, (at, y - 4.0), SMALL - 1.5, align, SOFT_INK, false);
    }
    let note =
        "Bars join methods whose mean ranks lie within the critical difference (Nemenyi's test for all pairs, 5 %).";
    c.text(&cut(note, SMALL, false), (LEFT, height - 14.0), SMALL, HPos::Left, SOFT_INK, false);
    Some(c)
}
