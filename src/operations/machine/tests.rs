//! The transition table, row by row, and random walks through it.

mod giving_back;
mod held_back;
mod places;

use super::*;
use crate::domain::ids::{OperationId, OrganizationId, RequestId};
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::{Kind, OnFailure, Place};
use crate::domain::reason::Reason;
use proptest::prelude::*;
use time::macros::utc_datetime;

const START: UtcDateTime = utc_datetime!(2026-01-01 00:00:00);
const TIMINGS: Timings = Timings {
    attempt_life: secs(20),
    token_trust_window: secs(600),
    quarantine: secs(540),
    first_look_up: secs(2),
    look_up_interval: secs(10),
    reconcile_timeout: secs(3600),
    retry_backoff: secs(1),
    attempts_max: 5,
    send_timeout: secs(120),
    missing_grace: secs(60),
    unseen_grace: secs(240),
    launch_timeout: secs(1800),
    terminate_timeout: secs(900),
};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn accepted(instance_count: u32) -> Operation {
    Operation {
        id: OperationId::generate(START),
        organization: OrganizationId::parse("acme").unwrap(),
        request_id: RequestId::parse("r").unwrap(),
        principal: "dev".to_owned(),
        account: AccountName::parse("main").unwrap(),
        region: Region::parse("ap-shanghai").unwrap(),
        host: "cvm.tencentcloudapi.com".to_owned(),
        instance_count,
        min_count: None,
        dry_run: false,
        state: State::Accepted,
        sequence: 1,
        attempts: Vec::new(),
        instances: Vec::new(),
        failure: None,
        transitions: vec![Transition {
            state: StateName::Accepted,
            time: START,
            note: String::new(),
        }],
        cloud_request_id: None,
        create_time: START,
        update_time: START,
        kind: Kind::Launch,
        places: Vec::new(),
        alternative: 0,
        sold_out: Vec::new(),
        on_failure: OnFailure::Keep,
        cancellation: None,
        changes: Vec::new(),
        worths: Vec::new(),
        stock: String::new(),
        release_addresses: false,
        trace: None,
    }
}

fn id(number: u32) -> InstanceId {
    InstanceId::parse(&format!("ins-{number}")).unwrap()
}

fn detail(number: u32, state: InstanceState) -> InstanceDetail {
    InstanceDetail {
        id: id(number),
        state,
        name: format!("web-{number}"),
        instance_type: "S5.SMALL1".to_owned(),
        zone: "ap-shanghai-2".to_owned(),
        private_ip_addresses: vec![format!("10.0.0.{number}")],
        public_ip_addresses: Vec::new(),
        latest_operation_error: String::new(),
    }
}

fn refusal(reason: Reason) -> Failure {
    Failure {
        reason,
        message: "refused".to_owned(),
        cloud_code: "Code".to_owned(),
        cloud_request_id: "q".to_owned(),
        parameters: Vec::new(),
    }
}

fn named(count: u32) -> Outcome {
    Outcome::Accepted {
        instances: (1..=count).map(id).collect(),
        cloud_request_id: "q".to_owned(),
    }
}

fn not_run(retry: bool) -> Outcome {
    Outcome::NotRun {
        result: AttemptResult::NotSent("ConnectFailed".to_owned()),
        failure: refusal(Reason::CloudUnavailable),
        retry,
    }
}

fn ambiguous() -> Outcome {
    Outcome::Ambiguous {
        why: "Timeout".to_owned(),
    }
}

fn seen(number: u32, state: InstanceState) -> Observation {
    Observation {
        id: id(number),
        detail: ends(&state).map(|_| detail(number, state.clone())),
        state: Some(state),
    }
}

fn missing(number: u32) -> Observation {
    Observation {
        id: id(number),
        state: None,
        detail: None,
    }
}

/// An operation on its way, with the time it is at.
#[derive(Clone)]
struct Walk {
    operation: Operation,
    now: UtcDateTime,
}

impl Walk {
    fn new(instance_count: u32) -> Self {
        Self {
            operation: accepted(instance_count),
            now: START,
        }
    }

    fn after(mut self, seconds: u64, outcome: Outcome) -> Self {
        self.now += secs(seconds);
        let before = self.operation.sequence;
        self.operation = apply(&self.operation, outcome, self.now, &TIMINGS).unwrap();
        assert!([before, before + 1].contains(&self.operation.sequence));
        self
    }

    fn sent(self, seconds: u64) -> Self {
        let alternative = self.operation.alternative;
        self.sent_to(alternative, seconds)
    }

    fn sent_to(self, alternative: u32, seconds: u64) -> Self {
        let begun = Outcome::Begun {
            epoch: 1,
            alternative,
        };
        self.after(seconds, begun)
    }

    fn next(&self) -> Step {
        next(&self.operation, 1, self.now, &TIMINGS)
    }

    fn state(&self) -> StateName {
        self.operation.state.name()
    }

    fn reason(&self) -> Option<Reason> {
        self.operation
            .failure
            .as_ref()
            .map(|failure| failure.reason)
    }
}

