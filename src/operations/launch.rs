//! The calls of a launch: where to send it, sending it once, looking for what came of it.

use super::Inner;
use super::capacity::{Capacity, Shelf};
use super::driver::target;
use super::machine::Outcome;
use crate::chaos;
use crate::cloud::limiter::Turn;
use crate::cloud::{CloudError, Effect, Retry, Signing, body};
use crate::domain::ids::OperationId;
use crate::domain::millis::since;
use crate::domain::operation::{
    self, AttemptResult, Failure, Kind, Lease, Operation, Place, State, StateName, Transition,
};
use crate::domain::reason::Reason;
use crate::policy::Grant;
use std::sync::{MutexGuard, PoisonError};
use time::UtcDateTime;

impl Inner {
    /// The place of the next attempt: that of the one before, unless it had no stock; else the first
    /// that is not known to be sold out. What is known is never the only reason to give up.
    pub(super) fn begin(&self, operation: &Operation, epoch: u64) -> Outcome {
        let here = operation.alternative;
        if !operation.attempts.is_empty() && !operation.sold_out.contains(&here) {
            return Outcome::Begun {
                epoch,
                alternative: here,
            };
        }
        match self.place(operation) {
            Ok(alternative) => Outcome::Begun { epoch, alternative },
            Err(failure) => Outcome::SoldOut { failure },
        }
    }

    /// The first place that is left and not known to be sold out. Where all are, one is asked
    /// nevertheless, unless the cloud has refused another one just now.
    fn place(&self, operation: &Operation) -> Result<u32, Failure> {
        let (now, capacity) = (self.clock.now(), self.capacity());
        let mut known = Vec::new();
        for (number, place) in operation.untried() {
            let shelf = Shelf::of(operation, place);
            match capacity.sold_out(&shelf, operation.instance_count, now) {
                None => return Ok(number),
                Some(evidence) => known.push((evidence.last, number)),
            }
        }
        match known.iter().min() {
            None => Ok(operation.alternative), // a journal of an earlier version names no place
            Some((_, number)) if operation.sold_out.is_empty() => Ok(*number),
            Some(_) => Err(all_sold_out(operation)),
        }
    }

    /// Learns from what came of an attempt where there is stock.
    pub(super) fn learn(&self, operation: &Operation, outcome: &Outcome) {
        let here = usize::try_from(operation.alternative).unwrap_or(usize::MAX);
        let Some(place) = operation.places.get(here) else {
            return;
        };
        let (shelf, now) = (Shelf::of(operation, place), self.clock.now());
        match outcome {
            Outcome::Accepted { .. } if !operation.dry_run => self.capacity().delivered(&shelf),
            Outcome::NotRun { failure, .. } if failure.reason == Reason::Capacity => {
                let last = operation.attempts.last();
                let asked_at = last.map_or(now, |attempt| attempt.signed_at);
                let count = operation.instance_count;
                self.capacity()
                    .refused(&shelf, count, failure, (asked_at, now));
            }
            Outcome::Accepted { .. }
            | Outcome::NotRun { .. }
            | Outcome::Begun { .. }
            | Outcome::SoldOut { .. }
            | Outcome::Cancelled(_)
            | Outcome::CallBegun { .. }
            | Outcome::CallEnded(_)
            | Outcome::Ambiguous { .. }
            | Outcome::Found(_)
            | Outcome::LookUpFailed
            | Outcome::Exhausted
            | Outcome::HeldBack
            | Outcome::Stuck { .. }
            | Outcome::Released { .. }
            | Outcome::Observed(_)
            | Outcome::TimedOut => {}
        }
    }

