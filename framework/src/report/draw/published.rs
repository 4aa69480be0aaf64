//! Published learning curves and ours in one figure.

use super::canvas::Canvas;
use super::curves;
use super::layout::{FigureTexts, Layout};
use crate::report::model::published_curves::{PublishedCurves, relative};
use crate::report::model::study::{RunCurve, Study, StudyArm};
use crate::report::model::view::View;
use std::collections::BTreeMap;

/// The figure of a metric; nothing where no pair of curves can be compared.
pub fn draw(study: &Study, published: &PublishedCurves, metric: &str) -> Option<Canvas> {
    let (ratios, layout) = beside(study, published, metric)?;
    curves::draw(&ratios, &View::default(), &layout, metric)
}

/// An arm and what is published of it, both over their value at round 0.
struct Pair<'a> {
    /// Index of the arm.
    arm: usize,
    ours: &'a StudyArm,
    theirs: &'a StudyArm,
    ratios: [Vec<f64>; 2],
}

/// The matched curves of a metric as a study of their own, and how it is drawn: ours solid, published dashed, in one
/// panel for few methods and in a panel per method for many. Nothing where no pair has both ratios.
fn beside(study: &Study, published: &PublishedCurves, metric: &str) -> Option<(Study, Layout)> {
    let pairs: Vec<Pair> = published
        .arms
        .iter()
        .filter_map(|(i, theirs)| {
            let ours = &study.arms[*i];
            let ratios = [relative(ours, metric).ratio.ok()?, relative(theirs, metric).ratio.ok()?];
            Some(Pair { arm: *i, ours, theirs, ratios })
        })
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let curve = |label: String, ratio: &[f64]| StudyArm {
        label,
        runs: vec![RunCurve {
            seed: 0,
            n_measured: (0..ratio.len()).map(|t| t as f64).collect(),
            values: BTreeMap::from([(metric.to_string(), ratio.to_vec())]),
        }],
        ..StudyArm::default()
    };
    let arms = pairs
        .iter()
        .flat_map(|p| {
            let [ours, theirs] = &p.ratios;
            [curve(format!("{}, ours", p.ours.label), ours), curve(format!("{}, published", p.theirs.label), theirs)]
        })
        .collect();
    let labels: Vec<String> = pairs.iter().map(|p| p.ours.label.clone()).collect();
    let reference = pairs.iter().position(|p| study.is_reference(p.arm));
    let column = published.metrics.iter().find(|m| m.0 == *metric).map_or("", |m| &m.1);
    let n = |side: fn(&Pair) -> usize| pairs.iter().map(side).max().unwrap_or(0);
    let texts = FigureTexts {
        subtitle: format!("mean {metric}, and {column} as published, over their own value at round 0"),
        x: "round".into(),
        y: format!("{metric} / {metric} at round 0"),
        note: format!(
            "Solid: ours (n = {}). Dashed: published (n = {}; {}).",
            n(|p| p.ours.runs.len()),
            n(|p| p.theirs.runs.len()),
            published.source
        ),
    };
    let ratios = Study {
        name: format!("{}: against published curves", study.name),
        metrics: vec![metric.to_string()],
        arms,
        ..Study::default()
    };
    Some((ratios, Layout::of_pairs(&labels, reference, texts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::{published_losses, rules_for_losses, study_of_losses};

    #[test]
    fn ours_is_solid_and_published_dashed_in_one_colour() {
        let s = study_of_losses();
        let p = PublishedCurves::read(&published_losses(), &rules_for_losses(), "file".into(), &s).unwrap();
        assert!(beside(&s, &p, "mse").is_none());
        let (figure, layout) = beside(&s, &p, "focal").unwrap();
        assert_eq!(figure.arms.len(), 4);
        let styles = &layout.styles;
        assert!(styles[0].colour == styles[1].colour && styles[0].dash.is_empty() && !styles[1].dash.is_empty());
        assert_ne!(styles[0].colour, styles[2].colour);
    }
}