#[test]
fn a_launch_without_incident() {
    let walk = Walk::new(2);
    assert_eq!(walk.next(), Step::Begin);
    let walk = walk.sent(0);
    assert_eq!(walk.next(), Step::Send);
    let walk = walk.after(1, named(2));
    assert_eq!(walk.next(), Step::Poll(START + secs(1801)));
    let walk = walk.after(
        10,
        Outcome::Observed(vec![
            seen(1, InstanceState::Pending),
            seen(2, InstanceState::Running),
        ]),
    );
    assert_eq!(walk.state(), StateName::Launched);
    assert_eq!(walk.operation.instances[1].running_time, Some(walk.now));
    let before = walk.operation.clone();
    let walk = walk.after(1, Outcome::Observed(vec![seen(1, InstanceState::Pending)]));
    assert_eq!(
        walk.operation, before,
        "an observation of nothing new is no change"
    );
    let walk = walk.after(1, Outcome::Observed(vec![seen(1, InstanceState::Running)]));
    assert_eq!(walk.state(), StateName::Succeeded);
    assert_eq!(
        walk.operation.instances[0].private_ip_addresses,
        ["10.0.0.1"]
    );
    assert_eq!(walk.next(), Step::Rest);
}

#[test]
fn a_refusal_ends_the_launch() {
    let failure = refusal(Reason::QuotaExceeded);
    let outcome = Outcome::NotRun {
        result: AttemptResult::Refused("Code".to_owned()),
        failure: failure.clone(),
        retry: false,
    };
    let walk = Walk::new(1).sent(0).after(1, outcome);
    assert_eq!(walk.state(), StateName::Failed);
    assert_eq!(walk.operation.failure, Some(failure));
}

#[test]
fn what_did_not_run_is_sent_again_until_the_send_timeout() {
    let mut walk = Walk::new(1).sent(0).after(0, not_run(true));
    let mut waits = Vec::new();
    while walk.state() == StateName::Accepted {
        let Step::Wait(until) = walk.next() else {
            panic!("no back-off");
        };
        waits.push((until - walk.now).whole_milliseconds());
        walk.now = until;
        assert_eq!(walk.next(), Step::Begin);
        walk = walk.sent(0).after(0, not_run(true));
    }
    for (wait, longest) in waits.iter().zip([1, 2, 4, 8, 16, 32, 32, 32, 32]) {
        let longest = longest * 1000;
        assert!((longest / 2..=longest).contains(wait), "{waits:?}");
    }
    assert!(
        walk.now - START >= TIMINGS.send_timeout && waits.len() >= 6,
        "{waits:?}"
    );
    assert_eq!(walk.state(), StateName::Failed);
    assert_eq!(walk.reason(), Some(Reason::CloudUnavailable));
}

#[test]
fn no_attempt_begins_after_the_send_timeout() {
    let walk = Walk::new(1).sent(0).after(121, not_run(true));
    assert_eq!(walk.state(), StateName::Failed);
}

#[test]
fn the_time_in_the_queue_and_refusals_for_the_rate_end_no_launch() {
    let walk = Walk::new(1).sent(300).after(0, not_run(true));
    assert_eq!(walk.state(), StateName::Accepted);
    let throttled = || Outcome::NotRun {
        result: AttemptResult::Refused("RequestLimitExceeded".to_owned()),
        failure: refusal(Reason::CloudRateLimited),
        retry: true,
    };
    let walk = Walk::new(1).sent(0).after(1700, throttled());
    assert_eq!(walk.state(), StateName::Accepted);
    let walk = walk.sent(0).after(100, throttled());
    assert_eq!(walk.state(), StateName::Failed, "but not for ever");
    assert_eq!(walk.reason(), Some(Reason::CloudRateLimited));
}

#[test]
fn operations_that_were_refused_together_come_back_apart() {
    let at = |_| {
        let walk = Walk::new(1).sent(0).after(0, not_run(true));
        let Step::Wait(until) = walk.next() else {
            panic!("no back-off");
        };
        until
    };
    let times: std::collections::BTreeSet<_> = (0..50).map(at).collect();
    assert!(times.len() > 20, "{}", times.len());
}

#[test]
fn an_attempt_of_an_earlier_lease_is_doubted() {
    let walk = Walk::new(1).sent(0);
    assert_eq!(next(&walk.operation, 2, walk.now, &TIMINGS), Step::Doubt);
}

#[test]
fn doubt_is_resolved_by_adopting_what_is_found() {
    let walk = Walk::new(2).sent(0).after(30, ambiguous());
    assert_eq!(walk.next(), Step::Wait(START + secs(32)));
    let both = vec![
        detail(1, InstanceState::Pending),
        detail(2, InstanceState::Pending),
    ];
    let walk = walk.after(2, Outcome::Found(both));
    assert_eq!(walk.state(), StateName::Launched);
    assert_eq!(walk.operation.attempts.len(), 1, "nothing was sent again");
}

#[test]
fn inside_the_trust_window_an_empty_look_up_sends_again() {
    let walk = Walk::new(1).sent(0).after(30, ambiguous());
    let walk = walk.after(2, Outcome::Found(Vec::new()));
    assert_eq!(walk.next(), Step::Begin);
    assert_eq!(walk.sent(0).operation.attempts.len(), 2);
}

