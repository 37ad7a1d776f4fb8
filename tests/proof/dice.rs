//! Seeded chance, and the knobs that a run is set with.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Seeded chance. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Arc<Mutex<ChaCha8Rng>>);

impl Dice {
    /// The chance of one part of a world: each part has its own, so that one does not shift another.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(part);
        Self(Arc::new(Mutex::new(random)))
    }

    /// A number of `range`.
    pub(crate) fn within(&self, range: Range<u64>) -> u64 {
        let drawn = self.0.lock().unwrap().next_u64();
        range.start + drawn % (range.end - range.start)
    }

    /// Whether something happens that happens `times` of a hundred.
    pub(crate) fn percent(&self, times: u64) -> bool {
        self.within(0..100) < times
    }

    pub(crate) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }
}

/// A number from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a run is set by the variables of its command"
)]
pub(crate) fn knob(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text}: not a number")),
        Err(_) => default,
    }
}
