//! Every metric in one struct with its own registry; labels are closed sets, or bounded ones.

mod admission;
pub mod audit;
mod connections;
mod credentials;
mod exemplars;
mod identity;
mod journal;
mod make;
mod policy;
mod process;
mod quotas;
mod traces;
mod unlisted;

pub use {
    admission::{Admission, Pressure, Priority, Resource, Shed},
    connections::{Connections, Ended, Refused},
    credentials::Credentials,
    exemplars::Latencies,
    identity::Identity,
    journal::{FAILURES, Journal},
    make::Family,
    policy::Policy,
    quotas::Quotas,
    traces::Traces,
    unlisted::UnlistedCodes,
};

use crate::domain::operation::StateName;
use crate::domain::reason::Reason;
use crate::domain::trace::TraceParent;
use exemplars::Exemplars;
use make::Make;
use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramVec, IntCounterVec, IntGaugeVec, Registry, TextEncoder,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A metric is malformed or there twice: a mistake in this file.
pub type Inconsistent = prometheus::Error;
/// A count that only grows.
pub type Counter = prometheus::IntCounter;
/// A count that goes up and down.
pub type Gauge = prometheus::IntGauge;

/// Latencies of RPCs, cloud calls and commits, in seconds: 0.5 ms to 60 s.
const LATENCY_BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];
/// Launches take seconds to many minutes.
const LAUNCH_BUCKETS: [f64; 12] = [
    1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0, 1800.0,
];
/// Sizes of batches: instances a poll, writes a commit.
const SIZE_BUCKETS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 75.0, 100.0, 200.0];

/// The metrics of one process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    families: Arc<[Family]>,
    exemplars: Exemplars,
    pub grpc: Grpc,
    pub connections: Connections,
    pub admission: Admission,
    pub cloud: Cloud,
    pub operations: Operations,
    pub journal: Journal,
    pub credentials: Credentials,
    pub identity: Identity,
    pub policy: Policy,
    pub audit: audit::Audit,
    pub quotas: Quotas,
    pub traces: Traces,
}

/// The conventional metrics of a gRPC server, and its streams.
#[derive(Clone, Debug)]
pub struct Grpc {
    /// RPCs started; `grpc_type`, `grpc_service`, `grpc_method`.
    pub started: IntCounterVec,
    /// RPCs completed; also `grpc_code` in CamelCase.
    pub handled: IntCounterVec,
    /// Time from the start of an RPC to its end, streams included, in seconds.
    pub handling_seconds: Latencies,
    /// Messages received from clients.
    pub msg_received: IntCounterVec,
    /// Messages sent to clients.
    pub msg_sent: IntCounterVec,
    /// Streams open now; `grpc_method`.
    pub streams_open: IntGaugeVec,
}

/// Calls of the cloud.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// Calls completed; `action`, `account`, `class`.
    pub requests: IntCounterVec,
    /// Latency in seconds; `action`, `account`.
    pub request_seconds: Latencies,
    /// Time until a call was permitted, in seconds; `action`, `class` of urgency.
    pub permit_wait_seconds: HistogramVec,
    /// Calls that the cloud refused for their rate; `action`.
    pub rate_limited: IntCounterVec,
    /// Calls a second that are permitted now; `account`, `action`.
    pub permitted_rate: GaugeVec,
    /// Calls that repeat one without an answer; `action`, `paid_by`.
    pub retries: IntCounterVec,
    /// Time until a repetition could be paid for, in seconds; `action`.
    pub retry_wait_seconds: HistogramVec,
    /// Repetitions that wait because the budget is used up; `account`, `action`.
    pub retries_waiting: IntGaugeVec,
    /// Calls that ended with a code that nobody listed.
    pub unlisted_codes: UnlistedCodes,
}

/// Launches and their polling.
#[derive(Clone, Debug)]
pub struct Operations {
    /// Operations in the journal; `state`. Read at each scrape.
    pub count: IntGaugeVec,
    /// Operations that came to an end in this process; `state`.
    pub finished: IntCounterVec,
    /// Operations that failed in this process; `fault`, whose it is to mend, and `reason`.
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
    /// Sweeps of one account and region; `result`.
    pub sweeps: IntCounterVec,
    /// Machines that carry the gateway's tag and that no operation names; `account`, `region`.
    pub orphans: IntGaugeVec,
    /// Orphans that were given to the operation of their tag; `account`.
    pub orphans_adopted: IntCounterVec,
    /// Orphans that the cloud took back; `account`.
    pub orphans_deleted: IntCounterVec,
}

