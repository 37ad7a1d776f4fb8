//! The journal's promises: every case runs on SQLite, on PostgreSQL, and on the model in memory
//! unless it is about what is in the database's own hands.

mod quotas;

use crate::canary::{Folder, PASSWORD, Watch};
use crate::{log, postgres};
use cvm_gateway::clock::Clock;
use cvm_gateway::domain::audit::Call;
use cvm_gateway::domain::decision::Decision;
use cvm_gateway::domain::ids::{OperationId, OrganizationId, RequestId};
use cvm_gateway::domain::instance::{Instance, InstanceId};
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::domain::operation::{
    Attempt, AttemptResult, Kind, Lease, OnFailure, Operation, Reconciliation, State, StateName,
};
use cvm_gateway::metrics::Metrics;
use cvm_gateway::store::{
    Admission, Adoption, Claimed, Launched, LaunchedPage, Listed, Model, NewOperation, Order,
    Owner, Release, Renewal, Save, Saved, SealedBody, Settings, Store, StoreError,
};
use quotas::{
    counts_the_launches_of_older_journals, counts_what_is_adopted_and_what_only_time_ended,
    holds_what_lives, judges_each_of_a_batch_by_those_before_it, lets_in_exactly_as_many_as_fit,
    limits_those_that_a_quota_fits, notices_what_comes_and_goes_without_it,
    refunds_what_was_not_launched, tells_when_there_is_room_again, tells_where_machines_live,
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio_util::task::TaskTracker;
use trouble::{a_release_is_used_once, claims_a_lease_that_ends_too_late, entered};

const NOW: UtcDateTime = utc_datetime!(2026-01-02 03:04:05.678);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// A lease that has run out when it is given.
const NO_TIME: Duration = Duration::ZERO;

/// Cases that hold on either engine.
macro_rules! on_both {
    ($($case:ident)+) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Journal::sqlite()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Journal::postgres().await).await;
            })+
        }
    };
}
pub(crate) use on_both;

macro_rules! contract_of_the_model {
    ($($case:ident)+) => {
        mod on_the_model {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Journal::model()).await;
            })+
        }
    };
}

mod audit;
mod browsing;
mod trouble;

contract_of_the_model! {
    admits_replays_and_refuses
    one_of_many_racers_is_new
    a_bad_write_does_not_fail_its_neighbours
    saves_only_under_the_current_lease
    saves_only_the_next_sequence
    saves_in_order_and_once
    journals_attempts
    purges_the_body_at_the_end
    knows_whose_a_machine_is
    adopts_what_nobody_has
    lists_what_was_launched
    claims_what_nobody_steps
    claims_a_lease_that_ends_too_late
    counts_crashes
    keeps_orders_until_they_are_fulfilled
    leaves_out_the_orders_of_what_has_ended
    keeps_the_order_of_what_waits_for_a_person
    stops_launches_and_lets_go_on
    a_release_is_used_once
    knows_its_requests_for_ever
    renews_what_is_held
    releases_at_once
    lists_newest_first
    counts_by_state
    survives_being_reopened
    lets_in_exactly_as_many_as_fit
    judges_each_of_a_batch_by_those_before_it
    holds_what_lives
    refunds_what_was_not_launched
    counts_what_is_adopted_and_what_only_time_ended
    limits_those_that_a_quota_fits
    tells_when_there_is_room_again
    notices_what_comes_and_goes_without_it
    tells_where_machines_live
}

on_both! {
    admits_replays_and_refuses
    one_of_many_racers_is_new
    a_bad_write_does_not_fail_its_neighbours
    saves_only_under_the_current_lease
    saves_only_the_next_sequence
    saves_in_order_and_once
    journals_attempts
    purges_the_body_at_the_end
    knows_whose_a_machine_is
    adopts_what_nobody_has
    lists_what_was_launched
    claims_what_nobody_steps
    claims_a_lease_that_ends_too_late
    keeps_orders_until_they_are_fulfilled
    leaves_out_the_orders_of_what_has_ended
    keeps_the_order_of_what_waits_for_a_person
    counts_crashes
    stops_launches_and_lets_go_on
    a_release_is_used_once
    knows_its_requests_for_ever
    renews_what_is_held
    releases_at_once
    lists_newest_first
    writes_the_audit
    lists_around_a_row_that_cannot_be_read
    looks_at_a_part_for_each_page
    counts_by_state
    survives_being_reopened
    names_what_is_corrupt
    refuses_a_newer_schema
    works_with_a_newer_schema_that_only_added
    closes_once_the_queue_is_written
    applies_every_migration_to_its_samples
    lets_in_exactly_as_many_as_fit
    judges_each_of_a_batch_by_those_before_it
    holds_what_lives
    refunds_what_was_not_launched
    counts_what_is_adopted_and_what_only_time_ended
    limits_those_that_a_quota_fits
    tells_when_there_is_room_again
    notices_what_comes_and_goes_without_it
    tells_where_machines_live
    counts_the_launches_of_older_journals
}

async fn admits_replays_and_refuses(journal: Journal) {
    let store = journal.open().await;
    let first = operation("acme", "r-1");
    let lease = admit(&store, &first).await;
    assert_eq!(lease.operation, first.id);

    let again = store.admit(new(&operation("acme", "r-1"))).await.unwrap();
    assert_eq!(again, Admission::Replayed(first.clone()));

    let mut other = new(&operation("acme", "r-1"));
    other.request_hash = [1; 32];
    let conflict = store.admit(other).await.unwrap();
    assert_eq!(conflict, Admission::Conflict(first.id));

    let theirs = operation("globex", "r-1");
    admit(&store, &theirs).await;
    assert_eq!(
        store.get(&first.organization, first.id).await.unwrap(),
        Some(first)
    );
}

