//! Everything that the tests log, kept so that it can be searched.
//!
//! One subscriber for the whole binary: with one per test, a log statement that another thread
//! meets first is switched off for all.

use std::io::{self, Write};
use std::sync::{LazyLock, Mutex, PoisonError};
use tracing_subscriber::EnvFilter;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static STARTED: LazyLock<()> = LazyLock::new(|| {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("debug,cvm_gateway=trace"))
        .with_ansi(false)
        .with_writer(|| Kept)
        .init();
});

/// Starts keeping; to be called before what is to be kept is logged for the first time.
pub(crate) fn start() {
    LazyLock::force(&STARTED);
}

/// What was logged since [`start`], by all tests.
pub(crate) fn text() -> String {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&log).into_owned()
}

struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
