//! Steps operations: asks the table what to do, does it, writes down what came back.

use super::care::BRAKED_INTERVAL;
use super::machine::{self, CallEnd, Outcome, Step};
use super::turns::News;
use super::{Inner, Settings};
use crate::chaos;
use crate::cloud::Target;
use crate::cloud::limiter::{Action, Turn};
use crate::domain::causes::chain;
use crate::domain::ids::OperationId;
use crate::domain::millis::{self, since};
use crate::domain::operation::{Lease, Operation, State};
use crate::domain::reason::Reason;
use crate::policy::Grant;
use crate::store::{Save, Saved, StoreError};
use crate::trace;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::Notify;
use tracing::Instrument;

/// How long the driver sleeps when nothing is due; a push wakes it earlier.
const IDLE: Duration = Duration::from_secs(60);

/// Which operations are to be stepped, and when. An operation is here, or in a step, or polled:
/// never in two of them.
#[derive(Debug, Default)]
pub(super) struct Due {
    queue: Mutex<BTreeSet<(UtcDateTime, OperationId)>>,
    pushed: Notify,
}

impl Due {
    /// To be stepped at `at`.
    pub(super) fn push(&self, at: UtcDateTime, id: OperationId) {
        self.lock().insert((at, id));
        self.pushed.notify_one();
    }

