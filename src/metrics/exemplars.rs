//! Exemplars: the last trace that fell into each bucket of a latency, and OpenMetrics, the format that can tell
//! them.

use super::{Inconsistent, Make};
use crate::domain::trace::TraceParent;
use prometheus::HistogramVec;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// By the series of the bucket, as it is written. Never more than there are series.
#[derive(Clone, Debug, Default)]
pub(super) struct Exemplars(Arc<Mutex<BTreeMap<String, Exemplar>>>);

#[derive(Debug)]
struct Exemplar {
    trace_id: String,
    seconds: f64,
}

/// Latencies whose buckets have exemplars.
#[derive(Clone, Debug)]
pub struct Latencies {
    name: &'static str,
    /// With their places among the values.
    labels: BTreeMap<&'static str, usize>,
    buckets: &'static [f64],
    histograms: HistogramVec,
    exemplars: Exemplars,
}

impl Latencies {
    pub(super) fn new(
        make: &Make<'_>,
        (name, help): (&'static str, &str),
        buckets: &'static [f64],
        labels: &[&'static str],
    ) -> Result<Self, Inconsistent> {
        Ok(Self {
            name,
            labels: labels.iter().copied().zip(0..).collect(),
            buckets,
            histograms: make.histograms(name, help, buckets, labels)?,
            exemplars: make.exemplars(),
        })
    }

    /// Counts one of the series with these values, as part of a trace, if that is recorded.
    pub fn observe(&self, values: &[&str], seconds: f64, trace: Option<&TraceParent>) {
        self.histograms.with_label_values(values).observe(seconds);
        if let Some(trace) = trace {
            let exemplar = Exemplar {
                trace_id: trace.trace_id().to_owned(),
                seconds,
            };
            let series = self.bucket(values, seconds);
            self.exemplars.with(|known| known.insert(series, exemplar));
        }
    }

    /// The series that counts it first, as the text format writes it.
    fn bucket(&self, values: &[&str], seconds: f64) -> String {
        let mut series = format!("{}_bucket{{", self.name);
        for (label, place) in &self.labels {
            let value = values.get(*place).unwrap_or(&"");
            // A text takes everything.
            let _written = write!(series, "{label}=\"{value}\",");
        }
        let bound = self.buckets.iter().find(|bound| seconds <= **bound);
        let bound = bound.map_or_else(|| "+Inf".to_owned(), f64::to_string);
        series + &format!("le=\"{bound}\"}}")
    }
}

impl Exemplars {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Exemplar>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What `text` tells in Prometheus' text format, in OpenMetrics 1.0: there the name of a counter has no
    /// `_total`, only its samples do.
    pub(super) fn openmetrics(&self, text: &str) -> String {
        let mut open = String::with_capacity(text.len());
        self.with(|known| {
            for line in text.lines() {
                open.push_str(&converted(line, known));
                open.push('\n');
            }
        });
        open.push_str("# EOF\n");
        open
    }
}

fn converted(line: &str, known: &BTreeMap<String, Exemplar>) -> String {
    if let Some((before, after)) = line.split_once("_total ")
        && before.starts_with("# ")
    {
        return format!("{before} {after}");
    }
    let exemplar = line
        .rsplit_once(' ')
        .and_then(|(series, _)| known.get(series));
    match exemplar {
        Some(Exemplar { trace_id, seconds }) => {
            format!("{line} # {{trace_id=\"{trace_id}\"}} {seconds}")
        }
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::trace::TraceParent;
    use crate::metrics::Metrics;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn the_last_trace_of_each_bucket_is_told() {
        let metrics = Metrics::new("1").unwrap();
        let traces = [1, 2, 3].map(|byte| TraceParent::sampled(&[byte; 16], &[9; 8]));
        let call = |millis, trace| {
            let took = Duration::from_millis(millis);
            metrics
                .cloud
                .completed("RunInstances", "main", "ok", (took, trace));
        };
        call(3, Some(&traces[0]));
        call(4, Some(&traces[1]));
        call(4, None);
        call(99_000, Some(&traces[2]));
        let text = metrics.render_openmetrics().unwrap();
        let bucket = |bound, rest: &str| {
            format!(
                "cvm_gateway_cloud_request_seconds_bucket{{account=\"main\",action=\"RunInstances\",le=\"{bound}\"}} {rest}\n"
            )
        };
        for line in [
            bucket("0.0025", "0"),
            bucket(
                "0.005",
                &format!("3 # {{trace_id=\"{}\"}} 0.004", "02".repeat(16)),
            ),
            bucket("60", "3"),
            bucket(
                "+Inf",
                &format!("4 # {{trace_id=\"{}\"}} 99", "03".repeat(16)),
            ),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(
            !metrics.render().unwrap().contains("trace_id"),
            "the old format has no place for it"
        );
    }

    #[test]
    fn openmetrics_is_as_its_standard_wants_it() {
        let metrics = Metrics::new("1").unwrap();
        metrics.operations.swept_none("main");
        let text = metrics.render_openmetrics().unwrap();
        assert!(text.ends_with("\n# EOF\n"));
        assert!(text.contains("# TYPE cvm_gateway_sweeps counter\n"));
        assert!(text.contains("\ncvm_gateway_sweeps_total{account=\"main\",result=\"ok\"} 0\n"));
        let mut families = BTreeSet::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(families.insert(name), "{name} is there twice");
            assert!(!name.ends_with("_total"), "{line}");
            let samples = format!("\n{name}_total");
            assert!(
                kind != "counter"
                    || text.contains(&samples)
                    || !text.contains(&format!("\n{name}")),
                "{line}"
            );
        }
        assert!(families.len() > 20, "{families:?}");
        let helps = text.lines().filter(|line| line.starts_with("# HELP "));
        for help in helps {
            assert!(
                !help.contains(['"', '\\']),
                "it would have to be escaped: {help}"
            );
        }
    }
}
