//! Asks the cloud how starting machines are: when they are likely to come up, a hundred of one
//! account and region a call, whoever launched them.

mod ask;
mod curve;
mod queue;

use super::Inner;
use super::driver::target;
use super::machine::{self, Observation, Outcome, Step};
use crate::chaos;
use crate::cloud::{IDS_PER_CALL_MAX, Target, body};
use crate::domain::ids::OperationId;
use crate::domain::instance::{InstanceDetail, InstanceId, InstanceState};
use crate::domain::millis::since;
use crate::domain::operation::{Lease, Operation, Place, State};
use crate::store::Save;
use crate::trace;
use ask::Answers;
pub(super) use ask::splits;
use futures_util::future::join_all;
pub(super) use queue::Polled;
use queue::{Asked, Pace, Visit};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::Semaphore;
use tracing::{Instrument, Span};

/// How long the poller sleeps at most, as when nothing is polled; an addition wakes it earlier.
const IDLE: Duration = Duration::from_secs(60);
/// What share of the time that machines have been leaving for is waited before the next look: how
/// long that takes is not learned.
const LEAVING: u32 = 8;

/// A round under way. However it ends, also by a defect, its operations are polled again, unless
/// somebody else has them by then.
struct Busy {
    inner: Arc<Inner>,
    target: Arc<Target>,
    ids: Vec<OperationId>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Self { inner, target, ids } = self;
        let at = inner.clock.now() + inner.settings.poll_interval;
        inner.polled.done(target, ids, at);
    }
}

/// An operation in hand.
type Held = (Lease, Arc<Operation>);

