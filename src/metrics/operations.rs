//! What becomes of operations, and what their polls and the sweeps see.

use super::exemplars::Latencies;
use super::{Inconsistent, LATENCY_BUCKETS, Make, SIZE_BUCKETS};
use crate::domain::operation::{Kind, StateName};
use crate::domain::reason::Reason;
use crate::domain::trace::TraceParent;
use prometheus::{Histogram, IntCounterVec, IntGaugeVec};
use std::collections::BTreeMap;
use std::time::Duration;

/// Launches take seconds to many minutes.
const LAUNCH_BUCKETS: [f64; 12] = [
    1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0, 1800.0,
];

/// Launches and their polling.
#[derive(Clone, Debug)]
pub struct Operations {
    /// Operations in the journal; `state`. Read at each scrape.
    pub count: IntGaugeVec,
    /// Operations that came to rest in this process; `kind`, `state`.
    pub finished: IntCounterVec,
    /// Operations that failed in this process; `kind`, `fault`, whose it is to mend, and `reason`.
    failed: IntCounterVec,
    /// Time from acceptance to the end of a launch in seconds; `state`.
    pub launch_seconds: Latencies,
    /// Operations for which new launches on their account are stopped; `account`.
    pub launches_stopped: IntGaugeVec,
    /// Instances asked for in one poll call.
    pub poll_batch_size: Histogram,
    /// Longest time that a change of an instance can have gone unseen, in seconds: from the poll
    /// before to the poll that saw it.
    pub detection_lag_seconds: Histogram,
    /// Sweeps of one account and region; `account`, `result`.
    pub sweeps: IntCounterVec,
    /// Machines that carry the gateway's tag and that no operation names; `account`, `region`.
    pub orphans: IntGaugeVec,
    /// Orphans that were given to the operation of their tag; `account`.
    pub orphans_adopted: IntCounterVec,
    /// Orphans that the cloud took back; `account`.
    pub orphans_deleted: IntCounterVec,
}

impl Operations {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let metrics = Self {
            count: make.gauges(
                "cvm_gateway_operations",
                "Operations in the journal.",
                &["state"],
            )?,
            finished: make.counters(
                "cvm_gateway_operations_finished_total",
                "Operations that came to rest in this process. One that waits for a person counts as \
                 NEEDS_OPERATOR, and once more when it ends after its release.",
                &["kind", "state"],
            )?,
            failed: make.counters(
                "cvm_gateway_operations_failed_total",
                "Operations that failed in this process, by reason and by whose it is to mend. One that waits \
                 for a person counts, and once more when it fails after its release.",
                &["kind", "fault", "reason"],
            )?,
            launch_seconds: Latencies::new(
                make,
                (
                    "cvm_gateway_launch_seconds",
                    "Time from acceptance to the end of a launch.",
                ),
                &LAUNCH_BUCKETS,
                &["state"],
            )?,
            launches_stopped: make.gauges(
                "cvm_gateway_launches_stopped",
                "Operations for which new launches on their account are stopped.",
                &["account"],
            )?,
            poll_batch_size: make.histogram(
                "cvm_gateway_poll_batch_size",
                "Instances asked for in one poll call.",
                &SIZE_BUCKETS,
            )?,
            detection_lag_seconds: make.histogram(
                "cvm_gateway_detection_lag_seconds",
                "Longest time that a change of an instance can have gone unseen.",
                &LATENCY_BUCKETS,
            )?,
            sweeps: make.counters(
                "cvm_gateway_sweeps_total",
                "Searches for orphans, each of one account and region.",
                &["account", "result"],
            )?,
            orphans: make.gauges(
                "cvm_gateway_orphans",
                "Machines with the gateway's tag that no operation names.",
                &["account", "region"],
            )?,
            orphans_adopted: make.counters(
                "cvm_gateway_orphans_adopted_total",
                "Orphans that were given to the operation that their tag names.",
                &["account"],
            )?,
            orphans_deleted: make.counters(
                "cvm_gateway_orphans_deleted_total",
                "Orphans that the cloud took back.",
                &["account"],
            )?,
        };
        metrics.show_closed_labels();
        Ok(metrics)
    }

    /// What has not happened yet is shown as such.
    fn show_closed_labels(&self) {
        for state in StateName::ALL {
            self.count.with_label_values(&[state.as_str()]).set(0);
        }
        for kind in Kind::ALL {
            self.show_ends(kind);
        }
    }

    fn show_ends(&self, kind: Kind) {
        let mut ends = StateName::ALL.to_vec();
        ends.retain(|state| state.is_at_rest());
        for state in ends {
            let labels = [kind.as_str(), state.as_str()];
            self.finished.with_label_values(&labels).inc_by(0);
        }
        for reason in Reason::ALL {
            self.failed_for(kind, *reason, 0);
        }
    }

    fn failed_for(&self, kind: Kind, reason: Reason, count: u64) {
        let labels = [kind.as_str(), reason.fault().as_str(), reason.as_str()];
        self.failed.with_label_values(&labels).inc_by(count);
    }

    /// Shows which accounts are stopped; one that no longer is falls to zero by leaving.
    pub fn stopped(&self, accounts: &BTreeMap<&str, i64>) {
        self.launches_stopped.reset();
        for (account, operations) in accounts {
            self.launches_stopped
                .with_label_values(&[account])
                .set(*operations);
        }
    }

    /// Shows that an account was not swept yet: its first failure is an increase then.
    pub fn swept_none(&self, account: &str) {
        for result in ["ok", "failed"] {
            self.sweeps.with_label_values(&[account, result]).inc_by(0);
        }
    }

    /// Counts a sweep of an account that saw everything, or not.
    pub fn swept(&self, account: &str, whole: bool) {
        let result = if whole { "ok" } else { "failed" };
        self.sweeps.with_label_values(&[account, result]).inc();
    }

    /// Shows how many orphans an account has in a region.
    pub fn orphans_of(&self, account: &str, region: &str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.orphans
            .with_label_values(&[account, region])
            .set(count);
    }

    /// Counts orphans that were given to their operation.
    pub fn orphans_adopted(&self, account: &str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.orphans_adopted
            .with_label_values(&[account])
            .inc_by(count);
    }

    /// Counts one orphan that the cloud took back.
    pub fn orphan_deleted(&self, account: &str) {
        self.orphans_deleted.with_label_values(&[account]).inc();
    }

    /// Counts one operation that came to rest, `age` after it was accepted, and why it failed; as part of
    /// a trace, if that is recorded.
    pub fn came_to_rest(
        &self,
        kind: Kind,
        state: StateName,
        failure: Option<Reason>,
        (age, trace): (Duration, Option<&TraceParent>),
    ) {
        if let Some(reason) = failure {
            self.failed_for(kind, reason, 1);
        }
        let labels = [kind.as_str(), state.as_str()];
        self.finished.with_label_values(&labels).inc();
        match kind {
            Kind::Launch => {
                let seconds = age.as_secs_f64();
                self.launch_seconds
                    .observe(&[state.as_str()], seconds, trace);
            }
            Kind::Termination => {}
        }
    }
}
