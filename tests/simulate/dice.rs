//! Draws everything that a simulation leaves to chance, from its seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A seeded sequence. What is drawn in the same order is the same.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<ChaCha8Rng>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha8Rng::seed_from_u64(seed)))
    }

    /// 0 up to but not including `below`.
    pub(crate) fn below(&self, below: u64) -> u64 {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        random.next_u64() % below.max(1)
    }

    /// Whether one chance in a thousand times `per_mille` is hit.
    pub(crate) fn hits(&self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub(crate) fn pick<T: Copy>(&self, of: &[T]) -> T {
        let index = usize::try_from(self.below(of.len().try_into().unwrap())).unwrap();
        of[index]
    }

    /// Between two numbers of milliseconds.
    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }
}
