//! All that a report is made of.

use super::published_curves::PublishedCurves;
use super::published_values::PublishedTable;
use super::study::Study;
use super::view::View;
use crate::scenario::Claim;

/// What a study is compared with.
#[derive(Clone, Debug, Default)]
pub struct Comparisons {
    /// Claims to judge.
    pub claims: Vec<Claim>,
    /// Published learning curves.
    pub curves: Option<PublishedCurves>,
    /// Published numbers to print beside ours.
    pub values: Option<PublishedTable>,
}

/// What was measured, how it is shown, and what it is compared with.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was measured.
    pub study: Study,
    /// How it is shown.
    pub view: View,
    /// What it is compared with.
    pub comparisons: Comparisons,
}

impl Report {
    /// Keeps the arms of these indices, in this order. References that are gone are dropped, and so are arms of claims; a
    /// claim that needs all arms of a side cannot be judged once one of them is gone.
    pub fn keep(&mut self, arms: &[usize]) {
        let place = |old: usize| arms.iter().position(|&k| k == old);
        self.study.arms = arms.iter().map(|&i| self.study.arms[i].clone()).collect();
        for arm in &mut self.study.arms {
            arm.reference = arm.reference.and_then(place);
        }
        for claim in &mut self.comparisons.claims {
            for side in [&mut claim.better, &mut claim.than] {
                let kept: Vec<usize> = side.iter().filter_map(|&i| place(i)).collect();
                *side = if claim.all_of && kept.len() < side.len() { vec![] } else { kept };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::claims::{Verdict, judge_all};
    use crate::report::model::fixtures::{study, words};
    use crate::scenario::{Assertion, At};

    #[test]
    fn references_and_claims_follow_the_arms_that_are_kept() {
        let claim = |better: &[usize], than: &[usize], all_of| Claim {
            text: String::new(),
            metric: "mse".into(),
            says: Assertion::Better(At::Last),
            better: better.to_vec(),
            than: than.to_vec(),
            all_of,
        };
        let claims = vec![claim(&[3], &[1, 2], false), claim(&[3], &[1, 2], true), claim(&[0], &[3], false)];
        let whole = study(&words("random ucb bait lcmd"), Some(1), 4, 3);
        let comparisons = Comparisons { claims, ..Comparisons::default() };
        let mut report = Report { study: whole.clone(), comparisons, ..Report::default() };
        report.keep(&[1, 3]);
        let labels: Vec<&str> = report.study.arms.iter().map(|a| a.label.as_str()).collect();
        assert_eq!(labels, ["ucb", "lcmd"]);
        assert_eq!(report.study.arms[1].reference, Some(0));
        let judged = judge_all(&report.study, &report.comparisons.claims);
        assert_eq!((judged[0].better.as_str(), judged[0].than.as_str(), judged[0].n), ("lcmd", "ucb", 4));
        assert_eq!(judge_all(&whole, &[claim(&[3], &[1], false)])[0].numbers, judged[0].numbers);
        assert_eq!((judged[1].verdict, judged[2].verdict), (Verdict::NotRun, Verdict::NotRun));
        report.keep(&[1]);
        assert_eq!(report.study.arms[0].reference, None);
    }
}
