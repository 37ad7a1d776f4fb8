//! Giving machines back: what to do next, and what an outcome changes.

use super::change::{Change, launch_failure};
use super::{CallEnd, Illegal, Observation, Outcome, Step, count, illegal, is_set_back};
use crate::chaos;
use crate::domain::instance::{Instance, InstanceId, InstanceState};
use crate::domain::millis::{self, since};
use crate::domain::operation::{
    Failure, Operation, State, StateName, Termination, TerminationEnd, Transition,
};
use crate::domain::reason::Reason;
use std::time::Duration;
use time::UtcDateTime;

/// What to do next with an operation that gives machines back. The machines are looked at before
/// each call, because the cloud knows no token for it.
pub(super) fn next(
    operation: &Operation,
    termination: &Termination,
    epoch: u64,
    now: UtcDateTime,
) -> Step {
    let looked = chaos::wrong!("look-skipped", termination.looked, true);
    // The first call is made however late it is: nobody may have been there to make it.
    let in_time = !termination.called || now < termination.deadline;
    let due = looked && termination.call_at <= now && in_time;
    match termination.calling {
        Some(begun) if begun == epoch => Step::Call,
        Some(_) => Step::DoubtCall,
        None if due && callable(operation, termination).next().is_some() => Step::BeginCall,
        None => Step::Poll(termination.deadline),
    }
}

/// How long the machines may take to be gone, as it was asked for: counted from when it was, and from the first
/// call again.
fn patience(operation: &Operation, termination: &Termination) -> Duration {
    if termination.patience_ms > 0 {
        return Duration::from_millis(termination.patience_ms);
    }
    let asked = operation.transitions.last();
    let asked = asked.map_or(operation.create_time, |transition| transition.time);
    since(termination.deadline, asked)
}

/// How long a termination is polled before it may time out without a call; none when one was made.
pub(in crate::operations) fn polled_before_a_call(operation: &Operation) -> Option<Duration> {
    let State::Terminating(termination) = &operation.state else {
        return None;
    };
    (!termination.called).then(|| patience(operation, termination))
}

/// The machines that a call would give back now.
pub(in crate::operations) fn callable<'a>(
    operation: &'a Operation,
    termination: &'a Termination,
) -> impl Iterator<Item = InstanceId> + 'a {
    let callable = |instance: &&Instance| {
        let shown = instance.missing_since.is_none();
        let state = instance.state.as_ref();
        shown
            && chaos::wrong!("give-back-blindly", state.is_some_and(can_be_called), true)
            && termination.targets.contains(&instance.id)
    };
    let machines = operation.instances.iter().filter(callable);
    machines.map(|instance| instance.id.clone())
}

/// What `outcome` changes.
///
/// # Errors
/// When it is none of a termination.
pub(super) fn apply(
    change: Change<'_>,
    termination: Termination,
    outcome: Outcome,
) -> Result<Operation, Illegal> {
    match outcome {
        Outcome::CallBegun { epoch } => Ok(change.begin_call(termination, epoch)),
        Outcome::CallEnded(end) => Ok(change.end_call(termination, end)),
        Outcome::HeldBack => Ok(change.postpone(termination)),
        Outcome::Observed(observations) => Ok(change.observe_leaving(termination, &observations)),
        Outcome::TimedOut => Ok(change.time_out_leaving(termination)),
        Outcome::Begun { .. }
        | Outcome::SoldOut { .. }
        | Outcome::Accepted { .. }
        | Outcome::NotRun { .. }
        | Outcome::Ambiguous { .. }
        | Outcome::Found(_)
        | Outcome::LookUpFailed
        | Outcome::Exhausted
        | Outcome::Stuck { .. }
        | Outcome::Released { .. }
        | Outcome::Cancelled(_) => Err(illegal(&change.operation, &outcome)),
    }
}