impl Metrics {
    /// All metrics, at zero, with the closed label sets already present.
    ///
    /// # Errors
    /// When a name is malformed or given twice: a mistake in this file.
    pub fn new(version: &str) -> Result<Self, Inconsistent> {
        let registry = Registry::new();
        let make = Make::new(&registry);
        let info = make.gauges("cvm_gateway_build_info", "Always 1.", &["version"])?;
        info.with_label_values(&[version]).set(1);
        let mut metrics = Self {
            families: Arc::default(),
            exemplars: make.exemplars(),
            grpc: Grpc::new(&make)?,
            connections: Connections::new(&make)?,
            admission: Admission::new(&make)?,
            cloud: Cloud::new(&make)?,
            operations: Operations::new(&make)?,
            journal: Journal::new(&make)?,
            credentials: Credentials::new(&make)?,
            identity: Identity::new(&make)?,
            policy: Policy::new(&make)?,
            audit: audit::Audit::new(&make)?,
            quotas: Quotas::new(&make)?,
            traces: Traces::new(&make)?,
            registry: registry.clone(),
        };
        metrics.families = make.into_families().into();
        process::register(&registry)?;
        Ok(metrics)
    }

    /// What metrics there are, those without a series yet included; not those of the process.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The exposition in Prometheus' text format 0.0.4.
    ///
    /// # Errors
    /// When a collected family is inconsistent.
    pub fn render(&self) -> Result<String, Inconsistent> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|source| Inconsistent::Msg(source.to_string()))
    }

    /// The same in OpenMetrics 1.0, with the exemplars of latencies.
    ///
    /// # Errors
    /// As [`Metrics::render`].
    pub fn render_openmetrics(&self) -> Result<String, Inconsistent> {
        Ok(self.exemplars.openmetrics(&self.render()?))
    }
}

impl Grpc {
    fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let rpc = ["grpc_type", "grpc_service", "grpc_method"];
        let rpc_code = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];
        Ok(Self {
            started: make.counters("grpc_server_started_total", "RPCs started.", &rpc)?,
            handled: make.counters("grpc_server_handled_total", "RPCs completed.", &rpc_code)?,
            handling_seconds: Latencies::new(
                make,
                (
                    "grpc_server_handling_seconds",
                    "Time from the start of an RPC to its end, streams included.",
                ),
                &LATENCY_BUCKETS,
                &rpc,
            )?,
            msg_received: make.counters(
                "grpc_server_msg_received_total",
                "Messages received from clients.",
                &rpc,
            )?,
            msg_sent: make.counters(
                "grpc_server_msg_sent_total",
                "Messages sent to clients.",
                &rpc,
            )?,
            streams_open: make.gauges(
                "cvm_gateway_streams_open",
                "Streams open now.",
                &["grpc_method"],
            )?,
        })
    }
}

impl Cloud {
    fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        Ok(Self {
            unlisted_codes: UnlistedCodes::new(make)?,
            requests: make.counters(
                "cvm_gateway_cloud_requests_total",
                "Cloud calls completed, by class of answer.",
                &["action", "account", "class"],
            )?,
            request_seconds: Latencies::new(
                make,
                (
                    "cvm_gateway_cloud_request_seconds",
                    "Latency of cloud calls.",
                ),
                &LATENCY_BUCKETS,
                &["action", "account"],
            )?,
            permit_wait_seconds: make.histograms(
                "cvm_gateway_cloud_permit_wait_seconds",
                "Time until a cloud call was permitted, by what it was for.",
                &LATENCY_BUCKETS,
                &["action", "class"],
            )?,
            rate_limited: make.counters(
                "cvm_gateway_cloud_rate_limited_total",
                "Cloud calls refused for their rate.",
                &["action"],
            )?,
            permitted_rate: make.float_gauges(
                "cvm_gateway_cloud_permitted_calls_per_second",
                "Cloud calls a second that are permitted now.",
                &["account", "action"],
            )?,
            retries: make.counters(
                "cvm_gateway_cloud_retries_total",
                "Repeated cloud calls, by what they were paid with.",
                &["action", "paid_by"],
            )?,
            retry_wait_seconds: make.histograms(
                "cvm_gateway_cloud_retry_wait_seconds",
                "Time until a repeated cloud call could be paid for.",
                &LATENCY_BUCKETS,
                &["action"],
            )?,
            retries_waiting: make.gauges(
                "cvm_gateway_cloud_retries_waiting",
                "Repeated cloud calls that wait because the budget is used up.",
                &["account", "action"],
            )?,
        })
    }

    /// Counts a call that was permitted after a wait.
    pub fn permitted(&self, action: &str, class: &str, waited: Duration) {
        self.permit_wait_seconds
            .with_label_values(&[action, class])
            .observe(waited.as_secs_f64());
    }

    /// Counts calls that the cloud refused for their rate.
    pub fn refused_for_rate(&self, action: &str, calls: u64) {
        self.rate_limited.with_label_values(&[action]).inc_by(calls);
    }

    /// Counts a repetition that was paid for after a wait.
    pub fn repeats(&self, action: &str, paid_by: &str, waited: Duration) {
        self.retries.with_label_values(&[action, paid_by]).inc();
        self.retry_wait_seconds
            .with_label_values(&[action])
            .observe(waited.as_secs_f64());
    }

    /// Shows that nothing was repeated yet.
    pub fn repeats_none(&self, actions: &[&str]) {
        for action in actions {
            for paid_by in ["budget", "probe"] {
                self.retries.with_label_values(&[action, paid_by]).inc_by(0);
            }
        }
    }

    /// Shows how many repetitions wait for the budget.
    pub fn repeats_wait(&self, account: &str, action: &str, count: usize) {
        self.retries_waiting
            .with_label_values(&[account, action])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Shows how many calls are permitted in 1,000 seconds.
    pub fn permits(&self, account: &str, action: &str, per_1000_seconds: u32) {
        self.permitted_rate
            .with_label_values(&[account, action])
            .set(f64::from(per_1000_seconds) / 1000.0);
    }

    /// Counts one completed call, as part of a trace, if that is recorded.
    pub fn completed(
        &self,
        action: &str,
        account: &str,
        class: &str,
        (latency, trace): (Duration, Option<&TraceParent>),
    ) {
        self.requests
            .with_label_values(&[action, account, class])
            .inc();
        self.request_seconds
            .observe(&[action, account], latency.as_secs_f64(), trace);
    }
}

