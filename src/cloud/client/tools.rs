//! What the client works with.

use super::Observer;
use crate::clock::Clock;
use crate::metrics;
use crate::random::Random;
use std::fmt;

/// What the client works with.
pub struct Tools {
    pub clock: Clock,
    pub random: Random,
    /// Of the keys.
    pub metrics: metrics::Credentials,
    /// Is told of each call.
    pub observer: Observer,
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").finish_non_exhaustive()
    }
}
