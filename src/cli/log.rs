//! Sends the log where it belongs: stderr, or a file.

use super::error::CliError;
use crate::config::{Log, LogFormat};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{self, MakeWriter};

/// Logs to stderr from now on.
pub(super) fn to_stderr(log: &Log) -> Result<(), CliError> {
    start(log, io::stderr, io::stderr().is_terminal())
}

/// Logs to `writer` from now on.
pub(super) fn start<W>(log: &Log, writer: W, colours: bool) -> Result<(), CliError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let failed = |source| CliError::Log {
        filter: log.filter.clone(),
        source,
    };
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| failed(error.into()))?;
    let lines = fmt::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colours)
        // Or else a closed stderr would be reported on stderr, which panics.
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Pretty => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(failed)
}
