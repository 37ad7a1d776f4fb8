//! What each outcome changes in an operation.

use super::{End, Observation, Timings, count, ends, is_unanswered, sent_since, tries};
use crate::chaos;
use crate::domain::instance::{Instance, InstanceDetail, InstanceId, InstanceState};
use crate::domain::millis::since;
use crate::domain::operation::{
    Attempt, AttemptResult, Cancellation, Failure, Kind, OnFailure, Operation, Reconciliation,
    State, StateName, TerminationEnd, Transition,
};
use crate::domain::reason::Reason;
use time::UtcDateTime;

/// An operation while one outcome changes it. Each verb gives the changed operation.
pub(super) struct Change<'a> {
    pub(super) operation: Operation,
    pub(super) now: UtcDateTime,
    pub(super) timings: &'a Timings,
}

impl<'a> Change<'a> {
    pub(super) fn of(operation: &Operation, now: UtcDateTime, timings: &'a Timings) -> Self {
        Self {
            operation: operation.clone(),
            now,
            timings,
        }
    }
}

impl Change<'_> {
    pub(super) fn begin(mut self, epoch: u64, alternative: u32) -> Operation {
        let number = count(self.operation.attempts.len()) + 1;
        self.operation.attempts.push(Attempt {
            number,
            signed_at: self.now,
            epoch,
            result: AttemptResult::Pending,
            cloud_request_id: None,
            alternative,
        });
        self.operation.alternative = alternative;
        let place = self.operation.place_name(alternative);
        self.enter(State::Sent, format!("attempt {number}{place}"))
    }

    pub(super) fn accept(
        mut self,
        instances: Vec<InstanceId>,
        cloud_request_id: String,
    ) -> Operation {
        if instances.is_empty() && !self.operation.dry_run {
            return self.doubt("the cloud accepted but named no instance".to_owned());
        }
        self.end_attempt(AttemptResult::Accepted, Some(cloud_request_id));
        if instances.is_empty() {
            return self.enter(State::Succeeded, "the cloud would launch this".to_owned());
        }
        self.launch(instances, "the cloud named the instances")
    }

    /// The caller no longer wants it. What may have been launched is found out first; what was
    /// launched is given back.
    pub(super) fn cancel(mut self, cancellation: Cancellation) -> Operation {
        self.operation.cancellation = Some(cancellation);
        match self.operation.state.clone() {
            State::Launched => self.give_back_all(TerminationEnd::Cancelled),
            State::Terminating(termination) => self.give_back_the_rest(*termination),
            State::Reconciling(_) => self.done(),
            State::Accepted
            | State::Sent
            | State::Succeeded
            | State::Partial
            | State::Failed
            | State::Cancelled
            | State::NeedsOperator => self.cancelled("nothing was launched"),
        }
    }

    /// It is over, as the caller asked.
    pub(super) fn cancelled(self, what: &str) -> Operation {
        let by = self.operation.cancellation.as_ref();
        let by = by.map_or("", |cancellation| cancellation.principal.as_str());
        let message = format!("cancelled by {by}; {what}");
        let failure = launch_failure(Reason::Cancelled, message, &self.operation);
        self.end(State::Cancelled, failure)
    }

    /// The machines are known. More of them than asked for is not for a program to decide.
    pub(super) fn launch(mut self, instances: Vec<InstanceId>, note: &str) -> Operation {
        let launched = count(instances.len());
        self.operation.instances = instances.into_iter().map(Instance::named).collect();
        let asked = self.operation.instance_count;
        if chaos::wrong!("more-than-asked", launched > asked, false) {
            let message =
                format!("the cloud launched {launched} instances where {asked} were asked for");
            return self.needs_operator(message);
        }
        if self.operation.cancellation.is_some() {
            return self.give_back_all(TerminationEnd::Cancelled);
        }
        let note = if launched < asked {
            format!("{note}: {launched} of {asked}")
        } else {
            note.to_owned()
        };
        self.enter(State::Launched, note)
    }

    pub(super) fn not_run(
        mut self,
        result: AttemptResult,
        failure: Failure,
        retry: bool,
    ) -> Operation {
        let request_id = Some(failure.cloud_request_id.clone()).filter(|id| !id.is_empty());
        self.end_attempt(result, request_id);
        if chaos::wrong!("doubt-overruled", earlier_doubt(&self.operation), false) {
            let refusal = if retry { None } else { Some(failure) };
            return self.enter_doubt(refusal, "an earlier attempt is still in doubt".to_owned());
        }
        if self.operation.cancellation.is_some() {
            return self.cancelled("nothing was launched");
        }
        if retry && self.now < self.send_deadline(&failure) {
            return self.enter(
                State::Accepted,
                format!("will send again: {}", failure.message),
            );
        }
        self.refused(failure)
    }

    /// Until when what did not run is sent again. The time before the first attempt is not counted:
    /// it was the account's queue; nor what other places took, and a person. A refusal for the rate is not
    /// the launch's fault either.
    fn send_deadline(&self, failure: &Failure) -> UtcDateTime {
        let began = sent_since(&self.operation);
        if failure.reason == Reason::CloudRateLimited {
            began + self.timings.launch_timeout
        } else {
            began + self.timings.send_timeout
        }
    }

    /// The cloud refused, and nothing can come of any attempt in this place. A lack of stock leads
    /// to a place that was not tried yet; everything else would be refused there, too.
    pub(super) fn refused(mut self, failure: Failure) -> Operation {
        if failure.reason != Reason::Capacity {
            return self.fail(failure);
        }
        let here = self.operation.alternative;
        self.operation.sold_out.push(here);
        if self.operation.untried().next().is_none() {
            return self.fail(failure);
        }
        let place = self.operation.place_name(here);
        let note = format!("no stock{place}: {}", failure.message);
        self.enter(State::Accepted, note)
    }

    pub(super) fn observe(mut self, observations: &[Observation]) -> Operation {
        let changed = self.take_over(observations);
        match self.verdict(observations) {
            Some(None) => self.enter(State::Succeeded, String::new()),
            Some(Some(failure)) => self.fall_short(failure),
            None if changed => self.done(),
            None => self.operation,
        }
    }

    /// Takes over what a poll showed; whether that changed anything.
    pub(super) fn take_over(&mut self, observations: &[Observation]) -> bool {
        let mut changed = false;
        for instance in &mut self.operation.instances {
            if let Some(seen) = observations.iter().find(|seen| seen.id == instance.id) {
                changed |= observe_instance(instance, seen, self.now);
            }
        }
        changed
    }

    /// Some machines did not come up. What becomes of the others is the caller's choice.
    fn fall_short(self, failure: Failure) -> Operation {
        let run = self.running();
        let end = if run == 0 {
            TerminationEnd::Failed(failure)
        } else {
            TerminationEnd::Partial(failure)
        };
        match (self.operation.on_failure, end) {
            (OnFailure::TerminateAll, TerminationEnd::Partial(failure)) => {
                self.give_back_all(TerminationEnd::Failed(failure))
            }
            (OnFailure::TerminateAll | OnFailure::TerminateFailed, end) => {
                let runs = |instance: &&Instance| !is_running(instance);
                let failed = self.operation.instances.iter().filter(runs);
                let failed = failed.map(|instance| instance.id.clone()).collect();
                self.give_back(failed, end)
            }
            (OnFailure::Keep, TerminationEnd::Partial(failure)) => {
                self.end(State::Partial, failure)
            }
            (OnFailure::Keep, TerminationEnd::Failed(failure)) => self.end(State::Failed, failure),
            (OnFailure::Keep, TerminationEnd::Succeeded | TerminationEnd::Cancelled) => {
                self.operation
            }
        }
    }

    /// The end of the launch, once every machine has come to one: nothing or why it fell short.
    fn verdict(&self, observations: &[Observation]) -> Option<Option<Failure>> {
        let mut run = 0;
        let mut told = None;
        for instance in &self.operation.instances {
            match self.fate(instance, observations)? {
                End::Runs => run += 1,
                End::Failed => told = told.or(Some(instance)),
            }
        }
        let asked = self.operation.instance_count;
        // Of more than were asked for, a person decided what stays. Of fewer the cloud makes none, where the caller named
        // the least that is enough.
        let enough = match told {
            None => self.operation.least(),
            Some(_) => asked,
        };
        if run >= enough {
            return Some(None);
        }
        let cause = told.map_or_else(
            || "the cloud delivered fewer instances than asked for".to_owned(),
            |instance| format!("{}: {}", instance.id, failure_message(instance)),
        );
        let failure = launch_failure(
            Reason::LaunchFailed,
            format!("{run} of {asked} instances run; {cause}"),
            &self.operation,
        );
        Some(Some(failure))
    }

    /// How a machine ended, if it did. One that is missing counts as gone only by an answer that
    /// leaves it out: silence of the cloud proves nothing.
    fn fate(&self, instance: &Instance, observations: &[Observation]) -> Option<End> {
        let Some(missing_since) = instance.missing_since else {
            return instance.state.as_ref().and_then(ends);
        };
        let left_out = |seen: &Observation| seen.id == instance.id && seen.state.is_none();
        let grace = match instance.state {
            Some(_) => self.timings.missing_grace,
            None => self.timings.unseen_grace,
        };
        let gone = chaos::wrong!(
            "gone-at-once",
            since(self.now, missing_since) >= grace,
            true
        );
        (gone && observations.iter().any(left_out)).then_some(End::Failed)
    }

    /// Whether nothing is left of a machine that the gateway, or the cloud itself, would have to end.
    pub(super) fn is_given_back(&self, instance: &Instance, observations: &[Observation]) -> bool {
        self.fate(instance, observations) == Some(End::Failed)
    }

    pub(super) fn time_out(self) -> Operation {
        let (asked, run) = (self.operation.instance_count, self.running());
        if count(run) >= asked {
            return self.enter(State::Succeeded, String::new());
        }
        let failure = launch_failure(
            Reason::LaunchTimeout,
            format!(
                "{run} of {asked} instances run after {} s; the others may still come up",
                self.timings.launch_timeout.as_secs()
            ),
            &self.operation,
        );
        self.fall_short(failure)
    }

    pub(super) fn running(&self) -> usize {
        let runs = |instance: &&Instance| is_running(instance);
        self.operation.instances.iter().filter(runs).count()
    }

    /// What look-ups have shown of a launch in doubt is named, so that nobody takes it for nothing.
    pub(super) fn needs_operator(mut self, message: String) -> Operation {
        if let State::Reconciling(doubt) = &self.operation.state {
            let named = &mut self.operation.instances;
            for id in &doubt.seen {
                if named.iter().all(|instance| instance.id != *id) {
                    named.push(Instance::named(id.clone()));
                }
            }
        }
        let failure = launch_failure(Reason::NeedsOperator, message, &self.operation);
        self.end(State::NeedsOperator, failure)
    }

    /// A person decided that a program goes on, from what is known.
    pub(super) fn release(mut self, by: &str, why: &str) -> Operation {
        let note = format!("released by {by}: {why}");
        self.operation.failure = None;
        if self.operation.kind == Kind::Termination {
            return self.give_back_all(TerminationEnd::Succeeded);
        }
        let seen = seen_in_doubt(&self.operation);
        if !self.operation.instances.is_empty() && seen.is_none() {
            if self.operation.cancellation.is_some() {
                return self.give_back_all(TerminationEnd::Cancelled);
            }
            return self.enter(State::Launched, note);
        }
        if tries(&self.operation).any(is_unanswered) {
            let doubt = Reconciliation {
                next_look_up: self.now,
                empty_look_ups: 0,
                proofs: 0,
                refusal: None,
                looked: false,
                seen: seen.unwrap_or_default(),
            };
            return self.enter(State::Reconciling(doubt.into()), note);
        }
        self.enter(State::Accepted, note)
    }

    pub(super) fn fail(self, failure: Failure) -> Operation {
        self.end(State::Failed, failure)
    }

    pub(super) fn end(mut self, state: State, failure: Failure) -> Operation {
        let note = failure.message.clone();
        self.operation.failure = Some(failure);
        self.enter(state, note)
    }

    pub(super) fn end_attempt(&mut self, result: AttemptResult, cloud_request_id: Option<String>) {
        if cloud_request_id.is_some() {
            self.operation
                .cloud_request_id
                .clone_from(&cloud_request_id);
        }
        if let Some(attempt) = self.operation.attempts.last_mut() {
            attempt.result = result;
            attempt.cloud_request_id = cloud_request_id;
        }
    }

    pub(super) fn enter(mut self, state: State, note: String) -> Operation {
        self.operation.transitions.push(Transition {
            state: state.name(),
            time: self.now,
            note,
        });
        self.operation.state = state;
        self.done()
    }

    pub(super) fn done(mut self) -> Operation {
        self.operation.sequence += 1;
        self.operation.update_time = self.now;
        self.operation
    }
}

