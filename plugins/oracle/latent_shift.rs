//! Genes shift independent latent variables, seen through a scrambling map: pairs on different latents separate.
//!
//! Z_1, Z_2, ... are independent N(0, 1); a perturbation moves the latents of its genes to N(shift, 1), each once
//! however many of its genes act on it. A sample is g(Z): the latents themselves, their image under a random invertible
//! network, or a picture of one ball for each latent. KL(p_0 ‖ p_c) is shift²/2 for each moved latent, before and after
//! g, so a pair scores shift²/2 for every latent that its genes share and 0 without one (Xu, Jain et al. 2024,
//! appendices D.1.1 and D.1.2; what the paper leaves open, such as layout and colours of the scene, is ours).
//! O(layers latents²) a sample; O(resolution²) a picture, made when asked for.

use framework::domain::{Cells, SampleSource};
use framework::plugin::SampledScreen;
use framework::prelude::*;
use learn::simulate::Mixing;
use ndarray::ArrayViewMut2;
use rand_distr::{Distribution, StandardNormal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Simulates singles and pairs of genes that shift latent variables, with known interactions. Runs without any data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatentShift {
    /// The latents, from 1, that each gene moves; default `{ A = [1], B = [1, 2], C = [3], D = [3] }`.
    pub targets: BTreeMap<String, Vec<usize>>,
    /// How far, in standard deviations; default 3.
    pub shift: f64,
    /// Samples of control and of each perturbation; default 20,000.
    pub samples: usize,
    /// What a sample is: `"latents"`, `"mixed"` (default; the latents through a random network) or `"balls"` (a picture).
    pub view: View,
    /// Layers of the network; default 7.
    pub layers: usize,
    /// Slope of its rectifier below 0; default 0.2.
    pub slope: f64,
    /// Rows and columns of a picture; default 32 (the paper's are of 128).
    pub resolution: usize,
}

/// What is measured of the latents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// They themselves.
    Latents,
    /// Their image under the network.
    #[default]
    Mixed,
    /// A picture of them.
    Balls,
}

impl Default for LatentShift {
    fn default() -> Self {
        let targets = [("A", vec![1]), ("B", vec![1, 2]), ("C", vec![3]), ("D", vec![3])];
        Self {
            targets: targets.into_iter().map(|(g, t)| (g.to_string(), t)).collect(),
            shift: 3.0,
            samples: 20_000,
            view: View::default(),
            layers: 7,
            slope: 0.2,
            resolution: 32,
        }
    }
}

impl LatentShift {
    fn check(&self) -> Result<usize> {
        let wrong = |what: String| Err(Error::Config(format!("latent_shift: {what}")));
        if self.targets.len() < 2 {
            return wrong("`targets` needs at least two genes, as in targets = { A = [1], B = [2] }".into());
        }
        if let Some((gene, _)) = self.targets.iter().find(|(_, t)| t.contains(&0)) {
            return wrong(format!("gene `{gene}` moves latent 0; latents are numbered from 1"));
        }
        let latents = self.targets.values().flatten().copied().max().unwrap_or(0);
        if latents == 0 || latents > 1000 {
            return wrong(format!("`targets` name {latents} latents; name 1 to 1000"));
        }
        if self.samples == 0 || !self.shift.is_finite() || !(self.slope > 0.0 && self.slope <= 1.0) {
            return wrong("it needs samples of at least 1, a finite shift, and a slope above 0 and at most 1".into());
        }
        if self.view == View::Balls && (latents > COLOURS.len() || !(8..=1024).contains(&self.resolution)) {
            return wrong(format!(
                "a picture has at most {} balls (latents), and a resolution of 8 to 1024; there are {latents} latents and \
                 a resolution of {}",
                COLOURS.len(),
                self.resolution
            ));
        }
        Ok(latents)
    }
}

