//! What a run found: violations by kind, and the figures that say that it did anything.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// More machines than were asked for, or from more than one launch.
    Duplicate,
    /// A machine or an operation that the journal does not know.
    Lost,
    /// An operation that comes to no end.
    Stuck,
    /// Bytes were sent that are not those that were journalled.
    Unjournalled,
    /// The client, the journal and the cloud tell different stories.
    Differs,
    /// A stream went backwards, left something out, or a call ended as it must not.
    Stream,
    /// The audit is not whole, or tells something else than was done.
    Audit,
    /// The program did not start, did not end in order, or ended by itself.
    Process,
}

const KINDS: [Kind; 8] = [
    Kind::Duplicate,
    Kind::Lost,
    Kind::Stuck,
    Kind::Unjournalled,
    Kind::Differs,
    Kind::Stream,
    Kind::Audit,
    Kind::Process,
];

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { kind, what }
    }
}

/// What one world, or all of them, came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// By name, in the order of their first mention.
    figures: Vec<(&'static str, u64)>,
    violations: BTreeMap<Kind, Vec<String>>,
    /// Where to read on.
    explanations: Vec<String>,
}

impl Report {
    pub(crate) fn count(&mut self, name: &'static str, more: u64) {
        match self.figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, figure)) => *figure += more,
            None => self.figures.push((name, more)),
        }
    }

    /// `replay` is the command that runs the world again.
    pub(crate) fn violate(&mut self, violation: &Violation, replay: &str) {
        let told = format!("{}\n    replay: {replay}", violation.what);
        self.violations
            .entry(violation.kind)
            .or_default()
            .push(told);
    }

    pub(crate) fn explain(&mut self, where_to_read_on: String) {
        self.explanations.push(where_to_read_on);
    }

    pub(crate) fn add(&mut self, mut other: Self) {
        self.explanations.append(&mut other.explanations);
        for (name, figure) in other.figures {
            self.count(name, figure);
        }
        for (kind, mut told) in other.violations {
            self.violations.entry(kind).or_default().append(&mut told);
        }
    }

    pub(crate) fn figure(&self, name: &str) -> u64 {
        let figure = self.figures.iter().find(|(known, _)| *known == name);
        figure.map_or(0, |(_, figure)| *figure)
    }

    /// Prints the table, and fails the test when there is a violation.
    pub(crate) fn conclude(&self, title: &str) {
        let table = format!("\n{title}\n{self}");
        std::io::stderr().write_all(table.as_bytes()).unwrap();
        assert!(self.violations.is_empty(), "{table}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, figure) in &self.figures {
            writeln!(f, "  {name:<34}{figure:>9}")?;
        }
        for kind in KINDS {
            let found = self.violations.get(&kind).map_or(0, Vec::len);
            writeln!(f, "  violations: {:<22}{found:>9}", format!("{kind:?}"))?;
        }
        for (kind, told) in &self.violations {
            for what in told {
                writeln!(f, "{kind:?}: {what}")?;
            }
        }
        for explanation in &self.explanations {
            writeln!(f, "{explanation}")?;
        }
        Ok(())
    }
}

/// Where a world's parts put what they find. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings(Arc<Mutex<Vec<Violation>>>);

impl Findings {
    pub(crate) fn add(&self, kind: Kind, what: impl Into<String>) {
        self.0.lock().unwrap().push(Violation::new(kind, what));
    }

    pub(crate) fn take(&self) -> Vec<Violation> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}
