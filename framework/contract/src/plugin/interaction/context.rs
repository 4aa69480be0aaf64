//! What an interaction test is handed.

use crate::domain::Samples;
use device::Device;
use numerics::streams::Streams;

/// What a test is given.
pub struct TestContext<'a> {
    /// Samples of control, singles and pairs, checked to be finite, non-empty and of equal width.
    pub samples: &'a Samples,
    /// Streams of this test.
    pub streams: &'a Streams,
    device: Option<&'a dyn Device>,
    progress: Option<&'a (dyn Fn(usize, usize) + Sync)>,
}

impl<'a> TestContext<'a> {
    /// Without a GPU, telling nobody how far it is.
    pub fn new(samples: &'a Samples, streams: &'a Streams) -> Self {
        Self { samples, streams, device: None, progress: None }
    }

    /// A GPU for tests that can use one.
    pub fn with_device(self, device: Option<&'a dyn Device>) -> Self {
        Self { device, ..self }
    }

    /// Somebody to tell how far a long test has come: steps done and steps in all.
    pub fn with_progress(self, progress: &'a (dyn Fn(usize, usize) + Sync)) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// The GPU, if there is one.
    pub fn device(&self) -> Option<&'a dyn Device> {
        self.device
    }

    /// Tells how far the test has come. Tests that may take seconds call it now and then.
    pub fn tick(&self, done: usize, of: usize) {
        if let Some(p) = self.progress {
            p(done, of);
        }
    }
}