#[typetag::serde(name = "latent_shift")]
impl Oracle for LatentShift {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        let latents = self.check()?;
        let genes: Vec<String> = self.targets.keys().cloned().collect();
        let moved: Vec<BTreeSet<usize>> =
            self.targets.values().map(|t| t.iter().map(|l| l - 1).collect::<BTreeSet<usize>>()).collect();
        let own = self.clone();
        let mixing = Mixing::new(latents, self.layers, self.slope, &mut setup.streams.rng("network"));
        let shared = moved.clone();
        let draw = move |genes: &[usize], streams: &Streams| -> Arc<dyn SampleSource> {
            let on: BTreeSet<usize> = genes.iter().flat_map(|g| moved[*g].iter().copied()).collect();
            let mut rng = streams.rng("latents");
            let mut z = Array2::from_shape_simple_fn((own.samples, latents), || StandardNormal.sample(&mut rng));
            on.iter().for_each(|l| z.column_mut(*l).mapv_inplace(|v: f64| v + own.shift));
            match own.view {
                View::Balls => return Arc::new(Balls { z, resolution: own.resolution, streams: streams.clone() }),
                View::Mixed => z.outer_iter_mut().for_each(|mut row| {
                    let mut x = row.to_owned();
                    mixing.apply(&mut x);
                    row.assign(&x);
                }),
                View::Latents => {}
            }
            Arc::new(Cells { lane: vec![0; own.samples], x: z.mapv(|v| v as f32) })
        };
        let kl = 0.5 * self.shift * self.shift;
        let common = move |a: usize, b: usize| shared[a].intersection(&shared[b]).count();
        let scores: Vec<String> = (0..genes.len())
            .flat_map(|a| (a + 1..genes.len()).map(move |b| (a, b)))
            .filter(|(a, b)| common(*a, *b) > 0)
            .map(|(a, b)| format!("{}+{} {}", genes[a], genes[b], kl * common(a, b) as f64))
            .collect();
        let note = format!(
            "exact separability scores (nats): {}; all other pairs 0",
            if scores.is_empty() { "none above 0".into() } else { scores.join(", ") }
        );
        let relation = move |g: &[usize]| match common(g[0], g[1]) {
            0 => Relation::Separable,
            _ => Relation::Interacting,
        };
        let screen = SampledScreen::new(&genes, setup.streams, Box::new(draw), relation)?.with_notes(vec![note]);
        let r = self.resolution;
        Ok(Box::new(if self.view == View::Balls { screen.images([3, r, r]) } else { screen }))
    }
}

/// Blue, purple, red, then further hues.
const COLOURS: [[f32; 3]; 6] = [
    [0.10, 0.25, 0.90],
    [0.55, 0.10, 0.70],
    [0.90, 0.12, 0.12],
    [0.05, 0.55, 0.60],
    [0.85, 0.45, 0.05],
    [0.15, 0.15, 0.15],
];
/// Green and yellow.
const BACKGROUND: [[f32; 3]; 2] = [[0.45, 0.75, 0.35], [0.93, 0.86, 0.35]];
const PAPER: f32 = 0.92;
const LARGE_BALLS: usize = 6;
/// Radius of a ball, as a share of the picture.
const RADIUS: f32 = 0.06;

/// Pictures of latents, drawn when asked for.
struct Balls {
    z: Array2<f64>,
    resolution: usize,
    streams: Streams,
}

/// A disc with its colour.
struct Disc {
    x: f32,
    y: f32,
    radius: f32,
    colour: [f32; 3],
    opacity: f32,
}

