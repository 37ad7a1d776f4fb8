//! Cancelling launches, undoing those that fell short, and terminating on request.

use super::*;
use crate::domain::operation::{OnFailure, Termination, TerminationEnd};

pub(super) fn cancellation() -> Cancellation {
    Cancellation {
        principal: "dev".to_owned(),
        time: START,
    }
}

pub(super) fn cancelled() -> Outcome {
    Outcome::Cancelled(cancellation())
}

fn all(states: &[(u32, InstanceState)]) -> Outcome {
    let seen = states
        .iter()
        .map(|(number, state)| seen(*number, state.clone()));
    Outcome::Observed(seen.collect())
}

pub(super) fn both(state: &InstanceState) -> Outcome {
    all(&[(1, state.clone()), (2, state.clone())])
}

fn done(undone: bool) -> Outcome {
    Outcome::CallEnded(CallEnd {
        refused: Vec::new(),
        undone,
        made: true,
    })
}

pub(super) fn launched(on_failure: OnFailure) -> Walk {
    let mut walk = Walk::new(2);
    walk.operation.on_failure = on_failure;
    walk.sent(0).after(1, named(2))
}

fn termination(walk: &Walk) -> &Termination {
    let State::Terminating(termination) = &walk.operation.state else {
        panic!("{:?}", walk.operation.state);
    };
    termination
}

fn called(walk: Walk) -> Walk {
    assert_eq!(walk.next(), Step::BeginCall);
    let walk = walk.after(0, Outcome::CallBegun { epoch: 1 });
    assert_eq!(walk.next(), Step::Call);
    walk
}

/// One that was shown is looked at before each call, too.
#[test]
fn a_machine_that_was_never_shown_keeps_no_other() {
    let walk = launched(OnFailure::Keep).after(1, cancelled());
    let walk = walk.after(1, all(&[(1, InstanceState::Running)]));
    let walk = called(walk).after(1, done(false));
    assert_eq!(termination(&walk).calls, 1);
    let again = walk.after(601, all(&[(2, InstanceState::Running)]));
    assert!(
        !termination(&again).looked,
        "the first may be leaving by now, and what came of it must be seen"
    );
}

#[test]
fn what_was_not_sent_is_cancelled_at_once() {
    let walk = Walk::new(2).after(0, cancelled());
    assert_eq!(walk.state(), StateName::Cancelled);
    assert_eq!(walk.reason(), Some(Reason::Cancelled));
    assert_eq!(walk.next(), Step::Rest);
}

#[test]
fn what_is_being_sent_is_answered_first() {
    let walk = Walk::new(2).sent(0);
    let refused = apply(&walk.operation, cancelled(), walk.now, &TIMINGS);
    assert!(refused.is_err());
}

#[test]
fn a_doubt_that_is_cancelled_is_resolved_and_never_sent_again() {
    let walk = Walk::new(2).sent(0).after(1, ambiguous());
    let walk = walk.after(10, Outcome::Found(Vec::new()));
    assert_eq!(walk.next(), Step::Begin);
    let walk = walk.after(0, cancelled());
    assert_eq!(walk.next(), Step::Wait(walk.now + secs(10)));
    let empty = walk
        .after(600, Outcome::Found(Vec::new()))
        .after(10, Outcome::Found(Vec::new()));
    assert_eq!(empty.state(), StateName::Cancelled);

    let walk = Walk::new(1)
        .sent(0)
        .after(1, ambiguous())
        .after(0, cancelled());
    let found = Outcome::Found(vec![detail(1, InstanceState::Pending)]);
    let walk = walk.after(2, found);
    assert_eq!(
        walk.state(),
        StateName::Terminating,
        "what was launched is given back"
    );
    assert_eq!(termination(&walk).end, TerminationEnd::Cancelled);
}

