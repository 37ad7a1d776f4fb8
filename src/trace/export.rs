//! Spans on their way to a collector. Nobody waits for them: what does not fit into the queue is dropped and
//! counted, and what a collector does not take is not sent again.

use crate::clock::Clock;
use crate::domain::causes::chain;
use crate::metrics::Traces;
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use uuid::Uuid;

/// Spans of one message: some hundred kilobytes.
const BATCH_MAX: usize = 512;
/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector that failed is left alone.
const REST: Duration = Duration::from_secs(5);
/// How long a stop lets the last spans take, where the collector took those before.
const LAST: Duration = Duration::from_millis(500);

/// Where spans go, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The collector's URL.
    pub endpoint: String,
    /// PEM of the authorities that one behind https is trusted by; none: those of the system.
    pub authorities: Option<String>,
    /// The share of the traces that begin here which is recorded. One that comes from a caller is recorded
    /// when the caller's is.
    pub sample_ratio: f64,
    /// Spans that may wait.
    pub queue: usize,
    /// How long the collector may take for a batch.
    pub timeout: Duration,
}

/// A collector's address that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("tracing.endpoint cannot be used; name a collector like http://127.0.0.1:4317")]
pub struct EndpointError(#[from] tonic::transport::Error);

/// Takes spans that have ended.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
}

/// The spans that have ended, and the collector they go to.
#[derive(Debug)]
pub struct Spans {
    spans: mpsc::Receiver<SpanData>,
    dropped: Arc<AtomicU64>,
    collector: TraceServiceClient<Channel>,
    timeout: Duration,
    /// What tells this process from others.
    process: ResourceAttributesWithSchema,
    batch: Vec<SpanData>,
}

pub(super) fn queue(settings: &Settings) -> Result<(Queue, Spans), EndpointError> {
    let (sender, spans) = mpsc::channel(settings.queue.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let spans = Spans {
        spans,
        dropped: Arc::clone(&dropped),
        collector: TraceServiceClient::new(channel(settings)?),
        timeout: settings.timeout,
        process: (&process()).into(),
        batch: Vec::new(),
    };
    let queue = Queue {
        spans: sender,
        dropped,
    };
    Ok((queue, spans))
}

/// Connects when it is used.
fn channel(settings: &Settings) -> Result<Channel, EndpointError> {
    let endpoint = Endpoint::from_shared(settings.endpoint.clone())?;
    let endpoint = endpoint.connect_timeout(settings.timeout);
    let endpoint = match settings.endpoint.starts_with("https:") {
        true => endpoint.tls_config(tls(settings))?,
        false => endpoint,
    };
    Ok(endpoint.connect_lazy())
}

fn tls(settings: &Settings) -> ClientTlsConfig {
    let config = ClientTlsConfig::new();
    match &settings.authorities {
        Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
        None => config.with_enabled_roots(),
    }
}

fn process() -> Resource {
    let attributes = [
        KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
    ];
    Resource::builder_empty()
        .with_attributes(attributes)
        .build()
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Spans {
    /// Brings spans to the collector until `stopped`, and then, quickly, those that are left.
    pub async fn keep(mut self, clock: Clock, metrics: Traces, stopped: CancellationToken) {
        let mut well = true;
        let on_the_way = async {
            loop {
                self.gather(&clock).await;
                well = self.send(&clock, &metrics, well).await;
                if !well {
                    clock.sleep(REST).await;
                }
            }
        };
        stopped.run_until_cancelled(on_the_way).await;
        if well {
            let last = async {
                while self.drain() {
                    self.send(&clock, &metrics, well).await;
                }
            };
            clock.timeout(LAST, last).await;
        }
    }

    /// Waits for a span, and then a little for others.
    async fn gather(&mut self, clock: &Clock) {
        if self.batch.is_empty() {
            match self.spans.recv().await {
                Some(span) => self.batch.push(span),
                None => std::future::pending().await,
            }
        }
        if self.spans.len() < BATCH_MAX {
            clock.sleep(GATHER).await;
        }
        self.drain();
    }

    /// Fills the batch with what waits; whether it holds anything.
    fn drain(&mut self) -> bool {
        while self.batch.len() < BATCH_MAX {
            match self.spans.try_recv() {
                Ok(span) => self.batch.push(span),
                Err(_none) => break,
            }
        }
        !self.batch.is_empty()
    }

    /// Sends the batch once; whether the collector took it. A change is told, once.
    async fn send(&mut self, clock: &Clock, metrics: &Traces, well: bool) -> bool {
        metrics.dropped(self.dropped.swap(0, Ordering::Relaxed));
        let batch = std::mem::take(&mut self.batch);
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.process);
        let request = ExportTraceServiceRequest { resource_spans };
        let sent = clock.timeout(self.timeout, self.collector.export(request));
        let problem = match sent.await {
            Some(Ok(_)) => None,
            Some(Err(status)) => Some(chain(&status, ": ")),
            None => Some(format!("no answer within {:?}", self.timeout)),
        };
        metrics.sent(count, problem.is_none());
        match &problem {
            Some(problem) if well => {
                tracing::warn!(
                    problem,
                    "the collector of traces does not take spans; they are dropped"
                );
            }
            None if !well => tracing::info!("the collector of traces takes spans again"),
            Some(_) | None => {}
        }
        problem.is_none()
    }
}
