//! Every metric in one struct with its own registry; labels are closed sets, or bounded ones.

mod admission;
pub mod audit;
mod connections;
mod credentials;
mod exemplars;
mod identity;
mod journal;
mod make;
mod operations;
mod policy;
mod process;
mod quotas;
mod traces;
mod unlisted;

pub use {
    admission::{Admission, Pressure, Priority, Resource, Shed},
    connections::{Connections, Ended, Refused},
    credentials::{Credentials, Key},
    exemplars::Latencies,
    identity::Identity,
    journal::{FAILURES, Journal},
    make::Family,
    operations::Operations,
    policy::Policy,
    quotas::Quotas,
    traces::Traces,
    unlisted::UnlistedCodes,
};

use crate::domain::trace::TraceParent;
use exemplars::Exemplars;
use make::Make;
use prometheus::{
    Encoder, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Registry, TextEncoder,
};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::operation::{Kind, StateName};
    use crate::domain::reason::Reason;

    #[test]
    fn renders_closed_labels_at_zero() {
        let metrics = Metrics::new("1.2.3").unwrap();
        let age = |seconds| (Duration::from_secs(seconds), None);
        let (launch, back) = (Kind::Launch, Kind::Termination);
        let operations = &metrics.operations;
        operations.came_to_rest(launch, StateName::Succeeded, None, age(3));
        operations.came_to_rest(launch, StateName::Failed, Some(Reason::Capacity), age(9));
        operations.came_to_rest(back, StateName::Succeeded, None, age(20));
        let text = metrics.render().unwrap();
        for line in [
            "cvm_gateway_build_info{version=\"1.2.3\"} 1",
            "cvm_gateway_operations{state=\"NEEDS_OPERATOR\"} 0",
            "cvm_gateway_operations_finished_total{kind=\"launch\",state=\"SUCCEEDED\"} 1",
            "cvm_gateway_operations_finished_total{kind=\"launch\",state=\"FAILED\"} 1",
            "cvm_gateway_operations_finished_total{kind=\"launch\",state=\"PARTIAL\"} 0",
            "cvm_gateway_operations_finished_total{kind=\"terminate\",state=\"SUCCEEDED\"} 1",
            "cvm_gateway_operations_finished_total{kind=\"terminate\",state=\"FAILED\"} 0",
            "cvm_gateway_operations_failed_total{fault=\"caller\",kind=\"launch\",reason=\"CAPACITY\"} 1",
            "cvm_gateway_operations_failed_total{fault=\"caller\",kind=\"terminate\",reason=\"CAPACITY\"} 0",
            "cvm_gateway_operations_failed_total{fault=\"cloud\",kind=\"launch\",reason=\"LAUNCH_FAILED\"} 0",
            "cvm_gateway_launch_seconds_sum{state=\"SUCCEEDED\"} 3",
            "process_resident_memory_bytes",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