    /// The first that is due, else when the next one is. What lies further ahead than the `longest` wait was put
    /// there before the clock was set back: it is due now.
    fn pop(&self, now: UtcDateTime, longest: Duration) -> Result<OperationId, Option<UtcDateTime>> {
        let mut queue = self.lock();
        while let Some((at, id)) = queue.last().copied() {
            if at <= now + longest {
                break;
            }
            queue.pop_last();
            queue.insert((now, id));
        }
        match queue.first().copied() {
            Some((at, id)) if at <= now => {
                queue.pop_first();
                Ok(id)
            }
            next => Err(next.map(|(at, _)| at)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(UtcDateTime, OperationId)>> {
        // No change of the set can panic half-way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One operation being stepped. However the step ends, also by a defect, the operation goes on: it
/// is queued again, polled, or let go of, and then its lease runs out and it is claimed anew.
struct Stepping {
    inner: Arc<Inner>,
    lease: Lease,
    /// The call that it may make.
    turn: Option<Turn>,
    /// Whether it waited to repeat a call and may not.
    held_back: bool,
    next: Next,
}

/// Who sees to an operation after its step.
#[derive(Clone, Copy)]
enum Next {
    Due(UtcDateTime),
    /// Itself, when it is its turn to call.
    Turn(Action),
    Poller,
    LetGo,
}

impl Stepping {
    /// Steps the operation as far as it goes now.
    async fn advance(mut self, mut operation: Arc<Operation>) {
        loop {
            let news = self.inner.stranded(&operation);
            let outcome = match news.or_else(|| self.inner.cancelled(&operation)) {
                Some(news) => news,
                None => match self.outcome(&operation).await {
                    Some(outcome) => outcome,
                    // What ends the process may be the very step that it now waits for.
                    None if matches!(self.next, Next::Turn(_)) => return,
                    None => return self.inner.calm(self.lease).await,
                },
            };
            let recorded = self.inner.record(self.lease, &operation, outcome);
            match chaos::around!("driver.record", recorded, else None) {
                Some(recorded) => {
                    self.inner.table.clear(self.lease);
                    operation = recorded;
                }
                None => return,
            }
        }
    }

    /// What comes of the next step; nothing when there is none to do now.
    async fn outcome(&mut self, operation: &Operation) -> Option<Outcome> {
        let inner = Arc::clone(&self.inner);
        let (epoch, timings) = (self.lease.epoch, &inner.settings.timings);
        let step = machine::next(operation, epoch, inner.clock.now(), timings);
        if inner.stop.is_cancelled() && matches!(step, Step::Begin | Step::LookUp | Step::BeginCall)
        {
            return None; // the next process begins it
        }
        Some(match step {
            Step::Wait(until) => {
                self.next = Next::Due(until);
                return None;
            }
            Step::Poll(_) => {
                self.next = Next::Poller;
                return None;
            }
            Step::Rest => {
                chaos::at!("driver.rest", inner.came_to_rest(operation));
                return None;
            }
            Step::Begin if inner.must_wait(operation) => {
                self.next = Next::Due(inner.clock.now() + BRAKED_INTERVAL);
                return None;
            }
            Step::Begin | Step::BeginCall if self.is_held_back(operation) => Outcome::HeldBack,
            // Its turn comes first: the attempt is signed as of the time that it is written down
            // with, and would grow old in the queue.
            Step::Begin => {
                self.turn = Some(self.turn(Action::RunInstances)?);
                chaos::at!("driver.begin", inner.begin(operation, epoch))
            }
            Step::Send => {
                let turn = self.turn(Action::RunInstances)?;
                let outcome = chaos::around!("driver.send", inner.send(operation, turn));
                inner.learn(operation, &outcome);
                outcome
            }
            Step::Doubt => chaos::at!(
                "driver.doubt",
                Outcome::Ambiguous {
                    why: "the process that was sending it ended".to_owned(),
                }
            ),
            Step::BeginCall => {
                self.turn = Some(self.turn(Action::TerminateInstances)?);
                chaos::at!("driver.begin_call", Outcome::CallBegun { epoch })
            }
            Step::Call => {
                let turn = self.turn(Action::TerminateInstances)?;
                Outcome::CallEnded(chaos::around!("driver.end_call", inner.call(operation, turn), else CallEnd::default()))
            }
            Step::DoubtCall => chaos::at!("driver.doubt_call", Outcome::CallEnded(CallEnd::default())),
            Step::LookUp => {
                let turn = self.turn(Action::DescribeInstances)?;
                chaos::around!("driver.look_up", inner.look_up(operation, turn), else Outcome::LookUpFailed)
            }
            Step::GiveUp => chaos::at!("driver.give_up", Outcome::Exhausted),
            Step::Escalate => chaos::at!(
                "driver.escalate",
                Outcome::Stuck {
                    why: "it was in doubt for too long: no look-ups proved what it launched, if anything"
                        .to_owned(),
                }
            ),
        })
    }
}

impl Stepping {
    /// The turn to call `action`. When it has not come, the step ends, and goes on once it has.
    fn turn(&mut self, action: Action) -> Option<Turn> {
        let turn = self.turn.take().filter(|turn| turn.action() == action);
        if turn.is_none() {
            self.next = Next::Turn(action);
        }
        turn
    }

    /// Whether it may not repeat its call, and has waited as long as it should.
    fn is_held_back(&mut self, operation: &Operation) -> bool {
        let (now, timings) = (self.inner.clock.now(), &self.inner.settings.timings);
        let waited = matches!(operation.state, State::Terminating(_))
            || machine::patience(operation, now, timings) <= now;
        std::mem::take(&mut self.held_back) && waited
    }
}

impl Drop for Stepping {
    fn drop(&mut self) {
        let (inner, id) = (&self.inner, self.lease.operation);
        if !matches!(self.next, Next::Turn(_)) {
            inner.turns.leave(self.lease);
        }
        match self.next {
            Next::Turn(action) => {
                inner.table.end_step(self.lease);
                if inner.has_news(id) {
                    inner.due.push(inner.clock.now(), id);
                } else {
                    inner.queue(self.lease, action);
                }
            }
            Next::Due(at) => {
                inner.table.end_step(self.lease);
                inner.due.push(inner.or_now(id, at), id);
            }
            Next::Poller if inner.has_news(id) => {
                inner.table.end_step(self.lease);
                inner.due.push(inner.clock.now(), id);
            }
            Next::Poller => {
                inner.table.end_step(self.lease);
                inner.poll_later(id);
            }
            Next::LetGo => inner.table.let_go(self.lease),
        }
    }
}

impl Inner {
    /// Steps what is due, a bounded number at a time, until the gateway stops.
    pub(super) async fn drive(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            match self.due.pop(self.clock.now(), self.longest_wait()) {
                Ok(id) => self.spawn_step(id).await,
                Err(next) => {
                    let left = next.map_or(IDLE, |next| since(next, self.clock.now()));
                    tokio::select! {
                        biased;
                        () = self.due.pushed.notified() => {}
                        // Bounded: the clock may just have been set back.
                        () = self.clock.sleep(left.min(IDLE)) => {}
                        () = self.stop.cancelled() => {}
                    }
                }
            }
        }
    }

    /// The longest that anything is put off for.
    fn longest_wait(&self) -> Duration {
        let Settings { timings, lease, .. } = &self.settings;
        timings.wait_max().max(BRAKED_INTERVAL).max(*lease)
    }

    async fn spawn_step(self: &Arc<Self>, id: OperationId) {
        let permit = tokio::select! {
            biased;
            permit = Arc::clone(&self.steps).acquire_owned() => permit,
            () = self.stop.cancelled() => return,
        };
        let (turn, held_back) = match self.turns.take(id) {
            Some(News::Turn(turn)) => (Some(turn), false),
            news => (None, news.is_some()),
        };
        // Not in hand: another process has it. Marked: a step is under way and will see to it.
        let Some((lease, operation)) = self.table.begin_step(id) else {
            return;
        };
        let stepping = Stepping {
            inner: Arc::clone(self),
            lease,
            turn,
            held_back,
            next: Next::LetGo,
        };
        let span = tracing::info_span!(
            "operation", operation = %id, request_id = %operation.request_id
        );
        let traced = trace::part_of(operation.trace.as_ref(), || {
            let state = operation.state.name().as_str();
            tracing::trace_span!(target: trace::TARGET, "step", operation = %id, state)
        });
        let step = async move {
            stepping.advance(operation).await;
            drop(permit);
        };
        self.tasks.spawn(step.instrument(traced).instrument(span));
    }

    /// Writes down what an outcome changes. Nothing when the operation is no longer ours.
    pub(super) async fn record(
        &self,
        lease: Lease,
        operation: &Operation,
        outcome: Outcome,
    ) -> Option<Arc<Operation>> {
        let (now, timings) = (self.clock.now(), &self.settings.timings);
        match machine::apply(operation, outcome, now, timings) {
            Ok(operation) => {
                let save = Save {
                    lease,
                    operation,
                    attempt: true,
                };
                chaos::wrong!(
                    "send-before-journal",
                    self.save(vec![save]).await,
                    self.save_but_no_attempt(save).await
                )
                .into_iter()
                .next()
            }
            Err(illegal) => {
                tracing::error!(%illegal, "a defect; the operation is tried again later");
                None
            }
        }
    }

    /// The mistake of that name: an attempt is sent that the journal does not know.
    #[cfg(feature = "chaos")]
    async fn save_but_no_attempt(&self, save: Save) -> Vec<Arc<Operation>> {
        if matches!(save.operation.state, State::Sent) {
            return vec![Arc::new(save.operation)];
        }
        self.save(vec![save]).await
    }

    /// Writes snapshots down, for as long as it takes, and shows them to who watches. What another
    /// process owns by now is let go of and left out.
    pub(super) async fn save(&self, saves: Vec<Save>) -> Vec<Arc<Operation>> {
        let results = loop {
            match chaos::around!("driver.save", self.store.save(&saves), else Err(StoreError::Busy))
            {
                Ok(results) => break results,
                Err(error @ StoreError::Fatal { .. }) => {
                    self.fail(&error);
                    return Vec::new();
                }
                // What happened at the cloud must not be forgotten, so this is tried for ever; the
                // process's own end ends it, and then the next one finds out by looking.
                Err(error) => {
                    let ids: Vec<String> = saves
                        .iter()
                        .map(|save| save.operation.id.to_string())
                        .collect();
                    tracing::error!(
                        error = chain(&error, ": "),
                        operations = ids.join(" "),
                        "an outcome is not yet in the journal"
                    );
                }
            }
            self.clock.sleep(self.settings.journal_retry_interval).await;
        };
        let mut written = Vec::new();
        for (save, result) in saves.into_iter().zip(results) {
            match result {
                Saved::Done => {
                    let operation = Arc::new(save.operation);
                    chaos::at!("driver.publish", self.table.publish(Arc::clone(&operation)), else ());
                    written.push(operation);
                }
                Saved::LeaseLost => {
                    tracing::warn!(operation = %save.operation.id, "another process owns the operation");
                    self.table.let_go(save.lease);
                }
            }
        }
        written
    }

    /// Why an operation must not be gone on with: the gateway calls another host by now, where what
    /// is not found proves nothing.
    fn stranded(&self, operation: &Operation) -> Option<Outcome> {
        let host = self.cloud.host(&target(operation));
        let at_rest = operation.state.name().is_at_rest();
        (!at_rest && chaos::wrong!("other-host", host != operation.host, false)).then(|| {
            Outcome::Stuck {
                why: format!(
                    "it was begun at {}, and the gateway is configured for {host}",
                    operation.host
                ),
            }
        })
    }

    /// Nothing is left to do for it.
    pub(super) fn came_to_rest(&self, operation: &Operation) {
        let state = operation.state.name();
        let age = since(operation.update_time, operation.create_time);
        let reason = operation.failure.as_ref().map(|failure| failure.reason);
        tracing::info!(
            operation = %operation.id, request_id = %operation.request_id, state = state.as_str(),
            reason = reason.map(Reason::as_str), age_ms = millis::of(age),
            "operation {} is {}", operation.id, state.as_str()
        );
        let took = (age, operation.trace.as_ref());
        let metrics = &self.metrics.operations;
        metrics.came_to_rest(operation.kind, state, reason, took);
    }

    /// That the caller no longer wants the operation, if it was told so and can still act on it.
    fn cancelled(&self, operation: &Operation) -> Option<Outcome> {
        let cancellation = self.table.cancellation(operation);
        cancellation.map(Outcome::Cancelled)
    }

    /// Whether a step should look at an operation although nothing is due.
    pub(super) fn has_news(&self, id: OperationId) -> bool {
        let held = self.table.get(id);
        held.is_some_and(|(_, operation)| self.table.cancellation(&operation).is_some())
    }

    fn or_now(&self, id: OperationId, at: UtcDateTime) -> UtcDateTime {
        let now = self.clock.now();
        if self.has_news(id) { at.min(now) } else { at }
    }
}

/// Whose budget and key a call for a launch uses that is not begun yet.
pub(super) fn target_of(grant: &Grant) -> Target {
    Target {
        account: grant.account().clone(),
        region: grant.wish().region.clone(),
    }
}

/// Whose budget and key a call of this operation uses.
pub(super) fn target(operation: &Operation) -> Target {
    Target {
        account: operation.account.clone(),
        region: operation.region.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn the_queue_gives_out_what_is_due_in_order() {
        let start = utc_datetime!(2026-01-01 00:00:00);
        let due = Due::default();
        let ids = [0, 1, 2].map(|_| OperationId::generate(start));
        due.push(start + Duration::from_secs(2), ids[1]);
        due.push(start + Duration::from_secs(1), ids[0]);
        due.push(start + Duration::from_secs(9), ids[2]);
        let longest = Duration::from_secs(60);
        let first = start + Duration::from_secs(1);
        assert_eq!(due.pop(start, longest), Err(Some(first)));
        let now = start + Duration::from_secs(2);
        assert_eq!(due.pop(now, longest), Ok(ids[0]));
        assert_eq!(due.pop(now, longest), Ok(ids[1]));
        let last = start + Duration::from_secs(9);
        assert_eq!(due.pop(now, longest), Err(Some(last)));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_no_step_up() {
        let start = utc_datetime!(2026-01-01 00:00:00);
        let longest = Duration::from_secs(60);
        let due = Due::default();
        let [leapt, waits] = [0, 1].map(|_| OperationId::generate(start));
        due.push(start + Duration::from_secs(8 * 3600), leapt);
        due.push(start + longest, waits);
        assert_eq!(due.pop(start, longest), Ok(leapt));
        assert_eq!(due.pop(start, longest), Err(Some(start + longest)));
    }
}
