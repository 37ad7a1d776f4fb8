//! What launches hold of the limits of their organisation.

use super::{HOUR, Journal, NOW, admit, all, new, next, operation, save};
use cvm_gateway::clock::Clock;
use cvm_gateway::domain::ids::OrganizationId;
use cvm_gateway::domain::instance::{Instance, InstanceId, InstanceState};
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::domain::operation::{Failure, Kind, Operation, State};
use cvm_gateway::domain::quota::{Callers, Exceeded, Measure, Quota};
use cvm_gateway::domain::reason::Reason;
use cvm_gateway::metrics::Metrics;
use cvm_gateway::store::{
    Admission, Adoption, LivingPage, NewOperation, Presence, Settings, Store,
};
use sqlx::Row;
use std::time::Duration;
use tokio_util::task::TaskTracker;

const CALLERS: usize = 64;

fn quota(name: &str, limits: &[(Measure, i64)]) -> Quota {
    Quota {
        name: name.to_owned(),
        organization: OrganizationId::parse("acme").unwrap(),
        account: None,
        callers: Callers::Any,
        limits: limits.iter().copied().collect(),
    }
}

fn limited(operation: &Operation, quotas: &[Quota]) -> NewOperation {
    NewOperation {
        quotas: quotas.to_vec(),
        ..new(operation)
    }
}

/// How much is used, as the journal counts it.
async fn used(store: &Store, measure: Measure) -> i64 {
    let quota = quota("any", &[(measure, 0)]);
    let usage = store.usage(&quota.organization, NOW).await.unwrap();
    let now = (NOW - time::UtcDateTime::UNIX_EPOCH).whole_milliseconds();
    usage.levels(&quota, now.try_into().unwrap())[0].used
}

async fn instances(store: &Store) -> i64 {
    used(store, Measure::Instances).await
}

fn machines(names: &[&str], state: &InstanceState) -> Vec<Instance> {
    let machine = |name: &&str| Instance {
        state: Some(state.clone()),
        ..Instance::named(InstanceId::parse(name).unwrap())
    };
    names.iter().map(machine).collect()
}

/// Through every gateway that the journal can have: two on PostgreSQL, which race.
pub(super) async fn lets_in_exactly_as_many_as_fit(journal: Journal) {
    let first = journal.open().await;
    let second = match journal.is_sqlite() {
        true => first.clone(),
        false => journal.open().await,
    };
    // What the rounds before let in counts, too.
    for (name, measure, limit, fit) in [
        ("instances", Measure::Instances, 20, 20),
        ("minute", Measure::LaunchesPerMinute, 30, 10),
        ("open", Measure::ConcurrentOperations, 40, 10),
    ] {
        let tasks = TaskTracker::new();
        let racers: Vec<_> = (0..CALLERS)
            .map(|number| {
                let store = if number % 2 == 0 { &first } else { &second };
                let store = store.clone();
                let quotas = [quota(name, &[(measure, limit)])];
                let wish = operation("acme", &format!("{name}-{number}"));
                tasks.spawn(async move { store.admit(limited(&wish, &quotas)).await })
            })
            .collect();
        let (mut new, mut over) = (0, 0);
        for racer in racers {
            match racer.await.unwrap().unwrap() {
                Admission::New(_) => new += 1,
                Admission::Refused(exceeded) => {
                    let [only] = &exceeded[..] else {
                        panic!("{exceeded:?}");
                    };
                    assert_eq!((only.measure, only.limit, only.asked), (measure, limit, 1));
                    assert_eq!(only.used, limit, "what is full");
                    over += 1;
                }
                known @ (Admission::Replayed(_) | Admission::Conflict(_)) => panic!("{known:?}"),
            }
        }
        assert_eq!((new, over), (fit, CALLERS - fit), "{name}");
        assert_eq!(used(&first, measure).await, limit, "{name}");
    }
}

