//! How much of their limits organisations use.

use super::{Inconsistent, Make};
use crate::domain::quota::{Exceeded, Level};
use prometheus::{GaugeVec, IntCounterVec};

/// Limits of the configuration; `quota` is a table of it, `limit` one of its limits.
#[derive(Clone, Debug)]
pub struct Quotas {
    used: GaugeVec,
    limit: GaugeVec,
    refused: IntCounterVec,
}

impl Quotas {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let labels = ["quota", "limit"];
        Ok(Self {
            used: make.float_gauges(
                "cvm_gateway_quota_used",
                "How much of a limit is used, as the journal counts it.",
                &labels,
            )?,
            limit: make.float_gauges("cvm_gateway_quota_limit", "The limit's value.", &labels)?,
            refused: make.counters(
                "cvm_gateway_quota_refusals_total",
                "Launches that would have gone over a limit.",
                &labels,
            )?,
        })
    }

    /// Shows how much of a limit is used.
    pub fn show(&self, level: &Level) {
        let labels = [level.quota.as_str(), level.measure.as_str()];
        let (used, limit) = (
            level.measure.amount(level.used),
            level.measure.amount(level.limit),
        );
        self.used.with_label_values(&labels).set(used);
        self.limit.with_label_values(&labels).set(limit);
        self.refused.with_label_values(&labels).inc_by(0);
    }

    /// Counts a launch once for each limit that it would have gone over.
    pub fn refused(&self, exceeded: &[Exceeded]) {
        for over in exceeded {
            let labels = [over.quota.as_str(), over.measure.as_str()];
            self.refused.with_label_values(&labels).inc();
        }
    }
}
