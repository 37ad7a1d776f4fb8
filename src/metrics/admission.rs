//! Metrics of admission: calls at work, calls that wait for it, those that are turned away, and under what
//! pressure.

use super::{Gauge, Inconsistent, LATENCY_BUCKETS, Make};
use prometheus::{GaugeVec, Histogram, IntCounterVec, IntGaugeVec};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a call is for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Follows, cancels or gives back what was launched.
    Follow,
    /// Lists what was launched.
    List,
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
    /// It is given up under pressure.
    Overload,
    /// The calls of its organisation hold as many bytes as they may.
    OrganizationBytes,
    /// All calls together do.
    Bytes,
}

/// How near the gateway is to running out of something, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    Calm,
    /// What can wait is given up: launches, and plans.
    High,
    /// All but what brings launches to their end.
    Critical,
}

/// What may run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Memory,
    JournalQueue,
}

/// The calls of the service.
#[derive(Clone, Debug)]
pub struct Admission {
    lines: BTreeMap<Priority, Line>,
    /// Calls that were not begun; `priority`, `reason`.
    shed: IntCounterVec,
    /// The pressure, as a number from 0 on.
    pressure: IntGaugeVec,
    /// How much of something is taken; `resource`.
    taken: GaugeVec,
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
    pub const ALL: [Self; 4] = [Self::Follow, Self::List, Self::Launch, Self::Plan];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Follow => "follow",
            Self::List => "list",
            Self::Launch => "launch",
            Self::Plan => "plan",
        }
    }
}

impl Shed {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OrganizationQueue,
        Self::Wait,
        Self::Deadline,
        Self::Overload,
        Self::OrganizationBytes,
        Self::Bytes,
    ];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrganizationQueue => "organization_queue",
            Self::Wait => "wait",
            Self::Deadline => "deadline",
            Self::Overload => "overload",
            Self::OrganizationBytes => "organization_bytes",
            Self::Bytes => "bytes",
        }
    }
}

impl Pressure {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Whether calls of that priority are given up.
    #[must_use]
    pub const fn gives_up(self, priority: Priority) -> bool {
        match priority {
            Priority::Follow => false,
            Priority::List => matches!(self, Self::Critical),
            Priority::Launch | Priority::Plan => matches!(self, Self::High | Self::Critical),
        }
    }
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Memory, Self::JournalQueue];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::JournalQueue => "journal_queue",
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
        let metrics = Self {
            lines: Priority::ALL.into_iter().map(line).collect(),
            shed,
            pressure: make.gauges(
                "cvm_gateway_pressure",
                "What is given up: 0 nothing, 1 launches and plans, 2 all but what is under way.",
                &[],
            )?,
            taken: make.float_gauges(
                "cvm_gateway_resource_taken_ratio",
                "How much is taken of what may run out.",
                &["resource"],
            )?,
        };
        metrics.is_under(Pressure::Calm);
        for resource in Resource::ALL {
            metrics.fills(resource, 0);
        }
        Ok(metrics)
    }

    /// Shows the pressure.
    pub fn is_under(&self, pressure: Pressure) {
        let number = match pressure {
            Pressure::Calm => 0,
            Pressure::High => 1,
            Pressure::Critical => 2,
        };
        self.pressure.with_label_values::<&str>(&[]).set(number);
    }

    /// Shows how much of something is taken.
    pub fn fills(&self, resource: Resource, percent: u32) {
        let gauge = self.taken.with_label_values(&[resource.as_str()]);
        gauge.set(f64::from(percent) / 100.0);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_least_urgent_is_given_up_first() {
        for (pressure, given_up) in [
            (Pressure::Calm, &[][..]),
            (Pressure::High, &[Priority::Launch, Priority::Plan]),
            (
                Pressure::Critical,
                &[Priority::List, Priority::Launch, Priority::Plan],
            ),
        ] {
            let all = Priority::ALL.into_iter();
            let now: Vec<_> = all
                .filter(|priority| pressure.gives_up(*priority))
                .collect();
            assert_eq!(now, given_up, "{pressure:?}");
        }
    }
}
