//! The search for orphans.

use super::*;
use crate::domain::ids::{OperationId, RequestId};
use crate::domain::instance::{Instance, InstanceId, InstanceState};
use crate::domain::operation::{Operation, State};
use crate::domain::quota::{Callers, Measure, Quota};
use crate::operations::poller::splits;
use crate::operations::tests::{World, admission};
use crate::store::{Admission, Release, Save, Saved};

/// A launch that has ended in `state` with these machines.
async fn ended(world: &World, state: State, instances: Vec<Instance>) -> Operation {
    let id = OperationId::generate(world.failed.create_time);
    let wish = Operation {
        id,
        request_id: RequestId::parse(&id.to_string()).unwrap(),
        state: State::Accepted,
        sequence: 1,
        ..world.failed.clone()
    };
    let Admission::New(lease) = world.store.admit(admission(wish.clone())).await.unwrap() else {
        panic!("the request is new");
    };
    let operation = Operation {
        state,
        sequence: 2,
        instances,
        ..wish
    };
    let save = Save {
        lease,
        operation: operation.clone(),
        attempt: false,
    };
    assert_eq!(world.store.save(&[save]).await.unwrap(), [Saved::Done]);
    operation
}

/// How many machines count against the limits of the world's organisation.
async fn held(world: &World) -> i64 {
    let organization = world.failed.organization.clone();
    let usage = world.store.usage(&organization, world.clock.now());
    let quota = Quota {
        name: String::new(),
        organization: organization.clone(),
        account: None,
        callers: Callers::Any,
        limits: [(Measure::Instances, 0)].into(),
    };
    usage.await.unwrap().levels(&quota, 0)[0].used
}

fn machine(id: &str) -> InstanceId {
    InstanceId::parse(id).unwrap()
}

#[tokio::test]
async fn what_the_cloud_lost_is_held_no_longer() {
    let world = World::new().await;
    let ids = ["ins-1", "ins-2", "ins-3"].map(machine);
    let instances = ids.iter().cloned().map(Instance::named).collect();
    let launched = ended(&world, State::Succeeded, instances).await;
    let tag = launched.id.to_string();
    world.show(&[("ins-1", &tag)]);
    *world.cloud.untagged.lock().unwrap() = vec![ids[1].clone()];
    world.pass(130).await;
    assert_eq!(held(&world).await, 3, "left out once");
    world.pass(300).await;
    assert_eq!(
        held(&world).await,
        2,
        "one is gone, and one only lost its tag"
    );
    world.show(&[("ins-1", &tag), ("ins-3", &tag)]);
    world.pass(310).await;
    assert_eq!(held(&world).await, 3, "it is there after all");
    world.operations.stopped().await;
}

/// As where `cloud.regions` is empty, or has lost a region. Of an account that has left there is no key.
#[tokio::test]
async fn where_machines_live_is_swept_without_a_setting() {
    let mut world = World::anywhere().await;
    let instances = vec![Instance::named(machine("ins-1"))];
    ended(&world, State::Succeeded, instances).await;
    let stays = std::mem::replace(
        &mut world.failed.account,
        AccountName::parse("left").unwrap(),
    );
    let instances = vec![Instance::named(machine("ins-2"))];
    ended(&world, State::Succeeded, instances).await;
    world.failed.account = stays;
    world.pass(130).await;
    assert_eq!((world.lists(), held(&world).await), (1, 2));
    let text = world.metrics.render().unwrap();
    let none = r#"cvm_gateway_sweeps_total{account="main",result="failed"} 0"#;
    assert!(text.contains(none), "{text}");
    world.pass(300).await;
    assert_eq!((world.lists(), held(&world).await), (2, 1));
    world.operations.stopped().await;
}