#[test]
fn a_call_that_waits_for_its_turn_is_not_put_off_by_the_next_look_up() {
    let walk = Walk::new(1).sent(0).after(30, ambiguous());
    let mut walk = walk.after(2, Outcome::Found(Vec::new()));
    walk.now += secs(60);
    assert_eq!(walk.next(), Step::Begin);
}

#[test]
fn a_launch_in_doubt_is_not_sent_again_in_haste() {
    let walk = Walk::new(1).sent(0).after(1, ambiguous());
    let walk = walk.after(2, Outcome::Found(Vec::new()));
    assert_eq!(
        walk.next(),
        Step::Wait(START + secs(13)),
        "10 s after the attempt"
    );
    let mut walk = walk.after(10, Outcome::Found(Vec::new()));
    assert_eq!(walk.next(), Step::Begin);
    walk = walk.sent(0).after(1, ambiguous());
    let mut looks = 0;
    while walk.next() != Step::Begin {
        if let Step::Wait(until) = walk.next() {
            walk.now = until;
        } else {
            walk = walk.after(0, Outcome::Found(Vec::new()));
        }
        looks += 1;
    }
    assert!(looks > 2, "the second pause is longer: {looks}");
}

#[test]
fn outside_the_trust_window_two_look_ups_after_quarantine_are_needed() {
    // The process was away while both the trust window and the quarantine passed.
    let walk = Walk::new(1).sent(0).after(601, ambiguous());
    let walk = walk.after(2, Outcome::Found(Vec::new()));
    let one_proof = Step::Wait(START + secs(613));
    assert_eq!(walk.next(), one_proof, "one proof is not enough");
    let walk = walk.after(10, Outcome::Found(Vec::new()));
    assert_eq!(walk.next(), Step::Begin);
}

/// Between two attempts the clock may be corrected, so that the second one is dated first.
#[test]
fn the_quarantine_is_that_of_the_attempt_that_is_dated_last() {
    let empty = || Outcome::Found(Vec::new());
    let refused = Outcome::NotRun {
        result: AttemptResult::Refused("Code".to_owned()),
        failure: refusal(Reason::Capacity),
        retry: false,
    };
    let mut walk = Walk::new(1).sent(290).after(1, ambiguous());
    walk.now = START + secs(60);
    let walk = walk.sent(0).after(1, refused);
    let early = walk.after(600, empty()).after(10, empty());
    assert!(early.now < START + secs(290) + TIMINGS.quarantine);
    assert_eq!(early.state(), StateName::Reconciling, "the first may act");
    let late = early.after(159, empty()).after(10, empty());
    assert_eq!(late.state(), StateName::Failed);
}

#[test]
fn what_was_answered_needs_no_quarantine() {
    let walk = Walk::new(1).sent(0).after(1, ambiguous());
    let walk = walk.after(10, Outcome::Found(Vec::new()));
    let walk = walk.sent(300).after(1, not_run(false));
    let walk = walk.after(240, Outcome::Found(Vec::new()));
    assert_eq!(walk.state(), StateName::Reconciling);
    let walk = walk.after(10, Outcome::Found(Vec::new()));
    assert_eq!(walk.state(), StateName::Failed);
}

#[test]
fn the_token_is_trusted_from_the_attempt_that_is_dated_first() {
    let expired = Outcome::NotRun {
        result: AttemptResult::Refused("AuthFailure.SignatureExpire".to_owned()),
        failure: refusal(Reason::GatewayCredential),
        retry: true,
    };
    // It was dated ten minutes ahead.
    let mut walk = Walk::new(1).sent(600).after(1, expired);
    walk.now = START;
    let walk = walk.sent(1).after(1, ambiguous());
    let trusted = walk.clone().after(598, Outcome::Found(Vec::new()));
    assert_eq!(trusted.next(), Step::Begin);
    let late = walk.after(600, Outcome::Found(Vec::new()));
    assert_ne!(late.next(), Step::Begin, "its window is over");
}

/// Looks up whenever it is time, finding nothing, until there is another step to do.
fn find_nothing(mut walk: Walk, timings: &Timings) -> (Walk, Step, u32) {
    let mut looks = 0;
    loop {
        match next(&walk.operation, 1, walk.now, timings) {
            Step::Wait(until) => walk.now = until,
            Step::LookUp => {
                looks += 1;
                walk = walk.after(0, Outcome::Found(Vec::new()));
            }
            step @ (Step::Begin
            | Step::Send
            | Step::Doubt
            | Step::GiveUp
            | Step::Escalate
            | Step::Poll(_)
            | Step::BeginCall
            | Step::Call
            | Step::DoubtCall
            | Step::Rest) => return (walk, step, looks),
        }
    }
}

#[test]
fn without_trust_an_empty_look_up_before_the_quarantine_s_end_proves_nothing() {
    let timings = Timings {
        token_trust_window: Duration::ZERO,
        ..TIMINGS
    };
    let walk = Walk::new(1).sent(0).after(1, ambiguous());
    let (walk, step, looks) = find_nothing(walk, &timings);
    assert_eq!(step, Step::Begin);
    assert!(walk.now >= START + timings.quarantine + timings.look_up_interval);
    assert!(looks > 50, "{looks}");
}

