//! A launch in doubt: what to do next, and what look-ups prove of it.

use super::change::{Change, launch_failure};
use super::{
    PROOFS, Step, Timings, count, doubled, is_ahead, is_set_back, is_unanswered, tried_since, tries,
};
use crate::chaos;
use crate::domain::instance::InstanceDetail;
use crate::domain::operation::{AttemptResult, Failure, Operation, Reconciliation, State};
use crate::domain::reason::Reason;
use time::UtcDateTime;

/// What to do next with a launch in doubt.
pub(super) fn next(
    operation: &Operation,
    doubt: &Reconciliation,
    now: UtcDateTime,
    timings: &Timings,
) -> Step {
    let looks = !is_ahead(doubt.next_look_up, now, timings.look_up_max());
    if tried_since(operation).is_some_and(|since| now >= since + timings.reconcile_timeout) {
        return next_at_last(doubt, looks);
    }
    let unanswered = tries(operation).filter(|attempt| is_unanswered(attempt));
    let left = count(unanswered.count()) < timings.attempts_max;
    match (may_send_again(operation, doubt, now, timings), left) {
        // Before the next look-up, which may fall due while the call waits for its turn: the two
        // would else put each other off for ever.
        (true, true) => Step::Begin,
        (_, false)
            if chaos::wrong!("give-up-early", doubt.proofs, PROOFS) >= PROOFS
                && doubt.refusal.is_none() =>
        {
            Step::GiveUp
        }
        (_, _) if looks => Step::LookUp,
        (_, _) => Step::Wait(doubt.next_look_up),
    }
}

/// When it was in doubt for too long. No person is asked what a look-up may tell, or two: nobody may have looked
/// for all that time.
fn next_at_last(doubt: &Reconciliation, looks: bool) -> Step {
    if doubt.proofs >= PROOFS && doubt.refusal.is_none() {
        return Step::GiveUp; // it only could not be sent again
    }
    if looks {
        Step::LookUp
    } else if !doubt.looked || doubt.proofs > 0 {
        Step::Wait(doubt.next_look_up)
    } else {
        Step::Escalate
    }
}

/// Same token and same bytes: safe while the cloud knows the token, or once nothing can come of
/// the attempts before. Never after a refusal or a cancellation: then only the proof that they are
/// empty is wanted.
fn may_send_again(
    operation: &Operation,
    doubt: &Reconciliation,
    now: UtcDateTime,
    timings: &Timings,
) -> bool {
    // The first one need not be dated first: the clock may have been corrected between two.
    let dated_first = tries(operation).map(|attempt| attempt.signed_at).min();
    let (Some(first), Some(last)) = (dated_first, tries(operation).next_back()) else {
        return false;
    };
    let wanted = doubt.refusal.is_none() && operation.cancellation.is_none();
    let trusted = chaos::wrong!(
        "token-trusted-for-ever",
        now < first + timings.token_trust_window,
        true
    );
    let pause = doubled(timings.look_up_interval, count(tries(operation).count()));
    let rested = now >= last.signed_at + pause;
    let empty = (trusted && doubt.empty_look_ups > 0) || doubt.proofs >= PROOFS;
    wanted && rested && empty
}

impl Change<'_> {
    pub(super) fn doubt(mut self, why: String) -> Operation {
        self.end_attempt(AttemptResult::Ambiguous(why.clone()), None);
        self.enter_doubt(None, why)
    }

    pub(super) fn enter_doubt(self, refusal: Option<Failure>, note: String) -> Operation {
        let doubt = Reconciliation {
            next_look_up: self.now + self.timings.first_look_up,
            empty_look_ups: 0,
            proofs: 0,
            refusal,
            looked: false,
            seen: Vec::new(),
        };
        self.enter(State::Reconciling(doubt.into()), note)
    }

    /// What an earlier look-up showed was launched, whether or not this one shows it, too: the poller
    /// finds out what became of it.
    pub(super) fn found(self, mut doubt: Reconciliation, found: &[InstanceDetail]) -> Operation {
        let quarantined = chaos::wrong!("no-quarantine", self.quarantine_end() > self.now, false);
        for detail in found {
            if !doubt.seen.contains(&detail.id) {
                doubt.seen.push(detail.id.clone());
            }
        }
        let shown = count(doubt.seen.len());
        if shown == 0 {
            return self.found_nothing(doubt, quarantined);
        }
        // Fewer than asked for may be a lag of the look-up, until the quarantine has passed. But
        // the cloud has launched: what was empty before proves nothing any more.
        if shown < self.operation.instance_count && quarantined {
            return self.look_again(Reconciliation {
                empty_look_ups: 0,
                proofs: 0,
                ..doubt
            });
        }
        self.launch(doubt.seen, "found the instances by their tag")
    }

    fn found_nothing(self, mut doubt: Reconciliation, quarantined: bool) -> Operation {
        doubt.empty_look_ups += 1;
        // Where the clock was set back, nobody knows whether the one before was earlier.
        let set_back = is_set_back(doubt.next_look_up, self.now, self.timings.look_up_max());
        let before = if set_back { 0 } else { doubt.proofs };
        doubt.proofs = if quarantined { 0 } else { before + 1 };
        if doubt.proofs < PROOFS {
            return self.look_again(doubt);
        }
        match doubt.refusal {
            _ if self.operation.cancellation.is_some() => self.cancelled("nothing was launched"),
            Some(refusal) => self.refused(refusal),
            None => self.look_again(doubt),
        }
    }

    /// It proves nothing, and its pages may have held machines before they did not fit together. What was
    /// empty before must be seen empty anew.
    pub(super) fn look_up_failed(self, doubt: Reconciliation) -> Operation {
        self.look_again(Reconciliation {
            empty_look_ups: 0,
            proofs: 0,
            ..doubt
        })
    }

    fn look_again(mut self, mut doubt: Reconciliation) -> Operation {
        doubt.looked = true;
        doubt.next_look_up = self.now + self.timings.look_up_interval;
        self.operation.state = State::Reconciling(doubt.into());
        self.done()
    }

    pub(super) fn exhausted(self) -> Operation {
        let attempts = self.operation.attempts.len();
        let message =
            format!("it was sent {attempts} times without an answer; nothing was launched");
        let failure = launch_failure(Reason::CloudUnavailable, message, &self.operation);
        self.fail(failure)
    }

    /// When nothing can come any more of any attempt so far. The one that was dated last need not be the last
    /// one: the clock may have been corrected between two.
    fn quarantine_end(&self) -> UtcDateTime {
        let open = tries(&self.operation).filter(|attempt| is_unanswered(attempt));
        let dated_last = open.map(|attempt| attempt.signed_at).max();
        dated_last.map_or(self.now, |at| at + self.timings.quarantine)
    }
}
