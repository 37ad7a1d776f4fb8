//! Keys that are replaced in their file while launches go on: none of them is lost. Short by default;
//! `make rotate` takes a minute.

use super::{calls, misbehave, text, with_source};
use crate::world::{World, client, put_secret, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::simulator::{Catalog, EMBEDDED};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// What the variable `name` says, or else `default`.
#[expect(
    clippy::disallowed_methods,
    reason = "the Makefile tells so how long it is to take"
)]
fn knob(name: &str, default: u64) -> u64 {
    let said = std::env::var(name).ok();
    said.map_or(default, |said| said.parse().unwrap())
}

fn id(number: u64) -> String {
    format!("AKIDfakeForLoopbackRotation{number:06}")
}

fn secret(number: u64) -> String {
    format!("fakeSecretKeyLoopbackRotation{number:06}")
}

/// A cloud that knows so many keys, and has room for all launches.
fn catalog(keys: u64) -> Catalog {
    let pair = |number| {
        let (id, secret) = (id(number), secret(number));
        format!("  {{ secret_id = \"{id}\", secret_key = \"{secret}\" }},\n")
    };
    let pairs: String = (0..keys).map(pair).collect();
    let text = EMBEDDED
        .replacen("keys = [\n", &format!("keys = [\n{pairs}"), 1)
        .replace("stock = 10000,", "stock = 1000000,")
        .replace("hourly_per_zone = 10000", "hourly_per_zone = 1000000");
    Catalog::parse(&text).unwrap()
}

/// The file holds the key of this number from now on.
fn put(file: &Path, number: u64) {
    let (id, secret) = (id(number), secret(number));
    put_secret(
        file,
        &format!("[default]\nsecret_id = {id}\nsecret_key = {secret}\n"),
    );
}

/// Only the key of this number and the one before it are good.
async fn revoke(world: &World, number: u64, keys: u64) {
    let good = number.saturating_sub(1)..=number;
    let revoked = (0..keys).filter(|key| !good.contains(key)).map(id);
    let faults = json!({
        "revoked_keys": revoked.collect::<Vec<_>>(),
        "rates": {"RunInstances": 1_000_000, "DescribeInstancesStatus": 1_000_000},
    });
    misbehave(world, &faults).await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the long form is run for its figures")]
async fn keys_that_are_replaced_under_load_lose_no_launch() {
    let (seconds, rate) = (knob("ROTATE_SECONDS", 5), knob("ROTATE_RATE", 20));
    let keys = seconds + 2;
    let clock = Clock::system();
    let world = World::of(catalog(keys), 100.0, clock.clone()).await;
    let file = world.folder.0.join("ini");
    put(&file, 0);
    revoke(&world, 0, keys).await;
    let extra = format!(
        "check_zones = false\n[cloud.credentials]\nreload_interval = \"100ms\"\n\
         [cloud.limits]\nrun_instances_per_second = {}\n",
        rate * 2
    );
    let source = "credentials_file = \"ini\"";
    let gateway = world.gateway_of(with_source(&world, source, &extra)).await;
    let stub = client(&gateway).await;
    let launches = TaskTracker::new();
    let began = clock.elapsed();
    let mut handles = Vec::new();
    for number in 0..seconds * rate {
        let due = began + Duration::from_millis(number * 1000 / rate);
        clock.sleep(due.saturating_sub(clock.elapsed())).await;
        if number % rate == 0 {
            let key = number / rate + 1;
            put(&file, key);
            revoke(&world, key, keys).await;
        }
        let mut stub = stub.clone();
        handles.push(launches.spawn(async move {
            let seen = run(&mut stub, wish(&format!("r{number}"), 1)).await;
            seen.end
                .map(|()| seen.snapshots.last().unwrap().name.clone())
        }));
    }
    let mut names = BTreeSet::new();
    for handle in handles {
        names.insert(handle.await.unwrap().unwrap());
    }
    let took = clock.elapsed() - began;
    gateway.stop().await;
    assert_eq!(u64::try_from(names.len()).unwrap(), seconds * rate);
    let machines = u64::try_from(world.machines().await.len()).unwrap();
    assert_eq!(machines, seconds * rate, "each launch made one machine");
    let sent = calls(&world, "RunInstances").await;
    let signed: BTreeSet<&str> = sent.iter().map(|call| text(call, "key_id")).collect();
    let signed_by = u64::try_from(signed.len()).unwrap();
    assert!(signed_by >= seconds / 2, "{signed:?}");
    let refused = sent.iter().filter(|call| text(call, "verdict") != "OK");
    let refused = refused.count();
    println!(
        "{machines} launches in {took:?}, {} attempts by {signed_by} keys, {refused} of them refused",
        sent.len()
    );
}