async fn one_of_many_racers_is_new(journal: Journal) {
    let store = journal.open().await;
    let tasks = TaskTracker::new();
    let racers: Vec<_> = (0..64)
        .map(|_| {
            let store = store.clone();
            tasks.spawn(async move { store.admit(new(&operation("acme", "r-1"))).await })
        })
        .collect();
    let mut winners = Vec::new();
    let mut replayed = HashSet::new();
    for racer in racers {
        match racer.await.unwrap().unwrap() {
            Admission::New(lease) => winners.push(lease.operation),
            Admission::Replayed(operation) => drop(replayed.insert(operation.id)),
            Admission::Conflict(_) => panic!("the requests are the same"),
            Admission::Refused(_) => panic!("nothing is limited"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(replayed, winners.into_iter().collect());
}

async fn a_bad_write_does_not_fail_its_neighbours(journal: Journal) {
    let store = journal.open().await;
    let taken = operation("acme", "taken");
    admit(&store, &taken).await;
    let mut bad = operation("acme", "bad");
    bad.id = taken.id;
    let good: Vec<_> = (0..20)
        .map(|i| operation("acme", &format!("good-{i}")))
        .collect();

    let writes = good.iter().chain([&bad]).map(|o| store.admit(new(o)));
    let mut answers = all(writes).await;

    assert!(matches!(
        answers.pop().unwrap(),
        Err(StoreError::Refused { .. })
    ));
    for answer in answers {
        assert!(matches!(answer.unwrap(), Admission::New(_)));
    }
    store.ping().await.unwrap();
}

async fn saves_only_under_the_current_lease(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let mut new = new(&accepted);
    new.lease = NO_TIME;
    store.admit(new).await.unwrap();
    let stale = Lease {
        operation: accepted.id,
        epoch: 1,
    };
    let claimed = claim(&store, "other", NOW, HOUR, 10).await;
    assert_eq!(claimed.len(), 1);

    let mut sent = next(&accepted, State::Sent);
    sent.attempts.push(attempt(1, AttemptResult::Pending));
    assert_eq!(save(&store, stale, &sent).await, Saved::LeaseLost);
    assert_eq!(journal.state(&store, &accepted).await, accepted);
    assert!(journal.attempts().await.is_empty());

    assert_eq!(save(&store, claimed[0].0, &sent).await, Saved::Done);
    assert_eq!(journal.state(&store, &accepted).await, sent);
}

async fn saves_only_the_next_sequence(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    let sent = next(&accepted, State::Sent);
    let launched = next(&sent, State::Launched);

    assert_eq!(save(&store, lease, &launched).await, Saved::LeaseLost);
    assert_eq!(
        save(&store, lease, &accepted).await,
        Saved::Done,
        "the same"
    );
    assert_eq!(save(&store, lease, &sent).await, Saved::Done);
    assert_eq!(save(&store, lease, &sent).await, Saved::Done, "the same");
    let other = next(&accepted, State::Partial);
    assert_eq!(save(&store, lease, &other).await, Saved::LeaseLost);
    assert_eq!(journal.state(&store, &accepted).await, sent);
}

async fn saves_in_order_and_once(journal: Journal) {
    let store = journal.open().await;
    let mut saves = Vec::new();
    let mut last = Vec::new();
    for i in 0..70 {
        let accepted = operation("acme", &format!("r-{i}"));
        let lease = admit(&store, &accepted).await;
        let sent = next(&accepted, State::Sent);
        let launched = next(&sent, State::Launched);
        for operation in [&sent, &launched] {
            saves.push(Save {
                lease,
                operation: operation.clone(),
                attempt: false,
            });
        }
        last.push(launched);
    }
    assert_eq!(store.save(&saves).await.unwrap(), [Saved::Done; 140]);
    let again = store.save(&saves).await.unwrap();
    assert_eq!(again, [Saved::Done; 140], "as after a commit in doubt");
    assert_eq!(store.save(&[]).await.unwrap(), []);
    let mut other = saves[..2].to_vec();
    other[1].operation.principal.push('2');
    let lost = store.save(&other).await.unwrap();
    assert_eq!(lost, [Saved::LeaseLost; 2], "the journal has another end");
    for launched in &last {
        assert_eq!(&journal.state(&store, launched).await, launched);
    }
}

async fn journals_attempts(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    let mut sent = next(&accepted, State::Sent);
    sent.attempts.push(attempt(1, AttemptResult::Pending));
    save(&store, lease, &sent).await;
    assert_eq!(journal.attempts().await, ["1 PENDING - -"]);

    let mut again = next(&sent, State::Sent);
    again.attempts[0].result = AttemptResult::NotSent("refused".to_owned());
    save(&store, lease, &again).await;
    let mut launched = next(&again, State::Launched);
    launched.attempts.push(attempt(2, AttemptResult::Accepted));
    launched.attempts[1].cloud_request_id = Some("q-1".to_owned());
    save(&store, lease, &launched).await;
    assert_eq!(
        journal.attempts().await,
        ["1 NOT_SENT refused -", "2 ACCEPTED - q-1"]
    );
}

async fn purges_the_body_at_the_end(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    let body = SealedBody::new(body());
    assert_eq!(
        store.body(accepted.id, 0).await.unwrap(),
        Some(body.clone())
    );
    assert!(!format!("{body:?}").contains(PASSWORD));

    let waiting = next(&accepted, State::NeedsOperator);
    save(&store, lease, &waiting).await;
    assert_eq!(store.body(accepted.id, 0).await.unwrap(), Some(body));
    save(&store, lease, &next(&waiting, State::Failed)).await;
    assert_eq!(store.body(accepted.id, 0).await.unwrap(), None);
    let unknown = OperationId::generate(NOW);
    assert_eq!(store.body(unknown, 0).await.unwrap(), None);
}

async fn knows_whose_a_machine_is(journal: Journal) {
    let store = journal.open().await;
    let ids = ["ins-1", "ins-2", "ins-3"].map(|id| InstanceId::parse(id).unwrap());
    let launches = ["acme", "globex"].map(|organization| operation(organization, "r-1"));
    for launch in &launches {
        let lease = admit(&store, launch).await;
        let mut launched = next(launch, State::Launched);
        launched.instances = ids[..2].iter().cloned().map(Instance::named).collect();
        let stale = Lease { epoch: 9, ..lease };
        assert_eq!(save(&store, stale, &launched).await, Saved::LeaseLost);
        assert!(
            store
                .owners(&ids)
                .await
                .unwrap()
                .iter()
                .all(|owner| owner.operation != launch.id)
        );
        save(&store, lease, &launched).await;
        save(&store, lease, &next(&launched, State::Succeeded)).await;
    }
    let owners = store.owners(&ids).await.unwrap();
    let whose = |owner: &Owner| (owner.instance.clone(), owner.operation);
    let whose: HashSet<_> = owners.iter().map(whose).collect();
    let first = launches[0].id;
    let expected = [(ids[0].clone(), first), (ids[1].clone(), first)];
    assert_eq!(whose, expected.into(), "who named it first");
    assert_eq!(owners[0].organization.as_str(), "acme");
    assert_eq!(owners[0].account.as_str(), "main");
    assert_eq!(owners[0].region.as_str(), "ap-shanghai");

    let unknown = OperationId::generate(NOW);
    let known = store.known(&[unknown, launches[1].id]).await.unwrap();
    let [(id, Some(operation))] = &known.into_iter().collect::<Vec<_>>()[..] else {
        panic!("the unknown one is left out");
    };
    assert_eq!((*id, &operation.state), (launches[1].id, &State::Succeeded));
}

async fn lists_what_was_launched(journal: Journal) {
    let store = journal.open().await;
    let id = |text: &str| InstanceId::parse(text).unwrap();
    let mut launches = Vec::new();
    for (organization, region, machines) in [
        ("acme", "ap-shanghai", ["ins-1", "ins-2"]),
        ("acme", "ap-beijing", ["ins-3", "ins-4"]),
        ("globex", "ap-shanghai", ["ins-5", "ins-6"]),
    ] {
        let mut accepted = operation(organization, region);
        accepted.region = Region::parse(region).unwrap();
        let lease = admit(&store, &accepted).await;
        let mut launched = next(&accepted, State::Launched);
        launched.update_time = NOW + Duration::from_secs(launches.len().try_into().unwrap());
        launched.instances = machines.map(|text| Instance::named(id(text))).into();
        save(&store, lease, &launched).await;
        launches.push(accepted.id);
    }
    let mut page = LaunchedPage {
        organization: OrganizationId::parse("acme").unwrap(),
        account: None,
        region: None,
        after: None,
        limit: 3,
    };
    let listed = async |page: &LaunchedPage| {
        let listed = store.launched(page).await.unwrap();
        let id = |machine: &Launched| machine.owner.instance.to_string();
        (listed.iter().map(id).collect::<Vec<_>>(), listed)
    };
    let (ids, machines) = listed(&page).await;
    assert_eq!(ids, ["ins-4", "ins-3", "ins-2"]);
    assert_eq!(machines[0].owner.operation, launches[1]);
    assert_eq!(machines[2].termination, None);
    page.after = Some((machines[2].create_time, id("ins-2")));
    assert_eq!(listed(&page).await.0, ["ins-1"]);
    page.after = None;
    page.region = Some(Region::parse("ap-beijing").unwrap());
    assert_eq!(listed(&page).await.0, ["ins-4", "ins-3"]);
    page.account = Some(AccountName::parse("other").unwrap());
    assert_eq!(listed(&page).await.0, Vec::<String>::new());

    // Who is to give a machine back is written with that wish.
    let mut leaving = operation("acme", "leaving");
    leaving.kind = Kind::Termination;
    leaving.instances = ["ins-3", "ins-5"]
        .map(|text| Instance::named(id(text)))
        .into();
    admit(&store, &leaving).await;
    page.account = None;
    let terminations: Vec<_> = listed(&page).await.1;
    let terminations = terminations.iter().map(|machine| machine.termination);
    assert_eq!(terminations.collect::<Vec<_>>(), [None, Some(leaving.id)]);
    page.organization = OrganizationId::parse("globex").unwrap();
    page.region = None;
    let (ids, machines) = listed(&page).await;
    assert_eq!(ids, ["ins-6", "ins-5"]);
    assert_eq!(machines[1].termination, None, "another organisation's");
}

async fn adopts_what_nobody_has(journal: Journal) {
    let store = journal.open().await;
    let ids = ["ins-1", "ins-2", "ins-3"].map(|id| InstanceId::parse(id).unwrap());
    let launch = operation("acme", "r-1");
    let lease = admit(&store, &launch).await;
    let adoption = |operation: &Operation, instances: &[InstanceId]| Adoption {
        operation: operation.id,
        account: operation.account.clone(),
        region: operation.region.clone(),
        instances: instances.to_vec(),
        time: NOW + HOUR,
    };
    let wanted = adoption(&launch, &ids);
    let open = store.adopt(&wanted).await.unwrap();
    assert_eq!(open, [], "it learns of its machines itself");

    let mut launched = next(&launch, State::Launched);
    launched.instances = vec![Instance::named(ids[0].clone())];
    save(&store, lease, &launched).await;
    save(&store, lease, &next(&launched, State::Succeeded)).await;
    let elsewhere = Adoption {
        region: Region::parse("ap-tokyo").unwrap(),
        ..wanted.clone()
    };
    assert_eq!(store.adopt(&elsewhere).await.unwrap(), []);
    let unknown = adoption(&operation("acme", "r-2"), &ids);
    assert_eq!(store.adopt(&unknown).await.unwrap(), []);

    let mut adopted = store.adopt(&wanted).await.unwrap();
    adopted.sort();
    assert_eq!(adopted, ids[1..]);
    assert_eq!(store.adopt(&wanted).await.unwrap(), [], "once");
    let owners = store.owners(&ids).await.unwrap();
    assert_eq!(owners.len(), 3);
    for owner in owners {
        assert_eq!(
            (owner.operation, owner.organization.as_str()),
            (launch.id, "acme")
        );
        assert_eq!(
            (owner.account, owner.region),
            (launch.account.clone(), launch.region.clone())
        );
    }
    if journal.model.is_none() {
        let audit = journal.audit().await;
        assert_eq!(audit.len(), 3, "{audit:?}");
        assert!(
            audit.contains(&"act Adopt cvm-gateway main".to_owned()),
            "{audit:?}"
        );
    }
}

async fn keeps_orders_until_they_are_fulfilled(journal: Journal) {
    let store = journal.open().await;
    let [first, second] = ["a", "b"].map(|request_id| operation("acme", request_id));
    for operation in [&first, &second] {
        admit(&store, operation).await;
    }
    let order = |operation: &Operation, principal: &str| Order {
        operation: operation.id,
        principal: principal.to_owned(),
        time: NOW,
    };
    let (one, other) = (order(&first, "dev"), order(&second, "ops"));
    order_of(&store, &one).await.unwrap();
    order_of(&store, &order(&first, "late")).await.unwrap();
    order_of(&store, &other).await.unwrap();
    let mut orders = store.orders(10).await.unwrap();
    orders.sort_by(|one, other| one.principal.cmp(&other.principal));
    assert_eq!(orders, [one, other.clone()], "the first one counts");
    assert_eq!(store.orders(1).await.unwrap().len(), 1);

    store.fulfilled(first.id).await.unwrap();
    assert_eq!(store.orders(10).await.unwrap(), [other]);
    store.fulfilled(second.id).await.unwrap();
    assert_eq!(store.orders(10).await.unwrap(), []);

    // What came to an end by itself need not be cancelled any more.
    order_of(&store, &order(&first, "dev")).await.unwrap();
    let lease = Lease {
        operation: first.id,
        epoch: 1,
    };
    let over = Save {
        lease,
        operation: next(&first, State::Failed),
        attempt: false,
    };
    assert_eq!(store.save(&[over]).await.unwrap(), [Saved::Done]);
    store.fulfilled(second.id).await.unwrap();
    assert_eq!(store.orders(10).await.unwrap(), []);
}

/// However many they are, they hide no other, and the next order takes them away.
async fn leaves_out_the_orders_of_what_has_ended(journal: Journal) {
    let store = journal.open().await;
    let order = |operation: &Operation, age: Duration| Order {
        operation: operation.id,
        principal: "dev".to_owned(),
        time: NOW - age,
    };
    let ends = [
        State::Succeeded,
        State::Partial,
        State::Failed,
        State::Cancelled,
    ];
    for end in ends {
        let ended = operation("acme", end.name().as_str());
        let lease = admit(&store, &ended).await;
        order_of(&store, &order(&ended, HOUR)).await.unwrap();
        assert_eq!(save(&store, lease, &next(&ended, end)).await, Saved::Done);
    }
    let open = operation("acme", "open");
    admit(&store, &open).await;
    let wanted = order(&open, NO_TIME);
    order_of(&store, &wanted).await.unwrap();
    assert_eq!(store.orders(1).await.unwrap(), [wanted]);
    if journal.model.is_none() {
        let sql = "SELECT operation_id FROM orders";
        let mut connection = journal.connect().await;
        let rows = sqlx::query(sql).fetch_all(&mut connection).await;
        let id = |row: &sqlx::any::AnyRow| row.get::<String, _>(0);
        let left: Vec<_> = rows.unwrap().iter().map(id).collect();
        assert_eq!(left, [open.id.to_string()]);
    }
}

/// It is not shown meanwhile, for nobody could take it in.
async fn keeps_the_order_of_what_waits_for_a_person(journal: Journal) {
    let store = journal.open().await;
    let [parked, other] = ["a", "b"].map(|request_id| operation("acme", request_id));
    let lease = admit(&store, &parked).await;
    admit(&store, &other).await;
    let order = |operation: &Operation| Order {
        operation: operation.id,
        principal: "dev".to_owned(),
        time: NOW,
    };
    order_of(&store, &order(&parked)).await.unwrap();
    let stuck = next(&parked, State::NeedsOperator);
    assert_eq!(save(&store, lease, &stuck).await, Saved::Done);
    order_of(&store, &order(&other)).await.unwrap();
    assert_eq!(store.orders(1).await.unwrap(), [order(&other)]);
    store.fulfilled(other.id).await.unwrap();
    assert_eq!(store.orders(10).await.unwrap(), []);

    journal.release(parked.id).await;
    let release = store.releases().await.unwrap().remove(0);
    let taken = store.take_released(&release, "b", NOW, HOUR).await.unwrap();
    let accepted = next(&stuck, State::Accepted);
    let saved = save(&store, taken.unwrap().lease, &accepted).await;
    assert_eq!(saved, Saved::Done);
    assert_eq!(store.orders(10).await.unwrap(), [order(&parked)]);
}

async fn claims_what_nobody_steps(journal: Journal) {
    let store = journal.open().await;
    let mut held = new(&operation("acme", "held"));
    held.lease = MINUTE;
    store.admit(held).await.unwrap();
    let mut left = Vec::new();
    for i in 0..5 {
        let mut new = new(&operation("acme", &format!("left-{i}")));
        new.lease = NO_TIME;
        left.push(new.operation.clone());
        store.admit(new).await.unwrap();
    }
    let lease = Lease {
        operation: left[4].id,
        epoch: 1,
    };
    save(&store, lease, &next(&left[4], State::NeedsOperator)).await;

    let first = claim(&store, "b", NOW, MINUTE, 3).await;
    let ids: Vec<_> = first.iter().map(|(lease, _)| lease.operation).collect();
    assert_eq!(ids, left[..3].iter().map(|o| o.id).collect::<Vec<_>>());
    assert_eq!(first[0].1, left[0]);
    assert!(first.iter().all(|(lease, _)| lease.epoch == 2));

    let second = claim(&store, "c", NOW, NO_TIME, 3).await;
    assert_eq!(second.len(), 1);
    let third = claim(&store, "c", NOW, HOUR, 3).await;
    assert_eq!(third[0].0.epoch, 3, "it grows each time");
    assert_eq!(claim(&store, "d", NOW, HOUR, 3).await, []);
}

/// A lease that ran out is a crash, one that was given back is none; a step that was completed ends
/// the count.
async fn counts_crashes(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    admit(&store, &accepted).await;
    let take = async |crashes: RangeInclusive<u32>, ttl| {
        let claimed = store.claim("b", NOW, ttl, crashes, 10).await.unwrap();
        claimed
            .first()
            .map(|claimed| (claimed.lease, claimed.crashes))
    };
    store.release("a", &[], NOW, HOUR).await.unwrap();
    let (lease, crashes) = take(0..=0, NO_TIME).await.unwrap();
    assert_eq!(crashes, 0, "it was given back");
    assert_eq!(take(0..=0, NO_TIME).await, None, "it would be one");
    assert_eq!(take(2..=9, NO_TIME).await, None);
    let (second, crashes) = take(1..=1, NO_TIME).await.unwrap();
    assert_eq!((second.epoch, crashes), (lease.epoch + 1, 1));

    store.calm(&[lease]).await.unwrap();
    let (third, crashes) = take(0..=9, NO_TIME).await.unwrap();
    assert_eq!(crashes, 2, "calmed under an earlier lease");
    store.calm(&[third]).await.unwrap();
    let (fourth, crashes) = take(0..=9, NO_TIME).await.unwrap();
    assert_eq!(crashes, 1);
    let sent = next(&accepted, State::Sent);
    assert_eq!(save(&store, fourth, &sent).await, Saved::Done);
    let (fifth, crashes) = take(0..=9, NO_TIME).await.unwrap();
    assert_eq!(crashes, 1, "a save ends the count, too");
    save(&store, fifth, &next(&sent, State::Launched)).await;

    assert_eq!(take(1..=1, HOUR).await.map(|(_, crashes)| crashes), Some(1));
    store.close().await;
    let store = journal.open().await;
    if journal.is_sqlite() {
        let claimed = store.claim("c", NOW, HOUR, 2..=2, 10).await.unwrap();
        assert_eq!(claimed.len(), 1, "the process had it in hand when it died");
    }
}

/// More machines than asked for stop the account with the very snapshot; a person lets it go on.
async fn stops_launches_and_lets_go_on(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    let mut stuck = entered(&accepted, State::NeedsOperator);
    save(&store, lease, &stuck).await;
    assert_eq!(store.brakes().await.unwrap(), [], "it named no machine");
    stuck = next(&stuck, State::NeedsOperator);
    let ids = ["ins-1", "ins-2"].map(|id| InstanceId::parse(id).unwrap());
    stuck.instances = ids.into_iter().map(Instance::named).collect();
    save(&store, lease, &stuck).await;
    let brakes = store.brakes().await.unwrap();
    assert_eq!(brakes.len(), 1);
    assert_eq!(
        (&brakes[0].account, brakes[0].operation),
        (&accepted.account, accepted.id)
    );
    assert!(
        brakes[0].reason.contains("2 instances where 1"),
        "{brakes:?}"
    );

    let other = operation("acme", "r-2");
    admit(&store, &other).await;
    for id in [accepted.id, other.id] {
        journal.release(id).await;
    }
    let releases = store.releases().await.unwrap();
    assert_eq!(releases.len(), 2);
    let mut taken = Vec::new();
    for release in &releases {
        taken.extend(store.take_released(release, "b", NOW, HOUR).await.unwrap());
    }
    assert_eq!(taken.len(), 1, "the other one waits for nobody");
    assert_eq!(taken[0].operation, stuck);
    assert_eq!(taken[0].lease.epoch, 2);
    assert_eq!(store.releases().await.unwrap().len(), 1, "until it is done");
    let launched = entered(&stuck, State::Launched);
    assert_eq!(save(&store, lease, &launched).await, Saved::LeaseLost);
    assert_eq!(save(&store, taken[0].lease, &launched).await, Saved::Done);
    assert_eq!(store.releases().await.unwrap(), []);
    assert_eq!(store.brakes().await.unwrap(), []);
}

/// The same request finds its operation when that has ended and its body is gone; another is a
/// conflict as ever.
async fn knows_its_requests_for_ever(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    let failed = next(&accepted, State::Failed);
    save(&store, lease, &failed).await;
    assert_eq!(store.body(accepted.id, 0).await.unwrap(), None);
    store.close().await;

    let store = journal.open().await;
    let mut again = new(&operation("acme", "r-1"));
    again.now = NOW + 24 * 31 * HOUR;
    assert_eq!(
        store.admit(again.clone()).await.unwrap(),
        Admission::Replayed(failed.clone())
    );
    let found = store.find(&accepted.organization, &accepted.request_id, &[0; 32]);
    assert_eq!(found.await.unwrap(), Some(failed));
    again.request_hash = [1; 32];
    assert_eq!(
        store.admit(again).await.unwrap(),
        Admission::Conflict(accepted.id)
    );
    let found = store.find(&accepted.organization, &accepted.request_id, &[1; 32]);
    assert_eq!(found.await.unwrap(), None);
}

async fn writes_the_audit(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    store.admit(new(&operation("acme", "r-1"))).await.unwrap();
    let begun = ["intent RunInstances dev main"];
    assert_eq!(journal.audit().await, begun, "only what is new");

    let stuck = next(&accepted, State::NeedsOperator);
    save(&store, lease, &stuck).await;
    save(&store, lease, &stuck).await;
    journal.release(accepted.id).await;
    let release = store.releases().await.unwrap().remove(0);
    let taken = store
        .take_released(&release, "b", NOW, HOUR)
        .await
        .unwrap()
        .unwrap();
    store
        .take_released(&release, "c", NOW, HOUR)
        .await
        .unwrap()
        .unwrap();
    save(&store, taken.lease, &next(&stuck, State::Failed)).await;
    let audit = journal.audit().await;
    let each = [
        "intent RunInstances dev main",
        "outcome RunInstances dev main",
        "act Release alice main",
        "act Release alice main",
    ];
    assert_eq!(audit, each, "nothing of a lease that is lost");

    // What cannot be written down is not accepted.
    let sql = "ALTER TABLE audit_rows RENAME TO elsewhere";
    journal.run(sql).await;
    let refused = operation("acme", "r-2");
    assert!(store.admit(new(&refused)).await.is_err());
    let found = store.get(&refused.organization, refused.id).await;
    assert_eq!(found.unwrap(), None);
}

async fn renews_what_is_held(journal: Journal) {
    let store = journal.open().await;
    let mut ids = Vec::new();
    for i in 0..3 {
        let mut new = new(&operation("acme", &format!("r-{i}")));
        new.lease = NO_TIME;
        ids.push(new.operation.id);
        store.admit(new).await.unwrap();
    }
    let held = &ids[..2];
    let renewed = async |held| store.renew("a", held, NOW, HOUR).await.unwrap();
    assert_eq!(renewed(held).await.prolonged, held);
    let claimed = claim(&store, "b", NOW, HOUR, 10).await;
    assert_eq!(claimed.len(), 1, "only what was not renewed");
    assert_eq!(claimed[0].0.operation, ids[2]);
    let both = renewed(&ids).await;
    assert_eq!(
        (both.prolonged.as_slice(), both.lost.as_slice()),
        (held, &ids[2..])
    );
    assert_eq!(renewed(&[]).await, Renewal::default());
}

async fn releases_at_once(journal: Journal) {
    let store = journal.open().await;
    admit(&store, &operation("acme", "r-1")).await;
    admit(&store, &operation("acme", "r-2")).await;
    assert_eq!(claim(&store, "b", NOW, HOUR, 10).await, []);
    assert_eq!(store.release("nobody", &[], NOW, HOUR).await.unwrap(), 0);
    assert_eq!(store.release("a", &[], NOW, HOUR).await.unwrap(), 2);
    assert_eq!(claim(&store, "b", NOW, HOUR, 10).await.len(), 2);

    // What is in hand, and what was given a moment ago, stays.
    let old = HOUR * 5 / 6;
    assert_eq!(store.release("b", &[], NOW, old).await.unwrap(), 0);
    let held = admit(&store, &operation("acme", "r-3")).await.operation;
    let held = store.release("a", &[held], NOW, HOUR).await.unwrap();
    assert_eq!(held, 0);
}

async fn lists_newest_first(journal: Journal) {
    let store = journal.open().await;
    let acme = OrganizationId::parse("acme").unwrap();
    let globex = OrganizationId::parse("globex").unwrap();
    let mut newest_first = Vec::new();
    for i in 0..5 {
        let operation = operation("acme", &format!("r-{i}"));
        admit(&store, &operation).await;
        newest_first.insert(0, operation);
    }
    admit(&store, &operation("globex", "r-1")).await;

    let page = store.list(&acme, &[], None, 2).await.unwrap();
    assert_eq!(page.operations, newest_first[..2]);
    assert_eq!(page.looked_to, Some(newest_first[1].id));
    let page = store.list(&acme, &[], page.looked_to, 9).await.unwrap();
    assert_eq!(page.operations, newest_first[2..]);
    assert_eq!(page.looked_to, None, "there is nothing older");

    let sent = next(&newest_first[1], State::Sent);
    let lease = Lease {
        operation: sent.id,
        epoch: 1,
    };
    save(&store, lease, &sent).await;
    let filter = [StateName::Sent, StateName::Failed];
    let page = store.list(&acme, &filter, None, 9).await.unwrap();
    assert_eq!(page.operations, std::slice::from_ref(&sent));

    let nothing = store.list(&globex, &filter, None, 9).await.unwrap();
    assert_eq!(nothing, Listed::default());
    assert_eq!(store.get(&globex, sent.id).await.unwrap(), None);
    assert_eq!(store.get(&acme, sent.id).await.unwrap(), Some(sent));
}

/// A row that was damaged, or written by a newer gateway, hides no other one and is named.
async fn lists_around_a_row_that_cannot_be_read(journal: Journal) {
    let store = journal.open().await;
    let acme = OrganizationId::parse("acme").unwrap();
    let mut newest_first = Vec::new();
    for i in 0..4 {
        let operation = operation("acme", &format!("r-{i}"));
        admit(&store, &operation).await;
        newest_first.insert(0, operation);
    }
    let damaged = newest_first.remove(1);
    let damage = format!(
        "UPDATE operations SET document = '{{}}' WHERE id = '{}'",
        damaged.id
    );
    journal.run(&damage).await;

    let page = store.list(&acme, &[], None, 4).await.unwrap();
    assert_eq!(page.operations, newest_first);
    let page = store.list(&acme, &[], None, 2).await.unwrap();
    assert_eq!(page.operations, newest_first[..1]);
    assert_eq!(page.looked_to, Some(damaged.id), "the next page goes on");
    let page = store.list(&acme, &[], page.looked_to, 9).await.unwrap();
    assert_eq!(page.operations, newest_first[1..]);
    let error = store.get(&acme, damaged.id).await.unwrap_err();
    let named = format!("operations.document of {} cannot be read", damaged.id);
    assert!(error.to_string().starts_with(&named), "{error}");
}

/// One of them is in the state that is asked for, the oldest: no call looks through all.
async fn looks_at_a_part_for_each_page(journal: Journal) {
    let store = journal.open().await;
    let oldest = operation("acme", "oldest");
    admit(&store, &oldest).await;
    let others = "INSERT INTO operations (id, organization, request_id, request_hash, state, sequence, \
         document, lease_owner, lease_epoch, lease_until, create_time, update_time) \
         WITH RECURSIVE counted(number) AS \
         (SELECT 1 UNION ALL SELECT number + 1 FROM counted WHERE number < 10000) \
         SELECT 'ffffffff-0000-7000-8000-' || substr('000000000000' || number, length('' || number) + 1), \
         'acme', 'r-' || number, '', 'SUCCEEDED', 1, '', '', 1, 0, 0, 0 FROM counted";
    journal.run(others).await;

    let (acme, filter) = (&oldest.organization, [StateName::Accepted]);
    let first = store.list(acme, &filter, None, 9).await.unwrap();
    assert_eq!(first.operations, []);
    let second = store.list(acme, &filter, first.looked_to, 9).await.unwrap();
    assert_eq!(second.operations, [oldest]);
    assert_eq!(second.looked_to, None);
}

async fn counts_by_state(journal: Journal) {
    let store = journal.open().await;
    let none = store.counts(&StateName::ALL).await.unwrap();
    assert_eq!(none, StateName::ALL.map(|state| (state, 0)));
    for i in 0..3 {
        admit(&store, &operation("acme", &format!("r-{i}"))).await;
    }
    let last = operation("globex", "r-1");
    let lease = admit(&store, &last).await;
    save(&store, lease, &next(&last, State::Sent)).await;
    let asked = [StateName::Sent, StateName::Accepted];
    let counts = store.counts(&asked).await.unwrap();
    assert_eq!(counts, [(StateName::Sent, 1), (StateName::Accepted, 3)]);
}

async fn survives_being_reopened(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    let looking = next(
        &accepted,
        State::Reconciling(Box::new(Reconciliation {
            next_look_up: NOW + HOUR,
            empty_look_ups: 1,
            proofs: 0,
            refusal: None,
            looked: true,
            seen: Vec::new(),
        })),
    );
    save(&store, lease, &looking).await;
    store.close().await;
    assert!(matches!(
        store.admit(new(&accepted)).await,
        Err(StoreError::Closed)
    ));
    assert!(store.ping().await.is_err());

    let store = journal.open().await;
    assert_eq!(journal.state(&store, &accepted).await, looking);
    let claimed = claim(&store, "b", NOW, HOUR, 10).await;
    let orphans = if journal.is_sqlite() { 1 } else { 0 };
    assert_eq!(
        claimed.len(),
        orphans,
        "only SQLite's owners are surely dead"
    );
    store.ping().await.unwrap();
}

async fn names_what_is_corrupt(journal: Journal) {
    let store = journal.open().await;
    let bad = operation("acme", "bad");
    let good = operation("acme", "good");
    admit(&store, &bad).await;
    admit(&store, &good).await;
    for (change, column) in [
        ("document = '{\"id\":\"secret'", "document"),
        ("document = 'null'", "document"),
        ("body = '*secret*'", "body"),
    ] {
        let sql = format!("UPDATE operations SET {change} WHERE id = '{}'", bad.id);
        journal.run(&sql).await;
        let error = match column {
            "body" => store.body(bad.id, 0).await.unwrap_err(),
            _ => store.get(&bad.organization, bad.id).await.unwrap_err(),
        };
        let text = error.to_string();
        assert!(text.contains(&format!("operations.{column} of {}", bad.id)));
        assert!(!format!("{error:?}").contains("secret"));
    }
    store.release("a", &[], NOW, HOUR).await.unwrap();
    let claimed = claim(&store, "b", NOW, HOUR, 10).await;
    assert_eq!(claimed.len(), 1, "the good one goes on");
    assert_eq!(claimed[0].1, good);
}

/// The next release adds to the tables while a gateway of this one runs, which goes on and starts again.
async fn works_with_a_newer_schema_that_only_added(journal: Journal) {
    let store = journal.open().await;
    writes_and_lists(&store, 1).await;
    journal
        .run("ALTER TABLE operations ADD COLUMN tomorrow TEXT")
        .await;
    journal.run(TOMORROW).await;
    writes_and_lists(&store, 2).await;
    store.close().await;

    let store = journal.open().await;
    writes_and_lists(&store, 3).await;
    // Nobody waits for it: where several share a journal, the next one starts beside it.
    let limit = Duration::from_secs(30);
    match Clock::system().timeout(limit, journal.try_open()).await {
        Some(Ok(beside)) => beside.close().await,
        Some(Err(StoreError::Locked { .. })) => {} // a file is for one
        other => panic!("{other:?}"),
    }
    store.close().await;
}

/// Begins the operation of that number and takes a step with it; all until it are seen.
async fn writes_and_lists(store: &Store, number: usize) {
    let accepted = operation("acme", &format!("r-{number}"));
    let lease = admit(store, &accepted).await;
    let sent = next(&accepted, State::Sent);
    assert_eq!(save(store, lease, &sent).await, Saved::Done);
    let listed = store.list(&accepted.organization, &[], None, 10).await;
    assert_eq!(listed.unwrap().operations.len(), number);
}

async fn refuses_a_newer_schema(journal: Journal) {
    journal.open().await.close().await;
    journal.run(TOMORROW).await;
    journal.run("UPDATE schema_reach SET oldest = 9999").await;
    let error = journal.try_open().await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 9999 }));
    assert!(error.to_string().contains("update the gateway"));
}