impl Operations {
    fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let metrics = Self {
            count: make.gauges(
                "cvm_gateway_operations",
                "Operations in the journal.",
                &["state"],
            )?,
            finished: make.counters(
                "cvm_gateway_operations_finished_total",
                "Operations that came to an end in this process.",
                &["state"],
            )?,
            failed: make.counters(
                "cvm_gateway_operations_failed_total",
                "Operations that failed in this process, by reason and by whose it is to mend.",
                &["fault", "reason"],
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
                &["result"],
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
        for whole in [true, false] {
            self.swept(whole, 0);
        }
        for state in StateName::ALL {
            self.count.with_label_values(&[state.as_str()]).set(0);
        }
        for state in StateName::ALL
            .into_iter()
            .filter(|state| state.is_at_rest())
        {
            self.finished.with_label_values(&[state.as_str()]).inc_by(0);
        }
        for reason in Reason::ALL {
            self.failed_for(*reason, 0);
        }
    }

    fn failed_for(&self, reason: Reason, count: u64) {
        let labels = [reason.fault().as_str(), reason.as_str()];
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

    /// Counts sweeps that saw everything, or not.
    pub fn swept(&self, whole: bool, count: u64) {
        let result = if whole { "ok" } else { "failed" };
        self.sweeps.with_label_values(&[result]).inc_by(count);
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
        state: StateName,
        failure: Option<Reason>,
        (age, trace): (Duration, Option<&TraceParent>),
    ) {
        if let Some(reason) = failure {
            self.failed_for(reason, 1);
        }
        self.finished.with_label_values(&[state.as_str()]).inc();
        self.launch_seconds
            .observe(&[state.as_str()], age.as_secs_f64(), trace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_closed_labels_at_zero() {
        let metrics = Metrics::new("1.2.3").unwrap();
        metrics
            .operations
            .came_to_rest(StateName::Succeeded, None, (Duration::from_secs(3), None));
        let (capacity, age) = (Some(Reason::Capacity), (Duration::from_secs(9), None));
        metrics
            .operations
            .came_to_rest(StateName::Failed, capacity, age);
        let text = metrics.render().unwrap();
        for line in [
            "cvm_gateway_build_info{version=\"1.2.3\"} 1",
            "cvm_gateway_operations{state=\"NEEDS_OPERATOR\"} 0",
            "cvm_gateway_operations_finished_total{state=\"SUCCEEDED\"} 1",
            "cvm_gateway_operations_finished_total{state=\"FAILED\"} 1",
            "cvm_gateway_operations_finished_total{state=\"PARTIAL\"} 0",
            "cvm_gateway_operations_failed_total{fault=\"caller\",reason=\"CAPACITY\"} 1",
            "cvm_gateway_operations_failed_total{fault=\"cloud\",reason=\"LAUNCH_FAILED\"} 0",
            "cvm_gateway_launch_seconds_sum{state=\"SUCCEEDED\"} 3",
            "process_resident_memory_bytes",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