#[test]
fn a_failed_look_up_proves_nothing() {
    let walk = Walk::new(1).sent(0).after(1, ambiguous());
    let walk = walk.after(2, Outcome::LookUpFailed);
    assert_eq!(walk.next(), Step::Wait(START + secs(13)));
}

/// Its pages may have held machines before they did not fit together.
#[test]
fn a_failed_look_up_undoes_what_was_proven() {
    let empty = || Outcome::Found(Vec::new());
    let walk = Walk::new(1).sent(0).after(601, ambiguous());
    let walk = walk.after(2, empty()).after(10, Outcome::LookUpFailed);
    let walk = walk.after(10, empty());
    assert_eq!(walk.next(), Step::Wait(walk.now + TIMINGS.look_up_interval));
    let walk = walk.after(10, empty());
    assert_eq!(walk.next(), Step::Begin);
}

#[test]
fn fewer_than_asked_are_adopted_only_after_the_quarantine() {
    let one = || Outcome::Found(vec![detail(1, InstanceState::Pending)]);
    let walk = Walk::new(2).sent(0).after(1, ambiguous()).after(2, one());
    assert_eq!(walk.state(), StateName::Reconciling);
    let walk = walk.after(600, one());
    assert_eq!(walk.state(), StateName::Launched);
    let walk = walk.after(1, Outcome::Observed(vec![seen(1, InstanceState::Running)]));
    assert_eq!(walk.state(), StateName::Partial);
    assert_eq!(walk.reason(), Some(Reason::LaunchFailed));
}

#[test]
fn fewer_than_asked_are_enough_where_the_caller_said_so() {
    use InstanceState::{LaunchFailed, Running};
    let end = |least, delivered: u32, last: InstanceState| {
        let mut walk = Walk::new(3);
        walk.operation.min_count = least;
        walk.operation.on_failure = OnFailure::TerminateAll;
        let states = (1..=delivered).map(|number| match number == delivered {
            true => seen(number, last.clone()),
            false => seen(number, Running),
        });
        let walk = walk.sent(0).after(1, named(delivered));
        let walk = walk.after(9, Outcome::Observed(states.collect()));
        (walk.state(), walk.reason())
    };
    let (succeeded, leaving) = (StateName::Succeeded, StateName::Terminating);
    assert_eq!(end(Some(2), 2, Running), (succeeded, None));
    assert_eq!(end(Some(2), 3, Running), (succeeded, None));
    assert_eq!(end(Some(2), 1, Running).0, leaving, "too few");
    assert_eq!(end(Some(2), 3, LaunchFailed).0, leaving, "one failed");
    assert_eq!(end(None, 2, Running).0, leaving, "all were wanted");
}

/// What shows may still be growing, until nothing can come any more.
#[test]
fn enough_that_were_found_in_doubt_are_adopted_only_after_the_quarantine() {
    let two = || {
        let pending = |number| detail(number, InstanceState::Pending);
        Outcome::Found(vec![pending(1), pending(2)])
    };
    let mut walk = Walk::new(3);
    walk.operation.min_count = Some(2);
    let walk = walk.sent(0).after(1, ambiguous()).after(2, two());
    assert_eq!(walk.state(), StateName::Reconciling);
    let walk = walk.after(600, two());
    assert_eq!(walk.state(), StateName::Launched);
    let run = [1, 2].map(|number| seen(number, InstanceState::Running));
    let walk = walk.after(1, Outcome::Observed(run.to_vec()));
    assert_eq!(walk.state(), StateName::Succeeded);
}

#[test]
fn what_shows_a_machine_is_not_sent_again() {
    let empty = || Outcome::Found(Vec::new());
    let walk = Walk::new(2).sent(0).after(1, ambiguous()).after(2, empty());
    let mut walk = walk.sent(7).after(1, ambiguous()).after(2, empty());
    let one = Outcome::Found(vec![detail(1, InstanceState::Pending)]);
    walk = walk.after(10, one);
    let next_look_up = walk.now + TIMINGS.look_up_interval;
    walk.now = walk.operation.attempts[1].signed_at + 2 * TIMINGS.look_up_interval;
    assert_eq!(
        walk.next(),
        Step::Wait(next_look_up),
        "it has rested, but nothing is empty by now"
    );
    let both = vec![
        detail(1, InstanceState::Pending),
        detail(2, InstanceState::Pending),
    ];
    let walk = walk.after(3, Outcome::Found(both));
    assert_eq!(walk.state(), StateName::Launched);
}