/// A migration of a later release was applied.
pub(crate) const TOMORROW: &str = "INSERT INTO _sqlx_migrations
        (version, description, installed_on, success, checksum, execution_time)
    SELECT 9999, 'tomorrow', installed_on, success, checksum, execution_time
    FROM _sqlx_migrations WHERE version = 1";

async fn closes_once_the_queue_is_written(journal: Journal) {
    let store = journal.open().await;
    let operations: Vec<_> = (0..50)
        .map(|i| operation("acme", &format!("r-{i}")))
        .collect();
    let writes = all(operations.iter().map(|o| store.admit(new(o))));
    let (answers, ()) = tokio::join!(biased; writes, store.close());
    for answer in answers {
        assert!(matches!(answer.unwrap(), Admission::New(_)));
    }
    let store = journal.open().await;
    let counts = store.counts(&[StateName::Accepted]).await.unwrap();
    assert_eq!(counts, [(StateName::Accepted, 50)]);
}

/// Each migration must take the rows that its predecessors may have left.
async fn applies_every_migration_to_its_samples(mut journal: Journal) {
    journal.key_file = Some(postgres::key_file());
    use sqlx::migrate::{Migration, MigrationType, Migrator};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "sql"))
        .collect();
    files.sort();
    journal.touch();
    let mut migrations = Vec::new();
    for (before, file) in files.iter().enumerate() {
        let sql = AssertSqlSafe(std::fs::read_to_string(file).unwrap());
        let version = i64::try_from(before + 1).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("{version:04}_")), "{name}");
        let sql = sqlx::SqlSafeStr::into_sql_str(sql);
        let kind = MigrationType::Simple;
        migrations.push(Migration::new(version, "".into(), kind, sql, false));
        let mut connection = journal.connect().await;
        let migrator = Migrator::with_migrations(migrations.clone());
        migrator.run(&mut connection).await.unwrap();
        let samples = folder.join(format!("samples/{version:04}.sql"));
        journal
            .run(&std::fs::read_to_string(samples).unwrap())
            .await;
    }

    let store = journal.open().await;
    let acme = OrganizationId::parse("acme").unwrap();
    let listed = store.list(&acme, &[], None, 100).await.unwrap().operations;
    assert!(!listed.is_empty());
    for operation in &listed {
        assert!(store.body(operation.id, 0).await.unwrap().is_some());
    }
    let instances = listed.iter().flat_map(|operation| &operation.instances);
    let instances: Vec<_> = instances.map(|instance| instance.id.clone()).collect();
    assert!(!instances.is_empty());
    let owners = store.owners(&instances).await.unwrap();
    assert_eq!(owners.len(), instances.len(), "old journals are filled");
}

