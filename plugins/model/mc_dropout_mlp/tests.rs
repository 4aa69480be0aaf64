use super::*;
use framework::domain::Readouts;
use framework::testing::TinyWorld;

fn fit(model: &McDropoutMlp, inputs: &Arc<Inputs>, observed: &Observed) -> Result<Box<dyn Surrogate>> {
    model.fit(&FitContext { inputs, observed, streams: &Streams::new(1).child("model") })
}

fn recorded(s: &dyn Surrogate, name: &str) -> Option<f64> {
    s.record().into_iter().find(|(n, _)| n.ends_with(name)).map(|r| r.1)
}

/// Readouts of the first `n` of 400 perturbations, a bent function of the features and some noise.
fn bent(n: usize) -> (TinyWorld, Observed, Array1<f64>) {
    let world = TinyWorld::new(400, 3, 1, false, 2).unwrap();
    let x = world.inputs.features(&(0..400).collect::<Vec<_>>());
    let truth: Array1<f64> = x.outer_iter().map(|x| 3.0 * x[0].abs() + x[1] + 10.0).collect();
    let noisy = world.observe(&(0..n).collect::<Vec<_>>(), 1).unwrap();
    let y = Array2::from_shape_fn((n, 1), |(i, _)| truth[i] + 4.0 * (noisy.y[(i, 0)] - world.truth[(i, 0)]));
    let mut observed = Observed::empty(1);
    observed.push(&Readouts::plain(&(0..n).collect::<Vec<_>>(), y), 0).unwrap();
    (world, observed, truth)
}

#[test]
fn learns_a_bent_function_better_than_mean_and_ridge() {
    let (world, observed, truth) = bent(300);
    let test: Vec<usize> = (300..400).collect();
    let error = |s: &dyn Surrogate| {
        let p = s.predict(&test).unwrap();
        (test.iter().zip(&p.mean).map(|(i, m)| (truth[*i] - m).powi(2)).sum::<f64>() / 100.0).sqrt()
    };
    let ridge: Box<dyn Model> = serde_json::from_value(serde_json::json!({ "use": "ridge" })).unwrap();
    let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
    let ridge = error(&*ridge.fit(&cx).unwrap());
    let model = McDropoutMlp { epochs: 600, learning_rate: 0.01, batch: 32, ..McDropoutMlp::default() };
    let own = error(&*fit(&model, &world.inputs, &observed).unwrap());
    assert!(own < 0.75 * ridge, "{own} against {ridge} of ridge");
}

#[test]
fn mean_and_sd_are_those_of_the_functions_whatever_the_tiles() {
    for outputs in [1, 3] {
        let world = TinyWorld::new(600, 5, outputs, false, 3).unwrap();
        let observed = world.observe(&(0..90).collect::<Vec<_>>(), 1).unwrap();
        for (masks, dropout) in [(100, 0.5), (7, 0.2)] {
            let model = McDropoutMlp { masks, dropout, epochs: 20, ..McDropoutMlp::default() };
            let s = fit(&model, &world.inputs, &observed).unwrap();
            let ids: Vec<usize> = (0..600).rev().collect();
            let (p, f) = (s.predict(&ids).unwrap(), s.functions().unwrap().evaluate(&ids).unwrap());
            assert_eq!(f.dim(), (masks, 600, outputs));
            let mean = f.mean_axis(Axis(0)).unwrap();
            let sd = (&f - &mean).mapv(|v| v * v).mean_axis(Axis(0)).unwrap().mapv(f64::sqrt);
            let own = p.sd.unwrap();
            assert!(own.iter().all(|s| *s > 0.0));
            assert!((&p.mean - &mean).iter().chain(&(&own - &sd)).all(|d| d.abs() < 1e-9));
            // A function is a function: the same value alone, in another order, and on the next call.
            let some = s.functions().unwrap().evaluate(&[599, 0, 300]).unwrap();
            for m in 0..masks {
                for (i, id) in [599, 0, 300].into_iter().enumerate() {
                    assert_eq!(
                        some.slice(framework::ndarray::s![m, i, ..]),
                        f.slice(framework::ndarray::s![m, 599 - id, ..])
                    );
                }
            }
            // A draw is one too, of masks of its own.
            let draw = |ids: &[usize]| s.draws().unwrap().draw(ids, 5, &mut Streams::new(4).rng("draw")).unwrap();
            let all = draw(&ids);
            assert_eq!(draw(&[10]).index_axis(Axis(1), 0), all.index_axis(Axis(1), 589));
            assert!(all.index_axis(Axis(0), 0) != all.index_axis(Axis(0), 1));
            // relu(m z) = m relu(z): the mean of many draws is the network without dropout.
            let many = s.draws().unwrap().draw(&[10], 40_000, &mut Streams::new(5).rng("draw")).unwrap();
            let by_layers = s.layers().unwrap().factors(&[10], 0, Array2::eye(outputs).view()).unwrap();
            let h = s.representation().unwrap().embed(&[10]).unwrap();
            assert!((0..h.ncols()).all(|u| (h[(0, u)] - by_layers[1].input[(0, u)]).abs() < 1e-5));
            for o in 0..outputs {
                let values = many.slice(framework::ndarray::s![.., 0, o]);
                let (mean, sd) = (values.mean().unwrap(), values.std(0.0));
                let near = s.predict(&[10]).unwrap();
                assert!((mean - near.mean[(0, o)]).abs() < 6.0 * sd / (masks as f64).sqrt());
            }
        }
    }
}

