//! The life of one machine: every state is a function of the time.

use crate::simulator::wire::answer::State;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use serde::Serialize;
use time::{Duration, UtcDateTime};

/// The platform recycles a failed launch "within hours" (contract §8). Not shortened by the speed,
/// or a fast world would recycle a failure before anybody has read it.
const FAILED_KEPT: Duration = Duration::hours(2);
/// Days in the recycle bin after the first termination of a prepaid machine (contract §8).
const RECYCLE_BIN: Duration = Duration::days(7);

#[derive(Clone, Debug)]
pub(super) struct Life {
    created_at: UtcDateTime,
    /// When the addresses of a pending machine begin to show.
    addresses_at: UtcDateTime,
    launched_at: UtcDateTime,
    /// Why the launch fails, if it does.
    failure: Option<String>,
    shutdown_at: Option<UtcDateTime>,
    terminated_at: Option<UtcDateTime>,
    terminating: Duration,
    /// In the order of time.
    switches: Vec<Switched>,
}

/// What may be done with the power of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    Stop,
    Start,
    Reboot,
}

#[derive(Clone, Copy, Debug)]
struct Switched {
    switch: Switch,
    /// Whether it stops without being charged.
    for_nothing: bool,
    at: UtcDateTime,
    done_at: UtcDateTime,
}

/// A time in which a machine costs the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) from: UtcDateTime,
    pub(super) to: UtcDateTime,
    /// Stopped without being charged.
    pub(super) stopped: bool,
    /// Whether it is over.
    pub(super) ended: bool,
}

/// A change of state in the ledger; the last one is `GONE`.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Change {
    pub(super) at: String,
    pub(super) state: &'static str,
}

impl Life {
    /// Draws how long each phase takes; `speed` divides them.
    pub(super) fn new(
        created_at: UtcDateTime,
        failure: Option<String>,
        speed: f64,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let launching = around(30.0, 8.0..180.0, random);
        let shown = 0.2 + 0.5 * unit(random);
        let terminating = around(6.0, 2.0..30.0, random);
        let after = |seconds: f64| created_at.saturating_add(scaled(seconds, speed));
        Self {
            created_at,
            addresses_at: after(launching * shown),
            launched_at: after(launching),
            failure,
            shutdown_at: None,
            terminated_at: None,
            terminating: scaled(terminating, speed),
            switches: Vec::new(),
        }
    }

