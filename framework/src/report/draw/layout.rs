//! Which panels a figure of learning curves has, and how each arm is drawn.

use super::theme::{FAINT_STYLE, Style, reference_style, style};
use crate::report::model::study::{Study, StudyArm};
use std::collections::HashMap;

/// More panels than this are too small to read.
const MOST_PANELS: usize = 20;
/// More arms than this are spread over panels.
const ONE_PANEL: usize = 12;
/// More styles than this cannot be told apart in panels; then the best `SHOWN` stay coloured.
const MOST_STYLES: usize = 16;
pub const SHOWN: usize = 8;

/// More bands than this in one panel hide each other; then the best `BANDS` arms and the references keep theirs.
const MOST_BANDS: usize = 8;
pub const BANDS: usize = 2;
/// Pairs of ours and published that one panel holds.
const PAIRS_IN_ONE: usize = 4;
const PUBLISHED_DASH: &[f64] = &[5.0, 3.0];

/// Which panels there are and how each arm is drawn; the same in the figures of all metrics.
pub struct Layout {
    pub panels: Vec<Panel>,
    /// By arm.
    pub styles: Vec<Style>,
    /// By arm, its line in the legend.
    pub names: Vec<String>,
    /// Whether each panel has a title and one legend serves all.
    pub facets: bool,
    /// Whether panels are screens, each with scales of its own.
    pub screens: bool,
    /// Whether only the best arms and the references have bands.
    pub few_bands: bool,
    /// What is written beside the curves, where it is not what the metric says.
    pub texts: Option<FigureTexts>,
}

/// The texts of a figure that compares other things than arms.
pub struct FigureTexts {
    pub subtitle: String,
    pub x: String,
    pub y: String,
    pub note: String,
}

/// One panel of a figure.
pub struct Panel {
    pub title: String,
    /// Its arms.
    pub arms: Vec<usize>,
    /// References of its arms that belong to another panel.
    pub guests: Vec<usize>,
}

impl Layout {
    /// The layout of a study whose arms are ranked from best to worst.
    pub fn new(study: &Study, ranking: &[usize]) -> Self {
        let n = study.arms.len();
        let references: Vec<usize> = (0..n).filter(|&i| study.is_reference(i)).collect();
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
        Self { panels, styles, names, facets, screens, few_bands, texts: None }
    }

    /// For arms that come in pairs of ours and a published one: ours solid, the other dashed in the same colour. Few
    /// pairs share one panel; of many, each has its own panel, and the reference pair is in all of them.
    pub fn of_pairs(labels: &[String], reference: Option<usize>, texts: FigureTexts) -> Self {
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
        Self { panels, styles, names, facets, screens: false, few_bands: false, texts: Some(texts) }
    }
}

