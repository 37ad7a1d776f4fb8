//! What happened in a run, in its order: printed for who replays a seed, a hash for who compares.

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

/// The same seed gives the same.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Hashed,
    events: u64,
    shown: bool,
}

impl Trace {
    /// An empty one; `shown` prints it as it grows.
    pub(crate) fn new(shown: bool) -> Self {
        Self {
            shown,
            ..Self::default()
        }
    }

    pub(crate) fn note(&mut self, at: Duration, event: fmt::Arguments<'_>) {
        let at = at.as_millis();
        // Cannot fail: a hash takes everything.
        write!(self.hash, "{at:>8} {event}").unwrap();
        self.events += 1;
        if self.shown {
            println!("{at:>8} {event}");
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.0.finish()
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}

/// What is written goes into a hash.
#[derive(Debug, Default)]
struct Hashed(DefaultHasher);

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
