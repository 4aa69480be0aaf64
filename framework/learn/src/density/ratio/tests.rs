use super::head::{Head, head_gradient};
use super::standard::fetch;
use super::*;
use crate::density::testing::{PairClass, Samples};
use crate::nn::conv::{ConvNet, ConvShape, End, Shrink};
use crate::nn::network::{Activation, Network, Start};
use ndarray::{Array2, Axis};
use numerics::samples::Class;
use numerics::streams::Streams;
use rand_distr::{Distribution, StandardNormal};

/// Control, two genes and their pair: normals with the given means.
fn samples(n: usize, d: usize, shift: f32) -> Samples {
    let mut rng = Streams::new(2).rng("x");
    let mut class = |at: [bool; 2]| {
        Class::held(Array2::from_shape_fn((n, d), |(_, j)| {
            let z: f32 = StandardNormal.sample(&mut rng);
            z + if at[0] && 2 * j < d || at[1] && 2 * j >= d { shift } else { 0.0 }
        }))
    };
    let control = class([false; 2]);
    let singles = vec![class([true, false]), class([false, true])];
    let pairs = vec![PairClass { first: 0, second: 1, both: class([true; 2]) }];
    Samples { genes: vec!["A".into(), "B".into()], control, singles, pairs }
}

fn mlp(widths: &[usize], dropout: f64) -> Box<dyn Encoder> {
    let network = Network::new(widths, Activation::Relu, Start::Standard, &mut Streams::new(1).rng("start"));
    Box::new(MlpEncoder::new(network, dropout))
}

const SCHEDULE: Schedule = Schedule { rate: 5e-3, epochs: 15, batch: 128, keep: Keep::Train, held_out: 0.1 };

#[test]
fn gradient_of_the_loss_matches_central_differences() {
    let mut rng = Streams::new(3).rng("x");
    let (rows, width) = (150, 11);
    for rectified in [true, false] {
        let mut head = Head::new(4, width, rectified, Streams::new(4).rng("head"));
        let mut out: Vec<f32> = (0..rows * width).map(|_| StandardNormal.sample(&mut rng)).collect();
        let classes: Vec<[u32; 2]> = (0..rows as u32).map(|i| [i % 4, i * 7 % 3]).collect();
        // The definition, in double precision.
        let loss = |w: &[f32], out: &[f32]| {
            let f = |r: usize, c: u32| -> f64 {
                (0..width)
                    .map(|l| {
                        let h = f64::from(out[r * width + l]);
                        f64::from(w[c as usize * width + l]) * if rectified { h.max(0.0) } else { h }
                    })
                    .sum()
            };
            let each = classes.iter().enumerate().map(|(r, c)| (-f(r, c[0])).exp().ln_1p() + f(r, c[1]).exp().ln_1p());
            each.sum::<f64>() / (2 * rows) as f64
        };
        let mut signal = vec![0.0; out.len()];
        let (got, _) = head.pass(&out, &classes, &mut signal);
        assert!((got - loss(&head.w, &out)).abs() < 1e-6);
        head.gradient.fill(0.0);
        head_gradient(&head.h, &head.by, &classes, &mut head.gradient);
        let h = 1.0 / 128.0;
        for i in 0..head.w.len() {
            let (mut up, mut down) = (head.w.clone(), head.w.clone());
            (up[i], down[i]) = (up[i] + h, down[i] - h);
            let want = (loss(&up, &out) - loss(&down, &out)) / f64::from(2.0 * h);
            assert!((f64::from(head.gradient[i]) - want).abs() < 1e-5, "{i}: {} {want}", head.gradient[i]);
        }
        for i in (0..out.len()).step_by(37).filter(|i| !rectified || signal[*i] != 0.0) {
            let at = out[i];
            if rectified && at.abs() < 2.0 * h {
                continue;
            }
            let mut value = |v: f32| {
                out[i] = v;
                loss(&head.w, &out)
            };
            let want = (value(at + h) - value(at - h)) / f64::from(2.0 * h);
            out[i] = at;
            assert!((f64::from(signal[i]) - want).abs() < 1e-5, "{i}: {} {want}", signal[i]);
        }
    }
}

/// Mean of ln p_0/p_A over control, which is KL(p_0 ‖ p_A).
fn divergence(t: &Trained, s: &Samples) -> f64 {
    let f = t.ratio.values(s, 0, t.ratio.head()).unwrap();
    f64::from((&f.row(0) - &f.row(1)).mean().unwrap())
}