/// Whoever takes the tags off all machines of a place must not hide those that are gone.
#[tokio::test]
async fn stock_is_taken_of_more_than_one_sweep_asks_for() {
    let world = World::new().await;
    let untagged: Vec<_> = (0..1001)
        .map(|number| machine(&format!("ins-{number:04}")))
        .collect();
    let all = untagged.iter().cloned().chain([machine("ins-9")]);
    let instances = all.map(Instance::named).collect();
    ended(&world, State::Succeeded, instances).await;
    *world.cloud.untagged.lock().unwrap() = untagged;
    world.pass(450).await;
    assert_eq!((world.lists(), held(&world).await), (2, 1002));
    world.pass(300).await;
    assert_eq!((world.lists(), held(&world).await), (3, 1001));
    // It goes on from the first one.
    world.cloud.untagged.lock().unwrap().remove(0);
    world.pass(1200).await;
    assert_eq!((world.lists(), held(&world).await), (7, 1000));
    world.operations.stopped().await;
}

/// The cloud shows it for a while.
#[tokio::test]
async fn what_failed_to_launch_is_not_held_because_it_is_shown() {
    let world = World::new().await;
    let failed = InstanceState::LaunchFailed;
    let instance = Instance {
        state: Some(failed.clone()),
        ..Instance::named(machine("ins-1"))
    };
    let operation = ended(&world, State::Failed, vec![instance]).await;
    assert_eq!(held(&world).await, 0);
    world.show(&[("ins-1", &operation.id.to_string())]);
    world.cloud.machines.lock().unwrap()[0].state = failed;
    world.pass(750).await;
    assert_eq!((world.lists(), held(&world).await), (3, 0));
    world.operations.stopped().await;
}

/// As where the cloud refuses a call for each machine that was deleted by hand.
#[tokio::test]
async fn what_is_gone_is_no_suspect_and_what_vanishes_later_is_one() {
    let world = World::new().await;
    let inner = &world.operations.0;
    *world.cloud.strict.lock().unwrap() = true;
    let ids: Vec<_> = (0..65)
        .map(|number| machine(&format!("ins-{number}")))
        .collect();
    let instances = ids.iter().cloned().map(Instance::named).collect();
    ended(&world, State::Succeeded, instances).await;
    for _ in 0..10 {
        world.pass(300).await;
    }
    assert_eq!(held(&world).await, 0);
    assert!(ids.iter().all(|id| !inner.polled.is_suspect(id)));

    let [vanished, others @ ..] = ["ins-a", "ins-b", "ins-c", "ins-d"].map(machine);
    *world.cloud.untagged.lock().unwrap() = others.to_vec();
    let place = Arc::new(target(&world.failed));
    let (splits, mut asked) = (splits(), others.to_vec());
    asked.push(vanished.clone());
    for expected in [vec![4, 2, 1], vec![1]] {
        world.cloud.polls.lock().unwrap().clear();
        let states = inner.states(&place, asked.clone(), &splits);
        let (states, ()) = tokio::join!(states, world.pass(10));
        assert_eq!((states.len(), &states[&vanished]), (4, &None));
        let polls = world.cloud.polls.lock().unwrap();
        let with_it = polls.iter().filter(|ids| ids.contains(&vanished));
        let sizes: Vec<_> = with_it.map(Vec::len).collect();
        assert_eq!(sizes, expected);
    }
    world.operations.stopped().await;
}

