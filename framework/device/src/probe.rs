//! A device is used only after it has given the CPU's answers on a small known pattern.

use crate::contract::{Device, Picks, Result, Tile};
use crate::cpu::Cpu;
use ndarray::{Array2, s};

/// Gives a device that still has to pass the probe, or says why there is none.
pub type Start = fn() -> std::result::Result<Box<dyn Device>, String>;

/// The device that `start` gives, if it starts and computes rightly; otherwise the reason.
pub fn accept(start: Start) -> std::result::Result<Box<dyn Device>, String> {
    let device = start()?;
    match probe(device.as_ref()) {
        Ok(None) => Ok(device),
        Ok(Some(what)) => Err(format!("{} gave a wrong answer for {what} on a known pattern", device.name())),
        Err(error) => Err(error.to_string()),
    }
}

/// What the device gets wrong, if anything.
fn probe(device: &dyn Device) -> Result<Option<&'static str>> {
    // Odd sizes, so that padding is exercised; values from a full-period congruence.
    let mut state = 12345u32;
    let x = Array2::from_shape_fn((149, 37), |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    });
    let (rows, others) = (x.slice(s![..140, ..]), x.slice(s![140.., ..]));
    let none = others.slice(s![..0, ..]);
    for tile in [Tile::Product, Tile::SqDistance] {
        let (here, there) = (Cpu.reduce(rows, others, tile)?, device.reduce(rows, others, tile)?);
        let same = here.argmin == there.argmin
            && here.argmax == there.argmax
            && near(&here.min, &there.min)
            && near(&here.max, &there.max)
            && near(&here.sum, &there.sum);
        if !same {
            return Ok(Some("reductions over pairs of rows"));
        }
    }
    let (left, right) = (rows.slice(s![.., 3..20]), others.slice(s![.., 5..22]));
    for tile in [Tile::Product, Tile::Rbf { length: 3.0 }] {
        let forms = |device: &dyn Device| device.quadratic_forms(rows, others, tile, left, right);
        let (here, there) = (forms(&Cpu)?, forms(device)?);
        let single = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
        if !near(&single(&here.forms), &single(&there.forms))
            || !near(&single(&here.row_sums), &single(&there.row_sums))
        {
            return Ok(Some("quadratic forms"));
        }
    }
    type Rule<'a> = &'a dyn Fn(&dyn Device) -> Result<Picks>;
    let rules: [(&str, Rule); 4] = [
        ("max_dist", &|device| device.max_dist(rows, none, 6)),
        ("lcmd", &|device| device.lcmd(rows, others, 6)),
        ("max_det", &|device| device.max_det(rows, none, 0.1, 6)),
        ("bait", &|device| device.bait(rows, others, 0.5, 4, false)),
    ];
    for (what, rule) in rules {
        let (here, there) = (rule(&Cpu)?, rule(device)?);
        let (rows_here, scores_here): (Vec<_>, Vec<_>) = here.into_iter().unzip();
        let (rows_there, scores_there): (Vec<_>, Vec<_>) = there.into_iter().unzip();
        if rows_here != rows_there || !near(&scores_here, &scores_there) {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + a.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Forms, Reduced};
    use ndarray::ArrayView2;

    /// The CPU, spoiled in one place.
    struct Broken(&'static str);

    impl Broken {
        fn spoil(&self, rule: &str, picks: Result<Picks>) -> Result<Picks> {
            let mut picks = picks?;
            if self.0 == rule {
                picks.swap(0, 1);
            }
            Ok(picks)
        }
    }

    impl Device for Broken {
        fn name(&self) -> String {
            "a broken device".into()
        }
        fn reduce(&self, a: ArrayView2<f32>, b: ArrayView2<f32>, tile: Tile) -> Result<Reduced> {
            let mut reduced = Cpu.reduce(a, b, tile)?;
            match self.0 {
                // What a device returns whose kernels never ran.
                "zeros" => reduced.sum.fill(0.0),
                "nan" => reduced.max[3] = f32::NAN,
                "dead" => {
                    let (device, cause) = (self.name(), "it was unplugged".to_owned());
                    return Err(Error::Failed { device, cause });
                }
                _ => {}
            }
            Ok(reduced)
        }
        fn quadratic_forms(
            &self,
            x: ArrayView2<f32>,
            y: ArrayView2<f32>,
            tile: Tile,
            left: ArrayView2<f32>,
            right: ArrayView2<f32>,
        ) -> Result<Forms> {
            let mut forms = Cpu.quadratic_forms(x, y, tile, left, right)?;
            if self.0 == "forms" {
                forms.forms[2] = 0.0;
            }
            Ok(forms)
        }
        fn max_dist(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, batch: usize) -> Result<Picks> {
            self.spoil("max_dist", Cpu.max_dist(rows, centres, batch))
        }
        fn lcmd(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, batch: usize) -> Result<Picks> {
            self.spoil("lcmd", Cpu.lcmd(rows, centres, batch))
        }
        fn max_det(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, s: f32, batch: usize) -> Result<Picks> {
            self.spoil("max_det", Cpu.max_det(rows, centres, s, batch))
        }
        fn bait(&self, rows: ArrayView2<f32>, train: ArrayView2<f32>, s: f32, b: usize, on: bool) -> Result<Picks> {
            self.spoil("bait", Cpu.bait(rows, train, s, b, on))
        }
    }

    #[test]
    fn a_device_that_computes_wrongly_is_refused_with_the_reason() {
        let cases: [(Start, &str); 9] = [
            (|| Ok(Box::new(Broken("forms"))), "quadratic forms"),
            (|| Ok(Box::new(Broken("zeros"))), "reductions over pairs of rows"),
            (|| Ok(Box::new(Broken("nan"))), "reductions over pairs of rows"),
            (|| Ok(Box::new(Broken("max_dist"))), "max_dist"),
            (|| Ok(Box::new(Broken("lcmd"))), "lcmd"),
            (|| Ok(Box::new(Broken("max_det"))), "max_det"),
            (|| Ok(Box::new(Broken("bait"))), "bait"),
            (|| Ok(Box::new(Broken("dead"))), "it was unplugged"),
            (|| Err("there is none".into()), "there is none"),
        ];
        for (start, part) in cases {
            let reason = accept(start).err().unwrap();
            assert!(reason.contains(part), "{reason}");
        }
        assert!(accept(|| Ok(Box::new(Broken("nowhere")))).is_ok());
    }

    #[test]
    fn a_device_that_fails_later_is_replaced_by_the_cpu() {
        let x = ndarray::arr2(&[[1.0f32], [3.0]]);
        let call = |device: &dyn Device| device.reduce(x.view(), x.view(), Tile::SqDistance);
        let (reduced, reason) = crate::with_fallback(&Broken("dead"), call).unwrap();
        assert_eq!(reduced, Cpu.reduce(x.view(), x.view(), Tile::SqDistance).unwrap());
        assert!(reason.unwrap().contains("it was unplugged"));
        assert_eq!(crate::with_fallback(&Cpu, call).unwrap().1, None);
        // What is wrong with the input is wrong on the CPU too.
        let none = x.slice(s![..0, ..]);
        assert!(crate::with_fallback(&Cpu, |device| device.reduce(x.view(), none, Tile::Product)).is_err());
    }
}
