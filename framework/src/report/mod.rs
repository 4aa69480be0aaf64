//! From finished runs to figures and tables.
//!
//! A [`Report`] is made of a [`Study`] (what was measured), a [`View`] (how it is shown) and [`Comparisons`] (claims and
//! published numbers). [`table`] gives the text for the terminal, [`write`] the folder with CSV, figures and a page; what
//! they say is computed in `model`. Equal reports give equal files, byte for byte.

mod draw;
mod files;
mod model;
mod page;
mod tables;
mod text;
mod write;

pub use draw::contact_sheet::write_contact_sheet;
pub use draw::interactions::write_test;
pub use draw::plans::write_plans;
pub use model::claims::Verdict;
pub use model::findings::{Finding, findings};
pub use model::groups::{GroupSummary, group_summaries};
pub use model::paired::Paired;
pub use model::published_curves::PublishedCurves;
pub use model::published_values::{PublishedTable, PublishedValue};
pub use model::ranking::{Ranking, rankings};
pub use model::report::{Comparisons, Report};
pub(crate) use model::study::is_kept;
pub use model::study::{RunCurve, Study, StudyArm};
pub use model::summary::{ArmSummary, Difference, Summary};
pub use model::view::{Along, View};
pub use text::latex::latex;
pub use text::terminal::{best_lines, table};
pub use text::warnings::warnings;
pub use write::{write, write_curves};