impl Balls {
    /// The discs of one scene from back to front, and the two waves (amplitude, frequency, phase) that distort it.
    fn scene(&self, i: usize) -> (Vec<Disc>, [[f32; 3]; 2]) {
        let mut rng = self.streams.child("scene").index(i).rng("scene");
        let mut discs = Vec::with_capacity(LARGE_BALLS + self.z.ncols());
        for _ in 0..LARGE_BALLS {
            discs.push(Disc {
                x: rng.random(),
                y: rng.random(),
                radius: rng.random_range(0.10..0.28),
                colour: BACKGROUND[rng.random_range(0..BACKGROUND.len())],
                opacity: rng.random_range(0.5..0.9),
            });
        }
        let waves = std::array::from_fn(|_| {
            [rng.random_range(0.0..0.02), rng.random_range(0.5..2.0), rng.random_range(0.0..std::f32::consts::TAU)]
        });
        // Balls run along parallel diagonals, so that none hides another.
        let n = self.z.ncols() as f32;
        for (l, z) in self.z.row(i).iter().enumerate() {
            let aside = 0.36 * ((l as f32 + 0.5) / n - 0.5);
            let mut at = || {
                let e: f64 = StandardNormal.sample(&mut rng);
                (0.36 + 0.075 * (z + 0.1 * e)) as f32
            };
            let (x, y) = (at() + aside, at() - aside);
            discs.push(Disc { x, y, radius: RADIUS, colour: COLOURS[l % COLOURS.len()], opacity: 1.0 });
        }
        (discs, waves)
    }

    /// Red, green and blue planes of one picture, row by row.
    fn render(&self, i: usize, out: &mut [f32]) {
        let r = self.resolution;
        let (discs, waves) = self.scene(i);
        let pixel = 1.0 / r as f32;
        let wave = |w: [f32; 3], t: f32| w[0] * (std::f32::consts::TAU * w[1] * t + w[2]).sin();
        let bend = |w: [f32; 3]| (0..r).map(|k| wave(w, (k as f32 + 0.5) * pixel)).collect::<Vec<f32>>();
        let (along_row, along_column) = (bend(waves[0]), bend(waves[1]));
        for row in 0..r {
            for column in 0..r {
                let x = (column as f32 + 0.5) * pixel + along_row[row];
                let y = (row as f32 + 0.5) * pixel + along_column[column];
                let mut colour = [PAPER; 3];
                for d in &discs {
                    let (dx, dy) = (x - d.x, y - d.y);
                    let reach = d.radius + pixel;
                    let square = dx * dx + dy * dy;
                    if square >= reach * reach {
                        continue;
                    }
                    let cover = d.opacity * ((d.radius - square.sqrt()) / pixel + 0.5).clamp(0.0, 1.0);
                    colour.iter_mut().zip(d.colour).for_each(|(c, own)| *c += cover * (own - *c));
                }
                for (channel, c) in colour.into_iter().enumerate() {
                    out[(channel * r + row) * r + column] = c;
                }
            }
        }
    }
}

impl SampleSource for Balls {
    fn len(&self) -> usize {
        self.z.nrows()
    }

    fn n_features(&self) -> usize {
        3 * self.resolution * self.resolution
    }

    fn rows(&self, at: &[usize], mut out: ArrayViewMut2<f32>) -> framework::numerics::Result<()> {
        let mut buffer = vec![0.0; self.n_features()];
        for (i, mut row) in at.iter().zip(out.outer_iter_mut()) {
            match row.as_slice_mut() {
                Some(row) => self.render(*i, row),
                None => {
                    self.render(*i, &mut buffer);
                    row.iter_mut().zip(&buffer).for_each(|(o, v)| *o = *v);
                }
            }
        }
        Ok(())
    }
}

