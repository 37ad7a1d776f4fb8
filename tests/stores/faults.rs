//! The faults of the file layer `faultfs.c`, and what it reports of them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::LazyLock;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call fails with EIO.
    Eio,
    /// A call that takes space fails with ENOSPC.
    Enospc,
    /// A flush fails, and what it should have written is lost.
    Fsync,
    /// Half of a write, then the process is killed.
    Torn,
    /// The process is killed, and what was not flushed is lost, or some of it.
    Power,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Eio,
        Self::Enospc,
        Self::Fsync,
        Self::Torn,
        Self::Power,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Eio => "eio",
            Self::Enospc => "enospc",
            Self::Fsync => "fsync",
            Self::Torn => "torn",
            Self::Power => "power",
        }
    }

    /// Whether the fault ends the process by itself.
    pub(crate) const fn kills(self) -> bool {
        matches!(self, Self::Torn | Self::Power)
    }

    /// Whether what the disk really holds matters.
    pub(crate) const fn loses(self) -> bool {
        matches!(self, Self::Fsync | Self::Power)
    }
}

/// One fault at one call; written `kind:at:seed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// The number of the call, from 1, among those that can fail so; 0: none.
    pub(crate) at: u64,
    /// Chooses what survives of what was not flushed; 0: nothing.
    pub(crate) seed: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind.name(), self.at, self.seed)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let wrong = || format!("`{text}` is no fault; write kind:at:seed, as power:17:2");
        let &[kind, at, seed] = parts.as_slice() else {
            return Err(wrong());
        };
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
        Ok(Self {
            kind: kind.ok_or_else(wrong)?,
            at: at.parse().map_err(|_not_a_number| wrong())?,
            seed: seed.parse().map_err(|_not_a_number| wrong())?,
        })
    }
}

/// What the layer counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// Calls that a fault of the kind can come to.
    pub(crate) counted: u64,
    pub(crate) fired: bool,
    /// Flushes of a file after one of it failed.
    pub(crate) syncs_after: u64,
    /// Calls that found the disk full.
    pub(crate) refused: u64,
}

/// The layer under one journal.
#[derive(Debug)]
pub(crate) struct Layer {
    folder: PathBuf,
    journal: PathBuf,
}

impl Layer {
    /// A layer for the journal of this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("disk")).unwrap();
        Self {
            folder: folder.to_owned(),
            journal: folder.join("journal.db"),
        }
    }

    /// The variables that put a process over it. Those of a `fault`, or those that only keep apart
    /// what is flushed.
    pub(crate) fn variables(&self, fault: Option<Fault>, loses: bool) -> Vec<(String, String)> {
        let mut variables = vec![
            ("LD_PRELOAD".to_owned(), library().display().to_string()),
            self.path_of("PREFIX", &self.journal),
            self.path_of("REPORT", &self.folder.join("report")),
        ];
        if loses {
            variables.push(self.path_of("DISK", &self.folder.join("disk")));
        }
        if let Some(fault) = fault {
            for (name, value) in [
                ("KIND", fault.kind.name().to_owned()),
                ("AT", fault.at.to_string()),
                ("SEED", fault.seed.to_string()),
            ] {
                variables.push((format!("FAULTFS_{name}"), value));
            }
        }
        variables
    }

    /// The variables that put a process over a disk of limited size.
    pub(crate) fn limited(&self) -> Vec<(String, String)> {
        let mut variables = self.variables(None, false);
        variables.push(self.path_of("BUDGET", &self.folder.join("budget")));
        variables
    }

    /// Sets the size of the disk, in bytes. It appears at once, never half written.
    pub(crate) fn set_budget(&self, bytes: u64) {
        let new = self.folder.join("budget.new");
        fs::write(&new, bytes.to_string()).unwrap();
        fs::rename(new, self.folder.join("budget")).unwrap();
    }

    /// What the journal's files take.
    pub(crate) fn taken(&self) -> u64 {
        let files = self.files().into_iter();
        files
            .map(|path| path.metadata().map_or(0, |file| file.len()))
            .sum()
    }

    pub(crate) fn report(&self) -> Report {
        let bytes = fs::read(self.folder.join("report")).unwrap_or_default();
        let numbers: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        let number = |index: usize| numbers.get(index).copied().unwrap_or_default();
        Report {
            counted: number(0),
            fired: number(1) == 1,
            syncs_after: number(3),
            refused: number(4),
        }
    }

    /// Forgets what was counted.
    pub(crate) fn clear_report(&self) {
        drop(fs::remove_file(self.folder.join("report")));
    }

    /// The power comes back: the journal's files are what the disk holds.
    pub(crate) fn restore(&self) {
        for file in self.files() {
            fs::remove_file(file).unwrap();
        }
        for entry in fs::read_dir(self.folder.join("disk")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), self.folder.join(entry.file_name())).unwrap();
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let journal = self.journal.display().to_string();
        paths
            .filter(|path| path.display().to_string().starts_with(&journal))
            .collect()
    }

    fn path_of(&self, name: &str, path: &Path) -> (String, String) {
        (format!("FAULTFS_{name}"), path.display().to_string())
    }
}

/// The layer, built once for this run.
fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/faultfs.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faultfs.so");
        let new = library.with_extension(std::process::id().to_string());
        let mut cc = Command::new("cc");
        cc.args(["-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror"]);
        cc.args(["-shared", "-fPIC", "-pthread", "-o"]);
        let built = cc.arg(&new).arg(&source).arg("-ldl").status().unwrap();
        assert!(built.success(), "{} cannot be built", source.display());
        // Another run may use it just now.
        fs::rename(new, &library).unwrap();
        library
    });
    &LIBRARY
}
