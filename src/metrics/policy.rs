//! Counts what policy decides.

use super::{Inconsistent, Make};
use prometheus::{IntCounter, IntCounterVec, IntGauge};

/// Decisions, and the rules that they come from.
#[derive(Clone, Debug)]
pub struct Policy {
    decisions: IntCounterVec,
    trials: IntCounterVec,
    /// Changed rules that were wrong, so that the last good ones stay in force.
    pub reload_failures: IntCounter,
    /// Changed rules that were put in force.
    pub reloads: IntCounter,
    /// Rules in force, those on trial included.
    pub rules: IntGauge,
}

impl Policy {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let labels = ["grpc_method", "decision"];
        let plain = |name, help| {
            Ok::<_, Inconsistent>(
                make.counters(name, help, &[])?
                    .with_label_values::<&str>(&[]),
            )
        };
        let rules = make.gauges("cvm_gateway_policy_rules", "Rules in force.", &[])?;
        Ok(Self {
            decisions: make.counters(
                "cvm_gateway_policy_decisions_total",
                "Calls that policy decided about.",
                &labels,
            )?,
            trials: make.counters(
                "cvm_gateway_policy_trials_total",
                "Calls that the rules on trial would have decided otherwise, by what they would.",
                &labels,
            )?,
            reload_failures: plain(
                "cvm_gateway_policy_reload_failures_total",
                "Changed rules that were wrong and not put in force.",
            )?,
            reloads: plain(
                "cvm_gateway_policy_reloads_total",
                "Changed rules that were put in force.",
            )?,
            rules: rules.with_label_values::<&str>(&[]),
        })
    }

    /// Counts a decision about a call of an RPC.
    pub fn decided(&self, method: &str, allows: bool) {
        self.decisions
            .with_label_values(&[method, decision(allows)])
            .inc();
    }

    /// Counts that rules on trial would have decided so, and those in force did not.
    pub fn tried(&self, method: &str, allows: bool) {
        self.trials
            .with_label_values(&[method, decision(allows)])
            .inc();
    }
}

const fn decision(allows: bool) -> &'static str {
    if allows { "allow" } else { "deny" }
}