    fn capacity(&self) -> MutexGuard<'_, Capacity> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        self.capacity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn send(&self, operation: &Operation, turn: Turn) -> Outcome {
        let Some(attempt) = operation.attempts.last() else {
            return not_sent("Stale", "no attempt was written down");
        };
        let body = self.store.body(operation.id, attempt.alternative);
        let body = match chaos::around!("driver.body", body, else Err(crate::store::StoreError::Busy))
        {
            Ok(Some(body)) => body,
            Ok(None) => return not_sent("NoBody", "the body is not in the journal"),
            Err(error) => return not_sent("NoBody", &error.to_string()),
        };
        let permit = turn.permit().await;
        // After all that takes its time.
        let age = since(self.clock.now(), attempt.signed_at);
        let lease = Lease {
            operation: operation.id,
            epoch: attempt.epoch,
        };
        let stale = age > self.settings.timings.attempt_life || !self.lease_lasts(lease);
        if chaos::wrong!("stale-attempt", stale, false) {
            return not_sent("Stale", "the attempt grew too old before it could be sent");
        }
        let target = target(operation);
        let sent = chaos::wrong!(
            "fresh-token",
            body.as_bytes(),
            chaos::with_fresh_token(body.as_bytes(), attempt.number)
        );
        let sent_as = chaos::wrong!("body-rebuilt", sent, chaos::rebuilt(sent, attempt.number));
        let signing = Signing {
            at: attempt.signed_at,
            caller: Some(&operation.principal),
        };
        let answer = self.cloud.run_instances(permit, &target, sent_as, signing);
        match chaos::around!("driver.call", answer, else Err(crate::cloud::Fault::ConnectionLost.error("planted")))
        {
            Ok(accepted) => Outcome::Accepted {
                instances: accepted.instance_ids,
                cloud_request_id: accepted.request_id,
            },
            Err(error) => {
                let message = chaos::wrong!(
                    "secret-quoted",
                    body::hide_secrets(&error.message, body.as_bytes()),
                    error.message.clone()
                );
                judge(operation, CloudError { message, ..error })
            }
        }
    }

    pub(super) async fn look_up(&self, operation: &Operation, turn: Turn) -> Outcome {
        let permit = turn.permit().await;
        let (target, key) = (target(operation), body::operation_tag_key());
        let value = operation.id.to_string();
        let found = self.cloud.find_by_tag(permit, &target, &key, &value);
        match found.await {
            Ok(found) => chaos::at!(
                "driver.found",
                Outcome::Found(chaos::wrong!("found-is-empty", found, Vec::new()))
            ),
            Err(error) => {
                tracing::warn!(
                    code = error.code,
                    "looking operation {} up failed",
                    operation.id
                );
                Outcome::LookUpFailed
            }
        }
    }
}

/// What a caller is told when every place that is left is known to have no stock.
fn all_sold_out(operation: &Operation) -> Failure {
    let last = operation.attempts.last();
    let cloud_request_id = last.and_then(|attempt| attempt.cloud_request_id.clone());
    let cloud_code = match last.map(|attempt| &attempt.result) {
        Some(AttemptResult::Refused(code)) => code.clone(),
        Some(_) | None => String::new(),
    };
    let asked: Vec<String> = operation
        .sold_out
        .iter()
        .map(|number| operation.place_name(*number))
        .collect();
    Failure {
        reason: Reason::Capacity,
        message: format!(
            "no stock{}, and none is known of elsewhere: other launches were refused there just now",
            asked.join(" and")
        ),
        cloud_code,
        cloud_request_id: cloud_request_id.unwrap_or_default(),
        parameters: vec!["InstanceType".to_owned(), "Placement.Zone".to_owned()],
    }
}

/// What a failed call means for its attempt.
fn judge(operation: &Operation, error: CloudError) -> Outcome {
    if error.reason == Reason::DryRunPassed {
        return Outcome::Accepted {
            instances: Vec::new(),
            cloud_request_id: error.request_id.unwrap_or_default(),
        };
    }
    let code = error.code.clone();
    let retry = match error.retry {
        Retry::Backoff => true,
        // A new signature helps once, or not at all.
        Retry::Resign => {
            let before = operation.attempts.iter().rev().nth(1);
            before.is_none_or(|before| before.result != AttemptResult::Refused(code.clone()))
        }
        Retry::No | Retry::Later | Retry::Token => chaos::wrong!("retry-unknown", false, true),
    };
    let result = match chaos::wrong!("retry-unknown", error.effect, Effect::NotSent) {
        Effect::NotSent => AttemptResult::NotSent(code),
        Effect::Definite => AttemptResult::Refused(code),
        Effect::Ambiguous => {
            let why = format!("{code}: {}", error.message);
            return Outcome::Ambiguous { why };
        }
    };
    Outcome::NotRun {
        result,
        failure: error.into(),
        retry,
    }
}