/// A panel for each screen, and what is left of the arm's cell as its method; nothing where there is one screen, or too
/// many, or nothing else than the screen differs.
fn by_screen(study: &Study) -> Option<Vec<(String, String)>> {
    let at = study.screen_axis()?;
    if study.axes.len() < 2 {
        return None;
    }
    // A bare number says nothing without the name of its axis.
    let axis = study.axes[at].rsplit('.').next().unwrap_or_default();
    let title = |value: String| if value.parse::<f64>().is_ok() { format!("{axis} = {value}") } else { value };
    let of = |arm: &StudyArm| {
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

/// A style for every arm, the same for all arms of a method: those of the figures where they distinguish all methods;
/// else (faint curves, panels that use colours again) the best methods have the plainest.
pub fn method_styles(study: &Study, layout: &Layout, order: &[usize]) -> Vec<Style> {
    let screen = study.screen_axis();
    let method = |a: usize| -> Vec<&String> {
        let cell = study.arms[a].cell.iter().enumerate().filter(|(x, _)| Some(*x) != screen).map(|(_, v)| v);
        if study.axes.len() > usize::from(screen.is_some()) { cell.collect() } else { vec![&study.arms[a].label] }
    };
    // Methods that are references have greys of their own.
    let mut methods: [Vec<Vec<&String>>; 2] = [vec![], vec![]];
    for &a in order {
        let of = &mut methods[usize::from(study.is_reference(a))];
        if !of.contains(&method(a)) {
            of.push(method(a));
        }
    }
    let styles = &layout.styles;
    let plain = |s: &Style| (s.colour.0, s.colour.1, s.colour.2, s.dash.len(), s.marker.word());
    let mut used: Vec<_> = styles.iter().map(plain).collect();
    used.sort_unstable();
    used.dedup();
    let apart = styles.iter().all(|s| !s.is_faint()) && used.len() == methods[0].len() + methods[1].len();
    let of = |a: usize| {
        let reference = study.is_reference(a);
        let k = methods[usize::from(reference)].iter().position(|m| *m == method(a)).unwrap_or(0);
        match (apart, reference) {
            (true, _) => styles[a],
            (false, true) => reference_style(k, k),
            (false, false) => style(k),
        }
    };
    (0..study.arms.len()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::draw::theme::REFERENCE;
    use crate::report::model::fixtures::{gallery, grid, study};
    use crate::report::model::summary::Summary;

    fn titles(layout: &Layout) -> Vec<&str> {
        layout.panels.iter().map(|p| p.title.as_str()).collect()
    }

    #[test]
    fn colours_do_not_depend_on_the_metric_or_the_rank() {
        let study = &gallery()[1].1;
        let (a, b) = (Layout::new(study, &[0, 1, 2, 3, 4, 5, 6]), Layout::new(study, &[6, 5, 4, 3, 2, 1, 0]));
        assert_eq!(a.styles, b.styles);
        assert_eq!(a.styles[0].colour, REFERENCE);
        assert_eq!(a.styles[1], style(0));
    }

    #[test]
    fn each_screen_has_its_panel_and_methods_are_ranked_within_them() {
        // On the second screen everything is easier: by value its arms would all come before those of the first.
        let mut s = study(&grid("hard easy", "random a b c d e f g h i j k l m n o p q"), Some(0), 3, 4);
        for (i, arm) in s.arms.iter_mut().enumerate() {
            let (easy, method) = (i / 18, i % 18);
            arm.reference = Some(18 * easy);
            for run in &mut arm.runs {
                // `q` is second on each screen; `a` is first on the easy one and last on the other.
                let place = match (method, easy) {
                    (17, _) => 16.0,
                    (0, _) => -5.0,
                    (1, e) => 20.0 * e as f64 - 3.0,
                    (m, _) => 15.0 - m as f64,
                };
                run.values.insert("hit_ratio".into(), vec![0.01 * place + 0.5 * easy as f64; 4]);
            }
        }
        s.screens = Some("axis 0".into());
        let ranking = Summary::of(&s).order;
        assert_eq!(s.arms[ranking[0]].label, "easy / a");
        let layout = Layout::new(&s, &ranking);
        assert_eq!(titles(&layout), ["hard", "easy"]);
        let coloured = |method: usize| !layout.styles[method].is_faint();
        assert!(coloured(17) && layout.styles[17] == layout.styles[35], "one look for each method");
        assert!(!coloured(1) && !coloured(16) && layout.styles[0] == layout.styles[18]);
        for (i, arm) in s.arms.iter_mut().enumerate() {
            arm.cell[0] = if i < 18 { "6" } else { "1" }.into();
        }
        assert_eq!(titles(&Layout::new(&s, &ranking)), ["axis 0 = 6", "axis 0 = 1"]);
    }

    #[test]
    fn many_bands_give_way_to_the_best_and_the_reference() {
        let s = &gallery()[3].1;
        let layout = Layout::new(s, &(0..12).collect::<Vec<_>>());
        let banded = layout.styles.iter().filter(|s| s.band > 0.0).count();
        assert_eq!(banded, 3, "two and the reference");
        let few = Layout::new(&gallery()[1].1, &(0..7).collect::<Vec<_>>());
        assert!(few.styles.iter().all(|s| s.band > 0.0));
    }
}