#[test]
fn launched_machines_are_looked_at_then_called_back_then_awaited() {
    let walk = launched(OnFailure::Keep).after(1, cancelled());
    assert_eq!(walk.state(), StateName::Terminating);
    assert_eq!(
        walk.next(),
        Step::Poll(walk.now + secs(900)),
        "nobody knows yet how they are"
    );
    let walk = walk.after(1, both(&InstanceState::Pending));
    assert!(
        matches!(walk.next(), Step::Poll(_)),
        "the cloud refuses a pending one"
    );
    let walk = called(walk.after(1, both(&InstanceState::Running)));
    let walk = walk.after(1, done(false));
    assert!(matches!(walk.next(), Step::Poll(_)));
    let walk = walk.after(59, both(&InstanceState::Running));
    assert!(matches!(walk.next(), Step::Poll(_)), "it may yet show");
    let walk = walk.after(
        1,
        all(&[(1, InstanceState::Terminating), (2, InstanceState::Running)]),
    );
    let walk = called(walk).after(0, done(false));
    assert_eq!(termination(&walk).calls, 2);
    let walk = walk.after(1, all(&[(2, InstanceState::Terminating)]));
    assert_eq!(walk.state(), StateName::Cancelled);
    assert_eq!(walk.reason(), Some(Reason::Cancelled));
}

#[test]
fn a_call_of_a_dead_process_counts_as_made() {
    let walk = launched(OnFailure::Keep).after(1, cancelled());
    let walk = walk.after(1, both(&InstanceState::Running));
    let walk = walk.after(0, Outcome::CallBegun { epoch: 1 });
    assert_eq!(
        next(&walk.operation, 2, walk.now, &TIMINGS),
        Step::DoubtCall
    );
    let walk = walk.after(0, Outcome::CallEnded(CallEnd::default()));
    assert_eq!(termination(&walk).call_at, walk.now + secs(60));
}

/// It may have ended before its bytes left, and then nobody was there until the time was over.
#[test]
fn a_call_that_nobody_knows_of_is_made_however_late() {
    let walk = called(leaving().after(1, both(&InstanceState::Running)));
    let doubted = walk
        .clone()
        .after(7200, Outcome::CallEnded(CallEnd::default()));
    let again = called(doubted.after(60, both(&InstanceState::Running)));
    assert_eq!(termination(&again).deadline, again.now + secs(900));
    // However often that happens.
    let doubted = again.after(7200, Outcome::CallEnded(CallEnd::default()));
    let again = called(doubted.after(60, both(&InstanceState::Running)));
    assert_eq!(termination(&again).deadline, again.now + secs(900));

    let made = walk.after(7200, done(false));
    let made = made.after(60, both(&InstanceState::Running));
    let over = termination(&made).deadline;
    assert_eq!(made.next(), Step::Poll(over), "its time is over");
}

#[test]
fn a_cancellation_has_all_called_however_late() {
    let walk = called_back_one()
        .after(0, done(false))
        .after(1, cancelled());
    let walk = walk.after(7200, both(&InstanceState::Running));
    assert_eq!(walk.next(), Step::BeginCall, "one of them never was");
}

/// One of two did not come up in time, and was called back.
fn called_back_one() -> Walk {
    let walk = launched(OnFailure::TerminateFailed);
    let half = all(&[(1, InstanceState::Running), (2, InstanceState::Pending)]);
    let walk = walk.after(1, half).after(1800, Outcome::TimedOut);
    called(walk.after(1, all(&[(2, InstanceState::Running)])))
}

#[test]
fn a_cancellation_forgets_no_call() {
    let walk = called_back_one().after(0, done(false));
    let grace_end = walk.now + TIMINGS.missing_grace;
    let walk = walk.after(1, cancelled());
    assert_eq!(termination(&walk).targets, [id(1), id(2)]);
    assert_eq!(termination(&walk).end, TerminationEnd::Cancelled);
    assert_eq!(termination(&walk).calls, 1);
    assert_eq!(termination(&walk).call_at, grace_end);
    let walk = walk.after(58, both(&InstanceState::Running));
    assert!(matches!(walk.next(), Step::Poll(_)), "it may yet show");
    let walk = called(walk.after(1, both(&InstanceState::Running)));
    assert_eq!(termination(&walk).calls, 2);

    let late = called_back_one().after(0, done(false));
    let late = late.after(61, cancelled());
    assert!(
        matches!(late.next(), Step::Poll(_)),
        "it was not looked at since"
    );
    let late = late.after(0, both(&InstanceState::Running));
    assert_eq!(late.next(), Step::BeginCall, "the grace is over");
}

