//! What may not be repeated for now, and until when it waits.

use super::*;
use crate::cloud::limiter::Try;
use crate::domain::operation::OnFailure;

#[test]
fn what_a_call_repeats() {
    assert_eq!(tried(&Walk::new(1).operation), Try::First);
    let refused = Walk::new(1).sent(0).after(1, not_run(true));
    assert_eq!(tried(&refused.operation), Try::Again);
    let doubted = Walk::new(1).sent(0).after(1, ambiguous());
    assert_eq!(tried(&doubted.operation), Try::AfterDoubt);

    let mut moved_on = refused;
    moved_on.operation.sold_out.push(0);
    assert_eq!(tried(&moved_on.operation), Try::First, "in another place");

    let mut leaving = giving_back::launched(OnFailure::Keep).after(1, giving_back::cancelled());
    assert_eq!(tried(&leaving.operation), Try::First);
    if let State::Terminating(termination) = &mut leaving.operation.state {
        termination.calls = 1;
    }
    assert_eq!(tried(&leaving.operation), Try::AfterDoubt);
}

#[test]
fn a_launch_that_did_not_run_fails_when_it_cannot_be_sent_again_in_time() {
    let walk = Walk::new(1).sent(0).after(1, not_run(true));
    let until = |walk: &Walk| patience(&walk.operation, walk.now, &TIMINGS);
    let began = walk.operation.attempts[0].signed_at;
    assert_eq!(until(&walk), began + TIMINGS.send_timeout);
    let mut throttled = walk;
    throttled.operation.attempts[0].result = AttemptResult::Refused("Throttled".to_owned());
    assert_eq!(until(&throttled), began + TIMINGS.launch_timeout);
    let failed = throttled.after(1800, Outcome::HeldBack);
    let failure = failed.operation.failure.as_ref().unwrap();
    assert_eq!(failure.cloud_code, "Throttled");
    assert_eq!(failed.state(), StateName::Failed);
    assert_eq!(failed.reason(), Some(Reason::CloudUnavailable));
}

#[test]
fn a_doubt_that_is_held_back_is_looked_at_anew() {
    let walk = Walk::new(1).sent(0).after(1, ambiguous());
    let walk = walk.after(10, Outcome::Found(Vec::new()));
    assert_eq!(walk.next(), Step::Begin);
    let patience = patience(&walk.operation, walk.now, &TIMINGS);
    assert_eq!(patience, walk.now + TIMINGS.look_up_interval);
    let walk = walk.after(10, Outcome::HeldBack);
    assert_eq!(walk.next(), Step::LookUp);
    let walk = walk.after(0, Outcome::Found(Vec::new()));
    assert_eq!(walk.next(), Step::Begin);
}

#[test]
fn a_doubt_that_is_proven_empty_asks_no_person_although_it_was_held_back_for_long() {
    let walk = Walk::new(1).sent(0).after(1, ambiguous());
    let walk = walk
        .after(600, Outcome::Found(Vec::new()))
        .after(10, Outcome::Found(Vec::new()));
    assert_eq!(walk.next(), Step::Begin);
    let mut walk = walk.after(10, Outcome::HeldBack);
    assert_eq!(walk.next(), Step::Begin);
    walk.now = patience(&walk.operation, walk.now, &TIMINGS);
    assert_eq!(walk.next(), Step::GiveUp);
    assert_eq!(walk.after(0, Outcome::Exhausted).state(), StateName::Failed);
}

#[test]
fn machines_are_looked_at_anew_before_a_call_that_was_held_back() {
    let walk = giving_back::launched(OnFailure::Keep).after(1, giving_back::cancelled());
    let walk = walk.after(1, giving_back::both(&InstanceState::Running));
    assert_eq!(walk.next(), Step::BeginCall);
    let mut walk = walk.after(10, Outcome::HeldBack);
    assert!(matches!(walk.next(), Step::Poll(_)), "{:?}", walk.next());
    walk.now += TIMINGS.look_up_interval;
    assert!(matches!(walk.next(), Step::Poll(_)), "{:?}", walk.next());
    let walk = walk.after(0, giving_back::both(&InstanceState::Running));
    assert_eq!(walk.next(), Step::BeginCall);
}
