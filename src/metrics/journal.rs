//! Metrics of the journal's commits.

use super::{Inconsistent, LATENCY_BUCKETS, Make, SIZE_BUCKETS};
use prometheus::Histogram;

/// Commits of the journal.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Latency in seconds, fsync included.
    pub commit_seconds: Histogram,
    /// Writes that shared one commit.
    pub commit_writes: Histogram,
}

impl Journal {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        Ok(Self {
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
        })
    }
}
