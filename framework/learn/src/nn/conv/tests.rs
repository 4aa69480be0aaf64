use super::*;
use ndarray::Array2;
use numerics::Real;
use numerics::streams::Streams;
use rand_distr::{Distribution, StandardNormal};

fn normal<T: Real>(n: usize, d: usize, name: &str) -> Array2<T> {
    let mut rng = Streams::new(8).rng(name);
    Array2::from_shape_simple_fn((n, d), || {
        let z: f64 = StandardNormal.sample(&mut rng);
        T::of(z)
    })
}

fn forms() -> Vec<ConvShape> {
    let form =
        |image, widths: &[usize], shrink, end, slope| ConvShape { image, widths: widths.to_vec(), shrink, end, slope };
    vec![
        form([2, 5, 6], &[3, 4], Shrink::Stride, End::Average, 0.2),
        form([1, 6, 4], &[3, 2], Shrink::MaxPool, End::Flatten, 0.0),
        form([3, 4, 4], &[2, 3, 2], Shrink::Stride, End::Flatten, 0.01),
    ]
}

fn net<T: Real>(form: &ConvShape) -> ConvNet<T> {
    let mut net = ConvNet::new(form.clone(), &mut Streams::new(3).rng("start")).unwrap();
    // γ and β away from 1 and 0, so that nothing cancels.
    net.parameters.iter_mut().enumerate().for_each(|(i, p)| *p += T::of(0.1 * ((i * 7 % 11) as f64 - 5.0) / 5.0));
    net
}

#[test]
fn a_level_is_its_definition() {
    let form = ConvShape { image: [2, 5, 6], widths: vec![3], shrink: Shrink::Stride, end: End::Flatten, slope: 0.2 };
    let (mut net, x) = (net::<f64>(&form), normal::<f64>(9, 60, "x"));
    let mut pass = ConvPass::default();
    let out = net.forward(x.view(), &mut pass);
    let weight = |ky: usize, kx: usize, c: usize, o: usize| net.parameters[((ky * 3 + kx) * 2 + c) * 3 + o];
    // Channel by channel over all images and places: 3 x 3 sums, normalised, leaky.
    for o in 0..3 {
        let mut z = vec![];
        for i in 0..9 {
            for oy in 0..3usize {
                for ox in 0..3usize {
                    let mut sum = 0.0;
                    for (ky, kx, c) in (0..18).map(|t| (t / 6, t / 2 % 3, t % 2)) {
                        let (y, xx) = (2 * oy + ky, 2 * ox + kx);
                        if (1..=5).contains(&y) && (1..=6).contains(&xx) {
                            sum += x[(i, c * 30 + (y - 1) * 6 + xx - 1)] * weight(ky, kx, c, o);
                        }
                    }
                    z.push(sum);
                }
            }
        }
        let mean = z.iter().sum::<f64>() / 81.0;
        let variance = z.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 81.0;
        for (at, v) in z.iter().enumerate() {
            let y = net.parameters[54 + o] * (v - mean) / (variance + 1e-5).sqrt() + net.parameters[57 + o];
            let want = if y > 0.0 { y } else { 0.2 * y };
            assert!((out[(at / 9, at % 9 * 3 + o)] - want).abs() < 1e-12);
        }
    }
}

#[test]
fn gradients_match_central_differences() {
    for form in forms() {
        let (mut net, x) = (net::<f64>(&form), normal::<f64>(11, form.image.iter().product(), "x"));
        let direction = normal::<f64>(11, net.width(), "direction");
        let mut pass = ConvPass::default();
        net.forward(x.view(), &mut pass);
        net.backward(direction.view(), &mut pass);
        let gradient = pass.gradient.clone();
        let mut worst = 0.0f64;
        for (i, g) in gradient.iter().enumerate() {
            let mut at = |h: f64| {
                net.parameters[i] += h;
                let value = (&net.forward(x.view(), &mut pass) * &direction).sum();
                net.parameters[i] -= h;
                value
            };
            let want = (at(1e-6) - at(-1e-6)) / 2e-6;
            worst = worst.max((g - want).abs() / want.abs().max(1.0));
        }
        assert!(worst < 1e-5, "{form:?}: {worst:e}");
    }
}

#[test]
fn prediction_uses_the_gathered_statistics() {
    for form in forms() {
        let (mut net, x) = (net::<f64>(&form), normal::<f64>(37, form.image.iter().product(), "x"));
        let mut pass = ConvPass::default();
        let mut out = Array2::zeros((0, 0));
        for _ in 0..400 {
            out = net.forward(x.view(), &mut pass);
        }
        // Statistics of the same batch, but for the divisor n - 1.
        let evaluated = net.predict(x.view());
        assert!((&evaluated - &out).iter().all(|d| d.abs() < 0.1), "{form:?}");
    }
}

#[test]
fn threads_change_no_bit_and_small_images_are_refused() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let form = ConvShape {
                image: [3, 12, 12],
                widths: vec![8, 9],
                shrink: Shrink::MaxPool,
                end: End::Average,
                slope: 0.1,
            };
            let (mut net, x) = (net::<f32>(&form), normal::<f32>(50, 432, "x"));
            let mut pass = ConvPass::default();
            let out = net.forward(x.view(), &mut pass);
            net.backward(out.view(), &mut pass);
            (out, pass.gradient, net.predict(x.view()))
        })
    };
    assert!(run(1) == run(4));
    let form =
        ConvShape { image: [1, 4, 4], widths: vec![2; 3], shrink: Shrink::MaxPool, end: End::Average, slope: 0.0 };
    let e = ConvNet::<f32>::new(form, &mut Streams::new(1).rng("x")).unwrap_err().to_string();
    assert!(e.contains("level 3 has 1 x 1 left"), "{e}");
}