/// A machine that was seen was launched, even if no later look-up shows it.
#[test]
fn what_was_seen_once_is_never_taken_for_nothing() {
    let one = || Outcome::Found(vec![detail(1, InstanceState::Pending)]);
    let empty = || Outcome::Found(Vec::new());
    let walk = Walk::new(2).sent(0).after(1, ambiguous()).after(2, one());
    let mut walk = walk.after(10, empty());
    walk.now += TIMINGS.look_up_interval;
    assert_eq!(walk.next(), Step::LookUp, "it is not sent again");
    let failed = walk.clone().after(0, Outcome::LookUpFailed);
    let stuck = Outcome::Stuck {
        why: "in doubt for too long".to_owned(),
    };
    let stuck = failed.after(0, stuck);
    assert_eq!(stuck.operation.instances[0].id, id(1), "a person is told");
    let released = Outcome::Released {
        by: "alice".to_owned(),
        why: "looked at".to_owned(),
    };
    let released = stuck.after(86_400, released);
    assert_eq!(released.next(), Step::LookUp, "there may be more of them");
    let nothing = released.after(0, empty());
    assert_eq!(nothing.state(), StateName::Launched, "nor after a release");
    assert_eq!(nothing.operation.instances.len(), 1);
    let other = Outcome::Found(vec![detail(2, InstanceState::Pending)]);
    let both = walk.clone().after(0, other);
    assert_eq!(both.state(), StateName::Launched);
    assert_eq!(both.operation.instances.len(), 2);
    let walk = walk.after(600, empty());
    assert_eq!(walk.state(), StateName::Launched);
    assert_eq!(walk.operation.instances[0].id, id(1));
}

#[test]
fn more_than_asked_needs_a_person() {
    let found = vec![
        detail(1, InstanceState::Pending),
        detail(2, InstanceState::Pending),
    ];
    for walk in [
        Walk::new(1).sent(0).after(1, named(2)),
        Walk::new(1)
            .sent(0)
            .after(1, ambiguous())
            .after(2, Outcome::Found(found)),
    ] {
        assert_eq!(walk.state(), StateName::NeedsOperator);
        assert_eq!(walk.operation.instances.len(), 2, "none is lost");
        assert_eq!(walk.next(), Step::Rest);
    }
}

/// Whoever released it has decided what becomes of the surplus.
#[test]
fn more_than_asked_that_a_person_released_is_a_success() {
    let released = || {
        let outcome = Outcome::Released {
            by: "alice".to_owned(),
            why: "the third may stay".to_owned(),
        };
        let mut walk = Walk::new(2);
        walk.operation.on_failure = OnFailure::TerminateAll;
        walk.sent(0).after(1, named(3)).after(60, outcome)
    };
    let runs = InstanceState::Running;
    for third in [&runs, &InstanceState::Shutdown] {
        let all = vec![
            seen(1, runs.clone()),
            seen(2, runs.clone()),
            seen(3, third.clone()),
        ];
        let walk = released().after(1, Outcome::Observed(all));
        assert_eq!(walk.state(), StateName::Succeeded, "{third:?}");
    }
    let two = Outcome::Observed(vec![seen(1, runs.clone()), seen(2, runs)]);
    let walk = released().after(1, two);
    assert_eq!(walk.state(), StateName::Launched, "the third may come up");
    let walk = walk.after(1800, Outcome::TimedOut);
    assert_eq!(walk.state(), StateName::Succeeded);
}

#[test]
fn a_refusal_after_doubt_waits_for_the_proof() {
    let refused = Outcome::NotRun {
        result: AttemptResult::Refused("Code".to_owned()),
        failure: refusal(Reason::InsufficientBalance),
        retry: false,
    };
    let walk = Walk::new(1).sent(0).after(1, ambiguous());
    let walk = walk
        .after(10, Outcome::Found(Vec::new()))
        .sent(0)
        .after(1, refused);
    assert_eq!(walk.state(), StateName::Reconciling);
    let walk = walk.after(2, Outcome::Found(Vec::new()));
    assert_eq!(
        walk.next(),
        Step::Wait(walk.now + secs(10)),
        "a refused launch is never sent again"
    );
    let proven = walk
        .after(600, Outcome::Found(Vec::new()))
        .after(10, Outcome::Found(Vec::new()));
    assert_eq!(proven.state(), StateName::Failed);
    assert_eq!(proven.reason(), Some(Reason::InsufficientBalance));
}

#[test]
fn attempts_without_an_answer_end_once_they_are_proven_empty() {
    let mut walk = Walk::new(1).sent(0).after(1, ambiguous());
    let last = loop {
        let (found_nothing, step, _) = find_nothing(walk, &TIMINGS);
        if step != Step::Begin {
            assert_eq!(step, Step::GiveUp);
            break found_nothing;
        }
        walk = found_nothing.sent(0).after(1, ambiguous());
    };
    assert_eq!(last.operation.attempts.len(), 5);
    let signed_at = last.operation.attempts[4].signed_at;
    assert!(
        last.now >= signed_at + TIMINGS.quarantine,
        "not before nothing can come any more"
    );
    let ended = last.after(0, Outcome::Exhausted);
    assert_eq!(ended.state(), StateName::Failed);
    assert_eq!(ended.reason(), Some(Reason::CloudUnavailable));
}