#[test]
fn variance_has_its_gradient_and_is_that_of_predict() {
    let world = TinyWorld::new(80, 6, 2, false, 3).unwrap();
    let observed = world.observe(&(0..60).collect::<Vec<_>>(), 1).unwrap();
    for input_scale in [InputScale::Standard, InputScale::Raw] {
        let model = McDropoutMlp { input_scale, epochs: 30, ..McDropoutMlp::default() };
        let s = fit(&model, &world.inputs, &observed).unwrap();
        let ids: Vec<usize> = (40..80).collect();
        let x = world.inputs.features(&ids);
        let (variance, gradient) = s.variance_gradient().unwrap().at(x.view()).unwrap();
        let sd = s.predict(&ids).unwrap().sd.unwrap();
        for i in 0..40 {
            let want: f64 = sd.row(i).iter().map(|s| s * s).sum();
            assert!((variance[i] / want - 1.0).abs() < 1e-3, "{} {want}", variance[i]);
            for j in 0..6 {
                let by = |h: f64| {
                    let mut x = x.clone();
                    x[(i, j)] += h;
                    s.variance_gradient().unwrap().at(x.view()).unwrap().0[i]
                };
                let want = (by(1e-7) - by(-1e-7)) / 2e-7;
                let near = 1e-5 * variance[i].max(want.abs()).max(1e-3);
                assert!((gradient[(i, j)] - want).abs() < near, "{i} {j}: {} {want}", gradient[(i, j)]);
            }
        }
    }
}

#[test]
fn protocols_stop_by_the_loss_they_say() {
    let (world, observed, _) = bent(40);
    // Pure noise: held out error soon rises while training error falls on.
    let mut noise = observed.clone();
    let mut rng = Streams::new(8).rng("noise");
    noise.y.mapv_inplace(|_| rng.random_range(-1.0..1.0));
    let paper = McDropoutMlp { hidden: vec![16], learning_rate: 0.02, epochs: 400, ..McDropoutMlp::default() };
    let s = fit(&paper, &world.inputs, &noise).unwrap();
    let stopped = recorded(&*s, "epochs").unwrap();
    assert!(stopped < 400.0 && stopped > 13.0, "{stopped}");
    // With more patience, the same start, masks and order: the loss can only be lower.
    let patient = McDropoutMlp { patience: 400, ..paper };
    let longer = fit(&patient, &world.inputs, &noise).unwrap();
    assert_eq!(recorded(&*longer, "epochs"), Some(400.0));
    assert!(recorded(&*longer, "loss") <= recorded(&*s, "loss"));
    // The kept network is the one of the recorded loss: its error on the held out rows is that.
    let held = patient.held_out(&noise, &Streams::new(1).child("model"));
    let rows: Vec<usize> = (0..40).filter(|r| held[0][*r]).collect();
    assert_eq!(rows.len(), 8);
    let scaling = Scaling::new("t", &*world.inputs, &noise.ids, &noise.y, OutputScale::Together).unwrap();
    let f = {
        // Mean over masks -> without dropout: from the layers' inputs.
        let layers = longer.layers().unwrap().factors(&rows, 0, Array2::eye(1).view()).unwrap();
        let h = longer.representation().unwrap().embed(&rows).unwrap();
        assert_eq!(layers[1].input.ncols(), h.ncols() + 1);
        longer.draws().unwrap().draw(&rows, 100_000, &mut Streams::new(3).rng("d")).unwrap().mean_axis(Axis(0)).unwrap()
    };
    let error = rows.iter().enumerate().map(|(i, r)| ((f[(i, 0)] - noise.y[(*r, 0)]) / scaling.y_sd[0]).powi(2));
    let error = error.sum::<f64>() / 8.0;
    let loss = recorded(&*longer, "loss").unwrap();
    assert!((error / loss - 1.0).abs() < 0.05, "{error} {loss}");
    // In the code's protocol what is held out changes nothing.
    let code = McDropoutMlp { protocol: Protocol::Code, epochs: 30, ..McDropoutMlp::default() };
    let a = fit(&code, &world.inputs, &noise).unwrap();
    assert_eq!(recorded(&*a, "hidden"), Some(16.0));
    let held = code.held_out(&noise, &Streams::new(1).child("model"));
    let mut other = noise.clone();
    // Swaps two held out readouts: the scale stays, and so does all else.
    let rows: Vec<usize> = (0..40).filter(|r| held[0][*r]).collect();
    assert_eq!((held.len(), rows.len()), (1, 8));
    other.y.swap((rows[0], 0), (rows[1], 0));
    let b = fit(&code, &world.inputs, &other).unwrap();
    let near = |a: &dyn Surrogate, b: &dyn Surrogate| {
        let d = a.predict(&[1, 50]).unwrap().mean - b.predict(&[1, 50]).unwrap().mean;
        d.iter().all(|d| d.abs() < 1e-4)
    };
    assert!(near(&*a, &*b));
    let paper = McDropoutMlp { patience: 5, ..McDropoutMlp::default() };
    let moved = fit(&paper, &world.inputs, &other).unwrap();
    assert!(recorded(&*moved, "loss") != recorded(&*fit(&paper, &world.inputs, &noise).unwrap(), "loss"));
}

