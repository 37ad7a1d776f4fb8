//! Watches how full the memory and the journal's queue are, and has the door give up what can wait before
//! they run out.

use super::Guard;
use crate::clock::Clock;
use crate::config::Overload;
use crate::identity::{Errand, Gate};
use crate::metrics::{Admission, Metrics, Pressure, Resource};
use crate::store::Store;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(250);
/// By how much less a pressure ends than it begins, so that it does not come and go.
const RELIEF_PERCENT: u32 = 5;
/// Where Linux says what a process takes, and which control group it is in.
const STATUS: &str = "/proc/self/status";
const GROUP: &str = "/proc/self/cgroup";
/// Where the control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

/// Tells the door under how much pressure the gateway is.
#[derive(Debug)]
pub(super) struct Monitor {
    settings: Overload,
    /// None: nobody limits it.
    memory_max_kib: Option<u64>,
    store: Store,
    clock: Clock,
    metrics: Admission,
    pressure: watch::Sender<Pressure>,
}

impl Monitor {
    pub(super) fn new(settings: Overload, store: &Store, clock: &Clock, metrics: &Metrics) -> Self {
        let configured = settings.memory_max_mib.map(|mib| u64::from(mib) << 10);
        Self {
            settings,
            memory_max_kib: configured.or_else(allowed_kib),
            store: store.clone(),
            clock: clock.clone(),
            metrics: metrics.admission.clone(),
            pressure: watch::Sender::new(Pressure::Calm),
        }
    }

    /// What the door looks at: who is let in, and what is given up.
    pub(super) fn guard(&self, gate: &Gate) -> Guard {
        (gate.clone(), self.pressure.subscribe())
    }

    /// Looks again and again.
    pub(super) fn errand(self) -> Errand {
        Box::pin(self.keep())
    }

    async fn keep(self) {
        loop {
            self.look();
            self.clock.sleep(INTERVAL).await;
        }
    }

    fn look(&self) {
        let taken = |max| taken_kib().map(|taken| percent(taken, max));
        let memory = self.memory_max_kib.and_then(taken).unwrap_or(0);
        let queue = self.store.queue_percent();
        self.metrics.fills(Resource::Memory, memory);
        self.metrics.fills(Resource::JournalQueue, queue);
        let before = *self.pressure.borrow();
        let now = next(before, memory.max(queue), &self.settings);
        if now != before {
            let pressure = now.as_str();
            tracing::warn!(pressure, memory, queue, "overload: {}", told(now));
            self.metrics.is_under(now);
            self.pressure.send_replace(now);
        }
    }
}

/// What follows on `before` when so much is used of what is used most.
fn next(before: Pressure, percent: u32, settings: &Overload) -> Pressure {
    let holds = |pressure: Pressure, from: u32| {
        let relief = if before >= pressure {
            RELIEF_PERCENT
        } else {
            0
        };
        percent >= from.saturating_sub(relief)
    };
    if holds(Pressure::Critical, settings.critical_percent) {
        Pressure::Critical
    } else if holds(Pressure::High, settings.high_percent) {
        Pressure::High
    } else {
        Pressure::Calm
    }
}

const fn told(pressure: Pressure) -> &'static str {
    match pressure {
        Pressure::Calm => "everything is served again",
        Pressure::High => "new launches and plans are refused",
        Pressure::Critical => {
            "only operations are followed, cancelled and given back; few connections are taken"
        }
    }
}

fn percent(taken: u64, max: u64) -> u32 {
    let percent = taken.saturating_mul(100) / max.max(1);
    u32::try_from(percent).unwrap_or(u32::MAX)
}

/// Memory that the process takes.
fn taken_kib() -> Option<u64> {
    resident_kib(&std::fs::read_to_string(STATUS).ok()?)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// What the control group and those that it is in allow: the least.
fn allowed_kib() -> Option<u64> {
    let group = std::fs::read_to_string(GROUP).ok()?;
    let group = group.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = Path::new(GROUPS).join(group);
    let groups = group
        .ancestors()
        .take_while(|path| path.starts_with(GROUPS));
    let limits = groups.filter_map(|path| {
        let limit = std::fs::read_to_string(path.join("memory.max")).ok()?;
        limit.trim().parse::<u64>().ok() // `max` is none
    });
    limits.min().map(|bytes| bytes >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pressure_ends_below_where_it_began() {
        use Pressure::{Calm, Critical, High};
        let settings = Overload {
            memory_max_mib: None,
            high_percent: 80,
            critical_percent: 90,
        };
        let mut pressure = Calm;
        for (percent, expected) in [
            (79, Calm),
            (80, High),
            (75, High),
            (89, High),
            (90, Critical),
            (85, Critical),
            (84, High),
            (74, Calm),
            (79, Calm),
            (200, Critical),
            (0, Calm),
        ] {
            pressure = next(pressure, percent, &settings);
            assert_eq!(pressure, expected, "at {percent} %");
        }
    }

    #[test]
    fn memory_is_read_as_linux_writes_it() {
        let status = "Name:\tx\nVmHWM:\t  999 kB\nVmRSS:\t  123456 kB\n";
        assert_eq!(resident_kib(status), Some(123_456));
        assert_eq!(resident_kib("Name:\tx\n"), None);
        assert_eq!((percent(1, 3), percent(7, 0)), (33, 700));
        assert!(taken_kib().is_some_and(|kib| kib > 1024));
    }
}
