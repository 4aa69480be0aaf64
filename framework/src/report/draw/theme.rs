//! How figures look: colours, line styles, markers.

use plotters::style::RGBColor;

/// Okabe and Ito's colours without black (too near the grey of references) and yellow (too pale on white),
/// then two dark ones of Paul Tol's "muted" scheme. All pairs stay apart under the common colour blindnesses.
const PALETTE: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x33, 0x22, 0x88),
    RGBColor(0x88, 0x22, 0x55),
];
/// Lengths of dash and gap; nothing is a solid line.
const DASHES: [&[f64]; 3] = [&[], &[7.0, 4.0], &[2.0, 3.0]];
const MARKERS: [Marker; 5] = [Marker::Disc, Marker::Square, Marker::Up, Marker::Diamond, Marker::Down];

pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub const SOFT_INK: RGBColor = RGBColor(0x5C, 0x5C, 0x5C);
pub const GRID: RGBColor = RGBColor(0xE8, 0xE8, 0xE8);
pub const REFERENCE: RGBColor = RGBColor(0x4A, 0x4A, 0x4A);
pub const FAINT: RGBColor = RGBColor(0xCC, 0xCC, 0xCC);

/// The same colour, light enough for a dark ground.
pub fn on_dark(colour: RGBColor) -> RGBColor {
    let luminance = 0.299 * f64::from(colour.0) + 0.587 * f64::from(colour.1) + 0.114 * f64::from(colour.2);
    let share = ((150.0 - luminance) / (255.0 - luminance)).clamp(0.0, 1.0);
    let lift = |v: u8| (f64::from(v) + share * (255.0 - f64::from(v))).round() as u8;
    RGBColor(lift(colour.0), lift(colour.1), lift(colour.2))
}

/// The sign at a measured point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Marker {
    Disc,
    Square,
    Up,
    Diamond,
    Down,
    None,
}

/// How one curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    pub colour: RGBColor,
    pub dash: &'static [f64],
    pub marker: Marker,
    pub width: f64,
    /// Of the marker.
    pub radius: f64,
    /// Opacity of the interval's band; 0 draws none.
    pub band: f64,
}

/// The style of the `k`-th method: eight colours, then the same dashed, then dotted.
pub fn style(k: usize) -> Style {
    let (colour, dash) = (PALETTE[k % PALETTE.len()], DASHES[k / PALETTE.len() % DASHES.len()]);
    Style { colour, dash, marker: MARKERS[k % MARKERS.len()], width: 2.0, radius: 3.2, band: 0.15 }
}

/// The style of the `r`-th reference, with the marker of the `k`-th method.
pub fn reference_style(r: usize, k: usize) -> Style {
    Style { colour: REFERENCE, dash: DASHES[r % DASHES.len()], ..style(k) }
}

/// The style of curves too many to be told apart.
pub const FAINT_STYLE: Style =
    Style { colour: FAINT, dash: &[], marker: Marker::None, width: 1.0, radius: 1.5, band: 0.0 };

impl Marker {
    pub fn word(self) -> &'static str {
        match self {
            Marker::Disc => "disc",
            Marker::Square => "square",
            Marker::Up => "up",
            Marker::Diamond => "diamond",
            Marker::Down => "down",
            Marker::None => "none",
        }
    }
}

impl Style {
    pub fn is_faint(&self) -> bool {
        self.marker == Marker::None
    }
}