pub(super) async fn judges_each_of_a_batch_by_those_before_it(journal: Journal) {
    let store = journal.open().await;
    let quotas = [quota("q", &[(Measure::Instances, 10)])];
    let asks = [4, 7, 6, 1, 7];
    let wishes: Vec<_> = (0..)
        .zip(asks)
        .map(|(number, asked)| Operation {
            instance_count: asked,
            ..operation("acme", &format!("r-{number}"))
        })
        .collect();
    let twin = Operation {
        id: operation("acme", "x").id,
        ..wishes[1].clone()
    };
    let unlimited = operation("globex", "r-0");
    let mut writes: Vec<_> = wishes.iter().map(|wish| limited(wish, &quotas)).collect();
    writes.push(limited(&twin, &quotas));
    writes.push(limited(&unlimited, &[]));
    writes.push(limited(&wishes[0], &quotas));
    let answers = all(writes.into_iter().map(|write| store.admit(write))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let over = |used, asked| Exceeded {
        quota: "q".to_owned(),
        measure: Measure::Instances,
        used,
        asked,
        limit: 10,
        room_after: None,
    };
    let refused = |used, asked| Admission::Refused(vec![over(used, asked)]);
    assert!(matches!(answers[0], Admission::New(_)));
    assert_eq!(answers[1], refused(4, 7));
    assert!(matches!(answers[2], Admission::New(_)));
    assert_eq!(answers[3], refused(10, 1));
    assert_eq!(answers[4], refused(10, 7));
    assert_eq!(answers[5], refused(10, 7), "the twin of what was refused");
    assert!(matches!(answers[6], Admission::New(_)));
    assert!(matches!(answers[7], Admission::New(_)), "known already");
    assert_eq!(instances(&store).await, 10);
    let listed = store.list(&quotas[0].organization, &[], None, 100).await;
    assert_eq!(
        listed.unwrap().operations.len(),
        2,
        "nothing is left of what was refused"
    );
}

pub(super) async fn holds_what_lives(journal: Journal) {
    let store = journal.open().await;
    let wish = Operation {
        instance_count: 3,
        ..operation("acme", "r-1")
    };
    let lease = admit(&store, &wish).await;
    assert_eq!(instances(&store).await, 3);
    let mut launched = next(&wish, State::Launched);
    launched.instances = machines(&["ins-1", "ins-2"], &InstanceState::Running);
    launched
        .instances
        .extend(machines(&["ins-3"], &InstanceState::LaunchFailed));
    save(&store, lease, &launched).await;
    assert_eq!(instances(&store).await, 3, "it has not ended");
    save(&store, lease, &next(&launched, State::Partial)).await;
    assert_eq!(instances(&store).await, 2, "what was delivered");
    assert_eq!(used(&store, Measure::ConcurrentOperations).await, 0);
    assert_eq!(used(&store, Measure::LaunchesPerMinute).await, 1);

    let leaving = Operation {
        kind: Kind::Termination,
        instances: machines(&["ins-1", "ins-2"], &InstanceState::Running),
        ..operation("acme", "r-2")
    };
    let lease = admit(&store, &leaving).await;
    assert_eq!(used(&store, Measure::ConcurrentOperations).await, 0);
    let mut half = next(&leaving, State::Accepted);
    half.instances[0].state = Some(InstanceState::Terminating);
    save(&store, lease, &half).await;
    assert_eq!(instances(&store).await, 1, "one is gone");
    let mut ended = next(&half, State::Succeeded);
    save(&store, lease, &ended).await;
    assert_eq!(instances(&store).await, 0);
    ended.sequence += 1;
    save(&store, lease, &ended).await;
    assert_eq!(instances(&store).await, 0, "nothing is given back twice");
}

pub(super) async fn refunds_what_was_not_launched(journal: Journal) {
    let store = journal.open().await;
    for (state, held) in [
        (State::Failed, 0),
        (State::Cancelled, 0),
        (State::NeedsOperator, 5),
    ] {
        let wish = Operation {
            instance_count: 5,
            ..operation("acme", state.name().as_str())
        };
        let lease = admit(&store, &wish).await;
        assert_eq!(instances(&store).await, 5);
        save(&store, lease, &next(&wish, state)).await;
        assert_eq!(instances(&store).await, held);
    }
    let dry = Operation {
        dry_run: true,
        ..operation("acme", "dry")
    };
    admit(&store, &dry).await;
    assert_eq!(instances(&store).await, 5, "a dry run has no machines");
    assert_eq!(used(&store, Measure::ConcurrentOperations).await, 2);
    assert_eq!(used(&store, Measure::LaunchesPerMinute).await, 4);
}

pub(super) async fn counts_what_is_adopted_and_what_only_time_ended(journal: Journal) {
    let store = journal.open().await;
    let wish = operation("acme", "r-1");
    let lease = admit(&store, &wish).await;
    let mut failed = next(&wish, State::Failed);
    failed.instances = vec![Instance {
        missing_since: Some(NOW),
        ..machines(&["ins-1"], &InstanceState::Pending).remove(0)
    }];
    failed.failure = Some(Failure {
        reason: Reason::LaunchTimeout,
        message: String::new(),
        cloud_code: String::new(),
        cloud_request_id: String::new(),
        parameters: Vec::new(),
    });
    save(&store, lease, &failed).await;
    assert_eq!(instances(&store).await, 1, "it may still come up");
    let adoption = Adoption {
        operation: wish.id,
        account: wish.account.clone(),
        region: wish.region.clone(),
        instances: vec![InstanceId::parse("ins-2").unwrap()],
        time: NOW + HOUR,
    };
    store.adopt(&adoption).await.unwrap();
    assert_eq!(instances(&store).await, 2);
}

pub(super) async fn limits_those_that_a_quota_fits(journal: Journal) {
    let store = journal.open().await;
    let named = |name: &str, callers| Quota {
        callers,
        ..quota(name, &[(Measure::Instances, 1)])
    };
    let web = named("web", Callers::Beginning("web-".to_owned()));
    let other = Quota {
        account: Some(AccountName::parse("other").unwrap()),
        ..named("other", Callers::Any)
    };
    let one = named("one", Callers::Named("web-1".to_owned()));
    for (principal, account, quotas, fits) in [
        ("dev", "main", vec![&web], true),
        ("web-1", "main", vec![&web, &one], true),
        ("web-2", "main", vec![&web], false),
        ("web-2", "other", vec![&other], true),
        ("dev", "other", vec![&other], false),
        ("web-1", "main", vec![&one], false),
    ] {
        let wish = Operation {
            principal: principal.to_owned(),
            account: AccountName::parse(account).unwrap(),
            ..operation("acme", "x")
        };
        let wish = Operation {
            request_id: operation("acme", &wish.id.to_string()).request_id,
            ..wish
        };
        let quotas: Vec<_> = quotas.into_iter().cloned().collect();
        let answer = store.admit(limited(&wish, &quotas)).await.unwrap();
        let new = matches!(answer, Admission::New(_));
        assert_eq!(new, fits, "{principal} on {account}: {answer:?}");
    }
}

pub(super) async fn tells_when_there_is_room_again(journal: Journal) {
    let store = journal.open().await;
    let quotas = [quota("q", &[(Measure::LaunchesPerMinute, 2)])];
    let at = |name: &str, seconds: u64| Operation {
        create_time: NOW + Duration::from_secs(seconds),
        ..operation("acme", name)
    };
    for (name, seconds) in [("r-1", 0), ("r-2", 30)] {
        let answer = store.admit(limited(&at(name, seconds), &quotas)).await;
        assert!(matches!(answer, Ok(Admission::New(_))));
    }
    let refused = store.admit(limited(&at("r-3", 40), &quotas)).await.unwrap();
    let Admission::Refused(exceeded) = refused else {
        panic!("{refused:?}");
    };
    // A second counts until its end is a minute past: NOW is 678 ms into one.
    let room = Duration::from_secs(20) + Duration::from_millis(322);
    assert_eq!(exceeded[0].room_after, Some(room));
    let back = at("r-3", 61);
    let answer = store.admit(limited(&back, &quotas)).await.unwrap();
    assert!(matches!(answer, Admission::New(_)), "{answer:?}");
}

/// Journals of before have their rows once they are opened.
pub(super) async fn counts_the_launches_of_older_journals(journal: Journal) {
    let store = journal.open().await;
    let mut living = operation("acme", "r-1");
    let lease = admit(&store, &living).await;
    living = next(&living, State::Launched);
    living.instances = machines(&["ins-1", "ins-2"], &InstanceState::Running);
    save(&store, lease, &living).await;
    save(&store, lease, &next(&living, State::Succeeded)).await;
    let leaving = Operation {
        kind: Kind::Termination,
        instances: machines(&["ins-2"], &InstanceState::Running),
        ..operation("acme", "r-2")
    };
    let lease = admit(&store, &leaving).await;
    save(&store, lease, &next(&leaving, State::Succeeded)).await;
    let open = Operation {
        instance_count: 7,
        ..operation("acme", "r-3")
    };
    admit(&store, &open).await;
    assert_eq!(instances(&store).await, 8);
    store.close().await;

    let before = "DELETE FROM reservations; UPDATE instances SET gone_time = 0; \
         INSERT INTO chores (name) VALUES ('reservations')";
    journal.run(before).await;
    let store = journal.open().await;
    assert_eq!(instances(&store).await, 8);
    assert_eq!(used(&store, Measure::ConcurrentOperations).await, 1);
}

pub(super) async fn notices_what_comes_and_goes_without_it(journal: Journal) {
    let store = journal.open().await;
    let wish = operation("acme", "r-1");
    let lease = admit(&store, &wish).await;
    let mut launched = next(&wish, State::Launched);
    launched.instances = machines(&["ins-1", "ins-2", "ins-3"], &InstanceState::Running);
    save(&store, lease, &launched).await;
    let page = LivingPage {
        account: wish.account.clone(),
        region: wish.region.clone(),
        before: NOW + HOUR,
        after: None,
    };
    assert_eq!(store.living(&page).await.unwrap(), [], "it has not ended");
    save(&store, lease, &next(&launched, State::Succeeded)).await;
    let all: Vec<_> = launched.instances.iter().map(|it| it.id.clone()).collect();
    assert_eq!(store.living(&page).await.unwrap(), all);
    for (page, expected) in [
        (
            LivingPage {
                after: Some(all[0].clone()),
                ..page.clone()
            },
            &all[1..],
        ),
        (
            LivingPage {
                before: NOW,
                ..page.clone()
            },
            &[][..],
        ),
        (
            LivingPage {
                region: Region::parse("ap-tokyo").unwrap(),
                ..page.clone()
            },
            &[],
        ),
    ] {
        assert_eq!(store.living(&page).await.unwrap(), expected, "{page:?}");
    }

    let see = |gone: &[InstanceId], shown: &[InstanceId], since| Presence {
        gone: gone.to_vec(),
        shown: shown.to_vec(),
        since,
        time: NOW + HOUR,
    };
    store.see(&see(&all[..2], &[], NOW)).await.unwrap();
    assert_eq!(instances(&store).await, 1);
    assert_eq!(store.living(&page).await.unwrap(), all[2..]);
    let (early, late) = (NOW + HOUR, NOW + 2 * HOUR);
    for (since, expected) in [(early, &[][..]), (late, &all[..2])] {
        let mut thought = store.thought_gone(&all, since).await.unwrap();
        thought.sort();
        assert_eq!(thought, expected);
    }
    store.see(&see(&[], &all, early)).await.unwrap();
    assert_eq!(instances(&store).await, 1, "it went after that was seen");
    store.see(&see(&[], &all[..1], late)).await.unwrap();
    assert_eq!(instances(&store).await, 2);
}

pub(super) async fn tells_where_machines_live(journal: Journal) {
    let store = journal.open().await;
    let near = operation("acme", "r-1");
    let far = Operation {
        region: Region::parse("ap-tokyo").unwrap(),
        ..operation("globex", "r-1")
    };
    for (wish, ids) in [(&far, ["ins-1", "ins-2"]), (&near, ["ins-3", "ins-4"])] {
        let lease = admit(&store, wish).await;
        let mut launched = next(wish, State::Launched);
        launched.instances = machines(&ids, &InstanceState::Running);
        save(&store, lease, &launched).await;
    }
    let [near, far] = [near, far].map(|wish| (wish.account, wish.region));
    let both = [near.clone(), far.clone()];
    for (most, expected) in [(9, &both[..]), (1, &both[..1]), (0, &[])] {
        let places = store.living_places(most).await.unwrap();
        assert_eq!(places, expected, "{most}");
    }
    let gone = ["ins-3", "ins-4"].map(|id| InstanceId::parse(id).unwrap());
    let seen = Presence {
        gone: gone.to_vec(),
        shown: Vec::new(),
        since: NOW,
        time: NOW + HOUR,
    };
    store.see(&seen).await.unwrap();
    assert_eq!(store.living_places(9).await.unwrap(), [far]);
}

/// How long this one may take until it waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// The other gateway has ended one machine, and commits only when this one waits to end the last.
#[tokio::test(flavor = "multi_thread")]
async fn counts_what_another_gateway_ended_meanwhile() {
    let journal = Journal::postgres().await;
    // Longer than the other one takes until it commits.
    let settings = Settings {
        busy_timeout: 2 * PATIENCE,
        ..journal.settings()
    };
    let metrics = Metrics::new("test").unwrap().journal;
    let store = Store::open(&settings, metrics, Clock::system())
        .await
        .unwrap();
    let wish = operation("acme", "r-1");
    let lease = admit(&store, &wish).await;
    let mut launched = next(&wish, State::Launched);
    launched.instances = machines(&["ins-1", "ins-2"], &InstanceState::Running);
    save(&store, lease, &launched).await;
    save(&store, lease, &next(&launched, State::Succeeded)).await;
    assert_eq!(instances(&store).await, 2);

    let mut other = journal.connect().await;
    let ended = "BEGIN; UPDATE instances SET gone_time = 1 WHERE instance_id = 'ins-1'; \
         UPDATE reservations SET instances = 1";
    sqlx::raw_sql(ended).execute(&mut other).await.unwrap();
    let presence = Presence {
        gone: vec![launched.instances[1].id.clone()],
        shown: Vec::new(),
        since: NOW,
        time: NOW + HOUR,
    };
    let own = store.clone();
    let seen = TaskTracker::new().spawn(async move { own.see(&presence).await });
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut onlooker = journal.connect().await;
    let waits = async {
        loop {
            let row = sqlx::query(waiting).fetch_one(&mut onlooker).await.unwrap();
            if row.get::<i64, _>(0) == 1 {
                return;
            }
            Clock::system().sleep(Duration::from_millis(2)).await;
        }
    };
    Clock::system().timeout(PATIENCE, waits).await.unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    seen.await.unwrap().unwrap();
    assert_eq!(instances(&store).await, 0);
}
