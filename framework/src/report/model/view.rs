//! How a study is shown.

use crate::scenario::Cost;

/// What figures are drawn over. Areas under curves are over perturbations measured whatever this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Along {
    /// Perturbations measured.
    #[default]
    Measured,
    /// Rounds; 0 is the initial set.
    Round,
    /// USD.
    Cost,
    /// Months.
    Months,
}

impl Along {
    /// The title of the axis.
    pub fn title(self) -> &'static str {
        match self {
            Along::Measured => "perturbations measured",
            Along::Round => "round (0: initial set)",
            Along::Cost => "cost (USD)",
            Along::Months => "months after the initial set",
        }
    }
}

/// What the reader asked to see.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Axes by which arms are grouped for the effects of a choice averaged over the rest of the grid; see
    /// [`GroupSummary`](crate::report::GroupSummary).
    pub by: Vec<String>,
    /// What figures are drawn over.
    pub along: Along,
    /// Whether learning curves that need one panel are drawn for one column of a journal (85 to 90 mm).
    pub narrow: bool,
    /// What a screen costs.
    pub cost: Cost,
    /// Metrics whose speed-up is reported; where empty, the first metric of the study.
    pub speed_metrics: Vec<String>,
    /// A value of these metrics; the rounds until it is reached are reported as well.
    pub target: Option<f64>,
}

impl View {
    /// Where a round lies along the axis of figures.
    pub fn place(&self, round: f64, n_measured: f64) -> f64 {
        match self.along {
            Along::Measured => n_measured,
            Along::Round => round,
            Along::Cost => self.cost.money(round, n_measured),
            Along::Months => self.cost.months(round),
        }
    }
}
