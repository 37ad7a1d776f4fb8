//! What becomes of operations that nobody looked at for a while.

use super::*;
use crate::domain::ids::RequestId;
use crate::domain::instance::Instance;
use crate::domain::operation::{
    Kind, OnFailure, StateName, Termination, TerminationEnd, Transition,
};
use crate::domain::reason::Reason;
use crate::operations::tests::{World, admission};

const MINUTE: Duration = Duration::from_secs(60);

fn machine() -> InstanceId {
    InstanceId::parse("ins-1").unwrap()
}

/// A launch of one machine that the cloud has just named.
fn launched(world: &World, on_failure: OnFailure) -> Operation {
    let now = world.failed.create_time;
    Operation {
        id: OperationId::generate(now),
        request_id: RequestId::parse("left-behind").unwrap(),
        state: State::Launched,
        on_failure,
        instances: vec![Instance::named(machine())],
        failure: None,
        transitions: vec![Transition {
            state: StateName::Launched,
            time: now,
            note: String::new(),
        }],
        ..world.failed.clone()
    }
}

/// What was asked to give that machine back just now, within half an hour.
fn leaving(world: &World) -> Operation {
    let launch = launched(world, OnFailure::Keep);
    let now = launch.create_time;
    Operation {
        kind: Kind::Termination,
        state: State::Terminating(Box::new(Termination {
            targets: vec![machine()],
            calling: None,
            calls: 0,
            called: false,
            call_at: now,
            looked: false,
            deadline: now + 30 * MINUTE,
            patience_ms: 0,
            end: TerminationEnd::Succeeded,
            refusal: None,
        })),
        ..launch
    }
}

/// The process that had it in hand ended, and the next one begins so much later.
async fn leave_behind(world: &World, operation: Operation, away: Duration) {
    world.store.admit(admission(operation)).await.unwrap();
    world.clock.advance(away);
}

async fn now(world: &World, operation: &Operation) -> Operation {
    let found = world.operations.get(&operation.organization, operation.id);
    found.await.unwrap()
}

fn show(world: &World, shown: bool) {
    *world.cloud.untagged.lock().unwrap() = shown.then(machine).into_iter().collect();
}

fn silence(world: &World, silent: bool) {
    *world.cloud.silent.lock().unwrap() = silent;
}

/// The first looks after a long time may find no name server, no key, or a cloud that throttles.
#[tokio::test]
async fn a_silence_after_a_long_absence_ends_no_launch() {
    let world = World::new().await;
    let launch = launched(&world, OnFailure::TerminateAll);
    show(&world, true);
    silence(&world, true);
    leave_behind(&world, launch.clone(), 61 * MINUTE).await;
    world.pass(20).await;
    assert!(*world.cloud.unheard.lock().unwrap() > 5);
    assert_eq!(now(&world, &launch).await.state, State::Launched);
    silence(&world, false);
    world.pass(20).await;
    assert_eq!(now(&world, &launch).await.state, State::Succeeded);
    assert!(world.given_back().is_empty());
    world.operations.stopped().await;
}

#[tokio::test]
async fn a_launch_ends_in_silence_once_the_cloud_was_asked_for_all_of_its_time() {
    let world = World::new().await;
    let launch = launched(&world, OnFailure::Keep);
    silence(&world, true);
    leave_behind(&world, launch.clone(), 61 * MINUTE).await;
    world.pass(20).await;
    // The process stands still.
    world.clock.advance(61 * MINUTE);
    world.pass(1_600).await;
    assert_eq!(now(&world, &launch).await.state, State::Launched);
    world.pass(200).await;
    let ended = now(&world, &launch).await;
    assert_eq!(ended.state, State::Failed);
    assert_eq!(ended.failure.unwrap().reason, Reason::LaunchTimeout);
    world.operations.stopped().await;
}

#[tokio::test]
async fn a_termination_that_nobody_saw_to_makes_its_call() {
    let world = World::new().await;
    let leaving = leaving(&world);
    // Only after a while the machine is one that can be called back.
    leave_behind(&world, leaving.clone(), 31 * MINUTE).await;
    world.pass(30).await;
    assert!(world.given_back().is_empty());
    show(&world, true);
    world.pass(30).await;
    assert_eq!(world.given_back(), ["ins-1"]);
    show(&world, false);
    world.pass(90).await;
    assert_eq!(now(&world, &leaving).await.state, State::Succeeded);
    assert_eq!(world.given_back(), ["ins-1"], "once");
    world.operations.stopped().await;
}

#[tokio::test]
async fn a_termination_that_can_make_no_call_ends_nevertheless() {
    let world = World::new().await;
    let leaving = leaving(&world);
    silence(&world, true);
    leave_behind(&world, leaving.clone(), 31 * MINUTE).await;
    world.pass(1_900).await;
    assert_eq!(now(&world, &leaving).await.state, State::Failed);
    world.operations.stopped().await;
}