/// The first of them makes the tables, and is held up for longer than anything else may wait.
#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_start_at_once_on_an_empty_database_all_open() {
    let journal = Journal::postgres().await;
    let mut other = journal.connect().await;
    let held_up = "BEGIN; CREATE TABLE operations (id TEXT)";
    sqlx::raw_sql(held_up).execute(&mut other).await.unwrap();
    let held_for = Duration::from_secs(6);
    let clock = Clock::system();
    let began = clock.elapsed();
    let open = || async {
        let settings = Settings {
            busy_timeout: Duration::from_secs(5),
            ..journal.settings()
        };
        let metrics = Metrics::new("test").unwrap();
        let store = Store::open(&settings, metrics.journal, clock.clone()).await;
        assert!(clock.elapsed() - began >= held_for, "it did not wait");
        store.unwrap()
    };
    let go_on = async {
        clock.sleep(held_for).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    };
    let (first, second, third, fourth, ()) = tokio::join!(open(), open(), open(), open(), go_on);
    for store in [first, second, third, fourth] {
        store.ping().await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_file_is_open_in_one_process_only() {
    let journal = Journal::sqlite();
    let store = journal.open().await;
    let error = journal.try_open().await.unwrap_err();
    assert!(matches!(&error, StoreError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())));
    assert!(text.contains("journal.db.lock"), "{text}");
    store.close().await;
    journal.open().await;
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let mut journal = Journal::sqlite();
    journal.url = journal.url.replace("journal.db", "missing/journal.db");
    let error = journal.try_open().await.unwrap_err();
    assert!(error.to_string().contains("missing/journal.db.lock"));
}

