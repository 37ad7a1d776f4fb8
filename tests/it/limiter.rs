//! The account's limits: never exceeded, by one gateway or several, restarts included.

use crate::credentials::{calls, misbehave};
use crate::postgres::{connect, key_file, new_database, with_key_file};
use crate::recovery::process::Process;
use crate::world::{Client, World, client, config_text, get, read, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::Target;
use cvm_gateway::cloud::limiter::{self, Action, Class, Limiter};
use cvm_gateway::config::Config;
use cvm_gateway::domain::ids::OrganizationId;
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::metrics::Metrics;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::store::{Settings, Store};
use serde_json::{Value, json};
use sqlx::Row;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::task::TaskTracker;

/// What the gateway sends of each account in a second: 80 % of what the cloud allows.
const LAUNCHES: i64 = 8;
const READS: i64 = 32;
/// Three seconds of them.
const WISHES: usize = 24;

/// Launches one machine for each of `count` callers at once; returns when all of them run.
async fn launch_all(client: &Client, name: &str, count: usize) {
    let tasks = TaskTracker::new();
    let launches: Vec<_> = (0..count)
        .map(|number| {
            let (mut client, wish) = (client.clone(), wish(&format!("{name}-{number}"), 1));
            tasks.spawn(async move { run(&mut client, wish).await.end })
        })
        .collect();
    for launch in launches {
        launch.await.unwrap().unwrap();
    }
}

/// When each call of `action` arrived by the simulator's own clock, in milliseconds.
fn arrivals(ledger: &[Value], action: &str) -> Vec<i64> {
    let calls = ledger.iter().filter(|entry| entry["action"] == action);
    let times = calls.map(|entry| {
        let time = UtcDateTime::parse(entry["at"].as_str().unwrap(), &Rfc3339);
        millis(time.unwrap())
    });
    times.collect()
}

/// When each launch was signed, which follows on its turn; from the journal at `url`.
async fn signed(url: &str) -> Vec<i64> {
    let mut journal = connect(url).await;
    let sql = "SELECT signed_at FROM attempts ORDER BY signed_at";
    let rows = sqlx::query(sql).fetch_all(&mut journal).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn millis(time: UtcDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap()
}

fn in_millis(since_epoch: Duration) -> i64 {
    i64::try_from(since_epoch.as_millis()).unwrap()
}

/// Nothing came before its turn, when turns follow each other at this rate from `began`, which is
/// before a gateway started. However late each comes, and all together: no machine is too busy for that.
fn none_was_early(what: &str, times: &[i64], began: i64, per_second: i64) {
    assert!(!times.is_empty(), "no {what}");
    let mut times = times.to_vec();
    times.sort_unstable();
    for (number, time) in (1..).zip(&times) {
        // Both are cut to the millisecond.
        let passed = time - began + 1;
        assert!(
            passed * per_second >= number * 1000,
            "{number} of {what} within {passed} ms: {times:?}"
        );
    }
}

/// The cloud counts by its own seconds, which hold more when calls are late: here it refuses none.
async fn refuse_nothing(world: &World) {
    let actions = [
        "RunInstances",
        "DescribeInstances",
        "DescribeInstancesStatus",
    ];
    let rates = BTreeMap::from(actions.map(|action| (action, 1_000_000)));
    misbehave(world, &json!({ "rates": rates })).await;
}

/// No call came before its turn since `began`, and no launch was made twice.
async fn the_limits_were_kept(world: &World, journal: &str, began: i64, launched: usize) {
    none_was_early("RunInstances", &signed(journal).await, began, LAUNCHES);
    let ledger = world.ledger().await;
    for action in ["DescribeInstances", "DescribeInstancesStatus"] {
        none_was_early(action, &arrivals(&ledger, action), began, READS);
    }
    assert_eq!(world.machines().await.len(), launched);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_seconds_of_launches_exceed_no_limit_with_a_kill_in_the_middle() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let file = world.folder.0.join("gateway.toml");
    let log = "[log]\nformat = \"json\"\n";
    std::fs::write(&file, config_text(&world.folder.0, &endpoint, log)).unwrap();
    let journal = format!("sqlite://{}/journal.db", world.folder.0.display());
    let clock = Clock::system();
    refuse_nothing(&world).await;

    let began = millis(clock.now());
    let mut process = Process::serve(&file).await;
    let before = process.client().await;
    let launching = TaskTracker::new();
    for number in 0..WISHES {
        let (mut client, wish) = (before.clone(), wish(&format!("flood-{number}"), 1));
        launching.spawn(async move { run(&mut client, wish).await });
    }
    world.launched(WISHES / 2).await;
    process.kill().await;
    launching.close();
    launching.wait().await;

    let again = millis(clock.now());
    let mut process = Process::serve(&file).await;
    launch_all(&process.client().await, "flood", WISHES).await;
    assert_eq!(process.terminate().await, Some(0));
    the_limits_were_kept(&world, &journal, began, WISHES).await;
    // The one that follows does not know what the one before it has sent in its last moment.
    let mut after = signed(&journal).await;
    after.retain(|time| *time > again);
    none_was_early("RunInstances after the kill", &after, again, LAUNCHES);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_of_one_journal_exceed_no_limit_together() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let sqlite = format!("sqlite://{}/journal.db", world.folder.0.display());
    let text = config_text(&world.folder.0, &endpoint, "");
    let journal = new_database().await;
    let text = with_key_file(&text.replace(&sqlite, &journal));
    refuse_nothing(&world).await;
    let began = millis(Clock::system().now());
    let config = || Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let one = world.gateway_of(config()).await;
    let other = world.gateway_of(config()).await;
    let (first, second) = (client(&one).await, client(&other).await);
    tokio::join!(
        launch_all(&first, "first", WISHES / 2),
        launch_all(&second, "second", WISHES / 2)
    );
    the_limits_were_kept(&world, &journal, began, WISHES).await;
    one.stop().await;
    other.stop().await;
}

/// Another program uses up the account's limit, as far as this gateway can tell: however slow the
/// gateway itself is.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_for_the_rate_slow_the_gateway_down_and_end_no_launch() {
    let world = World::new(100.0).await;
    let refused = json!({"RunInstances": {"RequestLimitExceeded": 0.2}});
    misbehave(&world, &json!({ "refuse_p": refused })).await;
    let limits = "[cloud.limits]\nrun_instances_per_second = 50\n";
    let gateway = world.gateway(limits).await;
    launch_all(&client(&gateway).await, "greedy", 40).await;
    let metrics = get(gateway.admin_addr(), "/metrics").await.1;
    let value = |series: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(series));
        line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let refused = value(r#"cvm_gateway_cloud_rate_limited_total{action="RunInstances"}"#);
    assert!((1.0..100.0).contains(&refused), "{refused}");
    let rate =
        r#"cvm_gateway_cloud_permitted_calls_per_second{account="main",action="RunInstances"}"#;
    assert!((0.5..50.0).contains(&value(rate)), "{}", value(rate));
    assert_eq!(world.machines().await.len(), 40);
    gateway.stop().await;
}

/// So many turns, one a second, are more than pass while a test does a thing, on any machine.
const QUEUED: usize = 40;

/// One call a second: whoever waits is not bound to.
#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_waits_for_its_turn_is_cancelled_at_once_and_never_sent() {
    let world = World::new(100.0).await;
    let limits = "[cloud.limits]\nrun_instances_per_second = 1\n";
    let gateway = world.gateway(limits).await;
    let mut client = client(&gateway).await;
    let mut streams = Vec::new();
    // More than have their turn while the last one is cancelled.
    for number in 0..=QUEUED {
        let wish = wish(&format!("queued-{number}"), 1);
        streams.push(client.run_instances(wish).await.unwrap().into_inner());
    }
    let mut last = streams.pop().unwrap();
    let first = last.message().await.unwrap().unwrap();
    let Some(pb::run_instances_response::Event::Operation(operation)) = first.event else {
        panic!("{first:?}");
    };
    let request = pb::CancelOperationRequest {
        name: operation.name.clone(),
    };
    client.cancel_operation(request).await.unwrap();
    let seen = read(last).await;
    assert_eq!(seen.last().state(), pb::OperationState::Cancelled);
    assert_eq!(seen.last().attempts, 0);
    let sent = calls(&world, "RunInstances").await;
    assert!(
        sent.len() < QUEUED,
        "it waits for its turn in order to be cancelled"
    );
    world.launched(1).await;
    drop(streams);
    gateway.stop().await;
    let id = operation.name.trim_start_matches("operations/");
    let sent = calls(&world, "RunInstances").await;
    assert!(sent.iter().all(|call| !call.to_string().contains(id)));
}

