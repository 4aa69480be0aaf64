//! The network in force: the settings of a preset, what replaces them, and the encoder that they describe.

use super::{Kind, Preset, SeparabilityNre};
use framework::domain::Samples;
use framework::prelude::*;
use learn::density::ratio::{ConvEncoder, Encoder, MlpEncoder, Schedule, Standard, Trained, train};
use learn::nn::conv::{ConvNet, ConvShape, End, Shrink};
use learn::nn::network::{Activation, Network, Start};

/// The settings in force.
pub(super) struct Settings {
    pub(super) kind: Kind,
    pub(super) widths: Vec<usize>,
    pub(super) shrink: Shrink,
    pub(super) slope: f64,
    pub(super) hidden: Vec<usize>,
    pub(super) dropout: f64,
    pub(super) schedule: Schedule,
}

impl SeparabilityNre {
    pub(super) fn settings(&self, image: Option<[usize; 3]>) -> Result<Settings> {
        let wrong = |text: String| Err(Error::Config(format!("separability_nre: {text}")));
        let preset = self.preset.unwrap_or(if image.is_some() { Preset::Images } else { Preset::Tabular });
        let images: &[usize] = &[32, 54, 128, 256, 512];
        let (kind, widths, hidden, dropout, rate, epochs, batch): (_, _, &[usize], _, _, _, _) = match preset {
            Preset::Tabular => (Kind::Mlp, images, &[128, 64], 0.0, 5e-3, 500, 1024),
            Preset::Images => (Kind::Conv, images, &[], 0.0, 2e-4, 200, 1024),
            Preset::GeneEmbeddings => (Kind::Mlp, images, &[2048, 256], 0.0, 1e-4, 2500, 16384),
            Preset::Guides => (Kind::Conv, &[32, 64, 128], &[256, 128], 0.3, 5e-5, 5000, 2048),
        };
        let kind = self.encoder.unwrap_or(kind);
        if kind == Kind::Conv && image.is_none() {
            return wrong(
                "a convolutional encoder needs images, and these samples are rows of features; use encoder = \"mlp\" or \
                 preset = \"tabular\""
                    .into(),
            );
        }
        let (shrink, slope) = match preset {
            Preset::Guides => (Shrink::MaxPool, 0.0),
            _ => (Shrink::Stride, 0.01),
        };
        let settings = Settings {
            kind,
            widths: self.widths.clone().unwrap_or_else(|| widths.to_vec()),
            shrink,
            slope,
            hidden: self.hidden.clone().unwrap_or_else(|| hidden.to_vec()),
            dropout: self.dropout.unwrap_or(dropout),
            schedule: Schedule {
                rate: self.rate.unwrap_or(rate),
                epochs: self.epochs.unwrap_or(epochs),
                batch: self.batch.unwrap_or(batch),
                keep: self.keep,
                held_out: self.held_out,
            },
        };
        let s = &settings.schedule;
        if settings.hidden.contains(&0) || kind == Kind::Mlp && settings.hidden.is_empty() {
            return wrong(format!("`hidden` = {:?}; give at least one width, none of them 0", settings.hidden));
        }
        if !(s.rate > 0.0 && s.rate.is_finite()) || s.epochs == 0 || s.batch < 2 {
            return wrong(format!(
                "`rate` = {}, `epochs` = {}, `batch` = {}; they must be above 0, at least 1 and at least 2",
                s.rate, s.epochs, s.batch
            ));
        }
        let inside = |v: f64| v > 0.0 && v < 1.0;
        if !(0.0..1.0).contains(&settings.dropout) || !inside(self.held_out) {
            return wrong(format!(
                "`dropout` = {} and `held_out` = {}; both are shares below 1, and `held_out` is above 0",
                settings.dropout, self.held_out
            ));
        }
        if !(self.tau > 0.0 && self.tau <= 100.0) {
            return wrong(format!("`tau` = {}; it must be above 0 and at most 100", self.tau));
        }
        Ok(settings)
    }

    /// A network ready to be trained on samples.
    fn encoder(&self, settings: &Settings, samples: &Samples, streams: &Streams) -> Result<Box<dyn Encoder>> {
        let dense = |inputs: usize| {
            let widths: Vec<usize> = std::iter::once(inputs).chain(settings.hidden.iter().copied()).collect();
            let rng = &mut streams.rng("dense");
            MlpEncoder::new(Network::new(&widths, Activation::Relu, Start::Standard, rng), settings.dropout)
        };
        match (settings.kind, samples.image) {
            (Kind::Conv, Some(image)) => {
                if image.iter().product::<usize>() != samples.n_features() {
                    return Err(Error::Data(format!(
                        "samples of {} numbers are no images of {image:?}",
                        samples.n_features()
                    )));
                }
                let (widths, shrink, slope) = (settings.widths.clone(), settings.shrink, settings.slope);
                let form = ConvShape { image, widths, shrink, end: End::Flatten, slope };
                let net = ConvNet::new(form, &mut streams.rng("convolutions"))?;
                let dense = (!settings.hidden.is_empty()).then(|| dense(net.width()));
                Ok(Box::new(ConvEncoder::new(net, dense)))
            }
            _ => Ok(Box::new(dense(samples.n_features()))),
        }
    }

    pub(super) fn trained(&self, cx: &TestContext, settings: &Settings, steps: usize) -> Result<Trained> {
        let samples = cx.samples;
        let streams = cx.streams.child("separability_nre");
        let encoder = self.encoder(settings, samples, &streams)?;
        let together = match (settings.kind, samples.image) {
            (Kind::Conv, Some([_, h, w])) => h * w,
            _ => 1,
        };
        let standard = Standard::new(samples, 0..samples.n_classes(), together, self.standardise)?;
        Ok(train(samples, encoder, standard, &settings.schedule, &streams, &|epoch| cx.tick(epoch, steps))?)
    }
}