fn not_sent(code: &str, message: &str) -> Outcome {
    Outcome::NotRun {
        result: AttemptResult::NotSent(code.to_owned()),
        failure: Failure {
            reason: Reason::GatewayUnavailable,
            message: message.to_owned(),
            cloud_code: String::new(),
            cloud_request_id: String::new(),
            parameters: Vec::new(),
        },
        retry: true,
    }
}

/// What was granted, as the operation it begins as.
pub(super) fn accepted(
    id: OperationId,
    grant: &Grant,
    host: String,
    now: UtcDateTime,
) -> Operation {
    let (principal, wish) = (grant.principal(), grant.wish());
    Operation {
        id,
        organization: principal.organization.clone(),
        request_id: wish.request_id.clone(),
        principal: principal.name.clone(),
        account: grant.account().clone(),
        region: wish.region.clone(),
        host,
        instance_count: wish.instance_count(),
        min_count: wish.min_count(),
        dry_run: wish.spec.dry_run.unwrap_or(false),
        state: State::Accepted,
        sequence: 1,
        attempts: Vec::new(),
        instances: Vec::new(),
        failure: None,
        transitions: vec![Transition {
            state: StateName::Accepted,
            time: now,
            note: String::new(),
        }],
        cloud_request_id: None,
        create_time: now,
        update_time: now,
        kind: Kind::Launch,
        places: wish.specs().iter().map(Place::of).collect(),
        alternative: 0,
        sold_out: Vec::new(),
        on_failure: wish.on_failure,
        cancellation: None,
        changes: grant.changes().to_vec(),
        worths: Vec::new(),
        stock: operation::stock(&wish.spec),
        release_addresses: operation::brings_lasting_addresses(&wish.spec),
        trace: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Fault;

    fn refused(effect: Effect, retry: Retry) -> CloudError {
        CloudError {
            effect,
            reason: Reason::Capacity,
            retry,
            code: "Code".to_owned(),
            message: "words".to_owned(),
            fields: vec!["InstanceType".to_owned()],
            request_id: Some("q".to_owned()),
        }
    }

    #[test]
    fn what_a_failed_call_means() {
        let journalled = include_str!("../../testdata/journal/operation-v1.json");
        let operation: Operation = serde_json::from_str(journalled).unwrap();
        let definite = judge(&operation, refused(Effect::Definite, Retry::Later));
        let Outcome::NotRun {
            result,
            failure,
            retry,
        } = definite
        else {
            panic!("{definite:?}");
        };
        assert_eq!(result, AttemptResult::Refused("Code".to_owned()));
        assert_eq!(
            (
                failure.cloud_code.as_str(),
                failure.cloud_request_id.as_str()
            ),
            ("Code", "q")
        );
        assert!(!retry);

        let throttled = judge(&operation, refused(Effect::Definite, Retry::Backoff));
        assert!(
            matches!(throttled, Outcome::NotRun { retry: true, .. }),
            "{throttled:?}"
        );

        let unreachable = judge(&operation, Fault::ConnectFailed.error("refused"));
        let Outcome::NotRun {
            result,
            failure,
            retry,
        } = unreachable
        else {
            panic!("{unreachable:?}");
        };
        assert_eq!(result, AttemptResult::NotSent("ConnectFailed".to_owned()));
        assert_eq!(failure.cloud_code, "", "it is not a code of the cloud");
        assert!(retry);

        let lost = judge(&operation, Fault::Timeout.error("no answer"));
        assert_eq!(
            lost,
            Outcome::Ambiguous {
                why: "Timeout: no answer".to_owned()
            }
        );

        let passed = CloudError {
            reason: Reason::DryRunPassed,
            ..refused(Effect::Definite, Retry::No)
        };
        assert!(matches!(
            judge(&operation, passed),
            Outcome::Accepted { .. }
        ));
    }
}
