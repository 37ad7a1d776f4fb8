//! The only writer of stdout and stderr, and the codes that a command can end with.

use crate::domain::causes::chain;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// How a command ended: the codes of sysexits, explained in docs/cli.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; of a launch: every instance runs.
    Ok,
    /// The launch ended, but not with every instance running.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The request is wrong, or cannot be carried out as it is.
    Data,
    /// A file that was named cannot be read.
    NoInput,
    /// The gateway, the cloud, the journal or a port cannot be had.
    Unavailable,
    /// A defect.
    Software,
    /// The system refused a thread, a handle or the like.
    Os,
    /// A file cannot be made.
    CannotCreate,
    /// Reading or writing failed.
    Io,
    /// Not now: the same may work later.
    Temporary,
    /// The caller may not do this.
    NoPermission,
    /// The configuration is wrong.
    Configuration,
    /// A second signal cut the stop short.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::Os => 71,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::Temporary => 75,
            Self::NoPermission => 77,
            Self::Configuration => 78,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Writes a line of the result to stdout.
///
/// # Errors
/// When it cannot be written; `BrokenPipe` when its reader has enough.
pub fn print(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes a line to stderr. Where even that fails, nobody can be told.
pub fn note(line: impl Display) {
    let written = writeln!(io::stderr().lock(), "{line}");
    drop(written);
}

/// Writes an error and what caused it to stderr.
pub fn report(error: &dyn Error) {
    note(format!("error: {}", chain(error, "\n  because: ")));
}

/// Whether a person watches both stdout and stderr, so that progress may be drawn in place.
#[must_use]
pub fn is_watched() -> bool {
    io::stdout().is_terminal() && io::stderr().is_terminal()
}