impl Inner {
    /// Begins the rounds when they are due, until the gateway stops.
    pub(super) async fn poll(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let next = chaos::at!(
                "poll.begin",
                self.begin_rounds(),
                else Some(self.clock.now() + self.settings.poll_interval)
            );
            let left = next.map_or(IDLE, |next| since(next, self.clock.now()));
            tokio::select! {
                biased;
                () = self.polled.changed.notified() => {}
                // Bounded: the clock may just have been set back.
                () = self.clock.sleep(left.min(IDLE)) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Has the machines of an operation in hand looked at from now on.
    pub(super) fn poll_later(&self, id: OperationId) {
        if let Some((_, operation)) = self.table.get(id) {
            let now = self.clock.now();
            let visit = Visit {
                due: now + self.wait(&operation, now),
                last: now,
                answered: false,
                asked: Asked {
                    last: self.clock.elapsed(),
                    ..Asked::default()
                },
                machines: machine::awaited(&operation).count(),
            };
            self.polled.add(id, target(&operation), visit);
        }
    }

    /// How long to wait before the next look: as was learned, and within bounds.
    fn wait(&self, operation: &Operation, now: UtcDateTime) -> Duration {
        let pace = self.pace();
        if matches!(operation.state, State::Terminating(_)) {
            // At once at first: a machine may be gone soon, and then nothing tells that it left.
            return (since(now, operation.update_time) / LEAVING).min(pace.longest);
        }
        let age = since(now, machine::launched_at(operation));
        let machines = machine::awaited(operation).count();
        let machines = u32::try_from(machines).unwrap_or(u32::MAX);
        let wait = self.polled.curves().wait(place(operation), age, machines);
        wait.min(pace.longest).max(pace.shortest)
    }

    fn pace(&self) -> Pace {
        Pace {
            shortest: self.settings.poll_interval,
            longest: self.settings.poll_interval_max,
        }
    }

    /// Begins what is due; when the next round is.
    fn begin_rounds(self: &Arc<Self>) -> Option<UtcDateTime> {
        let now = self.clock.now();
        let (rounds, next) = self.polled.begin(now, self.pace());
        for (target, ids) in rounds {
            let busy = Busy {
                inner: Arc::clone(self),
                target,
                ids,
            };
            self.tasks.spawn(async move {
                let held = busy.inner.hand_over(&busy.ids);
                let traced = poll_span(&busy.target, &held);
                let round = busy.inner.round(&busy.target, held, now);
                round.instrument(traced).await;
            });
        }
        next
    }

    /// Gives back to the driver what it has to do more with than to wait; the others are polled.
    fn hand_over(&self, ids: &[OperationId]) -> Vec<Held> {
        let (now, timings) = (self.clock.now(), &self.settings.timings);
        let mut polled = Vec::new();
        for id in ids {
            let Some((lease, operation)) = self.table.get(*id) else {
                self.polled.remove(*id); // another process owns it
                continue;
            };
            let step = machine::next(&operation, lease.epoch, now, timings);
            if matches!(step, Step::Poll(_)) && self.table.cancellation(&operation).is_none() {
                polled.push((lease, operation));
            } else {
                self.polled.remove(*id);
                self.due.push(now, *id);
            }
        }
        polled
    }

    /// Asks for the machines of one account and region, and writes down what changed. What one call tells
    /// waits for no other call: their turns are apart.
    async fn round(self: &Arc<Self>, target: &Arc<Target>, held: Vec<Held>, started: UtcDateTime) {
        let splits = splits();
        let shares = shares(held).into_iter();
        join_all(shares.map(|held| self.share(target, held, &splits, started))).await;
    }

    /// A part of a round.
    async fn share(
        self: &Arc<Self>,
        target: &Arc<Target>,
        held: Vec<Held>,
        splits: &Arc<Semaphore>,
        started: UtcDateTime,
    ) {
        let awaited = held
            .iter()
            .flat_map(|(_, operation)| machine::awaited(operation).cloned());
        let asked = self.states(target, awaited.collect(), splits);
        let states = chaos::around!("poll.states", asked, else Answers::new());
        // What is asked below takes its time, and that is none for which a machine was missing.
        let seen_at = self.clock.now();
        let ended = held.iter().flat_map(|(_, operation)| {
            machine::awaited(operation).filter(|id| {
                let state = states.get(*id).and_then(Option::as_ref);
                state.is_some_and(|state| machine::is_described(operation, state))
            })
        });
        let ended: Vec<_> = ended.cloned().collect();
        let details = self.details(target, ended, splits).await;
        let (mut saves, mut unanswered) = (Vec::new(), BTreeSet::new());
        for (lease, operation) in &held {
            if self.has_news(operation.id) {
                continue; // cancelled meanwhile: what was seen must not end it as if it were not
            }
            let mut seen = observations(operation, &states, &details);
            let told = seen.iter().filter(|seen| is_told(operation, seen));
            if told.count() < machine::awaited(operation).count() {
                unanswered.insert(operation.id);
            }
            self.hide_secrets(operation, &mut seen).await;
            let observed = chaos::at!(
                "poll.observe",
                self.observe(*lease, operation, seen, seen_at)
            );
            tell(&observed);
            saves.extend(observed);
        }
        if !saves.is_empty() {
            for operation in chaos::around!("poll.save", self.save(saves), else Vec::new()) {
                if operation.state.name().is_at_rest() {
                    self.polled.remove(operation.id);
                    self.polled
                        .acquit(operation.instances.iter().map(|instance| &instance.id));
                    self.came_to_rest(&operation);
                }
            }
        }
        for (lease, _) in held {
            self.look_again(lease.operation, started, &unanswered);
        }
    }

    /// Says when an operation of the round that began at `started` is looked at again.
    fn look_again(
        &self,
        id: OperationId,
        started: UtcDateTime,
        unanswered: &BTreeSet<OperationId>,
    ) {
        let Some((_, operation)) = self.table.get(id) else {
            self.polled.remove(id); // another process owns it
            return;
        };
        let wait = if self.has_news(id) {
            Duration::ZERO
        } else if unanswered.contains(&id) {
            self.settings.poll_interval
        } else {
            self.wait(&operation, started)
        };
        if let Some(visit) = self.polled.visit(id) {
            let visit = Visit {
                due: started + wait,
                machines: machine::awaited(&operation).count(),
                ..visit
            };
            self.polled.again(id, visit);
        }
    }

    /// The cloud's words on a failed machine may quote what it was sent.
    async fn hide_secrets(&self, operation: &Operation, seen: &mut [Observation]) {
        let details = seen.iter_mut().filter_map(|seen| seen.detail.as_mut());
        for detail in details.filter(|detail| !detail.latest_operation_error.is_empty()) {
            let words = &mut detail.latest_operation_error;
            *words = match self.store.body(operation.id, operation.alternative).await {
                Ok(Some(body)) => body::hide_secrets(words, body.as_bytes()),
                Ok(None) | Err(_) => {
                    "the cloud's words are kept back: they could not be checked for secrets"
                        .to_owned()
                }
            };
        }
    }

    /// What one operation is after what was seen of it at `seen_at`: up to three steps, in order. At the end
    /// of its time a machine counts as it is, whether or not it was described.
    fn observe(
        &self,
        lease: Lease,
        operation: &Operation,
        seen: Vec<Observation>,
        seen_at: UtcDateTime,
    ) -> Vec<Save> {
        let now = self.clock.now();
        let answered = seen.len() == machine::awaited(operation).count();
        let asked = self.ask_counted(operation.id, answered);
        let told = seen.iter().filter(|seen| is_told(operation, seen));
        let told: Vec<_> = told.cloned().collect();
        let mut saves = Vec::new();
        if !told.is_empty() {
            self.learn_from(operation, &told, now);
            saves.extend(self.observed(lease, operation, Outcome::Observed(told), seen_at));
            self.measure_lag(operation.id, now, !saves.is_empty());
            self.polled.answered(operation.id, now);
        }
        if self.timed_out(newest(&saves, operation), lease, answered, asked) {
            let before = newest(&saves, operation);
            saves.extend(self.observed(lease, before, Outcome::Observed(seen), seen_at));
        }
        if self.timed_out(newest(&saves, operation), lease, answered, asked) {
            let before = newest(&saves, operation);
            saves.extend(self.observed(lease, before, Outcome::TimedOut, now));
        }
        saves
    }

    /// Counts that the cloud was asked for an operation; for how long it has been by now.
    fn ask_counted(&self, id: OperationId, answered: bool) -> Asked {
        let (now, longest) = (self.clock.elapsed(), self.pace().longest.max(IDLE));
        self.polled.asked(id, now, longest, answered)
    }

    /// Whether it has taken too long. Without an answer for each machine it is given the same time again,
    /// because what was not asked may well run. Only time in which the cloud was asked is held against it: while
    /// this process was away, or when its clock leapt, nobody was silent and nobody put a call off.
    fn timed_out(&self, operation: &Operation, lease: Lease, answered: bool, asked: Asked) -> bool {
        let (now, timings) = (self.clock.now(), &self.settings.timings);
        let step = machine::next(operation, lease.epoch, now, timings);
        let over = |grace| matches!(step, Step::Poll(until) if until + grace <= now);
        if !answered {
            let grace = timings.launch_timeout;
            return over(grace) && asked.vainly >= grace;
        }
        let least = machine::polled_before_a_call(operation);
        over(Duration::ZERO) && least.is_none_or(|least| asked.whole >= least)
    }

    fn observed(
        &self,
        lease: Lease,
        operation: &Operation,
        outcome: Outcome,
        at: UtcDateTime,
    ) -> Option<Save> {
        match machine::apply(operation, outcome, at, &self.settings.timings) {
            Ok(changed) if changed.sequence > operation.sequence => Some(Save {
                lease,
                operation: changed,
                attempt: false,
            }),
            Ok(_) => None,
            Err(illegal) => {
                tracing::error!(operation = %operation.id, %illegal, "a defect; the operation is tried again later");
                self.polled.remove(operation.id);
                self.table.let_go(lease);
                None
            }
        }
    }

    /// Learns how long the machines took that have come to an end. When exactly that was within the
    /// time since the look before is not known: half of it is taken.
    fn learn_from(&self, operation: &Operation, seen: &[Observation], now: UtcDateTime) {
        let launched = machine::launched_at(operation);
        let (Some(visit), Some(place)) = (self.polled.visit(operation.id), place(operation)) else {
            return;
        };
        // Found at its end after a restart: that may be long past.
        let late = !visit.answered && visit.last > launched + self.settings.poll_interval_max;
        if late || matches!(operation.state, State::Terminating(_)) {
            return;
        }
        let took = since(visit.last, launched) + since(now, visit.last) / 2;
        for seen in seen {
            if let Some(InstanceState::Running | InstanceState::LaunchFailed) = seen.state {
                self.polled.curves().learn(place, took);
            }
        }
    }

    fn measure_lag(&self, id: OperationId, now: UtcDateTime, changed: bool) {
        if let Some(visit) = self.polled.visit(id).filter(|_| changed) {
            let lag = since(now, visit.last).as_secs_f64();
            self.metrics.operations.detection_lag_seconds.observe(lag);
        }
    }
}

/// The operations of a round, by the calls that ask for them: each in the first that has room for all of
/// its machines, or in one of its own.
fn shares(held: Vec<Held>) -> Vec<Vec<Held>> {
    let mut shares: Vec<(usize, Vec<Held>)> = Vec::new();
    for held in held {
        let machines = machine::awaited(&held.1).count();
        let room = |(taken, _): &&mut (usize, Vec<Held>)| *taken + machines <= IDS_PER_CALL_MAX;
        match shares.iter_mut().find(room) {
            Some((taken, share)) => {
                *taken += machines;
                share.push(held);
            }
            None => shares.push((machines, vec![held])),
        }
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

/// A round in the traces of its operations; none, when nothing of these is recorded.
fn poll_span(target: &Target, held: &[Held]) -> Span {
    let traces = || {
        held.iter()
            .filter_map(|(_, operation)| operation.trace.as_ref())
    };
    if traces().next().is_none() {
        return Span::none();
    }
    let span = tracing::trace_span!(
        target: trace::TARGET, "poll",
        account = %target.account, region = %target.region, operations = held.len()
    );
    traces().for_each(|of| trace::link(&span, of));
    span
}

/// Has the trace of an operation tell that the present round changed it.
fn tell(observed: &[Save]) {
    if let Some(Save { operation, .. }) = observed.last() {
        let poll = trace::here();
        let span = trace::part_of(operation.trace.as_ref(), || {
            let (id, state) = (operation.id, operation.state.name().as_str());
            tracing::trace_span!(target: trace::TARGET, "observed", operation = %id, state)
        });
        poll.iter().for_each(|poll| trace::link(&span, poll));
    }
}

/// Where its machines start.
fn place(operation: &Operation) -> Option<&Place> {
    let alternative = usize::try_from(operation.alternative).ok()?;
    operation.places.get(alternative)
}

/// What it is after the last of these.
fn newest<'a>(saves: &'a [Save], operation: &'a Operation) -> &'a Operation {
    saves.last().map_or(operation, |save| &save.operation)
}

/// Whether nothing more is wanted of a machine. One whose description is still wanted is left for the next
/// tick, so that an end is not told without its addresses or its cause.
fn is_told(operation: &Operation, seen: &Observation) -> bool {
    let state = seen.state.as_ref();
    seen.detail.is_some() || state.is_none_or(|state| !machine::is_described(operation, state))
}

/// What the answers say of one operation's machines.
fn observations(
    operation: &Operation,
    states: &Answers<InstanceState>,
    details: &Answers<InstanceDetail>,
) -> Vec<Observation> {
    let of = |id: &InstanceId| {
        Some(Observation {
            id: id.clone(),
            state: states.get(id)?.clone(),
            detail: details.get(id).cloned().flatten(),
        })
    };
    machine::awaited(operation).filter_map(of).collect()
}

#[cfg(test)]
mod tests;
