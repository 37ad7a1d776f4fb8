//! Everything that ends a command early, and the exit code of each.

use crate::client::{ClientError, JsonError};
use crate::config::{ConfigError, RulesError};
use crate::demo::DemoError;
use crate::gateway::GatewayError;
use crate::simulator::{CatalogError, KnobError, TlsError};
use crate::store::StoreError;
use crate::terminal::Exit;
use crate::trace::EndpointError;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Journal(#[from] StoreError),
    #[error("the journal has no {0}; see `cvm-gateway operations list`")]
    NoOperation(String),
    #[error("{name} waits for nobody: it is {state}")]
    NotWaiting { name: String, state: String },
    #[error("line {line} of {} is no row of the audit; write what `cvm-gateway audit` printed", path.display())]
    Anchor { path: PathBuf, line: usize },
    #[error("cannot write the ends of the chains to {}; name a file that is not there yet", path.display())]
    Anchors {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make a temporary folder; name a place for it with TMPDIR")]
    Folder(#[source] io::Error),
    #[error("cannot read {}", path.display())]
    Input {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the catalogue {} cannot be used", path.display())]
    Catalog { path: PathBuf, source: CatalogError },
    #[error("wrong --fault")]
    Fault(#[source] KnobError),
    #[error("the scenes in {} cannot be used", path.display())]
    Scenes { path: PathBuf, source: KnobError },
    #[error("no TLS")]
    Tls(#[from] TlsError),
    #[error("cannot write the CA to {}; name another file with --tls-ca", path.display())]
    Authority {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the request in {} cannot be used: {what}", file_or_stdin(path))]
    Unusable { path: PathBuf, what: String },
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error("the request in {} cannot be used", file_or_stdin(path))]
    Request { path: PathBuf, source: JsonError },
    #[error("cannot write the plan to {}; name a file that is not there yet", path.display())]
    Save {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make {}; name a file that is not there yet", path.display())]
    KeyFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the message as JSON")]
    Json(#[source] JsonError),
    #[error(
        "line {line} of the ledger is not JSON; write what /_ledger answers into a file, unchanged"
    )]
    Ledger {
        line: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("cannot listen on {address}; name another with --listen")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(
        "{0} is not a loopback address, and the simulator's keys are public; listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    #[error("no gateway answers at {address}; is it running, and is that its admin.listen?")]
    SideDoor {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot write to stdout")]
    Output(#[from] io::Error),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot forbid core dumps, which would hold keys")]
    Dumps(#[source] io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Traces(#[from] EndpointError),
    #[error("cannot write the log; the filter is {filter}")]
    Log {
        filter: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn file_or_stdin(path: &Path) -> String {
    match path.to_str() {
        Some("-") => "stdin".to_owned(),
        Some(_) | None => path.display().to_string(),
    }
}

impl CliError {
    /// That a file cannot be read, by the name that the command line gave it.
    pub(super) fn input(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Input { path, source }
    }

    /// The exit code that tells a script what to do next.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Config(ConfigError::Unreadable { .. })
            | Self::Rules(RulesError::Unreadable { .. })
            | Self::Input { .. } => Exit::NoInput,
            Self::Config(ConfigError::Invalid(_)) | Self::Rules(_) => Exit::Configuration,
            Self::Gateway(error) => of_gateway(error),
            Self::Client(error) => error.exit(),
            Self::Demo(error) => of_demo(error),
            Self::Journal(error) => of_journal(error),
            Self::Anchor { .. } | Self::NoOperation(_) | Self::NotWaiting { .. } => Exit::Data,
            Self::Folder(_)
            | Self::Anchors { .. }
            | Self::Save { .. }
            | Self::KeyFile { .. }
            | Self::Authority { .. } => Exit::CannotCreate,
            Self::Tls(TlsError::Make(_)) => Exit::Os,
            Self::Tls(_) => Exit::Data,
            Self::Catalog { .. }
            | Self::Scenes { .. }
            | Self::Request { .. }
            | Self::Unusable { .. }
            | Self::Ledger { .. } => Exit::Data,
            Self::Listen { source, .. } => of_port(source),
            Self::SideDoor { .. } => Exit::Unavailable,
            Self::Exposed(_) | Self::Fault(_) => Exit::Usage,
            Self::Output(_) => Exit::Io,
            Self::Runtime(_) | Self::Dumps(_) | Self::Signals(_) => Exit::Os,
            Self::Traces(_) => Exit::Configuration,
            Self::Log { .. } | Self::Json(_) => Exit::Software,
        }
    }
}

fn of_gateway(error: &GatewayError) -> Exit {
    match error {
        GatewayError::Listen { source, .. } => of_port(source),
        GatewayError::Journal(error) => of_journal(error),
        GatewayError::Cloud(_) | GatewayError::Identity(_) | GatewayError::Exposed { .. } => {
            Exit::Configuration
        }
        GatewayError::Metrics(_) | GatewayError::Descriptor(_) => Exit::Software,
    }
}

fn of_demo(error: &DemoError) -> Exit {
    match error {
        DemoError::Folder(_) => Exit::CannotCreate,
        DemoError::Simulator(error) => of_port(error),
        DemoError::Config(_) => Exit::Software,
        DemoError::Gateway(error) => of_gateway(error),
        DemoError::Client(error) => error.exit(),
        DemoError::Output(_) => Exit::Io,
    }
}

fn of_port(error: &io::Error) -> Exit {
    if error.kind() == ErrorKind::PermissionDenied {
        Exit::NoPermission
    } else {
        Exit::Unavailable
    }
}

fn of_journal(error: &StoreError) -> Exit {
    match error {
        StoreError::Busy
        | StoreError::Closed
        | StoreError::Unavailable { .. }
        | StoreError::Locked { .. } => Exit::Unavailable,
        StoreError::Full { .. } | StoreError::File { .. } | StoreError::FullKeyFile { .. } => {
            Exit::CannotCreate
        }
        StoreError::Missing { .. } => Exit::NoInput,
        StoreError::Fatal { .. } => Exit::Io,
        StoreError::Url { .. }
        | StoreError::NoDatabase { .. }
        | StoreError::Unsafe { .. }
        | StoreError::KeyFile { .. }
        | StoreError::BadKeys { .. }
        | StoreError::NoKeyFile
        | StoreError::OtherKey { .. }
        | StoreError::Newer { .. }
        | StoreError::Older { .. } => Exit::Configuration,
        StoreError::Refused { .. }
        | StoreError::Unsealed
        | StoreError::Corrupt { .. }
        | StoreError::Migration { .. }
        | StoreError::OldSqlite { .. } => Exit::Software,
    }
}
