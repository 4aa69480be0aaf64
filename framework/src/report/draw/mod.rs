//! Figures: what is drawn of a study, of a test of interaction and of plans, on a canvas of our own.

pub mod axis;
pub mod canvas;
pub mod contact_sheet;
pub mod curves;
pub mod figure;
pub mod font;
pub mod heat;
pub mod interactions;
pub mod layout;
pub mod legend;
pub mod pair_map;
pub mod plans;
pub mod published;
pub mod ranks;
pub mod theme;
pub mod tradeoff;