#[test]
fn a_trained_ratio_knows_the_divergence() {
    // One of two features shifted by 1.5: KL = 1.125.
    let s = samples(1500, 2, 1.5);
    let streams = Streams::new(5);
    for keep in [Keep::Train, Keep::HeldOut, Keep::Last] {
        let schedule = Schedule { keep, ..SCHEDULE };
        let standard = Standard::new(&s, 0..4, 1, Scale::Each).unwrap();
        let t = train(&s, mlp(&[2, 32, 16], 0.0), standard, &schedule, &streams, &|_| ()).unwrap();
        let got = divergence(&t, &s);
        assert!((got - 1.125).abs() < 0.2, "{keep:?}: {got}");
        assert!(t.accuracy > 0.6 && t.loss < 0.6 && t.held_out.is_some() == (keep == Keep::HeldOut));
    }
}

#[test]
fn a_convolutional_encoder_learns_too() {
    let s = samples(400, 2 * 16, 0.5);
    let form =
        ConvShape { image: [2, 4, 4], widths: vec![6, 8], shrink: Shrink::Stride, end: End::Average, slope: 0.2 };
    for dense in [None, Some(12)] {
        let net = ConvNet::new(form.clone(), &mut Streams::new(1).rng("conv")).unwrap();
        let dense = dense.map(|w| {
            let start = &mut Streams::new(1).rng("dense");
            MlpEncoder::new(Network::new(&[net.width(), 10, w], Activation::Relu, Start::Standard, start), 0.1)
        });
        let encoder = Box::new(ConvEncoder::new(net, dense));
        let standard = Standard::new(&s, 0..4, 16, Scale::Each).unwrap();
        let t = train(&s, encoder, standard, &SCHEDULE, &Streams::new(6), &|_| ()).unwrap();
        // The classes differ in the mean of a channel: KL = 16 0.5² / 2 = 2.
        let got = divergence(&t, &s);
        assert!(got > 1.0 && t.accuracy > 0.65, "{got} {}", t.accuracy);
    }
}

#[test]
fn features_are_brought_to_one_scale() {
    let mut s = samples(600, 2, 1.0);
    // Far from zero, and strongly correlated.
    let bend = |c: &Class| {
        let x = c.x().unwrap();
        Class::held(Array2::from_shape_fn((600, 2), |(i, f)| {
            500.0 + 3.0 * x[(i, 0)] + if f == 1 { 0.1 * x[(i, 1)] } else { 0.0 }
        }))
    };
    s.control = bend(&s.control);
    s.singles = s.singles.iter().map(bend).collect();
    s.pairs[0].both = bend(&s.pairs[0].both);
    for (scale, correlation) in [(Scale::Each, 0.99), (Scale::Whiten, 0.0)] {
        let standard = Standard::new(&s, 0..4, 1, scale).unwrap().unwrap();
        let mut all = Array2::<f32>::zeros((2400, 2));
        let picks: Vec<(u32, u32)> = (0..2400).map(|i| (i / 600, i % 600)).collect();
        fetch(&s, Some(&standard), &picks, all.view_mut()).unwrap();
        let all = all.mapv(f64::from);
        let covariance = numerics::linalg::symmetric_product(all.view()) / 2400.0;
        assert!((covariance[(0, 0)] - 1.0).abs() < 0.01 && (covariance[(1, 1)] - 1.0).abs() < 0.01, "{covariance}");
        assert!((covariance[(0, 1)].abs() - correlation).abs() < 0.011, "{covariance}");
        assert!(all.sum_axis(Axis(0)).iter().all(|m| m.abs() < 2400.0 * 1e-3));
    }
    assert!(Standard::new(&s, 0..4, 1, Scale::None).unwrap().is_none());
}

#[test]
fn threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let s = samples(900, 40, 0.5);
            let schedule = Schedule { epochs: 2, batch: 1024, ..SCHEDULE };
            let standard = Standard::new(&s, 0..4, 1, Scale::Each).unwrap();
            let t = train(&s, mlp(&[40, 64, 300], 0.2), standard, &schedule, &Streams::new(5), &|_| ()).unwrap();
            (t.loss, t.ratio.head().to_owned(), t.ratio.values(&s, 3, t.ratio.head()).unwrap())
        })
    };
    assert!(run(1) == run(4));
}

#[test]
fn training_that_cannot_go_on_says_why() {
    let s = samples(50, 2, 1.0);
    let error = |schedule: Schedule| {
        train(&s, mlp(&[2, 4], 0.0), None, &schedule, &Streams::new(5), &|_| ()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(error(Schedule { rate: 1e30, ..SCHEDULE }).contains("diverged in epoch"));
    assert!(error(Schedule { batch: 1, ..SCHEDULE }).contains("joint from marginal"));
    assert!(error(Schedule { epochs: 0, ..SCHEDULE }).contains("at least one epoch"));
}