framework::register!(
    Oracle,
    LatentShift,
    "latent_shift",
    "genes shift independent latents seen through a network or as pictures: separability known",
    example = |_| serde_json::json!({ "samples": 200 })
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;
    use framework::domain::Class;

    fn open(oracle: LatentShift, seed: u64) -> Box<dyn Screen> {
        let (data, streams) = (DataRoot::new("."), Streams::new(seed));
        oracle.open(&Setup { data: &data, streams: &streams }).unwrap()
    }

    #[test]
    fn latents_move_as_told() {
        let screen = open(LatentShift { view: View::Latents, samples: 4000, ..LatentShift::default() }, 1);
        let s = screen.samples(&Streams::new(2)).unwrap().unwrap();
        s.check().unwrap();
        assert_eq!((s.genes.len(), s.pairs.len(), s.n_features()), (4, 6, 3));
        let mean = |c: &Class| c.x().unwrap().mapv(f64::from).mean_axis(Axis(0)).unwrap();
        let close = |c: &Class, to: [f64; 3]| {
            let m = mean(c);
            assert!(m.iter().zip(to).all(|(a, b)| (a - b).abs() < 0.08), "{m} for {to:?}");
        };
        close(&s.control, [0.0, 0.0, 0.0]);
        close(&s.singles[1], [3.0, 3.0, 0.0]);
        let of = |name: &str| &s.pairs[(0..6).find(|p| s.label(*p) == name).unwrap()];
        close(&of("A+B").both, [3.0, 3.0, 0.0]);
        close(&of("B+D").both, [3.0, 3.0, 3.0]);
        close(&of("C+D").both, [0.0, 0.0, 3.0]);
        let ids: Vec<usize> = (0..screen.pool().len()).collect();
        let interacting: Vec<String> = ids
            .iter()
            .zip(screen.relations(&ids).unwrap())
            .filter(|(_, r)| *r == Relation::Interacting)
            .map(|(id, _)| screen.pool().label(*id))
            .collect();
        assert_eq!(interacting, ["A+B", "C+D"]);
        assert!(screen.notes()[0].contains("A+B 4.5, C+D 4.5"));
    }

    #[test]
    fn the_network_scrambles_and_keeps_the_world() {
        let oracle = LatentShift { samples: 50, ..LatentShift::default() };
        let x = |world: u64, noise: u64| {
            let s = open(oracle.clone(), world).samples(&Streams::new(noise)).unwrap().unwrap();
            (s.control.x().unwrap().into_owned(), s.pairs[2].both.x().unwrap().into_owned())
        };
        assert_eq!(x(1, 2), x(1, 2));
        assert_ne!(x(1, 2).1, x(1, 3).1);
        assert_eq!(x(1, 2).0, x(1, 3).0);
        assert_ne!(x(1, 2).0, x(2, 2).0);
    }

    #[test]
    fn pictures_show_every_ball_where_its_latent_is() {
        let screen = open(LatentShift { view: View::Balls, samples: 40, resolution: 64, ..LatentShift::default() }, 1);
        let s = screen.samples(&Streams::new(2)).unwrap().unwrap();
        assert_eq!((s.image, s.n_features()), (Some([3, 64, 64]), 3 * 64 * 64));
        let x = s.singles[0].x().unwrap();
        assert!(x.iter().all(|v| (0.0..=1.0).contains(v)));
        assert_eq!(s.singles[0].rows(&[7]).unwrap().row(0), x.row(7));
        // The blue ball of A is moved: its pixels lie farther down and right than control's.
        let blue = |x: &Array2<f32>| {
            let (mut sum, mut n) = (0.0, 0.0);
            for picture in x.outer_iter() {
                for p in 0..64 * 64 {
                    let [r, g, b] = [0, 1, 2].map(|c| picture[c * 64 * 64 + p]);
                    if b > 0.8 && r < 0.2 && g < 0.4 {
                        sum += (p % 64 + p / 64) as f64;
                        n += 1.0;
                    }
                }
            }
            assert!(n > 40.0 * 20.0, "{n} blue pixels");
            sum / n / 64.0
        };
        let moved = blue(&x) - blue(&s.control.x().unwrap());
        assert!((moved - 2.0 * 0.075 * 3.0).abs() < 0.1, "{moved}");
    }

    #[test]
    fn mistakes_are_named() {
        let text = |o: LatentShift| o.check().unwrap_err().to_string();
        let targets = |t: &[(&str, Vec<usize>)]| t.iter().map(|(g, t)| (g.to_string(), t.clone())).collect();
        let own = LatentShift::default;
        assert!(text(LatentShift { targets: targets(&[("A", vec![1])]), ..own() }).contains("two genes"));
        assert!(text(LatentShift { targets: targets(&[("A", vec![0]), ("B", vec![1])]), ..own() }).contains("from 1"));
        assert!(text(LatentShift { resolution: 4, view: View::Balls, ..own() }).contains("resolution"));
    }
}