#[tokio::test]
async fn a_file_is_private_to_its_owner() {
    let journal = Journal::sqlite();
    let store = journal.open().await;
    admit(&store, &operation("acme", "r-1")).await;
    let folder = journal.folder.as_ref().unwrap();
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{file:?}");
        names.push(file.file_name().into_string().unwrap());
    }
    assert!(names.contains(&"journal.db-wal".to_owned()), "{names:?}");
}

#[tokio::test]
async fn memory_is_shared_by_all_connections() {
    let mut journal = Journal::sqlite();
    journal.url = "sqlite::memory:".to_owned();
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    admit(&store, &accepted).await;
    assert_eq!(journal.state(&store, &accepted).await, accepted);
}

/// The database says that it is full; the same code tells of a full disk.
#[tokio::test]
async fn a_full_disk_is_survived() {
    let journal = Journal::sqlite();
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    journal
        .run(
            "CREATE TABLE full_up (id INTEGER PRIMARY KEY AUTOINCREMENT);
             INSERT INTO full_up VALUES (9223372036854775807);
             CREATE TRIGGER fill AFTER INSERT ON operations
             BEGIN INSERT INTO full_up (id) VALUES (NULL); END;",
        )
        .await;

    let refused = operation("acme", "r-2");
    let sent = next(&accepted, State::Sent);
    let (full, saved) = tokio::join!(store.admit(new(&refused)), save(&store, lease, &sent));
    let error = full.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.to_string().contains("free space"));
    assert_eq!(saved, Saved::Done);
    assert_eq!(
        store.get(&refused.organization, refused.id).await.unwrap(),
        None
    );

    journal.run("DROP TRIGGER fill").await;
    store.ping().await.unwrap();
    admit(&store, &refused).await;
}

