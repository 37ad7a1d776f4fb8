//! Metrics of the journal's commits.

use super::{Inconsistent, LATENCY_BUCKETS, Make, SIZE_BUCKETS};
use prometheus::{Histogram, IntCounterVec};

/// What a failed write can come from: the disk's space, the disk, what is on the way to the database,
/// or what was to be written.
pub const FAILURES: [&str; 4] = ["full", "fatal", "unavailable", "refused"];

/// Commits of the journal.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Latency in seconds, fsync included.
    pub commit_seconds: Histogram,
    /// Writes that shared one commit.
    pub commit_writes: Histogram,
    /// Transactions that failed, each try of one; `kind`.
    failures: IntCounterVec,
}

impl Journal {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let metrics = Self {
            commit_seconds: make.histogram(
                "cvm_gateway_journal_commit_seconds",
                "Latency of journal commits, fsync included.",
                &LATENCY_BUCKETS,
            )?,
            commit_writes: make.histogram(
                "cvm_gateway_journal_commit_writes",
                "Writes that shared one commit.",
                &SIZE_BUCKETS,
            )?,
            failures: make.counters(
                "cvm_gateway_journal_failures_total",
                "Transactions of the journal that failed, each try of one.",
                &["kind"],
            )?,
        };
        for kind in FAILURES {
            metrics.failures.with_label_values(&[kind]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Counts a transaction that failed; `kind` is one of [`FAILURES`].
    pub fn failed(&self, kind: &'static str) {
        self.failures.with_label_values(&[kind]).inc();
    }
}