#[test]
fn a_cancellation_keeps_the_doubt_about_a_call() {
    let walk = called_back_one();
    let signed_at = termination(&walk).call_at;
    let walk = walk.after(1, cancelled());
    assert_eq!(
        next(&walk.operation, 2, walk.now, &TIMINGS),
        Step::DoubtCall,
        "the process that was making it ended"
    );
    assert_eq!(walk.next(), Step::Call, "it was not made yet");
    assert_eq!(termination(&walk).call_at, signed_at);
    let walk = walk.after(0, Outcome::CallEnded(CallEnd::default()));
    assert_eq!(termination(&walk).call_at, walk.now + secs(60));
    assert_eq!(termination(&walk).targets, [id(1), id(2)]);
}

#[test]
fn a_cancellation_asks_again_for_what_was_refused() {
    let end = CallEnd {
        refused: vec![(id(2), refusal(Reason::PreconditionFailed))],
        undone: false,
        made: true,
    };
    let mut walk = launched(OnFailure::TerminateAll).after(1800, Outcome::TimedOut);
    walk = called(walk.after(1, both(&InstanceState::Running)));
    walk = walk.after(0, Outcome::CallEnded(end)).after(1, cancelled());
    assert_eq!(termination(&walk).targets, [id(1), id(2)]);
    let walk = walk.after(1, both(&InstanceState::Terminating));
    assert_eq!(walk.state(), StateName::Cancelled, "all are gone");
}

#[test]
fn what_is_released_is_looked_at_before_it_is_called_again() {
    let walk = launched(OnFailure::Keep).after(1, cancelled());
    let walk = called(walk.after(1, both(&InstanceState::Running)));
    let stuck = Outcome::Stuck {
        why: "another host".to_owned(),
    };
    let released = Outcome::Released {
        by: "alice".to_owned(),
        why: "looked at".to_owned(),
    };
    let walk = walk.after(1, stuck).after(86_400, released);
    assert_eq!(walk.state(), StateName::Terminating);
    assert!(
        matches!(walk.next(), Step::Poll(_)),
        "a call was made, and what was seen is a day old"
    );
    let walk = walk.after(60, both(&InstanceState::Running));
    assert_eq!(walk.next(), Step::BeginCall);
}

/// What was seen before the call says nothing of what it did, however long ago that was.
#[test]
fn no_call_is_repeated_without_a_look() {
    let walk = launched(OnFailure::Keep).after(1, cancelled());
    let walk = called(walk.after(1, both(&InstanceState::Running)));
    for end in [done(false), done(true)] {
        let mut late = walk.clone().after(0, end);
        late = late.after(1, both(&InstanceState::Running));
        late.now = termination(&late).call_at;
        assert!(matches!(late.next(), Step::Poll(_)), "{:?}", late.next());
        late = late.after(0, all(&[(1, InstanceState::Running)]));
        assert!(matches!(late.next(), Step::Poll(_)), "half of a look");
        late = late.after(0, both(&InstanceState::Running));
        assert_eq!(late.next(), Step::BeginCall);
    }
}

#[test]
fn a_call_that_did_nothing_is_repeated_soon() {
    let walk = launched(OnFailure::Keep).after(1, cancelled());
    let walk = called(walk.after(1, both(&InstanceState::Running)));
    let walk = walk.after(0, done(true));
    assert_eq!(termination(&walk).call_at, walk.now + secs(10));
}

