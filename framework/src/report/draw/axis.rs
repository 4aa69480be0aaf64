//! Ranges, ticks and places along an axis.

use super::canvas::Point;
use super::font::text_width;

/// Values onto pixels.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub values: (f64, f64),
    pub pixels: (f64, f64),
}

impl Scale {
    pub fn at(&self, v: f64) -> f64 {
        let ((v0, v1), (p0, p1)) = (self.values, self.pixels);
        p0 + (p1 - p0) * (v - v0) / (v1 - v0)
    }
}

/// Smallest and largest; nothing of nothing.
pub fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |e, v| Some(e.map_or((v, v), |(lo, hi): (f64, f64)| (lo.min(v), hi.max(v)))))
}

/// Round values (1, 2, 2.5 or 5 times a power of ten apart) in a range, about `target` of them.
pub fn ticks((lo, hi): (f64, f64), target: usize, whole: bool) -> Vec<f64> {
    let raw = (hi - lo) / target as f64;
    let power = 10f64.powf(raw.log10().floor());
    let fits = |m: &f64| m * power >= raw * (1.0 - 1e-9) && !(whole && (m * power).fract() > 1e-9);
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(fits).unwrap_or(10.0) * power;
    let step = if whole { step.max(1.0).round() } else { step };
    let (first, last) = ((lo / step - 1e-9).ceil() as i64, (hi / step + 1e-9).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Whole-numbered ticks whose labels stand clear of each other on so many pixels.
pub fn roomy_ticks(range: (f64, f64), pixels: f64, em: f64) -> Vec<f64> {
    let per_value = pixels / (range.1 - range.0);
    let clear = |t: &Vec<f64>| {
        let widest = tick_labels(t).iter().map(|l| text_width(l, em, false)).fold(0.0, f64::max);
        t.windows(2).all(|w| (w[1] - w[0]) * per_value >= widest + 1.6 * em)
    };
    (1..=8).rev().map(|n| ticks(range, n, true)).find(clear).unwrap_or_default()
}

/// Labels of ticks, with as many decimals as they need.
pub fn tick_labels(ticks: &[f64]) -> Vec<String> {
    let big = ticks.iter().fold(0.0, |m: f64, t| m.max(t.abs()));
    let power = if big >= 1e6 || (big > 0.0 && big < 1e-3) { big.log10().floor() as i32 } else { 0 };
    let scaled: Vec<f64> = ticks.iter().map(|t| t / 10f64.powi(power)).collect();
    let whole = |d: &usize| {
        scaled.iter().all(|t| {
            let t = t * 10f64.powi(*d as i32);
            (t - t.round()).abs() <= 1e-6 * t.abs().max(1.0)
        })
    };
    let decimals = (0..6).find(whole).unwrap_or(6);
    let label = |t: f64| {
        if t == 0.0 {
            return "0".to_string();
        }
        let text = format!("{t:.decimals$}");
        match (power, decimals) {
            (0, 0) if t.abs() >= 9999.5 => thousands(&text),
            (0, _) => text,
            _ => format!("{text}e{power}"),
        }
    };
    scaled.into_iter().map(label).collect()
}

fn thousands(digits: &str) -> String {
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        let left = digits.len() - i;
        if left.is_multiple_of(3) && i > 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Moves ascending places apart to at least `gap`, each as little as possible (least squares, by pooling
/// adjacent violators), within a range where there is room.
pub fn spread(wanted: &[f64], gap: f64, (lo, hi): (f64, f64)) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = vec![];
    for (i, w) in wanted.iter().enumerate() {
        blocks.push((w - i as f64 * gap, 1));
        while let [.., (a, n), (b, m)] = blocks[..]
            && a > b
        {
            blocks.truncate(blocks.len() - 2);
            blocks.push(((a * n as f64 + b * m as f64) / (n + m) as f64, n + m));
        }
    }
    let top = (hi - gap * wanted.len().saturating_sub(1) as f64).max(lo);
    let flat = blocks.into_iter().flat_map(|(v, n)| vec![v.clamp(lo, top); n]);
    flat.enumerate().map(|(i, v)| v + i as f64 * gap).collect()
}

/// The part of a polygon between two heights.
pub fn clip(polygon: Vec<Point>, y0: f64, y1: f64) -> Vec<Point> {
    let cut = |points: Vec<Point>, edge: f64, inside: fn(f64, f64) -> bool| {
        let mut out = vec![];
        for (i, &(x, y)) in points.iter().enumerate() {
            let (px, py) = points[(i + points.len() - 1) % points.len()];
            if inside(y, edge) != inside(py, edge) {
                out.push((px + (x - px) * (edge - py) / (y - py), edge));
            }
            if inside(y, edge) {
                out.push((x, y));
            }
        }
        out
    };
    let below = cut(polygon, y0, |y, edge| y >= edge);
    cut(below, y1, |y, edge| y <= edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_labelled_alike() {
        assert_eq!(tick_labels(&ticks((0.03, 0.47), 5, false)), ["0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(tick_labels(&ticks((0.0, 1.1), 5, false)), ["0", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(tick_labels(&ticks((-3.0, 2.0), 5, true)), ["-3", "-2", "-1", "0", "1", "2"]);
        assert_eq!(tick_labels(&ticks((1.0, 3.0), 8, true)), ["1", "2", "3"]);
        assert_eq!(tick_labels(&[5000.0, 10000.0, 1e5]), ["5000", "10,000", "100,000"]);
        assert_eq!(tick_labels(&[0.0, 2e-5, 4e-5]), ["0", "2e-5", "4e-5"]);
        assert_eq!(tick_labels(&[-2e6, 1e6]), ["-2e6", "1e6"]);
        assert_eq!(thousands("-100000"), "-100,000");
    }

    #[test]
    fn spread_moves_least_and_stays_inside() {
        assert_eq!(spread(&[10.0, 50.0], 10.0, (0.0, 100.0)), [10.0, 50.0]);
        assert_eq!(spread(&[20.0, 20.0, 80.0], 10.0, (0.0, 100.0)), [15.0, 25.0, 80.0]);
        assert_eq!(spread(&[98.0, 99.0], 10.0, (0.0, 100.0)), [90.0, 100.0]);
        assert_eq!(spread(&[5.0; 3], 10.0, (0.0, 100.0)), [0.0, 10.0, 20.0]);
        assert!(spread(&[], 10.0, (0.0, 1.0)).is_empty());
    }

    #[test]
    fn clipping_cuts_at_the_edge() {
        let square = vec![(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)];
        let cut = clip(square, 2.0, 6.0);
        assert_eq!(extent(cut.iter().map(|p| p.1)), Some((2.0, 6.0)));
        assert_eq!(cut.len(), 4);
    }
}
