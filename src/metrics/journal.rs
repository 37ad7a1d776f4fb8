//! Metrics of the journal: its commits and its keys.

use super::{Inconsistent, LATENCY_BUCKETS, Make, SIZE_BUCKETS};
use prometheus::{Histogram, IntCounterVec, IntGaugeVec};

/// What a failed write can come from: the disk's space, the disk, what is on the way to the database,
/// or what was to be written.
pub const FAILURES: [&str; 4] = ["full", "fatal", "unavailable", "refused"];

/// Results of reading changed keys.
const KEY_READS: [&str; 2] = ["ok", "failed"];

/// Commits and keys of the journal.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Latency in seconds, fsync included.
    pub commit_seconds: Histogram,
    /// Writes that shared one commit.
    pub commit_writes: Histogram,
    /// Transactions that failed, each try of one; `kind`.
    failures: IntCounterVec,
    /// Changed files of keys that were read; `result`.
    key_reads: IntCounterVec,
    /// The key that bodies are sealed with; `key`, of which there is one.
    key: IntGaugeVec,
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
            key_reads: make.counters(
                "cvm_gateway_journal_key_reloads_total",
                "Changed keys of the journal that were read, and whether they can be used.",
                &["result"],
            )?,
            key: make.gauges(
                "cvm_gateway_journal_key_info",
                "Always 1; the id of the key that the journal is sealed with.",
                &["key"],
            )?,
        };
        for kind in FAILURES {
            metrics.failures.with_label_values(&[kind]).inc_by(0);
        }
        for result in KEY_READS {
            metrics.key_reads.with_label_values(&[result]).inc_by(0);
        }
        Ok(metrics)
    }

    /// Counts a transaction that failed; `kind` is one of [`FAILURES`].
    pub fn failed(&self, kind: &'static str) {
        self.failures.with_label_values(&[kind]).inc();
    }

    /// Counts changed keys that were read, and whether they can be used.
    pub fn keys_read(&self, sound: bool) {
        let [ok, failed] = KEY_READS;
        let result = if sound { ok } else { failed };
        self.key_reads.with_label_values(&[result]).inc();
    }

    /// Shows the id of the key that bodies are sealed with.
    pub fn sealed_with(&self, key: &str) {
        self.key.reset();
        self.key.with_label_values(&[key]).set(1);
    }
}
