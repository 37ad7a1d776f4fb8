//! The commands that run until they are told to stop: the gateway and the simulator.

use super::args::SimulateArgs;
use super::check::check;
use super::error::CliError;
use super::{log, manager};
use crate::clock::Clock;
use crate::config::{Config, Log, LogFormat, read_text, write_text};
use crate::gateway::Gateway;
use crate::simulator::{Catalog, EMBEDDED, Identity, Settings, Simulator};
use crate::terminal::{self, Exit};
use crate::trace::Spans;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A catalogue of every type in every zone is some hundred kilobytes.
const CATALOG_BYTES_MAX: u64 = 16 << 20;

/// A thousand scenes are some hundred kilobytes.
const SCENES_BYTES_MAX: u64 = 1 << 20;

/// Certificates and keys are some kilobytes.
const PEM_BYTES_MAX: u64 = 1 << 20;

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
    forbid_dumps().map_err(|error| CliError::Dumps(error.into()))?;
    let config = Config::load(path)?;
    let spans = match &config.tracing {
        Some(traces) => Some(log::with_traces(&config.log, traces)?),
        None => log::to_stderr(&config.log).map(|()| None)?,
    };
    raise_descriptors();
    let mut signals = Signals::listen()?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(CliError::Signals)?;
    tokio::select! {
        ended = run(config, spans, clock.clone(), (&mut signals, &mut hang_up)) => ended,
        never = manager::keep_alive(clock.clone()) => match never {},
    }
}

async fn run(
    config: Config,
    spans: Option<Spans>,
    clock: Clock,
    (signals, hang_up): (&mut Signals, &mut Signal),
) -> Result<Exit, CliError> {
    // It may wait for a journal that others bring up to date. Nothing is lost by ending at any moment of it.
    let gateway = tokio::select! {
        started = Gateway::start(config, clock) => started?,
        () = signals.next() => {
            tracing::info!("stopped before it served");
            return Ok(Exit::Ok);
        }
    };
    if let Some(spans) = spans {
        gateway.export(spans);
    }
    manager::ready();
    let exit = until_the_end(&gateway, signals, hang_up).await;
    manager::stopping();
    tokio::select! {
        () = gateway.stop() => Ok(exit),
        () = signals.next() => Ok(Exit::Interrupted),
    }
}

/// Returns when the gateway must stop, with the exit code.
async fn until_the_end(gateway: &Gateway, signals: &mut Signals, hang_up: &mut Signal) -> Exit {
    tokio::select! {
        () = reload_at(hang_up, gateway) => Exit::Software,
        () = signals.next() => {
            tracing::info!("stopping; a second signal ends at once");
            Exit::Ok
        }
        reason = gateway.failed() => {
            tracing::error!(reason, "stopping, because the gateway cannot go on");
            Exit::Software
        }
    }
}

/// Keys are in memory: no crash writes it to a disk, and no debugger but root's looks into it.
fn forbid_dumps() -> Result<(), Errno> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Takes as many descriptors as the system gives: the soft limit is often 1024, for programs that know no
/// better way to wait than `select`.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of descriptors stays as it is");
    }
}

/// Has the rules and the keys of the journal read at each SIGHUP. It does not return while there can be another.
async fn reload_at(hang_up: &mut Signal, gateway: &Gateway) {
    while hang_up.recv().await.is_some() {
        manager::reloading();
        gateway.reload();
        manager::ready();
    }
}

/// Runs the simulator until a signal ends it.
pub(super) async fn simulate(args: SimulateArgs, clock: Clock) -> Result<Exit, CliError> {
    if args.print_catalog {
        terminal::print(EMBEDDED.trim_end())?;
        return Ok(Exit::Ok);
    }
    if let Some(journal) = &args.check {
        return check(journal, &args.ledger).await;
    }
    if !args.listen.ip().is_loopback() {
        return Err(CliError::Exposed(args.listen));
    }
    let settings = Settings {
        catalog: misbehaving(&args)?,
        speed: args.speed,
        seed: args.seed,
    };
    log::to_stderr(&Log {
        format: LogFormat::Pretty,
        filter: "info".to_owned(),
        access: false,
    })?;
    let failed = |source| CliError::Listen {
        address: args.listen,
        source,
    };
    let mut signals = Signals::listen()?;
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let simulator = if args.tls {
        let identity = identity(&args, &settings.catalog, &clock)?;
        Simulator::start_tls(settings, listener, clock, identity).map_err(failed)?
    } else {
        Simulator::start(settings, listener, clock).map_err(failed)?
    };
    terminal::print(format!("CVM API at {}", addresses(&args, simulator.addr())))?;
    signals.next().await;
    tokio::select! {
        () = simulator.stop() => Ok(Exit::Ok),
        () = signals.next() => Ok(Exit::Interrupted),
    }
}

/// The certificate that was given, or a new one whose CA is written for clients to trust.
fn identity(args: &SimulateArgs, catalog: &Catalog, clock: &Clock) -> Result<Identity, CliError> {
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let read = |path: &Path| read_text(path, PEM_BYTES_MAX).map_err(CliError::input(path));
        return Ok(Identity::given(&read(certificate)?, &read(key)?)?);
    }
    let addresses = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
        args.listen.ip(),
    ];
    let (identity, authority) = Identity::own(clock.now(), &addresses, catalog.region_names())?;
    write_text(&args.tls_ca, &authority).map_err(|source| CliError::Authority {
        path: args.tls_ca.clone(),
        source,
    })?;
    Ok(identity)
}

fn addresses(args: &SimulateArgs, addr: SocketAddr) -> String {
    match (args.tls, &args.tls_cert) {
        (false, _) => format!("http://{addr}"),
        (true, Some(_)) => format!("https://{addr} and http://{addr}"),
        (true, None) => {
            let authority = args.tls_ca.display();
            format!("https://{addr} and http://{addr}; its CA is in {authority}")
        }
    }
}

/// The catalogue with the faults and scenes that the command line wants.
fn misbehaving(args: &SimulateArgs) -> Result<Catalog, CliError> {
    let mut catalog = catalog(args.catalog.as_deref())?;
    for fault in &args.fault {
        catalog = catalog.with_fault(fault).map_err(CliError::Fault)?;
    }
    if args.ledger_keeps_secrets {
        catalog = catalog.keeping_secrets();
    }
    let Some(path) = &args.scenes else {
        return Ok(catalog);
    };
    let text = read_text(path, SCENES_BYTES_MAX).map_err(CliError::input(path))?;
    catalog
        .with_scenes(&text)
        .map_err(|source| CliError::Scenes {
            path: path.clone(),
            source,
        })
}

fn catalog(path: Option<&Path>) -> Result<Catalog, CliError> {
    let Some(path) = path else {
        return Ok(Catalog::embedded());
    };
    let text = read_text(path, CATALOG_BYTES_MAX).map_err(CliError::input(path))?;
    Catalog::parse(&text).map_err(|source| CliError::Catalog {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::dumpable_behavior;

    #[test]
    fn no_dump_is_written_of_what_is_in_memory() {
        forbid_dumps().unwrap();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
    }
}