#[test]
fn replicates_are_held_out_together_and_folds_do_not_overlap() {
    let world = TinyWorld::new(60, 3, 1, false, 3).unwrap();
    let ids: Vec<usize> = (0..50).chain(10..40).collect();
    let observed = world.observe(&ids, 1).unwrap();
    let model = McDropoutMlp { folds: 5, ..McDropoutMlp::default() };
    let folds = model.held_out(&observed, &Streams::new(1));
    let mut times = vec![0; 60];
    for held in &folds {
        let of: std::collections::HashSet<usize> = (0..80).filter(|r| held[*r]).map(|r| ids[r]).collect();
        assert_eq!(of.len(), 10);
        assert!((0..80).all(|r| held[r] == of.contains(&ids[r])));
        of.iter().for_each(|id| times[*id] += 1);
    }
    assert!(times[..50].iter().all(|t| *t == 1));
}

#[test]
fn units_are_chosen_by_what_is_held_out() {
    let (world, observed, _) = bent(200);
    // One unit cannot bend as |x| + another does; sixteen can.
    let settings = |hidden: Vec<usize>| McDropoutMlp {
        hidden,
        learning_rate: 0.02,
        epochs: 300,
        batch: 32,
        folds: 2,
        ..McDropoutMlp::default()
    };
    let s = fit(&settings(vec![1, 16]), &world.inputs, &observed).unwrap();
    assert_eq!(recorded(&*s, "hidden"), Some(16.0));
    // The kept network is the one that a choice of its number of units alone trains.
    let alone = fit(&settings(vec![16]), &world.inputs, &observed).unwrap();
    assert_eq!(alone.predict(&[3, 300]).unwrap().mean, s.predict(&[3, 300]).unwrap().mean);
    // A search in the code's protocol keeps the least absolute error.
    let code = |search| McDropoutMlp { protocol: Protocol::Code, search, ..settings(vec![1, 16]) };
    let found = fit(&code(6), &world.inputs, &observed).unwrap();
    let fewer = fit(&code(1), &world.inputs, &observed).unwrap();
    assert!(recorded(&*found, "held_out_mae") <= recorded(&*fewer, "held_out_mae"));
    assert_eq!(recorded(&*found, "hidden"), Some(16.0));
}

#[test]
fn threads_change_no_bit() {
    let world = TinyWorld::new(900, 90, 1, false, 3).unwrap();
    let observed = world.observe(&(0..300).collect::<Vec<_>>(), 1).unwrap();
    let run = |threads: usize, batch: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let model = McDropoutMlp { batch, hidden: vec![4, 48], epochs: 8, ..McDropoutMlp::default() };
        pool.install(|| {
            let s = fit(&model, &world.inputs, &observed).unwrap();
            let ids: Vec<usize> = (0..900).collect();
            let p = s.predict(&ids).unwrap();
            (
                p.mean,
                p.sd,
                s.functions().unwrap().evaluate(&[7, 800]).unwrap(),
                s.variance_gradient().unwrap().at(world.inputs.features(&ids).view()).unwrap(),
            )
        })
    };
    assert!(run(1, 64) == run(4, 64));
    assert!(run(1, 256) == run(4, 256));
}

