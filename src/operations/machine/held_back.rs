//! What a call repeats, until when it may be held back for that, and what becomes of it then.

use super::change::{Change, launch_failure};
use super::{PROOFS, Timings, is_unanswered, sent_since, tried_since, tries};
use crate::cloud::limiter::Try;
use crate::domain::operation::{Attempt, AttemptResult, Operation, Reconciliation, State};
use crate::domain::reason::Reason;
use time::UtcDateTime;

/// What the next call of the operation repeats: a launch the attempts in the same place, a
/// termination its calls before. How those ended is not in the journal.
pub(in crate::operations) fn tried(operation: &Operation) -> Try {
    if let State::Terminating(termination) = &operation.state {
        return match termination.calls {
            0 => Try::First,
            _ => Try::AfterDoubt,
        };
    }
    let moves_on = operation.sold_out.contains(&operation.alternative);
    match tries(operation).next_back().filter(|_| !moves_on) {
        None => Try::First,
        Some(attempt) if is_unanswered(attempt) => Try::AfterDoubt,
        Some(_) => Try::Again,
    }
}

/// Until when the operation may be held back from repeating its call; then something else is to be
/// done with it, or what it knows is too old to repeat it.
pub(in crate::operations) fn patience(
    operation: &Operation,
    now: UtcDateTime,
    timings: &Timings,
) -> UtcDateTime {
    match &operation.state {
        State::Accepted => send_deadline(operation, timings),
        State::Reconciling(doubt) if doubt.proofs < PROOFS => doubt.next_look_up,
        State::Reconciling(_) => tried_since(operation).unwrap_or(now) + timings.reconcile_timeout,
        State::Sent
        | State::Launched
        | State::Terminating(_)
        | State::Succeeded
        | State::Partial
        | State::Failed
        | State::Cancelled
        | State::NeedsOperator => now + timings.look_up_interval,
    }
}

/// Until when what certainly did not run is sent again, as far as the journal tells: what the cloud
/// refused and may be sent again, it mostly refused for the account's rate.
fn send_deadline(operation: &Operation, timings: &Timings) -> UtcDateTime {
    let last = operation.attempts.last();
    let began = sent_since(operation);
    let refused = |last: &Attempt| matches!(last.result, AttemptResult::Refused(_));
    if last.is_some_and(refused) {
        began + timings.launch_timeout
    } else {
        began + timings.send_timeout
    }
}

impl Change<'_> {
    /// It could not be sent again in time; nothing can come of what was sent.
    pub(super) fn held_back(self) -> Operation {
        let attempts = self.operation.attempts.len();
        let message = format!(
            "it was sent {attempts} times and did not run, and was not sent again in time: too many \
             calls of the account had to be repeated"
        );
        let mut failure = launch_failure(Reason::CloudUnavailable, message, &self.operation);
        let last = self.operation.attempts.last();
        if let Some(AttemptResult::Refused(code)) = last.map(|attempt| &attempt.result) {
            failure.cloud_code.clone_from(code);
        }
        self.fail(failure)
    }

    /// It was to be sent again and could not be: what it had seen is too old by now.
    pub(super) fn look_anew(mut self, doubt: Reconciliation) -> Operation {
        self.operation.state = State::Reconciling(Box::new(Reconciliation {
            empty_look_ups: 0,
            ..doubt
        }));
        self.done()
    }
}
