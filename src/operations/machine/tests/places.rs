//! Several places for one launch.

use super::*;

fn place(number: u32) -> Place {
    Place {
        zone: format!("ap-shanghai-{number}"),
        instance_type: "S5.SMALL1".to_owned(),
    }
}

fn in_places(count: u32) -> Walk {
    let mut walk = Walk::new(2);
    walk.operation.places = (1..=count).map(place).collect();
    walk
}

fn refused(reason: Reason) -> Outcome {
    Outcome::NotRun {
        result: AttemptResult::Refused("Code".to_owned()),
        failure: refusal(reason),
        retry: false,
    }
}

#[test]
fn a_lack_of_stock_moves_on_at_once_with_another_token() {
    let walk = in_places(2).sent(0).after(1, refused(Reason::Capacity));
    assert_eq!(walk.state(), StateName::Accepted);
    assert_eq!(walk.next(), Step::Begin, "without a pause");
    let left: Vec<u32> = walk.operation.untried().map(|(number, _)| number).collect();
    assert_eq!(left, [1]);
    let walk = walk.sent_to(1, 0).after(1, named(2));
    assert_eq!(walk.state(), StateName::Launched);
    assert_eq!(walk.operation.alternative, 1);
    let alternatives: Vec<u32> = walk
        .operation
        .attempts
        .iter()
        .map(|attempt| attempt.alternative)
        .collect();
    assert_eq!(alternatives, [0, 1]);
    let notes: Vec<&str> = walk
        .operation
        .transitions
        .iter()
        .map(|transition| transition.note.as_str())
        .collect();
    assert_eq!(notes[1], "attempt 1 in ap-shanghai-1 with S5.SMALL1");
    assert_eq!(
        notes[2],
        "no stock in ap-shanghai-1 with S5.SMALL1: refused"
    );
}

#[test]
fn only_a_lack_of_stock_moves_on() {
    for reason in Reason::ALL {
        let walk = in_places(2).sent(0).after(1, refused(*reason));
        let expected = if *reason == Reason::Capacity {
            StateName::Accepted
        } else {
            StateName::Failed
        };
        assert_eq!(walk.state(), expected, "{reason:?}");
    }
}

#[test]
fn the_last_place_s_refusal_is_the_launch_s() {
    let walk = in_places(2).sent(0).after(1, refused(Reason::Capacity));
    let walk = walk.sent_to(1, 0).after(1, refused(Reason::Capacity));
    assert_eq!(walk.state(), StateName::Failed);
    assert_eq!(walk.reason(), Some(Reason::Capacity));
}

#[test]
fn a_place_in_doubt_is_left_only_once_it_is_proven_empty() {
    let walk = in_places(2).sent(0).after(1, ambiguous());
    let walk = walk.after(10, Outcome::Found(Vec::new())).sent(0);
    let walk = walk.after(1, refused(Reason::Capacity));
    assert_eq!(
        walk.state(),
        StateName::Reconciling,
        "the first may yet act"
    );
    let walk = walk.after(600, Outcome::Found(Vec::new()));
    assert_eq!(
        walk.state(),
        StateName::Reconciling,
        "one proof is not enough"
    );
    let walk = walk.after(10, Outcome::Found(Vec::new()));
    assert_eq!(walk.state(), StateName::Accepted);
    // In the next place everything begins anew, and the old doubt is no doubt there.
    let walk = walk
        .sent_to(1, 0)
        .after(1, refused(Reason::InvalidParameter));
    assert_eq!(walk.state(), StateName::Failed);
    assert_eq!(walk.reason(), Some(Reason::InvalidParameter));
}

#[test]
fn the_trust_window_is_that_of_the_place() {
    let walk = in_places(2).sent(0).after(700, refused(Reason::Capacity));
    let walk = walk.sent_to(1, 0).after(1, ambiguous());
    let walk = walk.after(10, Outcome::Found(Vec::new()));
    assert_eq!(walk.next(), Step::Begin, "its own first attempt is recent");
}

/// What one place took is none of the next one's time.
#[test]
fn what_did_not_run_is_sent_again_in_each_place() {
    let walk = in_places(2).sent(0).after(1, ambiguous());
    let walk = walk.after(10, Outcome::Found(Vec::new())).sent(0);
    let walk = walk.after(1, refused(Reason::Capacity));
    let walk = walk.after(600, Outcome::Found(Vec::new()));
    let walk = walk.after(10, Outcome::Found(Vec::new()));
    let walk = walk.sent_to(1, 0).after(1, not_run(true));
    assert_eq!(walk.state(), StateName::Accepted);
    let began = walk.operation.attempts[2].signed_at;
    let patience = patience(&walk.operation, walk.now, &TIMINGS);
    assert_eq!(patience, began + TIMINGS.send_timeout);
    let late = walk.clone().sent_to(1, 0).after(120, not_run(true));
    assert_eq!(late.state(), StateName::Failed, "but not for ever");
    let walk = walk.sent_to(1, 2).after(1, named(2));
    assert_eq!(walk.state(), StateName::Launched);
}

#[test]
fn what_is_known_to_be_sold_out_ends_the_launch() {
    let walk = in_places(2).sent(0).after(1, refused(Reason::Capacity));
    let failure = refusal(Reason::Capacity);
    let walk = walk.after(0, Outcome::SoldOut { failure });
    assert_eq!(walk.state(), StateName::Failed);
    assert_eq!(walk.reason(), Some(Reason::Capacity));
}