#[test]
fn on_failure_decides_what_stays() {
    let rows = [
        (OnFailure::Keep, StateName::Partial, StateName::Partial),
        (
            OnFailure::TerminateFailed,
            StateName::Partial,
            StateName::Partial,
        ),
        (
            OnFailure::TerminateAll,
            StateName::Terminating,
            StateName::Failed,
        ),
    ];
    for (on_failure, then, end) in rows {
        let mixed = all(&[
            (1, InstanceState::Running),
            (2, InstanceState::LaunchFailed),
        ]);
        let walk = launched(on_failure).after(1, mixed);
        assert_eq!(
            walk.state(),
            then,
            "{on_failure:?}: the cloud ends a failed one itself"
        );
        let walk = if then == StateName::Terminating {
            let called = called(walk.after(0, all(&[(1, InstanceState::Running)])));
            let called = called.after(0, done(false));
            called.after(1, all(&[(1, InstanceState::Terminating)]))
        } else {
            walk
        };
        assert_eq!(walk.state(), end, "{on_failure:?}");
        assert_eq!(walk.reason(), Some(Reason::LaunchFailed));
    }
}

#[test]
fn machines_that_start_for_too_long_are_given_back_if_so_asked() {
    let walk = launched(OnFailure::TerminateFailed);
    let half = all(&[(1, InstanceState::Running), (2, InstanceState::Pending)]);
    let walk = walk.after(1, half).after(1800, Outcome::TimedOut);
    assert_eq!(termination(&walk).targets, [id(2)]);
    let walk = called(walk.after(1, all(&[(2, InstanceState::Running)])));
    let walk = walk.after(0, done(false));
    let walk = walk.after(1, all(&[(2, InstanceState::Shutdown)]));
    assert_eq!(walk.state(), StateName::Partial);
    assert_eq!(walk.reason(), Some(Reason::LaunchTimeout));
}

#[test]
fn a_machine_that_is_not_let_go_is_for_a_person() {
    let walk = launched(OnFailure::Keep).after(1, cancelled());
    let walk = called(walk.after(1, both(&InstanceState::Running)));
    let end = CallEnd {
        refused: vec![(id(1), refusal(Reason::PreconditionFailed))],
        undone: false,
        made: true,
    };
    let walk = walk.after(0, Outcome::CallEnded(end));
    assert_eq!(termination(&walk).targets, [id(2)]);
    let walk = walk.after(1, all(&[(2, InstanceState::Terminating)]));
    assert_eq!(walk.state(), StateName::NeedsOperator);

    let late = launched(OnFailure::Keep).after(1, cancelled());
    let late = late.after(900, Outcome::TimedOut);
    assert_eq!(late.state(), StateName::NeedsOperator);
}

fn leaving() -> Walk {
    let mut walk = launched(OnFailure::Keep);
    walk.operation.kind = Kind::Termination;
    walk.operation.state = State::Terminating(Box::new(Termination {
        targets: vec![id(1), id(2)],
        calling: None,
        calls: 0,
        called: false,
        call_at: walk.now,
        looked: false,
        deadline: walk.now + secs(900),
        patience_ms: 900_000,
        end: TerminationEnd::Succeeded,
        refusal: None,
    }));
    walk
}

#[test]
fn a_termination_succeeds_once_all_are_gone() {
    let walk = called(leaving().after(1, both(&InstanceState::Running)));
    let walk = walk
        .after(0, done(false))
        .after(1, both(&InstanceState::Terminating));
    assert_eq!(walk.state(), StateName::Succeeded);

    let gone = leaving().after(1, Outcome::Observed(vec![missing(1), missing(2)]));
    assert_eq!(
        gone.state(),
        StateName::Terminating,
        "it may not be visible yet"
    );
    let gone = gone.after(240, Outcome::Observed(vec![missing(1), missing(2)]));
    assert_eq!(
        gone.state(),
        StateName::Succeeded,
        "somebody else ended them"
    );
}

