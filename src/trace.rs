//! Traces: where work stands in one, and what a collector is told of it.

mod export;

pub use export::{EndpointError, Settings, Spans};

use crate::domain::trace::TraceParent;
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// The target of the spans that traces are made of, all of the level TRACE. Without a recorder nobody wants
/// them, and to make one costs a comparison.
pub const TARGET: &str = "cvm_gateway::trace";

/// What records spans, and the queue of those that have ended.
///
/// # Errors
/// When the collector's address cannot be used.
pub fn recorder<S>(
    settings: &Settings,
) -> Result<(impl Layer<S> + Send + Sync + use<S>, Spans), EndpointError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let (queue, spans) = export::queue(settings)?;
    let begun_here = Sampler::TraceIdRatioBased(settings.sample_ratio);
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(begun_here)))
        .with_resource(Resource::builder_empty().build())
        .with_span_processor(queue)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    let ours = Targets::new().with_target(TARGET, LevelFilter::TRACE);
    Ok((layer.with_filter(ours), spans))
}

/// Puts `span`, which nobody has entered yet, below `parent`, wherever that was recorded.
pub fn follow(span: &Span, parent: Option<&TraceParent>) {
    if let Some(parent) = parent.and_then(context) {
        // It fails where nothing is recorded.
        let _nothing = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// The span that `make` makes, below `parent`; none, where nothing is recorded there.
pub fn part_of(parent: Option<&TraceParent>, make: impl FnOnce() -> Span) -> Span {
    if parent.is_none() {
        return Span::none();
    }
    let span = make();
    follow(&span, parent);
    span
}

/// Says that `span` is also about what is recorded at `other`.
pub fn link(span: &Span, other: &TraceParent) {
    if let Some(other) = context(other) {
        span.add_link(other);
    }
}

/// Where the present work stands in a trace; none: nothing of it is recorded.
#[must_use]
pub fn here() -> Option<TraceParent> {
    of(&Span::current())
}

/// Where `span` stands in a trace.
#[must_use]
pub fn of(span: &Span) -> Option<TraceParent> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let here = span.span_context();
    let (trace, span) = (here.trace_id().to_bytes(), here.span_id().to_bytes());
    (here.is_valid() && here.is_sampled()).then(|| TraceParent::sampled(&trace, &span))
}

fn context(parent: &TraceParent) -> Option<SpanContext> {
    let trace = TraceId::from_hex(parent.trace_id()).ok()?;
    let span = SpanId::from_hex(parent.span_id()).ok()?;
    let flags = TraceFlags::default().with_sampled(parent.is_sampled());
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE))
}
