//! Metrics of admission: calls at work, calls that wait for it, and those that are turned away.

use super::{Gauge, Inconsistent, LATENCY_BUCKETS, Make};
use prometheus::{Histogram, IntCounterVec};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a call is for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Follows, reads, cancels or gives back what was launched.
    Follow,
    /// Launches.
    Launch,
    /// Asks what a launch would do.
    Plan,
}

/// Why a call was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// As many calls of its organisation wait as may, or as can begin in time.
    OrganizationQueue,
    /// Its turn did not come in time.
    Wait,
    /// Its caller waits no longer.
    Deadline,
}

/// The calls of the service.
#[derive(Clone, Debug)]
pub struct Admission {
    lines: BTreeMap<Priority, Line>,
    /// Calls that were not begun; `priority`, `reason`.
    shed: IntCounterVec,
}

/// The calls of one priority.
#[derive(Clone, Debug)]
struct Line {
    at_work: Gauge,
    waiting: Gauge,
    wait_seconds: Histogram,
}

impl Priority {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Follow, Self::Launch, Self::Plan];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Follow => "follow",
            Self::Launch => "launch",
            Self::Plan => "plan",
        }
    }
}

impl Shed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OrganizationQueue, Self::Wait, Self::Deadline];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrganizationQueue => "organization_queue",
            Self::Wait => "wait",
            Self::Deadline => "deadline",
        }
    }
}

impl Admission {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let label = ["priority"];
        let at_work = make.gauges(
            "cvm_gateway_calls_at_work",
            "Calls that are being answered.",
            &label,
        )?;
        let waiting = make.gauges(
            "cvm_gateway_calls_waiting",
            "Calls that wait to be answered.",
            &label,
        )?;
        let wait_seconds = make.histograms(
            "cvm_gateway_call_wait_seconds",
            "Time until a call was begun.",
            &LATENCY_BUCKETS,
            &label,
        )?;
        let shed = make.counters(
            "cvm_gateway_calls_shed_total",
            "Calls that were not begun, because there are too many.",
            &["priority", "reason"],
        )?;
        let line = |priority: Priority| {
            let label = [priority.as_str()];
            for reason in Shed::ALL.map(Shed::as_str) {
                let labels = [priority.as_str(), reason];
                shed.with_label_values(&labels).inc_by(0);
            }
            let line = Line {
                at_work: at_work.with_label_values(&label),
                waiting: waiting.with_label_values(&label),
                wait_seconds: wait_seconds.with_label_values(&label),
            };
            (priority, line)
        };
        Ok(Self {
            lines: Priority::ALL.into_iter().map(line).collect(),
            shed,
        })
    }

    /// Shows one call more that waits.
    pub fn joins(&self, priority: Priority) {
        if let Some(line) = self.lines.get(&priority) {
            line.waiting.inc();
        }
    }

    /// Shows that one which waited so long is at work.
    pub fn begins(&self, priority: Priority, waited: Duration) {
        if let Some(line) = self.lines.get(&priority) {
            line.waiting.dec();
            line.at_work.inc();
            line.wait_seconds.observe(waited.as_secs_f64());
        }
    }

    /// Shows one call less that waits, or that is at work if it has `begun`.
    pub fn leaves(&self, priority: Priority, begun: bool) {
        if let Some(line) = self.lines.get(&priority) {
            let gauge = if begun { &line.at_work } else { &line.waiting };
            gauge.dec();
        }
    }

    /// Counts a call that was not begun.
    pub fn shed(&self, priority: Priority, why: Shed) {
        let labels = [priority.as_str(), why.as_str()];
        self.shed.with_label_values(&labels).inc();
    }
}
