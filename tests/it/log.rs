//! Everything that the tests log, at every level: searched for secrets, and kept to be read but for what
//! libraries trace.
//!
//! One subscriber for the whole binary: with one per test, a log statement that another thread
//! meets first is switched off for all.

use crate::canary;
use std::io::{self, Write};
use std::sync::{LazyLock, Mutex, PoisonError};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The lines of the access log once more: who waits for one looks through these again and again, and
/// all the log would be too much for that.
static ACCESS: Mutex<Vec<String>> = Mutex::new(Vec::new());

static STARTED: LazyLock<()> = LazyLock::new(|| {
    tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_ansi(false)
        .with_writer(Lines)
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

/// The lines of the access log that hold all `parts`.
pub(crate) fn access(parts: &[&str]) -> Vec<String> {
    let lines = ACCESS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = lines
        .iter()
        .filter(|line| parts.iter().all(|part| line.contains(part)));
    found.cloned().collect()
}

struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line {
            kept: true,
            access: false,
        }
    }

    fn make_writer_for(&self, of: &Metadata<'_>) -> Line {
        let kept = of.target().starts_with("cvm_gateway") || *of.level() <= Level::DEBUG;
        let access = of.target() == "cvm_gateway::access";
        Line { kept, access }
    }
}

/// One line, which comes in one piece.
struct Line {
    kept: bool,
    access: bool,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        canary::examine("the log", bytes);
        if self.kept {
            LOG.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
        }
        if self.access {
            let line = String::from_utf8_lossy(bytes).trim_end().to_owned();
            let mut lines = ACCESS.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
