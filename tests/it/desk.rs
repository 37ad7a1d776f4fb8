//! What a person sees of the journal beside a running gateway, and can let go on.

use crate::canary;
use crate::world::{Served, World, client, config_text, get, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::pb::v1 as pb;
use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tonic::Code;

/// A gateway whose configuration is a file, for the commands.
async fn gateway(world: &World) -> (Served, PathBuf) {
    let path = world.folder.0.join("gateway.toml");
    let endpoint = format!("http://{}", world.simulator.addr());
    let text = config_text(&world.folder.0, &endpoint, "lease = \"3s\"");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    (world.gateway_of(config).await, path)
}

async fn change(world: &World, sql: &str) {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}/journal.db", world.folder.0.display());
    let mut journal = AnyConnection::connect(&url).await.unwrap();
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::query(sql).execute(&mut journal).await.unwrap();
}

fn operations(config: &Path, arguments: &[&str]) -> Output {
    command("operations", config, arguments)
}

fn command(name: &str, config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    command.arg(name).args(arguments);
    canary::output(command.arg("--config").arg(config))
}

fn printed(config: &Path, arguments: &[&str]) -> String {
    let output = operations(config, arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(config: &Path, arguments: &[&str], code: i32, expected: &str) {
    let output = operations(config, arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(expected), "{arguments:?} says {said}");
}

/// What `audit verify` prints, and its exit code.
fn verified(config: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let arguments = [&["verify"], arguments].concat();
    let output = command("audit", config, &arguments);
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code())
}

/// Waits until `done` says so.
async fn until(mut done: impl AsyncFnMut() -> bool) {
    let clock = Clock::system();
    for _ in 0..600 {
        if done().await {
            return;
        }
        clock.sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come to pass");
}

/// Two launches, of which the one of that name is parked.
fn lists(config: &Path, name: &str) {
    let table = printed(config, &["list"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    let table = printed(config, &["list", "--parked"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains(name) && table.contains("parked after 3 crashes"));
    let none = ["list", "--parked", "--json", "--account", "other"];
    assert_eq!(printed(config, &none), "");
    let some = [
        "list",
        "--json",
        "--state",
        "SUCCEEDED",
        "--state",
        "FAILED",
        "--organization",
        "development",
        "--account",
        "main",
    ];
    let listed: Value = serde_json::from_str(&printed(config, &some)).unwrap();
    assert_eq!(listed["request_id"], "good");
    assert_eq!(listed["operation"]["state"], "SUCCEEDED");
}

/// A launch that processes died with is parked, seen, and goes on once a person says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_is_parked_and_releases_it() {
    // A machine that runs would end the launch before it is parked.
    let (world, later) = World::still().await;
    let (first, config) = gateway(&world).await;
    let mut before = client(&first).await;
    let launch = before.run_instances(wish("poison", 1)).await.unwrap();
    launch.into_inner().message().await.unwrap().unwrap();
    world.launched(1).await;
    first.stop().await;
    change(&world, "UPDATE operations SET crashes = 2, lease_until = 1").await;

    let (second, _) = gateway(&world).await;
    let mut after = client(&second).await;
    let parked = run(&mut after, wish("poison", 1)).await;
    assert_eq!(parked.last().state(), pb::OperationState::NeedsOperator);
    let launched = async {
        world.launched(2).await;
        later.comes();
    };
    let (good, ()) = tokio::join!(run(&mut after, wish("good", 1)), launched);
    good.end.unwrap();
    let name = parked.last().name.as_str();

    lists(&config, name);
    let show = || -> Value { serde_json::from_str(&printed(&config, &["show", name])).unwrap() };
    let shown = show();
    assert_eq!(shown["crashes"], 3);
    assert!(!shown["attempts"].as_array().unwrap().is_empty());
    assert_eq!(shown["audit"][0]["action"], "RunInstances");
    assert_eq!(
        shown["audit"][0]["decision"]["rules"],
        serde_json::json!(["account-of-own-organization"])
    );
    assert!(shown.get("body").is_none());

    let release = ["release", name, "--by", "alice", "--reason", "mended"];
    assert!(printed(&config, &release).contains("goes on"));
    until(async || show()["state"] == "SUCCEEDED").await;
    let audit = &show()["audit"][2];
    assert_eq!(
        (&audit["action"], &audit["principal"]["name"]),
        (&"Release".into(), &"alice".into())
    );
    let ended = run(&mut after, wish("poison", 1)).await;
    let told = |transition: &pb::Transition| transition.note == "released by alice: mended";
    assert!(ended.last().transitions.iter().any(told));
    ended.end.unwrap();
    assert_eq!(world.machines().await.len(), 2, "one for each launch");

    refused(&config, &release, 65, "waits for nobody: it is SUCCEEDED");
    let unknown = "operations/0198c0de-0000-7000-8000-000000000001";
    refused(&config, &["show", unknown], 65, "the journal has no");
    refused(&config, &["list", "--state", "DONE"], 64, "NEEDS_OPERATOR");
    second.stop().await;

    // Without a gateway, too.
    let lines = printed(&config, &["export"]);
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let count = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!((count("operation"), count("audit")), (2, 6));
    assert!(count("attempt") >= 2);
    std::fs::remove_file(world.folder.0.join("journal.db")).unwrap();
    refused(&config, &["list"], 66, "there is no journal at");
}

/// The launch was parked before a step could take in that its caller had cancelled it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cancelled_is_not_launched_when_it_is_released() {
    let world = World::new(100.0).await;
    let slow = "[cloud.limits]\nrun_instances_per_second = 1\n";
    let first = world.gateway(slow).await;
    let mut before = client(&first).await;
    // More than have their turn until the gateway stops.
    let queued = (0..30).map(|number| format!("queued-{number}"));
    for name in queued.chain(["unwanted".to_owned()]) {
        let launch = before.run_instances(wish(&name, 1)).await.unwrap();
        launch.into_inner().message().await.unwrap().unwrap();
    }
    first.stop().await;
    let died = "UPDATE operations SET crashes = 2, lease_until = 1 WHERE request_id = 'unwanted'";
    change(&world, died).await;

    let (second, config) = gateway(&world).await;
    let mut after = client(&second).await;
    let parked = run(&mut after, wish("unwanted", 1)).await;
    assert_eq!(parked.last().state(), pb::OperationState::NeedsOperator);
    let ordered = "INSERT INTO orders (operation_id, verb, principal, time) \
         SELECT id, 'CANCEL', 'dev', 0 FROM operations WHERE request_id = 'unwanted'";
    change(&world, ordered).await;
    let name = parked.last().name.as_str();
    let release = ["release", name, "--by", "alice", "--reason", "mended"];
    printed(&config, &release);
    let show = || -> Value { serde_json::from_str(&printed(&config, &["show", name])).unwrap() };
    until(async || show()["state"] == "CANCELLED").await;
    assert_eq!(show()["attempts"], serde_json::json!([]));
    second.stop().await;
}

/// Beside a gateway and without one; a witness outside knows what the journal has forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_shows_that_somebody_touched_it() {
    let world = World::new(2.0).await;
    let (first, config) = gateway(&world).await;
    let mut caller = client(&first).await;
    let launched = run(&mut caller, wish("one", 1)).await;
    let name = launched.last().name.clone();
    launched.end.unwrap();
    let kept = world.folder.0.join("ends.jsonl");
    let kept = kept.to_str().unwrap();
    let (said, code) = verified(&config, &["--save", kept]);
    assert_eq!(said, "ok: 3 rows in 1 chains are as they were written\n");
    assert_eq!(code, Some(0));
    assert_eq!(verified(&config, &["--save", kept]).1, Some(73));
    first.stop().await;

    assert_eq!(verified(&config, &["--anchor", kept]).1, Some(0));
    // As a sink writes it after a crash amid the line.
    let line = std::fs::read_to_string(kept).unwrap();
    let cut = world.folder.0.join("cut.jsonl");
    std::fs::write(&cut, format!("{}\n\n{line}", &line[..20])).unwrap();
    let cut = cut.to_str().unwrap();
    assert_eq!(verified(&config, &["--anchor", cut]).1, Some(0));
    change(&world, "DELETE FROM audit_rows WHERE event = 'outcome'").await;
    let (said, code) = verified(&config, &["--anchor", kept]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("is missing, and the anchor names it"),
        "{said}"
    );
    assert!(
        said.contains(&format!("{name} is not in the audit")),
        "{said}"
    );
    std::fs::write(kept, "{}").unwrap();
    let (said, code) = verified(&config, &["--anchor", kept]);
    assert!(said.contains("line 1 of "), "{said}");
    assert_eq!(code, Some(65));
}

/// What any replica wrote down stops the account in each.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_account_launches_nothing_new() {
    let world = World::new(100.0).await;
    let (gateway, _) = gateway(&world).await;
    let mut client = client(&gateway).await;
    let first = run(&mut client, wish("first", 1)).await;
    let name = first.last().name.clone();
    first.end.unwrap();
    let id = name.trim_start_matches("operations/");
    let brake = format!("INSERT INTO brakes VALUES ('{id}', 'main', '2 where 1 was asked for', 0)");
    change(&world, &brake).await;
    let gauge = async || get(gateway.admin_addr(), "/metrics").await.1;
    let stopped = "cvm_gateway_launches_stopped{account=\"main\"} 1";
    until(async || gauge().await.contains(stopped)).await;

    let refused = run(&mut client, wish("second", 1)).await.end.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let told = refused.message();
    assert!(
        told.contains(&name) && told.contains("2 where 1 was asked for"),
        "{told}"
    );
    let again = run(&mut client, wish("first", 1)).await;
    again.end.unwrap();
    assert_eq!(world.machines().await.len(), 1);

    change(&world, "DELETE FROM brakes").await;
    until(async || !gauge().await.contains("cvm_gateway_launches_stopped{")).await;
    run(&mut client, wish("second", 1)).await.end.unwrap();
    gateway.stop().await;
}
