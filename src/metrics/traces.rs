//! Metrics of spans on their way to a collector of traces.

use super::{Inconsistent, Make};
use prometheus::IntCounterVec;

/// What became of spans.
#[derive(Clone, Debug)]
pub struct Traces {
    /// `result`.
    spans: IntCounterVec,
}

impl Traces {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let spans = make.counters(
            "cvm_gateway_trace_spans_total",
            "Spans of traces: sent to the collector, not taken by it, or dropped because too many waited.",
            &["result"],
        )?;
        let metrics = Self { spans };
        metrics.sent(0, true);
        metrics.sent(0, false);
        metrics.dropped(0);
        Ok(metrics)
    }

    /// Counts spans that the collector took, or not.
    pub fn sent(&self, count: u64, taken: bool) {
        let result = if taken { "ok" } else { "failed" };
        self.spans.with_label_values(&[result]).inc_by(count);
    }

    /// Counts spans that found no place in the queue.
    pub fn dropped(&self, count: u64) {
        self.spans.with_label_values(&["dropped"]).inc_by(count);
    }
}