#[test]
fn a_doubt_that_cannot_be_resolved_ends_with_a_person() {
    let mut walk = Walk::new(1).sent(0).after(1, ambiguous());
    let mut failed = 0;
    while walk.next() != Step::Escalate {
        if let Step::Wait(until) = walk.next() {
            walk.now = until;
        } else {
            assert_eq!(walk.next(), Step::LookUp);
            walk = walk.after(0, Outcome::LookUpFailed);
            failed += 1;
        }
    }
    assert!(
        failed > 300 && walk.now >= START + TIMINGS.reconcile_timeout,
        "{failed}"
    );
    let walk = walk.after(
        0,
        Outcome::Stuck {
            why: "it is".to_owned(),
        },
    );
    assert_eq!(walk.state(), StateName::NeedsOperator);
    assert_eq!(walk.next(), Step::Rest);
}

/// The process that sent it ended, and the next one began two hours later.
#[test]
fn a_doubt_that_nobody_looked_at_is_looked_at_before_a_person_is_asked() {
    let walk = Walk::new(1).sent(0);
    let late = START + secs(7200);
    assert_eq!(next(&walk.operation, 2, late, &TIMINGS), Step::Doubt);
    let mut walk = walk.after(7200, ambiguous());
    assert_eq!(walk.next(), Step::Wait(walk.now + TIMINGS.first_look_up));
    let cancelled = walk.clone().after(0, giving_back::cancelled());
    assert_eq!(cancelled.next(), walk.next(), "that is no look");
    walk.now += TIMINGS.first_look_up;
    assert_eq!(walk.next(), Step::LookUp);

    let found = Outcome::Found(vec![detail(1, InstanceState::Running)]);
    let found = walk.clone().after(0, found);
    assert_eq!(found.state(), StateName::Launched);

    let once = walk.clone().after(0, Outcome::Found(Vec::new()));
    assert_eq!(once.next(), Step::Wait(once.now + TIMINGS.look_up_interval));
    let twice = once.clone().after(10, Outcome::Found(Vec::new()));
    assert_eq!(twice.next(), Step::GiveUp, "it is proven empty");
    let failed = once.after(10, Outcome::LookUpFailed);
    assert_eq!(failed.next(), Step::Escalate);

    let failed = walk.after(0, Outcome::LookUpFailed);
    assert_eq!(failed.next(), Step::Escalate);
}

#[test]
fn an_answer_without_instances_is_doubted() {
    let walk = Walk::new(1).sent(0).after(1, named(0));
    assert_eq!(walk.state(), StateName::Reconciling);
}

#[test]
fn a_dry_run_succeeds_without_instances() {
    let mut walk = Walk::new(3);
    walk.operation.dry_run = true;
    let walk = walk.sent(0).after(1, named(0));
    assert_eq!(walk.state(), StateName::Succeeded);
}

#[test]
fn how_machines_end() {
    use InstanceState::{LaunchFailed, Other, Pending, Running, Shutdown, Stopped, Terminating};
    let rows = [
        (vec![Running, Running], Some(StateName::Succeeded)),
        (vec![Running, LaunchFailed], Some(StateName::Partial)),
        (vec![LaunchFailed, LaunchFailed], Some(StateName::Failed)),
        (vec![Running, Terminating], Some(StateName::Partial)),
        (vec![Shutdown, Terminating], Some(StateName::Failed)),
        (vec![Running, Pending], None),
        (vec![Running, Stopped], None),
        (vec![Running, Other("NEW".to_owned())], None),
    ];
    for (states, end) in rows {
        let observations = states
            .iter()
            .zip(1..)
            .map(|(state, n)| seen(n, state.clone()));
        let walk = Walk::new(2)
            .sent(0)
            .after(1, named(2))
            .after(1, Outcome::Observed(observations.collect()));
        let reached = Some(walk.state()).filter(|state| *state != StateName::Launched);
        assert_eq!(reached, end, "{states:?}");
    }
}

#[test]
fn the_cloud_s_own_words_reach_the_failure() {
    let mut observation = seen(1, InstanceState::LaunchFailed);
    observation.detail.as_mut().unwrap().latest_operation_error = "no host fits".to_owned();
    let walk = Walk::new(1)
        .sent(0)
        .after(1, named(1))
        .after(1, Outcome::Observed(vec![observation]));
    let message = walk.operation.failure.unwrap().message;
    assert_eq!(
        message,
        "0 of 1 instances run; ins-1: it is LAUNCH_FAILED: no host fits"
    );
}

#[test]
fn a_machine_that_is_not_shown_counts_as_gone_after_the_grace() {
    let never = Walk::new(1).sent(0).after(1, named(1));
    let never = never.after(100, Outcome::Observed(vec![missing(1)]));
    let never = never.after(239, Outcome::Observed(vec![missing(1)]));
    assert_eq!(
        never.state(),
        StateName::Launched,
        "it may still be in the making"
    );
    let never = never.after(1, Outcome::Observed(vec![missing(1)]));
    assert_eq!(never.state(), StateName::Failed);

    let lost = || {
        let pending = Outcome::Observed(vec![seen(1, InstanceState::Pending)]);
        let walk = Walk::new(1).sent(0).after(1, named(1)).after(100, pending);
        walk.after(1, Outcome::Observed(vec![missing(1)]))
    };
    assert_eq!(
        lost().state(),
        StateName::Launched,
        "the grace begins when it vanishes"
    );
    let gone = lost()
        .after(59, Outcome::Observed(vec![missing(1)]))
        .after(1, Outcome::Observed(vec![missing(1)]));
    assert_eq!(gone.state(), StateName::Failed, "it was there");
    let back = lost().after(59, Outcome::Observed(vec![seen(1, InstanceState::Running)]));
    assert_eq!(back.state(), StateName::Succeeded);
}

