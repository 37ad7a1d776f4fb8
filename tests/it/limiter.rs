//! The account's limits: never exceeded, by one gateway or several, restarts included.

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
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// What the cloud and the simulator allow each account in a second.
const LAUNCHES: usize = 10;
const READS: usize = 40;
/// Three seconds of them, at 80 % of the limit.
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

/// The most calls of `action` in any second of the simulator's own clock.
fn most_in_a_second(ledger: &[Value], action: &str) -> usize {
    let calls = ledger.iter().filter(|entry| entry["action"] == action);
    let times = calls.map(|entry| {
        let time = entry["at"].as_str().unwrap();
        let (whole, millis) = time.trim_end_matches('Z').split_once('.').unwrap();
        let of_day = whole.split_once('T').unwrap().1.split(':');
        let seconds = of_day.fold(0, |all, part| all * 60 + part.parse::<u64>().unwrap());
        seconds * 1000 + millis.parse::<u64>().unwrap()
    });
    most_within_a_second(&times.collect::<Vec<_>>())
}

fn most_within_a_second(sorted: &[u64]) -> usize {
    let from = |start: usize| {
        sorted[start..]
            .iter()
            .take_while(move |at| **at < sorted[start] + 1000)
    };
    (0..sorted.len())
        .map(|start| from(start).count())
        .max()
        .unwrap_or(0)
}

/// Nothing was refused for its rate, and nothing was near it.
async fn the_limits_were_kept(world: &World, launched: usize) {
    let ledger = world.ledger().await;
    let refused = ledger
        .iter()
        .filter(|entry| entry["verdict"] == "RequestLimitExceeded");
    assert_eq!(refused.count(), 0, "{ledger:#?}");
    for (action, limit) in [
        ("RunInstances", LAUNCHES),
        ("DescribeInstances", READS),
        ("DescribeInstancesStatus", READS),
    ] {
        let most = most_in_a_second(&ledger, action);
        assert!(
            (1..=limit).contains(&most),
            "{most} calls of {action} in a second"
        );
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

    let mut process = Process::serve(&file).await;
    launch_all(&process.client().await, "flood", WISHES).await;
    the_limits_were_kept(&world, WISHES).await;
    assert_eq!(process.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_of_one_journal_exceed_no_limit_together() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let sqlite = format!("sqlite://{}/journal.db", world.folder.0.display());
    let text = config_text(&world.folder.0, &endpoint, "");
    let text = with_key_file(&text.replace(&sqlite, &new_database().await));
    let config = || Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let one = world.gateway_of(config()).await;
    let other = world.gateway_of(config()).await;
    let (first, second) = (client(&one).await, client(&other).await);
    tokio::join!(
        launch_all(&first, "first", WISHES / 2),
        launch_all(&second, "second", WISHES / 2)
    );
    the_limits_were_kept(&world, WISHES).await;
    one.stop().await;
    other.stop().await;
}

/// Another program uses up the account's limit, as far as this gateway can tell.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_for_the_rate_slow_the_gateway_down_and_end_no_launch() {
    let world = World::new(100.0).await;
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

/// One call a second: whoever waits is not bound to.
#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_waits_for_its_turn_is_cancelled_at_once_and_never_sent() {
    let world = World::new(100.0).await;
    let limits = "[cloud.limits]\nrun_instances_per_second = 1\n";
    let gateway = world.gateway(limits).await;
    let mut client = client(&gateway).await;
    let mut streams = Vec::new();
    for number in 0..6 {
        let wish = wish(&format!("queued-{number}"), 1);
        streams.push(client.run_instances(wish).await.unwrap().into_inner());
    }
    let mut last = streams.pop().unwrap();
    let first = last.message().await.unwrap().unwrap();
    let Some(pb::run_instances_response::Event::Operation(operation)) = first.event else {
        panic!("{first:?}");
    };
    let request = pb::CancelOperationRequest {
        name: operation.name,
    };
    let clock = Clock::system();
    client.cancel_operation(request).await.unwrap();
    let seen = clock.timeout(Duration::from_secs(2), read(last)).await;
    let seen = seen.expect("it waits for its turn in order to be cancelled");
    assert_eq!(seen.last().state(), pb::OperationState::Cancelled);
    assert_eq!(seen.last().attempts, 0);
    for stream in streams {
        read(stream).await.end.unwrap();
    }
    assert_eq!(world.machines().await.len(), 5);
    gateway.stop().await;
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
        tasks.spawn(async move { budgets.take("key", 2, interval).await.unwrap() })
    });
    let mut first = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        let taken = taker.await.unwrap();
        assert!(taken.first >= taken.now, "{taken:?}");
        first.push(taken.first);
    }
    first.sort();
    for pair in first.windows(2) {
        assert_eq!(pair[1] - pair[0], interval * 2, "{first:?}");
    }
    // Another key begins with one interval of silence, in case its row was lost.
    let budgets = stores[0].budgets().unwrap();
    let other = budgets.take("other", 1, interval).await.unwrap();
    assert!(
        other.first - other.now >= Duration::from_millis(99),
        "{other:?}"
    );
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
    let started = clock.elapsed();
    let tasks = TaskTracker::new();
    let callers = [&one, &other].into_iter().cycle().take(32).map(|limiter| {
        let (limiter, clock) = (limiter.clone(), clock.clone());
        let (target, class) = (target.clone(), class.clone());
        tasks.spawn(async move {
            let permit = limiter.permit(&target, "host", Action::RunInstances, class);
            permit.await.answered::<()>(&Ok(()));
            u64::try_from(clock.elapsed().as_millis()).unwrap()
        })
    });
    let mut calls = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        calls.push(caller.await.unwrap());
    }
    let took = clock.elapsed() - started;
    calls.sort_unstable();
    let most = most_within_a_second(&calls);
    assert!(most <= LAUNCHES, "{most} in a second: {calls:?}");
    // Four seconds at the full rate.
    assert!(took < Duration::from_secs(8), "{took:?}: {calls:?}");
    first.close().await;
    second.close().await;
}
