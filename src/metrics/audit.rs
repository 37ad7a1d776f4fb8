//! The metric of what brings the audit out of the journal.

use super::{Inconsistent, Make};
use prometheus::IntGaugeVec;

/// The sink of the audit.
#[derive(Clone, Debug)]
pub struct Audit {
    sink_lag: IntGaugeVec,
}

impl Audit {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let sink_lag = make.gauges(
            "cvm_gateway_audit_sink_lag_rows",
            "Rows of the audit that its sink does not have yet.",
            &[],
        )?;
        let metrics = Self { sink_lag };
        metrics.lags(0);
        Ok(metrics)
    }

    /// The sink is so many rows behind.
    pub fn lags(&self, rows: i64) {
        self.sink_lag.with_label_values::<&str>(&[]).set(rows);
    }
}