#[test]
fn silence_of_the_cloud_ends_no_machine() {
    let walk = Walk::new(2)
        .sent(0)
        .after(1, named(2))
        .after(1, Outcome::Observed(vec![missing(1), missing(2)]));
    let before = walk.operation.clone();
    let walk = walk.after(600, Outcome::Observed(vec![]));
    assert_eq!(walk.operation, before, "no answer");
    let walk = walk.after(1, Outcome::Observed(vec![missing(1)]));
    assert_eq!(
        walk.state(),
        StateName::Launched,
        "no answer for the other one"
    );
    let walk = walk.after(1, Outcome::Observed(vec![missing(1), missing(2)]));
    assert_eq!(walk.state(), StateName::Failed);
}

#[test]
fn a_dry_run_that_launched_is_followed() {
    let mut walk = Walk::new(1);
    walk.operation.dry_run = true;
    let walk = walk.sent(0).after(1, named(1));
    assert_eq!(walk.state(), StateName::Launched, "no machine is forgotten");
}

#[test]
fn the_launch_timeout_tells_what_runs() {
    let walk = Walk::new(2)
        .sent(0)
        .after(1, named(2))
        .after(1, Outcome::Observed(vec![seen(1, InstanceState::Running)]))
        .after(1800, Outcome::TimedOut);
    assert_eq!(walk.state(), StateName::Partial);
    assert_eq!(walk.reason(), Some(Reason::LaunchTimeout));
}

/// By eight hours, as when a machine with a wrong clock learns the time. What guards against a second launch is
/// waited for nevertheless.
#[test]
fn a_clock_that_is_set_back_holds_no_look_up_and_no_retry_up() {
    let later = START + secs(8 * 3600);
    let mut retry = Walk::new(1);
    retry.now = later;
    retry = retry.sent(0).after(0, not_run(true));
    assert!(matches!(retry.next(), Step::Wait(_)));
    retry.now = START;
    assert_eq!(retry.next(), Step::Begin);

    let mut doubt = Walk::new(1);
    doubt.now = later;
    doubt = doubt.sent(0).after(0, ambiguous());
    doubt.now = START;
    assert_eq!(doubt.next(), Step::LookUp);
    let mut doubt = doubt.after(0, Outcome::Found(Vec::new()));
    assert_eq!(doubt.next(), Step::Wait(START + secs(10)));
    doubt.now = START + secs(10);
    assert_eq!(doubt.next(), Step::LookUp, "nor is it sent again");
}

#[test]
fn proofs_between_which_a_clock_is_set_back_are_one() {
    let empty = || Outcome::Found(Vec::new());
    let walk = Walk::new(1).sent(0).after(1, ambiguous());
    let mut walk = walk.after(1_000, empty());
    walk.now -= secs(60);
    assert_eq!(walk.next(), Step::LookUp);
    let walk = walk.after(0, empty());
    assert_eq!(walk.next(), Step::Wait(walk.now + secs(10)));
    assert_eq!(walk.after(10, empty()).next(), Step::Begin);
}

/// Any outcome, whether it fits or not.
fn any_outcome() -> impl Strategy<Value = Outcome> {
    let state = prop::sample::select(vec![
        "PENDING",
        "RUNNING",
        "LAUNCH_FAILED",
        "STOPPED",
        "TERMINATING",
        "NEW",
    ]);
    let observations = prop::collection::vec((1_u32..4, prop::option::of(state)), 0..4);
    prop_oneof![
        (1_u64..3, 0_u32..2).prop_map(|(epoch, alternative)| Outcome::Begun { epoch, alternative }),
        Just(Outcome::SoldOut {
            failure: refusal(Reason::Capacity)
        }),
        Just(Outcome::Cancelled(giving_back::cancellation())),
        (1_u64..3).prop_map(|epoch| Outcome::CallBegun { epoch }),
        any::<(bool, bool)>().prop_map(|(undone, made)| Outcome::CallEnded(CallEnd {
            refused: Vec::new(),
            undone,
            made
        })),
        (0_u32..4).prop_map(named),
        any::<bool>().prop_map(not_run),
        Just(ambiguous()),
        (0_u32..4).prop_map(|n| Outcome::Found(
            (1..=n).map(|i| detail(i, InstanceState::Pending)).collect()
        )),
        Just(Outcome::LookUpFailed),
        Just(Outcome::Exhausted),
        Just(Outcome::HeldBack),
        Just(Outcome::Stuck {
            why: "it is".to_owned()
        }),
        observations.prop_map(|rows| Outcome::Observed(
            rows.into_iter()
                .map(|(n, state)| match state {
                    Some(state) => seen(n, InstanceState::parse(state)),
                    None => missing(n),
                })
                .collect()
        )),
        Just(Outcome::TimedOut),
    ]
}