#[tokio::test]
async fn a_full_queue_refuses_admissions_at_once() {
    let journal = Journal::sqlite();
    let store = journal.open().await;
    let mut other = journal.connect().await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let operations: Vec<_> = (0..300)
        .map(|i| operation("acme", &format!("r-{i}")))
        .collect();
    // The writer can take one batch of 128, and then waits for the lock; 100 fit the queue.
    let writes = all(operations.iter().map(|o| store.admit(new(o))));
    let unlock = sqlx::raw_sql("ROLLBACK").execute(&mut other);
    let (answers, unlocked) = tokio::join!(biased; writes, unlock);
    unlocked.unwrap();
    let is_busy = |answer: &&Result<_, _>| matches!(answer, Err(StoreError::Busy));
    let busy = answers.iter().filter(is_busy).count();
    assert!((72..=200).contains(&busy), "{busy}");
    let admitted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(busy + admitted, 300);
}

#[tokio::test]
async fn a_server_that_loses_commits_is_refused() {
    let journal = Journal::postgres().await;
    let name = journal.url.split(['/', '?']).nth(3).unwrap();
    journal
        .run(&format!(
            "ALTER DATABASE {name} SET synchronous_commit = off"
        ))
        .await;
    let error = journal.try_open().await.unwrap_err();
    assert!(matches!(error, StoreError::Unsafe { .. }));
    assert!(error.to_string().contains("synchronous_commit = off"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_replaced() {
    let journal = Journal::postgres().await;
    let store = journal.open().await;
    admit(&store, &operation("acme", "r-1")).await;
    journal
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    admit(&store, &operation("acme", "r-2")).await;
    store.ping().await.unwrap();
    let counts = store.counts(&[StateName::Accepted]).await.unwrap();
    assert_eq!(counts, [(StateName::Accepted, 2)]);
}

/// The commit is done, but the writer cannot know: it must find its own writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_commit_changes_nothing() {
    let mut journal = Journal::postgres().await;
    let direct = journal.url.clone();
    let proxy = postgres::Proxy::start();
    journal.url = proxy.url(&direct);
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");

    proxy.lose_next_commit();
    let lease = admit(&store, &accepted).await;
    assert!(proxy.has_lost_it());

    proxy.lose_next_commit();
    let mut sent = next(&accepted, State::Sent);
    sent.attempts.push(attempt(1, AttemptResult::Pending));
    assert_eq!(save(&store, lease, &sent).await, Saved::Done);
    assert!(proxy.has_lost_it());

    proxy.lose_next_commit();
    let launched = next(&sent, State::Launched);
    let seen = next(&launched, State::Launched);
    let saves = [&launched, &seen].map(|operation| Save {
        lease,
        operation: operation.clone(),
        attempt: false,
    });
    assert_eq!(store.save(&saves).await.unwrap(), [Saved::Done; 2]);
    assert!(proxy.has_lost_it());

    proxy.lose_next_commit();
    let renewal = store.renew("a", &[sent.id], NOW, HOUR).await;
    assert_eq!(renewal.unwrap().prolonged, [sent.id]);
    assert!(proxy.has_lost_it());

    journal.url = direct;
    let counts = store.counts(&[StateName::Launched]).await.unwrap();
    assert_eq!(counts, [(StateName::Launched, 1)]);
    assert_eq!(journal.state(&store, &accepted).await, seen);
    assert_eq!(journal.attempts().await, ["1 PENDING - -"]);
    assert_eq!(journal.audit().await, ["intent RunInstances dev main"]);
    assert_eq!(audit::verify(&journal, &[]).await.findings, [""; 0]);
    store.close().await;
}

/// Where a test's journal is.
pub(crate) struct Journal {
    pub(crate) url: String,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) folder: Option<Folder>,
    model: Option<Model>,
    #[expect(dead_code, reason = "it fails")]
    watch: Watch,
}

impl Journal {
    pub(crate) fn sqlite() -> Self {
        let folder = Folder::in_folder(&std::env::temp_dir());
        let mut journal = Self::at(format!("sqlite://{}/journal.db", folder.display()));
        journal.folder = Some(folder);
        journal
    }

    pub(crate) async fn postgres() -> Self {
        let mut journal = Self::at(postgres::new_database().await);
        journal.key_file = Some(postgres::key_file());
        journal
    }

    fn model() -> Self {
        let mut journal = Self::at(String::new());
        journal.model = Some(Model::new(Arc::new(|| NOW)));
        journal
    }

    fn at(url: String) -> Self {
        log::start();
        Self {
            url,
            key_file: None,
            folder: None,
            model: None,
            watch: Watch::new(),
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.folder.is_some()
    }

    pub(crate) async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    fn settings(&self) -> Settings {
        Settings {
            url: self.url.clone().into(),
            key_file: self.key_file.clone(),
            pool_size: 2,
            queue: 100,
            batch: 128,
            busy_timeout: Duration::from_secs(5),
            reserve_bytes: 0,
        }
    }

    pub(crate) async fn try_open(&self) -> Result<Store, StoreError> {
        if let Some(model) = &self.model {
            return Ok(Store::of_model(model.reopened()));
        }
        let settings = self.settings();
        assert!(!format!("{settings:?}").contains(&self.url));
        let clock = Clock::system();
        let metrics = Metrics::new("test").unwrap();
        Store::open(&settings, metrics.journal, clock).await
    }

    /// The file must exist before anyone else connects.
    fn touch(&self) {
        if let Some(folder) = &self.folder {
            std::fs::write(folder.join("journal.db"), "").unwrap();
        }
    }

    pub(crate) async fn connect(&self) -> AnyConnection {
        postgres::connect(&self.url).await
    }

    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection);
        done.await.unwrap();
        connection.close().await.unwrap();
    }

    async fn state(&self, store: &Store, operation: &Operation) -> Operation {
        let found = store.get(&operation.organization, operation.id).await;
        found.unwrap().unwrap()
    }

    /// A person wants it to go on.
    async fn release(&self, id: OperationId) {
        let release = Release {
            operation: id,
            principal: "alice".to_owned(),
            reason: "looked at".to_owned(),
            time: NOW + 2 * HOUR,
        };
        if let Some(model) = &self.model {
            return model.release_by_hand(release);
        }
        let time = (release.time - UtcDateTime::UNIX_EPOCH).whole_milliseconds();
        self.run(&format!(
            "INSERT INTO releases (operation_id, principal, reason, time) \
             VALUES ('{id}', '{}', '{}', {time})",
            release.principal, release.reason
        ))
        .await;
    }

    async fn audit(&self) -> Vec<String> {
        let sql = "SELECT record FROM audit_rows WHERE sequence > 1 ORDER BY chain, sequence";
        let rows = sqlx::query(sql).fetch_all(&mut self.connect().await).await;
        let line = |row: &sqlx::any::AnyRow| {
            let record: serde_json::Value = serde_json::from_str(row.get(0)).unwrap();
            let text = |place: &str| record.pointer(place).unwrap().as_str().unwrap().to_owned();
            let told = ["/event", "/action", "/principal/name", "/account"].map(text);
            told.join(" ")
        };
        rows.unwrap().iter().map(line).collect()
    }

    async fn attempts(&self) -> Vec<String> {
        if let Some(model) = &self.model {
            return model.attempts().iter().map(modelled_attempt).collect();
        }
        let sql = "SELECT number, result, detail, cloud_request_id FROM attempts ORDER BY number";
        let rows = sqlx::query(sql)
            .fetch_all(&mut self.connect().await)
            .await
            .unwrap();
        let text = |value: Option<&str>| value.unwrap_or("-").to_owned();
        rows.iter()
            .map(|row| {
                let [result, detail, request] = [1, 2, 3].map(|i| text(row.get(i)));
                format!("{} {result} {detail} {request}", row.get::<i64, _>(0))
            })
            .collect()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.url.starts_with("postgres") && !std::thread::panicking() {
            postgres::examine_now(&self.url);
        }
    }
}