#[test]
fn constants_and_few_rows_are_predicted() {
    let world = TinyWorld::new(30, 4, 2, false, 3).unwrap();
    let mut observed = world.observe(&(0..20).collect::<Vec<_>>(), 1).unwrap();
    observed.y.column_mut(1).fill(0.1);
    for output_scale in [OutputScale::Each, OutputScale::Raw] {
        let p = fit(&McDropoutMlp { output_scale, ..McDropoutMlp::default() }, &world.inputs, &observed).unwrap();
        let p = p.predict(&[1, 25]).unwrap();
        let sd = p.sd.unwrap();
        assert!((p.mean[(1, 1)] - 0.1).abs() < 1e-12 && sd[(0, 1)] == 0.0 && sd[(0, 0)] > 0.0);
    }
    for n in 1..7 {
        for protocol in [Protocol::Paper, Protocol::Code] {
            let few = world.observe(&(0..n).collect::<Vec<_>>(), 1).unwrap();
            let s = fit(&McDropoutMlp { protocol, ..McDropoutMlp::default() }, &world.inputs, &few).unwrap();
            s.predict(&[1, 25]).unwrap().check(2, 2).unwrap();
            assert_eq!(recorded(&*s, "held_out_mae").is_some(), n >= 5);
        }
    }
    let one = world.observe(&[7], 1).unwrap();
    let p = fit(&McDropoutMlp::default(), &world.inputs, &one).unwrap().predict(&[1, 25]).unwrap();
    assert!(p.mean.outer_iter().all(|r| r == one.y.row(0)) && p.sd.unwrap().iter().all(|s| *s == 0.0));
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let world = TinyWorld::new(30, 4, 1, false, 3).unwrap();
    let observed = world.observe(&(0..20).collect::<Vec<_>>(), 1).unwrap();
    let base = McDropoutMlp::default;
    let refused = |model: McDropoutMlp| fit(&model, &world.inputs, &observed).err().unwrap().to_string();
    assert!(refused(McDropoutMlp { hidden: vec![], ..base() }).contains("`hidden`"));
    assert!(refused(McDropoutMlp { masks: 0, ..base() }).contains("`masks`"));
    assert!(refused(McDropoutMlp { dropout: 1.0, ..base() }).contains("`dropout`"));
    assert!(refused(McDropoutMlp { folds: 6, ..base() }).contains("`folds`"));
    assert!(refused(McDropoutMlp { search: 3, ..base() }).contains("`search`"));
    assert!(refused(McDropoutMlp { learning_rate: f64::NAN, ..base() }).contains("`learning_rate`"));
    let diverged = refused(McDropoutMlp { learning_rate: 1e30, ..base() });
    assert!(diverged.contains("diverged") && diverged.contains("`learning_rate`"), "{diverged}");
    let nothing = Arc::new(Inputs::new(world.inputs.pool().clone(), vec![], Compose::Sum).unwrap());
    assert!(fit(&base(), &nothing, &observed).err().unwrap().to_string().contains("[prior.NAME]"));
    let with = |row: usize, value: f64| {
        let mut x = Array2::from_shape_fn((30, 2), |(i, j)| (i * (j + 1) % 7) as f64);
        x[(row, 1)] = value;
        // A block refuses such a value; a model may meet it where a file was read elsewhere.
        let mut block = Block::new("b", Array2::zeros((30, 2)), vec![true; 30]).unwrap();
        block.x = x;
        Arc::new(Inputs::new(world.inputs.pool().clone(), vec![Arc::new(block)], Compose::Sum).unwrap())
    };
    let want = |row: usize| {
        format!(
            "model mc_dropout_mlp: feature 1 of perturbation `G0{row:02}` is NaN; features must be finite, so \
             correct the prior's table"
        )
    };
    assert_eq!(fit(&base(), &with(4, f64::NAN), &observed).err().unwrap().to_string(), want(4));
    // Among those not measured it is found when they are asked for.
    let s = fit(&base(), &with(25, f64::NAN), &observed).unwrap();
    assert_eq!(s.predict(&[24, 25]).unwrap_err().to_string(), want(25));
}
