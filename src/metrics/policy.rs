//! Counts what policy decides.

use super::{Inconsistent, Make};
use prometheus::{IntCounter, IntCounterVec, IntGauge};

/// Decisions, and the rules that they come from.
#[derive(Clone, Debug)]
pub struct Policy {
    decisions: IntCounterVec,
    trials: IntCounterVec,
    /// Changed rules that were wrong, so that the last good ones stay in force.
    reload_failures: IntCounter,
    /// Whether the rules that were read last were so.
    reload_failed: IntGauge,
    /// Changed rules that were put in force.
    reloads: IntCounter,
    /// Rules in force, those on trial included.
    rules: IntGauge,
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
        let gauge = |name, help| {
            let gauges = make.gauges(name, help, &[])?;
            Ok::<_, Inconsistent>(gauges.with_label_values::<&str>(&[]))
        };
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
            reload_failed: gauge(
                "cvm_gateway_policy_reload_failed",
                "1 while the rules that are there are wrong, and older ones are in force.",
            )?,
            rules: gauge("cvm_gateway_policy_rules", "Rules in force.")?,
        })
    }

    /// Shows how many rules are in force.
    pub fn in_force(&self, rules: usize) {
        self.rules.set(i64::try_from(rules).unwrap_or(i64::MAX));
    }

    /// Counts changed rules that are in force from now on.
    pub fn reloaded(&self, rules: usize) {
        self.in_force(rules);
        self.reload_failed.set(0);
        self.reloads.inc();
    }

    /// Counts changed rules that are wrong.
    pub fn refused(&self) {
        self.reload_failed.set(1);
        self.reload_failures.inc();
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
