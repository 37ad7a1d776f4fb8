//! A launch in doubt: what look-ups prove of it.

use super::change::{Change, launch_failure};
use super::{PROOFS, count, is_unanswered, tries};
use crate::chaos;
use crate::domain::instance::InstanceDetail;
use crate::domain::operation::{AttemptResult, Failure, Operation, Reconciliation, State};
use crate::domain::reason::Reason;
use time::UtcDateTime;

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
        self.enter(State::Reconciling(doubt), note)
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
        doubt.proofs = if quarantined { 0 } else { doubt.proofs + 1 };
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
        self.operation.state = State::Reconciling(doubt);
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