/// The journal at `url`.
async fn store(url: &str) -> Store {
    let settings = Settings {
        url: url.to_owned().into(),
        pool_size: 1,
        queue: 10,
        batch: 10,
        busy_timeout: Duration::from_secs(5),
        key_file: Some(key_file()),
        reserve_bytes: 0,
    };
    let (clock, metrics) = (Clock::system(), Metrics::new("test").unwrap());
    Store::open(&settings, metrics.journal, clock)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_slot_is_taken_twice_or_before_its_time() {
    let url = new_database().await;
    let stores = [store(&url).await, store(&url).await];
    let interval = Duration::from_millis(100);
    let tasks = TaskTracker::new();
    let takers = stores.iter().cycle().take(16).map(|store| {
        let budgets = store.budgets().unwrap();
        tasks.spawn(async move {
            let began = millis(Clock::system().now());
            (began, budgets.take("key", 2, interval).await.unwrap())
        })
    });
    let mut first = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        let (began, taken) = taker.await.unwrap();
        // The server's clock is this machine's, and goes on while it gives a slot.
        assert!(in_millis(taken.first) >= began, "{began}: {taken:?}");
        first.push((taken.first, taken.now));
    }
    first.sort();
    for pair in first.windows(2) {
        let [(before, _), (next, now)] = pair else {
            unreachable!("pairs are two")
        };
        // Who comes when the slots before it have passed has one at once, and makes up for nothing.
        let follows = *next - *before == interval * 2;
        let late = *next - *before > interval * 2 && next <= now;
        assert!(follows || late, "{first:?}");
    }
    // Another key begins with one interval of silence, in case its row was lost.
    let budgets = stores[0].budgets().unwrap();
    let began = millis(Clock::system().now());
    let other = budgets.take("other", 1, interval).await.unwrap();
    assert!(in_millis(other.first - interval) >= began, "{other:?}");
    // The server's clock was set back by a day: its slots do not wait for it.
    let sql = "UPDATE budgets SET next_slot = next_slot + 86400000";
    let mut connection = connect(&url).await;
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    let after = budgets.take("key", 1, interval).await.unwrap();
    assert!(after.first <= after.now + interval, "{after:?}");
    for store in stores {
        store.close().await;
    }
}