/// As the database shows it.
fn modelled_attempt((_, attempt): &(OperationId, Attempt)) -> String {
    let (result, detail) = match &attempt.result {
        AttemptResult::Pending => ("PENDING", "-"),
        AttemptResult::Accepted => ("ACCEPTED", "-"),
        AttemptResult::Refused(detail) => ("REFUSED", detail.as_str()),
        AttemptResult::NotSent(detail) => ("NOT_SENT", detail.as_str()),
        AttemptResult::Ambiguous(detail) => ("AMBIGUOUS", detail.as_str()),
    };
    let request = attempt.cloud_request_id.as_deref().unwrap_or("-");
    format!("{} {result} {detail} {request}", attempt.number)
}

/// Runs futures at once, on one task.
async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

/// A new operation; each is made a millisecond after the one before.
pub(crate) fn operation(organization: &str, request_id: &str) -> Operation {
    static COUNT: AtomicI64 = AtomicI64::new(0);
    let age = time::Duration::milliseconds(COUNT.fetch_add(1, Ordering::Relaxed));
    Operation {
        id: OperationId::generate(NOW + age),
        organization: OrganizationId::parse(organization).unwrap(),
        request_id: RequestId::parse(request_id).unwrap(),
        principal: "dev".to_owned(),
        account: AccountName::parse("main").unwrap(),
        region: Region::parse("ap-shanghai").unwrap(),
        host: "cvm.tencentcloudapi.com".to_owned(),
        instance_count: 1,
        min_count: None,
        dry_run: false,
        state: State::Accepted,
        sequence: 1,
        attempts: Vec::new(),
        instances: Vec::new(),
        failure: None,
        transitions: Vec::new(),
        cloud_request_id: None,
        create_time: NOW,
        update_time: NOW,
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

pub(crate) fn new(operation: &Operation) -> NewOperation {
    NewOperation {
        operation: operation.clone(),
        request_hash: [0; 32],
        asked: Call::default(),
        decision: Decision {
            policy: "p".to_owned(),
            rule: "r".to_owned(),
        },
        bodies: vec![SealedBody::new(body()), SealedBody::new(b"{}".to_vec())],
        quotas: Vec::new(),
        owner: "a".to_owned(),
        now: NOW,
        lease: HOUR,
    }
}

/// What [`new`] launches with in the first place.
pub(crate) fn body() -> Vec<u8> {
    [PASSWORD.as_bytes(), b"\0\xff"].concat()
}

pub(crate) fn next(operation: &Operation, state: State) -> Operation {
    Operation {
        state,
        sequence: operation.sequence + 1,
        ..operation.clone()
    }
}

fn attempt(number: u32, result: AttemptResult) -> Attempt {
    Attempt {
        number,
        signed_at: NOW,
        epoch: 1,
        result,
        cloud_request_id: None,
        alternative: 0,
    }
}

pub(crate) async fn admit(store: &Store, operation: &Operation) -> Lease {
    match store.admit(new(operation)).await.unwrap() {
        Admission::New(lease) => lease,
        known @ (Admission::Replayed(_) | Admission::Conflict(_) | Admission::Refused(_)) => {
            panic!("{known:?}")
        }
    }
}

/// Takes over what has crashed any number of times.
async fn claim(
    store: &Store,
    owner: &str,
    now: UtcDateTime,
    ttl: Duration,
    limit: u32,
) -> Vec<(Lease, Operation)> {
    let claimed = store.claim(owner, now, ttl, 0..=u32::MAX, limit).await;
    let pair = |claimed: Claimed| (claimed.lease, claimed.operation);
    claimed.unwrap().into_iter().map(pair).collect()
}

async fn order_of(store: &Store, order: &Order) -> Result<(), StoreError> {
    let decision = Decision {
        policy: "p".to_owned(),
        rule: "r".to_owned(),
    };
    store.order(order, (&Call::default(), &decision)).await
}

pub(crate) async fn save(store: &Store, lease: Lease, operation: &Operation) -> Saved {
    let save = Save {
        lease,
        operation: operation.clone(),
        attempt: true,
    };
    store.save(&[save]).await.unwrap()[0]
}
