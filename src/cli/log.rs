//! Sends the log where it belongs: stderr, or a file.

use super::error::CliError;
use crate::config::{Log, LogFormat};
use crate::trace::{self, Spans};
use std::error::Error;
use std::io::{self, IsTerminal};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, registry};

/// Logs to stderr from now on.
pub(super) fn to_stderr(log: &Log) -> Result<(), CliError> {
    start(log, io::stderr, io::stderr().is_terminal())
}

/// Logs to stderr from now on, and records traces; gives the spans of these.
pub(super) fn with_traces(log: &Log, traces: &trace::Settings) -> Result<Spans, CliError> {
    let filter = filter(log)?;
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false);
    let lines = match log.format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (recorder, spans) = trace::recorder(traces)?;
    let both = registry().with(lines.with_filter(filter)).with(recorder);
    both.try_init().map_err(|error| failed(log)(error.into()))?;
    Ok(spans)
}

/// Logs to `writer` from now on.
pub(super) fn start<W>(log: &Log, writer: W, colours: bool) -> Result<(), CliError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::fmt()
        .with_env_filter(filter(log)?)
        .with_writer(writer)
        .with_ansi(colours)
        // Or else a closed stderr would be reported on stderr, which panics.
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Pretty => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(failed(log))
}

fn filter(log: &Log) -> Result<EnvFilter, CliError> {
    EnvFilter::try_new(&log.filter).map_err(|error| failed(log)(error.into()))
}

fn failed(log: &Log) -> impl Fn(Box<dyn Error + Send + Sync>) -> CliError {
    let filter = log.filter.clone();
    move |source| CliError::Log {
        filter: filter.clone(),
        source,
    }
}