/// A limiter on the journal at `url`, as a gateway wires it.
async fn limiter(url: &str, clock: &Clock) -> (Limiter, Store) {
    let metrics = Metrics::new("test").unwrap();
    let store = store(url).await;
    let budgets = store.budgets().unwrap();
    let source: limiter::Source = Arc::new(move |ask| {
        let budgets = budgets.clone();
        Box::pin(async move {
            let taken = budgets.take(&ask.key, ask.count, ask.interval).await?;
            let (now, first) = (taken.now, taken.first);
            Ok(limiter::Block { now, first })
        })
    });
    let rates = limiter::Settings {
        run_instances_per_second: 8,
        terminate_instances_per_second: 8,
        describe_per_second: 32,
        inquiry_price_per_second: 8,
        weights: BTreeMap::new(),
        counted_as: BTreeMap::new(),
    };
    let limiter = Limiter::new(rates, Some(source), clock.clone(), metrics.cloud);
    (limiter, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_limiters_share_one_budget_and_use_it() {
    let (url, clock) = (new_database().await, Clock::system());
    let (one, first) = limiter(&url, &clock).await;
    let (other, second) = limiter(&url, &clock).await;
    let target = Target {
        account: AccountName::parse("main").unwrap(),
        region: Region::parse("ap-shanghai").unwrap(),
    };
    let class = Class::Launch(OrganizationId::parse("acme").unwrap());
    let (began, started) = (millis(clock.now()), clock.elapsed());
    let tasks = TaskTracker::new();
    let callers = [&one, &other].into_iter().cycle().take(32).map(|limiter| {
        let (limiter, clock) = (limiter.clone(), clock.clone());
        let (target, class) = (target.clone(), class.clone());
        tasks.spawn(async move {
            let permit = limiter.permit(&target, "host", Action::RunInstances, class);
            permit.await.answered::<()>(&Ok(()));
            millis(clock.now())
        })
    });
    let mut calls = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        calls.push(caller.await.unwrap());
    }
    let took = clock.elapsed() - started;
    none_was_early("calls", &calls, began, LAUNCHES);
    // Four seconds at the full rate, on a machine that does nothing else.
    assert!(took < Duration::from_secs(60), "{took:?}: {calls:?}");
    first.close().await;
    second.close().await;
}