#[test]
fn a_termination_tells_what_is_left() {
    let walk = called(leaving().after(1, both(&InstanceState::Running)));
    let end = CallEnd {
        refused: vec![(id(1), refusal(Reason::PreconditionFailed))],
        undone: false,
        made: true,
    };
    let walk = walk.after(0, Outcome::CallEnded(end));
    let walk = walk.after(1, all(&[(2, InstanceState::Terminating)]));
    assert_eq!(walk.state(), StateName::Partial);
    assert_eq!(walk.reason(), Some(Reason::PreconditionFailed));
    let late = leaving().after(900, Outcome::TimedOut);
    assert_eq!(late.state(), StateName::Failed);
    assert_eq!(late.reason(), Some(Reason::LaunchTimeout));
}

/// How long ago the last call was made is not known any more, so that its whole grace is waited for.
#[test]
fn a_clock_that_is_set_back_holds_no_call_up_for_longer_than_a_grace() {
    let mut walk = Walk::new(2);
    walk.now = START + secs(8 * 3600);
    let walk = walk.sent(0).after(1, named(2)).after(1, cancelled());
    let walk = called(walk.after(1, both(&InstanceState::Running)));
    let mut walk = walk.after(1, done(false));
    walk.now = START;
    walk = walk.after(2, both(&InstanceState::Running));
    assert!(matches!(walk.next(), Step::Poll(_)), "it may yet show");
    walk = walk.after(59, both(&InstanceState::Running));
    assert!(matches!(walk.next(), Step::Poll(_)), "it may yet show");
    let walk = called(walk.after(1, both(&InstanceState::Running)));
    assert_eq!(termination(&walk).calls, 2);
    assert!(termination(&walk).deadline < walk.now + secs(900));
}

/// Nobody was there to make it.
#[test]
fn the_first_call_is_made_however_late_and_the_cloud_has_all_its_time_then() {
    let walk = leaving();
    let patience = termination(&walk).deadline - walk.now;
    let walk = walk.after(901, both(&InstanceState::Running));
    let mut walk = called(walk);
    assert_eq!(termination(&walk).deadline, walk.now + patience);
    walk = walk.after(0, done(true));
    let walk = walk.after(60, both(&InstanceState::Running));
    let walk = called(walk);
    let deadline = termination(&walk).deadline;
    let late = walk.after(0, done(true));
    let late = late.after(900, both(&InstanceState::Running));
    assert_eq!(late.next(), Step::Poll(deadline), "it was called before");

    let mut short = leaving();
    let asked = short.now;
    if let State::Terminating(termination) = &mut short.operation.state {
        termination.deadline = asked + secs(30);
        termination.patience_ms = 30_000;
    }
    let short = called(short.after(20, both(&InstanceState::Running)));
    assert_eq!(
        termination(&short).deadline,
        asked + secs(50),
        "the caller's"
    );
}

#[test]
fn a_termination_without_a_call_is_polled_for_as_long_as_it_was_given() {
    let walk = leaving();
    assert_eq!(polled_before_a_call(&walk.operation), Some(secs(900)));
    let walk = called(walk.after(1, both(&InstanceState::Running)));
    assert_eq!(polled_before_a_call(&walk.operation), Some(secs(900)));
    let walk = walk.after(0, done(true));
    assert_eq!(polled_before_a_call(&walk.operation), None);
    let launch = launched(OnFailure::Keep);
    assert_eq!(polled_before_a_call(&launch.operation), None);
}

#[test]
fn a_poll_asks_for_what_is_awaited() {
    let walk = launched(OnFailure::Keep);
    let ids = |walk: &Walk| -> Vec<InstanceId> { awaited(&walk.operation).cloned().collect() };
    let walk = walk.after(1, all(&[(1, InstanceState::Running)]));
    assert_eq!(ids(&walk), [id(2)]);
    let walk = walk.after(1, cancelled());
    assert_eq!(ids(&walk), [id(1), id(2)], "now its end is awaited");
    let walk = walk.after(1, all(&[(1, InstanceState::Terminating)]));
    assert_eq!(ids(&walk), [id(2)]);
}
