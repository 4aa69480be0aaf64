//! The network behind the gradient kernels: one training of [512, 512] on 640 rows of 256 features, and the time of
//! a step at several sizes, on the number of threads given (default 2). benches/mlp_torch.py does the same.
//!
//! cargo bench --profile dev -p screenwright-benches --bench mlp -- 2

use framework::prelude::*;
use learn::nn::network::{Activation, Network, Pass, Start};
use learn::nn::optimiser::Adam;
use plugins as _;
use rand_distr::{Distribution, StandardNormal};
use screenwright_benches::{milliseconds, screen};
use std::hint::black_box;

fn main() -> Result<()> {
    let threads = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::Numerical(e.to_string()))?;
    println!("{threads} threads");
    pool.install(|| {
        for (batch, widths) in
            [(256, &[256, 512, 512, 1][..]), (1024, &[128, 256, 1]), (128, &[32, 64, 1]), (64, &[808, 16, 1])]
        {
            step(batch, widths);
        }
        let (inputs, observed) = screen(640, 2140, 256);
        let streams = Streams::new(1);
        for members in [1, 3] {
            let form = serde_json::json!({ "use": "mlp", "members": members });
            let model: Box<dyn Model> = serde_json::from_value(form).map_err(|e| Error::Config(e.to_string()))?;
            let fit = || model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &streams });
            let t = milliseconds(3, || {
                black_box(fit().ok());
            });
            println!("training, {members} members: {:.0} ms (least {:.0})", t.0, t.1);
        }
        Ok(())
    })
}

fn step(batch: usize, widths: &[usize]) {
    let mut rng = Streams::new(1).rng("bench");
    let start = Start::Ntk { sigma_w: 0.2, sigma_b: 0.2, bias_sd: 0.0 };
    let mut network = Network::<f32>::new(widths, Activation::Relu, start, &mut rng);
    let mut normal = || -> f32 { StandardNormal.sample(&mut rng) };
    let x = Array2::from_shape_simple_fn((batch, widths[0]), &mut normal);
    let y = Array2::from_shape_simple_fn((batch, 1), normal);
    let (mut pass, mut adam) = (Pass::new(&network, batch), Adam::new(network.n_parameters()));
    let mut parts = [0.0; 3];
    let t = milliseconds(301, || {
        pass.input_mut().assign(&x);
        let at = std::time::Instant::now();
        pass.forward(&network);
        parts[0] += at.elapsed().as_secs_f64();
        let at = std::time::Instant::now();
        let (output, mut signal) = pass.output_and_signal();
        let factor = 2.0 / output.len() as f32;
        signal.zip_mut_with(&output, |s, f| *s = factor * f);
        signal.scaled_add(-factor, &y);
        pass.backward(&network);
        parts[1] += at.elapsed().as_secs_f64();
        let at = std::time::Instant::now();
        pass.step(&mut network, &mut adam, 0.001);
        parts[2] += at.elapsed().as_secs_f64();
    });
    let [forward, backward, update] = parts.map(|p| p / 302.0 * 1e6);
    println!(
        "batch {batch}, {widths:?}: {:.0} us a step (least {:.0}); mean forward {forward:.0}, backward {backward:.0}, \
         gradient and update {update:.0}",
        1e3 * t.0,
        1e3 * t.1
    );
}