#[tokio::test]
async fn an_orphan_is_seen_twice_and_a_failed_list_is_no_sighting() {
    let world = World::new().await;
    world.show(&[("ins-1", "by-hand")]);
    world.pass(1).await;
    let text = world.metrics.render().unwrap();
    for result in ["ok", "failed"] {
        let none = format!(r#"cvm_gateway_sweeps_total{{account="main",result="{result}"}} 0"#);
        assert!(text.contains(&none), "{none} is not in\n{text}");
    }
    world.pass(124).await;
    assert_eq!((world.lists(), world.orphans()), (1, 0));
    *world.cloud.failing.lock().unwrap() = true;
    world.pass(121).await;
    assert_eq!((world.sweeps("ok"), world.sweeps("failed")), (1, 1));
    assert_eq!((world.lists(), world.orphans()), (2, 0));
    *world.cloud.failing.lock().unwrap() = false;
    world.pass(121).await;
    assert_eq!((world.lists(), world.orphans()), (3, 1));
    world.pass(200).await;
    assert_eq!(world.lists(), 3, "what is sure waits for the interval");
    world.show(&[]);
    world.pass(110).await;
    assert_eq!((world.lists(), world.orphans()), (4, 0));
    assert!(world.given_back().is_empty(), "its operation is unknown");
    world.operations.stopped().await;
}

/// Whoever reads the journal first takes what is launched meanwhile for nobody's.
#[tokio::test]
async fn the_cloud_is_listed_before_the_journal_is_read() {
    let world = World::new().await;
    let inner = &world.operations.0;
    *world.cloud.launching.lock().unwrap() = Some((inner.store.clone(), world.failed.clone()));
    let place = target(&world.failed);
    for machines in 1..=2 {
        // Time passes, for a second list would have to wait for its turn.
        let (started, mut absences) = (world.clock.now(), Absences::default());
        let orphans = inner.orphans(&place, started, &mut absences);
        let (orphans, ()) = tokio::join!(orphans, world.pass(5));
        assert_eq!(orphans.unwrap().unwrap(), []);
        assert_eq!(world.cloud.machines.lock().unwrap().len(), machines);
    }
    world.operations.stopped().await;
}

#[tokio::test]
async fn a_late_machine_is_given_back_and_copies_are_not() {
    let world = World::new().await;
    let id = world.failed.id.to_string();
    world.show(&[("ins-1", &id)]);
    world.pass(250).await;
    assert_eq!(
        (world.orphans(), world.given_back()),
        (1, vec!["ins-1".to_owned()])
    );
    world.pass(900).await;
    assert_eq!(world.given_back(), ["ins-1"], "one within an hour");
    assert_eq!(
        world.owned(&["ins-1"]).await,
        0,
        "what is given back is not adopted"
    );
    world.show(&[("ins-2", &id), ("ins-3", &id)]);
    world.pass(3700).await;
    assert_eq!(world.given_back(), ["ins-1"]);
    assert_eq!(world.owned(&["ins-2", "ins-3"]).await, 2);
    world.show(&[("ins-2", &id), ("ins-3", &id), ("ins-4", &id)]);
    world.pass(700).await;
    assert_eq!(
        world.given_back(),
        ["ins-1"],
        "its operation has more than it asked for"
    );
    world.operations.stopped().await;
}

#[tokio::test]
async fn what_names_an_operation_that_is_over_is_adopted_once_it_is_sure() {
    let world = World::new().await;
    let id = world.failed.id.to_string();
    let all = ["ins-1", "ins-2", "ins-3"];
    world.show(&[(all[0], &id), (all[1], &id), (all[2], "by-hand")]);
    world.pass(130).await;
    assert_eq!(world.owned(&all).await, 0, "seen once");
    world.pass(120).await;
    assert_eq!((world.orphans(), world.adopted()), (3, 2));
    assert_eq!(world.owned(&all).await, 2);
    world.pass(310).await;
    assert_eq!(
        (world.orphans(), world.adopted()),
        (1, 2),
        "it is told once"
    );
    assert!(world.given_back().is_empty());
    world.operations.stopped().await;
}

#[tokio::test]
async fn what_is_released_goes_on_at_once_when_the_machine_is_ahead() {
    let world = World::ahead_by(time::Duration::minutes(10)).await;
    let parked = Operation {
        id: OperationId::generate(world.failed.create_time),
        request_id: RequestId::parse("parked").unwrap(),
        state: State::NeedsOperator,
        ..world.failed.clone()
    };
    world.store.admit(admission(parked.clone())).await.unwrap();
    let release = Release {
        operation: parked.id,
        principal: "operator".to_owned(),
        reason: "it was looked at".to_owned(),
        time: parked.create_time,
    };
    world.model.release_by_hand(release.clone());
    let inner = &world.operations.0;
    inner.release(&release).await.unwrap();
    let (_, released) = inner.table.get(parked.id).unwrap();
    world.pass(5).await;
    let newest = world.store.get(&parked.organization, parked.id).await;
    let newest = newest.unwrap().unwrap();
    assert!(newest.sequence > released.sequence, "{:?}", newest.state);
}