/// Takes over what a poll showed; whether that changed anything.
fn observe_instance(instance: &mut Instance, seen: &Observation, now: UtcDateTime) -> bool {
    let before = instance.clone();
    match &seen.state {
        Some(state) => {
            instance.state = Some(state.clone());
            instance.missing_since = None;
        }
        None => instance.missing_since = instance.missing_since.or(Some(now)),
    }
    if let Some(detail) = &seen.detail {
        describe(instance, detail);
    }
    if instance.state == Some(InstanceState::Running) {
        instance.running_time = instance.running_time.or(Some(now));
    }
    *instance != before
}

fn describe(instance: &mut Instance, detail: &InstanceDetail) {
    instance.name.clone_from(&detail.name);
    instance.instance_type.clone_from(&detail.instance_type);
    instance.zone.clone_from(&detail.zone);
    instance
        .private_ip_addresses
        .clone_from(&detail.private_ip_addresses);
    instance
        .public_ip_addresses
        .clone_from(&detail.public_ip_addresses);
    instance
        .failure_message
        .clone_from(&detail.latest_operation_error);
}

/// What look-ups had shown of a launch that a person was asked about while it was in doubt, and of which more
/// may be shown. Nothing, if the machines are known.
fn seen_in_doubt(operation: &Operation) -> Option<Vec<InstanceId>> {
    let before = operation.transitions.iter().rev().nth(1)?;
    let few = count(operation.instances.len()) < operation.instance_count;
    let seen = operation.instances.iter();
    (before.state == StateName::Reconciling && few)
        .then(|| seen.map(|instance| instance.id.clone()).collect())
}

fn is_running(instance: &Instance) -> bool {
    instance.state == Some(InstanceState::Running) && instance.missing_since.is_none()
}

/// Why a machine did not come up, for a person.
fn failure_message(instance: &Instance) -> String {
    match &instance.state {
        None => "the cloud never showed it".to_owned(),
        Some(_) if instance.missing_since.is_some() => "the cloud no longer shows it".to_owned(),
        Some(state) if instance.failure_message.is_empty() => {
            format!("it is {} and the cloud gives no cause", state.as_str())
        }
        Some(state) => format!("it is {}: {}", state.as_str(), instance.failure_message),
    }
}

pub(super) fn launch_failure(reason: Reason, message: String, operation: &Operation) -> Failure {
    Failure {
        reason,
        message,
        cloud_code: String::new(),
        cloud_request_id: operation.cloud_request_id.clone().unwrap_or_default(),
        parameters: Vec::new(),
    }
}

/// Whether an attempt in this place before the last one may have launched something.
fn earlier_doubt(operation: &Operation) -> bool {
    tries(operation).rev().skip(1).any(is_unanswered)
}