    pub(super) fn created_at(&self) -> UtcDateTime {
        self.created_at
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(super) fn shows_addresses(&self, now: UtcDateTime) -> bool {
        self.addresses_at <= now
    }

    pub(super) fn shut_down(&mut self, at: UtcDateTime) {
        self.shutdown_at = Some(at);
    }

    pub(super) fn terminate(&mut self, at: UtcDateTime) {
        self.terminated_at = Some(at);
    }

    /// Takes some seconds, which `speed` divides.
    pub(super) fn switch(
        &mut self,
        switch: Switch,
        for_nothing: bool,
        at: UtcDateTime,
        speed: f64,
        random: &mut ChaCha8Rng,
    ) {
        let taking = scaled(around(8.0, 2.0..60.0, random), speed);
        let done_at = at.saturating_add(taking);
        self.switches.push(Switched {
            switch,
            for_nothing,
            at,
            done_at,
        });
    }

    /// How often it was stopped, started and rebooted.
    pub(super) fn switches(&self) -> usize {
        self.switches.len()
    }

    /// The last thing that was done with its power by `now`.
    pub(super) fn switched(&self, now: UtcDateTime) -> Option<Switch> {
        self.last_switch(now).map(|last| last.switch)
    }

    fn last_switch(&self, now: UtcDateTime) -> Option<&Switched> {
        self.switches.iter().rfind(|switched| switched.at <= now)
    }

    /// The state of a machine that came up and that nobody ended.
    fn power(&self, now: UtcDateTime) -> State {
        let Some(last) = self.last_switch(now) else {
            return State::Running;
        };
        match (last.switch, now < last.done_at) {
            (Switch::Stop, true) => State::Stopping,
            (Switch::Start, true) => State::Starting,
            (Switch::Reboot, true) => State::Rebooting,
            (Switch::Stop, false) => State::Stopped,
            (Switch::Start | Switch::Reboot, false) => State::Running,
        }
    }

    /// `None` once the machine is gone.
    pub(super) fn state(&self, now: UtcDateTime) -> Option<State> {
        let past = |at: Option<UtcDateTime>| at.is_some_and(|at| at <= now);
        match &self.failure {
            _ if past(self.gone_at()) => None,
            _ if past(self.terminated_at) => Some(State::Terminating),
            _ if past(self.shutdown_at) => Some(State::Shutdown),
            _ if now < self.launched_at => Some(State::Pending),
            Some(_) => Some(State::LaunchFailed),
            None => Some(self.power(now)),
        }
    }

    /// When nothing is left of it, as far as that is decided.
    pub(super) fn gone_at(&self) -> Option<UtcDateTime> {
        let terminated = self
            .terminated_at
            .map(|at| at.saturating_add(self.terminating));
        let recycled = self.shutdown_at.map(|at| at.saturating_add(RECYCLE_BIN));
        let failed = self
            .failure
            .as_ref()
            .map(|_| self.launched_at.saturating_add(FAILED_KEPT));
        terminated.or(recycled).or(failed)
    }

    /// When its launch fails, if it does.
    pub(super) fn failed_at(&self) -> Option<UtcDateTime> {
        self.failure.as_ref().map(|_| self.launched_at)
    }

    /// The times up to `now` in which it is charged: from its running to its end.
    pub(super) fn stretches(&self, now: UtcDateTime) -> Vec<Stretch> {
        let end = self.shutdown_at.into_iter().chain(self.terminated_at).min();
        let until = end.map_or(now, |end| end.min(now));
        let mut stretches = Vec::new();
        if self.failure.is_some() || until < self.launched_at {
            return stretches;
        }
        let mut current = Stretch {
            from: self.launched_at,
            to: until,
            stopped: false,
            ended: until < now || end == Some(until),
        };
        for switched in &self.switches {
            let (at, stopped) = match (switched.switch, switched.for_nothing) {
                (Switch::Stop, true) => (switched.done_at, true),
                (Switch::Start, _) => (switched.at, false),
                (Switch::Stop | Switch::Reboot, _) => continue,
            };
            if stopped != current.stopped && at < until {
                stretches.push(Stretch {
                    to: at,
                    ended: true,
                    ..current
                });
                (current.from, current.stopped) = (at, stopped);
            }
        }
        stretches.push(current);
        stretches
    }

    /// Every change up to `now`.
    pub(super) fn history(&self, now: UtcDateTime) -> Vec<Change> {
        let times = [
            Some(self.created_at),
            Some(self.launched_at),
            self.shutdown_at,
            self.terminated_at,
            self.gone_at(),
        ];
        let switched = self.switches.iter().flat_map(|it| [it.at, it.done_at]);
        let times = times.into_iter().flatten().chain(switched);
        let mut times: Vec<_> = times.filter(|at| *at <= now).collect();
        times.sort_unstable();
        let changes = times.into_iter().map(|at| Change {
            at: timestamp(at),
            state: self.state(at).map_or("GONE", State::as_str),
        });
        let mut changes: Vec<_> = changes.collect();
        changes.dedup_by(|next, before| next.state == before.state);
        changes
    }
}

/// `2030-01-31T23:59:59.123Z`, as the ledger writes times.
pub(crate) fn timestamp(at: UtcDateTime) -> String {
    let seconds = iso_seconds(at);
    let milliseconds = at.millisecond();
    format!("{}.{milliseconds:03}Z", seconds.trim_end_matches('Z'))
}

/// `2030-01-31T23:59:59Z`, as the API writes times.
pub(super) fn iso_seconds(at: UtcDateTime) -> String {
    let (hour, minute, second) = at.time().as_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", at.date())
}

/// Seconds spread around `median` like a lognormal, which launch times resemble.
fn around(median: f64, range: std::ops::Range<f64>, random: &mut ChaCha8Rng) -> f64 {
    const SPREAD: f64 = 0.35;
    let (radius, angle) = (unit(random), unit(random));
    let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
    (median * (SPREAD * normal).exp()).clamp(range.start, range.end)
}

/// 0 up to but not including 1.
pub(crate) fn unit(random: &mut ChaCha8Rng) -> f64 {
    f64::from(random.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

fn scaled(seconds: f64, speed: f64) -> Duration {
    Duration::checked_seconds_f64(seconds / speed).unwrap_or(Duration::MAX)
}
