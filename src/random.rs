//! The only source of randomness: the system's, or a seed for what must be repeatable.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::{Builder, Uuid};

/// Draws random bytes. Clones share the same sequence.
#[derive(Clone)]
pub struct Random(Arc<Mutex<ChaCha8Rng>>);

impl Random {
    /// A sequence that nobody can repeat.
    #[must_use]
    pub fn system() -> Self {
        let mut seed = [0; 32];
        let halves = [Uuid::new_v4(), Uuid::new_v4()];
        for (byte, drawn) in seed.iter_mut().zip(halves.iter().flat_map(Uuid::as_bytes)) {
            *byte = *drawn;
        }
        Self(Arc::new(Mutex::new(ChaCha8Rng::from_seed(seed))))
    }

    /// The one sequence of `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// The next bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        // A draw cannot be left half done by a panic.
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        random.fill_bytes(&mut bytes);
        bytes
    }

    /// A number from 0 to 1, both included, each as likely as another.
    #[must_use]
    pub fn share(&self) -> f64 {
        f64::from(u32::from_le_bytes(self.bytes())) / f64::from(u32::MAX)
    }

    /// A version 4 UUID.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_the_system_does_not() {
        let [a, b] = [Random::seeded(7), Random::seeded(7)];
        assert_eq!(a.bytes::<10>(), b.bytes::<10>());
        assert_eq!(a.uuid(), b.uuid());
        assert_ne!(a.uuid(), Random::seeded(8).uuid());
        assert_ne!(Random::system().uuid(), Random::system().uuid());
    }
}