impl Change<'_> {
    /// Gives back every machine of the operation.
    pub(super) fn give_back_all(self, end: TerminationEnd) -> Operation {
        let targets = self.machines();
        self.give_back(targets, end)
    }

    /// Gives `targets` back, then comes to `end`; at once when nothing is left of them.
    pub(super) fn give_back(self, targets: Vec<InstanceId>, end: TerminationEnd) -> Operation {
        let termination = Termination {
            targets,
            calling: None,
            calls: 0,
            called: false,
            call_at: self.first_call_at(),
            looked: false,
            deadline: self.now + self.timings.terminate_timeout,
            patience_ms: millis::of(self.timings.terminate_timeout),
            end,
            refusal: None,
        };
        self.leave(termination)
    }

    /// When machines may be called back for the first time. Where a person was asked meanwhile,
    /// nobody knows which calls were made before, and what was seen is old.
    fn first_call_at(&self) -> UtcDateTime {
        let left = |transition: &Transition| transition.state == StateName::Terminating;
        if self.operation.transitions.iter().any(left) {
            self.now + self.timings.missing_grace
        } else {
            self.now
        }
    }

    /// The caller no longer wants the machines that would have stayed, either. The calls so far
    /// count on: one that may have been made is given its time to show, and is not repeated in it.
    pub(super) fn give_back_the_rest(self, termination: Termination) -> Operation {
        // A call that is under way is signed as of this time.
        let call_at = match termination.calling {
            Some(_) => termination.call_at,
            None => termination.call_at.max(self.now),
        };
        let termination = Termination {
            targets: self.machines(),
            called: false,
            call_at,
            looked: false,
            deadline: self.now + self.timings.terminate_timeout,
            patience_ms: millis::of(self.timings.terminate_timeout),
            end: TerminationEnd::Cancelled,
            // What was refused is asked for anew.
            refusal: None,
            ..termination
        };
        self.leave(termination)
    }

    fn machines(&self) -> Vec<InstanceId> {
        let machines = self.operation.instances.iter();
        machines.map(|machine| machine.id.clone()).collect()
    }

    fn leave(self, termination: Termination) -> Operation {
        if self.are_given_back(&termination, &[]) {
            return self.finish(termination);
        }
        let note = format!("giving {} instances back", termination.targets.len());
        self.enter(State::Terminating(termination.into()), note)
    }

    fn begin_call(mut self, termination: Termination, epoch: u64) -> Operation {
        let mut deadline = termination.deadline;
        if !termination.called {
            deadline = deadline.max(self.now + patience(&self.operation, &termination));
        }
        self.operation.state = State::Terminating(Box::new(Termination {
            calling: Some(epoch),
            calls: termination.calls + 1,
            call_at: self.now,
            looked: false,
            deadline,
            ..termination
        }));
        self.done()
    }

    /// After a call that may have worked, the machines are given the time to show it: a second call
    /// would take a prepaid one out of the recycle bin, too.
    fn end_call(mut self, mut termination: Termination, end: CallEnd) -> Operation {
        let pause = if end.undone {
            self.timings.look_up_interval
        } else {
            self.timings.missing_grace
        };
        termination.calling = None;
        termination.called |= end.made;
        termination.call_at = self.now + pause;
        for (id, failure) in end.refused {
            termination.targets.retain(|target| *target != id);
            let mut machines = self.operation.instances.iter_mut();
            if let Some(machine) = machines.find(|machine| machine.id == id) {
                machine.failure_message.clone_from(&failure.message);
            }
            termination.refusal = Some(failure);
        }
        if self.are_given_back(&termination, &[]) {
            return self.finish(termination);
        }
        self.operation.state = State::Terminating(termination.into());
        self.done()
    }

    /// The machines are looked at anew before the call that could not be made.
    fn postpone(mut self, mut termination: Termination) -> Operation {
        termination.call_at = self.now + self.timings.look_up_interval;
        termination.looked = false;
        self.operation.state = State::Terminating(termination.into());
        self.done()
    }

    fn observe_leaving(
        mut self,
        mut termination: Termination,
        observations: &[Observation],
    ) -> Operation {
        let changed = self.take_over(observations);
        if self.are_given_back(&termination, observations) {
            return self.finish(termination);
        }
        let set_back = self.was_set_back(&termination);
        if set_back {
            termination = self.dated_anew(termination);
        }
        // One that the cloud has never shown keeps no other from being given back.
        let seen = |id| observations.iter().any(|seen| seen.id == id);
        let looked = callable(&self.operation, &termination).next().is_some()
            && callable(&self.operation, &termination).all(seen);
        let first = looked && !termination.looked && termination.call_at <= self.now;
        termination.looked |= first;
        if changed || first || set_back {
            self.operation.state = State::Terminating(termination.into());
            self.done()
        } else {
            self.operation
        }
    }

    /// Whether the next call lies further ahead than any does: it was written down before the clock was set back.
    fn was_set_back(&self, termination: &Termination) -> bool {
        let longest = self.timings.call_max();
        termination.calling.is_none() && is_set_back(termination.call_at, self.now, longest)
    }

    /// With its waits begun anew. Not ended: how long ago the last call was made is not known any more.
    fn dated_anew(&self, termination: Termination) -> Termination {
        let patience = patience(&self.operation, &termination);
        Termination {
            call_at: self.now + self.timings.missing_grace,
            looked: false,
            deadline: termination.deadline.min(self.now + patience),
            ..termination
        }
    }

    fn are_given_back(&self, termination: &Termination, observations: &[Observation]) -> bool {
        let mut machines = self.operation.instances.iter();
        machines.all(|machine| {
            !termination.targets.contains(&machine.id) || self.is_given_back(machine, observations)
        })
    }

    /// The targets are gone. A machine that the cloud did not let go costs money, so a launch that
    /// still has one is for a person to look at.
    fn finish(self, termination: Termination) -> Operation {
        match (termination.refusal, termination.end) {
            (None, TerminationEnd::Succeeded) => self.enter(State::Succeeded, String::new()),
            (None, TerminationEnd::Cancelled) => self.cancelled("its instances were given back"),
            (None, TerminationEnd::Partial(failure)) => self.end(State::Partial, failure),
            (None, TerminationEnd::Failed(failure)) => self.end(State::Failed, failure),
            (Some(refusal), TerminationEnd::Succeeded) => self.fail_leaving(refusal),
            (
                Some(refusal),
                TerminationEnd::Cancelled | TerminationEnd::Partial(_) | TerminationEnd::Failed(_),
            ) => {
                let message = format!("instances could not be given back: {}", refusal.message);
                self.needs_operator(message)
            }
        }
    }

    fn time_out_leaving(self, termination: Termination) -> Operation {
        let left = |machine: &&Instance| {
            termination.targets.contains(&machine.id) && !self.is_given_back(machine, &[])
        };
        let left = self.operation.instances.iter().filter(left).count();
        let message = format!(
            "{left} instances are still there after {} calls to terminate them",
            termination.calls
        );
        match termination.end {
            TerminationEnd::Succeeded => {
                let failure = launch_failure(Reason::LaunchTimeout, message, &self.operation);
                self.fail_leaving(failure)
            }
            TerminationEnd::Cancelled | TerminationEnd::Partial(_) | TerminationEnd::Failed(_) => {
                self.needs_operator(message)
            }
        }
    }

    /// Not every machine that the caller wanted to give back is gone.
    fn fail_leaving(self, failure: Failure) -> Operation {
        let machines = self.operation.instances.iter();
        let gone = machines.filter(|machine| self.is_given_back(machine, &[]));
        if count(gone.count()) == 0 {
            self.end(State::Failed, failure)
        } else {
            self.end(State::Partial, failure)
        }
    }
}

/// Whether the cloud takes a call for a machine in this state. It refuses one that changes, and
/// one that is on its way out needs none.
fn can_be_called(state: &InstanceState) -> bool {
    match state {
        InstanceState::Running
        | InstanceState::Stopped
        | InstanceState::RescueMode
        | InstanceState::ServiceLiveMigrate
        | InstanceState::Other(_) => true,
        InstanceState::Pending
        | InstanceState::LaunchFailed
        | InstanceState::Starting
        | InstanceState::Stopping
        | InstanceState::Rebooting
        | InstanceState::Shutdown
        | InstanceState::Terminating
        | InstanceState::EnterRescueMode
        | InstanceState::ExitRescueMode
        | InstanceState::EnterServiceLiveMigrate
        | InstanceState::ExitServiceLiveMigrate => false,
    }
}
