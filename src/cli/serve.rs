//! The commands that run until they are told to stop: the gateway and the simulator.

use super::args::SimulateArgs;
use super::error::CliError;
use super::log;
use crate::clock::Clock;
use crate::config::{Config, Log, LogFormat, read_text};
use crate::gateway::Gateway;
use crate::simulator::{Catalog, EMBEDDED, Settings, Simulator};
use crate::terminal::{self, Exit};
use std::path::Path;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A catalogue of every type in every zone is some hundred kilobytes.
const CATALOG_BYTES_MAX: u64 = 16 << 20;

/// SIGTERM and SIGINT, from the moment that this is made.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs the gateway until a signal or its own failure ends it.
pub(super) async fn serve(path: &Path, clock: Clock) -> Result<Exit, CliError> {
    let config = Config::load(path)?;
    log::to_stderr(&config.log)?;
    let mut signals = Signals::listen()?;
    let gateway = Gateway::start(config, clock).await?;
    let exit = tokio::select! {
        () = signals.next() => {
            tracing::info!("stopping; a second signal ends at once");
            Exit::Ok
        }
        reason = gateway.failed() => {
            tracing::error!(reason, "stopping, because the gateway cannot go on");
            Exit::Software
        }
    };
    tokio::select! {
        () = gateway.stop() => Ok(exit),
        () = signals.next() => Ok(Exit::Interrupted),
    }
}

/// Runs the simulator until a signal ends it.
pub(super) async fn simulate(args: SimulateArgs, clock: Clock) -> Result<Exit, CliError> {
    if args.print_catalog {
        terminal::print(EMBEDDED.trim_end())?;
        return Ok(Exit::Ok);
    }
    if !args.listen.ip().is_loopback() {
        return Err(CliError::Exposed(args.listen));
    }
    let settings = Settings {
        catalog: catalog(args.catalog.as_deref())?,
        speed: args.speed,
        seed: args.seed,
    };
    log::to_stderr(&Log {
        format: LogFormat::Pretty,
        filter: "info".to_owned(),
    })?;
    let failed = |source| CliError::Listen {
        address: args.listen,
        source,
    };
    let mut signals = Signals::listen()?;
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let simulator = Simulator::start(settings, listener, clock).map_err(failed)?;
    terminal::print(format!("CVM API at http://{}", simulator.addr()))?;
    signals.next().await;
    tokio::select! {
        () = simulator.stop() => Ok(Exit::Ok),
        () = signals.next() => Ok(Exit::Interrupted),
    }
}

fn catalog(path: Option<&Path>) -> Result<Catalog, CliError> {
    let Some(path) = path else {
        return Ok(Catalog::embedded());
    };
    let text = read_text(path, CATALOG_BYTES_MAX).map_err(|source| CliError::Input {
        path: path.to_owned(),
        source,
    })?;
    Catalog::parse(&text).map_err(|source| CliError::Catalog {
        path: path.to_owned(),
        source,
    })
}
