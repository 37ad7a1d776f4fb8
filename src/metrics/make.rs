//! Makes metrics and registers them in one step, and remembers what there is.

use super::Inconsistent;
use super::exemplars::Exemplars;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::cell::RefCell;

/// Makes and registers in one step.
pub(super) struct Make<'a> {
    registry: &'a Registry,
    families: RefCell<Vec<Family>>,
    exemplars: Exemplars,
}

/// What a metric is called, and what tells its series apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: String,
    pub labels: Vec<String>,
    /// Its series are called `_bucket`, which has the label `le`, `_sum` and `_count`.
    pub is_histogram: bool,
}

impl<'a> Make<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            families: RefCell::default(),
            exemplars: Exemplars::default(),
        }
    }

    /// Those of all latencies.
    pub(super) fn exemplars(&self) -> Exemplars {
        self.exemplars.clone()
    }

    /// All that were made.
    pub(super) fn into_families(self) -> Vec<Family> {
        self.families.into_inner()
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, Inconsistent> {
        let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.register(&metric, false)?;
        Ok(metric)
    }

    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, Inconsistent> {
        let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.register(&metric, false)?;
        Ok(metric)
    }

    pub(super) fn float_gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, Inconsistent> {
        let metric = GaugeVec::new(Opts::new(name, help), labels)?;
        self.register(&metric, false)?;
        Ok(metric)
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec, Inconsistent> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let metric = HistogramVec::new(options, labels)?;
        self.register(&metric, true)?;
        Ok(metric)
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, Inconsistent> {
        let metric =
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
        self.register(&metric, true)?;
        Ok(metric)
    }

    fn register(
        &self,
        metric: &(impl Collector + Clone + 'static),
        is_histogram: bool,
    ) -> Result<(), Inconsistent> {
        self.registry.register(Box::new(metric.clone()))?;
        let families = metric.desc().into_iter().map(|of| Family {
            name: of.fq_name.clone(),
            labels: of.variable_labels.clone(),
            is_histogram,
        });
        self.families.borrow_mut().extend(families);
        Ok(())
    }
}