proptest! {
    /// Whatever comes back in whatever order: no panic, the sequence grows by one with every
    /// change, an operation at rest never changes, and no outcome undoes a named machine.
    #[test]
    fn random_walks_keep_the_promises(steps in prop::collection::vec((0_u64..700, any_outcome()), 1..60)) {
        let mut operation = accepted(2);
        let mut now = START;
        for (seconds, outcome) in steps {
            now += secs(seconds);
            let before = operation.clone();
            match apply(&operation, outcome, now, &TIMINGS) {
                Ok(changed) if changed != operation => operation = changed,
                Ok(_) | Err(_) => continue,
            }
            prop_assert!(!before.state.name().is_at_rest());
            prop_assert_eq!(operation.sequence, before.sequence + 1);
            prop_assert!(operation.instances.len() >= before.instances.len());
            prop_assert!(operation.attempts.len() >= before.attempts.len());
            let rested = operation.state.name().is_at_rest();
            prop_assert_eq!(rested, next(&operation, 1, now, &TIMINGS) == Step::Rest);
        }
    }
}

/// What a person releases goes on from what is known, and its waits begin anew.
#[test]
fn what_a_person_releases_goes_on() {
    let released = |operation: &Operation, now| {
        let outcome = Outcome::Released {
            by: "alice".to_owned(),
            why: "looked at".to_owned(),
        };
        apply(operation, outcome, now, &TIMINGS)
    };
    let stuck = |operation: &Operation, now| {
        let why = "parked".to_owned();
        apply(operation, Outcome::Stuck { why }, now, &TIMINGS).unwrap()
    };
    let late = START + secs(86_400);

    let unsent = released(&stuck(&accepted(1), START), late).unwrap();
    assert_eq!((&unsent.state, &unsent.failure), (&State::Accepted, &None));
    let note = &unsent.transitions.last().unwrap().note;
    assert_eq!(note, "released by alice: looked at");
    assert_eq!(next(&unsent, 1, late, &TIMINGS), Step::Begin);
    assert!(released(&accepted(1), late).is_err(), "it waits for nobody");

    let begun = || Outcome::Begun {
        epoch: 1,
        alternative: 0,
    };
    let sent = apply(&accepted(1), begun(), START, &TIMINGS).unwrap();
    let refused = apply(&sent, not_run(true), START, &TIMINGS).unwrap();
    let again = released(&stuck(&refused, START), late).unwrap();
    let again = apply(&again, begun(), late + secs(2), &TIMINGS).unwrap();
    let again = apply(&again, not_run(true), late + secs(119), &TIMINGS).unwrap();
    assert_eq!(again.state, State::Accepted, "it has retries again");
    let doubt = released(&stuck(&sent, START), late).unwrap();
    assert_eq!(doubt.state.name(), StateName::Reconciling);
    assert_eq!(
        next(&doubt, 2, late, &TIMINGS),
        Step::LookUp,
        "and is not escalated at once"
    );
    let hour = late + TIMINGS.reconcile_timeout;
    assert_eq!(next(&doubt, 2, hour, &TIMINGS), Step::LookUp);
    let failed = apply(&doubt, Outcome::LookUpFailed, hour, &TIMINGS).unwrap();
    assert_eq!(next(&failed, 2, hour, &TIMINGS), Step::Escalate);

    let accepted_by_the_cloud = Outcome::Accepted {
        instances: vec![id(1)],
        cloud_request_id: "q".to_owned(),
    };
    let launched = apply(&sent, accepted_by_the_cloud, START, &TIMINGS).unwrap();
    let again = released(&stuck(&launched, START), late).unwrap();
    assert_eq!(again.state, State::Launched);
    let until = late + TIMINGS.launch_timeout;
    assert_eq!(next(&again, 2, late, &TIMINGS), Step::Poll(until));
}

/// An attempt as late as the token is trusted, and no answer to any: look-ups that work prove it in time.
#[test]
fn the_least_patience_has_room_for_the_last_proof() {
    let end = |reconcile_timeout: Duration| {
        let timings = Timings {
            reconcile_timeout,
            attempts_max: 2,
            ..TIMINGS
        };
        let mut operation = accepted(1);
        let mut now = START;
        loop {
            let outcome = match next(&operation, 1, now, &timings) {
                Step::Begin if !operation.attempts.is_empty() && now < START + secs(599) => {
                    now = START + secs(599);
                    continue;
                }
                Step::Begin => Outcome::Begun {
                    epoch: 1,
                    alternative: 0,
                },
                Step::Send => ambiguous(),
                Step::LookUp => Outcome::Found(Vec::new()),
                Step::Wait(until) => {
                    now = until;
                    continue;
                }
                step @ (Step::Doubt
                | Step::GiveUp
                | Step::Escalate
                | Step::Poll(_)
                | Step::BeginCall
                | Step::Call
                | Step::DoubtCall
                | Step::Rest) => return step,
            };
            operation = apply(&operation, outcome, now, &timings).unwrap();
        }
    };
    assert_eq!(end(TIMINGS.proof_max()), Step::GiveUp);
    // With a little less, the proof has begun, and is waited for.
    assert_eq!(end(TIMINGS.proof_max() - secs(60)), Step::Escalate);
}
